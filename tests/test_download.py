"""Downloads from a local server that behaves well and badly, and archives that must not be trusted."""

import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcourse.datasets.download import extract, fetch
from segcourse.datasets.errors import ArchiveError, ChecksumError, DataError, DownloadError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.content``; breaks off after each of ``server.cuts`` bytes in turn."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.failures:
            return self.send_error(server.failures.pop(0))
        start = self.first_byte()
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.send_header("Content-Length", str(len(body)))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[:cut])

    def first_byte(self):
        asked = self.headers.get("Range")
        expected = self.headers.get("If-Range", self.server.tag)
        if not asked or not self.server.ranges or expected != self.server.tag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranges, server.tag = CONTENT, True, '"v1"'
    server.cuts, server.failures, server.asked = [], [], []
    server.url = f"http://127.0.0.1:{server.server_port}/file.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def get(server, path, sha256=SHA256, retries=0):
    return fetch(server.url, path, sha256, progress=False, retries=retries, pause=0.0)


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_plain_download_leaves_only_the_file(server, tmp_path):
    path = get(server, tmp_path / "deep" / "file.zip")
    assert path.read_bytes() == CONTENT
    assert files_in(tmp_path) == ["deep", "file.zip"]


def test_a_file_that_is_there_is_not_fetched(server, tmp_path):
    get(server, tmp_path / "f")
    get(server, tmp_path / "f")
    assert len(server.asked) == 1


def test_a_wrong_file_that_is_there_is_replaced(server, tmp_path):
    (tmp_path / "f").write_bytes(b"something else")
    assert get(server, tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_cut_connection_is_continued(server, tmp_path, sha256):
    server.cuts = [327_680, 196_608]
    assert get(server, tmp_path / "f", sha256, retries=2).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=327680-", "bytes=524288-"]
    assert files_in(tmp_path) == ["f"]


def test_a_later_call_continues(server, tmp_path):
    server.cuts = [327_680]
    with pytest.raises(DownloadError, match=r"327680 bytes received.*f\.part"):
        get(server, tmp_path / "f")
    assert not (tmp_path / "f").exists()
    assert (tmp_path / "f.part").stat().st_size == 327_680
    assert get(server, tmp_path / "f").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=327680-"]
    assert files_in(tmp_path) == ["f"]


def test_without_ranges_it_starts_again(server, tmp_path):
    server.ranges, server.cuts = False, [327_680]
    assert get(server, tmp_path / "f", retries=1).read_bytes() == CONTENT


def test_a_changed_file_is_not_mixed_with_the_old_one(server, tmp_path):
    server.cuts = [327_680]
    with pytest.raises(DownloadError):
        get(server, tmp_path / "f", sha256=None)
    server.content, server.tag = CONTENT[::-1], '"v2"'
    assert get(server, tmp_path / "f", sha256=None).read_bytes() == CONTENT[::-1]


def test_without_any_proof_of_sameness_it_starts_again(server, tmp_path):
    server.tag, server.cuts = None, [327_680]
    assert get(server, tmp_path / "f", sha256=None, retries=1).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_part_that_is_complete_already(server, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "f").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(server, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path / "f", retries=1).read_bytes() == CONTENT


def test_wrong_bytes_leave_nothing(server, tmp_path):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(ChecksumError, match=SHA256):
        get(server, tmp_path / "f")
    assert files_in(tmp_path) == []


def test_a_passing_fault_is_retried_and_a_refusal_is_not(server, tmp_path):
    server.failures = [503, 429]
    assert get(server, tmp_path / "f", retries=2).read_bytes() == CONTENT
    server.asked.clear()
    server.failures = [404, 404]
    with pytest.raises(DownloadError, match="404"):
        get(server, tmp_path / "g", retries=3)
    assert len(server.asked) == 1
    assert files_in(tmp_path) == ["f"]


def test_nobody_answers(server, tmp_path):
    server.url = "http://127.0.0.1:9/nothing"
    with pytest.raises(DownloadError, match="gave up after 2 attempts"):
        get(server, tmp_path / "f", retries=1)
    with pytest.raises(DownloadError, match="address"):
        fetch("nonsense", tmp_path / "f", progress=False)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        get(server, tmp_path / "taken" / "f")


def make_zip(path, names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, f"content of {name}" * 50)
    return path


def make_tar(path, names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            content = (f"content of {name}" * 50).encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_extract_all_and_some(tmp_path, make):
    archive = make(tmp_path / "a", ["top/one.txt", "top/sub/two.txt"])
    out = extract(archive, tmp_path / "all")
    assert (out / "top/sub/two.txt").read_text() == "content of top/sub/two.txt" * 50
    some = extract(archive, tmp_path / "some", lambda name: "2.txt" if name.endswith("two.txt") else None)
    assert files_in(some) == ["2.txt"]
    with pytest.raises(DataError, match="there already"):
        extract(archive, some)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/abs.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt", "C:out.txt", "\\out.txt"],
)
def test_members_outside_are_refused_before_anything_is_written(tmp_path, make, name):
    archive = make(tmp_path / "a", ["good.txt", name])
    with pytest.raises(ArchiveError, match="points outside") as caught:
        extract(archive, tmp_path / "deep" / "er" / "out")
    assert repr(name) in str(caught.value)
    assert files_in(tmp_path) == ["a", "deep", "er"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "a", "w") as archive:
        info = tarfile.TarInfo("bad")
        info.type, info.linkname = kind, "good.txt"
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="'bad' is a link or device"):
        extract(tmp_path / "a", tmp_path / "out")
    assert files_in(tmp_path) == ["a"]


def test_links_in_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        info = zipfile.ZipInfo("bad")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'bad' is a link or device"):
        extract(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_cut_or_damaged_archives_leave_nothing(tmp_path, make):
    whole = make(tmp_path / "a", [f"file{index}.txt" for index in range(50)]).read_bytes()
    for name, content in {
        "short": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes(byte ^ 255 for byte in whole[200:240]) + whole[240:],
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArchiveError, match=name):
            extract(tmp_path / name, tmp_path / "out")
    assert files_in(tmp_path) == ["a", "empty", "flipped", "short"]
    with pytest.raises(ArchiveError, match="no such file"):
        extract(tmp_path / "absent", tmp_path / "out")


def test_an_archive_larger_than_the_disk(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a", ["one.txt", "two.txt"])
    usage = shutil.disk_usage(tmp_path)._replace(free=1799)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ArchiveError, match="Make room"):
        extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == ["a"]
    usage = usage._replace(free=1800)
    extract(archive, tmp_path / "out")


@settings(deadline=None)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08"]))
def test_any_bytes_as_archive(tmp_path_factory, content, start):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "any").write_bytes(start + content)
    with pytest.raises(ArchiveError):
        extract(folder / "any", folder / "out")
    assert files_in(folder) == ["any"]


@settings(deadline=None)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), make=st.sampled_from([make_zip, make_tar]))
def test_one_wrong_byte_in_an_archive(tmp_path_factory, position, byte, make):
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(make(folder / "a", ["x/one.txt", "x/two.txt"]).read_bytes())
    content[position % len(content)] = byte
    (folder / "a").write_bytes(content)
    try:
        extract(folder / "a", folder / "out")
    except DataError:
        assert files_in(folder) == ["a"]

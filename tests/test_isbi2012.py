"""ISBI 2012: made-up sections behind a local server, and the real ones where they are present."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from skimage import measure

from segcourse import datasets
from segcourse.datasets import isbi2012
from segcourse.datasets.errors import ArchiveError, ChecksumError, DataError, ImageError, MaskError
from segcourse.datasets.labels import instances_of
from segcourse.datasets.published import Published


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def section(seed, size=(512, 512)):
    """Grey picture and mask 0 / 255 of a made-up section."""
    grey = np.random.default_rng(seed).integers(0, 256, (size[0] // 16, size[1] // 16), dtype=np.uint8)
    grey = np.kron(grey, np.ones((16, 16), np.uint8))
    return grey, np.where(grey % 3 == 0, 0, 255)


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Three sections, two for training, and their digests; nothing is installed."""
    monkeypatch.setattr(Published, "places", [tmp_path / "isbi2012"])
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    monkeypatch.setattr(isbi2012, "SPLITS", {"train": range(2), "val": range(2, 3)})
    members = {}
    for number in range(3):
        grey, mask = section(number)
        members[f"image/{number}.png"], members[f"label/{number}.png"] = png(grey), png(mask)
    digests_are_of(monkeypatch, members)
    return members


def digests_are_of(monkeypatch, members):
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in members.items()}
    monkeypatch.setattr(isbi2012, "manifest", lambda: digests)


def archive_of(members):
    file, top = io.BytesIO(), f"unet-{isbi2012.COMMIT}"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{top}/README.md", np.random.default_rng(0).bytes(200_000))  # not wanted
        archive.writestr(f"{top}/data/membrane/test/0.png", "not wanted")
        archive.writestr(f"{top}/data/membrane/train/aug/image_0_1.png", "not wanted")
        for path, content in members.items():
            archive.writestr(f"{top}/data/membrane/train/{path}", content)
    return file.getvalue()


@pytest.fixture
def serve(monkeypatch):
    """serve(content) puts bytes where the archive is fetched from, and once breaks off after `cut` of them;
    `serve.asked` lists the ranges that were asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            serve.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            body, total = serve.content[start:], len(serve.content)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: serve.cut])
            serve.cut = None

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(isbi2012, "URL", f"http://127.0.0.1:{server.server_port}/archive")

    def serve(content, cut=None):
        serve.content, serve.cut = content, cut

    serve.asked = []
    yield serve
    server.shutdown()
    server.server_close()
    thread.join()


def test_download_and_load(made_up, serve):
    assert not datasets.available("isbi2012", "train")
    with pytest.raises(DataError, match="segcourse data get isbi2012"):
        datasets.load("isbi2012", "train")
    serve(archive_of(made_up))
    target = datasets.fetch("isbi2012", progress=False)
    assert {path.relative_to(target).as_posix() for path in target.rglob("*.*")} == set(made_up)
    assert [path.name for path in target.parent.iterdir()].count("isbi2012") == 1
    assert datasets.available("isbi2012", "val") and not datasets.available("isbi2012", "test")
    images, labels = datasets.load("isbi2012", "train")
    grey, mask = section(1)
    np.testing.assert_array_equal(images[1], np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(labels[1], mask // 255)
    assert images.dtype == labels.dtype == np.uint8 and len(images) == 2
    small, ids = datasets.load("isbi2012", "val", size=(128, 96))
    assert small.shape == (1, 128, 96, 3) and set(np.unique(ids)) == {0, 1}
    isbi2012.download(progress=False)
    assert len(serve.asked) == 1


def test_a_broken_download_is_continued(made_up, serve):
    content = archive_of(made_up)
    serve(content, cut=len(content) // 2)
    isbi2012.download(progress=False)
    assert serve.asked[0] is None and serve.asked[1].startswith("bytes=")
    assert len(datasets.load("isbi2012", "train")[0]) == 2


def test_a_damaged_copy_is_refused_and_replaced(made_up, serve):
    serve(archive_of(made_up))
    damaged = isbi2012.download(progress=False) / "label" / "1.png"
    damaged.write_bytes(png(section(9)[1]))
    with pytest.raises(ChecksumError, match=r"1\.png.*segcourse data get isbi2012"):
        datasets.load("isbi2012", "train")
    damaged.unlink()
    with pytest.raises(DataError, match=r"1\.png: missing"):
        datasets.load("isbi2012", "train")
    isbi2012.download(progress=False)
    assert len(datasets.load("isbi2012", "train")[0]) == 2


@pytest.mark.parametrize(
    ("path", "content", "error", "says"),
    [
        ("image/0.png", png(section(7)[0]), ChecksumError, "sha256"),
        ("label/2.png", None, DataError, "missing"),
        ("image/0.png", b"", ChecksumError, "sha256"),
    ],
)
def test_an_archive_with_a_fault_installs_nothing(made_up, serve, path, content, error, says):
    members = {**made_up, path: content}
    serve(archive_of({name: data for name, data in members.items() if data is not None}))
    with pytest.raises(error) as caught:
        isbi2012.download(progress=False)
    assert says in str(caught.value) and path.split("/")[1] in str(caught.value)
    assert not [found for found in datasets.cache_folder().rglob("*") if found.is_file()]


def test_an_archive_that_is_none(made_up, serve):
    serve(b"<html>sorry</html>")
    with pytest.raises(ArchiveError):
        isbi2012.download(progress=False)
    assert not datasets.available("isbi2012", "train")


@pytest.mark.parametrize(
    ("path", "content", "error", "says"),
    [
        ("image/0.png", png(section(0, (256, 512))[0]), ImageError, "(256, 512)"),
        ("label/0.png", png(section(0, (512, 256))[1]), MaskError, "(512, 256)"),
        ("label/0.png", png(np.zeros((512, 512, 3))), MaskError, "channel"),
        ("image/0.png", b"\x89PNG", ImageError, "cut short"),
    ],
)
def test_what_is_wrong_with_a_file_that_is_the_original(made_up, monkeypatch, path, content, error, says):
    members = {**made_up, path: content}
    digests_are_of(monkeypatch, members)
    for name, data in members.items():
        file = Published.places[0] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    with pytest.raises(error) as caught:
        datasets.load("isbi2012", "train")
    assert says in str(caught.value) and "0.png" in str(caught.value)


def test_manifest_and_splits():
    assert len(isbi2012.manifest()) == 60
    assert {split: list(numbers) for split, numbers in isbi2012.SPLITS.items()} == {
        "train": list(range(24)),
        "val": list(range(24, 30)),
    }
    assert datasets.spec("isbi2012").classes == ("membrane", "cell")
    with pytest.raises(DataError, match="'test'.*train, val"):
        datasets.load("isbi2012", "test")


def flood(mask):
    """Pieces of a mask by a stack of pixels, sides only: the oracle of `instances_of`."""
    found, count = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if found[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            row, column = stack.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not found[row, column]:
                found[row, column] = count
                stack += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return found


def test_instances_are_the_pieces_with_a_common_side():
    labels = np.random.default_rng(3).integers(0, 2, (3, 17, 23)).astype(np.uint8)
    found = instances_of(labels)
    assert found.dtype == np.int32
    for mask, pieces in zip(labels, found, strict=True):
        expected = flood(mask == 1)
        assert pieces.max() == expected.max() and np.array_equal(pieces > 0, mask == 1)
        pairs = np.unique(np.stack([pieces.ravel(), expected.ravel()]), axis=1)
        assert pairs.shape[1] == expected.max() + 1
    np.testing.assert_array_equal(instances_of(labels[1]), found[1])
    assert instances_of(labels[0], class_id=0).max() == flood(labels[0] == 0).max()
    assert instances_of(np.zeros((0, 4, 4), np.uint8)).shape == (0, 4, 4)
    with pytest.raises(DataError, match=r"\(4,\).*\[H, W\]"):
        instances_of(np.zeros(4, np.uint8))


@pytest.mark.skipif(
    not datasets.available("isbi2012", "val"),
    reason="ISBI 2012 is not here; `segcourse data get isbi2012` fetches it",
)
def test_real_isbi2012():
    images, labels = datasets.load("isbi2012", "val")
    assert images.shape == (6, 512, 512, 3) and images.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1} and 0.7 < labels.mean() < 0.85
    assert images[labels == 0].mean() < images[labels == 1].mean() - 30  # membranes are dark
    assert datasets.check_masks(labels, datasets.spec("isbi2012"), images) == []
    found = isbi2012.instances("val")
    assert [count.max() for count in found] == [measure.label(mask, connectivity=1).max() for mask in labels]
    assert all(80 < count.max() < 200 for count in found)
    isbi2012.verify(isbi2012.folder())

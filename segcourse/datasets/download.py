"""Downloads that can be continued, are checked, and are unpacked without trust in the archive."""

import hashlib
import shutil
import stat
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from segcourse.datasets.errors import ArchiveError, ChecksumError, DataError, DownloadError

_CHUNK = 1 << 15  # bytes; what is lost at most when a connection breaks
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of data


def fetch(
    url: str,
    path: Path | str,
    sha256: str | None = None,
    *,
    progress: bool = True,
    retries: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download a file, continuing where an earlier attempt stopped.

    What has arrived so far is kept beside the target as ``<name>.part``; ``path`` itself appears only when it
    is complete and correct. A part is continued only if the server says that its file has not changed since,
    or if ``sha256`` will tell.

    Args:
        url: http or https address.
        path: where the file goes. If it is there with the right checksum, nothing is fetched.
        sha256: expected digest in hex; None checks the announced length only.
        progress: show a progress bar.
        retries: further attempts after a connection broke or the server had a passing fault.
        pause: seconds before the first of them; doubled each time.

    Returns:
        ``path``.

    Raises:
        DownloadError: the server refuses, or the connection broke too often. The part stays, so calling again
            continues.
        ChecksumError: all of it arrived but is not the expected file. Nothing stays.
    """
    path = Path(path)
    if path.is_file() and (sha256 is None or digest(path) == sha256):
        return path
    part = _Part(path)
    with _local_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive_all(url, part, sha256, progress, retries, pause)
        _check_digest(url, part, sha256)
        part.file.replace(path)
        part.tag_file.unlink(missing_ok=True)
    return path


def digest(path: Path | str) -> str:
    """sha256 of a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extract(
    archive: Path | str, folder: Path | str, select: Callable[[str], str | None] = lambda name: name
) -> Path:
    """Unpack a zip or tar file into a new folder, all of it or nothing.

    The names of all selected members are checked before the first is written. They are unpacked into a hidden
    folder beside the target, which gets its name when it is complete.

    Args:
        archive: a zip file, or a tar file with any compression that Python knows.
        folder: the folder to make; must not exist yet.
        select: member name -> name below ``folder``, or None to leave the member out.

    Returns:
        ``folder``.

    Raises:
        ArchiveError: damaged, or a member is absolute, points outside, or is a link or device.
        DataError: ``folder`` exists, or cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise DataError(f"{folder}: is there already. Remove it, or choose another folder.")
    with _local_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            with _members(archive) as members:
                _write(_checked(members, select, archive, fresh), fresh)
            fresh.chmod(0o755)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


class _Part:
    """The unfinished file beside the target, and the server's mark of the version that it belongs to."""

    def __init__(self, path: Path):
        self.file = path.with_name(path.name + ".part")
        self.tag_file = path.with_name(path.name + ".part.version")

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def tag(self) -> str:
        return self.tag_file.read_text(encoding="latin-1") if self.tag_file.exists() else ""

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.tag_file.unlink(missing_ok=True)


def _receive_all(url, part, sha256, progress, retries, pause):
    import requests

    for attempt in range(retries + 1):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with requests.Session() as session:
                if _receive(session, url, part, sha256, progress):
                    return
            problem = "the connection closed early"
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            problem = str(error)
        except requests.RequestException as error:
            raise DownloadError(f"{url}: cannot be fetched ({error}). Check the address.") from error
    raise DownloadError(
        f"{url}: gave up after {retries + 1} attempts with {part.size} bytes received ({problem}). "
        f"They are kept in {part.file}; check the connection and run the same command again, it continues "
        "from there."
    )


def _receive(session, url, part, sha256, progress) -> bool:
    """One attempt: True when the file is complete, False when it is worth another one."""
    if part.size and not (part.tag or sha256):
        part.remove()
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths count the bytes of the file itself
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.tag:
            headers["If-Range"] = part.tag
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as reply:
        if reply.status_code == 416:
            return _past_the_end(reply, part)
        if reply.status_code == 429 or reply.status_code >= 500:
            return False
        if reply.status_code not in (200, 206):
            raise DownloadError(
                f"{url}: the server answered {reply.status_code} {reply.reason}. Check the address; nothing "
                "was kept."
            )
        start = _start(reply, part)
        part.tag_file.write_text(_tag(reply), encoding="latin-1")
        return _append(reply, part, start, progress)


def _start(reply, part):
    """Where the bytes of this reply belong in the file."""
    if reply.status_code == 200:
        return 0
    announced = reply.headers.get("Content-Range", "")
    if not announced.startswith(f"bytes {part.size}-"):
        part.remove()
        raise DownloadError(
            f"{reply.url}: asked for bytes from {part.size}, got {announced!r}. Run it again from the start."
        )
    return part.size


def _append(reply, part, start, progress):
    from tqdm.auto import tqdm

    length = reply.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, disable=not progress, desc=part.file.stem
    )
    with bar, open(part.file, "ab" if start else "wb") as file:
        for piece in reply.iter_content(_CHUNK):
            file.write(piece)
            bar.update(len(piece))
    return total is None or part.size == total


def _past_the_end(reply, part):
    """The part is as long as the file (complete), or longer (useless)."""
    total = reply.headers.get("Content-Range", "").rpartition("/")[2]
    if total == str(part.size):
        return True
    part.remove()
    return False


def _tag(reply):
    """Something that changes when the file does; weak tags are not good enough to continue from."""
    tag = reply.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else reply.headers.get("Last-Modified", "")


def _check_digest(url, part, sha256):
    if sha256 is None:
        return
    found = digest(part.file)
    if found != sha256:
        part.remove()
        raise ChecksumError(
            f"{url}: sha256 {found} where {sha256} is expected. The file was changed at its source or on its "
            "way; it was removed. Try again, and tell the maintainers if it stays so."
        )


@contextmanager
def _local_errors(path):
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a decompressor's complaint about its input, not the system's about the disk
            raise
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}). Check free disk space and permissions."
        ) from error


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes]]


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    """The members of an archive; what a decoder says of damaged bytes becomes an ArchiveError."""
    try:
        with open(archive, "rb") as file:
            is_zip = file.read(2) == b"PK"
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as opened:
            yield (
                [_zip_member(opened, info) for info in opened.infolist()]
                if is_zip
                else [_tar_member(opened, info) for info in opened.getmembers()]
            )
    except DataError:
        raise
    except FileNotFoundError as error:
        raise ArchiveError(f"{archive}: no such file. Download it first.") from error
    except Exception as error:  # the decoders raise nearly anything on damaged bytes
        raise ArchiveError(
            f"{archive}: damaged, cut short, or no zip or tar file ({type(error).__name__}: {error}). Remove "
            "it and download it again."
        ) from error


def _zip_member(opened, info):
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
    return _Member(info.filename, info.file_size, info.is_dir(), is_file, lambda: opened.open(info))


def _tar_member(opened, info):
    return _Member(info.name, info.size, info.isdir(), info.isreg(), lambda: opened.extractfile(info))


def _checked(members, select, archive, fresh):
    """The selected files with their names below the target folder; refuses before anything is written."""
    chosen = []
    for member in members:
        target = select(member.name)
        if target is None:
            continue
        for name in (member.name, target):
            _refuse_outside(name, archive)
        if not (member.is_file or member.is_folder):
            raise ArchiveError(
                f"{archive}: member {member.name!r} is a link or device. Nothing was written; do not use "
                "this archive."
            )
        if member.is_file:
            chosen.append((member, target))
    needed, free = sum(member.size for member, _ in chosen), shutil.disk_usage(fresh).free
    if needed > free:
        raise ArchiveError(
            f"{archive}: needs {needed / 1e6:.0f} MB unpacked, {free / 1e6:.0f} MB are free. Make room and "
            "try again."
        )
    return chosen


def _refuse_outside(name, archive):
    """Refuse what leaves the folder on any platform: absolute, drive letter, ``..`` with either slash."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    outside = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in name
    if outside or not posix.parts:
        raise ArchiveError(
            f"{archive}: member {name!r} points outside the folder. Nothing was written; do not use this "
            "archive."
        )


def _write(chosen, fresh):
    for member, target in chosen:
        path = fresh / target
        with _local_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, _local_errors(path), open(path, "wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)

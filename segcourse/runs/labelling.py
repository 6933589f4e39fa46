"""Pictures of a folder to labelled ones, without a loss of anything that is there already."""

import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcourse.datasets import files, labels
from segcourse.datasets.errors import DataError
from segcourse.runs.errors import BadRequest
from segcourse.runs.files import reserve

KINDS = ("labels", "overlay")
MARK = "segcourse predict "


@dataclass(frozen=True)
class Job:
    """A picture to label, and the files that come of it.

    Attributes:
        picture: to read.
        labels: palette PNG to write, the class ids as pixel values.
        overlay: the picture under the colours of its classes, to write.
    """

    picture: Path
    labels: Path
    overlay: Path


def jobs(pictures: Iterable[Path], folder: str | os.PathLike) -> list[Job]:
    """One `Job` for each picture, no two of which write the same file, even where case does not count.

    A picture's files have its name without ending; where several share that, its whole name; and a number
    where that is taken as well.
    """
    pictures, taken, result = list(pictures), set(), []
    shared = Counter(_key(path.stem) for path in pictures)
    # Names that are nobody else's go first, so that no whole name takes one of them.
    for path in sorted(pictures, key=lambda path: shared[_key(path.stem)] > 1):
        name = start = path.stem if shared[_key(path.stem)] == 1 else path.name
        count = 1
        while _key(name) in taken:
            count += 1
            name = f"{start}-{count}"
        taken.add(_key(name))
        result.append(Job(path, *(Path(folder) / kind / f"{name}.png" for kind in KINDS)))
    return sorted(result, key=lambda job: job.picture)


def _key(name):
    """Equal for names that are one name on some file system: upper and lower case, composed accents."""
    return unicodedata.normalize("NFC", name).casefold()


def check_targets(todo: Sequence[Job], force: bool = False) -> list[Path]:
    """The files that are in the way of these jobs: there already, and not written by `label_file`.

    Labels that were edited after they were written count as somebody else's.

    Raises:
        BadRequest: there are some and `force` is False; or a job would replace a picture that is to be read.
    """
    targets = [path for job in todo for path in (job.labels, job.overlay)]
    sources = {_identity(job.picture) for job in todo} - {None}
    own = [path for path in targets if _identity(path) in sources]
    if own:
        raise BadRequest(
            f"{_listed(own)} would be replaced by the labels, but is a picture to be labelled. Choose "
            "another --out."
        )
    foreign = [path for path in targets if os.path.lexists(path) and not written_here(path)]
    if foreign and not force:
        raise BadRequest(
            f"--out has {len(foreign)} file(s) in the way that predict did not write, or that were changed "
            f"since: {_listed(foreign)}. Choose another --out, or replace them with --force."
        )
    return foreign


def _identity(path):
    """What is the same for two names of one file, through links too; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listed(paths, most=5):
    return ", ".join(map(str, paths[:most])) + (f", ... ({len(paths)})" if len(paths) > most else "")


def written_here(path: Path) -> bool:
    """Whether `label_file` wrote this very file, and nobody changed its pixels since; a link is none."""
    from PIL import Image

    if path.is_symlink() or not path.is_file():
        return False
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == _mark(picture)
    except Exception:  # a decoder fed with any bytes raises nearly anything
        return False


def _mark(picture):
    """Written into a file: who wrote it, and a digest of its pixels."""
    content = f"{picture.mode} {picture.size}".encode() + picture.tobytes()
    return MARK + hashlib.sha256(content).hexdigest()[:32]


def label_file(
    job: Job,
    label: Callable[[np.ndarray], np.ndarray],
    spec: labels.LabelSpec,
    note: Callable[[str], object] = lambda text: None,
) -> None:
    """Write the two files of a job, each whole or not at all.

    Args:
        job: of `jobs`.
        label: from an image uint8 [H, W, 3] to labels uint8 [H, W]; a `Labeller` says when it cuts tiles.
        spec: of the classes.
        note: called with what a user should know of this picture.

    Raises:
        DataError: the image cannot be read, or the network cannot label it.
        DiskFull: there is no room for the results.
    """
    from PIL import Image

    from segcourse import plotting

    image = _read(job.picture)
    height, width = image.shape[:2]
    side = label.tiled((height, width)) if hasattr(label, "tiled") else None
    if side:
        note(f"{job.picture}: {height}x{width} pixels, labelled in tiles of {side}x{side}.")
    try:
        ids = label(image)
    except Exception as error:  # whatever TensorFlow raises must not end the others
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{job.picture}: {height}x{width} pixels cannot be labelled: {reason}") from error
    picture = Image.fromarray(ids)
    picture.putpalette(spec.colorize(np.arange(256)).tobytes())
    _save(picture, job.labels)
    _save(Image.fromarray(plotting.blend(image, ids, spec)), job.overlay)


def _read(path):
    from PIL import Image

    with warnings.catch_warnings():
        # From 89 megapixels on: no news to somebody who labels them.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return files.decode_image(files.read_bytes(path), path)


def _save(picture, path):
    from PIL.PngImagePlugin import PngInfo

    path.parent.mkdir(parents=True, exist_ok=True)
    notes = PngInfo()
    notes.add_text("Software", _mark(picture))
    partial = path.with_name(f"partial.{path.name}")
    reserve(path, len(picture.tobytes()))
    try:
        picture.save(partial, format="PNG", pnginfo=notes)
        # Replaces a link, not what it leads to.
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)

"""Pictures with labels: ToyCam and cells (drawn here), CamVid and ISBI 2012 (downloaded), a folder of yours.

``load`` gives arrays, ``pipeline`` and ``epochs`` give batches for training; ``checked`` looks at a folder,
``Stream`` reads it from disk, and ``opened`` takes whichever fits. 255 is void in every data set.
"""

from pathlib import Path

import numpy as np

from segcourse.datasets.augment import Augment, epochs, pipeline
from segcourse.datasets.errors import DataError
from segcourse.datasets.inspection import checked
from segcourse.datasets.labels import LabelSpec, check_masks
from segcourse.datasets.opening import Held, opened
from segcourse.datasets.streaming import Stream
from segcourse.datasets.table import TABLE
from segcourse.paths import cache_folder

__all__ = [
    "Augment",
    "DataError",
    "Held",
    "LabelSpec",
    "Stream",
    "available",
    "cache_folder",
    "channels",
    "check_masks",
    "checked",
    "epochs",
    "fetch",
    "load",
    "names",
    "opened",
    "pipeline",
    "spec",
]


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows; it takes the path of a folder data set as well."""
    return tuple(TABLE)


def load(name: str | Path, split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A split of a data set in memory.

    Args:
        name: ``toycam``, ``camvid``, ``cells``, ``isbi2012``, or the path of a folder with ``images/`` and
            ``masks/``.
        split: ``train``, ``val`` or ``test`` (isbi2012 has no test); for a folder its splits, or ``all``.
        size: (height, width) to bring everything to; None keeps the data set's own size.

    Returns:
        images uint8 ``[N, H, W, 3]`` (RGB 0..255) and labels uint8 ``[N, H, W]`` (class ids, 255 = void).

    Raises:
        DataError: the data set is unknown, absent or damaged; the message says what to do.
    """
    return _source(name).load(split, size=size)


def spec(name: str | Path) -> LabelSpec:
    """Class names and colours of a data set."""
    return TABLE[name].spec if name in TABLE else _source(name).spec()


def channels(name: str | Path) -> int:
    """How many channels of its pictures tell something: 1 for grey, 3 for colour and for folders."""
    return TABLE[name].channels if name in TABLE else 3


def available(name: str | Path, split: str) -> bool:
    """Whether ``load(name, split)`` can work without a download."""
    if name in TABLE:
        return split in TABLE[name].here()
    try:
        return _source(name).available(split)
    except DataError:
        return False


def fetch(name: str, progress: bool = True) -> Path:
    """Fetch a data set that is not drawn here into the cache folder, check it, and return its folder.

    Raises:
        DataError: there is nothing to fetch for this name, or what came is not the original.
    """
    offered = [row.name for row in TABLE.values() if not row.drawn]
    if name not in offered:
        raise DataError(f"{str(name)!r} is not for download; {', '.join(offered)} are.")
    return _source(name).download(progress)


def _source(name):
    if name in TABLE:
        return TABLE[name].module
    from segcourse.datasets.folder import Folder

    if not Path(name).is_dir():
        raise DataError(
            f"no data set {str(name)!r}: give one of {', '.join(TABLE)}, or the path of a folder with "
            "images/ and masks/."
        )
    return Folder(name)

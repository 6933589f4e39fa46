"""Pictures with labels: ToyCam (rendered here), CamVid (downloaded), or a folder of your own.

``load`` gives arrays, ``pipeline`` and ``epochs`` give batches for training. 255 is void in every data set.
"""

from pathlib import Path

import numpy as np

from segcourse.datasets.augment import Augment, epochs, pipeline
from segcourse.datasets.errors import DataError
from segcourse.datasets.labels import CAMVID, LabelSpec, check_masks
from segcourse.paths import cache_folder

__all__ = [
    "Augment",
    "DataError",
    "LabelSpec",
    "available",
    "cache_folder",
    "check_masks",
    "epochs",
    "load",
    "names",
    "pipeline",
    "spec",
]

_NAMES = ("toycam", "camvid")


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows; it takes the path of a folder data set as well."""
    return _NAMES


def load(name: str | Path, split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A split of a data set in memory.

    Args:
        name: ``toycam``, ``camvid``, or the path of a folder with ``images/`` and ``masks/``.
        split: ``train``, ``val`` or ``test``; for a folder ``train``, ``val`` or ``all``.
        size: (height, width) to bring everything to; None keeps the data set's own size.

    Returns:
        images uint8 ``[N, H, W, 3]`` (RGB 0..255) and labels uint8 ``[N, H, W]`` (class ids, 255 = void).

    Raises:
        DataError: the data set is unknown, absent or damaged; the message says what to do.
    """
    return _source(name).load(split, size=size)


def spec(name: str | Path) -> LabelSpec:
    """Class names and colours of a data set."""
    return CAMVID if name in _NAMES else _source(name).spec()


def available(name: str | Path, split: str) -> bool:
    """Whether ``load(name, split)`` can work without a download."""
    if name == "toycam":
        return split in ("train", "val", "test")
    try:
        return _source(name).available(split)
    except DataError:
        return False


def _source(name):
    if name == "toycam":
        from segcourse.datasets import toycam

        return toycam
    if name == "camvid":
        from segcourse.datasets import camvid

        return camvid
    from segcourse.datasets.folder import Folder

    if not Path(name).is_dir():
        raise DataError(
            f"no data set {str(name)!r}: give one of {', '.join(_NAMES)}, or the path of a folder with "
            "images/ and masks/."
        )
    return Folder(name)

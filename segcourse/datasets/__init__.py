"""Pictures with labels: ToyCam and cells (drawn here), CamVid and ISBI 2012 (downloaded), a folder of yours.

``load`` gives arrays, ``pipeline`` and ``epochs`` give batches for training. 255 is void in every data set.
"""

import importlib
from pathlib import Path

import numpy as np

from segcourse.datasets.augment import Augment, epochs, pipeline
from segcourse.datasets.errors import DataError
from segcourse.datasets.labels import CAMVID, CELLS, MEMBRANES, LabelSpec, check_masks
from segcourse.paths import cache_folder

__all__ = [
    "Augment",
    "DataError",
    "LabelSpec",
    "available",
    "cache_folder",
    "check_masks",
    "epochs",
    "fetch",
    "load",
    "names",
    "pipeline",
    "spec",
]

RENDERED = ("toycam", "cells")
_SPECS = {"toycam": CAMVID, "camvid": CAMVID, "cells": CELLS, "isbi2012": MEMBRANES}


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows; it takes the path of a folder data set as well."""
    return tuple(_SPECS)


def load(name: str | Path, split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A split of a data set in memory.

    Args:
        name: ``toycam``, ``camvid``, ``cells``, ``isbi2012``, or the path of a folder with ``images/`` and
            ``masks/``.
        split: ``train``, ``val`` or ``test`` (isbi2012 has no test); for a folder ``train``, ``val`` or
            ``all``.
        size: (height, width) to bring everything to; None keeps the data set's own size.

    Returns:
        images uint8 ``[N, H, W, 3]`` (RGB 0..255) and labels uint8 ``[N, H, W]`` (class ids, 255 = void).

    Raises:
        DataError: the data set is unknown, absent or damaged; the message says what to do.
    """
    return _source(name).load(split, size=size)


def spec(name: str | Path) -> LabelSpec:
    """Class names and colours of a data set."""
    return _SPECS[name] if name in _SPECS else _source(name).spec()


def available(name: str | Path, split: str) -> bool:
    """Whether ``load(name, split)`` can work without a download."""
    if name in RENDERED:
        return split in _source(name).SPLITS
    try:
        return _source(name).available(split)
    except DataError:
        return False


def fetch(name: str, progress: bool = True) -> Path:
    """Fetch ``camvid`` or ``isbi2012`` into the cache folder, check it, and return its folder.

    Raises:
        DataError: there is nothing to fetch for this name, or what came is not the original.
    """
    if name not in _SPECS or name in RENDERED:
        raise DataError(
            f"{str(name)!r} is not for download; {', '.join(sorted(_SPECS.keys() - RENDERED))} are."
        )
    return _source(name).download(progress)


def _source(name):
    if name in _SPECS:
        return importlib.import_module(f"segcourse.datasets.{name}")
    from segcourse.datasets.folder import Folder

    if not Path(name).is_dir():
        raise DataError(
            f"no data set {str(name)!r}: give one of {', '.join(_SPECS)}, or the path of a folder with "
            "images/ and masks/."
        )
    return Folder(name)

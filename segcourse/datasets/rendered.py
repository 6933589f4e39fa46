"""Splits of drawn data sets: rendered once, then read from the cache folder."""

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def cached(
    path: Path, shapes: dict[str, tuple], render: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays in the npz file `path`; where it is absent or damaged, `render()` makes them and it.

    Args:
        path: the file; its name should carry the version of the pixels.
        shapes: array name -> shape that the file must have.
        render: makes the arrays, by name.
    """
    arrays = _read(path, shapes)
    if arrays is None:
        arrays = render()
        _write(path, arrays)
    return arrays


def _read(path, shapes):
    """The stored arrays, or None when there is no whole file of these shapes."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in shapes}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = all(
        arrays[name].shape == shape and arrays[name].dtype.kind in "ui" for name, shape in shapes.items()
    )
    return arrays if fits else None


def _write(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise

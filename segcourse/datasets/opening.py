"""A split as a training reads it: in memory where it fits, else from disk, with one interface for both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segcourse.datasets import augment as views
from segcourse.datasets import files
from segcourse.datasets.errors import DataError
from segcourse.datasets.streaming import Stream
from segcourse.paths import cache_folder

if TYPE_CHECKING:
    import tensorflow as tf

PLACES = ("auto", "memory", "cache", "disk")
_SHARE = 1 / 4  # of the machine's memory: TensorFlow makes a copy of the pictures that it trains on
_ROOM = 1 / 2  # of the disk that is free


class Held:
    """A split in memory, to be used like a `Stream`.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        labels: uint8 ``[N, H, W]``.

    Attributes:
        size: (height, width) of the pictures.
        sizes: the same, once for each picture.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self._images, self._labels = images, labels
        self.size = images.shape[1:3]
        self.sizes = [self.size] * len(images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._images[index], self._labels[index]

    def in_grey(self) -> Held:
        """The same with brightness in three equal channels."""
        return Held(np.repeat(files.grey(self._images), 3, axis=-1), self._labels)

    def one_size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.size

    def epochs(
        self, batch_size: int, *, augment: views.Augment | None = None, seed: int = 0
    ) -> Callable[[int], tf.data.Dataset]:
        """Shuffled training data by epoch: `datasets.epochs`."""
        return views.epochs(self._images, self._labels, batch_size, augment=augment, seed=seed)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Every picture once, in order; the last batch may be short."""
        return views.pipeline(self._images, self._labels, batch_size)


def opened(
    name: str | Path,
    splits: Iterable[str],
    size: tuple[int, int] | None = None,
    place: str = "auto",
    report: Callable[[str], object] = print,
) -> dict[str, Held | Stream]:
    """Splits of a data set, wherever there is room for them.

    Args:
        name: of a data set, which is held in memory, or the path of a folder.
        splits: their names.
        size: (height, width) to bring the pictures to; None keeps their own, which may differ unless
            `place` is ``memory``.
        place: ``memory``; ``cache`` for a file on disk with the pictures decoded and resized; ``disk`` for
            the files themselves, decoded anew whenever they are read; ``auto`` for memory where all splits
            together take at most a quarter of the machine's, else cache where they take at most half of the
            free disk, else disk.
        report: called with a line of text if they are not in memory.

    Raises:
        DataError: as `datasets.load` and `Stream`; or an unknown place, or one for folders alone.
    """
    from segcourse import datasets

    if place not in PLACES:
        raise DataError(f"place={place!r}: give one of {', '.join(PLACES)}.")
    if name in datasets.names():
        if place not in ("auto", "memory"):
            raise DataError(
                f"{name} is held in memory; only a folder is read from {place}. Leave --read-from out (in "
                "Python: place)."
            )
        return {split: Held(*datasets.load(name, split, size)) for split in splits}
    streams = {split: Stream(name, split, size) for split in splits}
    needed = sum(stream.nbytes for stream in streams.values())
    if place == "auto":
        place = _place(needed, all(stream.size for stream in streams.values()))
    if place == "memory":
        return {split: Held(*datasets.load(name, split, size)) for split in splits}
    held = {"cache": f"a file in {cache_folder()}", "disk": "their own files, decoded anew in every epoch"}
    report(f"pictures of {needed / 1e9:.2f} GB (decoded) are read from {held[place]}.")
    if place == "cache":
        return {split: Stream(name, split, size, cache=True) for split in splits}
    return streams


def _place(needed, same_size):
    if same_size and needed <= _SHARE * _memory():
        return "memory"
    return "cache" if needed <= _ROOM * _free(cache_folder()) else "disk"


def _memory():
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free(folder):
    """Bytes that are free on the disk of a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

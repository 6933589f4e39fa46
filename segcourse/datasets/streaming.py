"""Folder data sets that are larger than memory: read from disk batch by batch, in the order of `epochs`.

Memory holds the pictures that are being decoded and two batches, whatever the size of the set. With a cache
every picture is decoded and resized once, into one large file. TensorFlow is imported inside the functions.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segcourse.datasets import augment as views
from segcourse.datasets import files
from segcourse.datasets.errors import DataError
from segcourse.datasets.folder import Folder, every
from segcourse.paths import cache_folder

if TYPE_CHECKING:
    import tensorflow as tf

_READERS = min(8, 2 * (os.cpu_count() or 1))  # decoders release Python's lock
_VIEWERS = 2  # batches that are augmented at a time


class Stream:
    """A split of a folder data set that stays on disk.

    ``stream[i]`` is (picture uint8 ``[H, W, 3]``, labels uint8 ``[H, W]``), in the order of `Folder.pairs`,
    and ``len(stream)`` their number.

    Args:
        root: the folder.
        split: ``train``, ``val``, ``test`` or ``all``.
        size: (height, width) to resize to; None keeps the sizes, which may differ.
        cache: decode and resize everything now, into one file in the cache folder, and read from there.
            It takes `nbytes` of disk, and is used again until a file changes.

    Attributes:
        size: (height, width) of all pictures; None if they differ.
        sizes: (height, width) of each.
        nbytes: what `Folder.load` would take in memory.

    Raises:
        DataError: a file cannot be used (with a cache: any of them, all are named), or the disk is too small.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        size: tuple[int, int] | None = None,
        *,
        cache: bool = False,
    ):
        self._folder, self._grey = Folder(root), False
        self._pairs, self._to = self._folder.pairs(split), files.check_size(size)
        self._folder.spec()  # a missing class list should show now, not with the first batch
        self.sizes = [self._to] * len(self._pairs) if self._to else self._folder.sizes(self._pairs)
        self.size = self.sizes[0] if len(set(self.sizes)) == 1 else None
        pixels = [height * width for height, width in self.sizes]
        self.nbytes = 4 * sum(pixels)
        self._starts = 4 * np.cumsum([0, *pixels])
        self._cache = self._fill() if cache else None

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        index = range(len(self))[index]
        if self._cache:
            image, labels = self._cached(index)
        else:
            image, labels = self._folder.read(self._pairs[index], self._to)
        return (np.repeat(files.grey(image), 3, axis=-1) if self._grey else image), labels

    def in_grey(self) -> Stream:
        """The same with brightness in three equal channels."""
        grey = copy.copy(self)
        grey._grey = True
        return grey

    def epochs(
        self,
        batch_size: int,
        *,
        augment: views.Augment | None = None,
        seed: int = 0,
        crop: tuple[int, int] | None = None,
    ) -> Callable[[int], tf.data.Dataset]:
        """Shuffled training data by epoch: the batches that `datasets.epochs` makes of the same pictures.

        Arguments and result as there. Pictures of different sizes need a crop; each has its view for itself.

        Raises:
            DataError: fewer pictures than a batch takes, or different sizes and no crop. While a batch is
                made, a damaged file ends in a TensorFlow error that names it.
        """
        augment = views.with_crop(augment, crop)
        self._check(batch_size, augment is not None and augment.crop is not None)
        import tensorflow as tf

        count = len(self)
        used = count // batch_size * batch_size
        batches = self._view_alone(augment) if self.size is None else self._view_together(augment)

        def epoch_data(epoch: int) -> tf.data.Dataset:
            with tf.device("CPU:0"):
                chosen, draws = views.plan(count, seed, int(epoch))
                slices = tf.cast(chosen[:used], tf.int64), draws[:used]
                return batches(tf.data.Dataset.from_tensor_slices(slices), batch_size).prefetch(2)

        return epoch_data

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Every picture once, in order: (uint8 ``[B, H, W, 3]``, uint8 ``[B, H, W]``); the last may be short.

        Raises:
            DataError: different sizes, and a batch of more than one.
        """
        import tensorflow as tf

        self._check(batch_size, batch_size == 1, least=1)
        with tf.device("CPU:0"):
            data = tf.data.Dataset.range(len(self)).map(self._load, num_parallel_calls=_READERS)
            return data.batch(batch_size).prefetch(2)

    def one_size(self) -> tuple[int, int]:
        """(height, width) of all pictures.

        Raises:
            DataError: they differ.
        """
        if self.size is None:
            raise DataError(
                f"{self._folder.root}: the pictures have {len(set(self.sizes))} different sizes. Bring them "
                "to one with --size HEIGHTxWIDTH, or train on random crops with --crop HEIGHTxWIDTH (in "
                "Python: size=... or crop=..., and a batch of 1 to score them)."
            )
        return self.size

    def _check(self, batch_size, sizes_may_differ, least=None):
        if batch_size < 1:
            raise DataError(f"batch_size={batch_size!r}: must be at least 1.")
        if len(self) < (least or batch_size):
            raise DataError(
                f"batch_size={batch_size}, but there are only {len(self)} pictures: use at most {len(self)}."
            )
        if not sizes_may_differ:
            self.one_size()

    def _view_alone(self, augment):
        """Batches of pictures of different sizes: a view of each, and then a batch."""
        import tensorflow as tf

        @tf.function
        def one(index, draws):
            image, labels = self._load(index)
            images, labels = augment.view(image[None], labels[None], draws[None])
            return tf.ensure_shape(images[0], [*augment.crop, 3]), tf.ensure_shape(labels[0], augment.crop)

        def batches(data, batch_size):
            return data.map(one, num_parallel_calls=_READERS).batch(batch_size, drop_remainder=True)

        return batches

    def _view_together(self, augment):
        """Batches of pictures of one size: first a batch, as `epochs` does, and then the views of all."""
        import tensorflow as tf

        @tf.function
        def one(index, draws):
            return *self._load(index), draws

        @tf.function
        def view(images, labels, draws):
            if augment is None:
                return images, labels
            size = [images.shape[0], *(augment.crop or self.size)]
            images, labels = augment.view(images, labels, draws)
            return tf.ensure_shape(images, [*size, 3]), tf.ensure_shape(labels, size)

        def batches(data, batch_size):
            data = data.map(one, num_parallel_calls=_READERS).batch(batch_size, drop_remainder=True)
            return data.map(view, num_parallel_calls=_VIEWERS)

        return batches

    def _load(self, index):
        import tensorflow as tf

        image, labels = tf.numpy_function(self.__getitem__, [index], (tf.uint8, tf.uint8), stateful=False)
        size = self.size or (None, None)
        return tf.ensure_shape(image, [*size, 3]), tf.ensure_shape(labels, size)

    def _cached(self, index):
        height, width = self.sizes[index]
        with open(self._cache, "rb") as file:
            file.seek(self._starts[index])
            content = np.frombuffer(file.read(4 * height * width), np.uint8)
        colors = 3 * height * width
        return content[:colors].reshape(height, width, 3), content[colors:].reshape(height, width)

    def _fill(self):
        """The file of all pictures and masks, one after the other; it is made unless it is there."""
        target = cache_folder() / "streams" / f"{self._digest()}.bin"
        if target.is_file() and target.stat().st_size == self.nbytes:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < self.nbytes:
            raise DataError(
                f"{target.parent}: the cache needs {self.nbytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
                "free. Choose another place by SEGCOURSE_DATA, give a smaller --size, or no cache."
            )
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:

                def write(pair):
                    for array in self._folder.read(pair, self._to):
                        file.write(array.tobytes())

                every(write, self._pairs)
            os.replace(part, target)
        except BaseException:
            os.unlink(part)
            raise
        return target

    def _digest(self):
        """Changes with any file, and with the size."""
        told = hashlib.sha256(repr((self._to, self._folder.spec())).encode())
        for path in (path for pair in self._pairs for path in pair):
            state = path.stat()
            told.update(repr((str(path.resolve()), state.st_mtime_ns, state.st_size)).encode())
        return told.hexdigest()[:32]

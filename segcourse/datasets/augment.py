"""Random training views of a picture and its mask, and batches of them.

Everything random is a pure function of (seed, epoch, index of the picture): a training that is resumed at
epoch k sees exactly the data that an uninterrupted one sees there. TensorFlow is imported inside the
functions, so that listing data sets stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from segcourse.datasets.errors import DataError
from segcourse.datasets.labels import VOID
from segcourse.datasets.prompt import prompt

if TYPE_CHECKING:
    import tensorflow as tf

# Columns of the table of random numbers, one row per picture.
_FLIP, _SCALE, _TOP, _LEFT, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _BLUR = range(9)
_DRAWS = 9

_LUMA = (0.299, 0.587, 0.114)
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_BLUR_RADIUS = 2


@dataclass(frozen=True)
class Augment:
    """A random view: flip, scale, crop, colour, blur. Picture and mask always move together.

    Call it with a picture and its mask, or with a batch of both. Where the view reaches beyond the picture,
    the picture repeats its edge and the mask says 255 (void). Masks are looked up by nearest neighbour only.

    Args:
        flip: mirror left and right in half of the cases.
        scale: (smallest, largest) enlargement, drawn evenly on a logarithmic scale.
        crop: (height, width) of the result; None keeps the size of the picture.
        brightness: largest shift, as a share of the full range.
        contrast: largest relative change of the distance to the mean colour of the picture.
        saturation: largest relative change of the distance to grey.
        hue: largest turn of the hue, in turns (0.5 would be the complementary colour).
        blur: largest standard deviation of the Gaussian blur, in pixels; half of the pictures stay sharp.
    """

    flip: bool = True
    scale: tuple[float, float] = (0.75, 1.5)
    crop: tuple[int, int] | None = None
    brightness: float = 0.15
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    blur: float = 0.7

    def __post_init__(self):
        low, high = self.scale
        if not 0 < low <= high:
            raise DataError(f"scale={self.scale!r}: give (smallest, largest) with 0 < smallest <= largest.")
        if self.crop is not None and min(self.crop) < 1:
            raise DataError(f"crop={self.crop!r}: height and width must be at least 1.")
        for name in ("brightness", "contrast", "saturation", "hue", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name}={getattr(self, name)!r}: must be between 0 (off) and 1.")

    def __call__(
        self, image: tf.Tensor, mask: tf.Tensor, seed: tuple[int, int] = (0, 0)
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One random view of a picture uint8 ``[H, W, 3]`` and its mask ``[H, W]``, or of a batch of both.

        Args:
            image: RGB in 0..255.
            mask: class ids.
            seed: two integers; the same seed gives the same view.

        Returns:
            image and mask, uint8, of the size ``crop``.
        """
        import tensorflow as tf

        image, mask = tf.convert_to_tensor(image), tf.convert_to_tensor(mask)
        if image.shape.rank == 4:
            return self.view(image, mask, _draws(tf.shape(image)[0], seed))
        image, mask = self.view(image[None], mask[None], _draws(1, seed))
        return image[0], mask[0]

    def view(self, images: tf.Tensor, masks: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The views of a batch that a table of random numbers asks for.

        Args:
            images: uint8 ``[B, H, W, 3]``.
            masks: uint8 ``[B, H, W]``.
            draws: float32 ``[B, 9]`` in [0, 1), one row per picture.

        Returns:
            uint8 ``[B, h, w, 3]`` and uint8 ``[B, h, w]``.
        """
        import tensorflow as tf

        images, masks = tf.convert_to_tensor(images), tf.convert_to_tensor(masks)
        draws = tf.convert_to_tensor(draws, tf.float32)
        images, masks = self._move(images, masks, draws)
        images = self._recolor(images, draws)
        if self.blur:
            images = _blur(images, self.blur * tf.maximum(2 * draws[:, _BLUR] - 1, 0))
        return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8), masks

    def _move(self, images, masks, draws):
        """Flip, scale and crop as one lookup per result pixel; the images come back as float32."""
        import tensorflow as tf

        height, width = tf.shape(images)[1], tf.shape(images)[2]
        size = tf.constant(self.crop) if self.crop else tf.shape(images)[1:3]
        down, top = _axis(self._zoom(draws), height, size[0], draws[:, _TOP])
        across, left = _axis(self._zoom(draws), width, size[1], draws[:, _LEFT])
        if self.flip:
            mirrored = draws[:, _FLIP] < 0.5
            left = tf.where(mirrored, tf.cast(width, tf.float32) - 1 - left, left)
            across = tf.where(mirrored, -across, across)
        zero = tf.zeros_like(top)
        transforms = tf.stack([across, zero, left, zero, down, top, zero, zero], axis=1)

        def look_up(values, interpolation, fill_mode):
            return tf.raw_ops.ImageProjectiveTransformV3(
                images=values, transforms=transforms, output_shape=size,
                interpolation=interpolation, fill_mode=fill_mode, fill_value=float(VOID),
            )  # fmt: skip

        moved = look_up(tf.cast(images, tf.float32), "BILINEAR", "NEAREST")
        return moved, look_up(masks[..., None], "NEAREST", "CONSTANT")[..., 0]

    def _zoom(self, draws):
        import tensorflow as tf

        low, high = np.log(self.scale)
        return tf.exp(low + (high - low) * draws[:, _SCALE])

    def _recolor(self, images, draws):
        """Saturation and hue, then contrast and brightness: one 3x3 matrix and one shift per picture."""
        import tensorflow as tf

        def spread(column, limit):
            return limit * (2 * draws[:, column] - 1)

        matrix = _hue_matrix(2 * np.pi * spread(_HUE, self.hue)) @ _saturation_matrix(
            1 + spread(_SATURATION, self.saturation)
        )
        contrast = (1 + spread(_CONTRAST, self.contrast))[:, None, None]
        mean = tf.reduce_mean(images, axis=[1, 2])[:, None, :]
        shift = mean @ tf.linalg.matrix_transpose(matrix) * (1 - contrast)
        shift += 255 * spread(_BRIGHTNESS, self.brightness)[:, None, None]
        shape = tf.shape(images)
        flat = tf.reshape(images, [shape[0], -1, 3])
        return tf.reshape(flat @ tf.linalg.matrix_transpose(contrast * matrix) + shift, shape)


def pipeline(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    augment: Augment | None = None,
    shuffle: bool = False,
    seed: int = 0,
    repeat: bool = False,
    crop: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Batches of pictures and masks.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        labels: uint8 ``[N, H, W]``.
        batch_size: pictures in a batch.
        augment: random views instead of the pictures themselves.
        shuffle: a new order in every epoch.
        seed: of order and views.
        repeat: epoch after epoch without end, each with new views and order; else one epoch.
        crop: (height, width) of a random crop; replaces ``augment.crop``.

    Returns:
        a ``tf.data.Dataset`` of (uint8 ``[B, h, w, 3]``, uint8 ``[B, h, w]``). When it shuffles, augments,
        crops or repeats, it is for training: only full batches, so that one trace serves all. Otherwise
        every picture comes once, in order.
    """
    import tensorflow as tf

    training = shuffle or repeat or augment is not None or crop is not None
    if training:
        batches = _Batches(images, labels, batch_size, with_crop(augment, crop), shuffle, seed)
        steps = tf.data.Dataset.counter() if repeat else tf.data.Dataset.range(batches.per_epoch)
        return batches.dataset(steps)
    _check_arrays(images, labels, batch_size)
    with tf.device("CPU:0"):
        return prompt(tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size).prefetch(2))


def epochs(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    augment: Augment | None = None,
    seed: int = 0,
    crop: tuple[int, int] | None = None,
) -> Callable[[int], tf.data.Dataset]:
    """Shuffled training data by epoch: call the result with 0, 1, 2, ... for the dataset of that epoch.

    Epoch e is always the same, whatever was drawn before, and equals epoch e of ``pipeline(..., shuffle=True,
    repeat=True)``. All epochs share one trace. Arguments as for :func:`pipeline`.
    """
    import tensorflow as tf

    batches = _Batches(images, labels, batch_size, with_crop(augment, crop), True, seed)

    def epoch_data(epoch: int) -> tf.data.Dataset:
        first = int(epoch) * batches.per_epoch
        return batches.dataset(tf.data.Dataset.range(first, first + batches.per_epoch))

    return epoch_data


class _Batches:
    """Batch k of an endless training, as a pure function of k."""

    def __init__(self, images, labels, batch_size, augment, shuffle, seed):
        import tensorflow as tf

        _check_arrays(images, labels, batch_size)
        self.count, self.size = len(images), batch_size
        self.per_epoch = self.count // batch_size
        if not self.per_epoch:
            raise DataError(
                f"batch_size={batch_size}, but there are only {self.count} pictures: use at most "
                f"{self.count}."
            )
        self.augment, self.shuffle, self.seed = augment, shuffle, seed
        with tf.device("CPU:0"):
            self.images, self.labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
        self._batch = tf.function(self._make, input_signature=[tf.TensorSpec([], tf.int64)])

    def dataset(self, steps: tf.data.Dataset) -> tf.data.Dataset:
        import tensorflow as tf

        batches = steps.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return prompt(batches.prefetch(2))

    def _make(self, step):
        import tensorflow as tf

        epoch, first = step // self.per_epoch, step % self.per_epoch * self.size
        order = _order(self.count, self.seed, epoch) if self.shuffle else tf.range(self.count)
        chosen = tf.ensure_shape(order[first : first + self.size], [self.size])
        images, labels = tf.gather(self.images, chosen), tf.gather(self.labels, chosen)
        if self.augment is None:
            return images, labels
        draws = tf.gather(_draws(self.count, (self.seed, 2 * epoch)), chosen)
        images, labels = self.augment.view(images, labels, draws)
        height, width = self.augment.crop or self.images.shape[1:3]
        return tf.ensure_shape(images, [self.size, height, width, 3]), tf.ensure_shape(
            labels, [self.size, height, width]
        )


def plan(count: int, seed: int, epoch: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What is random in an epoch of :func:`epochs`, for data that are read in another way.

    Returns:
        the order, int32 ``[count]``, and in that order the table for :meth:`Augment.view`, ``[count, 9]``.
    """
    import tensorflow as tf

    chosen = _order(count, seed, epoch)
    return chosen, tf.gather(_draws(count, (seed, 2 * epoch)), chosen)


def _draws(count, seed):
    """float32 ``[count, 9]`` in [0, 1); Philox by name, because the default depends on the device."""
    import tensorflow as tf

    return tf.random.stateless_uniform([count, _DRAWS], _key(seed), alg="philox")


def _order(count, seed, epoch):
    """A permutation of ``count``; odd keys, while the views have the even ones."""
    import tensorflow as tf

    values = tf.random.stateless_uniform([count], _key((seed, 2 * epoch + 1)), dtype=tf.float64, alg="philox")
    return tf.argsort(values, stable=True)


def _key(seed):
    import tensorflow as tf

    return tf.stack([tf.cast(part, tf.int64) for part in seed])


def _axis(zoom, length, result, draw):
    """Per picture: slope and offset of source position = slope * result position + offset, in pixel indices.

    The window is put at a whole pixel of the zoomed picture, so that zoom 1 copies pixels exactly.
    """
    import tensorflow as tf

    room = zoom * tf.cast(length, tf.float32) - tf.cast(result, tf.float32)
    return 1 / zoom, (tf.round(draw * room) + 0.5) / zoom - 0.5


def _saturation_matrix(amount):
    import tensorflow as tf

    grey = tf.constant([_LUMA] * 3)
    return amount[:, None, None] * (tf.eye(3) - grey) + grey


def _hue_matrix(angle):
    """Rotation of the two colour axes of YIQ, expressed in RGB: float32 ``[B, 3, 3]``."""
    import tensorflow as tf

    to_yiq = tf.constant(_RGB_TO_YIQ)
    zero, one, cos, sin = tf.zeros_like(angle), tf.ones_like(angle), tf.cos(angle), tf.sin(angle)
    turn = tf.stack(
        [tf.stack([one, zero, zero], 1), tf.stack([zero, cos, -sin], 1), tf.stack([zero, sin, cos], 1)], 1
    )
    return tf.linalg.inv(to_yiq) @ turn @ to_yiq


def _blur(images, sigma):
    """Gaussian blur with its own standard deviation (pixels) per picture: float32 ``[B, H, W, 3]``."""
    import tensorflow as tf

    taps = tf.range(-_BLUR_RADIUS, _BLUR_RADIUS + 1, dtype=tf.float32)
    weights = tf.exp(-(taps**2) / (2 * tf.maximum(sigma, 1e-3)[:, None] ** 2))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    for axis in (1, 2):
        images = _weighted_shifts(images, weights, axis)
    return images


def _weighted_shifts(images, weights, axis):
    import tensorflow as tf

    length = tf.shape(images)[axis]
    first, last = (
        tf.gather(images, [0] * _BLUR_RADIUS, axis=axis),
        tf.gather(images, [length - 1] * _BLUR_RADIUS, axis=axis),
    )
    padded = tf.concat([first, images, last], axis)
    total = tf.zeros_like(images)
    for tap in range(2 * _BLUR_RADIUS + 1):
        window = padded[:, tap : tap + length] if axis == 1 else padded[:, :, tap : tap + length]
        total += weights[:, tap, None, None, None] * window
    return total


def with_crop(augment: Augment | None, crop: tuple[int, int] | None) -> Augment | None:
    """The view with another crop; a crop alone is a view that changes nothing else."""
    if crop is None:
        return augment
    if augment is None:
        augment = Augment(False, (1.0, 1.0), brightness=0, contrast=0, saturation=0, hue=0, blur=0)
    return replace(augment, crop=tuple(crop))


def _check_arrays(images, labels, batch_size):
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(
            f"images: got {images.dtype} {images.shape}, need uint8 [N, H, W, 3] with values 0..255."
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:3]:
        raise DataError(
            f"labels: got {labels.dtype} {labels.shape}, need uint8 {images.shape[:3]} (one id per pixel of "
            "the images)."
        )
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size!r}: must be at least 1.")

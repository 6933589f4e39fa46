"""The 2x2 windows of a feature map: odd sides, repetition, and how TensorFlow numbers maxima (lesson 06)."""

from __future__ import annotations

from typing import Any

from keras import ops


def make_even(x: Any) -> Any:
    """Repeat the last row or column of [B, H, W, C] where their number is odd.

    A copy comes second in its window, so of equal values it is never the first.
    """
    height, width = ops.shape(x)[1:3]
    if not isinstance(height, int) or height % 2:
        x = ops.concatenate([x, x[:, height - height % 2 :]], axis=1)
    if not isinstance(width, int) or width % 2:
        x = ops.concatenate([x, x[:, :, width - width % 2 :]], axis=2)
    return x


def repeat(values: Any) -> Any:
    """Each value of [B, h, w, C] at the four places of its window: [B, 2h, 2w, C].

    Where the size is known beforehand, by an operator that is fast and that a mobile GPU has.
    """
    height, width = ops.shape(values)[1:3]
    if isinstance(height, int) and isinstance(width, int):
        size = (2 * height, 2 * width)
        return ops.image.resize(values, size, interpolation="nearest", data_format="channels_last")
    return ops.repeat(ops.repeat(values, 2, axis=1), 2, axis=2)


def flat_indices(indices: Any, size: tuple[int, int]) -> Any:
    """The indices in the form of `tf.nn.max_pool_with_argmax` and TensorFlow Addons' `MaxUnpooling2D`.

    Args:
        indices: integers 0..3, [B, h, w, C], of a `MaxPoolingWithIndices2D`.
        size: (H, W) of the tensor that was pooled.

    Returns:
        int32 [B, h, w, C]: (row * W + column) * C + channel of each maximum in its image [H, W, C].
    """
    height, width, channels = indices.shape[1:]
    row = 2 * ops.arange(height, dtype="int32")[:, None, None] + indices // 2
    column = 2 * ops.arange(width, dtype="int32")[:, None] + indices % 2
    return (row * size[1] + column) * channels + ops.arange(channels, dtype="int32")

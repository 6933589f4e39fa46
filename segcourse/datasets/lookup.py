"""Values of pictures at places between their pixels. TensorFlow is imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def look_up(values: tf.Tensor, at: tf.Tensor, nearest: bool = False) -> tf.Tensor:
    """Look pictures up at places of their own; beyond the edge stands the pixel at the edge.

    Args:
        values: [B, H, W, C] of any dtype.
        at: float32 [B, h, w, 2], row and column of every place, in pixels.
        nearest: take the nearest pixel instead of interpolating linearly between the four around the place.

    Returns:
        [B, h, w, C]; with `nearest` in the dtype of `values`, else float32.
    """
    import tensorflow as tf

    count, height, width, channels = (tf.shape(values)[i] for i in range(4))
    ends = tf.stack([height, width]) - 1

    def take(place):
        place = tf.clip_by_value(place, 0, ends)
        flat = tf.reshape(values, [count, -1, channels])
        return tf.gather(flat, place[..., 0] * width + place[..., 1], batch_dims=1)

    return take(tf.cast(tf.round(at), tf.int32)) if nearest else _between(take, at)


def _between(take, at):
    """Linear interpolation between the four pixels around each place `at`; `take` looks pixels up."""
    import tensorflow as tf

    corner = tf.floor(at)
    down, right = tf.split(at - corner, 2, axis=-1)
    corners = [tf.cast(corner, tf.int32) + step for step in ([0, 0], [0, 1], [1, 0], [1, 1])]
    a, b, c, d = (tf.cast(take(place), tf.float32) for place in corners)
    return (1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d)

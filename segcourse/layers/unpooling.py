"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import keras
from keras import ops


def split_windows(x):
    """The four places of every 2x2 window of [B, H, W, C], H and W even: a list of four [B, H/2, W/2, C].

    Their order: top left, top right, bottom left, bottom right.
    """
    height, width, channels = ops.shape(x)[1:]
    rows = ops.reshape(x, (-1, height // 2, 2 * width, channels))  # an upper row, then the row below it
    places = []
    for row in (rows[:, :, :width], rows[:, :, width:]):
        pairs = ops.reshape(row, (-1, height // 2, width // 2, 2 * channels))
        places += [pairs[..., :channels], pairs[..., channels:]]
    return places


def join_windows(places):
    """The inverse of `split_windows`: four tensors [B, h, w, C] become one, [B, 2h, 2w, C]."""
    height, width, channels = ops.shape(places[0])[1:]
    upper, lower = (
        ops.reshape(ops.concatenate(pair, axis=-1), (-1, height, 2 * width, channels))
        for pair in (places[:2], places[2:])
    )
    rows = ops.concatenate([upper, lower], axis=2)
    return ops.reshape(rows, (-1, 2 * height, 2 * width, channels))


@keras.saving.register_keras_serializable(package="segcourse")
class MaxPoolingWithIndices2D(keras.layers.Layer):
    """2x2 max pooling that also tells where each maximum stood (Badrinarayanan et al. 2015, section 3).

    Called with [B, H, W, C] it returns the maxima and their indices, both [B, h, w, C] with
    h = ceil(H / 2), as in Caffe: a window that sticks out over the edge counts too. An index, int32, is
    the place in the window: 0 top left, 1 top right, 2 bottom left, 3 bottom right. Of equal values the
    first wins.
    """

    def call(self, x):
        pooled = ops.max_pool(x, 2, 2, padding="same")
        largest = ops.stop_gradient(pooled)
        first, second, third, _ = split_windows(_even(ops.stop_gradient(x)))
        third_or_fourth = 2 + ops.cast(third != largest, "int32")
        not_first = ops.where(second == largest, ops.ones_like(third_or_fourth), third_or_fourth)
        return pooled, ops.where(first == largest, ops.zeros_like(not_first), not_first)

    def compute_output_spec(self, x):
        batch, height, width, channels = x.shape
        shape = (batch, height and -(-height // 2), width and -(-width // 2), channels)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, "int32")


def _even(x):
    """Repeat the last row or column where their number is odd: a copy comes second and never wins."""
    height, width = ops.shape(x)[1:3]
    if not isinstance(height, int) or height % 2:
        x = ops.concatenate([x, x[:, height - height % 2 :]], axis=1)
    if not isinstance(width, int) or width % 2:
        x = ops.concatenate([x, x[:, :, width - width % 2 :]], axis=2)
    return x


def _repeat(values):
    """Every value at the four places of its window; the faster way needs sizes that are known beforehand."""
    height, width = ops.shape(values)[1:3]
    if isinstance(height, int) and isinstance(width, int):
        size = (2 * height, 2 * width)
        return ops.image.resize(values, size, interpolation="nearest", data_format="channels_last")
    return join_windows([values] * 4)


@keras.saving.register_keras_serializable(package="segcourse")
class MaxUnpooling2D(keras.layers.Layer):
    """Put every value back where the maximum stood; all else is 0 (Badrinarayanan et al. 2015, Fig. 3).

    Call it with the values [B, h, w, C], the indices [B, h, w, C] of a `MaxPoolingWithIndices2D`, and the
    tensor that was pooled, [B, H, W, any], of which only the size is used. The result is [B, H, W, C].

    It needs no scatter: values are repeated over their windows and kept where a mask tells the place of
    the maximum. All tensors have rank 4, and a mobile GPU has all operators.
    """

    def call(self, values, indices, like):
        mask = join_windows([indices == place for place in range(4)])
        height, width = ops.shape(like)[1:3]
        return ops.where(mask, _repeat(values), 0)[:, :height, :width]

    def compute_output_spec(self, values, indices, like):
        return keras.KerasTensor((*like.shape[:3], values.shape[-1]), self.compute_dtype)


def flat_indices(indices, size):
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

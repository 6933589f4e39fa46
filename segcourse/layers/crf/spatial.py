"""The Gaussian filter over positions alone: exact, as two products with small matrices."""

from keras import ops

from segcourse.layers.crf.exact import check_bandwidths


def line_kernel(length, sigma):
    """The Gaussian between the pixels of a row or column, `exp(-(i - j)^2 / (2 sigma^2))`: float32 [n, n]."""
    place = ops.cast(ops.arange(length), "float32") / sigma
    return ops.exp(-0.5 * ops.square(place[:, None] - place[None, :]))


class SpatialFilter:
    """The exact Gaussian filter over positions: down the columns, then along the rows.

    Called with values [B, H, W, C] it gives the sum over all pixels j of `exp(-|p_i - p_j|^2 / (2 sigma^2))
    values[j]`, float32 [B, H, W, C]: that of `ExactFilter(position_features(height, width, sigma))`, but with
    H + W products a value instead of H W.

    Args:
        height, width: of the images, in pixels; whole numbers or scalar tensors.
        sigma: the bandwidth in pixels.

    Raises ValueError unless `sigma` is finite and positive.
    """

    def __init__(self, height, width, sigma):
        check_bandwidths(sigma=sigma)
        self.columns = line_kernel(height, sigma)
        self.rows = line_kernel(width, sigma)

    def __call__(self, values):
        batch, height, width, channels = ops.shape(values)
        values = ops.reshape(ops.cast(values, "float32"), [batch, height, width * channels])
        values = ops.reshape(ops.matmul(self.columns, values), [batch, height, width, channels])
        return ops.matmul(self.rows, values)

"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

import math

import numpy as np
from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.exact import check_bandwidths

REACH = 5.5  # bandwidths; of the Gaussian on a line 4e-8 lie beyond, less than a float32 can tell


def gaussian_taps(sigma, length=None):
    """The Gaussian `exp(-t^2 / (2 sigma^2))` at the whole numbers t, float32 [2 r + 1].

    The radius r is `REACH` bandwidths, or `length - 1` if that is less: all that a line of `length` pixels
    needs. A length that is not known yet, None or a tensor, sets no limit.
    """
    radius = math.ceil(REACH * sigma)
    if isinstance(length, int):
        radius = min(radius, length - 1)
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype("float32")


class SpatialFilter:
    """The exact Gaussian filter over positions: down the columns, then along the rows.

    Called with values [B, H, W, C] it gives the sum over all pixels j of `exp(-|p_i - p_j|^2 / (2 sigma^2))
    values[j]`, float32 [B, H, W, C]: that of `ExactFilter(position_features(height, width, sigma))` to
    float32 precision, because the Gaussian of (x, y) is the product of those of x and of y.

    Args:
        height, width: of the images, in pixels; whole numbers, or scalar tensors.
        sigma: the bandwidth in pixels; ValueError unless it is finite and positive.
    """

    def __init__(self, height, width, sigma):
        check_bandwidths(sigma=sigma)
        self.down, self.along = gaussian_taps(sigma, height), gaussian_taps(sigma, width)

    def _filter(self, values):
        if crf_kernels.available():
            return crf_kernels.separable_filter(values, self.down, self.along)
        channels = values.shape[-1]
        for taps in (self.down[:, None, None, None], self.along[None, :, None, None]):
            kernel = np.tile(taps, [1, 1, channels, 1])
            values = ops.depthwise_conv(values, kernel, padding="same", data_format="channels_last")
        return values

    def __call__(self, values):
        @ops.custom_gradient
        def both_ways(values):
            def gradient(*args, upstream=None):
                return self._filter(args[0] if upstream is None else upstream)  # k(i, j) = k(j, i)

            return self._filter(values), gradient

        return both_ways(ops.cast(values, "float32"))

"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

import math

import numpy as np
from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.exact import check_bandwidths
from segcourse.layers.crf.gradients import symmetric

REACH = 5.5  # bandwidths; of the Gaussian on a line 4e-8 lie beyond, less than a float32 can tell


def gaussian_taps(sigma, length=None):
    """The Gaussian `exp(-t^2 / (2 sigma^2))` at whole numbers t up to `REACH` bandwidths: float32 [2 r + 1].

    A line of `length` pixels needs no more than length - 1; None or a tensor, not known yet, sets no limit.
    """
    radius = math.ceil(REACH * sigma)
    if isinstance(length, int):
        radius = min(radius, length - 1)
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype("float32")


class SpatialFilter:
    """The exact Gaussian filter over positions: down the columns, then along the rows.

    Called with values [B, H, W, C] it gives what `ExactFilter(position_features(height, width, sigma))` does,
    to float32 precision. `height` and `width` in pixels may be scalar tensors; `sigma` in pixels is positive.
    """

    def __init__(self, height, width, sigma):
        check_bandwidths(sigma=sigma)
        self.down, self.along = gaussian_taps(sigma, height), gaussian_taps(sigma, width)

    def __call__(self, values):
        return symmetric(self._filter, ops.cast(values, "float32"))

    def _filter(self, values):
        if crf_kernels.available():
            return crf_kernels.separable_filter(values, self.down, self.along)
        channels = values.shape[-1]
        for taps in (self.down[:, None, None, None], self.along[None, :, None, None]):
            kernel = np.tile(taps, [1, 1, channels, 1])
            values = ops.depthwise_conv(values, kernel, padding="same", data_format="channels_last")
        return values

"""Generated from notebooks/01_fcn.ipynb. Edit the lesson, then run make export.

Lesson 01 · FCN: a classifier that labels every pixel.
"""

from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class CoordMap:
    """Where the pixels of a feature map lie in the image: the centre of pixel i is at `stride * i + shift`.

    The image itself is `CoordMap()`; stride and shift are in its pixels. Each method gives the map after one
    more layer, whose sizes are in pixels of its own input (`crop`: of its output).
    """

    stride: float = 1.0
    shift: float = 0.0

    def conv(self, kernel, pad=0, stride=1):
        """After a convolution or pooling of this kernel size, padding at the first side, and stride."""
        return CoordMap(self.stride * stride, self.shift + self.stride * ((kernel - 1) / 2 - pad))

    def deconv(self, kernel, stride, crop=0):
        """After a transposed convolution of which `crop` pixels are cut off at each side."""
        finer = self.stride / stride
        return CoordMap(finer, self.shift - finer * ((kernel - 1) / 2 - crop))


def crop_offset(larger, smaller):
    """The pixel of map `larger` that lies on pixel 0 of map `smaller`: crop there, and the two are aligned.

    Raises:
        ValueError: if the strides differ or no pixel lies there: then these two maps cannot be added.
    """
    offset = (smaller.shift - larger.shift) / larger.stride
    if larger.stride != smaller.stride or offset < 0 or offset != int(offset):
        raise ValueError(
            f"{larger} cannot be cropped to {smaller}: equal strides and a whole offset >= 0 are needed, "
            f"got {offset}."
        )
    return int(offset)


@keras.saving.register_keras_serializable(package="segcourse")
class Crop(keras.Layer):
    """Cut the first map [B, H, W, C] to the height and width of the second, from pixel `offset` on."""

    def __init__(self, offset=0, **kwargs):
        super().__init__(**kwargs)
        self.offset = offset

    def call(self, inputs):
        x, like = inputs
        height, width = ops.shape(like)[1:3]
        return x[:, self.offset : self.offset + height, self.offset : self.offset + width]

    def compute_output_shape(self, input_shape):
        x, like = input_shape
        return (x[0], like[1], like[2], x[3])

    def get_config(self):
        return {**super().get_config(), "offset": self.offset}

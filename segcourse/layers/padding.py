"""Zeros around maps: up to a grid on which the last score reaches the last pixel, or as a frame."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="segcourse")
class PadToGrid(keras.Layer):
    """Zeros at the bottom and right of a map [B, H, W, C]: each side becomes `stride` * n + `extra`.

    n is the smallest number with which scores at pixels 0, `stride`, ..., n * `stride` reach the last one.
    """

    def __init__(self, stride: int = 8, extra: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.stride, self.extra = stride, extra

    def padded(self, side: int | None) -> int | None:
        """The side after padding; None, a side that is not known yet, stays None."""
        return None if side is None else (side - 2 + self.stride) // self.stride * self.stride + self.extra

    def call(self, x: Any) -> Any:
        height, width = (self.padded(side) for side in ops.shape(x)[1:3])
        return ops.pad(x, ((0, 0), (0, self.stride), (0, self.stride), (0, 0)))[:, :height, :width]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (batch, self.padded(height), self.padded(width), channels)

    def get_config(self) -> dict:
        return {**super().get_config(), "stride": self.stride, "extra": self.extra}


def frame_of_zeros(x: Any, name: str) -> Any:
    """A frame of zeros around a map of values >= 0, for the pooling that follows.

    The ReLU changes nothing. It keeps mobile GPUs from merging padding and pooling, which they do wrongly.
    """
    return layers.ReLU(name=f"{name}_apart")(layers.ZeroPadding2D(1, name=name)(x))

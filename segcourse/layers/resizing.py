"""Resizing a map by a factor, or to the size of another map."""

from fractions import Fraction

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="segcourse")
class Resize(keras.Layer):
    """Resize a map [B, H, W, C] bilinearly: by a factor, or to the height and width of a second map.

    Pixels are areas, as in most image libraries: the corners of the images meet, not the centres of their
    corner pixels. A smaller map is sampled, not smoothed.

    Args:
        factor: each side becomes round(factor * side). None: the layer is called on [x, like].
    """

    def __init__(self, factor: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def _scaled(self, side):
        n, d = Fraction(self.factor).limit_denominator(1000).as_integer_ratio()
        return None if side is None else (side * n + d // 2) // d

    def call(self, inputs):
        x, like = (inputs, None) if self.factor else inputs
        sides = ops.shape(x if like is None else like)[1:3]
        return ops.image.resize(x, tuple(map(self._scaled, sides)) if like is None else sides)

    def compute_output_shape(self, input_shape):
        if self.factor:
            batch, height, width, channels = input_shape
            return (batch, self._scaled(height), self._scaled(width), channels)
        x, like = input_shape
        return (x[0], like[1], like[2], x[3])

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

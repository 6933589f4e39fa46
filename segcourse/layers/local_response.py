"""Local response normalisation, with which the released SegNet-Basic begins (lesson 06)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="segcourse")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by the strength of its pixel's channels: SegNet-Basic's first layer.

    y_c = x_c / (1 + alpha / n * sum of x_k^2 over the n channels around c) ^ beta (Krizhevsky et al. 2012,
    section 3.3; with the division by n as in Caffe, which TensorFlow's own operator leaves out).

    Args:
        channels: n, the number of neighbouring channels, odd.
        alpha, beta: as in the formula; the defaults are the released network's.
    """

    def __init__(self, channels=5, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.alpha, self.beta = channels, alpha, beta

    def call(self, x):
        # Scaled before squaring: 255^2 summed over the channels would be too large for float16.
        squares = ops.square(x * (self.alpha / self.channels) ** 0.5)
        place = ops.arange(x.shape[-1], dtype="int32")
        near = ops.abs(place[:, None] - place[None, :]) <= self.channels // 2
        total = ops.conv(squares, ops.cast(near, squares.dtype)[None, None])
        return x * ops.power(1 + total, -self.beta)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "alpha": self.alpha,
            "beta": self.beta,
        }

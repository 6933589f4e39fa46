"""Generated from notebooks/05_parsenet.ipynb. Edit the lesson, then run make export.

Lesson 05 · ParseNet: the whole picture has a say in every pixel.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="segcourse")
class L2Normalization(keras.layers.Layer):
    """y_c = scale_c * x_c / sqrt(sum over channels k of x_k^2 + epsilon), at each pixel (Liu et al. 2015).

    x: any numbers [..., C], zeros stay zeros; y: the same shape, its vectors as long as `scale` > 0, that of
    all channels at the start. `epsilon` > 0 is small. In float32: squares may be too large for float16.
    """

    def __init__(self, scale=10.0, epsilon=1e-10, **kwargs):
        super().__init__(**kwargs)
        self.initial_scale, self.epsilon = scale, epsilon

    def build(self, input_shape):
        start = keras.initializers.Constant(self.initial_scale)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=start, name="scale")

    def call(self, x):
        x = ops.cast(x, "float32")
        shrink = ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        # In this order TFLite keeps single operators; x * shrink it would join to one that no mobile GPU has.
        return ops.cast(x * ops.cast(self.scale, "float32") * shrink, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "scale": self.initial_scale, "epsilon": self.epsilon}

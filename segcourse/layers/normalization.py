"""Batch normalisation as Keras does it, in less time."""

from typing import Any

import keras
from keras import ops

from segcourse.kernels.normalization import fused_batch_normalization


@keras.saving.register_keras_serializable(package="segcourse")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own layer, by TensorFlow's fused kernel: same arguments, weights and results.

    The kernel takes 4-D `channels_last` input in float32, float16 or bfloat16. For anything else, and on
    other backends, Keras' own code runs.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs` [B, H, W, C]; the batch's statistics in training also move the stored ones."""
        if mask is None and self._fits_the_kernel(inputs):
            return self._fused(inputs, bool(training and self.trainable))
        return super().call(inputs, training=training, mask=mask)

    def _fits_the_kernel(self, inputs):
        # cuDNN refuses smaller epsilons; `renorm` came with later versions of Keras.
        usual = self.epsilon >= 1.001e-5 and not self.synchronized and not getattr(self, "renorm", False)
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        fits = dtype == self.compute_dtype in ("float32", "float16", "bfloat16") and len(inputs.shape) == 4
        return keras.backend.backend() == "tensorflow" and usual and fits and self.axis in (-1, 3)

    def _fused(self, inputs, training):
        mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma if self.scale else ops.ones_like(mean)
        offset = self.beta if self.center else ops.zeros_like(mean)
        if not training:
            return fused_batch_normalization(inputs, scale, offset, mean, variance, self.epsilon)[0]
        y, batch_mean, batch_variance = fused_batch_normalization(
            inputs, scale, offset, None, None, self.epsilon
        )
        mean.assign(mean * self.momentum + batch_mean * (1 - self.momentum))
        variance.assign(variance * self.momentum + batch_variance * (1 - self.momentum))
        return y

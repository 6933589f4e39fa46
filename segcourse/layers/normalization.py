"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="segcourse")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own layer, computed by TensorFlow's fused kernel: same arguments, weights and results, less time.

    The kernel takes 4-D `channels_last` input in float32, float16 or bfloat16. For anything else, and on other backends, Keras'
    own code runs.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs` [B, H, W, C]; with `training` by the batch's statistics, which also move the stored ones."""
        if mask is None and self._fits_the_kernel(inputs):
            return self._fused(inputs, bool(training and self.trainable))
        return super().call(inputs, training=training, mask=mask)

    def _fits_the_kernel(self, inputs):
        # cuDNN refuses smaller epsilons; `renorm` came with later versions of Keras.
        usual = self.epsilon >= 1.001e-5 and not self.synchronized and not getattr(self, "renorm", False)
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        fits = dtype == self.compute_dtype in ("float32", "float16", "bfloat16")
        return (
            keras.backend.backend() == "tensorflow"
            and usual
            and fits
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
        )

    def _fused(self, inputs, training):
        import tensorflow as tf

        mean, variance = self.moving_mean, self.moving_variance
        normalized, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.convert_to_tensor(self.gamma) if self.scale else ops.ones_like(mean),
            offset=ops.convert_to_tensor(self.beta) if self.center else ops.zeros_like(mean),
            mean=[] if training else ops.convert_to_tensor(mean),
            variance=[] if training else ops.convert_to_tensor(variance),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            # The kernel divides the variance by n - 1, Keras by n.
            count = ops.cast(ops.prod(ops.shape(inputs)[:3]), variance.dtype)
            batch_variance = batch_variance * (ops.maximum(count - 1, 1) / count)
            mean.assign(mean * self.momentum + batch_mean * (1 - self.momentum))
            variance.assign(variance * self.momentum + batch_variance * (1 - self.momentum))
        return normalized

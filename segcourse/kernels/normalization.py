"""Batch normalisation by TensorFlow's fused kernel."""

from typing import Any

from keras import ops


def fused_batch_normalization(
    x: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float
) -> tuple[Any, Any, Any]:
    """Subtract the mean, divide by the standard deviation, scale and shift, in one pass over the memory.

    Args:
        x: tensor [B, H, W, C] in float32, float16 or bfloat16.
        scale, offset: float32 [C].
        mean, variance: float32 [C], or None for the batch's own.
        epsilon: added to the variance; at least 1.001e-5, for cuDNN refuses less.

    Returns:
        the normalised `x`, and mean and biased variance of the batch, float32 [C].
    """
    import tensorflow as tf

    training = mean is None
    y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=ops.convert_to_tensor(scale),
        offset=ops.convert_to_tensor(offset),
        mean=[] if training else ops.convert_to_tensor(mean),
        variance=[] if training else ops.convert_to_tensor(variance),
        epsilon=epsilon,
        is_training=training,
    )
    # The kernel divides the variance by n - 1, Keras by n.
    count = ops.cast(ops.prod(ops.shape(x)[:3]), batch_variance.dtype)
    return y, batch_mean, batch_variance * (ops.maximum(count - 1, 1) / count)

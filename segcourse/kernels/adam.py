"""One step of Adam by TensorFlow's fused kernel."""

from typing import Any

import keras


def fused_adam_step(
    optimizer: keras.optimizers.Adam, gradient: Any, variable: Any, learning_rate: Any
) -> bool:
    """What `Adam.update_step` does to a `tf.Variable`, by one kernel instead of twelve, where that can be.

    It cannot be for sparse gradients, other precisions than float32, AMSGrad, and more than one device; nor
    with a Keras that keeps Adam's running means in another way, for that is not part of its public API.

    Returns:
        whether the step is done. If not, nothing has changed, and Keras' own `update_step` has to do it.
    """
    import tensorflow as tf

    plain = isinstance(gradient, tf.Tensor) and gradient.dtype == variable.dtype == tf.float32
    means = _running_means(optimizer, variable)
    if not plain or means is None or optimizer.amsgrad or tf.distribute.has_strategy():
        return False
    step = tf.cast(optimizer.iterations.value + 1, tf.float32)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=means[0].handle,
        v=means[1].handle,
        beta1_power=tf.pow(optimizer.beta_1, step),
        beta2_power=tf.pow(optimizer.beta_2, step),
        lr=tf.cast(learning_rate, tf.float32),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=gradient,
    )
    return True


def _running_means(optimizer, variable):
    """The two `tf.Variable`s that Adam keeps for a weight; None if this Keras does not keep them so."""
    try:
        i = optimizer._get_variable_index(variable)
        means = optimizer._momentums[i].value, optimizer._velocities[i].value
        kinds = {(m.shape, m.dtype, hasattr(m, "handle")) for m in means}
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
    return means if kinds == {(variable.shape, variable.dtype, True)} else None

"""Keras' optimizers with a faster step, and with learning rates of their own for some layers."""

from collections.abc import Mapping

import keras

from segcourse.kernels.adam import fused_adam_step


class _Tuned:
    """Mixed into one of Keras' optimizers by `tuned`.

    Attributes:
        original: the optimizer of Keras that this one is a copy of.
        factors: those of `tuned`.
    """

    original: keras.optimizers.Optimizer
    factors: Mapping[int, float]

    def update_step(self, gradient, variable, learning_rate):
        factor = self.factors.get(id(variable))
        if factor is not None:
            learning_rate = learning_rate * factor
        if not (_has_kernel(self.original) and fused_adam_step(self, gradient, variable, learning_rate)):
            super().update_step(gradient, variable, learning_rate)


def tuned(optimizer: keras.optimizers.Optimizer, factors: Mapping[int, float]) -> keras.optimizers.Optimizer:
    """A copy of an optimizer that does the same, but faster where there is a kernel, and with `factors`.

    It is an optimizer of the same class and has the same state: only its steps are ours. It is made from the
    configuration, so what has more than that (it has trained already, or leaves some weights out of the
    weight decay) cannot be copied.

    Args:
        optimizer: any; one that was tuned before keeps its state and gets the new `factors`.
        factors: on the learning rate of single weights, by the id of the weight.

    Returns:
        the copy; `optimizer` itself if nothing is to be gained, or if it cannot be copied.

    Raises:
        ValueError: there are factors and it cannot be copied.
    """
    if isinstance(optimizer, _Tuned):
        type(optimizer).factors = factors
        return optimizer
    if not factors and not _has_kernel(optimizer):
        return optimizer
    copy = _copy(optimizer, factors)
    if copy is None and factors:
        raise ValueError(
            f"lr_factors cannot be used with this {type(optimizer).__name__}: needed is one of Keras' own "
            "optimizers that has not trained yet. Make a new one, such as keras.optimizers.Adam(1e-3)."
        )
    return optimizer if copy is None else copy


def _has_kernel(optimizer):
    adam = type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad
    return adam and keras.backend.backend() == "tensorflow"


def _copy(optimizer, factors):
    kind = type(optimizer)
    if getattr(keras.optimizers, kind.__name__, None) is not kind:
        return None
    # The factors stay off the object itself, where Keras would track them as part of its state.
    made = type(kind.__name__, (_Tuned, kind), {"original": optimizer, "factors": factors})
    try:
        copy = made.from_config(optimizer.get_config())
    except (TypeError, ValueError):  # a schedule that Keras cannot make from its configuration
        return None
    return copy if vars(copy).keys() == vars(optimizer).keys() else None

"""Networks without values, to count the weights of the largest ones in little memory."""

import math
from collections.abc import Callable

import keras


def blueprint(build: Callable[[], keras.Model]) -> keras.Model:
    """The network that `build` makes; its weights have shapes and no values, so it cannot be run.

    Pass arguments by `functools.partial`: blueprint(partial(resnet, depth=152)).
    """
    with keras.StatelessScope(initialize_variables=False):
        return build()


def trainable(model: keras.Model) -> int:
    """The number of weights that a training changes, also of a blueprint."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)

"""Linear filters whose gradients are known, so that no backend has to find them."""

from collections.abc import Callable
from typing import Any

from keras import ops


def linear(forward: Callable, transposed: Callable) -> Callable:
    """A function that computes `forward(values)`, and its gradient as `transposed(upstream)`.

    Args:
        forward: a linear map of a float32 tensor.
        transposed: what the transposed matrix of that map makes of the gradient that arrives from above.
    """

    @ops.custom_gradient
    def both_ways(values: Any):
        def gradient(*args, upstream=None):
            return transposed(args[0] if upstream is None else upstream)  # backends pass it in either way

        return forward(values), gradient

    return both_ways


def symmetric(filtered: Callable, values: Any) -> Any:
    """`filtered(values)` for a linear map with a symmetric matrix, whose gradient is then the map itself."""
    return linear(filtered, filtered)(values)

"""Losses of label maps, and the weights that balance rare classes in them."""

# First, because importing Keras makes segcourse import all its losses: none may be half imported by then.
import keras  # noqa: F401

from segcourse.losses.balancing import class_frequencies, median_frequency_weights
from segcourse.losses.cross_entropy import MaskedCrossEntropy
from segcourse.losses.max_balancing import max_frequency_weights

__all__ = ["MaskedCrossEntropy", "class_frequencies", "max_frequency_weights", "median_frequency_weights"]

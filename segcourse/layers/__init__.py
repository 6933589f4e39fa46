"""Layers and initializers that the lessons build."""

# First, because importing Keras makes segcourse import all its layers: none may be half imported by then.
import keras  # noqa: F401

from segcourse.layers import alignment, bilinear, normalization, valid_size  # noqa: F401  (importing registers them with Keras)

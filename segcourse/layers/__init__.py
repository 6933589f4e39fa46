"""Layers and initializers that the lessons build."""

# First, because importing Keras makes segcourse import all its layers: none may be half imported by then.
import keras  # noqa: F401

# Importing them registers them with Keras.
from segcourse.layers import (  # noqa: F401
    alignment,
    bilinear,
    l2_normalization,
    local_response,
    normalization,
    padding,
    resizing,
    unpooling,
    valid_size,
)

"""Layers and initializers that the lessons build."""

from segcourse.layers import alignment, bilinear  # noqa: F401  (importing registers them with Keras)

"""What a network costs: weights, multiply-adds, activations, receptive field."""

import math

import keras


def multiply_adds(layer, inputs, output):
    """Multiply-adds of one call of a layer; shapes without the batch axis."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return math.prod(inputs[:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(output[:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
        return math.prod(output[:-1]) * math.prod(layer.kernel.shape)
    return 0

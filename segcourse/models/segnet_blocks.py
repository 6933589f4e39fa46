"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import keras
from keras import layers

from segcourse.layers.normalization import BatchNormalization

EPSILON = 1.001e-5  # the original's 1e-9 would vanish beside 1 in float16 and float32 alike


def normalize(x, name):
    """Batch normalisation of [B, H, W, C] as SegNet begins it, with a short memory for short trainings."""
    shift = keras.initializers.Constant(0.001)
    return BatchNormalization(momentum=0.9, epsilon=EPSILON, beta_initializer=shift, name=f"{name}_bn")(x)


def convolve(x, channels, size, name, relu):
    """[B, H, W, any] to [B, H, W, channels]: `size` x `size` convolution, batch norm; ReLU if `relu`."""
    x = layers.Conv2D(channels, size, padding="same", kernel_initializer="he_normal", name=name)(x)
    x = normalize(x, name)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x

"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import layers

from segcourse.layers.normalization import BatchNormalization


def _block(x, convolution, normalization):
    """Convolution, normalisation, ReLU on a map [B, H, W, channels]; `normalization` is a class of layers."""
    return layers.ReLU()(normalization(momentum=0.9)(convolution(x)))


def small_network(classes, normalization=BatchNormalization, activation=None, input_shape=(96, 128, 3)):
    """An encoder-decoder of seven convolutions: images 0..255 [B, H, W, 3] to logits [B, H, W, C].

    H and W are multiples of 8, for the encoder halves the image three times. `classes`: C; `normalization`:
    the class of layer after each convolution but the last; `activation`: of the scores, by its Keras name.
    """
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)  # 0..255 becomes -1..1
    for channels, stride in ((32, 2), (64, 2), (128, 2), (128, 1)):
        x = _block(
            x, layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=False), normalization
        )
    for channels in (64, 32):
        x = _block(
            x, layers.Conv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False), normalization
        )
    x = layers.Conv2D(classes, 1, activation=activation, name="score")(x)
    return keras.Model(image, layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x))

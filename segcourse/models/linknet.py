"""Generated from notebooks/14_linknet.ipynb. Edit the lesson, then run make export.

Lesson 14 · LinkNet: add what you know already.
"""

from functools import partial

import keras
from keras import layers

from segcourse.encoders.resnet import EPSILON, conv_norm, resnet_features, subtract_mean
from segcourse.layers.alignment import Crop
from segcourse.layers.normalization import BatchNormalization
from segcourse.models.arguments import check_linknet


def full_convolution(x, channels, stride, like, name, bias=False):
    """Torch's 3x3 full convolution of [B, h, w, C] to `channels`, cut to the height and width of `like`.

    `stride` is 1 or 2, the padding 1. Cell i of `x` comes to lie on cell stride * i.
    """
    # For a transposed kernel Keras counts the outputs as "fan in", and so does the original's rule.
    start = keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    x = layers.Conv2DTranspose(channels, 3, stride, use_bias=bias, kernel_initializer=start, name=name)(x)
    return Crop(1, name=f"{name}_crop")([x, like])


NORM = partial(BatchNormalization, momentum=0.9, epsilon=1e-3)  # of the decoders


def decoder(x, inner, channels, stride, like, name):
    """One decoder: `inner` channels by a 1x1, a 3x3 full convolution there, `channels` by another 1x1.

    A map [B, h, w, C], `stride` times enlarged (1 or 2), to the height and width of `like`; values >= 0.
    """
    x = conv_norm(x, inner, 1, 1, 1, NORM, f"{name}_reduce")
    x = full_convolution(x, inner, stride, like, f"{name}_full")
    x = layers.ReLU(name=f"{name}_full_relu")(NORM(name=f"{name}_full_norm")(x))
    return conv_norm(x, channels, 1, 1, 1, NORM, f"{name}_expand")


def encoder_maps(image, width=1.0):
    """What the four encoders read, and what the last one returns, of images [B, H, W, channels] 0..255.

    Returns the stem's map, at half the size, and a list of five: 4, 4, 8, 16 and 32 times coarser, all >= 0.
    """
    half, *stages = resnet_features(subtract_mean(image), 18, width)
    pooled = keras.Model(image, stages[-1]).get_layer("stem_pool").output
    return half, [pooled, *stages]


def link(x, bypass, join, relu, name):
    """A decoder's map and what the encoder read, both [B, H, W, C]: "add" them, or "concat" their channels.

    `relu`: after the addition, as in the original."""
    if join == "concat":
        return layers.Concatenate(name=f"{name}_concat")([x, bypass])
    x = layers.Add(name=f"{name}_add")([x, bypass])
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def head(x, half, image, classes, width=1.0):
    """From a quarter of the size to float32 logits of the image's size [B, H, W, classes]."""
    channels = max(1, round(32 * width))
    x = full_convolution(x, channels, 2, half, "head_full", bias=True)
    x = BatchNormalization(momentum=0.9, epsilon=EPSILON, name="head_full_norm")(x)
    x = layers.ReLU(name="head_full_relu")(x)
    x = layers.Conv2D(channels, 3, padding="same", kernel_initializer="he_normal", name="head_conv")(x)
    x = layers.ReLU(name="head_conv_relu")(NORM(name="head_conv_norm")(x))
    start = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Conv2DTranspose(classes, 2, 2, kernel_initializer=start, dtype="float32", name="scores")(x)
    return Crop(dtype="float32", name="logits")([x, image])


def linknet(input_shape=(None, None, 3), classes=19, width=1.0, join="add", links=4, relu=True):
    """LinkNet on ResNet-18 (Chaurasia & Culurciello 2017): images 0..255 to float32 logits [B, H, W, C].

    C is `classes`; any size from 32 up. `width` scales all channels but the scores'. `join`:
    "add" what an encoder read to what its decoder returns (the paper), or "concat" them. `links`, 0..4: how
    many decoders get it, from the deepest on. `relu`: after an addition, as in the original. 11,535,699
    trainable weights by default. Raises ValueError for a side below 32 or an unknown option.
    """
    check_linknet(input_shape, join, links)
    image = keras.Input(tuple(input_shape), name="image")
    half, maps = encoder_maps(image, width)
    x = maps[4]
    for n in (4, 3, 2, 1):
        read, inner = maps[n - 1], max(1, maps[n].shape[-1] // 4)
        x = decoder(x, inner, read.shape[-1], 1 if n == 1 else 2, read, f"decoder{n}")
        if n > 4 - links:
            x = link(x, read, join, relu, f"link{n}")
    return keras.Model(image, head(x, half, image, classes, width), name="linknet")

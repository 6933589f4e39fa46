"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import math

import keras
from keras import layers

from segcourse.layers.alignment import CoordMap, Crop, crop_offset
from segcourse.layers.normalization import BatchNormalization
from segcourse.layers.valid_size import ValidSize
from segcourse.models.arguments import check_unet


def _he(inputs):
    """A Gaussian with variance 2 / N, N the number of inputs that one output adds up (He et al. 2015)."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / inputs))


def _two_convolutions(x, channels, name, padding, normalization):
    """Twice a 3x3 convolution and a ReLU, with batch normalization between them if wanted.

    [B, H, W, C] to [B, h, w, channels]; `padding` and `normalization` as for `unet`, `name` as in "down0".
    """
    for i in (1, 2):
        x = layers.Conv2D(
            channels, 3, padding=padding, use_bias=normalization is None,
            kernel_initializer=_he(9 * x.shape[-1]), name=f"{name}_conv{i}",
        )(x)  # fmt: skip
        if normalization == "batch":
            x = BatchNormalization(momentum=0.9, name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


LEVELS = 4  # poolings


def _after_two(at, padding):
    """Where the pixels of a map lie (a `CoordMap`) after two 3x3 convolutions."""
    pad = int(padding == "same")
    return at.conv(3, pad).conv(3, pad)


def _contract(x, width, padding, normalization, dropout):
    """The left arm of the U: a list of (map, where its pixels lie), from the finest level to the bottom.

    x [B, H, W, C], -1..1; `width` scales the channels, `dropout` is a rate, 0..1; the others as for `unet`.
    """
    kept, at = [], CoordMap()
    for level in range(LEVELS + 1):
        if level:
            x, at = layers.MaxPooling2D(2, padding=padding, name=f"pool{level}")(x), at.conv(2, stride=2)
        x = _two_convolutions(x, round(64 * width * 2**level), f"down{level}", padding, normalization)
        at = _after_two(at, padding)
        if level >= LEVELS - 1:
            x = layers.Dropout(dropout, name=f"down{level}_dropout")(x)
        kept.append((x, at))
    return kept


def _up(x, channels, name):
    """The 2x2 up-convolution, [B, H, W, C] to [B, 2H, 2W, channels]: each new pixel adds up N = C values."""
    return layers.Conv2DTranspose(channels, 2, strides=2, kernel_initializer=_he(x.shape[-1]), name=name)(x)


def _join(x, skip, offset, name, padding, skips):
    """Crop two maps [B, H, W, C] to one size and stack their channels, the upsampled ones first.

    Unpadded, the skip is the larger map: from `offset` pixels on its middle is taken. Padded, the upsampled
    map is one pixel too large where a pooling met an odd side: the surplus goes.
    """
    if padding == "same":
        x = Crop(name=f"{name}_crop")([x, skip])
    elif skips:
        skip = Crop(offset, name=f"{name}_crop")([skip, x])
    return layers.Concatenate(name=f"{name}_concat")([x, skip]) if skips else x


def _expand(kept, width, padding, normalization, skips):
    """The right arm: up from the bottom, and at each level the map of the left arm copied across.

    `kept`: what `_contract` gave for the same options. Returns the finest map, [B, h, w, 64 * width].
    """
    x, at = kept[-1]
    for level in reversed(range(LEVELS)):
        channels, (skip, skip_at) = round(64 * width * 2**level), kept[level]
        x, at = _up(x, channels, f"up{level}"), at.deconv(2, 2)
        x = _join(x, skip, crop_offset(skip_at, at), f"up{level}", padding, skips)
        x = _two_convolutions(x, channels, f"up{level}", padding, normalization)
        at = _after_two(at, padding)
    return x


def unet(
    input_shape=(None, None, 1),
    classes=2,
    width=1.0,
    padding="valid",
    normalization=None,
    dropout=0.5,
    skips=True,
):
    """U-Net (Ronneberger, Fischer & Brox 2015, figure 1).

    Images [B, H, W, channels] 0..255 to float32 logits [B, h, w, classes]. `width` scales the 64 to 1024
    channels. `padding`: "valid" is the paper's, for sides of 188, 204, 220, ... and an output 184 pixels
    smaller (572 to 388); "same" pads every convolution, for any size from 32 up, and the output has the size
    of the image. `normalization`: None is the paper's; "batch" normalizes before the ReLU of every 3x3
    convolution. `dropout`: rate, 0..1, after the two deepest levels. `skips`: False leaves out what is
    copied across, for comparison. 31,030,658 trainable weights by default.

    Raises ValueError for an unknown option, or a size that the convolutions cannot take; a "valid" model of
    unknown size checks when it is called.
    """
    check_unet(input_shape, padding, normalization, LEVELS)
    image = keras.Input(input_shape, name="image")
    x = ValidSize(LEVELS, name="size")(image) if padding == "valid" else image
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)
    x = _expand(_contract(x, width, padding, normalization, dropout), width, padding, normalization, skips)
    x = layers.Conv2D(classes, 1, kernel_initializer=_he(x.shape[-1]), dtype="float32", name="logits")(x)
    return keras.Model(image, x, name="unet")

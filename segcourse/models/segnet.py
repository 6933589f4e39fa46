"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import math
from functools import partial

import keras
from keras import layers

from segcourse.layers.alignment import Crop
from segcourse.layers.local_response import LocalResponseNormalization
from segcourse.layers.normalization import BatchNormalization
from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from segcourse.models.fcn_basic import fcn_decoder

ENCODER = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # VGG16: channels and convolutions of each level
EPSILON = 1.001e-5  # the original's 1e-9 would vanish beside 1 in float16 and float32 alike


def _conv(x, channels, size, name, relu):
    """Convolution, batch norm and, where the network has one, ReLU."""
    x = layers.Conv2D(channels, size, padding="same", kernel_initializer="he_normal", name=name)(x)
    x = _normalize(x, name)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _normalize(x, name):
    shift = keras.initializers.Constant(0.001)
    # A short memory (0.9), for short trainings: the original measures the statistics once, at the end.
    return BatchNormalization(momentum=0.9, epsilon=EPSILON, beta_initializer=shift, name=f"{name}_bn")(x)


def _single_channel(x, size, name):
    """As `_conv` without ReLU, but each filter sees one channel alone: a depthwise convolution."""
    start = keras.initializers.RandomNormal(stddev=2**0.5 / size)  # "he_normal" would count all channels
    x = layers.DepthwiseConv2D(size, padding="same", depthwise_initializer=start, name=name)(x)
    return _normalize(x, name)


def _drop(x, rate, name):
    return layers.Dropout(rate, name=name)(x) if rate else x


def _image(name, input_shape):
    if any(side is not None and side < 32 for side in input_shape[:2]):
        raise ValueError(
            f"{name} got {input_shape}: both sides must be at least 32, for five poolings halve the image."
        )
    return keras.Input(input_shape, name="image")


def segnet(input_shape=(None, None, 3), classes=11, width=1.0, dropout=0.0):
    """SegNet (Badrinarayanan et al. 2015): images [B, H, W, channels] 0..255 to float32 logits [B, H, W, C].

    Any size from 32 up. `classes`: C. `width` scales the channels of all layers but the last. `dropout`: 0.5
    makes it Bayesian SegNet (Kendall et al. 2015), which drops at the three deepest levels. 29,449,355
    trainable weights by default. Raises ValueError for a side below 32.
    """
    image = x = _image("segnet", input_shape)
    pooled = []
    for level, (channels, depth) in enumerate(ENCODER, start=1):
        for i in range(1, depth + 1):
            x = _conv(x, round(channels * width), 3, f"conv{level}_{i}", relu=True)
        before = x
        x, indices = MaxPoolingWithIndices2D(name=f"pool{level}")(x)
        x = _drop(x, dropout if level > 2 else 0, f"encdrop{level}")
        pooled.append((indices, before))
    for level in (5, 4, 3, 2, 1):
        x = _decoder_level(x, level, *pooled[level - 1], width, dropout if level > 2 else 0)
    last = layers.Conv2D(
        classes, 3, padding="same", kernel_initializer="he_normal", dtype="float32", name="logits"
    )
    return keras.Model(image, last(x), name="segnet")


def _decoder_level(x, level, indices, before, width, dropout):
    """Unpool, then the level's convolutions backwards; the last one has the channels of the level above."""
    channels, depth = ENCODER[level - 1]
    x = MaxUnpooling2D(name=f"unpool{level}")(x, indices, before)
    for i in range(depth, 0, -1):
        if level == i == 1:
            return x  # the classifier takes the place of conv1_1_D
        wide = channels if i > 1 else ENCODER[level - 2][0]
        x = _conv(x, round(wide * width), 3, f"conv{level}_{i}_D", relu=True)
    return _drop(x, dropout, f"decdrop{level}")


def segnet_basic(input_shape=(None, None, 3), classes=11, width=1.0, decoder="max-unpooling", dropout=0.0):
    """SegNet-Basic, the small network of the decoder comparison (section 3.1 of the paper); else as `segnet`.

    `width` scales the 64 channels of every level. `decoder`: one of `DECODERS`, the rows of the paper's
    Table 1 and "replication". `dropout`: 0.5 makes it Bayesian SegNet-Basic, which drops at the two deepest
    levels. 1,416,587 trainable weights by default. Raises ValueError for an unknown decoder, too.
    """
    if decoder not in DECODERS:
        raise ValueError(f"decoder={decoder!r} is unknown: {', '.join(DECODERS)}.")
    image = _image("segnet_basic", input_shape)
    x = LocalResponseNormalization(name="norm")(image)
    pooled = []
    for level in (1, 2, 3, 4):
        before = _conv(x, round(64 * width), 7, f"conv{level}", relu=True)
        x, indices = MaxPoolingWithIndices2D(name=f"pool{level}")(before)
        x = _drop(x, dropout if level > 2 else 0, f"encdrop{level}")
        pooled.append((x, indices, before))
    return keras.Model(image, DECODERS[decoder](pooled, classes, dropout), name="segnet_basic")


def _unpooling_decoder(pooled, classes, dropout, *, addition=False, single_channel=False, replication=False):
    """SegNet's way: unpool by the indices, convolve until dense; no ReLU."""
    x = pooled[-1][0]
    for level in (4, 3, 2, 1):
        _, indices, before = pooled[level - 1]
        if replication:
            x = layers.UpSampling2D(2, name=f"upsample{level}")(x)
            x = Crop(name=f"upsample{level}_crop")([x, before])
        else:
            x = MaxUnpooling2D(name=f"unpool{level}")(x, indices, before)
        name = f"conv_decode{level}"
        x = _single_channel(x, 7, name) if single_channel else _conv(x, x.shape[-1], 7, name, relu=False)
        if addition and level > 1:
            x = layers.Add(name=f"add_pool{level - 1}")([x, pooled[level - 2][0]])
        x = _drop(x, dropout if level > 2 else 0, f"decdrop{level}")
    return layers.Conv2D(classes, 1, kernel_initializer="he_normal", name="logits", dtype="float32")(x)


# The rows of Table 1 and "replication" (section 3.1 names it).
DECODERS = {
    "bilinear": partial(fcn_decoder, addition=False, learned=False),
    "max-unpooling": _unpooling_decoder,
    "encoder-addition": partial(_unpooling_decoder, addition=True),
    "single-channel": partial(_unpooling_decoder, single_channel=True),
    "replication": partial(_unpooling_decoder, replication=True),
    "fcn-basic": fcn_decoder,
    "fcn-basic-no-addition": partial(fcn_decoder, addition=False),
    "fcn-basic-no-reduction": partial(fcn_decoder, reduction=False),
    "fcn-basic-no-addition-no-reduction": partial(fcn_decoder, addition=False, reduction=False),
}


def encoder_storage(model):
    """Bytes that the decoder keeps from the encoder for one image: 2 bits an index, 4 bytes a feature.

    Args:
        model: a network of this lesson, built for a fixed input size.

    Raises:
        ValueError: if the size is open.
    """
    bits = 0
    for layer in model.layers:
        kept = []
        if isinstance(layer, MaxUnpooling2D):
            kept = [(layer.input[1].shape[1:], 2)]
        elif isinstance(layer, layers.Add):
            kept = [(layer.input[1].shape[1:], 32)]
        for shape, depth in kept:
            if None in shape:
                raise ValueError(
                    f"{model.name} takes any size: build it with one, input_shape=(360, 480, 3)."
                )
            bits += depth * math.prod(shape)
    return bits // 8

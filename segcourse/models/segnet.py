"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

from functools import partial

import keras
from keras import layers

from segcourse.arguments import check_known, check_sides
from segcourse.layers.local_response import LocalResponseNormalization
from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from segcourse.models.fcn_basic import fcn_decoder
from segcourse.models.segnet_blocks import convolve
from segcourse.models.segnet_decoders import unpooling_rival

ENCODER = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # VGG16: channels and convolutions of each level


def segnet(input_shape=(None, None, 3), classes=11, width=1.0, dropout=0.0):
    """SegNet (Badrinarayanan et al. 2015): images [B, H, W, channels] 0..255 to float32 logits [B, H, W, C].

    Any size from 32 up. `classes`: C. `width`, above 0, scales the channels of all layers but the last.
    `dropout`, 0..1: 0.5 makes it Bayesian SegNet (Kendall et al. 2015), which drops at the three deepest
    levels. 29,449,355 trainable weights by default. Raises ValueError for a side below 32.
    """
    check_sides("segnet", input_shape, "its poolings halve the image again and again")
    image = x = keras.Input(tuple(input_shape), name="image")
    pooled = []
    for level, (channels, depth) in enumerate(ENCODER, start=1):
        for i in range(1, depth + 1):
            x = convolve(x, round(channels * width), 3, f"conv{level}_{i}", relu=True)
        before = x
        x, indices = MaxPoolingWithIndices2D(name=f"pool{level}")(x)
        x = layers.Dropout(dropout, name=f"encdrop{level}")(x) if dropout and level > 2 else x
        pooled.append((indices, before))
    for level in (5, 4, 3, 2, 1):
        x = _decoder_level(x, level, *pooled[level - 1], width, dropout)
    last = layers.Conv2D(
        classes, 3, padding="same", kernel_initializer="he_normal", dtype="float32", name="logits"
    )
    return keras.Model(image, last(x), name="segnet")


def _decoder_level(x, level, indices, before, width, dropout):
    """Unpool [B, h, w, C] to the size of `before`, then the convolutions backwards, to the channels above."""
    channels, depth = ENCODER[level - 1]
    x = MaxUnpooling2D(name=f"unpool{level}")(x, indices, before)
    for i in range(depth, 0, -1):
        if level == i == 1:
            return x  # the classifier takes the place of conv1_1_D
        wide = channels if i > 1 else ENCODER[level - 2][0]
        x = convolve(x, round(wide * width), 3, f"conv{level}_{i}_D", relu=True)
    return layers.Dropout(dropout, name=f"decdrop{level}")(x) if dropout and level > 2 else x


def unpooling_decoder(pooled, classes, dropout):
    """SegNet-Basic's way back: unpool by the indices, convolve until dense; no ReLU.

    `pooled`: for each level, finest first, (features after pooling [B, h, w, C], indices [B, h, w, C],
    features before it [B, H, W, C]). `dropout`: 0..1. Returns float32 logits [B, H, W, classes].
    """
    x = pooled[-1][0]
    for level in (4, 3, 2, 1):
        _, indices, before = pooled[level - 1]
        x = MaxUnpooling2D(name=f"unpool{level}")(x, indices, before)
        x = convolve(x, x.shape[-1], 7, f"conv_decode{level}", relu=False)
        x = layers.Dropout(dropout, name=f"decdrop{level}")(x) if dropout and level > 2 else x
    return layers.Conv2D(classes, 1, kernel_initializer="he_normal", name="logits", dtype="float32")(x)


DECODERS = {  # the rows of Table 1, and "replication", the control
    "bilinear": partial(fcn_decoder, addition=False, learned=False),
    "max-unpooling": unpooling_decoder,
    "encoder-addition": partial(unpooling_rival, addition=True),
    "single-channel": partial(unpooling_rival, single_channel=True),
    "replication": partial(unpooling_rival, replication=True),
    "fcn-basic": fcn_decoder,
    "fcn-basic-no-addition": partial(fcn_decoder, addition=False),
    "fcn-basic-no-reduction": partial(fcn_decoder, reduction=False),
    "fcn-basic-no-addition-no-reduction": partial(fcn_decoder, addition=False, reduction=False),
}


def segnet_basic(input_shape=(None, None, 3), classes=11, width=1.0, decoder="max-unpooling", dropout=0.0):
    """SegNet-Basic, the small network of the decoder comparison (section 3.1 of the paper); else as `segnet`.

    `width`, above 0, scales the 64 channels of every level. `decoder`: one of `DECODERS`. `dropout`, 0..1:
    0.5 makes it Bayesian SegNet-Basic, which drops at the two deepest levels. 1,416,587 trainable weights
    by default. Raises ValueError for an unknown decoder, too.
    """
    check_known({"decoder": decoder}, {"decoder": DECODERS})
    check_sides("segnet_basic", input_shape, "its poolings halve the image again and again")
    image = keras.Input(tuple(input_shape), name="image")
    x = LocalResponseNormalization(name="norm")(image)
    pooled = []
    for level in (1, 2, 3, 4):
        before = convolve(x, round(64 * width), 7, f"conv{level}", relu=True)
        x, indices = MaxPoolingWithIndices2D(name=f"pool{level}")(before)
        x = layers.Dropout(dropout, name=f"encdrop{level}")(x) if dropout and level > 2 else x
        pooled.append((x, indices, before))
    return keras.Model(image, DECODERS[decoder](pooled, classes, dropout), name="segnet_basic")

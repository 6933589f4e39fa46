"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

import keras
from keras import layers

from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import BLOCKS, MEAN_RGB, imagenet_vgg16
from segcourse.layers.alignment import Crop
from segcourse.layers.bilinear import Bilinear
from segcourse.layers.padding import PadToGrid, frame_of_zeros
from segcourse.models.arguments import check_deeplab_v1
from segcourse.models.deeplab_v1_multiscale import multiscale_scores

STRIDE = 8  # one score every 8 pixels, in every variant


def atrous_vgg16(x, width, conv5_rate, odd_pools):
    """VGG16 up to pool5, without stride in pool4 and pool5: the list of the five pooled maps [B, h, w, c].

    x: images [B, H, W, channels] of 0..255 less their mean, padded by `PadToGrid`. width, above 0, scales all
    channels; conv5_rate is in cells of conv5's input; odd_pools: windows of 3x3 (LargeFOV), else of 2x2.
    """
    first = keras.initializers.VarianceScaling(2.0 / 58**2)  # as in lesson 01: values of +-100 come in
    pooled = []
    for block, (channels, depth) in enumerate(BLOCKS, start=1):
        for i in range(1, depth + 1):
            x = layers.Conv2D(
                round(channels * width), 3, padding="same", activation="relu", name=f"conv{block}_{i}",
                dilation_rate=conv5_rate if block == 5 else 1,
                kernel_initializer=first if block == i == 1 else "he_normal",
            )(x)  # fmt: skip
        x = _pool(x, block, odd_pools)
        pooled.append(x)
    return pooled


def _pool(x, block, odd):
    """Maximum pooling as in the released definitions: LargeFOV's windows are odd, the base network's even."""
    stride, name = 2 if block < 4 else 1, f"pool{block}"
    if odd or block == 5:
        return layers.MaxPooling2D(3, stride, padding="same", name=name)(x)
    if block < 4:
        x = frame_of_zeros(x, f"pad_{name}")  # no value lies below 0: zeros never win
    return layers.MaxPooling2D(2, stride, name=name)(x)


VARIANTS = {  # the networks of Table 2: kernel side, rate and channels of fc6
    "largefov": (3, 12, 1024),
    "4x4": (4, 4, 4096),
    "4x4-rate8": (4, 8, 4096),
    "7x7": (7, 4, 4096),
}


def _scores(x, classes, spread, name):
    """A 1x1 convolution to class scores, in float32; its first weights are normal with this `spread`."""
    start = keras.initializers.RandomNormal(stddev=spread)
    return layers.Conv2D(classes, 1, kernel_initializer=start, dtype="float32", name=name)(x)


def _classifier(x, kernel, rate, channels, classes, dropout, average):
    """fc6 with holes, fc7 and fc8: scores of the classes, one every 8 pixels."""
    if average:  # over 9 values always; beyond the edge there are zeros, as in Caffe
        x = layers.AveragePooling2D(3, 1, name="pool5a")(frame_of_zeros(x, "pad_pool5a"))
    x = layers.ZeroPadding2D((kernel - 1) * rate // 2, name="pad_fc6")(x)
    for name, size, holes in (("fc6", kernel, rate), ("fc7", 1, 1)):
        x = layers.Conv2D(
            channels, size, dilation_rate=holes, activation="relu", kernel_initializer="he_normal", name=name
        )(x)
        x = layers.Dropout(dropout, name=f"drop_{name}")(x)
    return _scores(x, classes, 0.01, "fc8")


def upsample_scores(scores, image):
    """Scores at every 8th pixel to logits at every pixel: straight lines between them, then a crop.

    A fixed transposed convolution with a kernel of 15 does what Caffe's Interp does (corner on corner): n
    scores become 8 (n - 1) + 1 pixels. scores: [B, h, w, C]; image: [B, H, W, any], whose size counts;
    returns float32 [B, H, W, C].
    """
    reach = STRIDE - 1
    x = layers.Conv2DTranspose(
        scores.shape[-1], 2 * reach + 1, strides=STRIDE, use_bias=False, trainable=False,
        kernel_initializer=Bilinear(), dtype="float32", name="upsample",
    )(scores)  # fmt: skip
    return Crop(reach, dtype="float32", name="logits")([x, image])


def _coarse_scores(x, classes, width, variant, rate, conv5_rate, multiscale, dropout):
    """The scores at stride 8 of a padded image without its mean: features, fc6 to fc8, MSc on request."""
    kernel, own_rate, channels = VARIANTS[variant]
    large = variant == "largefov"
    pooled = atrous_vgg16(x, width, conv5_rate, odd_pools=large)
    holes = own_rate if rate is None else rate
    scores = _classifier(pooled[-1], kernel, holes, round(channels * width), classes, dropout, average=large)
    if not multiscale:
        return scores
    branches = multiscale_scores([x, *pooled[:4]], classes, round(128 * width), dropout)
    return layers.Add(dtype="float32", name="sum_scores")([scores, *branches])


def deeplab_v1(
    input_shape=(None, None, 3),
    classes=21,
    width=1.0,
    variant="largefov",
    rate=None,
    conv5_rate=2,
    multiscale=False,
    dropout=0.5,
    weights=None,
):
    """DeepLab v1 without its CRF (Chen et al. 2015): images [B, H, W, channels] 0..255 to float32 logits.

    H and W are any sizes from 32 up, or None; the logits are [B, H, W, classes]. `width`, above 0, scales all
    channels but the scores'. `variant`: fc6 of "largefov" (3x3, rate 12), "4x4" (rate 4), "4x4-rate8" or
    "7x7" (rate 4); `rate`: another rate for it, in cells of 8 pixels from 1 up, even for a 4x4, or None.
    `conv5_rate`, in such cells: 2 makes up for pool4's lost stride. `multiscale`: MSc, with "largefov" only.
    `dropout`: the share (0..1) dropped after fc6 and fc7 in training. `weights`: None, or "imagenet" for the
    convolutions (width 1, three channels). 20,505,429 trainable weights by default. ValueError for a side
    below 32 or another argument.
    """
    check_deeplab_v1(input_shape, variant, VARIANTS, rate, multiscale, weights)
    image = keras.Input(input_shape, name="image")
    mean = MEAN_RGB if input_shape[-1] == 3 else [sum(MEAN_RGB) / 3] * input_shape[-1]
    x = layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(image)
    x = PadToGrid(extra=1 if variant == "largefov" else 2, name="pad")(x)
    scores = _coarse_scores(x, classes, width, variant, rate, conv5_rate, multiscale, dropout)
    model = keras.Model(image, upsample_scores(scores, image), name="deeplab_v1")
    if weights == "imagenet":
        transplant(imagenet_vgg16(), features(model))
    return model


def features(model):
    """The part of a DeepLab v1 with VGG16's 13 convolutions; it shares their weights with `model`.

    `transplant(source, features(model))` starts them from any network that has VGG16's layers.
    """
    return keras.Model(model.input, model.get_layer("pool5").output, name="features")


def coarse(model):
    """The same network, with the same weights, without upsampling; train it on `shrink(labels)`.

    It gives float32 logits of every 8th pixel, [B, ceil(H/8), ceil(W/8), C].
    """
    crop = Crop(dtype="float32", name="coarse_logits")
    scores = crop([model.get_layer("upsample").input, shrink(model.input)])
    return keras.Model(model.input, scores, name="coarse")


def shrink(labels):
    """Every 8th pixel of label maps [B, H, W] (or of images), from the first on: [B, ceil(H/8), ceil(W/8)].

    Ids are picked, never averaged: between class 2 and class 4 there is no class 3.
    """
    return labels[:, ::STRIDE, ::STRIDE]

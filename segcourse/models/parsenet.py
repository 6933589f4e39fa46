"""Generated from notebooks/05_parsenet.ipynb. Edit the lesson, then run make export.

Lesson 05 · ParseNet: the whole picture has a say in every pixel.
"""

import keras
from keras import layers, ops

from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import BLOCKS, MEAN_RGB, imagenet_vgg16
from segcourse.layers.alignment import Crop
from segcourse.layers.bilinear import Bilinear
from segcourse.layers.l2_normalization import L2Normalization
from segcourse.models.arguments import check_parsenet

STRIDE = 8  # one score every 8 pixels


def _convolution(x, channels, name, size=3, rate=1):
    """A size x size convolution at a rate, then ReLU: [B, H, W, any] to [B, H, W, round(channels)], >= 0."""
    # Values around +-100 enter the first convolution; its small initial weights bring them to about +-1.
    start = keras.initializers.VarianceScaling(2.0 / 58**2) if name == "conv1_1" else "he_normal"
    return layers.Conv2D(
        round(channels), size, padding="same", dilation_rate=rate, activation="relu",
        kernel_initializer=start, name=name,
    )(x)  # fmt: skip


def _maps(image, width, rate, dropout):
    """DeepLab's reduced VGG16, from images 0..255 [B, H, W, any] to maps [B, H/8, W/8, C] >= 0, by name."""
    mean = MEAN_RGB if image.shape[-1] == 3 else [sum(MEAN_RGB) / 3] * image.shape[-1]
    x = layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(image)
    maps = {}
    for block, (channels, depth) in enumerate(BLOCKS, start=1):
        for i in range(1, depth + 1):
            x = _convolution(x, channels * width, f"conv{block}_{i}", rate=2 if block == 5 else 1)
        before = x
        size, stride = (2, 2) if block < 4 else (3, 1)  # pool4 and pool5 keep the resolution
        x = layers.MaxPooling2D(size, stride, padding="same", name=f"pool{block}")(x)
        if block >= 3:
            maps[f"conv{block}"] = x if block == 3 else before  # before pool3, cells are 4 pixels wide
    for name, size, holes in (("fc6", 3, rate), ("fc7", 1, 1)):
        x = _convolution(x, 1024 * width, name, size, holes)
        x = layers.Dropout(dropout, name=f"drop_{name}")(x)
    return {**maps, "fc7": x}


@keras.saving.register_keras_serializable(package="segcourse")
class Unpool(keras.layers.Layer):
    """Repeat a map of one cell [B, 1, 1, C] over all cells of another map [B, H, W, any]: [B, H, W, C]."""

    def call(self, inputs):
        one, like = inputs
        return one + ops.zeros_like(like[..., :1])  # a sum repeats it, on phones too (section 9)


def _prepared(maps, fuse, context, normalization, scale, pool_dropout):
    """What the classifier sees, by name: the maps in `fuse`, normalised, and the average of fc7 as "pool6".

    All are [B, H/8, W/8, C], and pool6, if `context` is true, [B, 1, 1, C]; the rest is as in `parsenet`.
    """
    chosen = {name: maps[name] for name in fuse}
    if context:
        chosen["pool6"] = layers.GlobalAveragePooling2D(keepdims=True, name="pool6")(maps["fc7"])
    if normalization == "l2":
        chosen = {n: L2Normalization(scale, name=f"norm_{n}")(x) for n, x in chosen.items()}
    if context:
        chosen["pool6"] = layers.Dropout(pool_dropout, name="drop_pool6")(chosen["pool6"])
    return chosen


def _scores(x, classes, name):
    """A 1x1 convolution [B, H, W, C] to class scores, float32 [B, H, W, classes]."""
    start = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(classes, 1, kernel_initializer=start, dtype="float32", name=name)(x)


def _fused(chosen, classes, fusion):
    """Scores of what `_prepared` gives, float32 [B, H/8, W/8, classes]; `fusion` is "late" or "early"."""
    if fusion == "late":  # a classifier each; the sum repeats the one cell of pool6 over the map
        scores = [_scores(x, classes, f"score_{name}") for name, x in chosen.items()]
        return layers.Add(dtype="float32", name="scores")(scores) if len(scores) > 1 else scores[0]
    local = next(iter(chosen.values()))
    spread = [Unpool(name="unpool")([x, local]) if name == "pool6" else x for name, x in chosen.items()]
    joined = layers.Concatenate(name="joined")(spread) if len(spread) > 1 else local
    return _scores(joined, classes, "score")


def _upsampled(scores, image):
    """Scores [B, H/8, W/8, C] to logits [B, H, W, C], by straight lines between the middles of cells."""
    x = layers.Conv2DTranspose(
        scores.shape[-1], 2 * STRIDE, STRIDE, padding="same", use_bias=False, trainable=False,
        kernel_initializer=Bilinear(), dtype="float32", name="upsample",
    )(scores)  # fmt: skip
    return Crop(dtype="float32", name="logits")([x, image])


def convolutions(model):
    """The part of a ParseNet with VGG16's 13 convolutions; it shares their weights with `model`.

    From images 0..255 to `pool5` [B, H/8, W/8, 512 * width]. `transplant(source, convolutions(model))` starts
    the weights from any network that has VGG16's layers.
    """
    return keras.Model(model.input, model.get_layer("pool5").output, name="convolutions")


def parsenet(
    input_shape=(None, None, 3),
    classes=21,
    width=1.0,
    fuse=("fc7",),
    context=True,
    normalization="l2",
    scale=10.0,
    fusion="late",
    rate=12,
    dropout=0.5,
    pool_dropout=0.3,
    weights=None,
):
    """ParseNet (Liu et al. 2015): images [B, H, W, channels] 0..255 to float32 logits [B, H, W, classes].

    `input_shape`: (H, W, channels), sides of 32 pixels or more, or None. `width` > 0 scales all channels but
    the scores'. `fuse`: which of "fc7", "conv5", "conv4", "conv3" are scored, each once; `context`: whether
    the average of fc7 is, too. `normalization`: "l2", its scales starting at `scale` > 0, or "none".
    `fusion`: "late" (scores added) or "early" (maps stacked). `rate` >= 1: the distance of fc6's taps, in
    cells of 8 pixels. `dropout` after fc6 and fc7, `pool_dropout` after the average: shares in 0..1.
    `weights`: None, or "imagenet" for the 13 convolutions.

    By default 20,529,002 trainable weights. Raises ValueError for a side below 32 or an unknown argument.
    """
    check_parsenet(input_shape, fuse, normalization, fusion, rate, weights)
    image = keras.Input(input_shape, name="image")
    maps = _maps(image, width, rate, dropout)
    chosen = _prepared(maps, fuse, context, normalization, scale, pool_dropout)
    model = keras.Model(image, _upsampled(_fused(chosen, classes, fusion), image), name="parsenet")
    if weights == "imagenet":
        transplant(imagenet_vgg16(), convolutions(model))
    return model

"""Generated from notebooks/01_fcn.ipynb. Edit the lesson, then run make export.

Lesson 01 · FCN: a classifier that labels every pixel.
"""

import keras
from keras import layers

from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import imagenet_vgg16, vgg16_features
from segcourse.layers.alignment import CoordMap, Crop, crop_offset
from segcourse.layers.bilinear import Bilinear
from segcourse.models.arguments import check_fcn


def _fully_convolutional(x, channels, fc6_size, padding, dropout):
    """VGG's dense layers fc6 and fc7 as convolutions: the same weights, at every position."""
    for name, size in (("fc6", fc6_size), ("fc7", 1)):
        x = layers.Conv2D(
            channels, size, padding=padding, activation="relu", kernel_initializer="he_normal", name=name
        )(x)
        x = layers.Dropout(dropout, name=f"drop_{name}")(x)
    return x


def _pool_maps(pad):
    """Coordinate maps of pool1..pool5 (by number) for an image padded by `pad` before conv1_1."""
    maps, at = {}, CoordMap().conv(3, pad)
    for n in range(1, 6):
        at = at.conv(2, stride=2)  # the other 3x3 convolutions are padded by 1: they move nothing
        maps[n] = at
    return maps


def _upscore(x, at, stride, padding, name):
    """Bilinear upsampling of the scores x [B, h, w, C] by a whole `stride`, and the coordinate map after it.

    `at` is the `CoordMap` of x. With padding "same" half a stride is cut off at each side. (Keras' own
    `padding="same"` would do it in one step, but mobile GPUs compute that wrongly for some sizes.)
    """
    x = layers.Conv2DTranspose(
        x.shape[-1],
        2 * stride,
        strides=stride,
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=False,
        name=name,
    )(x)
    crop = stride // 2 if padding == "same" else 0
    if crop:
        x = layers.Cropping2D(crop, name=f"{name}_crop")(x)
    return x, at.deconv(2 * stride, stride, crop)


def _fcn(name, skips, input_shape, classes, width, padding, fc6_size, dropout, weights):
    """The three FCNs, one network: `skips` are the poolings to fuse, (), (4,) or (4, 3); else as `fcn32s`."""
    check_fcn(name, input_shape, padding, fc6_size, weights)
    same = padding == "same"
    image = keras.Input(input_shape, name="image")
    pooled = vgg16_features(image, width, pad=1 if same else 100)
    where = _pool_maps(pad=1 if same else 100)

    x = _fully_convolutional(pooled[-1], round(4096 * width), fc6_size, padding, dropout)
    x = layers.Conv2D(classes, 1, kernel_initializer="zeros", name="score_fr")(x)
    at = where[5].conv(fc6_size, pad=(fc6_size - 1) / 2 if same else 0)
    for n in skips:
        x, at = _upscore(x, at, 2, padding, name=f"upscore_to_pool{n}")
        score = layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"score_pool{n}")(pooled[n - 1])
        score = Crop(crop_offset(where[n], at), name=f"score_pool{n}_crop")([score, x])
        x = layers.Add(name=f"fuse_pool{n}")([score, Crop(name=f"fuse_pool{n}_crop")([x, score])])
    x, at = _upscore(x, at, int(at.stride), padding, name=f"upscore{at.stride:.0f}")
    logits = Crop(crop_offset(at, CoordMap()), name="logits", dtype="float32")([x, image])
    model = keras.Model(image, logits, name=name)
    if weights == "imagenet":
        transplant(imagenet_vgg16(), model)
    return model


def fcn32s(
    input_shape=(None, None, 3), classes=21, width=1.0, padding="valid", fc6_size=7, dropout=0.5, weights=None
):
    """FCN-32s: VGG16 made fully convolutional, upsampled 32-fold in one step (Long et al. 2015).

    Args:
        input_shape: (H, W, channels); H and W may be None. Any size from 32 up.
        classes: number of classes C.
        width: scales the channels of the VGG layers, above 0; 1.0 is the paper.
        padding: "valid" is the paper: 100 zeros around the image, fc6 without padding, crops. "same" pads
            every layer by half its kernel: far fewer pixels on small images, no crops.
        fc6_size: side of fc6's kernel, the classifier's window / 32; odd with "same".
        dropout: share of values (0..1) dropped after fc6 and fc7 in training.
        weights: None, or "imagenet" to start from VGG16's (as `imagenet_vgg16`; full width, 3 channels).

    Returns:
        keras.Model: images [B, H, W, channels] 0..255 to float32 logits [B, H, W, C]; 134,346,581 trainable
        weights by default, the bilinear upsampling is fixed. ValueError for any other argument.
    """
    return _fcn("fcn32s", (), input_shape, classes, width, padding, fc6_size, dropout, weights)


def fcn16s(
    input_shape=(None, None, 3), classes=21, width=1.0, padding="valid", fc6_size=7, dropout=0.5, weights=None
):
    """FCN-16s: FCN-32s plus the scores of pool4; all arguments and the result as for `fcn32s`.

    134,357,354 trainable weights by default.
    """
    return _fcn("fcn16s", (4,), input_shape, classes, width, padding, fc6_size, dropout, weights)


def fcn8s(
    input_shape=(None, None, 3), classes=21, width=1.0, padding="valid", fc6_size=7, dropout=0.5, weights=None
):
    """FCN-8s: FCN-16s plus the scores of pool3; all arguments and the result as for `fcn32s`.

    134,362,751 trainable weights by default.
    """
    return _fcn("fcn8s", (4, 3), input_shape, classes, width, padding, fc6_size, dropout, weights)

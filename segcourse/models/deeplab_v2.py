"""Generated from notebooks/07_deeplab_v2.ipynb. Edit the lesson, then run make export.

Lesson 07 · DeepLab v2: one object, many sizes.
"""

import keras
from keras import layers

from segcourse.arguments import check_above_zero, check_known, check_sides
from segcourse.encoders.keras_resnet import from_keras, imagenet_resnet
from segcourse.encoders.resnet import resnet_features, subtract_mean
from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import imagenet_vgg16
from segcourse.layers.padding import PadToGrid
from segcourse.layers.resizing import Resize
from segcourse.models.deeplab_v1 import STRIDE, atrous_vgg16, features, upsample_scores

HEADS = {"largefov": (12,), "aspp-s": (2, 4, 8, 12), "aspp-l": (6, 12, 18, 24)}  # rates, Table 3


def _hidden(x, channels, kernel, rate, dropout, name):
    """A convolution, ReLU and dropout."""
    x = layers.Conv2D(
        channels,
        kernel,
        padding="same",
        dilation_rate=rate,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.Dropout(dropout, name=f"drop_{name}")(x)


def _scores(x, classes, kernel, rate, name):
    """A convolution to class scores, in float32, with first weights near zero."""
    start = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(
        classes,
        kernel,
        padding="same",
        dilation_rate=rate,
        kernel_initializer=start,
        dtype="float32",
        name=name,
    )(x)


def aspp(x, classes, rates, channels=None, dropout=0.5):
    """Atrous spatial pyramid pooling: a branch of scores for each rate, added (Chen et al. 2016, Fig. 7).

    A map [B, H, W, C] to float32 logits [B, H, W, classes]. `rates` >= 1, in cells. A branch is fc6, fc7 and
    fc8 with so many `channels` and a `dropout` in 0..1, or without channels one 3x3 convolution to scores."""
    branches = []
    for n, rate in enumerate(rates, start=1):
        if channels:
            y = _hidden(x, channels, 3, rate, dropout, f"fc6_{n}")
            y = _hidden(y, channels, 1, 1, dropout, f"fc7_{n}")
            branches.append(_scores(y, classes, 1, 1, f"fc8_{n}"))
        else:
            branches.append(_scores(x, classes, 3, rate, f"fc8_{n}"))
    return layers.Add(dtype="float32", name="sum_scores")(branches) if len(branches) > 1 else branches[0]


BACKBONES = {"vgg16": None, "resnet18": 18, "resnet50": 50, "resnet101": 101}  # and the ResNets' depth
CHOICES = {"backbone": BACKBONES, "head": HEADS, "weights": (None, "imagenet")}


def _one_scale(input_shape, classes, width, backbone, rates, dropout, frozen):
    """DeepLab v2 for the image as it is."""
    image = keras.Input(input_shape, name="image")
    x = PadToGrid(name="pad")(subtract_mean(image))
    if backbone == "vgg16":
        x, channels = atrous_vgg16(x, width, conv5_rate=2, odd_pools=True)[-1], round(1024 * width)
    else:
        x, channels = resnet_features(x, BACKBONES[backbone], width, STRIDE, frozen=frozen)[-1], None
    scores = aspp(x, classes, rates, channels, dropout)
    return keras.Model(image, upsample_scores(scores, image), name="deeplab_v2")


def at_scales(network, scales, input_shape=None):
    """A network that looks at its image at several `scales`, numbers above 0, with shared weights.

    `network`: images [B, H, W, channels] of any size to logits of their size; `input_shape` may fix the size
    of what the result takes. Each pixel keeps each class' largest."""
    image = keras.Input(input_shape or network.input.shape[1:], name="image")
    logits = []
    for scale in scales:
        if scale == 1:
            logits.append(network(image))
        else:
            scores = network(Resize(scale, dtype="float32", name=f"image_{scale:g}")(image))
            logits.append(Resize(dtype="float32", name=f"scores_{scale:g}")([scores, image]))
    largest = layers.Maximum(dtype="float32", name="logits")(logits) if len(logits) > 1 else logits[0]
    return keras.Model(image, largest, name=network.name)


def deeplab_v2(
    input_shape=(None, None, 3),
    classes=21,
    width=1.0,
    backbone="resnet101",
    head="aspp-l",
    rates=None,
    scales=(0.5, 0.75, 1.0),
    dropout=0.5,
    frozen=False,
    weights=None,
):
    """DeepLab v2, the network without its CRF (Chen, Papandreou, Kokkinos, Murphy & Yuille 2016).

    Images [B, H, W, channels] 0..255 to float32 logits [B, H, W, classes], any size from 32 up. `width`
    scales all channels but the scores'. `backbone`: "resnet101" or "vgg16" (the paper's), "resnet50" or
    "resnet18". `head`: "aspp-l", "aspp-s" or "largefov", the rates of Table 3, or give other `rates`.
    `scales` of the image: each pixel keeps each class' largest score; (1.0,): one scale, as in Tables 1-3.
    `dropout` after fc6 and fc7 (VGG16). `frozen`: the ResNet's normalisation stays as it is, for pretrained
    weights. `weights`: None, or "imagenet" for the encoder (not ResNet-18). 44,048,532 trainable weights by
    default, 37,877,652 with VGG16. Raises ValueError for a side below 32 or another argument.
    """
    check_sides("deeplab_v2", input_shape, "its scores are 8 pixels apart")
    check_known({"backbone": backbone, "head": head, "weights": weights}, CHOICES)
    rates = HEADS[head] if rates is None else tuple(rates)
    check_above_zero({"rates": rates, "scales": scales})
    single = tuple(scales) == (1.0,)
    shape = tuple(input_shape) if single else (None, None, input_shape[2])  # other scales are other sizes
    network = _one_scale(shape, classes, width, backbone, rates, dropout, frozen)
    if weights == "imagenet" and backbone == "vgg16":
        transplant(imagenet_vgg16(), features(network))
    elif weights == "imagenet":
        from_keras(imagenet_resnet(BACKBONES[backbone]), network)
    return network if single else at_scales(network, scales, input_shape)

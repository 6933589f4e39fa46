"""Generated from notebooks/01_fcn.ipynb. Edit the lesson, then run make export.

Lesson 01 · FCN: a classifier that labels every pixel.
"""

import keras
from keras import layers

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions before each pooling
MEAN_RGB = (122.67892, 116.66877, 104.00699)  # the mean colour that the original subtracts


def _conv3x3(x, channels, name, padding, start):
    return layers.Conv2D(
        channels, 3, padding=padding, activation="relu", kernel_initializer=start, name=name
    )(x)


def vgg16_features(image, width=1.0, pad=1):
    """The 13 convolutions and five poolings of VGG16 (Simonyan & Zisserman 2014, configuration D).

    `image` [B, H, W, channels] has values 0..255; `width` scales the channels of every convolution; `pad` is
    how many zeros surround the image before the first convolution: 1 in VGG, 100 in FCN.

    Returns the list of the five pooled feature maps; map n (from 1) has ceil(size / 2^n) pixels a side, for a
    pooling window that sticks out over the edge counts too, as in Caffe.
    """
    mean = MEAN_RGB if image.shape[-1] == 3 else [sum(MEAN_RGB) / 3] * image.shape[-1]
    x = layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(image)
    x = layers.ZeroPadding2D(pad, name="pad")(x)
    # Values around +-100 enter the first convolution; its small initial weights bring them to about +-1.
    first = keras.initializers.VarianceScaling(2.0 / 58**2)
    pooled = []
    for block, (channels, depth) in enumerate(BLOCKS, start=1):
        for i in range(1, depth + 1):
            padding, start = ("valid", first) if block == i == 1 else ("same", "he_normal")
            x = _conv3x3(x, round(channels * width), f"conv{block}_{i}", padding, start)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{block}")(x)
        pooled.append(x)
    return pooled


def vgg16(input_shape=(224, 224, 3), classes=1000, width=1.0, dropout=0.5):
    """VGG16, the image classifier that FCN starts from (Simonyan & Zisserman 2014, configuration D).

    Images [B, H, W, channels] 0..255 to float32 logits [B, classes]; 138,357,544 weights by default. The
    dense layers fix the size: H and W must be multiples of 32, else a ValueError. `width` scales every layer
    but the last, `dropout` is the rate after fc6 and fc7.
    """
    height, wide = input_shape[:2]
    if not height or not wide or height % 32 or wide % 32:
        raise ValueError(
            f"VGG16 got a window of {height}x{wide}; its dense layers need fixed sides that 32 divides, "
            "e.g. 224x224."
        )
    image = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(vgg16_features(image, width)[-1])
    for name in ("fc6", "fc7"):
        x = layers.Dense(round(4096 * width), activation="relu", kernel_initializer="he_normal", name=name)(x)
        x = layers.Dropout(dropout, name=f"drop_{name}")(x)
    logits = layers.Dense(classes, dtype="float32", name="fc8")(x)
    return keras.Model(image, logits, name="vgg16")


def imagenet_vgg16():
    """VGG16 with the ImageNet weights that Keras distributes (downloaded once by Keras into its own cache).

    Keras keeps Caffe's weights, which expect blue first; ours expect red first, so the first kernel is
    turned round.

    Raises:
        RuntimeError: if the weights are neither in Keras' cache nor within reach.
    """
    try:
        original = keras.applications.VGG16(weights="imagenet")
    except Exception as error:
        raise RuntimeError(
            "The ImageNet weights of VGG16 are not in Keras' cache and could not be downloaded: "
            "connect to the internet once, or train from scratch with weights=None."
        ) from error
    model = vgg16()
    theirs = [layer for layer in original.layers if layer.weights]
    ours = [layer for layer in model.layers if layer.weights]
    for source, target in zip(theirs, ours, strict=True):
        target.set_weights(source.get_weights())
    kernel, bias = ours[0].get_weights()
    ours[0].set_weights([kernel[:, :, ::-1, :], bias])
    return model

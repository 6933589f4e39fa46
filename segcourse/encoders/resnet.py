"""Generated from notebooks/07_deeplab_v2.ipynb. Edit the lesson, then run make export.

Lesson 07 · DeepLab v2: one object, many sizes.
"""

import re
from functools import partial

import keras
from keras import layers

from segcourse.encoders.vgg import MEAN_RGB
from segcourse.layers.normalization import BatchNormalization

UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # of each stage
CHANNELS = (64, 128, 256, 512)  # of the 3x3 convolutions of each stage
EXPANSION = 4  # a bottleneck returns four times as many
EPSILON = 1.001e-5  # the original's 1e-5 and a little more, which TensorFlow's fused kernel takes


def conv_norm(x, channels, kernel, stride, rate, norm, name, relu=True):
    """Convolution without bias, normalisation by `norm`, ReLU; at any stride, cell 0 lies on pixel 0."""
    padding = "same"
    if kernel > 1 and stride > 1:
        x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
    x = layers.Conv2D(
        channels,
        kernel,
        stride,
        padding,
        dilation_rate=rate,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = norm(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def basic(x, channels, stride, rates, norm, name):
    """Two 3x3 convolutions, the first with the stride: what a unit of ResNet-18 adds."""
    x = conv_norm(x, channels, 3, stride, rates[0], norm, f"{name}_conv1")
    return conv_norm(x, channels, 3, 1, rates[1], norm, f"{name}_conv2", relu=False)


def bottleneck(x, channels, stride, rates, norm, name, strided="1x1"):
    """1x1 to few channels, 3x3 there, 1x1 to four times as many: what a unit of the deeper ResNets adds."""
    first, middle, rate = (stride, 1, rates[1]) if strided == "1x1" else (1, stride, rates[0])
    x = conv_norm(x, channels, 1, first, 1, norm, f"{name}_conv1")
    x = conv_norm(x, channels, 3, middle, rate, norm, f"{name}_conv2")
    return conv_norm(x, EXPANSION * channels, 1, 1, 1, norm, f"{name}_conv3", relu=False)


def residual_unit(x, adds, channels, stride, rates, norm, name):
    """ReLU of the input, which a 1x1 convolution may fit, plus what `adds` makes of it.

    `rates`: two, for convolutions up to and including the one with the stride, and for those after it."""
    added = adds(x, channels, stride, rates, norm, name)
    if x.shape[-1] != added.shape[-1]:
        x = conv_norm(x, added.shape[-1], 1, stride, 1, norm, f"{name}_shortcut", relu=False)
    elif stride > 1:
        x = layers.MaxPooling2D(1, stride, name=f"{name}_shortcut")(x)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, added]))


def _check_resnet(**given):
    known = {"depth": tuple(UNITS), "output_stride": (32, 16, 8)}
    known |= {"stem": ("7x7", "3x3"), "strided": ("1x1", "3x3", "last")}
    for name, value in given.items():
        if value not in known[name]:
            raise ValueError(f"{name}={value!r} is unknown: {', '.join(map(repr, known[name]))}.")


def strides_and_rates(units, output_stride=32, strided="1x1", multi_grid=None):
    """The [stride, rate before it, rate after it] of every unit, as one list for each of the four stages.

    From one stage to the next the map is halved: in the first unit of the later stage, or with strided="last"
    in the last unit of the earlier one. Once `output_stride` is reached, it is not, and the rate doubles
    instead, after the convolution that would have had the stride. `multi_grid` multiplies the rates of the
    last stage's units.
    """
    stride, rate, plan = 4, 1, []
    for stage, count in enumerate(units):
        border = [1, rate, rate]  # the unit between the last stage and this one
        if stage > 0 and stride < output_stride:
            border, stride = [2, rate, rate], 2 * stride
        elif stage > 0:
            border, rate = [1, rate, 2 * rate], 2 * rate
        plan.append([[1, rate, rate] for _ in range(count)])
        if stage > 0 and strided == "last":
            plan[-2][-1] = border
        else:
            plan[-1][0] = border
    factors = multi_grid or [1] * len(plan[-1])
    plan[-1] = [[step, a * f, b * f] for (step, a, b), f in zip(plan[-1], factors, strict=True)]
    return plan


def subtract_mean(image):
    """Images [B, H, W, channels] of 0..255 less the mean color of VGG16's data, or its grey."""
    mean = MEAN_RGB if image.shape[-1] == 3 else [sum(MEAN_RGB) / 3] * image.shape[-1]
    return layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(image)


def _stem(x, kind, width, norm):
    """The first map, at half the size, and what a pooling of 3x3 makes of it."""
    steps = [(64, 7, 2)] if kind == "7x7" else [(64, 3, 2), (64, 3, 1), (128, 3, 1)]
    for n, (channels, kernel, stride) in enumerate(steps, start=1):
        x = conv_norm(x, round(channels * width), kernel, stride, 1, norm, f"stem_conv{n}")
    pooled = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # no value lies below 0: zeros never win
    return x, layers.MaxPooling2D(3, 2, name="stem_pool")(pooled)


def resnet_features(
    x,
    depth=50,
    width=1.0,
    output_stride=32,
    stem="7x7",
    strided="1x1",
    multi_grid=None,
    momentum=0.9,
    epsilon=EPSILON,
    frozen=False,
):
    """The convolutions of a ResNet (He, Zhang, Ren & Sun 2015, Table 1), for any output stride.

    `x`: images less their mean colour, see `subtract_mean`. `depth`: 18, 50, 101 or 152. `width` scales all
    channels. `output_stride`: 32, 16 or 8 pixels between the last map's cells. `stem`: "7x7", or three
    convolutions, "3x3". `strided`: a stage has its stride in the first "1x1" (the paper) or the "3x3" of its
    first unit, or in the 3x3 of the "last" unit before it; ResNet-18 has it in a 3x3. `multi_grid`: factors
    on the rates of the last stage's units. `momentum`, `epsilon`: of the batch normalisation, which `frozen`
    leaves as it is. Returns five maps: the stem's, at half the size, and the last of each stage. A map of
    stride s has ceil(size / s) cells a side; cell i lies on pixel s * i. ValueError for an unknown option.
    """
    _check_resnet(depth=depth, output_stride=output_stride, stem=stem, strided=strided)
    norm = partial(BatchNormalization, momentum=momentum, epsilon=epsilon, trainable=not frozen)
    adds = basic if depth == 18 else partial(bottleneck, strided=strided)
    half, x = _stem(x, stem, width, norm)
    maps = [half]
    plan = strides_and_rates(UNITS[depth], output_stride, strided, multi_grid)
    for stage, units in enumerate(plan, start=1):
        for unit, (stride, *rates) in enumerate(units, start=1):
            channels, name = round(CHANNELS[stage - 1] * width), f"stage{stage}_unit{unit}"
            x = residual_unit(x, adds, channels, stride, rates, norm, name)
        maps.append(x)
    return maps


def resnet(input_shape=(224, 224, 3), classes=1000, depth=50, width=1.0, stem="7x7", strided="1x1"):
    """A ResNet that names one class for an image (He, Zhang, Ren & Sun 2015).

    Images [B, H, W, channels] 0..255 to float32 logits [B, classes]; H and W may be None, for the last map is
    averaged. Options as in `resnet_features`. 25,557,032 trainable weights by default.
    """
    image = keras.Input(input_shape, name="image")
    x = resnet_features(subtract_mean(image), depth, width, stem=stem, strided=strided)[-1]
    x = layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.Dense(classes, dtype="float32", name="classes")(x)
    return keras.Model(image, logits, name=f"resnet{depth}")


def _name_in_keras(name):
    """stage1_unit2_conv3 is conv2_block2_3 there, stage1_unit1_shortcut conv2_block1_0; "" for others."""
    found = re.fullmatch(r"stage(\d)_unit(\d+)_(?:conv(\d)|shortcut)", name)
    if found:
        return f"conv{int(found[1]) + 1}_block{found[2]}_{found[3] or 0}"
    return "conv1" if name == "stem_conv1" else ""


def from_keras(original, target):
    """Copy the convolutions of a ResNet of `keras.applications` into a network with our layers of that depth.

    `target` has the layers of `resnet_features` with stem="7x7" and strided="1x1". Biases go into the stored
    means, and the first kernel, which expects BGR, is turned round.
    """
    for layer in target.layers:
        if isinstance(layer, layers.Conv2D) and (name := _name_in_keras(layer.name)):
            kernel, bias = original.get_layer(f"{name}_conv").get_weights()
            layer.set_weights([kernel[:, :, ::-1] if layer.name == "stem_conv1" else kernel])
            gamma, beta, mean, variance = original.get_layer(f"{name}_bn").get_weights()
            target.get_layer(f"{layer.name}_norm").set_weights([gamma, beta, mean - bias, variance])


def imagenet_resnet(depth=50):
    """The `keras.applications` ResNet of this depth, with the weights that Keras distributes.

    Raises:
        RuntimeError: if the weights are neither in Keras' cache nor within reach.
    """
    build = getattr(keras.applications, f"ResNet{depth}")
    try:
        return build(weights="imagenet")
    except Exception as error:
        raise RuntimeError(
            f"The ImageNet weights of ResNet-{depth} are not in Keras' cache and could not be downloaded: "
            "connect to the internet once, or train from scratch with weights=None."
        ) from error

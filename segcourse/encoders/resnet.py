"""Generated from notebooks/07_deeplab_v2.ipynb. Edit the lesson, then run make export.

Lesson 07 · DeepLab v2: one object, many sizes.
"""

from functools import partial

import keras
from keras import layers

from segcourse.arguments import check_known
from segcourse.encoders.vgg import MEAN_RGB
from segcourse.layers.normalization import BatchNormalization

UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # of each stage
CHANNELS = (64, 128, 256, 512)  # of the 3x3 convolutions of each stage
EXPANSION = 4  # a bottleneck returns four times as many
EPSILON = 1.001e-5  # the original's 1e-5 and a little more, which TensorFlow's fused kernel takes
STEMS, PLACES = ("7x7", "3x3"), ("1x1", "3x3", "last")  # of the first convolution, of a stage's stride
OPTIONS = {"depth": UNITS, "output_stride": (32, 16, 8), "stem": STEMS, "strided": PLACES}


def conv_norm(x, channels, kernel, stride, rate, norm, name, relu=True):
    """Convolution of a map [B, H, W, C] to `channels`, normalisation by `norm(name=...)`, ReLU if `relu`.

    No bias: the normalisation would take it away. `kernel`: its side, odd; `stride` 1 or 2, `rate` >= 1, in
    cells. At any stride, cell 0 lies on cell 0 of the map before.
    """
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
    """What a unit of ResNet-18 adds to its map: two 3x3 convolutions. Arguments: see `residual_unit`."""
    x = conv_norm(x, channels, 3, stride, rates[0], norm, f"{name}_conv1")
    return conv_norm(x, channels, 3, 1, rates[1], norm, f"{name}_conv2", relu=False)


def bottleneck(x, channels, stride, rates, norm, name, strided="1x1"):
    """The same of the deeper ResNets: 1x1 to `channels`, 3x3 there, 1x1 to four times as many."""
    first, middle, rate = (stride, 1, rates[1]) if strided == "1x1" else (1, stride, rates[0])
    x = conv_norm(x, channels, 1, first, 1, norm, f"{name}_conv1")
    x = conv_norm(x, channels, 3, middle, rate, norm, f"{name}_conv2")
    return conv_norm(x, EXPANSION * channels, 1, 1, 1, norm, f"{name}_conv3", relu=False)


def residual_unit(x, adds, channels, stride, rates, norm, name):
    """ReLU of a map [B, H, W, C], which a 1x1 convolution may fit, plus what `adds`, one of the above, gives.

    `stride`: 1 or 2. `rates`: two, up to and including the convolution with the stride, and after it."""
    added = adds(x, channels, stride, rates, norm, name)
    if x.shape[-1] != added.shape[-1]:
        x = conv_norm(x, added.shape[-1], 1, stride, 1, norm, f"{name}_shortcut", relu=False)
    elif stride > 1:
        x = layers.MaxPooling2D(1, stride, name=f"{name}_shortcut")(x)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, added]))


def strides_and_rates(units, output_stride=32, strided="1x1", multi_grid=None):
    """The [stride, rate before it, rate after it] of every unit, as one list for each of the four stages.

    `units`: how many each stage has. From stage to stage the map is halved, in the later one's first unit or
    with strided="last" in the earlier one's last, until cells are `output_stride`, 8, 16 or 32, pixels apart.
    From there on the rate doubles, after the convolution that would have had the stride. `multi_grid`:
    factors on the rates of the last stage's units.
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
    check_known({"depth": depth, "output_stride": output_stride, "stem": stem, "strided": strided}, OPTIONS)
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

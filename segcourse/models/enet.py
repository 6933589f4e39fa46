"""Generated from notebooks/08_enet.ipynb. Edit the lesson, then run make export.

Lesson 08 · ENet: a network for real time.
"""

import keras
from keras import layers

from segcourse.arguments import check_known, check_sides
from segcourse.layers.alignment import Crop
from segcourse.layers.normalization import BatchNormalization
from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D


def start():
    """Torch's default first weights: uniform, up to 1 / sqrt(inputs of a sum)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def convolve(x, channels, kernel, name, stride=1, rate=1, bias=False):
    """Convolution of a map [B, H, W, C] to `channels`; sides are divided by `stride` and rounded up."""
    return layers.Conv2D(
        channels,
        kernel,
        stride,
        "same",
        dilation_rate=rate,
        use_bias=bias,
        kernel_initializer=start(),
        name=name,
    )(x)


def normalize(x, name, activation=None):
    """Batch normalisation of [B, H, W, C] with ENet's epsilon; then "relu", "prelu" or nothing."""
    x = BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x)
    return x if activation is None else activate(x, activation, name)


def activate(x, kind, name):
    """ReLU or PReLU of [B, H, W, C]; PReLU has one slope for each channel, wherever it stands in the map."""
    if kind == "relu":
        return layers.ReLU(name=f"{name}_relu")(x)
    return layers.PReLU(keras.initializers.Constant(0.25), shared_axes=(1, 2), name=f"{name}_prelu")(x)


def initial_block(x, channels, stride=2):
    """A convolution and a pooling side by side: `channels` maps, the last ones the pooled image.

    `x`: images [B, H, W, 3 or another number], 0..1; both sides are divided by `stride` and rounded up.
    """
    pooled = layers.MaxPooling2D(stride, padding="same", name="initial_pool")(x)
    x = layers.ZeroPadding2D(1, name="initial_frame")(x)
    filters = max(1, channels - pooled.shape[-1])
    x = layers.Conv2D(filters, 3, stride, kernel_initializer=start(), name="initial_conv")(x)
    x = layers.Concatenate(name="initial_join")([x, pooled])
    return normalize(x, "initial", "prelu")


def middle(x, kind, name):
    """The convolution inside a bottleneck: "5x1" for a row and a column, else a 3x3 with this rate."""
    channels = x.shape[-1]
    if kind == "5x1":
        x = convolve(x, channels, (1, 5), f"{name}_row")
        return convolve(x, channels, (5, 1), f"{name}_column", bias=True)
    return convolve(x, channels, 3, f"{name}_3x3", rate=kind, bias=True)


def branch(x, channels, name, kind, activation, dropout, size=1):
    """What a bottleneck adds to a map: `size` x `size` to a quarter of `channels`, `middle`, 1x1 back."""
    x = convolve(x, max(1, channels // 4), size, f"{name}_reduce", stride=size)
    x = normalize(x, f"{name}_reduce", activation)
    x = normalize(middle(x, kind, name), f"{name}_middle", activation)
    x = normalize(convolve(x, channels, 1, f"{name}_expand"), f"{name}_expand")
    return layers.SpatialDropout2D(dropout, name=f"{name}_drop")(x) if dropout else x


def bottleneck(x, channels, name, kind=1, activation="prelu", dropout=0.0):
    """A block that keeps the size of a map [B, H, W, channels].

    `kind`: 1 for a regular 3x3, a larger rate, or "5x1"; `dropout`: share of the branch's channels."""
    added = branch(x, channels, name, kind, activation, dropout)
    return activate(layers.Add(name=f"{name}_add")([x, added]), activation, name)


def pad_channels(x, channels, name):
    """Zeros as further channels of a map [B, H, W, C], after its own, up to `channels`."""
    # Keras pads rows and columns. Told that channels come first, it takes the last two axes for these.
    more = ((0, 0), (0, channels - x.shape[-1]))
    return layers.ZeroPadding2D(more, data_format="channels_first", name=name)(x)


def downsampling(x, channels, name, dropout=0.0):
    """A bottleneck that halves a map [B, H, W, C], sides rounded up, and widens it to `channels`.

    Returns the map, and what an `upsampling` needs: the pooling's indices, and the map it pooled."""
    added = branch(x, channels, name, 1, "prelu", dropout, size=2)
    pooled, indices = MaxPoolingWithIndices2D(name=f"{name}_pool")(x)
    widened = pad_channels(pooled, channels, f"{name}_pad")
    total = layers.Add(name=f"{name}_add")([widened, added])
    return activate(total, "prelu", name), (indices, x)


def upsampling(x, indices, before, name, activation):
    """A bottleneck that brings a map [B, h, w, C] back to the size and channels of `before`, [B, H, W, c].

    `indices`, `before`: of the `downsampling` that it undoes. `activation`: "relu" or "prelu"."""
    channels = before.shape[-1]
    inner = max(1, channels // 4)
    y = normalize(convolve(x, inner, 1, f"{name}_reduce"), f"{name}_reduce", activation)
    y = layers.Conv2DTranspose(inner, 3, 2, kernel_initializer=start(), name=f"{name}_3x3")(y)
    y = Crop(1, name=f"{name}_crop")([y, before])
    y = normalize(y, f"{name}_middle", activation)
    y = normalize(convolve(y, channels, 1, f"{name}_expand"), f"{name}_expand")
    x = normalize(convolve(x, channels, 1, f"{name}_skip"), f"{name}_skip")
    x = MaxUnpooling2D(name=f"{name}_unpool")(x, indices, before)
    return activate(layers.Add(name=f"{name}_add")([x, y]), activation, name)


BOTTLENECKS = {  # the eight blocks of stage 2, and again of stage 3: rates of a 3x3, or a row and a column
    "paper": (1, 2, "5x1", 4, 1, 8, "5x1", 16),
    "undilated": (1, 1, "5x1", 1, 1, 1, "5x1", 1),
    "plain": (1, 1, 1, 1, 1, 1, 1, 1),
}


def scaled(channels, width):
    """A number of channels at a width, a multiple of 4 so that it has a quarter."""
    return 4 * max(1, round(channels * width / 4))


def encoder(x, width=1.0, kinds=BOTTLENECKS["paper"], dropout=0.1):
    """Stages 1 to 3 after the initial block: the last map, 4 times coarser than `x`, and the two poolings.

    `kinds`: of the blocks in stages 2 and 3. `dropout`, 0..1; the first stage has a tenth of it."""
    pools = []
    for stage, channels, blocks in ((1, 64, (1,) * 4), (2, 128, kinds), (3, 128, kinds)):
        channels, rate = scaled(channels, width), dropout / 10 if stage == 1 else dropout
        if stage < 3:
            x, pool = downsampling(x, channels, f"stage{stage}_down", rate)
            pools.append(pool)
        for n, kind in enumerate(blocks, start=1):
            x = bottleneck(x, channels, f"stage{stage}_{n}", kind, dropout=rate)
    return x, pools


def decoder(x, pools, counts=(2, 1), activation="relu"):
    """Stages 4 and 5: an `upsampling` for each of the `pools`, the last first, and `counts` blocks after."""
    for stage, (indices, before), count in zip((4, 5), reversed(pools), counts, strict=True):
        x = upsampling(x, indices, before, f"stage{stage}_up", activation)
        for n in range(1, count + 1):
            x = bottleneck(x, x.shape[-1], f"stage{stage}_{n}", activation=activation)
    return x


def scores_of(x, image, classes, stride=2):
    """Float32 logits [B, H, W, classes] of the image's size, from a map `stride` times coarser."""
    x = layers.Conv2DTranspose(
        classes, stride, stride, kernel_initializer=start(), dtype="float32", name="scores"
    )(x)
    return Crop(dtype="float32", name="logits")([x, image])


OPTIONS = {"bottlenecks": BOTTLENECKS, "decoder_activation": ("relu", "prelu")}


def enet(
    input_shape=(None, None, 3),
    classes=12,
    width=1.0,
    bottlenecks="paper",
    decoder_activation="relu",
    dropout=0.1,
):
    """ENet (Paszke, Chaurasia, Kim & Culurciello 2016): images 0..255 to float32 logits [B, H, W, classes].

    Any size from 32 up, any number of image channels. `width`, above 0, scales all channels but the scores'.
    `bottlenecks`: "paper", or "undilated" or "plain" for stages 2 and 3. `decoder_activation`: "relu" as
    released, "prelu" as in the paper. `dropout`, 0..1: of whole channels, a tenth of it in the first stage.
    363,856 trainable weights by default. Raises ValueError for a side below 32 or an unknown option.
    """
    check_sides("enet", input_shape, "its last maps have an eighth of them")
    check_known({"bottlenecks": bottlenecks, "decoder_activation": decoder_activation}, OPTIONS)
    image = keras.Input(tuple(input_shape), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = initial_block(x, scaled(16, width))
    x, pools = encoder(x, width, BOTTLENECKS[bottlenecks], dropout)
    x = decoder(x, pools, activation=decoder_activation)
    return keras.Model(image, scores_of(x, image, classes), name="enet")


STRIDE = 8  # pixels between neighbouring cells of the encoder's last map


def encoder_scores(network):
    """What phase 1 trains: float32 logits of cells of 8x8 pixels, [B, ceil(H/8), ceil(W/8), classes].

    The encoder's weights are those of the `network`, an `enet`; the 1x1 classifier is new."""
    x, classes = network.get_layer("stage3_8_prelu").output, network.output.shape[-1]
    x = layers.Conv2D(classes, 1, kernel_initializer=start(), dtype="float32", name="encoder_scores")(x)
    return keras.Model(network.input, x, name="enet_encoder")


def labels_of_cells(labels):
    """The label in the middle of each cell of label maps [B, H, W]; H and W are multiples of 8.

    Ids are picked, never averaged."""
    return labels[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]

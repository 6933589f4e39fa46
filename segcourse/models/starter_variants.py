"""Lesson 00's network with one thing changed, and any network with batch normalisation put in (lesson 01)."""

import keras
from keras import layers

from segcourse.layers.normalization import BatchNormalization

ENCODER = ((32, 2), (64, 2), (128, 2), (128, 1))  # channels and stride of each convolution
DECODER = (64, 32)  # channels of each step back


def starter_variant(
    classes: int,
    *,
    width: float = 1.0,
    normalized: bool = True,
    decoder: bool = True,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
) -> keras.Model:
    """`models.starter.small_network`, with or without what may explain its scores.

    Args:
        classes: number of classes C.
        width: scales the channels of every convolution but the last, above 0.
        normalized: batch normalisation after each convolution but the last. Without it they have biases, and
            first weights for ReLU (He et al.): the others would make every layer's output smaller.
        decoder: go back to half the image's size by two transposed convolutions. Without it two 3x3
            convolutions of the same channels stay on the coarse grid, an eighth of the image's size.
        input_shape: (H, W, 3), H and W multiples of 8 or None.

    Returns:
        keras.Model: images [B, H, W, 3] 0..255 to logits [B, H, W, C].
    """
    start = {} if normalized else {"kernel_initializer": "he_normal"}
    options = {"padding": "same", "use_bias": not normalized, **start}
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    for channels, stride in ENCODER:
        x = layers.Conv2D(round(channels * width), 3, strides=stride, **options)(x)
        x = _after(x, normalized)
    for channels in DECODER:
        count = round(channels * width)
        back = layers.Conv2DTranspose(count, 4, strides=2, **options)
        x = _after((back if decoder else layers.Conv2D(count, 3, **options))(x), normalized)
    x = layers.Conv2D(classes, 1, name="score")(x)
    return keras.Model(
        image, layers.UpSampling2D(2 if decoder else 8, interpolation="bilinear", name="logits")(x)
    )


def _after(x, normalized):
    return layers.ReLU()(BatchNormalization(momentum=0.9)(x) if normalized else x)


def with_batch_normalization(model: keras.Model) -> keras.Model:
    """A copy of a network with batch normalisation between each convolution and its ReLU, same weights.

    Convolutions without a ReLU of their own, such as those that make scores, stay as they are.
    """
    relus = {
        layer.name
        for layer in model.layers
        if isinstance(layer, layers.Conv2D) and layer.activation is keras.activations.relu
    }

    def rebuilt(layer):
        change = {"activation": "linear"} if layer.name in relus else {}
        return type(layer).from_config({**layer.get_config(), **change})

    def called(layer, *inputs, **options):
        x = layer(*inputs, **options)
        if layer.name not in relus:
            return x
        return layers.ReLU()(BatchNormalization(momentum=0.9, name=f"{layer.name}_bn")(x))

    copy = keras.models.clone_model(model, clone_function=rebuilt, call_function=called)
    for layer in model.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy

"""The ResNets of `keras.applications`, and their weights for ours."""

import re

import keras
import numpy as np

DEPTHS = (50, 101, 152)  # that Keras has with the stride of a stage in its first 1x1 convolution


def imagenet_resnet(depth: int = 50) -> keras.Model:
    """The `keras.applications` ResNet of this depth, 50, 101 or 152, with the weights that Keras distributes.

    Raises:
        ValueError: for another depth.
        RuntimeError: if the weights are neither in Keras' cache nor within reach.
    """
    if depth not in DEPTHS:
        raise ValueError(f'weights="imagenet" is not there for ResNet-{depth}: Keras distributes none.')
    build = getattr(keras.applications, f"ResNet{depth}")
    try:
        return build(weights="imagenet")
    except Exception as error:
        raise RuntimeError(
            f"The ImageNet weights of ResNet-{depth} are not in Keras' cache and could not be downloaded: "
            "connect to the internet once, or train from scratch with weights=None."
        ) from error


def drawn_resnet50(random: np.random.Generator) -> keras.Model:
    """The `keras.applications` ResNet-50 without classes, its features averaged, with drawn weights.

    Its statistics and biases are drawn too: with Keras' zeros and ones a wrong mean would not show.
    """
    model = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg")
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([random.uniform(0.5, 1.0, weight.shape) for weight in layer.get_weights()])
        elif layer.name.endswith("_conv"):
            layer.bias.assign(random.uniform(-1.0, 1.0, layer.bias.shape))
    return model


def from_keras(original: keras.Model, target: keras.Model) -> None:
    """Copy the convolutions of a ResNet of `keras.applications` into a network with our layers of that depth.

    Keras' convolutions have biases, ours have none: they go into the stored means of the normalisation that
    follows. Keras' first kernel expects BGR, ours RGB: it is turned round.

    Args:
        original: such as `imagenet_resnet` returns; its statistics and biases may be any.
        target: has the layers of `segcourse.encoders.resnet.resnet_features` with stem="7x7"; the place of
            the stride is Keras' with strided="1x1".
    """
    for layer in target.layers:
        if isinstance(layer, keras.layers.Conv2D) and (name := _name_in_keras(layer.name)):
            kernel, bias = original.get_layer(f"{name}_conv").get_weights()
            layer.set_weights([kernel[:, :, ::-1] if layer.name == "stem_conv1" else kernel])
            gamma, beta, mean, variance = original.get_layer(f"{name}_bn").get_weights()
            target.get_layer(f"{layer.name}_norm").set_weights([gamma, beta, mean - bias, variance])


def _name_in_keras(name):
    """stage1_unit2_conv3 is conv2_block2_3 there, stage1_unit1_shortcut conv2_block1_0; "" for others."""
    found = re.fullmatch(r"stage(\d)_unit(\d+)_(?:conv(\d)|shortcut)", name)
    if found:
        return f"conv{int(found[1]) + 1}_block{found[2]}_{found[3] or 0}"
    return "conv1" if name == "stem_conv1" else ""

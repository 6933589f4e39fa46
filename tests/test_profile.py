"""What a network costs: against numbers by hand, published ones, TensorFlow's profiler and brute force."""

import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from segcourse import models, training
from segcourse.encoders.vgg import vgg16
from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from segcourse.models import profile
from segcourse.models.blueprint import blueprint
from segcourse.models.starter import small_network


def costs(*chain, shape=(8, 12, 4)):
    """The profile of a chain of layers and, by hand, what each layer in it costs."""
    image = x = keras.Input(shape, name="image")
    for layer in chain:
        x = layer(x)
    return profile(keras.Model(image, x), shape[:2])


# By hand


@pytest.mark.parametrize(
    ("layer", "weights", "multiply_adds"),
    [
        (layers.Conv2D(5, 3, padding="same"), 3 * 3 * 4 * 5 + 5, 8 * 12 * 3 * 3 * 4 * 5),
        (layers.Conv2D(5, 3), 3 * 3 * 4 * 5 + 5, 6 * 10 * 3 * 3 * 4 * 5),
        (layers.Conv2D(5, (1, 3), strides=2, padding="same", use_bias=False), 60, 4 * 6 * 60),
        (layers.Conv2D(6, 3, groups=2, padding="same", use_bias=False), 9 * 2 * 6, 8 * 12 * 9 * 2 * 6),
        (layers.Conv2D(5, 3, dilation_rate=3, padding="same", use_bias=False), 180, 8 * 12 * 180),
        (layers.Conv2DTranspose(5, 4, strides=2, padding="same"), 16 * 20 + 5, 8 * 12 * 16 * 20),
        (layers.DepthwiseConv2D(3, padding="same", use_bias=False), 36, 8 * 12 * 36),
        (layers.SeparableConv2D(5, 3, padding="same", use_bias=False), 36 + 20, 8 * 12 * 56),
        (layers.Dense(7), 35, 8 * 12 * 28),
        (layers.BatchNormalization(), 16, 0),
        (layers.MaxPooling2D(2), 0, 0),
        (layers.UpSampling2D(2, interpolation="bilinear"), 0, 0),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else "",
)
def test_a_layer_costs_what_it_costs_by_hand(layer, weights, multiply_adds):
    cost = costs(layer).layers[-1]
    assert (cost.name, cost.kind) == (layer.name, type(layer).__name__)
    assert cost.parameters == weights
    assert cost.multiply_adds == multiply_adds
    assert cost.activations == 4 * math.prod(cost.output)


def test_the_sums_are_those_of_the_layers():
    conv = layers.Conv2D(5, 3, padding="same")
    found = costs(conv, layers.BatchNormalization(), layers.MaxPooling2D(2))
    assert found.parameters == 185 + 20
    assert found.trainable_parameters == 185 + 10, "mean and variance are not trained"
    assert found.multiply_adds == 8 * 12 * 180
    assert found.activations == 4 * (8 * 12 * 4 + 2 * 8 * 12 * 5 + 4 * 6 * 5)


def test_frozen_layers_are_not_trained():
    found = costs(layers.Conv2D(5, 3, trainable=False))
    assert (found.parameters, found.trainable_parameters) == (185, 0)


def test_a_layer_that_is_called_twice_works_twice_but_has_one_set_of_weights():
    conv = layers.Conv2D(4, 3, padding="same", use_bias=False)
    found = costs(conv, conv)
    assert found.parameters == 144
    assert found.multiply_adds == 2 * 8 * 12 * 144


def test_half_precision_halves_the_maps_and_nothing_else():
    full = costs(layers.Conv2D(5, 3), layers.ReLU())
    half = costs(layers.Conv2D(5, 3, dtype="mixed_float16"), layers.ReLU(dtype="mixed_float16"))
    image = 4 * 8 * 12 * 4
    assert half.activations - image == (full.activations - image) / 2
    assert (half.parameters, half.multiply_adds) == (full.parameters, full.multiply_adds)


def test_mean_field_is_counted_by_iterations():
    options = {"classes": 3, "width": 1 / 64, "padding": "same"}
    crf = {"iterations": 2, "sigma_spatial": 1.0}  # 5.5 bandwidths to both sides: 13 taps along each axis
    found = profile(models.build("crf_rnn", crf=crf, **options), (32, 64))
    assert found.layers[-1].multiply_adds == 2 * (32 * 64) * 3 * (13 + 13 + 3 * 3 + 2 * 6)


# Published numbers


def test_vgg16_has_15_47_billion_multiply_adds():
    found = profile(blueprint(vgg16), (224, 224))
    assert found.parameters == 138_357_544
    assert found.multiply_adds == pytest.approx(15.47e9, rel=1e-3)


def test_segnet_has_286_gflops_of_two_operations_each():
    """Paszke et al. 2016, Table 3: SegNet at 640x360, 286.03 GFLOPs, 29.46 M weights."""
    found = profile(blueprint(partial(models.MODELS["segnet"], classes=12)), (360, 640))
    assert 2 * found.multiply_adds == pytest.approx(286.03e9, rel=0.01)
    assert found.trainable_parameters == pytest.approx(29.46e6, rel=1e-3)


# TensorFlow's own profiler as an independent count


def tensorflow_multiply_adds(model, size):
    """Half the operations that TensorFlow's profiler counts in convolutions and matrix products."""
    image = tf.TensorSpec((1, *size, model.input_shape[-1]))
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(image).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options |= {"output": "none", "account_type_regexes": ["Conv2D.*", "DepthwiseConv2dNative", "MatMul"]}
    options["start_name_regexes"] = [".*"]
    counted = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return counted.total_float_ops / 2


@pytest.mark.parametrize(("name", "options"), [("unet", {"padding": "same"}), ("segnet", {})])
def test_tensorflows_profiler_counts_the_same(name, options):
    """Not for atrous convolutions: TensorFlow cuts the map into pieces there and pads each of them. FCN-8s is
    0.8 % apart, with its transposed convolutions whose kernel is larger than the stride."""
    model = models.build(name, width=1 / 16, classes=5, **options)
    expected = tensorflow_multiply_adds(model, (96, 128))
    assert profile(model, (96, 128)).multiply_adds == pytest.approx(expected, rel=1e-3)


# The receptive field by brute force


def brute_force(model, size, axes=(1, 2), images=1):
    """Extent of the rows (axis 1), and of the columns (2), that the middle logit changes with.

    Where the network chooses (a pooling index), one image shows what that choice reads: several images
    show what all choices read together.
    """
    for weight in model.weights:
        weight.assign(np.abs(weight.numpy()))  # nothing cancels
    random, shape = np.random.default_rng(0), (1, *size, model.input_shape[-1])
    plain = [random.uniform(0, 0.01, shape).astype("float32") for _ in range(images)]
    return tuple(extent(np.any([changed(model, image, axis) for image in plain], 0)) for axis in axes)


def changed(model, plain, axis):
    """Whether the middle logit changes with each line of the image."""
    logits = model.predict(plain, verbose=0)
    middle = (slice(None), logits.shape[1] // 2, logits.shape[2] // 2)
    images = plain.repeat(plain.shape[axis], 0)
    for line in range(len(images)):
        np.moveaxis(images, axis, 1)[line, line] = 3000
    found = model.predict(images, batch_size=16, verbose=0)[middle]
    # More than rounding, which depends on how many images a batch has.
    return ~np.isclose(found, logits[middle], rtol=1e-4, atol=0).all(axis=-1)


def extent(lines):
    where = np.flatnonzero(lines)
    assert where[0] > 0 and where[-1] < len(lines) - 1, "the image is too small for this test"
    return where[-1] - where[0] + 1


def chain(*parts, channels=1):
    image = x = keras.Input((None, None, channels))
    for part in parts:
        x = part(x)
    return keras.Model(image, x)


def unpooled(image):
    x, indices = MaxPoolingWithIndices2D()(image)
    return layers.Conv2D(2, 3, padding="same")(MaxUnpooling2D()(x, indices, image))


CHAINS = {
    "convolutions": chain(layers.Conv2D(2, 3), layers.Conv2D(2, (5, 1), padding="same")),
    "even kernels": chain(layers.Conv2D(2, 4, padding="same"), layers.Conv2D(2, 2, strides=2)),
    "atrous": chain(layers.Conv2D(2, 3, dilation_rate=(3, 2), padding="same"), layers.Conv2D(2, 3)),
    "strides": chain(layers.Conv2D(2, 3, strides=2, padding="same"), layers.Conv2D(2, 3, padding="same")),
    "pooling": chain(layers.MaxPooling2D(3, 2, padding="same"), layers.AveragePooling2D(2)),
    "transposed": chain(layers.MaxPooling2D(2), layers.Conv2DTranspose(2, 4, strides=2, padding="same")),
    "transposed, cropped": chain(
        layers.MaxPooling2D(4), layers.Conv2DTranspose(2, 8, strides=4), layers.Cropping2D(2)
    ),
    "bilinear": chain(layers.MaxPooling2D(2), layers.UpSampling2D(2, interpolation="bilinear")),
    "nearest": chain(layers.MaxPooling2D(4), layers.UpSampling2D(4), layers.Conv2D(2, 3)),
    "padding": chain(layers.ZeroPadding2D(((5, 2), (1, 7))), layers.DepthwiseConv2D(3)),
    "unpooling": chain(layers.Conv2D(2, 3, padding="same"), unpooled),
}


@pytest.mark.parametrize("model", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_receptive_field_is_what_changing_single_lines_shows(model, seed):
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 1, weight.shape))
    assert profile(model, (28, 24)).receptive_field == brute_force(model, (28, 24), images=4)


NETWORKS = {
    "starter": (small_network, {"classes": 3, "input_shape": (64, 32, 3)}, 64),
    "unet": (models.build, {"name": "unet", "padding": "same", "width": 1 / 32}, 224),
    "segnet_basic": (models.build, {"name": "segnet_basic", "width": 1 / 32}, 224),
}


@pytest.mark.parametrize(("function", "options", "height"), NETWORKS.values(), ids=NETWORKS)
def test_the_receptive_field_of_whole_networks(function, options, height):
    training.set_seed(0)
    model = function(**options)
    rows = profile(model, (height, 32)).receptive_field[0]
    assert brute_force(model, (height, 32), axes=(1,)) == (rows,)


def test_holes_enlarge_the_field_and_nothing_else():
    dense, atrous = (profile(models.build("deeplab_v1", rate=r, width=1 / 32), (321, 321)) for r in (1, 12))
    assert atrous.receptive_field[0] - dense.receptive_field[0] == 2 * 11 * 8
    assert atrous.parameters == dense.parameters


@pytest.mark.parametrize(
    "name", ["flatten", "global pooling", "crf_rnn"], ids=lambda name: name.replace(" ", "-")
)
def test_a_global_operation_sees_the_whole_image(name):
    if name == "crf_rnn":
        model, size = models.build("crf_rnn", width=1 / 64, classes=3, padding="same"), (32, 32)
    else:
        first = layers.Flatten() if name == "flatten" else layers.GlobalAveragePooling2D(keepdims=True)
        image = keras.Input((8, 12, 4))
        x = first(image)
        x = layers.Dense(3)(x) if name == "flatten" else layers.Add()([image, layers.Conv2D(4, 1)(x)])
        model, size = keras.Model(image, x), (8, 12)
    assert profile(model, size).receptive_field == (math.inf, math.inf)
    assert "all x all" in str(profile(model, size))


# What a user meets


def test_the_size_counts_and_not_the_size_that_the_network_was_built_for():
    open_size = models.build("unet", padding="same", width=1 / 16)
    fixed = models.build("unet", padding="same", width=1 / 16, input_shape=(64, 96, 1))
    assert profile(open_size, (64, 96)) == profile(fixed, (64, 96))
    assert profile(open_size, (128, 96)).multiply_adds == 2 * profile(fixed, (64, 96)).multiply_adds


def test_the_network_is_left_as_it_is():
    model = models.build("unet", padding="same", width=1 / 32)
    training.compile(model, "adam", "mse")
    before, tensors = model.get_weights(), [layer.output for layer in model.layers]
    profile(model, (64, 64))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(a is layer.output for a, layer in zip(tensors, model.layers, strict=True))


def test_an_unknown_layer_is_named():
    class Strange(layers.Layer):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="'odd'.*Strange.*cost.py"):
        costs(Strange(name="odd"))


def test_the_table_shows_the_large_layers_and_the_sums():
    found = costs(layers.Conv2D(90, 3, name="large"), layers.Conv2D(1, 1, name="tiny"), shape=(80, 80, 3))
    lines = found.table(least=0.05).splitlines()
    assert [line.split()[0] for line in lines] == ["layer", "large", "2", "sum"]
    assert f"{78 * 78 * 27 * 90:,}" in lines[1] and " 96.4%" in lines[1]
    assert lines[-1].count("100.0%") == 3
    assert len(found.table(least=0).splitlines()) == 5
    assert max(map(len, lines)) <= 110
    assert str(found).startswith("functional") and found.table() in str(found)
    assert "receptive field of the middle logit: 3 x 3 pixels" in str(found)

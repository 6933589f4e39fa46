"""Folding batch normalisation for prediction: same logits, today's weights, the model left alone."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers

from segcourse import prediction, training
from segcourse.layers.normalization import BatchNormalization
from segcourse.models import MODELS
from segcourse.prediction import whole


def randomize(model, seed=0):
    """Weights and statistics under which every part of a batch normalisation matters."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.split("/")[-1] in ("gamma", "beta", "moving_mean", "moving_variance"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(random.normal(0.1, 1.0, weight.shape) / np.prod(weight.shape[:-1]) ** 0.5)
    return model


def images(size=(32, 48), channels=3):
    return np.random.default_rng(1).uniform(0, 255, (2, *size, channels)).astype("float32")


def network(x, *steps):
    first = x
    for step in steps:
        x = step(x)
    return randomize(keras.Model(first, x))


def normalizations(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def assert_same_logits(model, copy, x):
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    found = keras.ops.convert_to_numpy(copy(x, training=False))
    close = np.isclose(found, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
    # Rounding may move the place of a maximum that SegNet's pooling remembers: another value, rightly.
    assert close.mean() > (0.95 if "segnet" in model.name else 0.9999)
    assert abs(expected).max() > 0.1  # or the comparison says nothing


@pytest.mark.parametrize(
    "convolution",
    [
        lambda: layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False),
        lambda: layers.Conv2D(5, (1, 3), dilation_rate=2),
        lambda: layers.Conv2D(6, 3, groups=3),
        lambda: layers.Conv2DTranspose(5, 2, strides=2),
        lambda: layers.Conv2DTranspose(5, 3, strides=2, padding="same", use_bias=False),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
    ],
)
@pytest.mark.parametrize("norm", [BatchNormalization, keras.layers.BatchNormalization])
def test_every_kind_of_convolution(convolution, norm):
    model = network(keras.Input((None, None, 3)), convolution(), norm(name="norm"), layers.ReLU())
    copy = prediction.folded(model)
    assert normalizations(copy) == 0
    assert_same_logits(model, copy, images() / 255)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"epsilon": 0.1}])
def test_the_arguments_of_the_normalisation(arguments):
    norm = BatchNormalization(name="norm", **arguments)
    model = network(keras.Input((None, None, 3)), layers.Conv2D(4, 3), norm)
    copy = prediction.folded(model)
    assert normalizations(copy) == 0
    assert_same_logits(model, copy, images() / 255)


def test_what_cannot_be_folded_stays():
    """A ReLU between, a second reader, an output, a shared convolution, a normalisation first."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, activation="relu", padding="same")(BatchNormalization(name="norm_first")(image))
    x = BatchNormalization(name="norm_after_relu")(x)
    skip = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Add()([BatchNormalization(name="norm_of_two_readers")(skip), skip])
    shared = layers.Conv2D(4, 1)
    x = BatchNormalization(name="norm_shared1")(shared(x)) + BatchNormalization(name="norm_shared2")(
        shared(x)
    )
    out = layers.Conv2D(4, 1)(x)
    foldable = BatchNormalization(name="norm_folded")(layers.Conv2D(4, 1, name="alone")(x))
    model = randomize(keras.Model(image, [foldable, out, BatchNormalization(name="norm_of_output")(out)]))
    copy = prediction.folded(model)
    assert normalizations(copy) == normalizations(model) - 1
    assert copy.get_layer("alone").use_bias
    for expected, found in zip(model(images() / 255), copy(images() / 255), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_models_without_gain_or_with_a_call_of_their_own_are_returned():
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs, training=training)

    class Subclass(keras.Model):
        def call(self, inputs):
            return inputs

    image = keras.Input((None, None, 3))
    x = BatchNormalization()(layers.Conv2D(4, 3)(image))
    sequential = keras.Sequential([image, layers.Conv2D(4, 3), BatchNormalization()])
    for model in (sequential, Doubled(image, x), Subclass(), keras.Model(image, layers.Conv2D(4, 3)(image))):
        assert prediction.folded(model) is model


def test_the_copy_follows_the_weights_and_leaves_the_model_alone():
    model = network(keras.Input((None, None, 3)), layers.Conv2D(4, 3), BatchNormalization(name="norm"))
    before = [w.copy() for w in model.get_weights()]
    config = model.get_config()
    copy = prediction.folded(model)
    assert_same_logits(model, copy, images() / 255)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert model.get_config() == config
    randomize(model, seed=5)
    assert prediction.folded(model) is copy
    assert_same_logits(model, copy, images() / 255)


def test_the_copy_goes_with_the_model():
    model = network(keras.Input((None, None, 3)), layers.Conv2D(4, 3), BatchNormalization(name="norm"))
    copy = weakref.ref(prediction.folded(model))
    assert copy() is not None
    del model
    gc.collect()  # the model
    gc.collect()  # the copy, which nothing holds any more
    assert copy() is None


@pytest.mark.parametrize("name", MODELS)
def test_every_network(name):
    size = (188, 188) if name == "unet" else (192, 192)
    model = randomize(MODELS[name](input_shape=(*size, 3), width=0.125))
    copy = prediction.folded(model)
    assert (copy is model) == (normalizations(model) == 0)
    assert normalizations(copy) == 0
    assert_same_logits(model, copy, images(size))


def test_bfloat16_comes_no_less_near_to_float32_than_before():
    arguments = {"width": 0.125, "padding": "same", "normalization": "batch"}
    model = randomize(MODELS["unet"]((None, None, 3), **arguments))
    with training.precision("mixed_bfloat16"):
        mixed = MODELS["unet"]((None, None, 3), **arguments)
    mixed.set_weights(model.get_weights())
    copy = prediction.folded(mixed)
    assert copy.get_layer("down1_conv1").kernel.dtype == "bfloat16"
    assert copy.get_layer("logits").kernel.dtype == "float32"
    expected, unfolded, found = (
        keras.ops.convert_to_numpy(m(images(), training=False)) for m in (model, mixed, copy)
    )
    assert found.dtype == np.float32
    assert abs(found - expected).mean() < 1.2 * abs(unfolded - expected).mean()
    assert abs(found - expected).mean() < 0.05 * abs(expected).mean()


def test_predict_and_evaluate_use_it(monkeypatch):
    model = network(
        keras.Input((None, None, 3)), layers.Conv2D(4, 3, padding="same"), BatchNormalization(name="norm")
    )
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: seen.append(self) or np.zeros((*x.shape[:3], 4))
    )
    seen = []
    prediction.predict(model, images())
    prediction.evaluate(model, images(), np.zeros((2, 32, 48), int), 4)
    assert seen == [prediction.folded(model)] * 2


def test_one_image_whose_windows_are_too_large_is_computed_as_two(monkeypatch):
    model, image = randomize(MODELS["segnet_basic"](width=1 / 16)), images((40, 64))[:1]
    expected, sizes = model.predict_on_batch(image), []
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: sizes.append(len(x)) or type(model).predict_on_batch(model, x)
    )
    for limit, computed in ((whole.UNFOLDED_BYTES, 1), (4 * 40 * 64 * 7 * 7 * 4, 2)):
        monkeypatch.setattr(whole, "UNFOLDED_BYTES", limit)
        np.testing.assert_allclose(whole.on_batch(model, image), expected, rtol=1e-4, atol=1e-5)
        assert sizes.pop() == computed
    whole.on_batch(model, images((40, 64)))
    assert sizes == [2]

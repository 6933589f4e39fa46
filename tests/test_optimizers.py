"""The optimizers of `training.compile`: Keras' own numbers by one kernel, learning rates of single layers."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from segcourse import training
from segcourse.kernels.adam import fused_adam_step

tensorflow_alone = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the kernel is TensorFlow's"
)


def small_net():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.ReLU()(
        keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(inputs))
    )
    return keras.Model(inputs, keras.layers.Conv2D(3, 1, name="score", dtype="float32")(x))


def two_layers():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="slow"),
            keras.layers.Dense(2, name="fast", dtype="float32"),
        ]
    )


def moves(model):
    """How far one step of training on ones moves the kernel of each layer."""
    before = [layer.get_weights()[0] for layer in model.layers]
    model.train_on_batch(np.ones((2, 3), "float32"), np.ones((2, 2), "float32"))
    after = {layer.name: layer.get_weights()[0] for layer in model.layers}
    return {name: kernel - start for (name, kernel), start in zip(after.items(), before, strict=True)}


def updated(optimizer, set_up):
    """The weights and the optimizer's state after steps with given gradients; also the kernels of a step."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    model = small_net()
    for weight in model.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    set_up(model, optimizer, "mse")
    apply = tf.function(lambda *gradients: model.optimizer.apply(gradients, model.trainable_weights))
    for step in range(6):
        scale = 10.0 ** (step - 3)
        apply(*[tf.constant(random.normal(size=w.shape) * scale, "float32") for w in model.trainable_weights])
    values = [v.numpy() for v in model.trainable_weights + model.optimizer.variables]
    graph = apply.get_concrete_function(*[tf.zeros(w.shape) for w in model.trainable_weights]).graph
    return values, [op.type for op in graph.get_operations()]


@tensorflow_alone
@pytest.mark.parametrize(
    ("optimizer", "arguments", "fused"),
    [
        ("Adam", {"learning_rate": 0.02}, True),
        (
            "Adam",
            {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "clipnorm": 0.1},
            True,
        ),
        ("Adam", {"learning_rate": training.poly(0.05, 8)}, True),
        ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.1}, True),
        ("Adam", {"learning_rate": 0.02, "amsgrad": True}, False),
        ("SGD", {"learning_rate": 0.1, "momentum": 0.9}, False),
    ],
)
def test_one_kernel_does_what_kerass_adam_does(optimizer, arguments, fused):
    make = getattr(keras.optimizers, optimizer)
    ours, kernels = updated(make(**arguments), training.compile)
    expected, more_kernels = updated(make(**arguments), keras.Model.compile)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6)
    assert kernels.count("ResourceApplyAdam") == (6 if fused else 0)
    assert (len(kernels) < len(more_kernels)) == fused


@tensorflow_alone
def test_an_embedding_is_left_to_kerass_adam():
    found = []
    for set_up in (training.compile, keras.Model.compile):
        training.set_seed(0)
        model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 2)])
        set_up(model, keras.optimizers.Adam(0.1), "mse")
        for _ in range(3):
            model.train_on_batch(np.array([[1, 1, 4]]), np.ones((1, 3, 2)))
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_what_is_saved_is_kerass_own_optimizer(tmp_path):
    model = small_net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile(model, keras.optimizers.Adam(0.02), loss, lr_factors={"score": 2.0})
    data = np.ones((2, 4, 5, 3), "float32"), np.ones((2, 4, 5))
    for _ in range(3):
        model.train_on_batch(*data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras.optimizers.Adam
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert int(loaded.optimizer.iterations) == 3
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    expected, found = (net.train_on_batch(*data) for net in (model, loaded))
    assert found == pytest.approx(expected, rel=1e-2)


def test_the_optimizer_that_is_given_stays_as_it_is():
    optimizer = keras.optimizers.Adam(training.poly(0.05, 8), name="given")
    before = dict(vars(optimizer))
    model = two_layers()
    training.compile(model, optimizer, "mse", lr_factors={"fast": 10.0})
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)))
    assert vars(optimizer) == before and not optimizer.built
    assert "update_step" not in vars(model.optimizer)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert model.optimizer.get_config() == optimizer.get_config()


@tensorflow_alone
def test_weights_that_do_not_decay_still_do_not():
    found = []
    for set_up in (training.compile, keras.Model.compile):
        model = two_layers()
        optimizer = keras.optimizers.AdamW(0.1, weight_decay=1.0)
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
        set_up(model, optimizer, "mse")
        found.append(moves(model))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5)
    with pytest.raises(ValueError, match="lr_factors cannot be used with this AdamW.*Make a new one"):
        training.compile(model, optimizer, "mse", lr_factors={"fast": 10.0})


# Keras' private fields


def adam_of_another_keras(**fields):
    """As much of an optimizer as the kernel reads, with one weight and its two means, all of ones."""
    import tensorflow as tf

    slot = SimpleNamespace(value=tf.Variable([1.0, 1.0]))
    known = {
        "amsgrad": False,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "iterations": SimpleNamespace(value=tf.constant(0)),
        "_momentums": [slot],
        "_velocities": [SimpleNamespace(value=tf.Variable([1.0, 1.0]))],
        "_get_variable_index": lambda variable: 0,
    }
    return SimpleNamespace(**{name: value for name, value in (known | fields).items() if value is not None})


@tensorflow_alone
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("_momentums", None),
        ("_velocities", None),
        ("_get_variable_index", None),
        ("_velocities", []),
        ("_momentums", {"weight": 0}),
        ("_momentums", [SimpleNamespace(value=np.ones(2, "float32"))]),
        ("amsgrad", True),
    ],
)
def test_where_keras_keeps_the_means_elsewhere_its_own_step_is_left_to_it(field, value):
    import tensorflow as tf

    weight, gradient = tf.Variable([1.0, 1.0]), tf.constant([0.5, 0.5])
    assert fused_adam_step(adam_of_another_keras(), gradient, weight, 0.1)
    assert weight.numpy()[0] < 1
    weight.assign([1.0, 1.0])
    assert not fused_adam_step(adam_of_another_keras(**{field: value}), gradient, weight, 0.1)
    np.testing.assert_array_equal(weight, 1)


@tensorflow_alone
def test_means_of_another_shape_are_left_to_keras():
    import tensorflow as tf

    weight, gradient = tf.Variable([1.0, 1.0]), tf.constant([0.5, 0.5])
    flat = adam_of_another_keras(_momentums=[SimpleNamespace(value=tf.Variable([1.0, 1.0, 1.0]))])
    assert not fused_adam_step(flat, gradient, weight, 0.1)


@tensorflow_alone
def test_without_the_kernel_the_step_is_kerass(monkeypatch):
    monkeypatch.setattr("segcourse.optimizers.fused_adam_step", lambda *step: False)
    ours, kernels = updated(keras.optimizers.Adam(0.02), training.compile)
    expected, _ = updated(keras.optimizers.Adam(0.02), keras.Model.compile)
    assert "ResourceApplyAdam" not in kernels
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# The learning rate of one layer


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_a_layer_with_a_learning_rate_of_its_own(optimizer, policy):
    found = {}
    for factor in (1.0, 10.0):
        with training.precision(policy):
            model = two_layers()
        training.compile(model, optimizer(1e-3), "mse", lr_factors={"fast": factor})
        found[factor] = moves(model)
    np.testing.assert_allclose(found[10.0]["slow"], found[1.0]["slow"], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found[10.0]["fast"], 10 * found[1.0]["fast"], rtol=1e-3, atol=1e-6)
    assert abs(found[1.0]["fast"]).max() > 0


@pytest.mark.parametrize("again", ["another optimizer", "the same optimizer", "the model's optimizer"])
def test_compiling_twice_does_not_compound(again):
    found = []
    for times in (1, 2):
        model, optimizer = two_layers(), keras.optimizers.Adam(1e-3)
        training.compile(model, optimizer, "mse", lr_factors={"fast": 10.0})
        for _ in range(times - 1):
            if again == "another optimizer":
                optimizer = keras.optimizers.Adam(1e-3)
            elif again == "the model's optimizer":
                optimizer = model.optimizer
            training.compile(model, optimizer, "mse", lr_factors={"fast": 10.0})
        found.append(moves(model))
    for name in ("slow", "fast"):
        np.testing.assert_array_equal(*[move[name] for move in found])


def test_compiling_again_without_factors_forgets_them():
    model = two_layers()
    training.compile(model, keras.optimizers.Adam(1e-3), "mse", lr_factors={"fast": 10.0})
    moves(model)
    training.compile(model, model.optimizer, "mse")
    assert int(model.optimizer.iterations) == 1, "the state stays"
    found = moves(model)
    assert abs(found["fast"]).max() < 2 * abs(found["slow"]).max()


@pytest.mark.parametrize(
    ("name", "message"), [("crf", "No such layer"), ("relu", "'relu' has no trainable weights")]
)
def test_a_layer_that_cannot_have_a_learning_rate_is_an_error(name, message):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.ReLU(name="relu")])
    with pytest.raises(ValueError, match=message):
        training.compile(model, "sgd", "mse", lr_factors={name: 2.0})

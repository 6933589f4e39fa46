"""The fused batch normalisation against Keras' own layer."""

import keras
import numpy as np
import pytest
from keras import ops

from segcourse.layers.normalization import BatchNormalization

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernel is TensorFlow's")


def pair(shape=(None, 6, 5, 4), seed=0, **arguments):
    """Our layer and Keras' own with the same random weights and statistics."""
    random = np.random.default_rng(seed)
    ours, keras_own = BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    for layer in (ours, keras_own):
        layer.build(shape)
    weights = [random.uniform(0.5, 1.5, w.shape).astype("float32") for w in ours.weights]
    ours.set_weights(weights)
    keras_own.set_weights(weights)
    return ours, keras_own


def images(shape=(3, 6, 5, 4), seed=1, dtype="float32"):
    values = np.random.default_rng(seed).normal(2.0, 3.0, shape).astype("float32")
    return ops.cast(ops.convert_to_tensor(values), dtype)


def uses_the_kernel(layer, x, **arguments):
    graph = tf.function(lambda x: layer(x, **arguments)).get_concrete_function(x).graph
    return any(op.type == "FusedBatchNormV3" for op in graph.get_operations())


def assert_same(ours, keras_own, **tolerance):
    for a, b in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), **tolerance)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"momentum": 0.9, "epsilon": 1e-4},
        {"scale": False},
        {"center": False},
        {"scale": False, "center": False},
    ],
)
def test_values_and_statistics_are_those_of_keras(arguments, training):
    ours, keras_own = pair(**arguments)
    assert uses_the_kernel(ours, images(), training=training)
    for step in range(3):
        x = images(seed=step)
        assert_same([ours(x, training=training)], [keras_own(x, training=training)], rtol=1e-4, atol=1e-5)
    assert_same(ours.weights, keras_own.weights, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (1, 1, 2, 4), (2, 1, 1, 4)])
def test_the_variance_of_very_few_pixels(shape):
    ours, keras_own = pair()
    for _ in range(2):
        ours(images(shape), training=True)
        keras_own(images(shape), training=True)
    assert_same(ours.weights, keras_own.weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_keras(training):
    found = []
    for layer in pair():
        x = tf.Variable(images())
        with tf.GradientTape() as tape:
            loss = ops.sum(ops.sin(layer(x, training=training)))
        found.append(tape.gradient(loss, [x, layer.gamma.value, layer.beta.value]))
    assert_same(*found, rtol=1e-3, atol=1e-4)


def test_a_frozen_layer_keeps_its_statistics():
    ours, keras_own = pair()
    ours.trainable = keras_own.trainable = False
    before = [w.numpy().copy() for w in ours.weights]
    assert_same([ours(images(), training=True)], [keras_own(images(), training=True)], rtol=1e-4, atol=1e-5)
    assert_same(ours.weights, before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    ours, keras_own = pair(dtype=policy)
    x = images(dtype=policy.removeprefix("mixed_"))
    a, b = ours(x, training=True), keras_own(x, training=True)
    assert uses_the_kernel(ours, x, training=True)
    assert a.dtype == b.dtype
    assert_same([ops.cast(a, "float32")], [ops.cast(b, "float32")], atol=0.03)
    assert all(w.dtype == "float32" for w in ours.weights)
    assert_same(ours.weights, keras_own.weights, rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"axis": 1}, (3, 4, 6, 5)),
        ({}, (3, 4)),
        ({}, (3, 7, 4)),
        ({"dtype": "float64"}, (3, 6, 5, 4)),
        ({"epsilon": 1e-9}, (3, 6, 5, 4)),
    ],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(arguments, shape):
    ours, keras_own = pair((None, *shape[1:]), **arguments)
    x = images(shape, dtype=arguments.get("dtype", "float32"))
    assert not uses_the_kernel(ours, x, training=True)
    assert_same([ours(x, training=True)], [keras_own(x, training=True)], rtol=1e-6)
    assert_same(ours.weights, keras_own.weights, rtol=1e-6)


def test_a_mask_is_left_to_keras():
    ours, keras_own = pair()
    mask = ops.convert_to_tensor(np.random.default_rng(2).random((3, 6, 5)) > 0.5)
    a, b = (layer(images(), training=True, mask=mask) for layer in (ours, keras_own))
    assert_same([a], [b], rtol=1e-6)
    assert_same(ours.weights, keras_own.weights, rtol=1e-6)
    unmasked = pair()[0]
    unmasked(images(), training=True)
    assert not np.allclose(unmasked.moving_mean, ours.moving_mean)  # the mask matters in this test


def test_save_and_load(tmp_path):
    image = keras.Input((6, 5, 4))
    model = keras.Model(image, BatchNormalization(momentum=0.8, name="norm")(image))
    model(images(), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is BatchNormalization
    assert loaded.get_layer("norm").get_config() == model.get_layer("norm").get_config()
    assert_same([loaded(images())], [model(images())], rtol=0)


def test_config_and_weights_are_those_of_keras():
    ours, keras_own = pair(momentum=0.7, scale=False)
    plain = {k: v for k, v in ours.get_config().items() if k != "name"}
    assert plain == {k: v for k, v in keras_own.get_config().items() if k != "name"}
    assert [w.path.split("/")[-1] for w in ours.weights] == [w.path.split("/")[-1] for w in keras_own.weights]


def test_a_network_trains_alike_with_either_layer():
    x, y = images((8, 8, 8, 3)), np.random.default_rng(3).integers(0, 2, (8, 8, 8))
    found = []
    for layer in (BatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Conv2D(8, 3, padding="same"),
                layer(),
                keras.layers.ReLU(),
                keras.layers.Conv2D(2, 1),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        found.append([model.train_on_batch(x, y) for _ in range(5)])
    np.testing.assert_allclose(*found, rtol=1e-3)
    assert found[0][-1] < found[0][0]


def test_the_convolution_swallows_it_in_a_tflite_file(tmp_path):
    ai_edge_litert = pytest.importorskip("ai_edge_litert.interpreter")
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    model = keras.Model(image, keras.layers.ReLU()(BatchNormalization()(x)))
    model(images((4, 8, 8, 3)), training=True)
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((1, 8, 8, 3), tf.float32)]
    archive.add_endpoint("serve", lambda image: model(image, training=False), input_signature=signature)
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert()
    runner = ai_edge_litert.Interpreter(model_content=content)
    runner.allocate_tensors()
    assert [op["op_name"] for op in runner._get_ops_details() if op["op_name"] != "DELEGATE"] == ["CONV_2D"]
    x = images((1, 8, 8, 3)).numpy()
    runner.set_tensor(runner.get_input_details()[0]["index"], x)
    runner.invoke()
    found = runner.get_tensor(runner.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, ops.convert_to_numpy(model(x, training=False)), rtol=1e-4, atol=1e-4)

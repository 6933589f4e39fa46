"""What a `.tflite` file takes and gives on request, files of others, and what is said of mistakes."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import CLASSES, SIZE, asking, noise, pictures
from keras import layers, ops

from segcourse import tflite
from segcourse.tflite import gpu

IMAGES = noise(SIZE, 2)


def small_network(classes=CLASSES, bias=0.0, channels=3):
    """One convolution; `bias` moves all logits."""
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, channels), name="picture")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    bias = keras.initializers.Constant(bias)
    return keras.Model(
        image, layers.Conv2D(classes, 3, padding="same", bias_initializer=bias, name="scores")(x)
    )


def expected_labels(model, images=IMAGES):
    return model.predict(images.astype(np.float32), verbose=0).argmax(-1)


# Labels and bytes


@pytest.mark.parametrize("output, dtype", [("labels", "uint8"), ("labels_int32", "int32")])
def test_labels_come_out_of_the_graph(output, dtype, tmp_path):
    model = small_network()
    path = tflite.convert(model, tmp_path / "l.tflite", SIZE, output=output)
    report, runner = tflite.inspect(path), tflite.Runner(path)
    assert {name: str(t.dtype) for name, t in report.outputs.items()} == {"labels": dtype}
    assert report.outputs["labels"].shape == (1, *SIZE)
    assert runner.gives_labels and runner.output_names == ("labels",)
    assert np.mean(runner.labels(IMAGES) == expected_labels(model)) > 0.999
    assert runner.outputs(IMAGES)["labels"].dtype == dtype
    with pytest.raises(ValueError, match="gives labels, not logits"):
        runner(IMAGES)


@pytest.mark.parametrize("classes", [2, 5, 8])
def test_the_gpu_takes_labels_and_bytes(delegate, classes, tmp_path):
    """All logits are negative: a zero beside them, in the rest of a group of four, must not win."""
    model = small_network(classes, bias=-10.0)
    path = tflite.convert(model, tmp_path / "l.tflite", SIZE, output="labels", input_dtype="uint8")
    assert tflite.inspect(path).inputs["image"].dtype == "uint8"
    labels = delegate(path, IMAGES)
    assert labels.dtype == np.uint8
    assert np.mean(labels == expected_labels(model)) > 0.999


class PlainArgmax(keras.Layer):
    def call(self, x):
        return tf.cast(tf.argmax(x, axis=-1, output_type=tf.int32), tf.float32)[..., None]


def test_without_the_filling_the_gpu_invents_a_class(delegate, tmp_path):
    """If this fails, LiteRT has mended its ARG_MAX, and `conversion._argmax` can do without the filling."""
    model = keras.Sequential([small_network(5, bias=-10.0), PlainArgmax()])
    path = tflite.convert(model, tmp_path / "plain.tflite", SIZE)
    assert set(np.unique(tflite.Runner(path)(IMAGES))) <= set(range(5))
    assert set(np.unique(delegate(path, IMAGES))) == {5}
    assert [problem.operator for problem in tflite.inspect(path).problems] == ["ARG_MAX"]


def test_int8_with_bytes_in_and_labels_out(tmp_path):
    model = small_network()
    path = tflite.convert(
        model,
        tmp_path / "i.tflite",
        SIZE,
        "int8",
        pictures(8, seed=1)[0],
        output="labels",
        input_dtype="uint8",
    )
    images = pictures(2, seed=2)[0]
    assert np.mean(tflite.Runner(path).labels(images) == expected_labels(model, images)) > 0.95


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"output": "argmax"}, "'logits', 'labels', 'labels_int32'"),
        ({"input_dtype": "int8"}, "'float32', 'uint8'"),
    ],
)
def test_bad_interfaces(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tflite.convert(small_network(), tmp_path / "x.tflite", SIZE, **arguments)


def test_labels_need_several_classes_and_no_more_than_bytes_have(tmp_path):
    with pytest.raises(ValueError, match="one logit per pixel"):
        tflite.convert(small_network(1), tmp_path / "x.tflite", SIZE, output="labels")
    with pytest.raises(ValueError, match="300 classes.*labels_int32"):
        tflite.convert(small_network(300), tmp_path / "x.tflite", SIZE, output="labels")


def test_a_file_of_one_score_a_pixel_has_no_labels(tmp_path):
    path = tflite.convert(small_network(1), tmp_path / "one.tflite", SIZE)
    assert tflite.Runner(path)(IMAGES).shape == (2, *SIZE, 1)
    assert tflite.compare(small_network(1), path, IMAGES).failures() == []
    with pytest.raises(ValueError, match=r"one score a pixel.*runner\(images\)\[..., 0\] > 0"):
        tflite.Runner(path).labels(IMAGES)


# Several outputs, other forms of models


def _two_outputs(form):
    model = small_network()
    edges = layers.Conv2D(1, 1, name="edges")(model.layers[1].output)
    outputs = {"dict": {"logits": model.output, "edge": edges}, "list": [model.output, edges]}
    return keras.Model(model.input, outputs[form])


@pytest.mark.parametrize("form, names", [("dict", {"logits", "edge"}), ("list", {"scores", "edges"})])
def test_several_outputs_keep_their_names(delegate, form, names, tmp_path):
    model = _two_outputs(form)
    path = tflite.convert(model, tmp_path / "two.tflite", SIZE)
    assert set(tflite.inspect(path).outputs) == names
    expected = model.predict(IMAGES.astype(np.float32), verbose=0)
    if form == "list":
        expected = dict(zip(("scores", "edges"), expected, strict=True))
    for found in (tflite.Runner(path).outputs(IMAGES), delegate(path, IMAGES)):
        assert set(found) == names
        for name in names:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    with pytest.raises(ValueError, match="2 outputs .*labels are those of one"):
        tflite.convert(model, path, SIZE, output="labels")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(CLASSES, 1)

    def call(self, x):
        return self.convolution(x)


def test_a_subclassed_model_is_told_how_to_say_what_it_takes(tmp_path):
    model = Subclassed()
    with pytest.raises(ValueError, match=r"Subclassed .*keras.Input\(\(48, 64, 3\)\)"):
        tflite.convert(model, tmp_path / "s.tflite", SIZE)
    image = keras.Input((*SIZE, 3))
    wrapped = keras.Model(image, model(image))
    path = tflite.convert(wrapped, tmp_path / "s.tflite", SIZE)
    assert tflite.compare(wrapped, path, IMAGES).failures() == []
    with pytest.raises(ValueError, match="Sequential that does not say"):
        tflite.convert(keras.Sequential([layers.Conv2D(2, 1)]), path, SIZE)


# Files of others, in 8 bits from end to end


def _in_8_bits(path, low, high, dtype):
    """A file whose input and output are quantised, calibrated on images from `low` to `high`."""
    model = small_network()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = dtype
    data = [np.clip(image, low, high).astype(np.float32)[None] for image in IMAGES]
    converter.representative_dataset = lambda: ([image] for image in data)
    path.write_bytes(converter.convert())
    return model


@pytest.mark.parametrize("dtype", [tf.uint8, tf.int8])
def test_8_bit_files_are_fed_and_read_by_their_scales(dtype, tmp_path):
    model = _in_8_bits(tmp_path / "q.tflite", 0, 255, dtype)
    runner = tflite.Runner(tmp_path / "q.tflite")
    logits, expected = runner(IMAGES), model.predict(IMAGES.astype(np.float32), verbose=0)
    assert logits.dtype == np.float32 and not runner.gives_labels
    found = tflite.agreement(expected, logits)
    assert found.equal_labels > 0.95 and found.relative_difference < 0.05


def test_an_8_bit_file_for_another_range_is_refused(tmp_path):
    _in_8_bits(tmp_path / "q.tflite", 0, 1, tf.int8)
    with pytest.raises(ValueError, match="int8 that stands for 0 to 1, .*make 0 to 255"):
        tflite.Runner(tmp_path / "q.tflite")


def test_a_file_for_any_size_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 1)])
    (tmp_path / "any.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ValueError, match=r"leaves the size of its image open.*convert"):
        tflite.Runner(tmp_path / "any.tflite")


# Operators' latencies


@pytest.mark.parametrize("quantization", [None, "float16", "int8"])
def test_every_operator_is_timed(quantization, tmp_path):
    data = IMAGES if quantization == "int8" else None
    path = tflite.convert(asking(layers.Conv2D(64, 5)), tmp_path / "n.tflite", SIZE, quantization, data)
    found = tflite.operator_latencies(path, threads=1, runs=5)
    counts = tflite.inspect(path).operators
    timed = [latency.operator for latency in found]
    for operator in counts:
        if quantization != "float16" or operator != "DEQUANTIZE":  # of constants, done when loading
            assert timed.count(operator) == counts[operator]
    assert sum(latency.share for latency in found) == pytest.approx(1)
    slowest = max(found, key=lambda latency: latency.seconds)
    assert (slowest.operator, slowest.shape) == ("CONV_2D", (1, 20, 28, 64))  # of the multiply-adds, 95 %
    assert "CONV_2D 1x20x28x64" in str(slowest)
    with pytest.raises(ValueError, match="runs is 0"):
        tflite.operator_latencies(path, runs=0)


# Paths


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tflite.convert(small_network(), tmp_path_factory.mktemp("file") / "net.tflite", SIZE)


READERS = {
    "inspect": tflite.inspect,
    "Runner": tflite.Runner,
    "metadata": tflite.metadata,
    "annotate": tflite.annotate,
    "write_card": tflite.write_card,
    "operator_latencies": tflite.operator_latencies,
    "run_on_gpu_delegate": lambda path: tflite.run_on_gpu_delegate(path, IMAGES),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_whole_file_is_named(reader, path, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "why_unavailable", lambda: None)
    read, content = READERS[reader], path.read_bytes()
    with pytest.raises(IsADirectoryError, match=f"is a folder.*{path.name}"):
        read(path.parent)
    with pytest.raises(FileNotFoundError, match="convert"):
        read(tmp_path / "missing.tflite")
    cut = tmp_path / "cut.tflite"
    for length in (40, len(content) // 2):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged or cut short"):
            read(cut)
    cut.write_bytes(b"")
    with pytest.raises(ValueError, match="not a TFLite file"):
        read(cut)


def test_the_home_folder_is_understood(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written = tflite.convert(small_network(), "~/models/net.tflite", SIZE)
    assert written == tmp_path / "models" / "net.tflite"
    assert tflite.inspect("~/models/net.tflite").path == written
    assert tflite.Runner("~/models/net.tflite").input_shape == (1, *SIZE, 3)


@pytest.mark.parametrize("name", ["net", "net.lite", "net.keras"])
def test_the_ending_is_tflite(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.tflite: .*net\.tflite"):
        tflite.convert(small_network(), tmp_path / name, SIZE)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tflite.convert(small_network(), tmp_path, SIZE)
    assert not list(tmp_path.iterdir())


# Images


NAN = np.full((1, *SIZE, 3), np.nan)
NO_ARRAYS = {
    "generator": ((image for image in IMAGES), "islice"),
    "function": (lambda: iter(IMAGES), "may have no end"),
    "endless iterator": (itertools.repeat(IMAGES[0]), "may have no end"),
    "tf.data": (tf.data.Dataset.from_tensor_slices(IMAGES), "tf.data.Dataset.*take"),
    "two sizes": ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "different shapes"),
    "text": (["a.png"], "dtype"),
    "NaN": (NAN, "NaN"),
    "infinity": (NAN + np.inf, "NaN or infinite"),
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_what_is_no_array_of_images_is_named(kind, path, tmp_path):
    images, message = NO_ARRAYS[kind]
    with pytest.raises(ValueError, match=f"images.*{message}"):
        tflite.Runner(path)(images)
    with pytest.raises(ValueError, match=f"representative_data.*{message}"):
        tflite.convert(small_network(), tmp_path / "x.tflite", SIZE, "int8", images)


JUDGES = {
    "compare": lambda path, images: tflite.compare(small_network(), path, images),
    "with_cpu": lambda path, images: tflite.with_cpu(path, images, np.zeros((2, *SIZE, CLASSES))),
    "float16_ranges": tflite.float16_ranges,
    "benchmark": lambda path, images: tflite.benchmark(path, images, runs=1),
    "miou_drop": lambda path, images: tflite.miou_drop(path, path, images, np.zeros((2, *SIZE), int)),
    "layer_errors": lambda path, images: tflite.layer_errors(small_network(), path, path, images),
}


@pytest.mark.parametrize("reader", JUDGES)
@pytest.mark.parametrize("kind", ["endless iterator", "tf.data", "two sizes"])
def test_every_function_names_what_is_no_array_of_images(reader, kind, path):
    images, message = NO_ARRAYS[kind]
    with pytest.raises(ValueError, match=message):
        JUDGES[reader](path, images)


@pytest.mark.parametrize("reader", JUDGES)
def test_the_home_folder_is_known_everywhere(reader, path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    assert JUDGES[reader](f"~/{path.name}", IMAGES)


def test_lists_and_tensors_are_images(path):
    runner = tflite.Runner(path)
    expected = runner(IMAGES)
    np.testing.assert_array_equal(runner(list(IMAGES)), expected)
    np.testing.assert_array_equal(runner(tf.constant(IMAGES)), expected)


# Messages


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "10", None])
def test_a_bad_timeout_is_named(timeout, path):
    with pytest.raises(ValueError, match="timeout is .*seconds"):
        tflite.run_on_gpu_delegate(path, IMAGES, timeout=timeout)


def test_a_slow_delegate_is_no_refusal(delegate, path):
    with pytest.raises(tflite.GpuDelegateTimeout, match="no answer in 0.01 s for 2 image") as slow:
        delegate(path, IMAGES, timeout=0.01)
    assert not isinstance(slow.value, tflite.GpuDelegateRefused)


def test_the_advice_is_inspects_own_or_says_that_there_is_none(path, tmp_path):
    """The same failure of the delegate, with a file that `inspect` faults and one that it does not."""
    unknown = str(gpu._failure(path, -6, ""))
    assert "died of SIGABRT" in unknown and "knows nothing against this file" in unknown
    assert "has the fixes" not in unknown
    faulty = tflite.convert(asking(layers.GroupNormalization(4)), tmp_path / "g.tflite", SIZE)
    known = str(gpu._failure(faulty, -6, ""))
    assert str(tflite.inspect(faulty).problems[0]) in known and "knows nothing" not in known


class Calling(keras.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function, operator, advice",
    [
        (lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0], "tf.MaxPoolWithArgmax", "by comparison"),
        (lambda x: ops.cast(ops.argmax(x, -1), "float32")[..., None], "tf.BitwiseAnd", "output='labels'"),
        (lambda x: tf.linalg.inv(tf.matmul(x, x, transpose_a=True)), "tf.MatrixInverse", "in NumPy"),
        (lambda x: tf.linalg.det(tf.matmul(x, x, transpose_a=True))[..., None, None] + x, "tf.", "replace"),
    ],
    ids=["max_pool_with_argmax", "argmax", "inv", "det"],
)
def test_the_advice_fits_the_operator(function, operator, advice, tmp_path):
    layer = Calling(function)
    with pytest.raises(tflite.ConversionError) as refused:
        tflite.convert(asking(layer), tmp_path / "x.tflite", SIZE)
    said = str(refused.value)
    assert operator in said and advice in said
    assert f"(in {layer.name}" in said
    assert "bicubic" not in said

"""The TFLite file against Keras on the CPU, what `inspect` reads from it, and the errors."""

import keras
import numpy as np
import pytest
from helpers import CLASSES, SIZE, asking, encoder_decoder, pictures, trained_encoder_decoder
from keras import layers

from segcourse import tflite
from segcourse.metrics import confusion_matrix, scores
from segcourse.tflite import conversion


@pytest.fixture(scope="module")
def model():
    return trained_encoder_decoder()


@pytest.fixture(scope="module")
def images():
    return pictures(8, seed=2)[0]


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """One file per quantisation."""
    folder = tmp_path_factory.mktemp("files")
    training = {"int8": pictures(32, seed=1)[0]}
    return {
        q: tflite.convert(model, folder / f"{q}.tflite", SIZE, q, training.get(q))
        for q in conversion.QUANTIZATIONS
    }


@pytest.mark.parametrize("quantization, difference", [(None, 1e-3), ("float16", 1e-2), ("dynamic", 5e-2)])
def test_file_agrees_with_keras(model, files, images, quantization, difference):
    found = tflite.compare(model, files[quantization], images)
    assert found.failures(quantization) == []
    assert found.relative_difference <= difference
    assert found.pixels == images[..., 0].size


def test_int8_costs_little_miou(model, files, capsys):
    images, labels = pictures(24, seed=3)
    exact = model.predict(images.astype(np.float32), verbose=0).argmax(-1)
    miou = [
        scores(confusion_matrix(labels, found, CLASSES))["miou"]
        for found in (exact, tflite.Runner(files["int8"]).labels(images))
    ]
    with capsys.disabled():
        print(f"\nint8: mIoU {miou[0]:.4f} -> {miou[1]:.4f}, a drop of {miou[0] - miou[1]:.4f}")
    assert miou[0] > 0.8, "the network has not learned: the comparison would mean nothing"
    assert miou[0] - miou[1] < 0.02


def test_int8_computes_in_8_bits_behind_a_float_interface(files):
    report = tflite.inspect(files["int8"])
    assert [t.dtype for t in (*report.inputs.values(), *report.outputs.values())] == ["float32", "float32"]
    inner = [t.dtype for t in report.tensors if t.name not in {x.name for x in report.inputs.values()}]
    assert inner.count("int8") == len(inner) - 1  # all but the dequantised logits


def test_quantised_files_are_smaller(files):
    sizes = {q: tflite.inspect(path).parameter_bytes for q, path in files.items()}
    assert sizes["float16"] < 0.6 * sizes[None]
    assert sizes["int8"] < 0.5 * sizes[None]
    assert sizes["dynamic"] < sizes["float16"]


def test_float16_activations_do_not_overflow(model, images):
    half = tflite.in_precision(model, "float16")
    logits = half.predict(images.astype(np.float16), verbose=0).astype(np.float32)
    found = tflite.agreement(model.predict(images.astype(np.float32), verbose=0), logits)
    assert found.equal_labels >= 0.995
    assert found.relative_difference < 2e-2


def test_mixed_precision_is_exported_in_float32(model, images, tmp_path):
    mixed = tflite.in_precision(model, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in mixed.layers} >= {"bfloat16"}
    path = tflite.convert(mixed, tmp_path / "mixed.tflite", SIZE)
    assert {t.dtype for t in tflite.inspect(path).tensors} == {"float32"}
    assert tflite.compare(model, path, images).equal_labels >= 0.999


def test_agreement_by_hand():
    expected = np.zeros((1, 1, 4, 2), np.float32)
    expected[0, 0, :, 0] = [1, 2, -3, 5]
    logits = expected.copy()
    logits[0, 0, 1, 1] = 4
    found = tflite.agreement(expected, logits)
    assert (found.equal_labels, found.largest_difference, found.logit_range, found.pixels) == (0.75, 4, 8, 4)
    assert found.relative_difference == 0.5
    assert found.rms_difference == pytest.approx(2**0.5)  # sqrt(16 / 8)
    assert found.usual_difference == 0  # of the pixels' 0, 4, 0, 0
    with pytest.raises(ValueError, match="must be equal"):
        tflite.agreement(expected, logits[:, :, :3])


# What is in the file


def test_report_of_a_convolution_counted_by_hand(tmp_path):
    image = keras.Input((6, 10, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = layers.Conv2DTranspose(2, 4, strides=2, padding="same", use_bias=False)(x)
    path = tflite.convert(keras.Model(image, x), tmp_path / "one.tflite", (6, 10))
    report = tflite.inspect(path)
    assert report.operators["CONV_2D"] == 1
    assert report.operators["TRANSPOSE_CONV"] == 1
    assert report.inputs["image"].shape == (1, 6, 10, 3)
    assert report.outputs["logits"].shape == (1, 12, 20, 2)
    assert report.macs == 6 * 10 * 3 * 3 * 3 * 4 + 6 * 10 * 4 * 4 * 4 * 2
    weights = 4 * (3 * 3 * 3 * 4 + 4 * 4 * 4 * 2)
    assert weights <= report.parameter_bytes <= weights + 50  # and two biases and one shape
    assert report.file_bytes == path.stat().st_size


def test_report_of_the_network(files):
    report = tflite.inspect(files[None])
    assert report.gpu_ready, report
    assert report.inputs["image"].shape == (1, *SIZE, 3)
    assert report.outputs["logits"].shape == (1, *SIZE, CLASSES)
    assert not {"SHAPE", "SPACE_TO_BATCH_ND", "BATCH_NORM"} & set(report.operators)
    assert max(len(t.shape) for t in report.tensors) == 4
    text = str(report)
    assert "TRANSPOSE_CONV" in text
    assert "takes all of it" in text


def test_inspect_refuses_what_is_no_tflite_file(tmp_path):
    other = tmp_path / "weights.tflite"
    other.write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="not a TFLite file"):
        tflite.inspect(other)
    with pytest.raises(FileNotFoundError):
        tflite.inspect(tmp_path / "missing.tflite")


# Running


def test_runner_takes_uint8_and_float_batches(files, images):
    runner = tflite.Runner(files[None], threads=1)
    logits = runner(images[:3])
    assert logits.shape == (3, *SIZE, CLASSES)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(runner(images[:3].astype(np.float32)), logits)
    np.testing.assert_array_equal(runner(images[1:2]), logits[1:2])
    labels = runner.labels(images[:3])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, logits.argmax(-1))


@pytest.mark.parametrize("shape", [(2, 48, 60, 3), (48, 64, 3), (0, 48, 64, 3), (1, 48, 64, 1)])
def test_runner_names_a_wrong_size(files, shape):
    with pytest.raises(ValueError, match=r"the file takes \[N, 48, 64, 3\]"):
        tflite.Runner(files[None])(np.zeros(shape, np.uint8))


def test_runner_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="convert"):
        tflite.Runner(tmp_path / "missing.tflite")


def test_benchmark_measures_both_in_one_run(model, files, images):
    found = tflite.benchmark(files[None], images, threads=1, runs=5, model=model)
    assert found.seconds.shape == found.keras_seconds.shape == (5,)
    assert found.threads == 1
    low, high = found.quartiles
    assert 0 < low <= found.median <= high
    assert found.speedup == pytest.approx(np.median(found.keras_seconds) / np.median(found.seconds))
    # The file's own process: more than the weights, far less than TensorFlow's hundreds of megabytes.
    assert found.file_bytes < found.file_memory_bytes < found.process_bytes < 250e6
    assert "predict_on_batch" in str(found)


def test_benchmark_without_images_or_model(files):
    found = tflite.benchmark(files["int8"], runs=2)
    assert found.keras_seconds is None
    assert found.speedup is None
    assert "Keras" not in str(found)
    with pytest.raises(ValueError, match="runs is 0"):
        tflite.benchmark(files["int8"], runs=0)


# Errors of convert


@pytest.mark.parametrize("size", [64, (48,), (48, 64, 3), (0, 64), (48.0, 64), (True, 64), "48x64", None])
def test_bad_input_size(size, tmp_path):
    with pytest.raises(ValueError, match="input_size is .*positive integers"):
        tflite.convert(encoder_decoder(), tmp_path / "x.tflite", size)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"quantization": "fp16"}, "'float16'"),
        ({"quantization": "int8"}, "needs representative_data"),
        (
            {"quantization": "int8", "representative_data": np.zeros((2, 48, 60, 3))},
            r"shape \(2, 48, 60, 3\)",
        ),
        ({"quantization": "int8", "representative_data": np.zeros((0, 48, 64, 3))}, "N >= 1"),
        ({"quantization": "float16", "representative_data": np.zeros((1, 48, 64, 3))}, "'int8' alone"),
    ],
)
def test_bad_quantization(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tflite.convert(encoder_decoder(), tmp_path / "x.tflite", SIZE, **arguments)
    assert not list(tmp_path.iterdir())


def test_bad_models(model, tmp_path):
    path = tmp_path / "x.tflite"
    two = keras.Model([model.input, keras.Input((1,))], model.output)
    with pytest.raises(ValueError, match="2 inputs"):
        tflite.convert(two, path, SIZE)
    with pytest.raises(ValueError, match=r"built for \(32, 32\)"):
        tflite.convert(encoder_decoder((32, 32, 3)), path, SIZE)
    with pytest.raises(ValueError, match="keras.Model"):
        tflite.convert("model.keras", path, SIZE)
    vector = keras.Input((7,))
    with pytest.raises(ValueError, match="height, width, channels"):
        tflite.convert(keras.Model(vector, layers.Dense(2)(vector)), path, SIZE)


class EvenOnly(keras.Layer):
    def call(self, x):
        if x.shape[1] is not None and x.shape[1] % 2:
            raise ValueError(f"needs an even height, got {x.shape[1]}")
        return x


def test_the_networks_own_refusal_of_a_size_passes_on(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 1)), EvenOnly()])
    assert tflite.convert(model, tmp_path / "even.tflite", (4, 5)).exists()
    with pytest.raises(ValueError, match="needs an even height, got 5"):
        tflite.convert(model, tmp_path / "odd.tflite", (5, 4))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_do_not_export(model, tmp_path, monkeypatch, backend):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(RuntimeError, match=f"{backend} backend.*KERAS_BACKEND=tensorflow"):
        tflite.convert(model, tmp_path / "x.tflite", SIZE)


def test_an_operator_without_counterpart_is_named(tmp_path):
    bicubic = asking(layers.UpSampling2D(2, interpolation="bicubic"))
    path = tmp_path / "bicubic.tflite"
    with pytest.raises(tflite.ConversionError, match="tf.ResizeBicubic .*: resize bilinearly"):
        tflite.convert(bicubic, path, SIZE)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(model, files, tmp_path, monkeypatch):
    path = tmp_path / "old.tflite"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(conversion.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        tflite.convert(model, path, SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["old.tflite"]
    assert path.read_bytes() == b"old"


def test_convert_is_silent(model, tmp_path, capfd):
    tflite.convert(model, tmp_path / "new" / "quiet.tflite", SIZE, "int8", pictures(2, seed=1)[0])
    assert capfd.readouterr() == ("", "")

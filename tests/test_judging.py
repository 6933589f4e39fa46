"""What judges a `.tflite` file: agreement, float16's range, int8's cost and where it arises, latency."""

import time

import keras
import numpy as np
import pytest
from helpers import CLASSES, SIZE, asking, noise, pictures, randomize, trained_encoder_decoder
from keras import layers, ops

from segcourse import models, tflite
from segcourse.layers.local_response import LocalResponseNormalization
from segcourse.metrics import confusion_matrix, scores
from segcourse.tflite import conversion
from segcourse.tflite.agreement import ALLOWED
from segcourse.tflite.int8 import LayerNames

# Agreement


def logits(seed=0, classes=3):
    return np.random.default_rng(seed).normal(size=(2, 6, 8, classes)).astype(np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["expected", "found", "both"])
def test_what_is_not_finite_is_wrong(value, where):
    expected, found = logits(), logits()
    assert tflite.agreement(expected, found).failures() == []
    for name, array in (("expected", expected), ("found", found)):
        if where in (name, "both"):
            array[0, 0, :2, 1] = value
    judged = tflite.agreement(expected, found)
    assert judged.not_finite == 2 and judged.equal_labels == 1 - 2 / 96
    assert judged.largest_difference == judged.rms_difference == np.inf
    assert np.isfinite(judged.logit_range) and judged.usual_difference == 0
    assert all("2 of 96 pixels have NaN" in judged.failures(q)[0] for q in conversion.QUANTIZATIONS)


def test_all_nan_is_wrong_everywhere():
    nothing = np.full((1, 2, 2, 3), np.nan, np.float32)
    judged = tflite.agreement(nothing, nothing)
    assert judged.equal_labels == 0 and judged.not_finite == 4 and len(judged.failures()) == 4
    assert "0.0000%" in str(judged)


@pytest.mark.parametrize("constant", [0.0, 3.0, -3.0])
def test_constant_logits_are_measured_by_their_size(constant):
    expected = np.full((1, 4, 4, 3), constant, np.float32)
    assert tflite.agreement(expected, expected).failures() == []
    judged = tflite.agreement(expected, expected + 0.5)
    assert judged.relative_difference == pytest.approx(0.5 / (abs(constant) or 1))
    assert len(judged.failures("int8")) == 2  # equal labels, other values
    assert "labels equal" in str(judged)


def test_one_logit_a_pixel_is_judged_by_its_sign():
    expected = logits(classes=1)
    found = expected.copy()
    found[0, :3] *= -1  # 24 of 96 pixels
    assert tflite.agreement(expected, expected).equal_labels == 1
    assert tflite.agreement(expected, found).equal_labels == 0.75
    probability = 1 / (1 + np.exp(-expected))
    assert tflite.agreement(probability, 1 / (1 + np.exp(-found))).equal_labels == 0.75


@pytest.mark.parametrize("quantization", conversion.QUANTIZATIONS)
def test_every_precision_has_a_limit(quantization):
    labels, usual, rms = ALLOWED[quantization]
    right = {"equal_labels": labels, "usual_difference": 2 * usual, "rms_difference": 2 * rms}

    def failures(**changed):
        values = {**right, **changed}
        return tflite.Agreement(largest_difference=1, logit_range=2, pixels=9, **values).failures(
            quantization
        )

    assert failures() == []
    for name, worse in (
        ("equal_labels", labels - 1e-6),
        ("usual_difference", 2.01 * usual),
        ("rms_difference", 2.01 * rms),
    ):
        assert len(failures(**{name: worse})) == 1, name


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match="one pixel or more"):
        tflite.agreement(np.zeros((0, 4, 4, 3)), np.zeros((0, 4, 4, 3)))


# Float16


def ranges_of(model, tmp_path, images=None):
    path = tflite.convert(model, tmp_path / "float32.tflite", SIZE)
    return tflite.float16_ranges(path, pictures(2, seed=1)[0] if images is None else images)


def test_a_network_that_fits_into_float16(tmp_path):
    model, images = trained_encoder_decoder(), pictures(3, seed=1)[0]
    found = ranges_of(model, tmp_path, images)
    assert found.problems == () and found.images == 3
    largest = np.abs(model.predict(images.astype(np.float32), verbose=0)).max()
    assert found.tensors[-1].largest == pytest.approx(largest, rel=1e-4)
    assert found.largest.largest >= largest * 0.999


def normalised(scale, epsilon=1e-3):
    """A layer normalisation of activations of this size: its squares go through the file."""
    return asking(lambda x: layers.LayerNormalization(epsilon=epsilon)(layers.Rescaling(scale)(x)))


def test_squares_beyond_float16_are_named_where_keras_sees_nothing(tmp_path):
    model = normalised(2000.0)
    half = tflite.in_precision(model, "float16")
    assert np.isfinite(half.predict(pictures(2, seed=1)[0].astype("float16"), verbose=0)).all()
    found = ranges_of(model, tmp_path)
    first = found.problems[0]
    assert first.range.operator == "SQUARED_DIFFERENCE" and "layer_normalization" in first.range.tensor
    assert first.range.largest > 65504 and "beyond float16's 65504" in str(found)
    assert ranges_of(normalised(2.0), tmp_path).problems == ()


def test_the_input_decides(tmp_path):
    model = normalised(300.0)
    grey, black = np.full((1, *SIZE, 3), 127), np.zeros((1, *SIZE, 3))
    assert ranges_of(model, tmp_path, grey).problems == ()
    assert ranges_of(model, tmp_path, black).problems != ()


def test_an_epsilon_that_becomes_zero_is_named(tmp_path):
    (problem,) = ranges_of(normalised(1.0, epsilon=1e-12), tmp_path).problems
    assert problem.range.constant and problem.range.operator == "ADD"
    assert "1e-12 becomes 0" in str(problem)
    assert ranges_of(normalised(1.0, epsilon=1e-7), tmp_path).problems == ()


def test_a_divisor_that_becomes_zero_is_named(tmp_path):
    def divided(scale):
        return asking(lambda x: ops.rsqrt(ops.sigmoid(x) * scale * scale) * scale)

    assert ranges_of(divided(0.01), tmp_path).problems == ()
    reasons = " ".join(map(str, ranges_of(divided(1e-4), tmp_path).problems))
    assert "RSQRT divides by it" in reasons


@pytest.mark.parametrize("function", [lambda x: ops.log(x - 1e6), lambda x: (x - 1e6) ** 2.5])
def test_what_float32_cannot_hold_is_named(function, tmp_path):
    """Of a logarithm or a power, nothing but the data tells whether its result is a number."""
    found = ranges_of(asking(lambda x: ops.nan_to_num(function(x))), tmp_path)
    assert found.problems and "nan in float32 already" in str(found)


@pytest.mark.parametrize("height, wrong", [(-9e3, False), (-2e4, True)])
def test_a_maximum_below_what_a_gpu_starts_from_is_named(delegate, height, wrong, tmp_path):
    model, images = asking(lambda x: layers.MaxPooling2D(2)(1e-3 * x + height)), pictures(1, seed=1)[0]
    path = tflite.convert(model, tmp_path / "pool.tflite", SIZE)
    assert tflite.inspect(path).gpu_ready, "the file does not tell"
    problems = [str(problem) for problem in tflite.float16_ranges(path, images).problems]
    assert ["as low as -20000, where a GPU's answer is -10000" in problem for problem in problems] == [
        True
    ] * wrong
    assert bool(tflite.with_cpu(path, images, delegate(path, images)).failures()) == wrong


def test_float16_of_a_network_with_batch_normalisation():
    model = randomize(models.build("segnet_basic", width=0.1))
    images = noise((64, 64), 2).astype(np.float32)
    half = tflite.in_precision(model, "float16")
    assert half.compute_dtype == "float16" or half.layers[1].compute_dtype == "float16"
    found = half.predict(images.astype(np.float16), verbose=0)
    assert found.dtype == np.float16
    judged = tflite.agreement(model.predict(images, verbose=0), found.astype(np.float32))
    assert judged.not_finite == 0 and judged.equal_labels > 0.9


# int8


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda x: x / 255, r"lies in 0\..*0\.\.255"),
        (lambda x: x / 127.5 - 1, r"lies in -.*0\.\.255"),
        (lambda x: x * 2, r"0\.\.255"),
        (lambda x: np.where(x > 200, np.nan, x), "NaN or infinite"),
        (lambda x: np.where(x > 200, np.inf, x), "NaN or infinite"),
    ],
)
def test_data_of_another_range_does_not_calibrate(spoil, message, tmp_path):
    images = spoil(pictures(2, seed=1)[0].astype(np.float32))
    with pytest.raises(ValueError, match=message):
        tflite.convert(asking(lambda x: x), tmp_path / "a.tflite", SIZE, "int8", images)
    assert not list(tmp_path.iterdir())


def test_a_file_that_stayed_in_float_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "_set_quantization", lambda *_: None)
    with pytest.raises(tflite.ConversionError, match="no 8-bit range"):
        tflite.convert(asking(lambda x: x), tmp_path / "a.tflite", SIZE, "int8", pictures(2, seed=1)[0])


def greys(count, seed):
    """Rectangles that differ in brightness alone: images and labels."""
    labels = pictures(count, seed)[1]
    values = 40 + 45 * labels + np.random.default_rng(seed).normal(0, 8, labels.shape)
    return np.repeat(values.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1), labels


@pytest.fixture(scope="module")
def fragile():
    """A network behind a local response normalisation, whose power int8 stores in two or three steps."""
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, 3))
    x = LocalResponseNormalization(name="norm")(image)
    for name in ("first", "second"):
        x = layers.Conv2D(12, 3, padding="same", name=name)(x)
        x = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.7, name=f"{name}_bn")(x))
    model = keras.Model(image, layers.Conv2D(CLASSES, 1, name="scores")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    model.fit(*greys(64, seed=1), batch_size=8, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def fragile_files(fragile, tmp_path_factory):
    """The network's float32 file, its int8 file, and the one with the normalisation in float."""
    folder, training = tmp_path_factory.mktemp("fragile"), greys(16, seed=1)[0]
    return {
        "float32": tflite.convert(fragile, folder / "float32.tflite", SIZE),
        "int8": tflite.convert(fragile, folder / "int8.tflite", SIZE, "int8", training),
        "kept": tflite.convert(fragile, folder / "kept.tflite", SIZE, "int8", training, keep_float=["norm"]),
    }


def test_a_layer_kept_in_float_brings_the_miou_back(fragile, fragile_files):
    images, labels = greys(16, seed=3)
    drops = {
        name: tflite.miou_drop(fragile_files["float32"], fragile_files[name], images, labels)
        for name in ("int8", "kept")
    }
    assert drops["int8"].before > 0.5, "the network has not learned: the comparison would mean nothing"
    assert drops["int8"].points > 0.1
    assert abs(drops["kept"].points) < 0.01
    assert "a drop of" in str(drops["int8"])


def test_the_kept_layer_is_in_float_and_the_others_are_not(fragile_files):
    def dtypes(name, layer):
        return {t.dtype for t in tflite.inspect(fragile_files[name]).tensors if f"/{layer}_" in t.name}

    assert dtypes("kept", "norm") == {"float32"} and "int8" in dtypes("int8", "norm")
    assert dtypes("kept", "second") == dtypes("int8", "second") == {"int8"}
    assert [t.name for t in tflite.inspect(fragile_files["kept"]).inputs.values()]
    assert list(tflite.inspect(fragile_files["kept"]).outputs) == ["logits"]


def test_the_layer_that_suffers_is_named(fragile, fragile_files):
    images = greys(2, seed=3)[0]
    found, kept = (
        tflite.layer_errors(fragile, fragile_files["float32"], fragile_files[name], images)
        for name in ("int8", "kept")
    )
    assert found.worst[0].layer == "norm" and found.worst[0].added > 0.2, str(found)
    assert "norm (" in str(found)
    assert [error.layer for error in found.layers] == [
        "norm",
        "first+first_bn+first_relu",
        "second+second_bn+second_relu",
        "scores",
    ]
    assert [error.layer for error in kept.layers] == [error.layer for error in found.layers]
    assert kept.layers[0].error < 0.01 and kept.layers[-1].error < 0.3 * found.layers[-1].error, str(kept)
    same = tflite.layer_errors(fragile, *[fragile_files["float32"]] * 2, images)
    assert all(error.error == error.added == 0 for error in same.layers)


def test_layers_of_a_file_are_told_apart(tmp_path):
    """ "conv2d_1" and the second call of "conv2d" look alike: the graph adds "_1" to every name."""
    model = trained_encoder_decoder()
    path = tflite.convert(model, tmp_path / "a.tflite", SIZE)
    names = LayerNames(model)
    found = [names.of(t.name) for t in tflite.inspect(path).tensors]
    convolutions = [layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert [own[0] for own in found if own and own[0] in convolutions] == [
        name for name in convolutions if name != "conv2d_transpose"
    ]
    assert found[-1] == [model.layers[-1].name] and found[0] == []


@pytest.mark.parametrize("arguments, message", [
    ({"quantization": "int8", "keep_float": ["nope"]}, "layer 'nope'. There are: .*norm, .*scores"),
    ({"quantization": None, "keep_float": ["norm"]}, "'int8' alone"),
])  # fmt: skip
def test_bad_layers_to_keep(fragile, tmp_path, arguments, message):
    data = pictures(2, seed=1)[0] if arguments["quantization"] else None
    with pytest.raises(ValueError, match=message):
        tflite.convert(fragile, tmp_path / "a.tflite", SIZE, representative_data=data, **arguments)


def test_miou_drop_counts_as_the_metrics_do(fragile, fragile_files):
    images, labels = pictures(6, seed=4)
    labels[:, :8] = 255
    found = tflite.miou_drop(fragile, fragile_files["int8"], images, labels)
    for miou, predicted in (
        (found.before, fragile.predict(images.astype(np.float32), verbose=0).argmax(-1)),
        (found.after, tflite.Runner(fragile_files["int8"]).labels(images)),
    ):
        assert miou == pytest.approx(scores(confusion_matrix(labels, predicted, CLASSES))["miou"], abs=1e-3)
    assert found.points == found.before - found.after and found.pictures == 6
    with pytest.raises(ValueError, match="tells 5 classes apart"):
        tflite.miou_drop(fragile, fragile_files["int8"], images, np.full_like(labels, CLASSES))


# Latency


@pytest.fixture(scope="module")
def open_file(tmp_path_factory):
    """A file whose height and width are open, as Keras' own export writes it."""
    image = keras.Input((None, None, 3))
    model = keras.Model(
        image, layers.Conv2D(4, 3, padding="same")(layers.Conv2D(32, 3, padding="same")(image))
    )
    path = tmp_path_factory.mktemp("open") / "open.tflite"
    model.export(path, format="litert", verbose=False)
    return path


def test_a_file_of_open_size_is_measured_at_the_images_size(open_file):
    with pytest.raises(ValueError, match="leaves the size of its image open"):
        tflite.benchmark(open_file, runs=2)
    small, large = (tflite.benchmark(open_file, noise(size), runs=5) for size in ((16, 16), (384, 384)))
    assert large.median > 10 * small.median
    assert large.file_memory_bytes > small.file_memory_bytes + 384 * 384 * 32 * 4
    assert tflite.Runner(open_file, size=(16, 24)).output_shape == (1, 16, 24, 4)


def test_keras_is_timed_without_the_overhead_of_predict(tmp_path):
    model, image = trained_encoder_decoder(), pictures(1, seed=1)[0].astype(np.float32)
    before = model.jit_compile
    found = tflite.benchmark(tflite.convert(model, tmp_path / "a.tflite", SIZE), image, runs=5, model=model)
    predict = []
    for _ in range(4):
        start = time.perf_counter()
        model.predict(image, verbose=0)
        predict.append(time.perf_counter() - start)
    assert np.median(found.keras_seconds) < min(predict)
    assert model.jit_compile == before

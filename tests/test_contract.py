"""Every registered network keeps the contract (design: `tests/contract.py`)."""

import ast
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import contract
import keras
import numpy as np
import pytest
from contract import CASES, CLASSES, logits_of, noise, one_image, randomize, trained

import segcourse
from segcourse import tflite, training
from segcourse.models import MODELS

PACKAGE = Path(segcourse.__file__).parent
every_case = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
PUBLISHED = [case for case in CASES if case.parameters is not None]
SPLIT = [case for case in CASES if case.not_converted]


def test_every_registered_network_has_a_case_with_its_published_size():
    assert sorted(case.name for case in PUBLISHED) == sorted(MODELS)
    assert len({case.id for case in CASES}) == len(CASES)


# Shapes


@every_case
def test_logits_have_the_resolution_of_the_input(case):
    dynamic = randomize(case.build())
    assert dynamic.output_shape == (None, None, None, CLASSES)
    for size in case.sizes:
        images = noise(size, count=2)
        logits = logits_of(dynamic, images)
        assert logits.shape == (2, *case.output(size), CLASSES)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all() and np.ptp(logits) > 0
        np.testing.assert_array_equal(logits_of(dynamic, images.astype("float32")), logits)


@every_case
def test_a_fixed_input_shape_gives_the_same_logits(case):
    dynamic = randomize(case.build())
    for size in case.sizes:
        static = case.build(size)
        assert static.output_shape == (None, *case.output(size), CLASSES)
        static.set_weights(dynamic.get_weights())
        expected = logits_of(dynamic, noise(size))
        np.testing.assert_allclose(logits_of(static, noise(size)), expected, atol=1e-5 * np.ptp(expected))


@every_case
@pytest.mark.parametrize("side", ["height", "width"])
def test_too_small_an_image_is_an_error_that_says_what_is_needed(case, side):
    small, enough = case.minimum - 1, case.minimum + 1
    with pytest.raises(ValueError, match=f"{small}.*at least {case.minimum}"):
        case.build((small, enough) if side == "height" else (enough, small))


@every_case
@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(case, channels):
    if channels not in case.channels:
        with pytest.raises(ValueError, match="RGB"):
            case.build(input_shape=(None, None, channels), classes=3)
        return
    model = randomize(case.build(input_shape=(None, None, channels), classes=3))
    images = np.random.default_rng(0).integers(0, 256, (1, *case.size, channels), dtype=np.uint8)
    assert logits_of(model, images).shape == (1, *case.output(case.size), 3)


# Weights


@pytest.mark.parametrize("case", PUBLISHED, ids=[case.id for case in PUBLISHED])
def test_the_default_configuration_has_the_published_number_of_weights(case):
    assert contract.trainable_weights(MODELS[case.name]) == case.parameters


@every_case
def test_a_gradient_reaches_every_trainable_weight(case):
    found = contract.gradients(randomize(case.build()), noise(case.sizes[-1], count=2))
    assert len(found) > 0
    assert [path for path, gradient in found.items() if not np.isfinite(gradient).all()] == []
    assert [path for path, gradient in found.items() if not gradient.any()] == []


@every_case
def test_it_learns_one_image_by_heart(case):
    model, losses = trained(case)
    images, labels = one_image(case)
    counts = np.bincount(labels[labels < CLASSES])
    assert (counts > 0).sum() >= 4 and counts.max() < 0.7 * labels.size  # or guessing one class were enough
    assert losses[-1] < 0.5 * losses[0]
    right = logits_of(model, images).argmax(-1) == labels
    accuracy = right[labels < CLASSES].mean()
    assert accuracy > case.accuracy, (
        f"{accuracy:.3f} after {case.steps} steps, losses {losses[:: len(losses) // 8]}"
    )


# Saved files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every small network with random weights as a `.keras` file: dict case id -> (file, its logits here)."""
    folder, files = tmp_path_factory.mktemp("saved"), {}
    for case in CASES:
        model, file, images = randomize(case.build()), folder / f"{case.id}.keras", noise(case.sizes[-1])
        model.save(file)
        np.save(f"{file}.images.npy", images)
        files[case.id] = file, logits_of(model, images)
    return files


@pytest.fixture(scope="module")
def loaded(saved):
    return contract.load_elsewhere([file for file, _ in saved.values()])


@every_case
def test_a_saved_file_gives_identical_logits_in_a_process_that_only_imports_segcourse(case, saved, loaded):
    file, expected = saved[case.id]
    logits = loaded[str(file)]
    assert not isinstance(logits, str), logits
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(logits, expected)


@pytest.fixture(scope="module", params=["jax", "torch"])
def on_backend(request, saved, tmp_path_factory):
    backend = request.param
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend} to check that backend too")
    if backend == keras.backend.backend():
        pytest.skip(f"{backend} is the backend of this run")
    folder, files = tmp_path_factory.mktemp(backend), {}
    for case_id, (file, _) in saved.items():
        files[case_id] = shutil.copy(file, folder)
        shutil.copy(f"{file}.images.npy", folder)
    results = contract.load_elsewhere(files.values(), backend)
    return {case_id: results[str(file)] for case_id, file in files.items()}


@every_case
def test_other_backends_compute_the_same(case, saved, on_backend):
    logits, expected = on_backend[case.id], saved[case.id][1]
    assert not isinstance(logits, str), logits
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.ptp(expected))


# Precision


@every_case
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_finite_float32_logits_and_nearly_the_same_labels(case, policy):
    full = trained(case)[0]
    with training.precision(policy):
        mixed = case.build()
    assert keras.config.dtype_policy().name == "float32"
    assert {layer.compute_dtype for layer in mixed.layers} >= {policy.removeprefix("mixed_")}
    mixed.set_weights(full.get_weights())
    images = one_image(case)[0]
    logits, expected = logits_of(mixed, images), logits_of(full, images)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() > 0.97


# The phone


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")

    def convert(case):
        path = folder / f"{case.id}.tflite"
        model = case.part_for_phone(trained(case)[0])
        return path if path.exists() else tflite.convert(model, path, input_size=case.size)

    return convert


@every_case
def test_the_tflite_file_agrees_with_keras(case, tflite_file):
    images = np.concatenate([one_image(case)[0], one_image(case)[0][:, :, ::-1], noise(case.size)])
    same = tflite.compare(case.part_for_phone(trained(case)[0]), tflite_file(case), images)
    assert same.equal_labels >= 0.999, str(same)
    assert same.relative_difference <= 1e-3, str(same)


@pytest.mark.parametrize("case", SPLIT, ids=[case.id for case in SPLIT])
def test_what_is_split_for_the_phone_cannot_be_converted_whole(case, tmp_path):
    with pytest.raises(tflite.ConversionError, match=case.not_converted):
        tflite.convert(case.build(), tmp_path / "whole.tflite", input_size=case.size)


@pytest.fixture(scope="module")
def delegate():
    reason = tflite.why_unavailable()
    if reason and os.environ.get("SEGCOURSE_REQUIRE_GPU_DELEGATE") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return tflite.run_on_gpu_delegate


@every_case
def test_the_file_holds_nothing_that_a_mobile_gpu_refuses(case, tflite_file):
    problems = [str(problem) for problem in tflite.inspect(tflite_file(case)).problems]
    if case.not_on_gpu:
        assert any(case.not_on_gpu in problem for problem in problems), problems
    else:
        assert problems == []


@every_case
def test_a_mobile_gpu_computes_the_whole_network(case, tflite_file, delegate):
    path, images = tflite_file(case), one_image(case)[0]
    if case.not_on_gpu:
        with pytest.raises(tflite.GpuDelegateRefused):
            delegate(path, images)
        return
    same = tflite.agreement(tflite.Runner(path)(images), delegate(path, images))
    assert same.equal_labels >= 0.999, str(same)
    assert same.relative_difference <= 1e-3, str(same)


# Code: Keras alone, on every backend

TAUGHT = ("encoders", "layers", "models", "losses", "metrics")
# What taught modules may use of this package: kernels, and nothing else that imports a backend.
NEUTRAL = (*TAUGHT, "kernels", "paths")
SOURCES = sorted(
    str(file.relative_to(PACKAGE))
    for name in TAUGHT
    for file in [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]
)


# TensorFlow: its faster kernels, when it is the backend. NumPy: constants, and checks outside a graph.
BESIDE_KERAS = {
    "layers/normalization.py": {"tensorflow"},
    "layers/crf/lattice.py": {"numpy"},
    "layers/crf/exact.py": {"numpy"},
    "layers/crf/spatial.py": {"numpy"},
    "layers/crf/mean_field.py": {"numpy"},
}


def imports(source):
    """Dotted names of all that a source file imports, inside functions too: `from a import b` is `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


def foreign(source, file=""):
    """The imports of a taught module that tie it to one backend, or to a library beside Keras."""
    allowed = {*sys.stdlib_module_names, "keras"} | BESIDE_KERAS.get(file, set())
    found = []
    for name in imports(source):
        root, *rest = name.split(".")
        neutral = rest[:1] and rest[0] in NEUTRAL if root == "segcourse" else root in allowed
        if not neutral or name.startswith("keras.src"):
            found.append(name)
    return found


@pytest.mark.parametrize("file", SOURCES)
def test_taught_modules_import_keras_alone(file):
    assert foreign((PACKAGE / file).read_text(), file) == []


def test_the_taught_modules_are_found():
    assert {"encoders/vgg.py", "layers/bilinear.py", "losses.py", "metrics.py", "models/fcn.py"} <= set(
        SOURCES
    )


@pytest.mark.parametrize(
    "line",
    [
        "import numpy as np",
        "import tensorflow as tf",
        "def f():\n    import torch",
        "from jax import numpy",
        "import keras, scipy.ndimage",
        "from keras.src import backend",
        "from segcourse import training",
        "from segcourse.datasets import toycam",
        "from .. import training",
    ],
)
def test_a_foreign_import_is_noticed(line):
    assert foreign(line, "models/fcn.py")


def test_the_one_exception_is_the_fused_batch_normalization():
    assert foreign("import tensorflow as tf", "layers/normalization.py") == []

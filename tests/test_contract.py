"""Every registered network keeps the contract (design: `tests/contract.py`)."""

import ast
import inspect
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from contract import (
    CASES,
    CLASSES,
    five_images,
    logits_of_noise,
    one_image,
    randomized,
    trained,
)
from delegate_table import fitting
from export_lessons import is_generated
from helpers import (
    array,
    assert_same,
    gradients,
    load_elsewhere,
    logits_of,
    noise,
    randomize,
    trainable_weights,
)

import segcourse
from segcourse import tflite, training
from segcourse.layers.unpooling import MaxPoolingWithIndices2D
from segcourse.models import MODELS, build

PACKAGE = Path(segcourse.__file__).parent


def over(cases):
    """Parametrizes with cases; by "network=" the scheduler in conftest.py keeps a case on one worker."""
    return pytest.mark.parametrize("case", cases, ids=[f"network={case.id}" for case in cases])


every_case = over(CASES)
PUBLISHED = [case for case in CASES if case.parameters is not None]
SPLIT = [case for case in CASES if case.not_converted]


def test_every_registered_network_has_a_case_with_its_published_size():
    assert sorted(case.name for case in PUBLISHED) == sorted(MODELS)
    assert len({case.id for case in CASES}) == len(CASES)


# Shapes


@every_case
def test_logits_have_the_resolution_of_the_input(case):
    assert randomized(case).output_shape == (None, None, None, CLASSES)
    for size in case.sizes:
        logits = logits_of_noise(case, size)
        assert logits.shape == (2, *case.output(size), CLASSES)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all() and np.ptp(logits) > 0


@every_case
def test_bytes_and_floats_are_the_same_image(case):
    size = case.sizes[0]
    logits = logits_of(randomized(case), noise(size, count=2).astype("float32"))
    np.testing.assert_array_equal(logits, logits_of_noise(case, size))


@every_case
def test_a_fixed_input_shape_gives_the_same_logits(case):
    for size in (case.sizes[0], case.sizes[-1]):
        static = case.build(size)
        assert static.output_shape == (None, *case.output(size), CLASSES)
        static.set_weights(randomized(case).get_weights())
        expected, logits = logits_of_noise(case, size), logits_of(static, noise(size, count=2))
        np.testing.assert_allclose(logits, expected, atol=1e-5 * np.ptp(expected))


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
    size = case.sizes[0]
    images = np.random.default_rng(0).integers(0, 256, (1, *size, channels), dtype=np.uint8)
    assert logits_of(model, images).shape == (1, *case.output(size), 3)


# Options


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_option_lists_the_known_ones(name):
    options = inspect.signature(MODELS[name]).parameters
    assert list(options)[:3] == ["input_shape", "classes", "width"]
    assert all(option.default is not option.empty for option in options.values())  # spelt out: no **options
    with pytest.raises(ValueError, match=f"{name} has no option 'widht'.*{', '.join(options)}"):
        build(name, widht=0.25)


# Weights


@over(PUBLISHED)
def test_the_default_configuration_has_the_published_number_of_weights(case):
    assert trainable_weights(MODELS[case.name]) == case.parameters


@every_case
def test_a_gradient_reaches_every_trainable_weight(case):
    found = gradients(randomized(case), noise(case.sizes[-1], count=2))
    assert len(found) > 0
    assert [path for path, gradient in found.items() if not np.isfinite(gradient).all()] == []
    assert [path for path, gradient in found.items() if not gradient.any()] == []


@every_case
def test_an_untrained_network_pays_about_the_loss_of_chance(case):
    """A start that cripples one network decides any comparison with it."""
    first = trained(case)[1][0]
    assert 0.8 * np.log(CLASSES) < first < 1.5 * np.log(CLASSES), f"the first loss is {first:.2f}"


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


# Saved files: one process loads them all

every_file = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every small network with random weights as a `.keras` file: dict case id -> (file, its logits here)."""
    folder, files = tmp_path_factory.mktemp("saved"), {}
    for case in CASES:
        model, file, images = randomized(case), folder / f"{case.id}.keras", noise(case.sizes[-1])
        model.save(file)
        np.save(f"{file}.images.npy", images)
        files[case.id] = file, logits_of(model, images)
    return files


@pytest.fixture(scope="module")
def loaded(saved):
    return load_elsewhere([file for file, _ in saved.values()])


@every_file
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
    results = load_elsewhere(files.values(), backend)
    return {case_id: results[str(file)] for case_id, file in files.items()}


@every_file
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
    images, model = five_images(case), case.part_for_phone(trained(case)[0])
    assert_same(logits_of(model, images), tflite.Runner(tflite_file(case))(images))


@over(SPLIT)
def test_what_is_split_for_the_phone_cannot_be_converted_whole(case, tmp_path):
    with pytest.raises(tflite.ConversionError, match=case.not_converted):
        tflite.convert(case.build(), tmp_path / "whole.tflite", input_size=case.size)


@every_case
def test_the_file_holds_nothing_that_a_mobile_gpu_refuses(case, tflite_file):
    problems = [str(problem) for problem in tflite.inspect(tflite_file(case)).problems]
    if case.not_on_gpu:
        assert any(case.not_on_gpu in problem for problem in problems), problems
    else:
        assert problems == []


@every_case
def test_a_mobile_gpu_computes_the_whole_network(case, tflite_file, delegate):
    path, images = tflite_file(case), five_images(case)
    if case.not_on_gpu:
        with pytest.raises(tflite.GpuDelegateRefused):
            delegate(path, images[:1])
        return
    assert_same(tflite.Runner(path)(images), delegate(path, images))


@over([case for case in CASES if not case.not_on_gpu])
@pytest.mark.parametrize("size", [(97, 131), (180, 240)])
def test_a_mobile_gpu_computes_it_at_other_sizes(case, size, delegate, tmp_path):
    """Where slices and strides do not come out even; `make delegate-table` has more sizes."""
    size = fitting(case, size)
    path = tflite.convert(case.part_for_phone(randomized(case)), tmp_path / "other.tflite", size)
    assert tflite.inspect(path).gpu_ready, tflite.inspect(path)
    images = noise(size, count=3)
    assert_same(tflite.Runner(path)(images), delegate(path, images))


# The comparison itself: what it must let pass, and what it must not

WITH_INDICES = next(case for case in CASES if case.name == "segnet_basic")


@pytest.fixture(scope="module")
def with_indices():
    """A trained network with pooling indices, five images, and its logits."""
    model, images = trained(WITH_INDICES)[0], five_images(WITH_INDICES)
    return model, images, logits_of(model, images)


def changed(model, layer_of):
    """The network with every layer made by `layer_of(layer)`, and the same weights."""
    copy = keras.models.clone_model(model, clone_function=layer_of)
    copy.set_weights(model.get_weights())
    return copy


def another_place(level, position):
    """Function of a layer: the pooling of `level` gets another index at one `position` of the first image."""

    class OneIndexMoved(MaxPoolingWithIndices2D):
        def call(self, x):
            pooled, indices = super().call(x)
            here = np.zeros(indices.shape, "int32")
            here[position] = 1
            return pooled, (indices + here) % 4

    def layer_of(layer):
        kind = OneIndexMoved if layer.name == f"pool{level}" else type(layer)
        return kind.from_config(layer.get_config())

    return layer_of


@over([WITH_INDICES])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_near_tie_may_move_one_value(case, with_indices, level):
    model, images, expected = with_indices
    pooled = keras.Model(model.input, model.get_layer(f"pool{level}").output[0])(images[:1])
    largest = np.unravel_index(np.argmax(pooled), pooled.shape)
    logits = logits_of(changed(model, another_place(level, largest)), images)
    assert np.abs(expected - logits).max() > 1e-3 * np.ptp(expected)  # more than rounding does
    assert_same(expected, logits)


class IndicesByColumn(MaxPoolingWithIndices2D):
    """Counts the places of a window down the columns, as an unpooling does not expect."""

    def call(self, x):
        pooled, indices = super().call(x)
        return pooled, indices % 2 * 2 + indices // 2


def by_column(layer):
    kind = IndicesByColumn if isinstance(layer, MaxPoolingWithIndices2D) else type(layer)
    return kind.from_config(layer.get_config())


def coarse_epsilon(layer):
    config = layer.get_config()
    return type(layer).from_config(config | {"epsilon": 1e-3} if "epsilon" in config else config)


def scaled_channel(model, name, factor):
    """The network with one output channel of one layer multiplied by `factor`."""
    copy = changed(model, lambda layer: type(layer).from_config(layer.get_config()))
    layer = copy.get_layer(name)
    kernel = array(layer.kernel).copy()
    kernel[..., 3] *= factor
    layer.kernel.assign(kernel)
    return copy


FAULTS = {
    "indices by column": lambda model, images: logits_of(changed(model, by_column), images),
    "epsilon 1e-3": lambda model, images: logits_of(changed(model, coarse_epsilon), images),
    "a channel is 1 % too large": lambda model, images: logits_of(
        scaled_channel(model, "conv2", 1.01), images
    ),
    "a channel is 0": lambda model, images: logits_of(scaled_channel(model, "conv_decode1", 0), images),
    "half a pixel to the right": lambda model, images: (
        (logits_of(model, images) + np.roll(logits_of(model, images), 1, axis=2)) / 2
    ),
    "BGR": lambda model, images: logits_of(model, images[..., ::-1]),
    "images in -1..1": lambda model, images: logits_of(model, images / np.float32(127.5) - 1),
    "two classes swapped": lambda model, images: logits_of(model, images)[..., [1, 0, *range(2, CLASSES)]],
    "the rim is zero": lambda model, images: np.pad(
        logits_of(model, images)[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1), (0, 0))
    ),
    "not a number in one pixel": lambda model, images: np.where(
        np.arange(images[..., 0].size).reshape(*images.shape[:3], 1) == 77, np.nan, logits_of(model, images)
    ),
}


@over([WITH_INDICES])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_no_near_tie(case, with_indices, fault):
    model, images, expected = with_indices
    logits = FAULTS[fault](model, images)
    with pytest.raises(AssertionError):
        assert_same(expected, logits)
    assert tflite.agreement(expected, logits).failures() != []  # the command says so as well


# Code: Keras alone, on every backend

TAUGHT = {str(file.relative_to(PACKAGE)): file for file in PACKAGE.rglob("*.py") if is_generated(file)}


def imports(source):
    """Dotted names of all that a source file imports, inside functions too: `from a import b` is `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


def uses_keras(file):
    return any(name.split(".")[0] == "keras" for name in imports(file.read_text()))


# The folders of what the lessons generated with Keras; model code is all in them that uses Keras.
FOLDERS = {name.split("/")[0] for name, file in TAUGHT.items() if uses_keras(file)}
MODEL_CODE = {
    str(file.relative_to(PACKAGE)): file
    for folder in FOLDERS
    for file in (PACKAGE / folder).rglob("*.py")
    if uses_keras(file)
}
# What it may use of this package. The kernels import a backend where it is the backend, and the checks of
# arguments are plain Python.
NEUTRAL = FOLDERS | {"kernels", "arguments"}
# NumPy is for constants, and for checks of numbers that are known. That it never gets a tensor needs no list
# of modules: the tensors of a network that is being built have no values yet, and NumPy refuses them.
LIBRARIES = {*sys.stdlib_module_names, "keras", "numpy"}


def foreign(source):
    """The imports of model code that tie it to one backend, or to a library beside Keras and NumPy."""
    found = []
    for name in imports(source):
        root, *rest = name.split(".")
        neutral = rest[:1] and rest[0] in NEUTRAL if root == "segcourse" else root in LIBRARIES
        if not neutral or name.startswith("keras.src"):
            found.append(name)
    return found


@pytest.mark.parametrize("file", sorted(MODEL_CODE))
def test_model_code_imports_keras_alone(file):
    assert foreign(MODEL_CODE[file].read_text()) == []


@pytest.mark.parametrize("file", sorted(path.name for path in (PACKAGE / "kernels").glob("*.py")))
def test_a_kernel_imports_its_backend_only_when_it_runs(file):
    body = ast.parse((PACKAGE / "kernels" / file).read_text()).body
    at_once = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    found = foreign(ast.unparse(ast.Module(at_once, [])))
    assert [name for name in found if not name.startswith("scipy.")] == []


def test_numpy_refuses_the_tensors_of_a_network():
    class Exponential(keras.layers.Layer):
        def call(self, x):
            return np.exp(x)

    with pytest.raises((NotImplementedError, TypeError, ValueError), match="(?i)numpy"):
        Exponential()(keras.Input((4, 4, 3)))


def test_the_model_code_is_found():
    """Tiles, borders of cells and other NumPy code is taught, but is none."""
    assert sorted(FOLDERS) == ["encoders", "layers", "losses", "metrics", "models"]
    known = {"encoders/vgg.py", "layers/normalization.py", "losses/cross_entropy.py", "models/fcn.py"}
    assert known <= MODEL_CODE.keys()
    beside = {"prediction/tiling.py", "metrics/objects.py", "datasets/borders.py"}
    assert beside <= TAUGHT.keys() - MODEL_CODE.keys()
    assert "models/registry.py" not in TAUGHT


@pytest.mark.parametrize(
    "line",
    [
        "import scipy",
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
    assert foreign(line)

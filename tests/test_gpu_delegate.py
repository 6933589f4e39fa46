"""LiteRT's real GPU delegate: what runs on it whole, and the negative controls that prove the check can fail.

Every control must be caught twice: by `inspect`, which only reads the file, and by the delegate, which
runs it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    SIZE,
    asking,
    encoder_decoder,
    pictures,
    trained_encoder_decoder,
    with_random_scores,
)
from keras import layers, ops

from segcourse import models, tflite
from segcourse.tflite import gpu

NOISE = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return trained_encoder_decoder()


def agrees(delegate, model, path, images):
    return tflite.agreement(model.predict(images.astype(np.float32), verbose=0), delegate(path, images))


# What runs whole


@pytest.mark.parametrize("quantization, equal, difference", [(None, 0.999, 1e-3), ("float16", 0.995, 1e-2)])
def test_the_gpu_takes_the_network_whole(delegate, model, tmp_path, quantization, equal, difference):
    images = pictures(4, seed=2)[0]
    path = tflite.convert(model, tmp_path / "whole.tflite", SIZE, quantization)
    assert tflite.inspect(path).gpu_ready
    found = agrees(delegate, model, path, images)
    assert found.equal_labels >= equal
    assert found.relative_difference <= difference


# CamVid's 11 classes; "valid" is the paper's scheme: zeros around the image, full bilinear kernels, crops.
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("name", ["fcn16s", "fcn8s"])
def test_the_gpu_takes_the_fcn_whole(delegate, name, padding, tmp_path):
    images = pictures(2, seed=3, size=(96, 128))[0]
    model = with_random_scores(models.build(name, classes=11, width=1 / 8, padding=padding))
    path = tflite.convert(model, tmp_path / f"{name}.tflite", (96, 128))
    assert tflite.inspect(path).gpu_ready, tflite.inspect(path)
    found = agrees(delegate, model, path, images)
    assert found.equal_labels >= 0.999
    assert found.relative_difference <= 1e-3


@pytest.mark.parametrize(
    "block",
    [
        lambda x: layers.Conv2DTranspose(8, 16, strides=8, padding="valid")(x)[:, 4:-4, 4:-4],
        lambda x: layers.Cropping2D(4)(layers.Conv2DTranspose(8, 16, strides=8, padding="valid")(x)),
        lambda x: layers.Conv2DTranspose(8, 8, strides=4, padding="same")(x),  # 24x32: divided by the stride
        lambda x: layers.MaxPooling2D(2, padding="same")(
            layers.Conv2D(8, 2)(x)
        ),  # odd size: Caffe's rounding up
        lambda x: layers.Conv2D(8, 3)(layers.ZeroPadding2D(20)(x)),
        lambda x: layers.Conv2D(16, 3, groups=2)(x),
        lambda x: ops.image.resize(x, (48, 64), interpolation="nearest"),
        lambda x: ops.concatenate([x[..., 4:], x[..., :4]], axis=-1),
        lambda x: ops.expand_dims(x[:, 0], 1),
        lambda x: x[..., ::-1],
        lambda x: x[:, 5:99, 3:77],
        lambda x: layers.MaxPooling2D(2)(layers.ZeroPadding2D(3)(x - 1.0)),
        lambda x: ops.subtract(*ops.split(x, 2, axis=-1)),
        lambda x: layers.Conv2DTranspose(8, 16, strides=8, padding="same")(layers.Conv2D(8, 4)(x)),
        lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2DTranspose(8, 4, strides=2)(x))),
        lambda x: layers.PReLU(shared_axes=[1, 2, 3], alpha_initializer="random_normal")(x - 1.0),
        lambda x: ops.take(x, 3, axis=2)[:, :, None],
        lambda x: 2.0**x,
        lambda x: layers.Conv2D(8, 3, activation="tanh")(x),
        lambda x: ops.where(np.arange(8) % 2 == 0, x, -x),
    ],
    ids=[
        "deconv+slice",
        "deconv+crop",
        "deconv-same",
        "pool-odd",
        "pad+conv",
        "groups-of-4",
        "nearest",
        "slices",
        "squeezing slice",
        "reversed slice",
        "slice beyond",
        "pad+pool",
        "split",
        "deconv-same-odd",
        "deconv+bn+relu",
        "one slope",
        "take one",
        "2**x",
        "conv with tanh",
        "constant condition",
    ],
)
def test_accepted_forms(delegate, block, tmp_path):
    """The fixes that `inspect` proposes, the forms of the FCN, and those that `convert` repairs."""
    model = asking(block)
    path = tflite.convert(model, tmp_path / "form.tflite", SIZE)
    assert tflite.inspect(path).gpu_ready, tflite.inspect(path)
    assert agrees(delegate, model, path, NOISE).relative_difference <= 1e-3


# Negative controls: refused


def _any_batch(model, path):
    """What a plain export writes: a signature with any batch size."""
    model.export(path, format="litert", verbose=False)


def _upsampling():
    """With an open batch, a transposed convolution computes its output's shape."""
    return asking(layers.Conv2DTranspose(8, 2, strides=2))


def _converted(block):
    return lambda path: tflite.convert(asking(block), path, SIZE)


class Argmax(keras.Layer):
    """int64 labels, which `keras.ops.argmax` (int32) does not make."""

    def call(self, x):
        return tf.argmax(x, axis=-1)


REFUSED = {
    "dynamic batch": (lambda path: _any_batch(_upsampling(), path), set()),
    "dynamic batch, atrous": (
        lambda path: _any_batch(asking(layers.Conv2D(8, 3, dilation_rate=2)), path),
        {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"},
    ),
    "nearest UpSampling2D": (
        _converted(layers.UpSampling2D(2, interpolation="nearest")),
        {"TILE", "RESHAPE"},
    ),
    "GroupNormalization": (_converted(layers.GroupNormalization(4)), {"RESHAPE", "MEAN"}),
    "int64 argmax": (
        lambda path: tflite.convert(keras.Sequential([encoder_decoder(), Argmax()]), path, SIZE),
        {"ARG_MAX"},
    ),
    "symmetric padding": (
        _converted(lambda x: ops.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], "symmetric")),
        {"MIRROR_PAD"},
    ),
}


@pytest.mark.parametrize("control", REFUSED)
def test_refused(delegate, control, tmp_path):
    write, operators = REFUSED[control]
    path = tmp_path / "control.tflite"
    write(path)
    report = tflite.inspect(path)
    caught = {problem.operator for problem in report.problems}
    assert caught, report
    assert operators <= caught, report
    assert all(problem.reason and problem.fix and problem.where for problem in report.problems)
    with pytest.raises(tflite.GpuDelegateRefused) as refused:
        delegate(path, NOISE)
    named = {operator for operator, reason in refused.value.operators}
    assert operators <= named
    assert named <= caught, f"the delegate refuses {named - caught}, which inspect lets pass"
    assert "inspect(path)" in str(refused.value)


@pytest.mark.parametrize("model", [_upsampling, lambda: asking(layers.ReLU())], ids=["SHAPE", "no SHAPE"])
def test_a_dynamic_batch_is_a_problem_of_the_input(model, tmp_path):
    _any_batch(model(), tmp_path / "any.tflite")
    report = tflite.inspect(tmp_path / "any.tflite")
    assert [tensor.shape for tensor in report.inputs.values()] == [(None, *SIZE, 3)]
    assert ("SHAPE" in report.operators) == (model is _upsampling)
    assert report.problems[0].operator == "input"
    assert not report.gpu_ready


def test_without_SHAPE_a_dynamic_batch_runs_as_a_batch_of_one(delegate, tmp_path):  # noqa: N802
    """The delegate takes it: the one thing that `inspect` calls a problem although the values are right."""
    model, path = asking(layers.ReLU()), tmp_path / "any.tflite"
    _any_batch(model, path)
    assert "SHAPE" not in tflite.inspect(path).operators
    assert agrees(delegate, model, path, NOISE).relative_difference <= 1e-3


# Negative controls: taken, and computed wrongly


WRONG = {
    "2 channels a group": (lambda x: layers.Conv2D(8, 3, groups=4)(x), "CONV_2D"),
    "6 channels a group": (lambda x: layers.Conv2D(8, 3, groups=2)(layers.Conv2D(12, 1)(x)), "CONV_2D"),
    "2 made per group of 4": (lambda x: layers.Conv2D(4, 3, groups=2)(x), "CONV_2D"),
    "slope above 1": (lambda x: layers.LeakyReLU(1.5)(x - 1.0), "LEAKY_RELU"),
    "64x64 kernel": (
        lambda x: layers.Conv2DTranspose(4, 64, strides=32)(layers.Conv2D(12, 1, strides=8)(x)),
        "TRANSPOSE_CONV",
    ),
}


@pytest.mark.parametrize("control", WRONG)
def test_taken_and_wrong(delegate, control, tmp_path):
    """If this fails because a new LiteRT computes the values of the CPU, the rule of `inspect` can go."""
    block, operator = WRONG[control]
    path = _converted(block)(tmp_path / "control.tflite")
    assert [problem.operator for problem in tflite.inspect(path).problems] == [operator]
    try:
        logits = delegate(path, NOISE)
    except tflite.GpuDelegateInvalid as invalid:
        logits = invalid.logits
    except tflite.GpuDelegateRefused as died:
        assert "SIG" in str(died)
        return
    found = tflite.agreement(tflite.Runner(path)(NOISE), logits)
    assert not found.relative_difference <= 0.05  # not: the wrong values may be NaN


def test_values_after_rejected_commands_are_not_returned(delegate, tmp_path):
    path = _converted(WRONG["2 channels a group"][0])(tmp_path / "groups.tflite")
    with pytest.raises(tflite.GpuDelegateInvalid, match="its values are wrong"):
        delegate(path, NOISE)


def test_a_dead_process_is_reported(delegate, tmp_path):
    path = _converted(WRONG["6 channels a group"][0])(tmp_path / "groups.tflite")
    with pytest.raises(tflite.GpuDelegateRefused, match="died of SIG"):
        delegate(path, NOISE)


# The check itself


def test_wrong_images_and_timeout(delegate, tmp_path):
    path = _converted(layers.ReLU())(tmp_path / "plain.tflite")
    with pytest.raises(ValueError, match=r"the file takes \[N, 48, 64, 3\]"):
        delegate(path, NOISE[:, :40])
    with pytest.raises(tflite.GpuDelegateError, match="no answer in 0.01 s"):
        delegate(path, NOISE, timeout=0.01)


def test_without_swiftshader_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("VK_DRIVER_FILES", raising=False)
    monkeypatch.setattr(gpu, "BROWSERS", ())
    monkeypatch.setattr(gpu.sys, "platform", "linux")
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: None)
    assert not tflite.gpu_delegate_available()
    with pytest.raises(tflite.GpuDelegateUnavailable, match="apt-get install chromium libvulkan1"):
        tflite.run_on_gpu_delegate("any.tflite", NOISE)


def test_without_the_vulkan_loader_it_says_what_to_install(monkeypatch):
    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpu.sys, "platform", "linux")
    monkeypatch.setattr(gpu.ctypes, "CDLL", absent)
    with pytest.raises(tflite.GpuDelegateUnavailable, match="libvulkan.so.1 is missing.*libvulkan1"):
        tflite.run_on_gpu_delegate("any.tflite", NOISE)


def test_the_delegates_list_is_read_from_its_log():
    log = """INFO: something
ERROR: Following operations are not supported by GPU delegate:
ARG_MAX: Tensor type(INT64) is not supported. logits
SPACE_TO_BATCH_ND: Operation is not supported.
4 operations will run on the GPU, and the remaining 2 operations will run on the CPU.
"""
    assert gpu._refused_operators(log) == [
        ("ARG_MAX", "Tensor type(INT64) is not supported. logits"),
        ("SPACE_TO_BATCH_ND", "Operation is not supported."),
    ]
    assert gpu._refused_operators("ERROR: another thing") == []

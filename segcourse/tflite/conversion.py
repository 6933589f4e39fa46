"""Keras model -> `.tflite` file with one static signature `image -> logits`."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.repair import repaired

if TYPE_CHECKING:
    import keras

QUANTIZATIONS = (None, "float16", "dynamic", "int8")


class ConversionError(RuntimeError):
    """The TFLite converter did not take the network; the message names the operators it refused."""


def convert(
    model: keras.Model,
    path: str | os.PathLike,
    input_size: tuple[int, int],
    quantization: str | None = None,
    representative_data: ArrayLike | None = None,
) -> Path:
    """Write `model` as a TFLite file for one input size.

    The file has the signature `image` float32 [1, H, W, C] in 0..255 -> `logits` float32 [1, H', W', K],
    whatever the quantisation: batch 1 and fixed sizes are what a mobile GPU needs, and one float interface
    serves every variant with one client. A network in mixed precision is rebuilt in float32 first.

    Args:
        model: a `keras.Model` with one image input (channels last) and one output.
        path: where the file goes; its folder is made. It appears complete or not at all.
        input_size: (height, width) in pixels; one file serves one size.
        quantization: None keeps float32. "float16" halves the file (for GPUs). "dynamic" stores the weights
            in 8 bits. "int8" also computes in 8 bits, every operator of it (for CPUs).
        representative_data: for "int8" only: about 100 images [N, H, W, C], uint8 or float in 0..255, from
            the training set; their activations fix the 8-bit ranges.

    Returns:
        `path` as a `pathlib.Path`.

    Raises:
        ValueError: an argument is wrong, or the network itself refuses the input size.
        RuntimeError: Keras does not run on TensorFlow, the only backend that exports.
        ConversionError: the converter has no TFLite operator for something in the network.
    """
    height, width = _checked_size(input_size)
    channels = _checked_channels(model, height, width)
    representative = _checked_representative(representative_data, quantization, (height, width, channels))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _converted(
        in_precision(model, "float32"), (1, height, width, channels), quantization, representative
    )
    _write_atomically(path, content)
    return path


def in_precision(model: keras.Model, dtype: str) -> keras.Model:
    """The same network and weights with every layer computing in `dtype`, e.g. "float32" or "float16".

    A phone's GPU computes in float16 by default: `in_precision(model, "float16")` shows here, before any
    phone is involved, whether an activation overflows there. A model whose layers are all in `dtype` already
    is returned as is.
    """
    import keras

    if all(layer.compute_dtype == dtype == layer.variable_dtype for layer in _leaves(model)):
        return model

    def rebuilt(layer):
        return layer.__class__.from_config({**layer.get_config(), "dtype": dtype})

    clone = keras.models.clone_model(model, clone_function=rebuilt, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


def _leaves(model):
    return [
        leaf for layer in model.layers for leaf in (_leaves(layer) if hasattr(layer, "layers") else [layer])
    ]


def _checked_size(input_size):
    try:
        height, width = input_size
        valid = all(
            isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in (height, width)
        )
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            f"input_size is {input_size!r}; needed are two positive integers (height, width) in pixels, "
            "e.g. input_size=(96, 128): a TFLite file serves one fixed size."
        )
    return int(height), int(width)


def _checked_channels(model, height, width):
    """Refuses what cannot be exported, before the slow part starts; returns the number of input channels."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras runs on the {keras.backend.backend()} backend, and only TensorFlow exports to TFLite. "
            "Save the model with model.save('model.keras'), then load and convert it in a process started "
            "with KERAS_BACKEND=tensorflow."
        )
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model is a {type(model).__name__}; needed is a keras.Model, e.g. models.build('fcn8s')."
        )
    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ValueError(
                f"model has {len(tensors)} {side}s ({names}); the signature image -> logits has one. "
                f"Pass a model with the one {side} that the phone needs: keras.Model(model.input, "
                "model.outputs[0])."
            )
    shape = model.inputs[0].shape
    if len(shape) != 4 or shape[-1] is None:
        raise ValueError(
            f"model takes {shape}; needed is [batch, height, width, channels] with known channels."
        )
    if any(own not in (None, asked) for own, asked in zip(shape[1:3], (height, width), strict=True)):
        raise ValueError(
            f"input_size is {(height, width)}, but the model was built for {tuple(shape[1:3])}. Pass that "
            f"size, or build the model with input_shape=(None, None, {shape[-1]}) and copy the weights: "
            "new.set_weights(model.get_weights())."
        )
    # A symbolic call: a network that cannot serve this size says so here, in its own words.
    model.compute_output_spec(keras.KerasTensor((1, height, width, shape[-1]), dtype=model.inputs[0].dtype))
    return shape[-1]


def _checked_representative(images, quantization, shape):
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"quantization is {quantization!r}; it must be one of {', '.join(map(repr, QUANTIZATIONS))}."
        )
    if quantization != "int8":
        if images is not None:
            raise ValueError(
                "representative_data is used by quantization='int8' alone, got "
                f"quantization={quantization!r}. Leave representative_data out, or ask for 'int8'."
            )
        return None
    if images is None:
        raise ValueError(
            "quantization='int8' needs representative_data: about 100 training images "
            f"[N, {', '.join(map(str, shape))}] in 0..255, from which the 8-bit ranges are measured."
        )
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        raise ValueError(
            f"representative_data has shape {images.shape}; needed is [N, {', '.join(map(str, shape))}] with "
            "N >= 1, images of the input_size that the file is for."
        )
    return images


def _converted(model, shape, quantization, representative):
    """The bytes of the TFLite file."""
    import keras
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def serve(image):
        return {"logits": model(image, training=False)}

    _refuse_python(serve.get_concrete_function().graph)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        # Gradients of our own, as the lattice has one, are of no use on a phone, and not all can be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(folder, options=options, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set_quantization(converter, quantization, representative)
        try:
            return repaired(converter.convert())
        except Exception as error:  # the converter's own exception class is private
            raise ConversionError(_explained(str(error))) from error


def _refuse_python(graph):
    """Raise where a graph calls Python: the converter folds constants by calling it, and waits for itself."""
    nodes = [
        *graph.as_graph_def().node,
        *(n for f in graph.as_graph_def().library.function for n in f.node_def),
    ]
    if called := sorted({node.op for node in nodes if "PyFunc" in node.op}):
        raise ConversionError(
            f"The network calls Python ({', '.join(called)}), which no phone has. Convert the part before "
            "that: of a network with a CRF, without_crf(model)."
        )


def _set_quantization(converter, quantization, representative):
    import tensorflow as tf

    if quantization is None:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            {"image": image[np.newaxis].astype(np.float32)} for image in representative
        )


def _explained(message):
    operators = sorted(set(re.findall(r"'(tf\.\w+)' op", message)))
    if not operators:
        return f"The TFLite converter failed: {message.strip()[:500]}"
    return (
        f"TFLite has no operator for {', '.join(operators)}. Use layers that it has: bilinear instead of "
        "bicubic resizing, max-unpooling by comparison instead of max_pool_with_argmax, logits out and "
        "argmax on the phone."
    )


@contextlib.contextmanager
def _quiet():
    """Keeps the logs of TensorFlow and of its converter (file descriptor 2) away from the reader."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), open(os.devnull, "w") as nothing:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # not a logger's level, which saving sets anew
        saved = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            logging.disable(before)


def _write_atomically(path, content):
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise

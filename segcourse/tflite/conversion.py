"""Keras model -> `.tflite` file with one static signature, `image -> logits` unless asked otherwise."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.annotation import annotated, check_classes
from segcourse.tflite.files import writable, write_atomically
from segcourse.tflite.images import as_array
from segcourse.tflite.int8 import LayerNames, checked_calibration
from segcourse.tflite.repair import repaired
from segcourse.tflite.tensors import Tensors

if TYPE_CHECKING:
    import keras

    from segcourse.datasets.labels import LabelSpec

QUANTIZATIONS = (None, "float16", "dynamic", "int8")
# What a file may give, and its dtype. int64, which an argmax has by default, is refused by mobile GPUs.
OUTPUTS = {"logits": "float32", "labels": "uint8", "labels_int32": "int32"}
INPUT_DTYPES = ("float32", "uint8")


class ConversionError(RuntimeError):
    """The TFLite converter did not take the network; the message names the operators it refused."""


def convert(
    model: keras.Model,
    path: str | os.PathLike,
    input_size: tuple[int, int],
    quantization: str | None = None,
    representative_data: ArrayLike | None = None,
    keep_float: Sequence[str] = (),
    *,
    output: str = "logits",
    input_dtype: str = "float32",
    classes: LabelSpec | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` as a TFLite file for one input size.

    The file has the signature `image` float32 [1, H, W, C] in 0..255 -> `logits` float32 [1, H', W', K],
    whatever the quantisation: batch 1 and fixed sizes are what a mobile GPU needs, and one float interface
    serves every variant with one client. A network in mixed precision is rebuilt in float32 first. Input
    range, classes, colours and origin are inside the file: `metadata(path)` gives them back.

    Args:
        model: a `keras.Model` with one image input (channels last). One output becomes `logits`; several
            keep their names: the keys of a dict, or those of the layers that a list or tuple comes from.
        path: where the file goes, ending in `.tflite`; its folder is made, `~` is the home folder. It appears
            complete or not at all.
        input_size: (height, width) in pixels; one file serves one size.
        quantization: None keeps float32. "float16" halves the file (for GPUs). "dynamic" stores the weights
            in 8 bits. "int8" also computes in 8 bits, every operator of it (for CPUs).
        representative_data: for "int8" only: about 100 images [N, H, W, C], uint8 or float in 0..255, from
            the training set; their activations fix the 8-bit ranges.
        keep_float: for "int8" only: names of Keras layers that go on computing in float32. `layer_errors`
            tells which ones need it.
        output: "logits"; or "labels", the class of every pixel as `labels` uint8 [1, H', W'], or
            "labels_int32", the same as int32: the argmax is then in the graph, and less is copied from a GPU.
        input_dtype: of `image`: "float32", or "uint8", the camera's own bytes, cast in the graph.
        classes: names and colours in the order of the ids, e.g. `datasets.spec("toycam")`, for the file.
        provenance: facts about the origin, for the file: {"network": "fcn8s", "data": "toycam"}.

    Returns:
        `path` as a `pathlib.Path`.

    Raises:
        ValueError: an argument is wrong, or the network itself refuses the input size.
        IsADirectoryError: `path` is a folder.
        RuntimeError: Keras does not run on TensorFlow, the only backend that exports.
        ConversionError: the converter has no TFLite operator for something in the network.
    """
    height, width = _checked_size(input_size)
    channels = _checked_channels(model, height, width)
    _check_interface(model, output, input_dtype)
    check_classes(classes, {tensor.shape[-1] for tensor in model.outputs if len(tensor.shape) == 4})
    shape = (1, height, width, channels)
    representative = _checked_representative(representative_data, quantization, shape[1:])
    keep_float = _checked_layers(keep_float, quantization)
    path = writable(path)
    serve = _endpoint(in_precision(model, "float32"), shape, output, input_dtype)
    content = _converted(*serve, quantization, representative, keep_float)
    write_atomically(path, annotated(content, classes, provenance))
    return path


def in_precision(model: keras.Model, dtype: str) -> keras.Model:
    """The same network and weights with every layer computing in `dtype`, e.g. "float32" or "float16".

    A phone's GPU computes in float16 by default: `in_precision(model, "float16")` shows what rounding does to
    the labels. It does not show every overflow: Keras' normalisations compute in float32 inside, whatever
    their dtype; `float16_ranges` finds those. In float16, batch normalisation keeps its weights in float32.
    A model whose layers are all in `dtype` already is returned as is.
    """
    import keras

    if all(layer.compute_dtype == dtype == layer.variable_dtype for layer in _leaves(model)):
        return model

    def rebuilt(layer):
        # TensorFlow's fused kernel wants scale and statistics in float32 beside float16.
        mixed = dtype == "float16" and isinstance(layer, keras.layers.BatchNormalization)
        policy = "mixed_float16" if mixed else dtype
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy})

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
    try:
        inputs = model.inputs
    except (AttributeError, ValueError) as error:  # a subclass of keras.Model; a Sequential not yet built
        raise ValueError(
            f"model is a {type(model).__name__} that does not say what it takes. Wrap it: image = "
            f"keras.Input(({height}, {width}, 3)); model = keras.Model(image, model(image))."
        ) from error
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ValueError(
            f"model has {len(inputs)} inputs ({names}); a file takes one image. Fix the others first: "
            "image = keras.Input(...); keras.Model(image, model([image, constant]))."
        )
    shape = inputs[0].shape
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
    model.compute_output_spec(keras.KerasTensor((1, height, width, shape[-1]), dtype=inputs[0].dtype))
    return shape[-1]


def _check_interface(model, output, input_dtype):
    if output not in OUTPUTS:
        raise ValueError(f"output is {output!r}; it must be one of {', '.join(map(repr, OUTPUTS))}.")
    if input_dtype not in INPUT_DTYPES:
        raise ValueError(
            f"input_dtype is {input_dtype!r}; it must be one of {', '.join(map(repr, INPUT_DTYPES))}."
        )
    if output != "logits" and len(model.outputs) > 1:
        raise ValueError(
            f"model has {len(model.outputs)} outputs ({', '.join(_output_names(model))}), and labels are "
            "those of one. Pass the one that the phone needs: keras.Model(model.input, model.outputs[0])."
        )
    if output != "logits" and model.outputs[0].shape[-1] < 2:
        raise ValueError(
            "model has one logit per pixel, and the largest of one is always class 0. Convert with "
            "output='logits', and compare with 0 on the phone."
        )
    if output == "labels" and model.outputs[0].shape[-1] > 256:
        raise ValueError(
            f"model tells {model.outputs[0].shape[-1]} classes apart, and output='labels' is uint8, up to "
            "256. Ask for output='labels_int32'."
        )


def _output_names(model):
    """The name of each output in the signature, in the order of `model.outputs`."""
    import keras

    if isinstance(model, keras.Sequential) or len(model.outputs) == 1 and not isinstance(model.output, dict):
        return ["logits"]
    names = list(model.output) if isinstance(model.output, dict) else model.output_names
    if len(set(names)) < len(names):
        return [f"output_{place}" for place in range(len(names))]
    return names


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
    images = as_array(images, "representative_data")
    if images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        raise ValueError(
            f"representative_data has shape {images.shape}; needed is [N, {', '.join(map(str, shape))}] with "
            "N >= 1, images of the input_size that the file is for."
        )
    return checked_calibration(images)


def _checked_layers(names, quantization):
    names = [names] if isinstance(names, str) else list(names)
    if names and quantization != "int8":
        raise ValueError(
            f"keep_float is used by quantization='int8' alone, got quantization={quantization!r}: all other "
            "files compute in float anyway."
        )
    return names


def _endpoint(model, shape, output, input_dtype):
    """The network and the function of its signature."""
    import tensorflow as tf

    names = _output_names(model)

    @tf.function(input_signature=[tf.TensorSpec(shape, input_dtype, name="image")])
    def serve(image):
        result = model(tf.cast(image, tf.float32), training=False)
        if isinstance(result, dict):
            return {name: result[name] for name in names}
        results = dict(zip(names, result if isinstance(result, list | tuple) else [result], strict=True))
        if output == "logits":
            return results
        (logits,) = results.values()
        return {"labels": tf.cast(_argmax(logits), OUTPUTS[output])}

    return model, serve


def _argmax(logits):
    """The argmax over the classes, int32, in the form that a mobile GPU takes and computes rightly.

    `keras.ops.argmax` needs an operator that TFLite lacks, and int64 is refused. GPUs keep channels in fours,
    filled up with zeros, and the delegate's argmax counts these: where all logits are negative, a class wins
    that there is not. So the first logits are appended once more; of equal values the first one wins.
    """
    import tensorflow as tf

    # One by one, because the delegate takes no tensor twice, and of two classes logits[..., :2] would be all.
    again = [logits[..., i : i + 1] for i in range(-logits.shape[-1] % 4)]
    filled = tf.concat([logits, *again], axis=-1) if again else logits
    return tf.argmax(filled, axis=-1, output_type=tf.int32)


def _converted(model, serve, quantization, representative, keep_float):
    """The bytes of the TFLite file."""
    import keras
    import tensorflow as tf

    _refuse_python(serve.get_concrete_function().graph)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        # Gradients of our own, as the lattice has one, are of no use on a phone, and not all can be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(folder, options=options, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set_quantization(converter, quantization, representative, serve.input_signature[0].dtype)
        if keep_float:
            content = _partly_in_float(converter, model, keep_float)
        else:
            with _explaining():
                content = converter.convert()
    if quantization == "int8":
        _refuse_unquantised(content)
    return repaired(content)


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


def _set_quantization(converter, quantization, representative, dtype):
    import tensorflow as tf

    if quantization is None:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            {"image": image[np.newaxis].astype(dtype.as_numpy_dtype)} for image in representative
        )


# What to write instead of an operator that TFLite lacks.
ADVICE = {
    "tf.ResizeBicubic": "resize bilinearly instead of bicubically",
    "tf.MaxPoolWithArgmax": "find the maxima again by comparison, up(y) * cast(x == up(maxpool(x))), as "
    "segcourse.layers.unpooling.MaxUnpooling2D does",
    "tf.BitwiseAnd": "where keras.ops.argmax makes it, end the network with the logits and call "
    "convert(..., output='labels')",
    "tf.MatrixInverse": "invert before the conversion, in NumPy, what does not depend on the image",
}


def _partly_in_float(converter, model, layers):
    """An int8 file in which what comes from these layers computes in float32."""
    import tensorflow as tf

    with _explaining():  # measures the ranges, once for all options
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset
        )
    outputs = Tensors(debugger.calibrated_model).names.values()
    nodes = LayerNames(model).tensors(layers, outputs)
    with _explaining():
        debugger.options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=nodes)
        return debugger.get_nondebug_quantized_model()


@contextlib.contextmanager
def _explaining():
    """The converter's failures as a `ConversionError`."""
    try:
        yield
    except Exception as error:  # its own exception class is private
        raise ConversionError(_explained(str(error))) from error


def _refuse_unquantised(content):
    """The converter leaves what it has no range for in float32, and says nothing."""
    if not any(node.kind == "QUANTIZE" for node in Tensors(content).operators):
        raise ConversionError(
            "The converter found no 8-bit range: the file would be in float32. Look for NaN in the weights "
            "(model.get_weights()) and in the activations."
        )


def _explained(message):
    operators = sorted(set(re.findall(r"'(tf\.\w+)' op", message)))
    if not operators:
        return f"The TFLite converter failed: {message.strip()[:500]}"
    return " ".join(_advice(operator, message) for operator in operators)


def _advice(operator, message):
    """One sentence: the operator, the layers that make it, and what to do."""
    kind = operator.removeprefix("tf.")
    # The converter names a place as network/layer/.../operator@function.
    layers = sorted(
        {"/".join(place.split("/")[1:-1]) for place in re.findall(rf'"([\w/]+/{kind}\w*)@', message)}
    )
    where = f" (in {', '.join(layers[:3])})" if any(layers) else ""
    fix = ADVICE.get(operator, "replace the layer that needs it, or convert the part before it")
    return f"TFLite has no operator for {operator}{where}: {fix}."


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

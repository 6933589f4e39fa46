"""Between images in 0..255 and the tensors of a `.tflite` file, whatever their dtype."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segcourse.tflite.annotation import Metadata, metadata

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

COVERED = 0.9  # of the pixels' range must fit into an 8-bit input: less would cut bright pixels off


def as_array(images: Any, name: str = "images") -> np.ndarray:
    """Images as one array of finite numbers.

    Raises:
        ValueError: a generator, a tf.data.Dataset, images of different sizes, text, NaN or infinity.
    """
    if hasattr(images, "as_numpy_iterator"):
        raise ValueError(
            f"{name} is a tf.data.Dataset; needed is an array [N, H, W, C]. Take some batches out of it: "
            "np.concatenate([images for images, labels in dataset.take(12).as_numpy_iterator()])."
        )
    if hasattr(images, "__next__") or callable(images):
        raise ValueError(
            f"{name} is a {type(images).__name__}, which may have no end; needed is an array [N, H, W, C]: "
            "np.stack(list(itertools.islice(images, 100)))."
        )
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise ValueError(f"{name} are of different shapes. Resize them to one: {error}") from error
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} have dtype {array.dtype}; needed are numbers, uint8 or float in 0..255.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} have NaN or infinite values; needed are 0..255. Look where they come from.")
    return array


class Interface:
    """What a file takes and gives, in terms of images and classes.

    Args:
        interpreter: LiteRT's, of the file; it need not have allocated its tensors.
        path: the file, whose metadata say how pixels become inputs.

    Attributes:
        input_shape: (N, H, W, C), None where it is not fixed.
        output_shape: (N, H', W', classes) of the main output: `logits`, else `labels`, else the first.
            For labels, the number of classes comes from the metadata, or is None.
        outputs: the names of all outputs, the main one first.
        gives_labels: the main output is the class of every pixel, not a score for every class.

    Raises:
        ValueError: the input is not one image, or pixels do not fit it.
    """

    def __init__(self, interpreter: Interpreter, path: Path):
        self._path, self._metadata = path, metadata(path) or Metadata()
        self._input = _image_input(interpreter, path)
        self._outputs = _named_outputs(interpreter)
        self.input_shape = _shape(self._input)
        self.outputs = tuple(self._outputs)
        main = self._outputs[self.outputs[0]]
        self.gives_labels = np.issubdtype(main["dtype"], np.integer) and not main["quantization"][0]
        shape = _shape(main)
        classes = len(self._metadata.names) or None
        self.output_shape = (*shape[:3], classes) if self.gives_labels else shape
        self._check_range()

    @property
    def input_index(self) -> int:
        """The number of the input tensor."""
        return self._input["index"]

    @property
    def output_indices(self) -> dict[str, int]:
        """Name of an output -> number of its tensor."""
        return {name: details["index"] for name, details in self._outputs.items()}

    def encoded(self, images: np.ndarray) -> np.ndarray:
        """Images in 0..255 as the file's input: normalised as its metadata say, quantised as it wants."""
        values = (np.asarray(images, np.float32) - self._per_channel("mean")) / self._per_channel("std")
        dtype, (scale, zero) = np.dtype(self._input["dtype"]), self._input["quantization"]
        if dtype == np.float32:
            return values
        limits = np.iinfo(dtype)
        values = values / scale + zero if scale else values
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)

    def decoded(self, name: str, values: np.ndarray) -> np.ndarray:
        """An output in its own units: float32 for scores, quantised or not; integers for labels."""
        scale, zero = self._outputs[name]["quantization"]
        return np.float32(scale) * (values.astype(np.float32) - zero) if scale else values

    def _per_channel(self, name):
        return np.asarray(getattr(self._metadata, name), np.float32)

    def _check_range(self):
        dtype, (scale, zero) = np.dtype(self._input["dtype"]), self._input["quantization"]
        if dtype == np.float32:
            return
        limits = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], np.float64)
        taken = (limits - zero) * scale if scale else limits
        needed = np.sort(
            (np.array([[0.0], [255.0]]) - self._per_channel("mean")) / self._per_channel("std"), 0
        )
        inside = np.minimum(taken[1], needed[1]) - np.maximum(taken[0], needed[0])
        if not (inside >= COVERED * (needed[1] - needed[0])).all():
            raise ValueError(
                f"{self._path} takes {dtype.name} that stands for {taken[0]:.3g} to {taken[1]:.3g}, and its "
                f"metadata make {needed[0].min():.3g} to {needed[1].max():.3g} of pixels 0..255. Write the "
                "file with convert(), or give it metadata with the right normalisation."
            )


def _image_input(interpreter, path):
    inputs = interpreter.get_input_details()
    allowed = (np.float32, np.uint8, np.int8)
    if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["dtype"] not in allowed:
        got = ", ".join(f"{np.dtype(i['dtype']).name}{i['shape'].tolist()}" for i in inputs)
        raise ValueError(
            f"{path} takes {got}; needed is one image [1, H, W, C] of float32, uint8 or int8. Write the file "
            "with convert()."
        )
    return inputs[0]


def _named_outputs(interpreter):
    """Name -> details of every output, the main one first; without a signature tensors' own names count."""
    signatures = list(interpreter.get_signature_list())
    if signatures:
        found = interpreter.get_signature_runner(signatures[0]).get_output_details()
    else:
        found = {details["name"]: details for details in interpreter.get_output_details()}
    order = {"logits": 0, "labels": 1}
    return dict(sorted(found.items(), key=lambda pair: order.get(pair[0], 2)))


def _shape(details):
    """The shape of a tensor, with None where it is not fixed."""
    signature = details.get("shape_signature", details["shape"])
    fixed = signature if len(signature) else details["shape"]
    return tuple(None if n < 0 else int(n) for n in fixed)

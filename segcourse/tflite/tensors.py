"""Every tensor that a `.tflite` file computes for an image, not its outputs alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.files import readable
from segcourse.tflite.runtime import checked_images, usable_threads


@dataclass(frozen=True)
class Operator:
    """One step of a file: its kind, and the indices of the tensors that it takes and gives."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Tensors:
    """A `.tflite` file whose tensors can all be read.

    XNNPACK would overwrite what lies between, so TFLite's plain operators run here: 3 to 5 times slower, and
    all activations are in memory at once (1 GB and more for a wide network at 360x480).

    Args:
        path: a `.tflite` file, or its content in bytes.

    Attributes:
        input_shape: (1, H, W, C) of the file.
        names: tensor index -> its name in the file.
        operators: list of `Operator` in the order of computation.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no whole TFLite file at `path`.
    """

    def __init__(self, path: str | os.PathLike | bytes):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        source = {"model_content": path} if isinstance(path, bytes) else {"model_path": str(readable(path))}
        self._interpreter = Interpreter(
            **source,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=usable_threads(),
        )
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_tensor_details()
        (image,) = self._interpreter.get_input_details()
        self._input, self._dtype = image["index"], image["dtype"]
        self._scales = {t["index"]: _scale(t) for t in details}
        self.input_shape = tuple(int(n) for n in image["shape"])
        self.names = {t["index"]: t["name"] for t in details}
        self.operators = [
            Operator(node["op_name"], _indices(node["inputs"]), _indices(node["outputs"]))
            for node in self._interpreter._get_ops_details()  # TensorFlow's own debugger reads it too
        ]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Indices of the tensors that the file gives back."""
        return tuple(int(t["index"]) for t in self._interpreter.get_output_details())

    def constants(self) -> Iterator[tuple[Operator, int]]:
        """(the operator that takes it, its index) for every tensor that is stored in the file."""
        computed = {self._input, *(i for operator in self.operators for i in operator.outputs)}
        for operator in self.operators:
            yield from ((operator, i) for i in operator.inputs if i not in computed)

    def run(self, images: ArrayLike) -> Iterator[None]:
        """Compute the images [N, H, W, C] in turn; in between, `value` gives this image's tensors.

        Raises:
            ValueError: the images are not of the size that the file is for.
        """
        for image in checked_images(images, self.input_shape):
            self._interpreter.set_tensor(self._input, image[np.newaxis].astype(self._dtype))
            self._interpreter.invoke()
            yield

    def value(self, index: int) -> np.ndarray:
        """A tensor as an array; quantised values come back in the units of the network, as float32."""
        value = self._interpreter.get_tensor(index)
        scale, zero = self._scales[index]
        return value if scale is None else (value.astype(np.float32) - zero) * scale


def _scale(tensor):
    """(scale, zero point) of an activation in 8 bits; (None, None) of a float and of weights."""
    found = tensor["quantization_parameters"]
    return (found["scales"][0], found["zero_points"][0]) if len(found["scales"]) == 1 else (None, None)


def _indices(array):
    return tuple(int(i) for i in array if i >= 0)

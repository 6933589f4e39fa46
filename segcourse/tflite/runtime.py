"""Running a `.tflite` file on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


class Runner:
    """Predicts with a TFLite file on the CPU (LiteRT with XNNPACK).

    Args:
        path: a `.tflite` file with float32 input and output, batch 1.
        threads: CPU threads; by default as many as the process may use, at most 4 (a phone's fast cores).
        size: (height, width) to run a file at that leaves them open; files from `convert` have theirs.

    Attributes:
        input_shape, output_shape: (1, H, W, C) of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file's input is not one float32 image, or its size is open and none is given.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        size: tuple[int, int] | None = None,
    ):
        from ai_edge_litert.interpreter import Interpreter

        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no file {path}. Write one with convert(model, path, input_size)."
            )
        self.threads = usable_threads() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads is {threads}; needed is 1 or more.")
        self._interpreter = Interpreter(str(path), num_threads=self.threads)
        _fix_size(self._interpreter, path, size)
        self._interpreter.allocate_tensors()
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["dtype"] != np.float32:
            got = ", ".join(f"{np.dtype(i['dtype']).name}{i['shape'].tolist()}" for i in inputs)
            raise ValueError(
                f"{path} takes {got}; needed is one image float32[1, H, W, C]. Write the file with convert()."
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.input_shape = tuple(int(n) for n in inputs[0]["shape"])
        self.output_shape = tuple(int(n) for n in outputs[0]["shape"])

    def __call__(self, images: ArrayLike) -> np.ndarray:
        """Float32 logits [N, H', W', classes] of images [N, H, W, C], uint8 or float in 0..255.

        Raises:
            ValueError: the images are not of the size that the file is for.
        """
        return np.concatenate([self._one(image) for image in checked_images(images, self.input_shape)])

    def labels(self, images: ArrayLike) -> np.ndarray:
        """uint8 labels [N, H', W']: the class of the largest logit."""
        return self(images).argmax(axis=-1).astype(np.uint8)

    def _one(self, image):
        self._interpreter.set_tensor(self._input, image[np.newaxis].astype(np.float32))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def _fix_size(interpreter, path, size):
    """Gives an image of open size the size asked for: left alone, LiteRT would take 1x1."""
    image = interpreter.get_input_details()[0]
    signature = [int(n) for n in image["shape_signature"]]
    if len(signature) != 4 or -1 not in signature[1:3]:
        return
    if size is None:
        raise ValueError(
            f"{path} leaves the size of its image open ([{', '.join(map(str, signature))}]), and a time or a "
            "result belongs to one size. Give it (images, or size=(H, W)), or write the file with convert()."
        )
    asked = [own if own > 0 else wanted for own, wanted in zip(signature[1:3], size, strict=True)]
    interpreter.resize_tensor_input(image["index"], [1, *map(int, asked), signature[3]])


def checked_images(images: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """`images` as an array, if they are images of the file's input `shape` (1, H, W, C); None fits any."""
    images = np.asarray(images)
    fits = images.ndim == 4 and len(images) > 0
    if not fits or any(
        want not in (None, got) for want, got in zip(shape[1:], images.shape[1:], strict=True)
    ):
        needed = ", ".join("any" if n is None else str(n) for n in shape[1:])
        raise ValueError(
            f"images have shape {images.shape}; the file takes [N, {needed}] with N >= 1. Resize the images, "
            "or convert the model again with their input_size; one image needs its batch axis: "
            "image[np.newaxis]."
        )
    return images


def usable_threads() -> int:
    """As many threads as the process may use, at most 4."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(4, usable or 1)

"""Running a `.tflite` file on the CPU."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.files import readable
from segcourse.tflite.images import Interface, as_array


class Runner:
    """Predicts with a TFLite file on the CPU (LiteRT with XNNPACK).

    Args:
        path: a `.tflite` file with one image input of float32, uint8 or int8, and batch 1. Pixels are
            normalised and quantised as the file says, and quantised scores come back as float32.
        threads: CPU threads; by default as many as the process may use, at most 4 (a phone's fast cores).
        size: (height, width) to run a file at that leaves them open; files from `convert` have theirs.

    Attributes:
        input_shape, output_shape: (1, H, W, C) of the file. Of one that gives labels, the last number is that
            of the classes in its metadata, or None.
        output_names: names of its outputs, `logits` or `labels` first.
        gives_labels: whether the argmax is in the file already.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.
        ValueError: no whole TFLite file, its input is not one image, or its size is open and none is given.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        size: tuple[int, int] | None = None,
    ):
        from ai_edge_litert.interpreter import Interpreter

        path = readable(path)
        self.threads = usable_threads() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads is {threads}; needed is 1 or more.")
        self._interpreter = Interpreter(str(path), num_threads=self.threads)
        _fix_size(self._interpreter, path, size)
        self._interface = Interface(self._interpreter, path)
        self._interpreter.allocate_tensors()
        shapes = {t["index"]: t["shape"] for t in self._interpreter.get_output_details()}
        main = shapes[self._interface.output_indices[self._interface.outputs[0]]]
        image = self._interpreter.get_input_details()[0]["shape"]
        self.input_shape = (1, *map(int, image[1:]))
        self.output_shape = (1, *map(int, main[1:3]), self._interface.output_shape[-1])
        self.output_names, self.gives_labels = self._interface.outputs, self._interface.gives_labels

    def __call__(self, images: ArrayLike) -> np.ndarray:
        """Float32 logits [N, H', W', classes] of images [N, H, W, C], uint8 or float in 0..255.

        Raises:
            ValueError: the images are not of the size that the file is for, or it gives labels.
        """
        if self.gives_labels:
            raise ValueError(
                "The file gives labels, not logits: use labels(images), or convert without them."
            )
        return self.outputs(images)[self.output_names[0]]

    def labels(self, images: ArrayLike) -> np.ndarray:
        """uint8 labels [N, H', W']: the class of the largest logit, or what a file of labels gives.

        Raises:
            ValueError: as above, or the file gives one score a pixel, of which none is the largest.
        """
        if self.output_shape[-1] == 1 and not self.gives_labels:
            raise ValueError(
                "The file gives one score a pixel, and the largest of one is always class 0. Compare it "
                "yourself: runner(images)[..., 0] > 0 for logits, > 0.5 for probabilities."
            )
        result = self.outputs(images)[self.output_names[0]]
        return (result if self.gives_labels else result.argmax(axis=-1)).astype(np.uint8)

    def outputs(self, images: ArrayLike) -> dict[str, np.ndarray]:
        """Name -> array [N, ...] of every output: float32 for scores, integers for labels."""
        rows = [self._one(image) for image in checked_images(images, self.input_shape)]
        return {name: np.concatenate([row[name] for row in rows]) for name in self.output_names}

    def _one(self, image):
        self._interpreter.set_tensor(self._interface.input_index, self._interface.encoded(image[np.newaxis]))
        self._interpreter.invoke()
        return {
            name: self._interface.decoded(name, self._interpreter.get_tensor(index))
            for name, index in self._interface.output_indices.items()
        }


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
    images = as_array(images)
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

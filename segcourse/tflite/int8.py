"""What a file in 8 bits costs: the mIoU before and after, and in which layers the error arises."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.images import as_array
from segcourse.tflite.runtime import Runner
from segcourse.tflite.tensors import Tensors

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Drop:
    """Mean IoU (0..1) of a network and of its file, on the same labelled pictures.

    Attributes:
        before, after: of the network, of the file.
        pictures: how many.
    """

    before: float
    after: float
    pictures: int

    @property
    def points(self) -> float:
        """What is lost, as a share: 0.01 is one point of mIoU; less than 0 where the file does better."""
        return self.before - self.after

    def __str__(self):
        return (
            f"mIoU on {self.pictures} pictures: {self.before:.4f} -> {self.after:.4f}, "
            f"a drop of {100 * self.points:.2f} points"
        )


def miou_drop(
    before: keras.Model | str | os.PathLike,
    after: str | os.PathLike,
    pictures: np.ndarray,
    labels: np.ndarray,
) -> Drop:
    """Mean IoU that a file loses against the network that it came from, by `segcourse.metrics`.

    Args:
        before: the `keras.Model`, or its float32 `.tflite` file, which is quicker.
        after: the `.tflite` file to judge.
        pictures: uint8 [N, H, W, 3] that fit the file: of its size, or, where valid convolutions answer for
            less than they see, of what they answer for.
        labels: integer [N, H, W]; 255 does not count.

    Raises:
        ValueError: the pictures do not fit the file, or a label is none of the network's classes.
    """
    from segcourse.prediction.windows import Network

    networks = [
        Network(Runner(model) if isinstance(model, str | os.PathLike) else model) for model in (before, after)
    ]
    pictures, labels = as_array(pictures, "pictures"), as_array(labels, "labels")
    classes = networks[0].classes
    if classes == 1:
        raise ValueError("The network gives one score a pixel; a mean IoU compares several classes.")
    known = labels[labels != 255]
    if known.size == 0 or known.min() < 0 or known.max() >= classes:
        raise ValueError(
            f"The network tells {classes} classes apart; needed are labels 0..{classes - 1} and 255 for "
            f"void, got {np.unique(labels).tolist()}. Score with the data that the network is for."
        )
    return Drop(*(_miou(network, pictures, labels) for network in networks), len(pictures))


def _miou(network, pictures, labels):
    from segcourse import metrics

    counts = np.zeros((network.classes, network.classes), np.int64)
    for i in range(len(pictures)):
        found = network.labels(pictures[i : i + 1])
        counts += np.asarray(metrics.confusion_matrix(labels[i : i + 1], found, network.classes), np.int64)
    return metrics.scores(counts)["miou"]


@dataclass(frozen=True)
class LayerError:
    """How far a layer in 8 bits is from the same layer in float32.

    Attributes:
        layer: Keras' name of the layer; of several that the converter made one operator, joined by "+".
        operator: TFLite's name of the operator.
        error: root mean square of the difference, as a share of the standard deviation of the float32
            values: what they have in common says nothing about the picture. At most 1: then nothing is left.
        added: by how much that is more than the largest `error` of the layer's inputs: what arises here.
    """

    layer: str
    operator: str
    error: float
    added: float

    def __str__(self):
        return f"{self.layer} ({self.operator}): off by {self.error:.1%}, of it {self.added:.1%} arise here"


@dataclass(frozen=True)
class LayerErrors:
    """What `layer_errors` found.

    Attributes:
        layers: one `LayerError` a layer, in the order of computation.
        images: on how many.
    """

    layers: tuple[LayerError, ...]
    images: int

    @property
    def worst(self) -> tuple[LayerError, ...]:
        """The five layers that add most, in the order of computation."""
        most = sorted(self.layers, key=lambda found: -found.added)[:5]
        return tuple(found for found in self.layers if found in most and found.added > 0)

    def __str__(self):
        lines = [f"  - {found}" for found in self.worst]
        return "\n".join(
            [f"layers that add most error in int8, first to last, on {self.images} images:", *lines]
        )


def layer_errors(
    model: keras.Model, float_file: str | os.PathLike, int8_file: str | os.PathLike, images: ArrayLike
) -> LayerErrors:
    """Where the error of an int8 file arises: all its tensors against those of the float32 file.

    A layer whose `added` is large is one to keep in float: `convert(..., keep_float=[layer])`. Begin with the
    first of them: the error runs on through the layers behind it, and those that amplify small differences
    amplify it too.

    Args:
        model: the `keras.Model` that both files came from, for the names of its layers.
        float_file, int8_file: its files for one size.
        images: [N, H, W, C], uint8 or float in 0..255, of that size; two or three are enough.

    Raises:
        ValueError: the images do not fit, or the files do not belong together.
    """
    exact, coarse = Tensors(float_file), Tensors(int8_file)
    same = {name: index for index, name in coarse.names.items()}
    pairs = [
        (node, index, same[exact.names[index]])
        for node in exact.operators
        for index in node.outputs
        if exact.names[index] in same
    ]
    if not pairs:
        raise ValueError(f"{float_file} and {int8_file} have no tensor in common: give files of one network.")
    sums = {index: np.zeros(4) for _, index, _ in pairs}
    for _ in zip(exact.run(images), coarse.run(images), strict=True):
        for _, index, other in pairs:
            sums[index] += _sums(exact.value(index), coarse.value(other))
    errors = {index: _ratio(*found) for index, found in sums.items()}
    return LayerErrors(_by_layer(model, exact, pairs, errors), len(images))


def _sums(exact, coarse):
    """How many values, their sum, the sum of their squares, and that of the squared differences."""
    exact, coarse = exact.astype(np.float64), coarse.astype(np.float64)
    return np.array([exact.size, exact.sum(), np.sum(exact**2), np.sum((exact - coarse) ** 2)])


def _ratio(count, total, squares, difference):
    variance = squares / count - (total / count) ** 2
    return min(1.0, float(np.sqrt(difference / count / variance))) if variance > 0 else float(difference > 0)


def _by_layer(model, exact, pairs, errors):
    """Of every layer the operator that adds most."""
    names, worst = LayerNames(model), {}
    for node, index, _ in pairs:
        added = errors[index] - max((errors.get(i, 0.0) for i in node.inputs), default=0.0)
        layer = "+".join(names.of(exact.names[index])) or exact.names[index]
        found = LayerError(layer, node.kind, errors[index], added)
        if layer not in worst or worst[layer].added < added:
            worst[layer] = found
    return tuple(worst.values())


class LayerNames:
    """Tells which layers of a Keras model a tensor of its file came from.

    The converter names a tensor by the path of its operation, "segnet_1/conv1_1/Conv2D", or by several
    of them, joined by ";", where it made one operator of several layers. The "_1" is the graph's, not Keras'.

    Args:
        model: the `keras.Model` of the file.
    """

    def __init__(self, model: keras.Model):
        self.known = _layer_names(model)
        self._output = model.outputs[0]._keras_history.operation.name

    def of(self, tensor: str) -> list[str]:
        """Names of the layers, in the model's order; empty where none is recognised."""
        if tensor.startswith("StatefulPartitionedCall"):  # an output: it has no other name
            return [self._output]
        found = {self._one(path.split("/")) for path in tensor.split(";")}
        return [name for name in self.known if name in found]

    def _one(self, path):
        for part in reversed(path[1:]):
            for name in (re.sub(r"_\d+$", "", part), part):
                if name in self.known:
                    return name
        return None

    def tensors(self, layers: Iterable[str], tensors: Iterable[str]) -> list[str]:
        """Those of the `tensors` that come from one of the `layers`.

        Raises:
            ValueError: the model has no such layer, or none of its tensors is in the file.
        """
        owners, wanted = {name: set(self.of(name)) for name in tensors}, set(layers)
        there = set().union(*owners.values())
        if missing := sorted(wanted - there):
            raise ValueError(
                f"No operator of the file comes from a layer {', '.join(map(repr, missing))}. There are: "
                f"{', '.join(name for name in self.known if name in there)}."
            )
        return [name for name, own in owners.items() if own & wanted]


def _layer_names(model):
    names = []
    for layer in model.layers:
        names += [layer.name, *(_layer_names(layer) if hasattr(layer, "layers") else [])]
    return names


def checked_calibration(images: np.ndarray) -> np.ndarray:
    """`images` if 8-bit ranges can be measured on them: finite, in 0..255, and not in 0..1 in truth.

    Raises:
        ValueError: they are not; the message says what is needed.
    """
    if not np.isfinite(images).all():
        raise ValueError(
            "representative_data has NaN or infinite values: no 8-bit range comes from them. Leave these "
            "images out, or mend what made them."
        )
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255 or high <= 1:
        raise ValueError(
            f"representative_data lies in {low:.4g}..{high:.4g}; needed are images in 0..255, as the file "
            "takes them: the rescaling is inside the network. Ranges measured on other values would be wrong."
        )
    return images

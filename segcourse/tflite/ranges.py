"""Does a network fit into float16, in which mobile GPUs compute? The float32 file tells, on real images."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.files import readable
from segcourse.tflite.images import as_array
from segcourse.tflite.rules import LOWEST
from segcourse.tflite.tensors import Operator, Tensors

LARGEST = float(np.finfo(np.float16).max)  # 65504
SMALLEST = 2.0**-24  # float16's least value above 0; what is half of it or less becomes 0
# Operand that an operator divides by: one that vanishes makes the result infinite.
_DIVISORS = {"DIV": 1, "RSQRT": 0, "LOG": 0}


@dataclass(frozen=True)
class TensorRange:
    """What a float tensor of the file holds, over all images.

    Attributes:
        tensor: its name; Keras' layer is in it.
        operator: TFLite's name of the operator that computes it, or, of a constant, that takes it.
        largest: largest magnitude; infinite or NaN where the file itself computes that.
        smallest: smallest magnitude above 0; infinite where there is none.
        least: smallest value.
        constant: whether it is stored in the file.
    """

    tensor: str
    operator: str
    largest: float
    smallest: float
    least: float
    constant: bool = False

    def __str__(self):
        kind = "constant of" if self.constant else "output of"
        return f"{kind} {self.operator} {self.tensor}"


@dataclass(frozen=True)
class RangeProblem:
    """A tensor that float16 does not hold.

    Attributes:
        range: the `TensorRange`.
        reason: what happens to it.
    """

    range: TensorRange
    reason: str

    def __str__(self):
        return f"{self.range}: {self.reason}"


@dataclass(frozen=True)
class Float16Ranges:
    """What `float16_ranges` found.

    Attributes:
        path: of the float32 file.
        images: how many it was run on.
        tensors: `TensorRange` of every float tensor that the file computes, in order.
        problems: `RangeProblem` of those, and of the constants, that float16 does not hold, in order.
    """

    path: Path
    images: int
    tensors: tuple[TensorRange, ...]
    problems: tuple[RangeProblem, ...]

    @property
    def largest(self) -> TensorRange:
        """The tensor with the largest magnitude."""
        return max(self.tensors, key=lambda found: found.largest)

    def __str__(self):
        most = self.largest
        lines = [
            f"{self.path.name} in float16: largest value {most.largest:.4g} of {LARGEST:.0f} "
            f"on {self.images} images ({most})",
            *(f"  - {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def float16_ranges(path: str | os.PathLike, images: ArrayLike) -> Float16Ranges:
    """Find the tensors that leave the range of float16, which a phone's GPU computes in by default.

    Keras in float16 does not show them: its normalisations convert to float32 inside, where the file, and so
    the GPU, has the squares as tensors of their own. Checked are all tensors that the file computes, and its
    constants: too large (over 65504), a constant that becomes 0 as a whole (an epsilon under 3e-8, which then
    protects no division), a divisor that becomes 0; and the result of a max-pooling under -10,000, for the
    delegate's starts from that number. Not seen are the sums inside an operator: LiteRT's
    delegate keeps those of means and sums in float32 (its `reduce.cc`); those of a convolution may be in
    float16, but end in a tensor. GPUs that round everything under 6e-5 to 0 lose more than is said here.

    Args:
        path: a *float32* `.tflite` file: a float16 file has rounded its constants already.
        images: [N, H, W, C], uint8 or float in 0..255, of the file's size; real ones: noise has other ranges.

    Returns:
        `Float16Ranges`; `print` it, or look at `problems`.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no whole TFLite file at `path`.
        ValueError: the images do not fit the file.
    """
    path, images = readable(path), as_array(images)
    file = Tensors(path)
    computed: dict[int, TensorRange] = {}
    divisors: dict[int, Operator] = {
        node.inputs[_DIVISORS[node.kind]]: node for node in file.operators if node.kind in _DIVISORS
    }
    for _ in file.run(images):
        for node in file.operators:
            for index in node.outputs:
                found = _range(file, index, node, constant=False)
                if found is not None:
                    computed[index] = _wider(computed.get(index), found)
    stored = [_constant_problem(_range(file, index, node, True)) for node, index in file.constants()]
    problems = [
        *filter(None, stored),
        *filter(None, (_problem(found, divisors.get(index)) for index, found in computed.items())),
    ]
    return Float16Ranges(path, len(images), tuple(computed.values()), tuple(problems))


def _range(file, index, node, constant):
    value = file.value(index)
    if value.dtype not in (np.float16, np.float32) or value.size == 0:
        return None
    size = np.abs(value)
    smallest = float(np.min(size, initial=np.inf, where=size > 0))
    return TensorRange(
        file.names[index], node.kind, float(size.max()), smallest, float(value.min()), constant
    )


def _wider(before, found):
    """Both ranges together; NaN stays."""
    if before is None:
        return found
    return replace(
        found,
        largest=float(np.maximum(before.largest, found.largest)),
        smallest=min(before.smallest, found.smallest),
        least=float(np.minimum(before.least, found.least)),
    )


def _problem(found, divided_by):
    if not np.isfinite(found.largest):
        return RangeProblem(found, f"{found.largest} in float32 already")
    if found.largest > LARGEST:
        return RangeProblem(found, f"reaches {found.largest:.3g}, beyond float16's {LARGEST:.0f}: infinite")
    if found.operator == "MAX_POOL_2D" and found.least < LOWEST:
        return RangeProblem(found, f"as low as {found.least:.5g}, where a GPU's answer is {LOWEST:.0f}")
    if divided_by is not None and _vanishes(found.smallest):
        return RangeProblem(
            found, f"as small as {found.smallest:.2g}, 0 in float16, and {divided_by.kind} divides by it"
        )
    return None


def _constant_problem(found):
    if found is None or not np.isfinite(found.largest):
        return None  # minus infinity beside an edge means the same in float16
    if found.largest > LARGEST:
        return RangeProblem(found, f"{found.largest:.3g} is beyond float16's {LARGEST:.0f}: infinite")
    if _vanishes(found.largest):
        return RangeProblem(found, f"{found.largest:.2g} becomes 0 in float16 (its least is {SMALLEST:.2g})")
    return None


def _vanishes(magnitude):
    return 0 < magnitude <= SMALLEST / 2

"""Do two sets of logits belong to the same network, and does a `.tflite` file compute what Keras computes?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.runtime import Runner, checked_images

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Agreement:
    """How well two sets of logits agree.

    A pooling index may stand on a near-tie: rounding then decides where a value goes, and some pixels around
    it differ by percents while all others agree to the last digits. So what `failures` judges is not the
    largest difference, but the labels, the median pixel, and how far all logits differ on average.

    A pixel with NaN or infinity on either side is wrong, on both sides too, and its difference infinite.

    Attributes:
        equal_labels: share of pixels with the same class, 0..1. Of one logit a pixel, the class is its sign
            (of a probability, whether it is more than 1/2).
        largest_difference: largest absolute difference of two logits.
        usual_difference: the same of the median pixel.
        rms_difference: root of the mean squared difference of all logits.
        logit_range: largest minus smallest finite expected logit; where all are equal, their magnitude, and
            where all are 0, 1. So it is more than 0.
        pixels: how many labels were compared.
        not_finite: how many of them have NaN or infinity among their logits, expected or found.
    """

    equal_labels: float
    largest_difference: float
    usual_difference: float
    rms_difference: float
    logit_range: float
    pixels: int
    not_finite: int = 0

    @property
    def relative_difference(self) -> float:
        """The largest difference as a share of the range of the expected logits."""
        return self.largest_difference / self.logit_range

    def failures(self, quantization: str | None = None) -> list[str]:
        """What speaks against the two being the same network, in words; empty if nothing does.

        Args:
            quantization: of the file; it decides how much rounding is allowed (`ALLOWED`).
        """
        labels, usual, rms = ALLOWED[quantization]
        usual, rms, failures = usual * self.logit_range, rms * self.logit_range, []
        if self.not_finite:
            failures.append(f"{self.not_finite:,} of {self.pixels:,} pixels have NaN or infinite logits")
        if self.equal_labels < labels:
            failures.append(_too_few(self.equal_labels, labels))
        if self.usual_difference > usual:
            failures.append(
                f"half of the pixels differ by {self.usual_difference:.2g} or more, allowed is {usual:.2g}"
            )
        if self.rms_difference > rms:
            failures.append(f"logits differ by {self.rms_difference:.2g} (rms), allowed is {rms:.2g}")
        return failures

    def __str__(self):
        return (
            f"{self.equal_labels:.4%} of {self.pixels:,} labels equal; largest logit difference "
            f"{self.largest_difference:.2g} = {self.relative_difference:.1e} of the range "
            f"{self.logit_range:.3g}"
        )


# For each quantization: the share of labels that must be equal, and how much of the logits' range the median
# pixel and the root mean square may differ by. In float32, rounding moves the median pixel by 1e-7, a batch
# normalisation with another epsilon by 6e-5; a single index of the deepest pooling makes an rms of 4e-3.
# In int8 on CamVid, FCN-8s, DeepLab v1 and CRF-RNN's network keep 97.9, 98.9 and 97.6 % of their
# labels and lose 0.6, 1.0 and 1.1 points of mIoU; SegNet-Basic keeps 72.9 %, and 95.2 with its norm in float.
ALLOWED = {
    None: (0.999, 1e-5, 5e-3),
    "float16": (0.995, 1e-2, 1e-2),
    "dynamic": (0.99, 5e-2, 5e-2),
    "int8": (0.95, 5e-2, 5e-2),
}


@dataclass(frozen=True)
class LabelAgreement:
    """How well two sets of labels agree, where there are no logits: the share `equal_labels` of `pixels`."""

    equal_labels: float
    pixels: int

    def failures(self, quantization: str | None = None) -> list[str]:
        """What speaks against the two being the same network, as `Agreement.failures` says it."""
        needed = ALLOWED[quantization][0]
        return [] if self.equal_labels >= needed else [_too_few(self.equal_labels, needed)]

    def __str__(self):
        return f"{self.equal_labels:.4%} of {self.pixels:,} labels equal"


def _too_few(share, needed):
    return f"only {share:.2%} of the labels are equal, needed are {needed:.1%}"


def agreement(expected: np.ndarray, logits: np.ndarray) -> Agreement:
    """Compare logits [N, H, W, classes] with the `expected` ones (whose range is the measure).

    Raises:
        ValueError: the two have different shapes, or no pixel.
    """
    if expected.shape != logits.shape or expected.size == 0:
        raise ValueError(
            f"Logits of shapes {expected.shape} and {logits.shape} cannot be compared: they must be equal, "
            "with one pixel or more."
        )
    finite = np.isfinite(expected) & np.isfinite(logits)
    sound = finite.all(axis=-1)
    equal = sound & (_labels(expected, expected) == _labels(logits, expected))
    # Infinity instead of NaN, which no comparison with a limit would find too large.
    differences = np.full(expected.shape, np.inf)
    np.subtract(expected, logits, out=differences, where=finite, dtype=np.float64)
    np.abs(differences, out=differences)
    return Agreement(
        equal_labels=float(equal.mean()),
        largest_difference=float(differences.max()),
        usual_difference=float(np.median(differences.max(axis=-1))),
        rms_difference=float(np.sqrt(np.mean(differences**2))),
        logit_range=_measure(expected[np.isfinite(expected)]),
        pixels=equal.size,
        not_finite=int(equal.size - sound.sum()),
    )


def _labels(logits, expected):
    if logits.shape[-1] > 1:
        return logits.argmax(axis=-1)
    probabilities = expected.min() >= 0 and expected.max() <= 1
    return logits[..., 0] > (0.5 if probabilities else 0)


def _measure(expected):
    """What a difference is large or small against; more than 0."""
    if expected.size == 0:
        return 1.0
    return float(np.ptp(expected)) or float(np.abs(expected).max()) or 1.0


def compare(model: keras.Model, path: str | os.PathLike, images: ArrayLike) -> Agreement | LabelAgreement:
    """Does the TFLite file compute what the Keras `model` computes?

    Args:
        model: the `keras.Model` that was converted.
        path: its `.tflite` file.
        images: [N, H, W, C], uint8 or float in 0..255, of the file's size; real images, not noise, for a
            figure that counts.

    Returns:
        An `Agreement` of the file's logits with Keras'; of its labels, where it gives these.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no whole TFLite file at `path`.
        ValueError: the images do not fit the file.
    """
    from segcourse.prediction.whole import on_batch  # needs Keras, which a file's runner does not

    runner = Runner(path)
    images = checked_images(images, runner.input_shape)
    expected = np.concatenate([on_batch(model, image[None].astype(np.float32)) for image in images])
    if runner.gives_labels:
        return _of_labels(_labels(expected, expected), runner.labels(images))
    return agreement(expected, runner(images))


def with_cpu(path: str | os.PathLike, images: ArrayLike, result: np.ndarray) -> Agreement | LabelAgreement:
    """How well another device's `result` of a file (logits or labels) agrees with this machine's CPU."""
    runner = Runner(path)
    if runner.gives_labels:
        return _of_labels(runner.labels(images), result)
    return agreement(runner(images), result)


def _of_labels(expected, labels):
    return LabelAgreement(float((expected == labels).mean()), labels.size)

"""Running a `.tflite` file on the CPU: predict, compare with Keras, measure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.files import readable
from segcourse.tflite.images import Interface, as_array

if TYPE_CHECKING:
    import keras

WORKER = Path(__file__).with_name("_worker.py")


class Runner:
    """Predicts with a TFLite file on the CPU (LiteRT with XNNPACK).

    Args:
        path: a `.tflite` file with one image input of float32, uint8 or int8, and batch 1. Pixels are
            normalised and quantised as the file says, and quantised scores come back as float32.
        threads: CPU threads; by default as many as the process may use, at most 4 (a phone's fast cores).

    Attributes:
        input_shape, output_shape: (1, H, W, C) of the file. Of one that gives labels, the last number is that
            of the classes in its metadata, or None.
        output_names: names of its outputs, `logits` or `labels` first.
        gives_labels: whether the argmax is in the file already.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.
        ValueError: no whole TFLite file, or its input is not one image of a fixed size.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        path = readable(path)
        self.threads = _usable_threads() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads is {threads}; needed is 1 or more.")
        self._interpreter = Interpreter(str(path), num_threads=self.threads)
        self._interface = Interface(self._interpreter, path)
        if None in self._interface.input_shape[1:]:
            raise ValueError(
                f"{path} takes images of any size {[*self._interface.input_shape]}. Write it for one size: "
                "convert(model, path, input_size=(H, W))."
            )
        self._interpreter.allocate_tensors()
        self.input_shape = (1, *self._interface.input_shape[1:])
        self.output_shape = (1, *self._interface.output_shape[1:])
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
        """uint8 labels [N, H', W']: the class of the largest logit, or what a file of labels gives."""
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


@dataclass(frozen=True)
class Agreement:
    """How well two sets of logits agree.

    A pooling index may stand on a near-tie: rounding then decides where a value goes, and some pixels around
    it differ by percents while all others agree to the last digits. So what `failures` judges is not the
    largest difference, but the labels, the median pixel, and how far all logits differ on average.

    Attributes:
        equal_labels: share of pixels with the same class, 0..1.
        largest_difference: largest absolute difference of two logits.
        usual_difference: the same of the median pixel.
        rms_difference: root of the mean squared difference of all logits.
        logit_range: largest minus smallest expected logit.
        pixels: how many labels were compared.
    """

    equal_labels: float
    largest_difference: float
    usual_difference: float
    rms_difference: float
    logit_range: float
    pixels: int

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
        # "not at most" instead of "more": a difference may be NaN.
        if not self.equal_labels >= labels:
            failures.append(f"only {self.equal_labels:.2%} of the labels are equal, needed are {labels:.1%}")
        if not self.usual_difference <= usual:
            failures.append(
                f"half of the pixels differ by {self.usual_difference:.2g} or more, allowed is {usual:.2g}"
            )
        if not self.rms_difference <= rms:
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
ALLOWED = {
    None: (0.999, 1e-5, 5e-3),
    "float16": (0.995, 1e-2, 1e-2),
    "dynamic": (0.99, 5e-2, 5e-2),
    "int8": (0.99, 5e-2, 5e-2),
}


def agreement(expected: np.ndarray, logits: np.ndarray) -> Agreement:
    """Compare logits [N, H, W, classes] with the `expected` ones (whose range is the measure).

    Raises:
        ValueError: the two have different shapes.
    """
    if expected.shape != logits.shape:
        raise ValueError(
            f"Logits of shapes {expected.shape} and {logits.shape} cannot be compared: they must be equal."
        )
    equal = expected.argmax(axis=-1) == logits.argmax(axis=-1)
    differences = np.abs(expected - logits)
    return Agreement(
        equal_labels=float(equal.mean()),
        largest_difference=float(differences.max()),
        usual_difference=float(np.median(differences.max(axis=-1))),
        rms_difference=float(np.sqrt(np.mean(differences**2, dtype=np.float64))),
        logit_range=float(np.ptp(expected)),
        pixels=equal.size,
    )


def compare(model: keras.Model, path: str | os.PathLike, images: ArrayLike) -> Agreement:
    """Does the TFLite file compute what the Keras `model` computes?

    Args:
        model: the `keras.Model` that was converted.
        path: its `.tflite` file.
        images: [N, H, W, C], uint8 or float in 0..255, of the file's size; real images, not noise, for a
            figure that counts.

    Returns:
        An `Agreement` of the file's logits with Keras'.
    """
    from segcourse.prediction.whole import on_batch  # needs Keras, which a file's runner does not

    expected = [on_batch(model, np.asarray(image, np.float32)[None]) for image in images]
    return agreement(np.concatenate(expected), Runner(path)(images))


@dataclass(frozen=True)
class Benchmark:
    """What `benchmark` measured, on this machine.

    Attributes:
        path, file_bytes: the file and its size.
        threads: CPU threads of LiteRT.
        seconds: latency of each run (one image, copies included).
        keras_seconds: the same of `model.predict`, taken in turn with the above; None without a model.
        process_bytes: peak memory of a fresh process that runs the file and nothing else.
        file_memory_bytes: the part of it that came with the file (weights and activations).
    """

    path: Path
    file_bytes: int
    threads: int
    seconds: np.ndarray
    keras_seconds: np.ndarray | None
    process_bytes: int
    file_memory_bytes: int

    @property
    def median(self) -> float:
        """Median latency in seconds."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Latency in seconds that a quarter and three quarters of the runs stay below."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)

    @property
    def speedup(self) -> float | None:
        """How many times faster than `model.predict`, by the medians of both; None without a model."""
        return None if self.keras_seconds is None else float(np.median(self.keras_seconds)) / self.median

    def __str__(self):
        low, high = self.quartiles
        lines = [
            f"{self.path.name}: {self.file_bytes / 1e3:,.0f} kB",
            f"  latency  {1e3 * self.median:.2f} ms (middle half of {len(self.seconds)} runs: "
            f"{1e3 * low:.2f} to {1e3 * high:.2f} ms), {self.threads} thread(s)",
            f"  memory   {self.process_bytes / 1e6:.0f} MB at peak, {self.file_memory_bytes / 1e6:.0f} MB "
            "of it for this network",
        ]
        if self.keras_seconds is not None:
            lines.append(
                f"  Keras    {1e3 * np.median(self.keras_seconds):.2f} ms for model.predict: "
                f"{self.speedup:.1f} times as long"
            )
        return "\n".join(lines)


def benchmark(
    path: str | os.PathLike,
    images: ArrayLike | None = None,
    threads: int | None = None,
    runs: int = 50,
    model: keras.Model | None = None,
) -> Benchmark:
    """Measure latency and memory of a TFLite file on this machine's CPU.

    Args:
        path: a `.tflite` file.
        images: [N, H, W, C] that the runs take in turn; noise by default (the time does not depend on the
            picture).
        threads: as in `Runner`.
        runs: measured runs, after a tenth as many (at least 3) for warming up.
        model: a `keras.Model` to time in the same run, batch 1 through `model.predict`, on all of
            TensorFlow's threads.

    Returns:
        A `Benchmark`; `print` it.

    Raises:
        ValueError: `runs` is not positive, or the images do not fit the file.
    """
    if runs < 1:
        raise ValueError(f"runs is {runs}; needed is 1 or more, e.g. runs=50.")
    runner = Runner(path, threads)
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, runner.input_shape, dtype=np.uint8)
    images = checked_images(images, runner.input_shape).astype(np.float32)
    calls = [runner] if model is None else [runner, lambda image: model.predict(image, verbose=0)]
    warm_up = max(3, runs // 10)
    # In turn, so that whatever else the machine does hits both alike.
    rows = [[_seconds(call, images[[i % len(images)]]) for call in calls] for i in range(warm_up + runs)]
    columns = np.array(rows[warm_up:]).T
    before, peak = _peak_memory(path, runner.threads)
    return Benchmark(
        path=Path(path),
        file_bytes=Path(path).stat().st_size,
        threads=runner.threads,
        seconds=columns[0],
        keras_seconds=columns[1] if model is not None else None,
        process_bytes=peak,
        file_memory_bytes=peak - before,
    )


def _seconds(call, image):
    start = time.perf_counter()
    call(image)
    return time.perf_counter() - start


def _peak_memory(path, threads):
    command = [sys.executable, "-P", str(WORKER), "memory", str(path), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{path}: measuring its memory failed.\n{done.stderr.strip()[-500:]}")
    return map(int, done.stdout.split())


def _usable_threads():
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(4, usable or 1)

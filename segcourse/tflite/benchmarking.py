"""Latency and memory of a `.tflite` file on this machine's CPU."""

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
from segcourse.tflite.images import as_array
from segcourse.tflite.runtime import Runner, checked_images

if TYPE_CHECKING:
    import keras

WORKER = Path(__file__).with_name("_worker.py")


@dataclass(frozen=True)
class Benchmark:
    """What `benchmark` measured, on this machine.

    Attributes:
        path, file_bytes: the file and its size.
        threads: CPU threads of LiteRT.
        seconds: latency of each run (one image, copies included).
        keras_seconds: the same of Keras, by `model.predict_on_batch` without XLA, taken in turn with the
            above; None without a model.
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
        """How many times faster than Keras, by the medians of both; None without a model."""
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
                f"  Keras    {1e3 * np.median(self.keras_seconds):.2f} ms for predict_on_batch: "
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
            picture). A file that leaves its size open is measured at the size of the images.
        threads: as in `Runner`.
        runs: measured runs, after a tenth as many (at least 3) for warming up.
        model: a `keras.Model` to time in the same run, batch 1, on all of TensorFlow's threads. It is called
            as `segcourse.prediction.predict` does it: compiled to a graph, without the tenth of a second that
            each `model.predict` takes to set up a data set.

    Returns:
        A `Benchmark`; `print` it.

    Raises:
        ValueError: `runs` is not positive, the images do not fit the file, or the file leaves its size open
            and there are no images.
    """
    if runs < 1:
        raise ValueError(f"runs is {runs}; needed is 1 or more, e.g. runs=50.")
    path = readable(path)
    if images is not None:
        images = as_array(images)
    runner = Runner(path, threads, size=None if images is None else images.shape[1:3])
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, runner.input_shape, dtype=np.uint8)
    images = checked_images(images, runner.input_shape).astype(np.float32)
    calls = [runner.outputs] if model is None else [runner.outputs, _keras(model)]
    warm_up = max(3, runs // 10)
    # In turn, so that whatever else the machine does hits both alike.
    rows = [[_seconds(call, images[[i % len(images)]]) for call in calls] for i in range(warm_up + runs)]
    columns = np.array(rows[warm_up:]).T
    before, peak = _peak_memory(path, runner.threads, runner.input_shape)
    return Benchmark(
        path=path,
        file_bytes=path.stat().st_size,
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


def _keras(model):
    """A function of one image, as a user in a hurry would call it; the model itself stays as it is."""
    import keras

    from segcourse.prediction.whole import on_batch
    from segcourse.training import jit_compile

    twin = keras.Model(model.inputs, model.outputs[0])
    if jit_compile() is False:  # as `prediction.predict` does: XLA on CPUs is slower for most networks
        twin.jit_compile = False
    return lambda image: on_batch(twin, image)


def _peak_memory(path, threads, shape):
    command = [sys.executable, "-P", str(WORKER), "memory", str(path), str(threads), *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{path}: measuring its memory failed.\n{done.stderr.strip()[-500:]}")
    return map(int, done.stdout.split())

"""What speaks against a file that `segcourse export` has written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import keras
    import numpy as np

MAX_DROP = 0.02  # what --check allows an int8 file to lose where --max-drop says nothing: two points of mIoU
MEASURED_IMAGES = 2  # for all tensors of a file: minutes and gigabytes otherwise
SLOWER = 1.2  # below that, a difference of two latencies may be noise


@dataclass
class Judge:
    """Judges a file beside the network that it came from.

    Args:
        network: the Keras model.
        path, quantization, size: of the file, and what it was written with.
        images: uint8 [N, H, W, C] as the file takes them.
    """

    network: keras.Model
    path: Path
    quantization: str | None
    size: tuple[int, int]
    images: np.ndarray

    def __enter__(self):
        from segcourse import tflite

        self._folder = tempfile.TemporaryDirectory()
        self.exact = self.path
        if self.quantization is not None:
            self.exact = tflite.convert(self.network, Path(self._folder.name) / "float32.tflite", self.size)
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def float16(self) -> list[str]:
        """What a GPU that computes in float16 would overflow at."""
        from segcourse import tflite

        found = tflite.float16_ranges(self.exact, self.images[:MEASURED_IMAGES])
        typer.echo(found)
        return [f"in float16, {problem}" for problem in found.problems]

    def drop(self, data: str, pictures: np.ndarray, labels: np.ndarray, allowed: float | None) -> list[str]:
        """What the file loses in mIoU, and whether that is more than allowed."""
        from segcourse import tflite

        try:
            before = self.network if self.exact == self.path else self.exact
            found = tflite.miou_drop(before, self.path, pictures, labels)
        except ValueError as error:  # labels of other classes than the network's
            typer.echo(f"mIoU: not measured. {error}")
            return [] if allowed is None else [f"its mIoU could not be measured on {data}"]
        typer.echo(f"{data}: {found}")
        if allowed is None or found.points <= allowed:
            return []
        return [f"it loses {100 * found.points:.2f} points of mIoU, allowed are {100 * allowed:.2f}"]

    def layers(self) -> None:
        """Where the error of an int8 file arises."""
        from segcourse import tflite

        images = self.images[:MEASURED_IMAGES]
        typer.echo(tflite.layer_errors(self.network, self.exact, self.path, images))
        typer.echo("  (--keep-float LAYER computes a layer in float32)")

    def speed(self) -> None:
        """Warns of an int8 file that is slower than float32 on this machine."""
        from segcourse import tflite

        exact, own = (tflite.benchmark(path, self.images, runs=10).median for path in (self.exact, self.path))
        typer.echo(f"latency here: float32 {1e3 * exact:.1f} ms, {self.quantization} {1e3 * own:.1f} ms")
        if own > SLOWER * exact:
            typer.secho(
                f"warning: {self.quantization} takes {own / exact:.1f} times as long as float32 on this CPU: "
                "it has operators without a fast 8-bit form.",
                err=True,
                fg="yellow",
            )

    def gpu(self) -> list[str]:
        """What LiteRT's real GPU delegate says of the file; empty if it has no verdict."""
        from segcourse import tflite

        images = self.images[:1]
        try:
            on_gpu = tflite.with_cpu(self.path, images, tflite.run_on_gpu_delegate(self.path, images))
        except tflite.GpuDelegateUnavailable as error:
            typer.echo(f"GPU delegate: not tried. {error}")
            return []
        except tflite.GpuDelegateTimeout as error:
            typer.echo(f"GPU delegate: no verdict. {error}")
            return []
        except tflite.GpuDelegateError as error:
            return [str(error)]
        typer.echo(f"GPU delegate: takes the whole network; against the CPU {on_gpu}")
        return [f"GPU against CPU: {failure}" for failure in on_gpu.failures(self.quantization)]

"""LiteRT's real GPU delegate, the one that phones run, on a machine that need not have a GPU.

The delegate speaks WebGPU to Vulkan; SwiftShader, which comes with the Chromium browser, is Vulkan on the
CPU.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from segcourse.tflite.files import readable
from segcourse.tflite.images import Interface
from segcourse.tflite.inspection import inspect
from segcourse.tflite.runtime import checked_images

WORKER = Path(__file__).with_name("_worker.py")
SWIFTSHADER = "vk_swiftshader_icd.json"
BROWSERS = (
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
    "/snap/chromium/current/usr/lib/chromium-browser",
)
INSTALL = "sudo apt-get install chromium libvulkan1"


class GpuDelegateError(RuntimeError):
    """The network did not run on the GPU delegate."""


class GpuDelegateUnavailable(GpuDelegateError):
    """This machine cannot run the delegate, which says nothing about the network; names what to install."""


class GpuDelegateRefused(GpuDelegateError):
    """The delegate does not take the network.

    Attributes:
        operators: list of (operator, reason) as the delegate names them; empty if the process died instead.
    """

    def __init__(self, message: str, operators: Iterable[tuple[str, str]] = ()):
        super().__init__(message)
        self.operators = list(operators)


class GpuDelegateTimeout(GpuDelegateError):
    """The delegate had not finished in time, which says nothing about the network."""


class GpuDelegateInvalid(GpuDelegateRefused):
    """The delegate took the network, but the GPU rejected commands on the way: the result is not to be used.

    Attributes:
        logits: the values that came back nevertheless, as `run_on_gpu_delegate` returns them.
    """

    def __init__(self, message: str, logits: np.ndarray | dict[str, np.ndarray]):
        super().__init__(message)
        self.logits = logits


def gpu_delegate_available() -> bool:
    """True if `run_on_gpu_delegate` can run on this machine."""
    return why_unavailable() is None


def run_on_gpu_delegate(
    path: str | os.PathLike, images: ArrayLike, timeout: float = 300
) -> np.ndarray | dict[str, np.ndarray]:
    """Run a TFLite file on LiteRT's GPU delegate, on the GPU alone: no operator may fall back to the CPU.

    It runs in a process of its own, for some networks abort it. SwiftShader computes in float32 where phones
    compute in float16: check that with `float16_ranges`.

    Args:
        path: a `.tflite` file.
        images: [N, H, W, C], uint8 or float in 0..255, of the file's size.
        timeout: seconds for the whole run.

    Returns:
        float32 logits [N, H', W', classes], or the labels of a file that gives those; of a file with several
        outputs a dict name -> array.

    Raises:
        GpuDelegateUnavailable: the machine lacks SwiftShader or the Vulkan loader.
        GpuDelegateRefused: the delegate refuses an operator, aborts (the message has the signal), or, as
            `GpuDelegateInvalid`, computes with rejected commands.
        GpuDelegateTimeout: it had not finished within `timeout`.
        GpuDelegateError: a failure of another kind.
        FileNotFoundError, IsADirectoryError: there is no file at `path`.
        ValueError: no whole TFLite file, the images do not fit it, or the timeout is no positive number.
    """
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout is {timeout!r}; needed is a number of seconds above 0, e.g. timeout=300.")
    missing = why_unavailable()
    if missing:
        raise GpuDelegateUnavailable(missing)
    path = readable(path)
    interface = _interface(path)
    images = interface.encoded(checked_images(images, interface.input_shape))
    with tempfile.TemporaryDirectory() as folder:
        sent, received = Path(folder, "images.npy"), Path(folder, "results.npz")
        np.save(sent, images)
        # -P: this package's modules must not shadow the standard library's.
        command = [sys.executable, "-P", str(WORKER), "gpu", str(path), str(sent), str(received)]
        done = _run(command, folder, path, len(images), timeout)
        with np.load(received) as arrays:
            results = {name: interface.decoded(name, arrays[name]) for name in interface.outputs}
    result = results if len(results) > 1 else next(iter(results.values()))
    rejected = _rejected(done.stderr)
    if rejected:
        raise _invalid(path, rejected, result)
    return result


def _interface(path):
    from ai_edge_litert.interpreter import Interpreter

    return Interface(Interpreter(str(path)), path)


def _run(command, folder, path, count, timeout):
    try:
        done = subprocess.run(
            command,
            env=_environment(folder),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise GpuDelegateTimeout(
            f"{path}: the GPU delegate gave no answer in {timeout} s for {count} image(s). Pass fewer, or a "
            "larger timeout; a smaller input_size helps too. It is SwiftShader on the CPU that is slow here, "
            "not the phone."
        ) from None
    if done.returncode:
        raise _failure(path, done.returncode, done.stderr)
    return done


def run_each_on_gpu_delegate(
    files: Iterable[tuple[str | os.PathLike, np.ndarray]],
) -> list[dict[str, np.ndarray] | GpuDelegateError]:
    """Run many TFLite files on the GPU alone, a tenth of a second each where they are small.

    Args:
        files: pairs of a `.tflite` file with one input and that input, of its shape and type.

    Returns:
        For each file its outputs by their names in the signature, or the exception that
        `run_on_gpu_delegate` would raise.

    Raises:
        GpuDelegateUnavailable: as there.
    """
    missing = why_unavailable()
    if missing:
        raise GpuDelegateUnavailable(missing)
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for number, (path, values) in enumerate(files):
            copies.append((path, Path(folder, f"{number:05}.tflite")))
            shutil.copy(path, copies[-1][1])
            np.save(copies[-1][1].with_suffix(".in.npy"), values)
        command = [sys.executable, "-P", str(WORKER), "each", folder]
        subprocess.run(command, env=_environment(folder), check=True, capture_output=True)
        return [_outcome(path, copy) for path, copy in copies]


def _outcome(path, copy):
    code, log = copy.with_suffix(".code"), copy.with_suffix(".log").read_text(errors="replace")
    if code.read_text() != "0":
        return _failure(path, int(code.read_text()), log)
    with np.load(copy.with_suffix(".npz")) as stored:
        outputs = dict(stored)
    rejected = _rejected(log)
    return _invalid(path, rejected, next(iter(outputs.values()))) if rejected else outputs


def why_unavailable() -> str | None:
    """What this machine lacks to run the delegate, with the fix; None if nothing."""
    if not sys.platform.startswith("linux"):
        return f"The GPU delegate check runs on Linux, not on {sys.platform}: use a Linux machine or CI job."
    package = find_spec("ai_edge_litert")
    if package is None or not Path(package.origin).with_name("libLiteRtWebGpuAccelerator.so").exists():
        return "This ai-edge-litert has no GPU delegate: pip install -U ai-edge-litert, on x86-64 Linux."
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return f"The Vulkan loader libvulkan.so.1 is missing: {INSTALL} (Debian's package names)."
    if _vulkan_driver() is None:
        return f"No {SWIFTSHADER} in {', '.join(BROWSERS)}: {INSTALL} (Debian's package names)."
    return None


def _vulkan_driver():
    """The ICD file of the Vulkan driver: the user's choice, or the SwiftShader of an installed browser."""
    chosen = os.environ.get("VK_DRIVER_FILES")
    candidates = [chosen] if chosen else [f"{folder}/{SWIFTSHADER}" for folder in BROWSERS]
    return next((file for file in candidates if Path(file).exists()), None)


def _environment(folder):
    return {"XDG_RUNTIME_DIR": folder, **os.environ, "VK_DRIVER_FILES": _vulkan_driver()}


def _rejected(log):
    return re.findall(r"Validation error: (.+)", log)


def _invalid(path, rejected, logits):
    return GpuDelegateInvalid(
        f"{path}: the GPU delegate took the network, but the GPU rejected {len(rejected)} commands "
        f"({rejected[0].strip()}): its values are wrong. {_advice(path)}",
        logits,
    )


def _failure(path, code, log):
    """The exception that says why the worker failed."""
    operators = _refused_operators(log)
    if operators:
        listed = "; ".join(f"{operator}: {reason}" for operator, reason in operators)
        return GpuDelegateRefused(
            f"{path}: the GPU delegate does not take {listed}. {_advice(path, operators)}", operators
        )
    if "dynamic-sized tensors" in log:
        return GpuDelegateRefused(
            f"{path}: the GPU delegate takes no tensor whose size is not fixed. {_advice(path)}"
        )
    if code < 0:
        name = signal.Signals(-code).name
        return GpuDelegateRefused(f"{path}: the GPU delegate's process died of {name}. {_advice(path)}")
    if "Failed to initialize kernel" in log:
        return GpuDelegateRefused(
            f"{path}: the GPU delegate took every operator and then failed to build them. {_advice(path)}"
        )
    last = "\n".join(line for line in log.splitlines()[-15:] if not line.startswith("INFO"))
    return GpuDelegateError(f"{path}: the GPU delegate failed.\n{last}")


def _advice(path, operators=()):
    """What `inspect` says of the file; where it does not know the fault, what else can be done."""
    problems = inspect(path).problems
    refused = {operator for operator, _ in operators}
    known = [problem for problem in problems if not refused or problem.operator in refused] or problems
    if known:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"inspect(path) has the fixes{more}: {known[0]}."
    return (
        "inspect(path) knows nothing against this file. Halve the network until the delegate takes it, to "
        "find the layer; write that in another form, or run the file on the CPU."
    )


def _refused_operators(log):
    """[(operator, reason)] from the block that the delegate writes to stderr."""
    block = re.search(
        r"operations are not supported by GPU delegate:\n(.*?)\n(?:\d+|No) operations will run",
        log,
        re.DOTALL,
    )
    if not block:
        return []
    return re.findall(r"^([A-Z][A-Z0-9_ ]*): (.+?)\s*$", block.group(1), re.MULTILINE)

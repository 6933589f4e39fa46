"""TensorFlow Addons as the reference of `test_addons.py`; it runs in an environment of its own."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from addons_worker import cotangent, numbered, read, write

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-addons/bin/python"


class AddonsError(Exception):
    """TensorFlow Addons raised an error; the message is its type and text."""


class Reference:
    """A running Python with TensorFlow Addons; a symbol is named without the leading "tfa."."""

    def __init__(self):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        environment.pop("PYTHONPATH", None)
        command = [PYTHON, "-s", Path(__file__).with_name("addons_worker.py")]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)

    def __call__(self, symbol, *inputs, weights=(), **config):
        """What the symbol makes of the input arrays: an array, or a tuple of arrays."""
        return self._compute(symbol, inputs, weights, config, gradients=False)[0]

    def with_gradients(self, symbol, *inputs, weights=(), **config):
        """The same, and the gradients of sum(cotangent * output) for all floating inputs and weights."""
        return self._compute(symbol, inputs, weights, config, gradients=True)

    def train(self, symbol, start, gradients, wrap=None, wrap_config=None, **config):
        """Let an optimizer take steps: weights [steps, ...] after each, and the average it keeps or None."""
        question = {"kind": "train", "symbol": symbol, "config": config}
        question |= {"wrap": wrap, "wrap_config": wrap_config}
        _, answer = self._ask(question, {"start": start, "gradients": gradients})
        return answer["weights"], answer.get("average")

    def train_layers(self, symbol, starts, gradients, rates):
        """Let an optimizer with a rate for every layer take steps: a list of the layers' kernels."""
        arrays = {f"start{i}": start for i, start in enumerate(starts)} | {"gradients": gradients}
        _, answer = self._ask({"kind": "train_layers", "symbol": symbol, "rates": rates}, arrays)
        return numbered(answer, "weight")

    def missing(self, symbols):
        """Those of the symbols that TensorFlow Addons does not have."""
        return self._ask({"kind": "exist", "symbols": sorted(symbols)}, {})[0]["missing"]

    def versions(self):
        """A dict of the versions that answer, by package."""
        return self._ask({"kind": "versions"}, {})[0]

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def _compute(self, symbol, inputs, weights, config, gradients):
        arrays = {f"input{i}": np.asarray(array) for i, array in enumerate(inputs)}
        arrays |= {f"weight{i}": np.asarray(array) for i, array in enumerate(weights)}
        question = {"kind": "compute", "symbol": symbol, "config": config, "gradients": gradients}
        _, answer = self._ask(question, arrays)
        outputs = numbered(answer, "output")
        return outputs[0] if len(outputs) == 1 else tuple(outputs), numbered(answer, "gradient")

    def _ask(self, header, arrays):
        write(self._process.stdin, header, arrays)
        answer = read(self._process.stdout)
        if answer is None:
            raise RuntimeError(f"The process with TensorFlow Addons ended (status {self._process.wait()}).")
        if "error" in answer[0]:
            raise AddonsError(answer[0]["error"])
        return answer


def start():
    """A `Reference`; skips the calling test if there is no `.venv-addons`, and says why there is none.

    Where SEGCOURSE_REQUIRE_ADDONS is set, as in continuous integration, that is a failure instead.
    """
    if PYTHON.exists():
        return Reference()
    script = ROOT / "tools/make_addons_env.sh"
    possible = subprocess.run([script, "--possible"], capture_output=True, text=True)
    reason = "no .venv-addons: " + (possible.stderr.strip() or "make addons makes it")
    (pytest.fail if os.environ.get("SEGCOURSE_REQUIRE_ADDONS") else pytest.skip)(reason)


def with_gradients(function, *inputs):
    """What `Reference.with_gradients` tells, of a Python function or Keras layer of this environment."""
    inputs = [tf.constant(array) for array in inputs]
    with tf.GradientTape() as tape:
        sources = [x for x in inputs if x.dtype.is_floating]
        tape.watch(sources)
        output = function(*inputs)
    sources += [variable.value for variable in getattr(function, "trainable_weights", [])]
    found = tape.gradient(output, sources, cotangent(output.shape), unconnected_gradients="zero")
    return output.numpy(), [tf.convert_to_tensor(gradient).numpy() for gradient in found]

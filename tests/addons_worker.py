"""TensorFlow Addons, asked through a pipe by `addons_reference.py`. Runs in `.venv-addons`, Python 3.9-3.11.

A question and its answer are each one .npz archive with its length in front; the entry `header` is JSON, the
others are arrays. The words of a question are told where they are answered.
"""

import functools
import inspect
import io
import json
import os
import struct
import sys
import warnings

import numpy as np


def read(pipe):
    """The next (header, arrays) of the pipe, arrays as a dict by name; None at its end."""
    length = pipe.read(8)
    if not length:
        return None
    archive = np.load(io.BytesIO(pipe.read(struct.unpack("<q", length)[0])))
    arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays.pop("header"))), arrays


def write(pipe, header, arrays):
    """Send (header, arrays) down the pipe."""
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(json.dumps(header)), **arrays)
    pipe.write(struct.pack("<q", buffer.tell()) + buffer.getvalue())
    pipe.flush()


def cotangent(shape):
    """What an output's gradient is asked for: d sum(cotangent * output) / d input. All entries differ."""
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape).astype("float32")


def numbered(arrays, prefix):
    """The arrays `prefix0`, `prefix1`, ... in this order."""
    return [arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays))]


class Addons:
    """Answers questions about the package; each method is one kind of question."""

    def __init__(self):
        import tensorflow as tf
        import tensorflow_addons as tfa

        self.tf, self.tfa = tf, tfa

    def versions(self, header, arrays):
        """Which versions answer."""
        import keras

        return {
            "python": sys.version.split()[0],
            "tensorflow": self.tf.__version__,
            "keras": keras.__version__,
            "tensorflow-addons": self.tfa.__version__,
        }, {}

    def exist(self, header, arrays):
        """Which of the `symbols` do not exist."""
        return {"missing": [name for name in header["symbols"] if self._find(name) is None]}, {}

    def compute(self, header, arrays):
        """What `symbol` makes of the arrays `input0`, ... with the keywords `config`.

        A class is instantiated with `config` first, a layer gets the arrays `weight0`, ... if there are any,
        and a metric sees one batch. The answer has `output0`, ..., and, if `gradients` is true, `gradient0`,
        ...: of the first output, for every input and then every weight of floating dtype.
        """
        tf = self.tf
        inputs = [tf.constant(array) for array in numbered(arrays, "input")]
        function = self._callable(header, inputs, numbered(arrays, "weight"))
        with tf.GradientTape() as tape:
            sources = [x for x in inputs if x.dtype.is_floating]
            tape.watch(sources)
            outputs = function(*inputs)
        sources += getattr(function, "trainable_weights", [])
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        answer = {f"output{i}": output.numpy() for i, output in enumerate(outputs)}
        if header["gradients"]:
            of, zero = cotangent(outputs[0].shape), tf.UnconnectedGradients.ZERO
            found = tape.gradient(outputs[0], sources, of, unconnected_gradients=zero)
            answer.update({f"gradient{i}": gradient.numpy() for i, gradient in enumerate(found)})
        return {}, answer

    def train(self, header, arrays):
        """The steps of the optimizer `symbol(**config)` on a variable that begins as `start`.

        It meets `gradients`, [steps, ...]. A string in `wrap` is the optimizer that it wraps, with the
        keywords `wrap_config`. The answer has `weights`, [steps, ...], and the `average` that the optimizer
        keeps, if any.
        """
        tf, config = self.tf, dict(header["config"])
        if header["wrap"]:
            inner = getattr(tf.keras.optimizers.legacy, header["wrap"])(**header["wrap_config"])
            config["optimizer"] = inner
        optimizer = self._find(header["symbol"])(**config)
        variable, weights = tf.Variable(arrays["start"]), []
        for gradient in arrays["gradients"]:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
            weights.append(variable.numpy())
        answer = {"weights": np.stack(weights)}
        if "average" in getattr(optimizer, "get_slot_names", list)():
            answer["average"] = optimizer.get_slot(variable, "average").numpy()
        return {}, answer

    def train_layers(self, header, arrays):
        """The kernels of dense layers after an optimizer that treats every layer by itself has taken steps.

        The layers begin with the kernels `start0`, ..., all meet `gradients`, [steps, inputs, outputs], and
        get SGD with momentum 0.9 and the rates in `rates`. The answer has `weight0`, ..., one a layer.
        """
        tf, starts = self.tf, numbered(arrays, "start")
        layers = [tf.keras.layers.Dense(start.shape[1], use_bias=False) for start in starts]
        for layer, start in zip(layers, starts):  # noqa: B905 (Python 3.9 has no strict)
            layer(tf.zeros((1, start.shape[0])))  # not build(): the optimizer goes by the kernels' full names
            layer.set_weights([start])
        optimizers = [tf.keras.optimizers.legacy.SGD(rate, momentum=0.9) for rate in header["rates"]]
        pairs = list(zip(optimizers, layers))  # noqa: B905
        optimizer = self._find(header["symbol"])(optimizers_and_layers=pairs)
        for gradient in arrays["gradients"]:
            optimizer.apply_gradients([(tf.constant(gradient), layer.kernel) for layer in layers])
        return {}, {f"weight{i}": layer.kernel.numpy() for i, layer in enumerate(layers)}

    def _find(self, symbol):
        root, name = (self.tf, symbol[3:]) if symbol.startswith("tf.") else (self.tfa, symbol)
        return functools.reduce(lambda found, part: getattr(found, part, None), name.split("."), root)

    def _callable(self, header, inputs, weights):
        found = self._find(header["symbol"])
        if not inspect.isclass(found):
            return functools.partial(found, **header["config"])
        made = found(**header["config"])
        if isinstance(made, self.tf.keras.metrics.Metric):
            return lambda *batch: (made.update_state(*batch), made.result())[1]
        if weights:
            made.build(inputs[0].shape)
            made.set_weights(weights)
        return made


def main():
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever TensorFlow prints must not end up among the answers
    warnings.simplefilter("ignore")
    addons = Addons()
    while (question := read(questions)) is not None:
        header, arrays = question
        try:
            header, arrays = getattr(addons, header["kind"])(header, arrays)
        except Exception as error:  # told to the test that asked
            header, arrays = {"error": f"{type(error).__name__}: {error}"}, {}
        write(answers, header, arrays)
    os._exit(0)  # nothing to save, and TensorFlow takes seconds to leave


if __name__ == "__main__":
    main()

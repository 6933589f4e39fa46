"""Train: a thin layer over Keras' own `compile` and `fit`.

Keras does the work. Added here is what it leaves out: the fast compile setting for the device, a precision
that is not a global switch, resuming a killed run with the result of an uninterrupted one, and a stop with an
explanation when the loss is no longer a number.
"""

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

import segcourse
from segcourse.datasets.prompt import prompt
from segcourse.optimizers import tuned

BEST_NAME = "best.weights.h5"
STATE_NAME = "state.npz"


class TrainingDiverged(ArithmeticError):
    """The loss became NaN or infinite; the message names epoch, step and the usual causes."""


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend (`keras.utils.set_random_seed`)."""
    keras.utils.set_random_seed(seed)


def poly(base_lr: float, steps: int, power: float = 0.9) -> keras.optimizers.schedules.PolynomialDecay:
    """The "poly" learning rate of the segmentation papers: `base_lr * (1 - step / steps) ** power`.

    It is Keras' `PolynomialDecay` with an end at 0; Keras' own defaults (end 0.0001, power 1) are another
    schedule.

    Source: Chen et al., DeepLab (v2), arXiv:1606.00915, section 4.1.
    """
    return keras.optimizers.schedules.PolynomialDecay(base_lr, steps, end_learning_rate=0.0, power=power)


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build every layer inside the `with` block in this precision; the global policy is put back afterwards.

    A Keras layer takes its precision when it is created, so the block goes around *building* a model:

        with training.precision("mixed_bfloat16"):
            model = fcn8s(width=0.25)

    Weights stay float32, so `float32_model.set_weights(model.get_weights())` gives the model to export.

    Args:
        policy: "float32", "mixed_float16" or "mixed_bfloat16" (fast on recent GPUs and on CPUs with matrix
            units for bfloat16; there is a warning where it is slower than float32).
    """
    if policy == "mixed_bfloat16" and _bfloat16_is_slow():
        warnings.warn(
            "This processor has no matrix units for bfloat16 (AMX): mixed_bfloat16 works, but a training "
            "step takes longer than in float32 (measured: 1.2 times with AVX512-BF16, 3 times without).",
            stacklevel=3,
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _bfloat16_is_slow() -> bool:
    """Whether TensorFlow would use a CPU that is known to be slow at it: x86 without AMX."""
    cpu_info = Path("/proc/cpuinfo")
    if (
        keras.backend.backend() != "tensorflow"
        or not cpu_info.exists()
        or keras.distribution.list_devices("gpu")
    ):
        return False
    return platform.machine() == "x86_64" and "amx_bf16" not in cpu_info.read_text()


def compile(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | str,
    loss: keras.losses.Loss | Callable | str,
    metrics: Sequence[keras.metrics.Metric | str] = (),
    lr_factors: Mapping[str, float] | None = None,
) -> None:
    """`model.compile` with what is fast on this device; `optimizer`, `loss` and `metrics` are as for Keras.

    With TensorFlow on a CPU this leaves XLA off, whatever the Keras version's default: it makes convolutional
    networks slower there. With TensorFlow, Keras' Adam and AdamW update each weight by one kernel instead of
    twelve: same formula, same state. For that `model.optimizer` is a copy of `optimizer`; a saved model has
    Keras' own.

    Args:
        lr_factors: by layer name, a factor on the learning rate of this layer's weights (Caffe's `lr_mult`).
            A saved model does not remember it.

    Raises:
        ValueError: there is no such layer, it has no trainable weights, or the optimizer cannot be given
            factors.
    """
    factors = _factors_of_weights(model, lr_factors or {})
    optimizer = keras.optimizers.get(optimizer)
    # What Keras saves is what its `compile` was given.
    keras_own = getattr(optimizer, "original", optimizer)
    model.compile(optimizer=keras_own, loss=loss, metrics=list(metrics), jit_compile=jit_compile())
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):  # Keras' doing, for float16
        model.optimizer.inner_optimizer = tuned(model.optimizer.inner_optimizer, factors)
    else:
        model.optimizer = tuned(optimizer, factors)


def _factors_of_weights(model, lr_factors):
    """The factors by the ids of the weights, and of the variables that TensorFlow keeps inside of them."""
    factors = {}
    for name, factor in lr_factors.items():
        weights = model.get_layer(name).trainable_weights
        if not weights:
            raise ValueError(
                f"lr_factors: layer {name!r} has no trainable weights. Build it first, or leave it out."
            )
        for weight in weights:
            factors[id(weight)] = factor
            if keras.backend.backend() == "tensorflow":
                factors[id(weight.value)] = factor
    return factors


def jit_compile() -> bool | str:
    """What Keras' argument `jit_compile` should be on this device, whatever the Keras version's default."""
    on_cpu = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")
    return False if on_cpu else "auto"


def fit(
    model: keras.Model,
    data: Any,
    *,
    epochs: int,
    steps_per_epoch: int | None = None,
    validation: Any = None,
    monitor: str = "val_miou",
    folder: str | os.PathLike | None = None,
    resume: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    batch_size: int = 8,
    seed: int = 0,
) -> dict[str, list]:
    """Train a compiled model and return its history.

    A run that was killed continues, when it is called again with the same arguments, after its last whole
    epoch, and ends with the weights of a run that was never interrupted, provided that `data` is arrays or a
    callable: a plain `Dataset` cannot say in which order it would have gone on. What the callbacks remember
    is not stored.

    Args:
        model: a compiled `keras.Model`.
        data: batches of (images, labels) as a `tf.data.Dataset`; or a callable `epoch -> Dataset` whose order
            is a function of the epoch (0, 1, ...), see `segcourse.datasets.epochs`; or the arrays (images
            [N,H,W,3], labels [N,H,W]), which are shuffled anew each epoch.
        epochs: the total number of epochs, those of an earlier interrupted run included.
        steps_per_epoch: batches per epoch; needed only for a dataset without an end.
        validation: a `Dataset` or a pair of arrays, measured after every epoch.
        monitor: the history key that decides which epoch is best: smaller is better for a name with "loss" in
            it, larger for everything else.
        folder: where `best.weights.h5` and the state to resume from are kept. With a folder the model ends
            with its best weights, without one with its last.
        resume: False forgets what the folder holds and starts anew.
        callbacks: further Keras callbacks.
        batch_size: for arrays only.
        seed: of the shuffling of arrays.

    Returns:
        A dict of equally long lists: `epoch` (from 1), `loss`, the metrics, the same with `val_`, `lr` (at
        the end of the epoch) and `seconds`.

    Raises:
        TrainingDiverged: the loss is NaN or infinite.
        ValueError: the model is not compiled or built, `monitor` cannot be measured, or the folder holds the
            state of another model.
    """
    data = tuple(data) if isinstance(data, list) else data
    _check(model, data, epochs, validation, monitor, folder)
    folder = None if folder is None else Path(folder)
    keeper = _Keeper(model, monitor, folder)
    keeper.open(resume)
    start = keeper.epochs_done
    if start < epochs:
        with _progress(epochs, start) as bar:
            hooks = [_StopAtNaN(), *callbacks, *([_Progress(bar)] if bar is not None else []), keeper]
            _run(model, data, start, epochs, steps_per_epoch, validation, hooks, batch_size, seed)
    if folder is not None:
        with _without_optimizer(model):
            model.load_weights(folder / BEST_NAME)
    return keeper.history


def _check(model, data, epochs, validation, monitor, folder):
    if not model.compiled:
        raise ValueError("The model is not compiled. Call training.compile(model, optimizer, loss) first.")
    if not model.built:
        raise ValueError("The model has no weights yet. Call it once on a batch of images first.")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}.")
    if getattr(model.optimizer, "use_ema", False):
        raise ValueError(
            "use_ema=True is not supported: Keras would overwrite the weights after every epoch."
        )
    if folder is not None and monitor.startswith("val_") and validation is None:
        raise ValueError(
            f"monitor={monitor!r} is measured on validation data and there is none. "
            'Pass validation=(images, labels), or monitor="loss".'
        )
    if isinstance(data, tuple) and (len(data) != 2 or len(data[0]) != len(data[1]) or len(data[0]) == 0):
        raise ValueError(
            "Array data must be (images, labels) of one length above 0, got the lengths "
            f"{[len(part) for part in data]}."
        )


def _run(model, data, start, epochs, steps, validation, hooks, batch_size, seed):
    validation = None if validation is None else _prompt(validation, batch_size)
    common = {"verbose": 0, "shuffle": False, "steps_per_epoch": steps, "validation_data": validation}
    runner = _OneRun(hooks, add_history=True, model=model, epochs=epochs, steps=steps)
    runner.begin()
    if isinstance(data, tuple) or callable(data):
        for epoch in range(start, epochs):
            batches = _prompt(_epoch_of(data, epoch, seed), batch_size)
            runner.params["steps"] = steps or _length(batches)
            model.fit(batches, **common, initial_epoch=epoch, epochs=epoch + 1, callbacks=runner)
            if model.stop_training:
                break
    else:
        if start:
            warnings.warn(
                "Resuming with a Dataset: its order starts anew, so the result differs a little from that of "
                "an uninterrupted run. Pass arrays or segcourse.datasets.epochs(...) for the same result.",
                stacklevel=3,
            )
        runner.params["steps"] = steps or _length(data)
        model.fit(_prompt(data), **common, initial_epoch=start, epochs=epochs, callbacks=runner)
    runner.end()


def _epoch_of(data, epoch: int, seed: int):
    if callable(data):
        return data(epoch)
    images, labels = data
    order = np.random.default_rng((seed, epoch)).permutation(len(images))
    return np.asarray(images)[order], np.asarray(labels)[order]


def _prompt(data, batch_size: int | None = None):
    """Arrays or a `Dataset` as a `prompt` one; whatever else Keras takes, as it is."""
    import tensorflow as tf

    if isinstance(data, (tuple, list)):
        with tf.device("CPU:0"):
            data = tf.data.Dataset.from_tensor_slices(tuple(data)).batch(batch_size).prefetch(2)
    return prompt(data) if isinstance(data, tf.data.Dataset) else data


def _length(batches) -> int | None:
    """Batches in an epoch; None where the dataset does not know."""
    try:
        return len(batches)
    except TypeError:
        return None


class _OneRun(keras.callbacks.CallbackList):
    """Begins and ends the training once, though an epoch with its own dataset is a `model.fit` of its own."""

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass


class _StopAtNaN(keras.callbacks.Callback):
    """Keras' `TerminateOnNaN` ends the training quietly; a learner needs to know where and why."""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss became {loss} in epoch {self._epoch + 1}, step {batch + 1}. Usual causes, most "
                "frequent first: the learning rate is too high (try a tenth); the loss is a sum over pixels "
                "instead of a mean; a label is out of range (segcourse.datasets.labels.check_masks tells); a "
                "batch has no labelled pixel; the logarithm or a division of 0 in a loss of your own (add a "
                "small number); float16 without loss scaling. The weights in memory are useless now: build "
                "the model again."
            )


class _Keeper(keras.callbacks.Callback):
    """Keeps the history and, with a folder, the best weights and all that a later process needs to go on."""

    def __init__(self, model: keras.Model, monitor: str, folder: Path | None):
        super().__init__()
        self.set_model(model)
        self._monitor = monitor
        self._sign = -1.0 if "loss" in monitor else 1.0
        self._folder = folder
        self._best = -math.inf
        self.history: dict[str, list] = {}

    @property
    def epochs_done(self) -> int:
        return len(self.history.get("epoch", ()))

    def open(self, resume: bool) -> None:
        if not self.model.optimizer.built:
            # Also spares TensorFlow a second trace: it traces again when the first one creates variables.
            self.model.optimizer.build(self.model.trainable_variables)
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        state = self._folder / STATE_NAME
        if not resume:
            state.unlink(missing_ok=True)
        if state.exists():
            self._load(state)

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        learning_rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = time.perf_counter() - self._begun
        row = {"epoch": epoch + 1, **(logs or {}), "lr": learning_rate, "seconds": seconds}
        for key, value in row.items():
            self.history.setdefault(key, []).append(value)
        if self._folder is not None:
            # The best weights go first: a kill between the two repeats the epoch and writes them once more.
            self._keep_best(row)
            self._save(self._folder / STATE_NAME)

    def _keep_best(self, row: dict[str, float]) -> None:
        if self._monitor not in row:
            raise ValueError(f"monitor={self._monitor!r} is not measured; choose one of {sorted(row)}.")
        value = self._sign * row[self._monitor]
        if value > self._best or not (self._folder / BEST_NAME).exists():
            self._best = value
            save_weights(self.model, self._folder / BEST_NAME)

    def _variables(self) -> list:
        # `variables` has the state of dropout's seed generators, which `weights` and weight files leave out.
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self, path: Path) -> None:
        arrays = {str(i): keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables())}
        notes = json.dumps({"history": self.history, "best": self._best})
        partial = path.with_name("partial." + path.name)
        with open(partial, "wb") as file:
            np.savez(file, notes=np.array(notes), **arrays)
        os.replace(partial, path)

    def _load(self, path: Path) -> None:
        variables = self._variables()
        with np.load(path) as stored:
            shapes = [stored[name].shape for name in stored.files if name != "notes"]
            if shapes != [tuple(v.shape) for v in variables]:
                raise ValueError(
                    f"{path.parent.name}/{path.name} is the state of another model or optimizer "
                    f"({len(shapes)} variables there, {len(variables)} here, or other shapes). "
                    "Use another folder, or resume=False to start anew."
                )
            for i, variable in enumerate(variables):
                variable.assign(stored[str(i)])
            notes = json.loads(str(stored["notes"]))
        self.history, self._best = notes["history"], notes["best"]


def save_weights(model: keras.Model, path: str | os.PathLike) -> Path:
    """Write the weights alone, without the optimizer's (a third of Adam's file), whole or not at all.

    Args:
        path: ends in `.weights.h5`; `model.load_weights(path)` reads it.
    """
    path = Path(path)
    partial = path.with_name("partial." + path.name)
    with _without_optimizer(model):
        model.save_weights(partial)
    os.replace(partial, path)
    return path


@contextlib.contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield
    finally:
        model.optimizer = optimizer


def interactive() -> bool:
    """True where a person watches: a terminal or a notebook, but neither a test nor nbval."""
    if "PYTEST_CURRENT_TEST" in os.environ:
        return False
    return "ipykernel" in sys.modules or sys.stderr.isatty()


@contextlib.contextmanager
def _progress(epochs: int, start: int) -> Iterator[tqdm | None]:
    if not interactive():
        yield None
        return
    with tqdm(desc=f"epoch {start + 1}/{epochs}", unit="step", dynamic_ncols=True) as bar:
        yield bar


class _Progress(keras.callbacks.Callback):
    """One bar for the whole run: epoch, time left, loss and the latest validation scores."""

    def __init__(self, bar: tqdm):
        super().__init__()
        self._bar = bar
        self._validation: dict[str, float] = {}

    def on_epoch_begin(self, epoch, logs=None):
        epochs, steps = self.params["epochs"], self.params["steps"]
        self._bar.set_description(f"epoch {epoch + 1}/{epochs}", refresh=False)
        if steps and self._bar.total is None:
            self._bar.reset(total=(epochs - epoch) * steps)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.set_postfix(self._text({**(logs or {}), **self._validation}), refresh=False)
        self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self._validation = {key: value for key, value in (logs or {}).items() if key.startswith("val_")}
        self._bar.set_postfix(self._text(logs or {}))

    @staticmethod
    def _text(logs: dict[str, float]) -> dict[str, str]:
        return {key: f"{value:.3f}" for key, value in logs.items()}


def environment() -> dict[str, Any]:
    """Versions and machine for the record of a study; nothing personal: no user, host or folder names."""
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    return {
        "python": platform.python_version(),
        "segcourse": segcourse.__version__,
        "packages": {name: version for name in packages if (version := _version(name))},
        "backend": keras.backend.backend(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": _gpu_names(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        return names[0] if names else platform.machine()
    if platform.system() == "Darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor()


def _gpu_names() -> list[str]:
    devices = keras.distribution.list_devices("gpu")
    names = (
        _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines() if devices else []
    )
    return names or devices


def _output_of(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""

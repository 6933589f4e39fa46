"""What a study does, in numbers that later code can be held against.

A probe runs a study's own `run` in miniature: a few drawn pictures with void and a rare class instead of the
data set, fixed weights, three steps of every training. It notes what must stay exactly as it is (batches,
shapes and number of the weights, files read, precision) and what must stay the same up to rounding (logits,
learning rates, losses, weights after the three steps, scores). `differences` compares two probes.

All of it is computed in float32, whatever the study trains in: that is the same on every processor. The
precision of each training is noted by name.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets import cells, toycam
from segcourse.jsonable import jsonable
from segcourse.studies.core import fitting, store
from segcourse.studies.core.study import Study, get

STEPS = 3
DIGITS = 6  # significant ones that are stored of a number
SAMPLES = 32
PIXELS = 12_288  # of a batch that is trained on: as many pictures of it as fit, at least one
STEPPED = 3  # different networks that are trained; of any others the logits and all that is exact are noted
TOLERANCE = 1e-4  # relative to the root mean square of the list in which a number stands
# Initial weights are drawn: their size counts. Adam moves even those weights by its full rate whose gradient
# is rounding alone; so losses and weights after a step differ by more than rounding, and what is predicted
# then by a few percent (with one thread instead of two: 4). A score jumps with a pixel of a small picture.
TOLERANCES = {"start": 0.1, "losses": 3e-3, "after": 1e-2, "predictions": 0.1, "result": 1e-2}

# How many pictures a miniature split has, and their size; lesson 02 leaves out photographs by their number.
_COUNTS = {"toycam": {"train": 24, "val": 2, "test": 2}, "camvid": {"train": 367, "val": 2, "test": 2},
           "isbi2012": {"train": 4, "val": 1}}  # fmt: skip
_SIZES = {"toycam": (96, 128), "camvid": (184, 240)}
_DRAWN = 12  # different pictures; a larger split repeats them
_MINIATURE = {"search_scenes": 2, "search_every": 20, "windows_per_epoch": 128, "test_windows": 64,
              "most_rates": 1, "most_searched": 2}  # fmt: skip


class ProbeError(RuntimeError):
    """The study cannot be probed; the message says why."""


def take(study: Study, parts: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The probe of a `Study`: a dict by part, in a form that JSON can hold.

    Args:
        study: a `Study`.
        parts: which of its parts to run in miniature; by default its `probed`, or its first.

    Raises:
        ProbeError: the study neither trains nor reads weights through the functions that are watched.
    """
    chosen = study.probed or study.parts[:1] if parts is None else parts
    return {part: _take(study, part) for part in chosen}


def take_apart(name: str, parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`take` of the study of this name, in a process of its own: TensorFlow on the CPU, without oneDNN.

    Wherever the study was measured, its probe has to come out the same everywhere. oneDNN and GPUs round
    differently from device to device, and augmented pictures are noted exactly.

    Raises:
        ProbeError: the process failed; the message ends with what it said.
    """
    code = f"from segcourse.studies.core import probe; probe._print({name!r}, {list(parts)!r})"
    device = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    environment = {**os.environ, **device}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ProbeError(f"Probing {name} failed.\n{done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _print(name, parts):
    print(json.dumps(take(get(name), parts)))


def _take(study, part):
    watch = _Watch(study)
    with watch.in_place():
        result = study.run(part, _miniature(study.settings))
    if not watch.trainings and not watch.read:
        raise ProbeError(
            "The study neither trained by training.fit nor read weights: there is nothing to note."
        )
    notes = {"read": watch.read, "trainings": watch.trainings, "predictions": watch.predictions}
    result = {key: value for key, value in result.items() if key != "environment"}  # of the probe's machine
    return jsonable({**notes, "result": result}, DIGITS)


def differences(old: dict, new: dict) -> list[str]:
    """What two probes disagree on, in words: a list of lines, empty if the behaviour is the same."""
    return list(_differences("", old, new))


def _differences(path, old, new):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in old or key not in new:
                yield f"{where}: {'only then' if key in old else 'only now'}"
            else:
                yield from _differences(where, old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and not _is_numbers(old):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", *pair)
    elif _is_numbers(old) and _is_numbers(new) and np.shape(old) == np.shape(new):
        yield from _compare_numbers(path, np.array(old, float), np.array(new, float))
    elif old != new:
        yield f"{path}: then {_short(old)}, now {_short(new)}"


def _compare_numbers(path, old, new):
    if (np.isnan(old) != np.isnan(new)).any():
        yield f"{path}: other numbers are missing"
        return
    kind = next((kind for kind in TOLERANCES if re.search(rf"(^|\.){kind}\b", path)), None)
    scale = max(float(np.sqrt(np.nanmean(old**2))) if old.size else 0.0, 1e-12)
    apart = float(np.nanmax(np.abs(new - old), initial=0.0)) / scale
    if apart > TOLERANCES.get(kind, TOLERANCE):
        yield f"{path}: apart by {apart:.1e} of their size (allowed: {TOLERANCES.get(kind, TOLERANCE):.0e})"


def _is_numbers(value):
    if isinstance(value, list):
        return bool(value) and all(_is_numbers(item) for item in value)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _short(value):
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _miniature(settings):
    """The settings with one value for each entry of a grid, and fewer scenes to search on."""
    small = {key: min(_MINIATURE[key], value) if key != "search_every" else _MINIATURE[key]
             for key, value in settings.items() if key in _MINIATURE}  # fmt: skip
    if "grid" in settings:
        small["grid"] = {name: values[:1] for name, values in settings["grid"].items()}
    if {"rate_steps", "learning_rates"} <= settings.keys():  # otherwise they are those of stages
        small["learning_rates"] = settings["learning_rates"][:1]
    return {**settings, **small}


class _Watch:
    """Stands in for the data sets and for what trains and predicts, and notes what passes."""

    def __init__(self, study):
        self.study = study
        self.read, self.saved, self.trainings, self.predictions = {}, {}, [], []
        self._policy, self._fitted = "float32", []

    def in_place(self):
        """A context in which a study gets its data from, trains and predicts with this object."""
        real = cells.load, cells.instances, keras.Model.load_weights
        stack = contextlib.ExitStack()
        replaced = [
            (datasets, "load", _load),
            (cells, "load", lambda split: _few(split, *real[0](split))),
            (cells, "instances", lambda split: _few(split, real[1](split))[0]),
            (training, "precision", self._precision),
            (training, "fit", self._fit),
            (prediction, "predict", self._predict),
            (prediction, "evaluate", self._evaluate),
            (store, "scratch", lambda *key: Path(stack.enter_context(tempfile.TemporaryDirectory()))),
            (training, "save_weights", self._save_weights),
            (fitting, "halve", lambda path: path),
            (
                keras.Model,
                "fit",
                lambda model, x, y=None, **options: self._fit_arrays(model, x, y, **options),
            ),
            (
                keras.Model,
                "load_weights",
                lambda model, path, **options: self._load_weights(model, path, real[2]),
            ),
        ]
        for owner, name, stand_in in replaced:
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        return stack

    @contextlib.contextmanager
    def _precision(self, policy):
        before, self._policy = self._policy, policy
        yield
        self._policy = before

    def _save_weights(self, model, path):
        self.saved[Path(path).name] = model.get_weights()
        return path

    def _load_weights(self, model, path, load):
        if (own := self.saved.get(Path(path).name)) is not None:
            model.set_weights(own)
        else:
            load(model, path)
            self.read[Path(path).name] = _digest(*map(fitting.rounded, model.get_weights()))

    def _fit_arrays(self, model, x, y, batch_size=32, **options):
        if not any(model is fitted for fitted in self._fitted):
            ends = range(batch_size, len(x) + 1, batch_size)
            batches = ((x[end - batch_size : end], y[end - batch_size : end]) for end in ends)
            self._note(model, lambda: list(itertools.islice(batches, STEPS)))
        return keras.callbacks.History()

    def _fit(self, model, data, *, epochs, **options):
        def batches():
            dataset = data(0) if callable(data) else data
            return [tuple(map(ops.convert_to_numpy, batch)) for batch in dataset.take(STEPS)]

        losses = self._note(model, batches)
        return _History(loss=losses, epoch=list(range(1, len(losses) + 1)))

    def _note(self, model, batches):
        """Note a training; returns the losses of its first steps, none for a network like an earlier one."""
        self._fitted.append(model)
        notes = {
            "network": model.name,
            "precision": self._policy,
            "parameters": [
                int(model.count_params()),
                sum(int(np.prod(w.shape)) for w in model.trainable_weights),
            ],
            "weights": _digest(
                *(f"{_plain_name(w.path)} {tuple(w.shape)} {w.trainable}" for w in model.weights)
            ),
            "start": [_rms(w) for w in model.weights],
            "rates": _learning_rates(model.optimizer),
        }
        self.trainings.append(notes)
        seen = [earlier["weights"] for earlier in self.trainings[:-1]]
        _fix_weights(model)
        if notes["weights"] not in seen and len(set(seen)) < STEPPED:
            notes |= self._steps(model, batches())
        return notes.get("losses", [])

    def _steps(self, model, batches):
        if len(batches) != STEPS:
            raise ProbeError(
                f"{model.name} is trained on {len(batches)} batches an epoch; {STEPS} are needed."
            )
        few = [
            tuple(part[: max(1, PIXELS // int(np.prod(batch[0].shape[1:3])))] for part in batch)
            for batch in batches
        ]
        logits = self._logits(model, few[0][0])
        keras.utils.set_random_seed(0)
        model.run_eagerly = True
        losses = [_number(model.train_on_batch(*batch)) for batch in few]
        after = [_sample(w, 2) for w in _spread(model.weights)]
        return {
            "batches": [_describe(batch) for batch in batches],
            **logits,
            "losses": losses,
            "after": after,
        }

    def _logits(self, model, images):
        logits = ops.convert_to_numpy(model(images, training=False))
        return {"shape": list(logits.shape), "logits": _sample(logits), "logits_rms": _rms(logits)}

    def _predict(self, model, images, batch_size=8):
        """Fixed label maps: no score may hang on a pixel that rounding moves. The first logits are noted."""
        notes = self._logits(model, np.asarray(images[:1]))
        if notes not in self.predictions[-1:]:
            self.predictions.append(notes)
        _, height, width, classes = notes["shape"]
        return _blocks((len(images), height, width), classes)

    def _evaluate(self, model, images, labels, classes, batch_size=8):
        predicted = self._predict(model, images)
        return metrics.scores(
            np.asarray(metrics.confusion_matrix(labels, predicted, classes)).astype("int64")
        )


class _History(dict):
    """The history of a training in miniature; for what was not measured it has the losses."""

    def __missing__(self, key):
        return self["loss"]


# Data


def _load(name, split, size=None):
    """A miniature of `datasets.load`: drawn pictures, with void and a rare class.

    Cells stay as they are: U-Net's weighted batches take no void.
    """
    if name == "cells":
        return cells.load(split)
    count, size = _COUNTS[name][split], size or _SIZES.get(name)
    if name == "isbi2012":
        images, labels = (x[:count] for x in cells.load("train"))
        return tuple(np.repeat(np.repeat(x, 3, 1), 3, 2) for x in (images, labels))
    first = {"train": 0, "val": 100, "test": 200}[split]
    scenes = [toycam.scene(7, first + i, size=tuple(size)) for i in range(min(count, _DRAWN))]
    images, labels = _with_void(np.stack([s.image for s in scenes]), np.stack([s.labels for s in scenes]))
    order = np.arange(count) % len(scenes)
    return images[order], labels[order]


def _with_void(images, labels):
    """Void and the last class in every crop: on a grid of lines and of small squares."""
    labels = labels.copy()
    rarest = labels.max(initial=0, where=labels != 255)
    for row in range(4):
        for column in range(4):
            labels[:, 16 + row :: 32, 16 + column :: 32] = rarest
    labels[:, :, ::32] = labels[:, :, 1::32] = 255
    return images, labels


def _few(split, *arrays):
    return tuple(array if split == "train" else array[:2] for array in arrays)


def _blocks(shape, classes):
    """Label maps of 8x8 blocks of random classes, uint8 of this shape."""
    rows, columns = -(-shape[1] // 8), -(-shape[2] // 8)
    ids = np.random.default_rng(1).integers(classes, size=(shape[0], rows, columns), dtype=np.uint8)
    return ids.repeat(8, 1).repeat(8, 2)[:, : shape[1], : shape[2]]


# Weights


def _fix_weights(model):
    """Give all weights values that NumPy draws, of a size that keeps activations near theirs."""
    for index, weight in enumerate(model.weights):
        rng, shape = np.random.default_rng([index, *weight.shape]), tuple(weight.shape)
        if "kernel" in weight.name:
            values = rng.normal(0, np.sqrt(1.5 / np.prod(shape[:-1])), shape)
        else:  # biases may come from a file of weights, as precise as that is stored
            base = 0.0 if weight.name == "bias" else ops.convert_to_numpy(weight)
            values = base + rng.uniform(-0.1, 0.1, shape)
        weight.assign(values.astype("float32"))


def _spread(weights):
    """The kernels, and the statistics of normalisation, evenly chosen: `SAMPLES` / 2 tensors at most.

    Biases are left out: before a normalisation their gradient is rounding alone, which Adam makes large.
    """
    chosen = [w for w in weights if len(w.shape) > 1 or "moving" in w.name]
    places = np.linspace(0, len(chosen) - 1, min(len(chosen), SAMPLES // 2)).round().astype(int)
    return [chosen[place] for place in places]


def _learning_rates(optimizer):
    """At the first, the middle and the last step of the schedule, or on each piece of one in steps."""
    schedule = optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return [_number(optimizer.learning_rate)]
    if isinstance(schedule, keras.optimizers.schedules.PiecewiseConstantDecay):
        places = [0, *(last + 1 for last in schedule.boundaries)]
    else:
        places = [0, schedule.decay_steps // 2, schedule.decay_steps - 1]
    return [_number(schedule(step)) for step in places]


# Numbers


def _describe(batch):
    """Whole numbers by their digest, others by a sample."""
    return [_digest(part) if part.dtype.kind in "iu" else _sample(part) for part in batch]


def _digest(*parts):
    digest = hashlib.sha256()
    for part in parts:
        head = f"{part.dtype} {part.shape}\n" if isinstance(part, np.ndarray) else ""
        content = (
            np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else f"{part}\n".encode()
        )
        digest.update(head.encode() + content)
    return digest.hexdigest()[:16]


def _sample(values, count=SAMPLES):
    flat = np.asarray(ops.convert_to_numpy(values), "float64").ravel()
    return flat[np.random.default_rng(flat.size).integers(flat.size, size=count)].tolist()


def _rms(values):
    return float(np.sqrt(np.mean(np.square(np.asarray(ops.convert_to_numpy(values), "float64")))))


def _number(value):
    return float(ops.convert_to_numpy(value[0] if isinstance(value, list | tuple) else value))


def _plain_name(path):
    """A weight's path without the numbers that Keras gives to layers without a name."""
    return re.sub(r"_\d+(?=/|$)", "", path)

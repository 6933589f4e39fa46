"""The training that the studies share: Adam with a poly learning rate, random views, cross-entropy."""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from segcourse import datasets, training
from segcourse.losses import MaskedCrossEntropy
from segcourse.metrics import ConfusionMatrix
from segcourse.paths import data_file, data_folder

# Random views that change colours alone: what ToyCam's scenes need, which the renderer has varied already.
COLORS_ONLY = {
    "scale": [1.0, 1.0],
    "brightness": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "hue": 0.0,
    "blur": 0.0,
}


def fit(
    model: keras.Model,
    data: tuple,
    settings: Mapping,
    seed: int,
    *,
    class_weights: Sequence[float] | None = None,
    lr_factors: Mapping[str, float] | None = None,
    prepare: Callable | None = None,
) -> dict[str, list]:
    """Train a model and return its history.

    Args:
        model: a network, or the part of it that is trained.
        data: (images, labels), as `datasets.load` gives them.
        settings: `epochs`, `batch`, `learning_rate` (at the start of a poly schedule) and `augment`.
        seed: of the order of the pictures and of their views.
        class_weights: of the loss.
        lr_factors: by layer name, factors on the learning rate.
        prepare: function (images, labels) -> what the model takes, for every batch.
    """
    epochs, batch = settings["epochs"], settings["batch"]
    augment = datasets.Augment(**settings["augment"])
    batches = datasets.epochs(*data, batch, augment=augment, seed=seed)
    compile(model, settings, len(data[0]), class_weights=class_weights, lr_factors=lr_factors)
    prepared = batches if prepare is None else lambda epoch: batches(epoch).map(prepare)
    return training.fit(model, prepared, epochs=epochs)


def rounds(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    data: Mapping[str, tuple],
    settings: Mapping,
    seed: int,
    steps: int,
    round_steps: int,
    folder: Path,
    class_weights: Sequence[float] | None = None,
    first: int = 0,
    lr_factors: Mapping[str, float] | None = None,
    prepare: Callable | None = None,
) -> dict[str, list]:
    """Train for so many batches, in rounds after each of which the model is scored on val.

    Killed and started again with the same `folder`, it goes on after its last whole round. The model has its
    last weights in the end: none are chosen.

    Args:
        model: a network.
        optimizer: with its schedule.
        data: dict with "train" and "val", each (images, labels).
        settings: `batch` and `augment`.
        seed: of the order of the pictures and of their views, which are drawn anew for each round.
        steps, round_steps: batches in all, and of a round.
        folder: for what an interrupted training keeps.
        class_weights: of the loss.
        first: batches of an earlier stage of the same training, whole rounds: this one goes on with the
            batches, and with the count of steps, where that one has ended.
        lr_factors: by layer name, factors on the learning rate.
        prepare: function (images, labels) -> what the model takes, for every batch; `data["val"]` is as the
            model takes it.

    Returns:
        the history by round, "val_miou" among it, and "step", the batches so far.
    """
    metrics = [ConfusionMatrix(model.output.shape[-1])]
    loss = MaskedCrossEntropy(class_weights=class_weights)
    training.compile(model, optimizer, loss, metrics=metrics, lr_factors=lr_factors)
    augment = datasets.Augment(**settings["augment"])
    batches = datasets.epochs(*data["train"], settings["batch"], augment=augment, seed=seed)

    def drawn(turn):
        part = batches(turn + first // round_steps).take(min(round_steps, steps - turn * round_steps))
        return part if prepare is None else part.map(prepare)

    history = training.fit(
        model,
        drawn,
        epochs=math.ceil(steps / round_steps),
        validation=data["val"],
        folder=folder,
        monitor="epoch",  # the latest round counts as the best: no weights are chosen
    )
    history["step"] = [first + min(turn * round_steps, steps) for turn in history["epoch"]]
    return history


def compile(
    model: keras.Model,
    settings: Mapping,
    pictures: int,
    *,
    class_weights: Sequence[float] | None = None,
    lr_factors: Mapping[str, float] | None = None,
) -> None:
    """Give a model the loss, and Adam with the schedule for so many pictures an epoch."""
    schedule = training.poly(settings["learning_rate"], settings["epochs"] * (pictures // settings["batch"]))
    loss = MaskedCrossEntropy(class_weights=class_weights)
    training.compile(model, keras.optimizers.Adam(schedule), loss, lr_factors=lr_factors)


def read_weights(model: keras.Model, file: str) -> keras.Model:
    """The model, with the weights of a file in `data/weights`."""
    model.load_weights(data_file(f"weights/{file}"))
    return model


def write_weights(model: keras.Model, file: str) -> None:
    """Store the weights of a model in `data/weights`, small: see `halve`. Score them as they are stored."""
    halve(training.save_weights(model, data_folder() / "weights" / file))


def halve(path: Path) -> Path:
    """Rewrite a file of weights in half precision, rounded and compressed: about a third of its size.

    Of a half's ten binary digits the last two are rounded away, as they are noise that does not compress: the
    error is at most 1/400 of a weight. A second call changes nothing.

    Raises:
        ValueError: a weight is too large for half precision; the file stays as it was.
    """
    partial = path.with_name("partial." + path.name)
    shutil.copy(path, partial)
    with h5py.File(partial, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            values = rounded(file[name][()])
            if not np.isfinite(values).all():
                partial.unlink()
                raise ValueError(f"{path.name}: {name} has values beyond {np.finfo('float16').max:.0f}, "
                                 "the largest half. Store this file in single precision.")  # fmt: skip
            attributes = dict(file[name].attrs)
            del file[name]
            options = (
                {"compression": "gzip", "shuffle": True, "chunks": values.shape} if values.size > 1 else {}
            )
            file.create_dataset(name, data=values, **options).attrs.update(attributes)
    packed = partial.with_name("packed." + path.name)
    with h5py.File(partial) as source, h5py.File(packed, "w") as target:  # deleted data leaves holes
        for name in source:
            source.copy(name, target)
        target.attrs.update(source.attrs)
    partial.unlink()
    os.replace(packed, path)
    return path


def rounded(values: np.ndarray) -> np.ndarray:
    """Values as float16 with eight digits after the first instead of ten, rounded to the nearest."""
    bits = values.astype("float16").view("uint16").astype("uint32")
    return np.where(np.isfinite(values), (bits + 2) // 4 * 4, bits).astype("uint16").view("float16")

"""The training that the studies share: Adam with a poly learning rate, random views, cross-entropy."""

from collections.abc import Callable, Mapping, Sequence

import keras

from segcourse import datasets, training
from segcourse.losses import MaskedCrossEntropy
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
    **options,
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
        options: for `training.fit`.
    """
    epochs, batch = settings["epochs"], settings["batch"]
    augment = datasets.Augment(**settings["augment"])
    batches = datasets.epochs(*data, batch, augment=augment, seed=seed)
    compile(model, settings, len(data[0]), class_weights=class_weights, lr_factors=lr_factors)
    prepared = batches if prepare is None else lambda epoch: batches(epoch).map(prepare)
    return training.fit(model, prepared, epochs=epochs, **options)


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
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(class_weights=class_weights))
    if lr_factors:
        training.scale_learning_rate(model, lr_factors)


def read_weights(model: keras.Model, file: str) -> keras.Model:
    """The model, with the weights of a file in `data/weights`."""
    model.load_weights(data_file(f"weights/{file}"))
    return model


def write_weights(model: keras.Model, file: str) -> None:
    """Store the weights of a model in `data/weights`."""
    training.save_weights(model, data_folder() / "weights" / file)

"""The common study on photographs: a network on CamVid at 360x480, scored as its weights are stored."""

from collections.abc import Callable
from typing import Any

import keras

from segcourse import datasets, training
from segcourse.losses import median_frequency_weights
from segcourse.studies.core import fitting, scoring
from segcourse.studies.core.study import Study

LARGEST = 2_500_000  # weights of a network: a file of at most 5 MB
SETTINGS = {
    "precision": "float32",
    "balanced": False,
    "epochs": 60,
    "batch": 4,
    "learning_rate": 1e-3,
    "seed": 0,
    "augment": {"crop": [288, 384], "scale": [0.8, 1.25]},
}


def photographs(name: str, build: Callable[..., keras.Model], cost: str, **changes: Any) -> Study:
    """The study `camvid-NAME` of a network. Its module holds no more than `STUDY = photographs(...)`.

    The last weights are kept, not the best: nothing is chosen on the photographs that are scored.

    Args:
        name: of the network, as in `unet`.
        build: function (classes=...) -> the network, with at most `LARGEST` weights.
        cost: expected time, in words.
        changes: of `SETTINGS`; `balanced` weighs the classes by their median frequency.
    """
    settings, file = {**SETTINGS, **changes}, f"camvid_{name}.weights.h5"

    def run(part, settings):
        training.set_seed(settings["seed"])
        train, classes = datasets.load("camvid", "train"), len(datasets.spec("camvid"))
        with training.precision(settings["precision"]):
            model = small_enough(build(classes=classes))
        weights = median_frequency_weights(train[1], classes) if settings["balanced"] else None
        history = fitting.fit(model, train, settings, settings["seed"], class_weights=weights)
        fitting.write_weights(model, file)
        scores = scoring.measure(model, *datasets.load("camvid", "val"), classes, scoring.BANDS, batch_size=2)
        return {"parameters": model.count_params(), "val": scores, "training_loss": history["loss"]}

    def score(settings):
        model = fitting.read_weights(build(classes=len(datasets.spec("camvid"))), file)
        return scoring.on_photographs(model, bands=scoring.BANDS, batch_size=2)

    title = f"{name} on the photographs of CamVid at 360x480, from random weights"
    cost = f"{cost}; needs CamVid (segcourse data get camvid)"
    return Study(title, cost, settings, ("all",), run, weights=(file,), score=score)


def small_enough(model: keras.Model) -> keras.Model:
    """The model, if its weights fit into a file that can be committed.

    Raises:
        ValueError: it has more than `LARGEST` weights.
    """
    if (count := model.count_params()) > LARGEST:
        raise ValueError(
            f"{model.name} has {count:,} weights; at most {LARGEST:,} make a file of 5 MB. Build it narrower."
        )
    return model

"""U-Net's claims on touching cells, six training pictures a seed.

What do skips, weight map and elastic deformation bring, and does bfloat16 cost anything? Every variant is the
full method with one thing changed; data, steps, order of the pictures and learning rate are the same. Each
seed has six training pictures of its own, and all are scored on the same 50 test pictures.
"""

import functools
from collections.abc import Mapping

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets import cells
from segcourse.datasets.borders import border_weights
from segcourse.datasets.elastic import Elastic
from segcourse.datasets.labels import instances_of
from segcourse.datasets.weighted import weighted_epochs
from segcourse.models.unet import unet
from segcourse.studies import Study
from segcourse.studies.core import fitting, scoring

# What each variant changes of the full method.
VARIANTS = {
    "full": {},
    "no skips": {"skips": False},
    "no weight map": {"w0": 0.0},
    "no elastic": {"strength": 0.0},
    "bfloat16": {"precision": "mixed_bfloat16"},
}
SCORES = ("iou", "miou", "rand_error", "vi_merge", "vi_split", "merges", "splits")


def _run(seed, settings):
    return {variant: _variant(int(seed), settings | change) for variant, change in VARIANTS.items()}


def _variant(seed, settings):
    with training.precision(settings["precision"]):
        model = train(seed, settings)
    return measure(model, "test")


def train(seed: int, settings: dict) -> keras.Model:
    """One training on pictures of the split "train" (seed 1 has the first six), as `settings` say."""
    count, repeats = settings["pictures"], settings["repeats"]
    chosen = np.repeat(np.arange((seed - 1) * count, seed * count), repeats)
    images, labels = (array[chosen] for array in datasets.load("cells", "train"))
    weights = [
        border_weights(ids, w0=settings["w0"], sigma=settings["sigma"]) for ids in cells.instances("train")
    ]
    view = (
        functools.partial(Elastic, strength=settings["strength"])
        if settings["strength"]
        else datasets.Augment
    )
    weights = np.stack(weights)[chosen]
    augment, batch = view(**settings["augment"]), settings["batch"]
    data = weighted_epochs(images, labels, weights, batch, augment=augment, seed=seed)
    training.set_seed(seed)
    model = unet(skips=settings["skips"], **settings["network"])
    fitting.compile(model, settings, len(chosen))
    training.fit(model, lambda epoch: data(epoch).map(_grey), epochs=settings["epochs"])
    return model


def _grey(images, labels, weights):
    return images[..., :1], labels, weights


def measure(model: keras.Model, split: str) -> dict[str, float]:
    """IoU of the cells and mean IoU over all pictures; the mean over the pictures of each `object_errors`."""
    images, labels = datasets.load("cells", split)
    scores = prediction.evaluate(model, images[..., :1], labels, classes=2)
    found = instances_of(prediction.predict(model, images[..., :1]))
    errors = [metrics.object_errors(*pair) for pair in zip(cells.instances(split), found, strict=True)]
    means = {name: float(np.mean([error[name] for error in errors])) for name in errors[0]}
    return {"iou": scores["iou"][1], "miou": scores["miou"], **means}


def per_seed(stored: Mapping, score: str) -> dict[str, list]:
    """A score of each variant: dict variant -> list over the seeds."""
    return {v: scoring.by_seed(stored, lambda part, v=v: part[v][score]) for v in VARIANTS}


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds: dict variant -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, score) for score in SCORES}, factor=1)


STUDY = Study(
    title="U-Net with and without skips, weight map and elastic deformation, "
    "from 6 pictures of touching cells",
    cost="about 20 minutes on two CPU cores",
    settings={
        "network": {"width": 0.125, "padding": "same", "normalization": "batch"},
        "pictures": 6,
        "repeats": 10,
        "epochs": 30,
        "batch": 4,
        "learning_rate": 2e-3,
        "precision": "float32",
        "skips": True,
        "w0": 10.0,
        "sigma": 3.0,
        "strength": 6.0,
        "augment": {**fitting.COLORS_ONLY, "flip": False, "contrast": 0.2, "saturation": 0.0},
        "cells_version": cells.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

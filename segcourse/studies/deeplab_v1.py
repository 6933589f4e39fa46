"""DeepLab's claim on ToyCam: a larger field of view at the same weights and cost (Chen et al. 2015, Table 2).

One network, LargeFOV, on scenes of two sizes; for each size only the rate of the holes in fc6 differs. Steps,
batches, learning rates and first weights (VGG16 from ToyCam windows, the rest from the seed) are the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features, shrink
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, scoring

SCORES = ("pixel_accuracy", "miou", "boundary_f1")


def _run(seed, settings):
    return {
        name: {f"rate {rate}": _one(size, rate, int(seed), settings) for rate in rates}
        for name, (size, rates) in settings["scenes"].items()
    }


def _one(size, rate, seed, settings):
    """Train and score one network on scenes of this size."""
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "test")}
    model, history = train(data["train"], seed, settings, rate=rate)
    scores = scoring.measure(model, *data["test"], len(datasets.spec("toycam")))
    return {**scores, "training_loss": history["loss"]}


def train(
    data: Sequence[np.ndarray], seed: int, settings: dict, rate: int | None = None
) -> tuple[keras.Model, dict[str, list]]:
    """A LargeFOV trained on (images, labels), and its history; `rate` is another one than its own for fc6."""
    training.set_seed(seed)
    with training.precision(settings["precision"]):
        model = deeplab_v1(classes=len(datasets.spec("toycam")), width=settings["width"], rate=rate)
    transplant(vgg16_toycam.classifier(settings["width"]), features(model))
    return model, fitting.fit(coarse(model), data, settings, seed, prepare=shrunk)


def shrunk(images: Any, labels: Any) -> tuple[Any, Any]:
    """A batch with labels as small as the network's coarse scores."""
    return images, shrink(labels)


def per_seed(stored: Mapping, scenes: str, score: str) -> dict[str, list]:
    """A score of each rate on one size of scenes: dict rate -> list over the seeds."""
    rates = stored["settings"]["scenes"][scenes][1]
    names = [f"rate {rate}" for rate in rates]
    return {
        name: scoring.by_seed(stored, lambda part, name=name: part[scenes][name][score]) for name in names
    }


def class_iou(stored: Mapping, scenes: str) -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict rate -> float array [classes]."""
    return {rate: np.array(rows, float).mean(0) for rate, rows in per_seed(stored, scenes, "iou").items()}


def table(stored: Mapping, scenes: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict rate -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, scenes, score) for score in SCORES})


STUDY = Study(
    title="LargeFOV at several rates of fc6, at equal steps on ToyCam scenes of two sizes",
    cost="about 20 minutes on two CPU cores with bfloat16 units, twice that without",
    settings={
        "width": 0.25,
        "precision": "mixed_bfloat16",
        "epochs": 4,
        "learning_rate": 1e-3,
        "batch": 8,
        "scenes": {
            "192x256": [[192, 256], [1, 4, 8, 12]],
            "96x128": [[96, 128], [1, 4, 12]],
        },
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

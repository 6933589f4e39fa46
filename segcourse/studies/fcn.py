"""FCN's claim on ToyCam: skips help, fine-tuning helps more (Long et al. 2015, Table 2).

Every variant is trained in three stages of the same lengths and learning rates on the same batches. They
differ in what is added at the start of a stage (a skip or nothing) and in what may learn (everything or the
score layer alone).
"""

from collections.abc import Mapping

import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, scoring

# The network of each of the three stages.
VARIANTS = {
    "32s-fixed": (fcn32s, fcn32s, fcn32s),
    "32s": (fcn32s, fcn32s, fcn32s),
    "16s": (fcn32s, fcn16s, fcn16s),
    "8s": (fcn32s, fcn16s, fcn8s),
}
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "fwiou", "boundary_f1")


def _run(seed, settings):
    train, test = datasets.load("toycam", "train"), datasets.load("toycam", "test")
    classifier = vgg16_toycam.classifier(settings["width"])
    trained, results = {}, {}
    for variant, networks in VARIANTS.items():
        model, fixed = classifier, variant == "32s-fixed"
        for stage, network in enumerate(networks):
            path = (fixed, *networks[: stage + 1])
            if path not in trained:  # variants that begin alike share their first stages
                trained[path] = _stage(model, network, stage, fixed, train, int(seed), settings)
            model = trained[path]
        results[variant] = scoring.measure(model, *test, len(datasets.spec("toycam")), scoring.BANDS)
    return results


def _stage(source, network, stage, fixed, train, seed, settings):
    """One stage of the training: the network takes over what `source` knows and goes on."""
    training.set_seed(1000 * seed + stage)
    options = {"width": settings["width"], "padding": "same", "fc6_size": 3}
    model = network(classes=len(datasets.spec("toycam")), **options)
    transplant(source, model)
    for layer in model.layers if fixed else ():
        layer.trainable = layer.name == "score_fr"
    own = {"epochs": settings["epochs"][stage], "learning_rate": settings["learning_rates"][stage]}
    fitting.fit(model, train, {**settings, **own}, 1000 * seed + stage)
    return model


def per_seed(stored: Mapping, score: str) -> dict[str, list]:
    """A score of each variant: dict variant -> list over the seeds."""
    return {v: scoring.by_seed(stored, lambda part, v=v: part[v][score]) for v in VARIANTS}


def class_iou(stored: Mapping) -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict variant -> float array [classes]."""
    return {v: np.array(rows, float).mean(0) for v, rows in per_seed(stored, "iou").items()}


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, score) for score in SCORES})


STUDY = Study(
    title="FCN-32s, 16s, 8s and 32s with only the last layer trained, at equal steps on ToyCam",
    cost="about 15 minutes on two CPU cores",
    settings={
        "width": 0.25,
        "epochs": [8, 4, 4],
        "learning_rates": [1e-3, 1e-3, 1e-3],
        "batch": 8,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

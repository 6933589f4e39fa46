"""DeepLab v2's claims on ToyCam: schedule, rates, scales, and the CRF after them (Chen et al. 2016).

One VGG16 with holes, a quarter as wide, that starts from the classifier of lesson 01; the head, the schedule
or the scales differ. A part is VARIANT-SEED. Steps, batches and views are the same for all; the learning rate
is chosen for each on the split "val" by runs of a quarter of the steps, and so are the CRF's parameters, by a
grid; the scores are those of the split "test".

The rates are half of the paper's, for the map has 25x33 cells and not 41x41.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.models.deeplab_v1 import features
from segcourse.models.deeplab_v2 import at_scales, deeplab_v2
from segcourse.models.starter import small_network
from segcourse.studies import Study, deeplab_v1_crf, vgg16_toycam
from segcourse.studies.core import fitting, rates, scoring, store

STARTER = "starter"  # lesson 00's network, from random weights
HEADS = {"largefov": (6,), "aspp-s": (1, 2, 4, 6), "aspp-l": (3, 6, 9, 12)}
STEP = "largefov-step"  # LargeFOV with the older schedule
SCALES = {"aspp-l-scales": (0.5, 0.75, 1.0)}
VARIANTS = (STARTER, *HEADS, STEP, *SCALES)
SEEDS = ("1", "2", "3")
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    classes, size = len(datasets.spec("toycam")), tuple(settings["size"])
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "val", "test")}
    folder = store.scratch("deeplab-v2", variant, settings)

    def train(rate, seed, steps, place):
        model = build(variant, seed, settings)
        optimizer = keras.optimizers.Adam(schedule(variant, rate, steps))
        round_steps = settings["round_steps"]
        return model, fitting.rounds(model, optimizer, data, settings, seed, steps, round_steps, place)

    def short(rate, place):
        return train(rate, settings["rate_seed"], settings["steps"] // 4, place)[1]

    found = rates.rate_scores(settings["learning_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(rate, int(seed), settings["steps"], folder / seed)
    some = [x[: settings["search_scenes"]] for x in data["val"]]
    searched = deeplab_v1_crf.search(*some, model, classes, settings)
    parameters = scoring.best(searched, deeplab_v1_crf.SEARCHED)
    scores = deeplab_v1_crf.before_and_after(*data["test"], model, classes, parameters, settings)
    return {"rates": found, "learning_rate": rate, "history": history, "search": searched, **scores}


def build(variant: str, seed: int, settings: Mapping) -> keras.Model:
    """The untrained network of a variant; its 13 convolutions come from lesson 01's classifier."""
    training.set_seed(seed)
    classes = len(datasets.spec("toycam"))
    if variant == STARTER:
        return small_network(classes, input_shape=(None, None, 3))
    head = next(name for name in HEADS if variant.startswith(name))
    options = {"classes": classes, "width": settings["width"], "backbone": "vgg16", "scales": (1.0,)}
    model = deeplab_v2(rates=HEADS[head], **options)
    transplant(vgg16_toycam.classifier(settings["width"]), features(model))
    return at_scales(model, SCALES[variant]) if variant in SCALES else model


def schedule(variant: str, rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Poly; for the variant `STEP` a tenth of the rate after a third of the steps, a hundredth after two."""
    if variant != STEP:
        return training.poly(rate, steps)
    at = [steps // 3, 2 * steps // 3]
    return keras.optimizers.schedules.PiecewiseConstantDecay(at, [rate, rate / 10, rate / 100])


# Reading the stored result


def per_seed(
    stored: Mapping, when: str, score: str, variants: Sequence[str] = VARIANTS
) -> dict[str, list[Any]]:
    """A score on the test scenes "before" or "after" the CRF: dict variant -> list over the seeds."""
    return {v: [stored["results"][f"{v}-{seed}"][when][score] for seed in SEEDS] for v in variants}


def table(stored: Mapping, when: str = "before") -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, when, score) for score in SCORES})


def class_iou(stored: Mapping, when: str = "before") -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict variant -> float array [classes]."""
    return {v: np.array(rows, float).mean(0) for v, rows in per_seed(stored, when, "iou").items()}


def curves(stored: Mapping, variant: str, key: str = "val_miou") -> tuple[list[int], np.ndarray]:
    """A column of the histories: (steps, values [seeds, rounds])."""
    histories = [stored["results"][f"{variant}-{seed}"]["history"] for seed in SEEDS]
    return histories[0]["step"], np.array([history[key] for history in histories], float)


STUDY = Study(
    title="DeepLab v2 on ToyCam: one rate, four, poly and step, one scale and three, with a CRF and without",
    cost="about five hours on two CPU cores with AVX2",
    settings={
        "size": [192, 256],
        "width": 0.25,
        "steps": 600,
        "round_steps": 75,
        "batch": 8,
        "rate_seed": 0,
        "learning_rates": [3e-4, 1e-3, 3e-3],
        "augment": fitting.COLORS_ONLY,
        "search_scenes": 20,
        "grid": deeplab_v1_crf.STUDY.settings["grid"],
        "fixed": deeplab_v1_crf.STUDY.settings["fixed"],
        "toycam_version": toycam.VERSION,
    },
    parts=tuple(f"{variant}-{seed}" for seed in SEEDS for variant in VARIANTS),
    run=_run,
    probed=("aspp-l-scales-1", "largefov-step-1"),
)

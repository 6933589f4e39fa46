"""DeepLab v2's claims on ToyCam: schedule, rates, scales, and the CRF after them (Chen et al. 2016).

One VGG16 with holes, a quarter as wide, that starts from the classifier of lesson 01; the head, the schedule
or the scales differ. A part is VARIANT-SEED. Steps, batches and views are the same for all; the learning rate
is chosen for each on the split "val" by runs of half as many steps, and so are the CRF's parameters, by a
grid; the scores are those of the split "test".

The rates are half of the paper's, for the map has 25x33 cells and not 41x41.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.models.cost import profile
from segcourse.models.deeplab_v1 import features
from segcourse.models.deeplab_v2 import at_scales, deeplab_v2
from segcourse.models.starter import small_network
from segcourse.studies import Study, deeplab_v1_crf, vgg16_toycam
from segcourse.studies.core import fitting, rates, reading, scoring, store

STARTER = "starter"  # lesson 00's network, from random weights
HEADS = {"largefov": (6,), "aspp-s": (1, 2, 4, 6), "aspp-l": (3, 6, 9, 12)}
STEP = "largefov-step"  # LargeFOV with the older schedule
SCALES = {"largefov-scales": (0.5, 0.75, 1.0)}
VARIANTS = (STARTER, *HEADS, STEP, *SCALES)
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    classes, size = len(datasets.spec("toycam")), tuple(settings["size"])
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("deeplab-v2", variant, settings)

    def short(rate, place):
        return train(variant, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    found = rates.rate_scores(settings["learning_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(variant, rate, int(seed), settings["steps"], data, settings, folder / seed)
    some = [x[: settings["search_scenes"]] for x in data["val"]]
    searched = deeplab_v1_crf.search(*some, model, classes, settings)
    parameters = scoring.best(searched, deeplab_v1_crf.SEARCHED)
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "search": searched,
        **deeplab_v1_crf.before_and_after(*data["test"], model, classes, parameters, settings),
    }


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


def train(
    variant: str, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    Returns:
        the network with its last weights, and the history by round, `val_miou` among it.
    """
    model = build(variant, seed, settings)
    optimizer = keras.optimizers.Adam(schedule(variant, rate, steps))
    return model, fitting.rounds(
        model, optimizer, data, settings, seed, steps, settings["round_steps"], folder
    )


def schedule(variant: str, rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Poly; for the variant `STEP` a tenth of the rate after a third of the steps, a hundredth after two."""
    if variant != STEP:
        return training.poly(rate, steps)
    at = [steps // 3, 2 * steps // 3]
    return keras.optimizers.schedules.PiecewiseConstantDecay(at, [rate, rate / 10, rate / 100])


def costs(settings: Mapping) -> dict[str, tuple[int, float]]:
    """What each variant costs for one scene: dict variant -> (weights, billions of multiply-adds)."""

    def cost(model, scale=1.0):
        found = profile(model, tuple(round(side * scale) for side in settings["size"]))
        return found.parameters, found.multiply_adds / 1e9

    built = {variant: build(variant, 1, settings) for variant in (STARTER, "largefov", "aspp-l")}
    found = {variant: cost(model) for variant, model in built.items()}
    found["aspp-s"] = found["aspp-l"]  # only the rates differ
    found[STEP] = found["largefov"]
    for variant, scales in SCALES.items():
        looks = sum(cost(built["largefov"], scale)[1] for scale in scales)
        found[variant] = found["largefov"][0], looks
    return {variant: found[variant] for variant in VARIANTS}


# Reading the stored result, whichever parts it has


def stored(result: Mapping, variants: Sequence[str] = VARIANTS) -> tuple[str, ...]:
    """Those of the variants of which all seeds are stored."""
    return reading.stored(result, variants)


def per_seed(result: Mapping, when: str, score: str, variants: Sequence[str] = VARIANTS) -> dict[str, list]:
    """A score on the test scenes "before" or "after" the CRF: dict variant -> list over the seeds."""
    return reading.per_seed(result, variants, when, score)


def table(
    result: Mapping, when: str = "before", variants: Sequence[str] = VARIANTS
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return reading.table(result, variants, SCORES, when)


def class_iou(
    result: Mapping, when: str = "before", variants: Sequence[str] = VARIANTS
) -> dict[str, np.ndarray]:
    """Per-class IoU of each seed: dict variant -> float array [seeds, classes]."""
    return {v: np.array(rows, float) for v, rows in per_seed(result, when, "iou", variants).items()}


def report(result: Mapping, variants: Sequence[str], costs: Mapping, paper: Mapping[str, str]) -> str:
    """A table to print: mIoU before and after the CRF, costs, the paper's mIoU; differences; learning rates.

    Args:
        variants: the rows, in order.
        costs: what `costs` returns.
        paper: the paper's mIoU by variant, where it has one.
    """
    tables = {when: table(result, when, variants) for when in ("before", "after")}
    lines = [f"{'mIoU, %':16s}{'before CRF':>13s}{'after CRF':>13s}{'multiply-adds':>15s}   paper's mIoU"]
    for name in variants:
        cells = [rows[name]["miou"] for rows in tables.values() if name in rows]
        ours = "".join(f"{mean:7.1f} ± {spread:3.1f}" for mean, spread in cells) or "  not stored yet"
        lines.append(f"{name:16s}{ours:26s}{costs[name][1]:13.2f} G   {paper.get(name, '-')}")
    known = [name for name in stored(result, variants) if name != STARTER]
    pairs = [(other, one) for one, other in itertools.combinations(known, 2)]
    for when in tables:
        lines += reading.gains_text(reading.gains(result, pairs, when, "miou"), f"{when} the CRF")
    return "\n".join(lines + reading.rates_text(learning_rates(result, variants) if known else {}))


def curves(result: Mapping, variant: str) -> dict[str, np.ndarray]:
    """The training of a variant: dict "step" -> [rounds], "loss" and "val_miou" -> float [seeds, rounds]."""
    return reading.curves(result, variant, "loss", "val_miou")


def learning_rates(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, tuple[float, bool]]:
    """The chosen learning rates: dict variant -> (rate, whether it lies at the edge of the grid)."""
    return reading.learning_rates(result, variants)


STUDY = Study(
    title="DeepLab v2 on ToyCam: one rate, four, poly and step, one scale and three, with a CRF and without",
    cost="about two hours on two CPU cores with AVX2",
    settings={
        "size": [192, 256],
        "width": 0.25,
        "steps": 320,
        "round_steps": 80,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 160,
        "learning_rates": [3e-4, 1e-3, 3e-3, 1e-2],
        "augment": fitting.COLORS_ONLY,
        "search_scenes": 8,
        "grid": {"w_bilateral": [3, 6, 12], "sigma_xy": [10, 20], "sigma_rgb": [5, 10, 20]},
        "fixed": {"w_spatial": 1, "sigma_spatial": 2, "iterations": 10},
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(VARIANTS),
    run=_run,
    probed=("largefov-scales-1", "largefov-step-1"),
)

"""FCN's claims on ToyCam, and why lesson 00's small network does better (Long et al. 2015, Table 2).

A part is VARIANT-SEED. All variants get the same batches in the same order, the same number of steps and one
schedule over them; the learning rate is chosen for each on the split "val", on a grid that grows until the
best rate lies inside; the scores are those of the split "test".

The FCNs start from the classifier of lesson 01. Staged ones may become finer at half and at three quarters of
the steps; one that does not gets a new optimizer there all the same, so that nothing else differs.
The starters have random weights, and differ from lesson 00's network in one thing or two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.models.cost import profile
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s
from segcourse.models.starter_variants import starter_variant, with_batch_normalization
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, rates, reading, scoring, store


@dataclass(frozen=True)
class Stage:
    """A part of a training: its network, its share of the steps, a factor on the learning rate."""

    network: Callable[..., keras.Model]
    share: float = 1.0
    factor: float = 1.0


STARTERS = {  # what each changes of lesson 00's network
    "starter": {},
    "starter-plain": {"normalized": False},
    "starter-coarse": {"decoder": False},
    "starter-coarse-plain": {"decoder": False, "normalized": False},
    "starter-half": {"width": 0.5},
}
FALLING = 0.01  # the released solvers' learning rates are 1e-10, 1e-12, 1e-14
FIRST = Stage(fcn32s, 1 / 2)
STAGES = {
    "32s-fixed": (Stage(fcn32s),),
    "32s": (FIRST, Stage(fcn32s, 1 / 4), Stage(fcn32s, 1 / 4)),
    "16s": (FIRST, Stage(fcn16s, 1 / 4), Stage(fcn16s, 1 / 4)),
    "8s": (FIRST, Stage(fcn16s, 1 / 4), Stage(fcn8s, 1 / 4)),
    "16s-falling": (FIRST, Stage(fcn16s, 1 / 4, FALLING), Stage(fcn16s, 1 / 4, FALLING)),
    "8s-falling": (FIRST, Stage(fcn16s, 1 / 4, FALLING), Stage(fcn8s, 1 / 4, FALLING**2)),
    "8s-once": (Stage(fcn8s),),
    "8s-once-norm": (Stage(fcn8s),),
}
VARIANTS = (*STARTERS, *STAGES)
PAPER = {"32s-fixed": 45.4, "32s": 59.4, "16s": 62.4, "8s": 62.7}  # mIoU, VOC 2011, Table 2
# What each claim, and each possible reason, rests on: the first variant's gain over the second.
CLAIMS = (("32s", "32s-fixed"), ("16s", "32s"), ("8s", "16s"))
SCHEDULES = (("16s-falling", "32s"), ("8s-falling", "16s-falling"), ("8s-once", "8s"))
REASONS = (
    ("starter", "8s"),
    ("starter", "starter-plain"),
    ("starter-coarse", "starter-coarse-plain"),
    ("starter", "starter-coarse"),
    ("starter-plain", "starter-coarse-plain"),
    ("starter", "starter-half"),
    ("8s-once-norm", "8s-once"),
    ("starter", "8s-once-norm"),
)
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "fwiou", "boundary_f1")


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("fcn", variant, settings)
    # Variants that begin alike share their first stages, in their trials and in what is reported.
    shared = store.scratch("fcn", "stages", settings) if len(stages(variant)) > 1 else None

    def train_at(rate, seed, steps, place):
        return train(variant, rate, seed, steps, data, settings, shared or place)

    def short(rate, place):
        return train_at(rate, settings["rate_seed"], settings["rate_steps"], place)[1]

    found = rates.climb(settings["learning_rates"], settings["most_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train_at(rate, int(seed), settings["steps"], folder / seed)
    classes, limits = len(datasets.spec("toycam")), {"bands": scoring.BANDS, "rings": scoring.RINGS}
    return {
        "rates": found,
        "learning_rate": rate,
        "history": history,
        "test": scoring.measure(model, *data["test"], classes, **limits),
    }


def train(
    variant: str, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training, stage by stage; killed and started again with the same `folder`, it goes on.

    Returns:
        the network with its last weights, and the history by round: "step", "loss", "val_loss", "val_miou".
    """
    model, histories, done, place = None, [], 0, folder / f"{rate} {seed} {steps}"
    for number, stage in enumerate(stages(variant)):
        training.set_seed(1000 * seed + number)
        model = build(variant, stage, model, settings)
        place = place / f"{stage.network.__name__} {stage.share} {stage.factor}"
        optimizer = keras.optimizers.Adam(schedule(rate * stage.factor, done, steps))
        count = round(stage.share * steps)
        options = {"folder": place / "state", "first": done}
        found = fitting.rounds(
            model, optimizer, data, settings, seed, count, settings["round_steps"], **options
        )
        histories.append(found)
        done += count
    keys = ("step", "loss", "val_loss", "val_miou")
    return model, {key: [value for history in histories for value in history[key]] for key in keys}


def stages(variant: str) -> tuple[Stage, ...]:
    """The stages of a variant; a starter has one."""
    return STAGES.get(variant) or (Stage(starter_variant),)


def build(variant: str, stage: Stage, source: keras.Model | None, settings: Mapping) -> keras.Model:
    """The network of a stage, with what `source` knows, the network before it; none stands for the start."""
    classes = len(datasets.spec("toycam"))
    if variant in STARTERS:
        return starter_variant(classes, **STARTERS[variant])
    model = stage.network(classes=classes, width=settings["width"], padding="same", fc6_size=3)
    transplant(source or vgg16_toycam.classifier(settings["width"]), model)
    for layer in model.layers if variant == "32s-fixed" else ():
        layer.trainable = layer.name == "score_fr"
    return with_batch_normalization(model) if variant == "8s-once-norm" else model


def schedule(rate: float, done: int, steps: int) -> keras.optimizers.schedules.PolynomialDecay:
    """The rest, after `done` steps, of the poly schedule over all `steps` that begins at `rate`."""
    left = 1 - done / steps
    return training.poly(rate * left**0.9, steps - done)


def costs(settings: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, tuple[int, float]]:
    """What each variant costs for one scene: dict variant -> (weights, billions of multiply-adds).

    The fixed bilinear kernels, mostly zeros, do not count as weights.
    """
    found = {}
    for variant in variants:
        model = build(variant, stages(variant)[-1], None, settings)
        weights = [layer.count_params() for layer in model.layers if not layer.name.startswith("upscore")]
        size = datasets.load("toycam", "val")[0].shape[1:3]
        found[variant] = sum(weights), profile(model, size).multiply_adds / 1e9
    return found


# Reading the stored result, whichever parts it has


def stored(result: Mapping, variants: Sequence[str] = VARIANTS) -> tuple[str, ...]:
    """Those of the variants of which all seeds are stored."""
    return reading.stored(result, variants)


def table(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return reading.table(result, variants, SCORES, "test")


def class_iou(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict variant -> float array [classes]."""
    return reading.means(result, variants, "test", "iou")


def gains(
    result: Mapping, pairs: Sequence[tuple[str, str]], score: str = "miou"
) -> dict[tuple[str, str], np.ndarray]:
    """What the first of each pair has over the second, in percent: dict pair -> [seeds].

    With the score "right_in_rings": [seeds, rings], by the distance from true outlines.
    """
    return reading.gains(result, pairs, "test", score)


def report(result: Mapping, variants: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    """The table with the costs for one scene, paired differences in mIoU, and learning rates, in words."""
    head, *rows = reading.table_text(table(result, variants))
    lines = [f"{head}   M weights   G multiply-adds"]
    for row, (weights, work) in zip(
        rows, costs(result["settings"], stored(result, variants)).values(), strict=True
    ):
        lines.append(f"{row}{weights / 1e6:12.2f}{work:18.3f}")
    lines += ["", *reading.gains_text(gains(result, pairs), "mIoU"), ""]
    return "\n".join(lines + reading.rates_text(reading.learning_rates(result, variants)))


def curves(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, dict[str, np.ndarray]]:
    """The trainings: dict variant -> "step" [rounds], "loss" and "val_miou" [seeds, rounds]."""
    return {v: reading.curves(result, v, "loss", "val_miou") for v in stored(result, variants)}


STUDY = Study(
    title="FCN-32s, 16s, 8s and lesson 00's network with one thing changed, at equal steps on ToyCam",
    cost="about an hour and three quarters on two CPU cores with AVX2",
    settings={
        "width": 0.25,
        "steps": 1440,
        "round_steps": 60,
        "batch": 8,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 480,
        "learning_rates": [3e-4, 1e-3, 3e-3],
        "most_rates": 7,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(VARIANTS),
    run=_run,
    version=2,
    probed=("starter-1", "8s-1", "8s-once-norm-1"),
)

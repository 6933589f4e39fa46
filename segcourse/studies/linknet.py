"""LinkNet's claims on ToyCam: bypasses or none, added or concatenated, three or four; class weights.

One network, half as wide, from random weights; what happens to the encoders' inputs differs, or the loss. All
variants get the same scenes, steps and batches. The learning rate is chosen for each on the split "val" by
runs of a quarter of the steps; the scores are those of the split "test". A part is VARIANT-SEED.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy
from segcourse.losses.max_balancing import max_frequency_weights
from segcourse.metrics import ConfusionMatrix
from segcourse.models.blueprint import blueprint
from segcourse.models.cost import profile
from segcourse.models.linknet import linknet
from segcourse.models.starter import small_network
from segcourse.studies import Study
from segcourse.studies.core import fitting, rates, scoring, store

STARTER = "starter"  # lesson 00's network
OPTIONS = {
    "none": {"links": 0},
    "three": {"links": 3},  # as the paper's first figure draws it
    "added": {},
    "concat": {"join": "concat"},
    "weighted-enet": {},
    "weighted": {},
}
VARIANTS = (STARTER, *OPTIONS)


def _by_all(labels, classes):
    """ENet's class weights, which divide by all labelled pixels; every class occurs."""
    counts = np.bincount(labels[labels != 255], minlength=classes)
    return 1 / np.log(1.02 + counts / counts.sum())


CLASS_WEIGHTS = {"weighted-enet": _by_all, "weighted": max_frequency_weights}  # of the loss
SEEDS = ("1", "2", "3")
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    classes, size = len(datasets.spec("toycam")), tuple(settings["size"])
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("linknet", variant, settings)

    def short(rate, place):
        return train(variant, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    found = rates.rate_scores(settings["learning_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(variant, rate, int(seed), settings["steps"], data, settings, folder / seed)
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "test": scoring.measure(model, *data["test"], classes),
    }


def build(variant: str, seed: int, settings: Mapping) -> keras.Model:
    """The untrained network of a variant, for ToyCam's classes and any size."""
    training.set_seed(seed)
    classes = len(datasets.spec("toycam"))
    if variant == STARTER:
        return small_network(classes, input_shape=(None, None, 3))
    return linknet(classes=classes, width=settings["width"], **OPTIONS[variant])


def train(
    variant: str, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    As `fitting.rounds`, which knows no class weights: no weights of the network are chosen.

    Returns:
        the network with its last weights, and the history by round, `val_miou` among it.
    """
    model, classes = build(variant, seed, settings), len(datasets.spec("toycam"))
    weigh = CLASS_WEIGHTS.get(variant)
    loss = MaskedCrossEntropy(class_weights=weigh and weigh(data["train"][1], classes))
    optimizer = keras.optimizers.Adam(training.poly(rate, steps))
    training.compile(model, optimizer, loss, metrics=[ConfusionMatrix(classes)])
    augment, length = datasets.Augment(**settings["augment"]), settings["round_steps"]
    batches = datasets.epochs(*data["train"], settings["batch"], augment=augment, seed=seed)
    history = training.fit(
        model,
        lambda turn: batches(turn).take(min(length, steps - turn * length)),
        epochs=math.ceil(steps / length),
        validation=data["val"],
        folder=folder,
        monitor="epoch",  # the latest round counts as the best
    )
    history["step"] = [min(turn * length, steps) for turn in history["epoch"]]
    return model, history


def costs(settings: Mapping) -> dict[str, tuple[int, float]]:
    """What each variant costs for one scene: dict variant -> (weights, billions of multiply-adds)."""
    found = {}
    for variant in VARIANTS:
        if variant not in CLASS_WEIGHTS:  # they have the network of "added"
            cost = profile(blueprint(partial(build, variant, 1, settings)), tuple(settings["size"]))
            found[variant] = cost.trainable_parameters, cost.multiply_adds / 1e9
    return {variant: found.get(variant, found["added"]) for variant in VARIANTS}


# Reading the stored result, whichever parts it has


def stored(result: Mapping, variants: Sequence[str] = VARIANTS) -> tuple[str, ...]:
    """Those of the variants of which all seeds are stored."""
    return tuple(v for v in variants if all(f"{v}-{seed}" in result["results"] for seed in SEEDS))


def _seeds(result, variant):
    return [result["results"][f"{variant}-{seed}"] for seed in SEEDS]


def per_seed(result: Mapping, score: str, variants: Sequence[str] = VARIANTS) -> dict[str, list]:
    """A score on the test scenes: dict variant -> list over the seeds."""
    return {v: [part["test"][score] for part in _seeds(result, v)] for v in stored(result, variants)}


def table(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(result, score, variants) for score in SCORES})


def class_iou(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, np.ndarray]:
    """Per-class IoU of each seed: dict variant -> float array [seeds, classes]."""
    return {v: np.array(rows, float) for v, rows in per_seed(result, "iou", variants).items()}


def report(result: Mapping, variants: Sequence[str], costs: Mapping, paper: Mapping[str, str]) -> str:
    """A table to print, what each variant has over the one before it, seed by seed, and the learning rates.

    Args:
        variants: the rows, in order; the starter is there to compare with, and no difference to it is listed.
        costs: what `costs` returns.
        paper: what the paper says, by variant.
    """
    rows = table(result, variants)
    keys = {"mIoU": "miou", "class acc.": "mean_accuracy", "boundary F1": "boundary_f1"}
    lines = [f"{'%':14s}" + "".join(f"{head:>13s}" for head in (*keys, "weights", "mult.-adds")) + "   paper"]
    for name in variants:
        scored = rows.get(name, {})
        ours = "".join(f"{scored[key][0]:7.1f} ± {scored[key][1]:3.1f}" for key in keys.values() if scored)
        weights, billions = costs[name]
        told = ours or "  not stored yet"
        lines.append(f"{name:14s}{told:39s}{weights:13,}{billions:11.3f} G   {paper.get(name, '-')}")
    names = tuple(name for name in variants if name != STARTER)
    for words, key in keys.items():
        for (one, left), (other, right) in pairwise(per_seed(result, key, names).items()):
            gains = ", ".join(f"{100 * (b - a):+.1f}" for a, b in zip(left, right, strict=True))
            lines.append(f"{other} minus {one}, {words}, seed by seed: {gains}")
    for name, (rate, at_edge) in learning_rates(result, variants).items():
        lines.append(f"learning rate of {name}: {rate:g}{', the edge of the grid' if at_edge else ''}")
    return "\n".join(lines)


def curves(result: Mapping, variant: str) -> dict[str, np.ndarray]:
    """The training of a variant: dict "step" -> [rounds], "loss" and "val_miou" -> float [seeds, rounds]."""
    histories = [part["history"] for part in _seeds(result, variant)]
    columns = {key: np.array([history[key] for history in histories], float) for key in ("loss", "val_miou")}
    return {"step": np.array(histories[0]["step"]), **columns}


def learning_rates(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, tuple[float, bool]]:
    """The chosen learning rates: dict variant -> (rate, whether it lies at the edge of the grid)."""
    tried = result["settings"]["learning_rates"]
    chosen = {v: _seeds(result, v)[0]["learning_rate"] for v in stored(result, variants)}
    return {v: (rate, rate in (min(tried), max(tried))) for v, rate in chosen.items()}


STUDY = Study(
    title="LinkNet on ToyCam: bypasses or none, added or concatenated, three or four; class weights",
    cost="about 70 minutes on two CPU cores with AVX2",
    settings={
        "size": [192, 256],
        "width": 0.5,
        "steps": 960,
        "round_steps": 120,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 240,
        "learning_rates": [3e-4, 1e-3, 3e-3, 1e-2],
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=tuple(f"{variant}-{seed}" for seed in SEEDS for variant in VARIANTS),
    run=_run,
    probed=("weighted-1", "concat-1"),
)

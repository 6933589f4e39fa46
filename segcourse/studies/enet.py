"""ENet's claims on ToyCam: against SegNet, its bottlenecks, where it halves, its decoder, class weights.

All variants have random weights at the start, and the same scenes, steps and batches; the learning rate is
chosen for each on the split "val" by runs of a fifth of the steps; the scores are those of the split "test".
A part is VARIANT-SEED. All networks are trained in one phase, so that steps are the same for all.

SegNet is a quarter as wide: five times ENet's weights and multiply-adds. SegNet-Basic is half as wide: as
many weights as ENet, and twelve times the multiply-adds.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy
from segcourse.losses.log_balancing import log_frequency_weights
from segcourse.metrics import ConfusionMatrix
from segcourse.models import enet as blocks
from segcourse.models.blueprint import blueprint
from segcourse.models.cost import profile
from segcourse.models.enet import enet
from segcourse.models.segnet import segnet, segnet_basic
from segcourse.models.starter import small_network
from segcourse.studies import Study
from segcourse.studies.core import fitting, rates, scoring, store

WEIGHTED = "weighted"  # ENet with class weights in its loss
SEEDS = ("1", "2", "3")
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")
# Groups of PReLUs, by the ends of their names: the paper's probe tells them apart.
SLOPES = {
    "encoder, after adding": r"(initial|stage[123]_(down|\d))_prelu",
    "encoder, inside": r"stage[123]_(down|\d)_(reduce|middle)_prelu",
    "decoder, after adding": r"stage[45]_(up|\d)_prelu",
    "decoder, inside": r"stage[45]_(up|\d)_(reduce|middle)_prelu",
}


def late_enet(input_shape: tuple = (None, None, 3), classes: int = 11) -> keras.Model:
    """ENet that halves the picture once less, and half as wide: the same multiply-adds."""
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = blocks.initial_block(x, blocks.scaled(16, 0.5), stride=1)
    x, pools = blocks.encoder(x, 0.5)
    return keras.Model(image, blocks.scores_of(blocks.decoder(x, pools), image, classes, 1), name="late_enet")


def large_enet(input_shape: tuple = (None, None, 3), classes: int = 11) -> keras.Model:
    """ENet whose decoder mirrors its encoder, as SegNet's does: as many blocks of each size, all regular."""
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x, pools = blocks.encoder(blocks.initial_block(x, 16))
    for n in range(1, 17):
        x = blocks.bottleneck(x, x.shape[-1], f"mirror_{n}", activation="relu")
    x = blocks.decoder(x, pools, counts=(4, 1))
    return keras.Model(image, blocks.scores_of(x, image, classes), name="large_enet")


NETWORKS = {
    "starter": lambda classes: small_network(classes, input_shape=(None, None, 3)),  # lesson 00's
    "segnet": partial(segnet, width=0.25),
    "segnet-basic": partial(segnet_basic, width=0.5),
    "enet": enet,
    "undilated": partial(enet, bottlenecks="undilated"),
    "plain": partial(enet, bottlenecks="plain"),
    "late": late_enet,
    "large": large_enet,
    "prelu": partial(enet, decoder_activation="prelu"),
    WEIGHTED: enet,
}
VARIANTS = tuple(NETWORKS)


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    classes, size = len(datasets.spec("toycam")), tuple(settings["size"])
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("enet", variant, settings)

    def short(rate, place):
        return train(variant, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    found = rates.rate_scores(settings["learning_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(variant, rate, int(seed), settings["steps"], data, settings, folder / seed)
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "slopes": mean_slopes(model),
        "test": scoring.measure(model, *data["test"], classes),
    }


def build(variant: str, seed: int) -> keras.Model:
    """The untrained network of a variant, for ToyCam's classes and any size."""
    training.set_seed(seed)
    return NETWORKS[variant](classes=len(datasets.spec("toycam")))


def train(
    variant: str, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    As `fitting.rounds`, which knows no class weights: no weights of the network are chosen.

    Returns:
        the network with its last weights, and the history by round, `val_miou` among it.
    """
    model, classes = build(variant, seed), len(datasets.spec("toycam"))
    weights = log_frequency_weights(data["train"][1], classes) if variant == WEIGHTED else None
    optimizer = keras.optimizers.Adam(training.poly(rate, steps))
    training.compile(
        model, optimizer, MaskedCrossEntropy(class_weights=weights), metrics=[ConfusionMatrix(classes)]
    )
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


def mean_slopes(model: keras.Model) -> dict[str, float]:
    """The mean slope over the channels of each PReLU, from the image on: dict layer -> float."""
    found = [layer for layer in model.layers if isinstance(layer, layers.PReLU)]
    return {layer.name: float(np.mean(ops.convert_to_numpy(layer.alpha))) for layer in found}


def costs(settings: Mapping) -> dict[str, tuple[int, float]]:
    """What each variant costs for one scene: dict variant -> (weights, billions of multiply-adds)."""
    found = {}
    for variant in VARIANTS:
        if variant in ("undilated", WEIGHTED):  # the rates and the loss cost nothing
            found[variant] = found["enet"]
            continue
        cost = profile(blueprint(partial(build, variant, 1)), tuple(settings["size"]))
        found[variant] = cost.trainable_parameters, cost.multiply_adds / 1e9
    return found


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
    """A table to print, what each variant has over the others seed by seed, and the learning rates.

    Args:
        variants: the rows, in order; differences are those to "enet", or of neighbours without it.
        costs: what `costs` returns.
        paper: what the paper says, by variant.
    """
    rows = table(result, variants)
    heads = "".join(f"{head:>12s}" for head in ("mIoU", "class acc.", "pixel acc.", "weights", "mult.-adds"))
    lines = [f"{'%':14s}{heads}   paper"]
    for name in variants:
        scored = rows.get(name, {})
        keys = ("miou", "mean_accuracy", "pixel_accuracy")
        ours = "".join(f"{scored[key][0]:6.1f} ± {scored[key][1]:3.1f}" for key in keys if scored)
        weights, billions = costs[name]
        told = ours or "  not stored yet"
        lines.append(f"{name:14s}{told:36s}{weights:12,}{billions:10.3f} G   {paper.get(name, '-')}")
    for score, words in (("miou", "mIoU"), ("mean_accuracy", "class accuracy")):
        seeds = per_seed(result, score, variants)
        for one, other in _pairs(tuple(seeds)):
            gains = ", ".join(f"{100 * (a - b):+.1f}" for a, b in zip(seeds[one], seeds[other], strict=True))
            lines.append(f"{one} minus {other}, {words}, seed by seed: {gains}")
    for name, (rate, at_edge) in learning_rates(result, variants).items():
        lines.append(f"learning rate of {name}: {rate:g}{', the edge of the grid' if at_edge else ''}")
    return "\n".join(lines)


def _pairs(names):
    """ENet's bottlenecks one after the other; else ENet with each of the others."""
    if {"plain", "undilated"} <= set(names):
        return [pair for pair in (("undilated", "plain"), ("enet", "undilated")) if set(pair) <= set(names)]
    return [("enet", name) for name in names if "enet" in names and name != "enet"]


def curves(result: Mapping, variant: str) -> dict[str, np.ndarray]:
    """The training of a variant: dict "step" -> [rounds], "loss" and "val_miou" -> float [seeds, rounds]."""
    histories = [part["history"] for part in _seeds(result, variant)]
    columns = {key: np.array([history[key] for history in histories], float) for key in ("loss", "val_miou")}
    return {"step": np.array(histories[0]["step"]), **columns}


def slopes(result: Mapping, variant: str) -> dict[str, np.ndarray]:
    """The learned slopes by the groups of `SLOPES`: dict group -> float [seeds, layers]; {} if not stored."""
    if not stored(result, (variant,)):
        return {}
    parts = [part["slopes"] for part in _seeds(result, variant)]
    found = {
        group: np.array([[part[name] for name in part if re.fullmatch(form, name)] for part in parts])
        for group, form in SLOPES.items()
    }
    return {group: values for group, values in found.items() if values.size}


def learning_rates(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, tuple[float, bool]]:
    """The chosen learning rates: dict variant -> (rate, whether it lies at the edge of the grid)."""
    tried = result["settings"]["learning_rates"]
    chosen = {v: _seeds(result, v)[0]["learning_rate"] for v in stored(result, variants)}
    return {v: (rate, rate in (min(tried), max(tried))) for v, rate in chosen.items()}


STUDY = Study(
    title="ENet on ToyCam: against SegNet, its bottlenecks, early downsampling, decoder and class weights",
    cost="about an hour and three quarters on two CPU cores with AVX2",
    settings={
        "size": [192, 256],
        "steps": 400,
        "round_steps": 100,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 80,
        "learning_rates": [1e-3, 3e-3, 1e-2, 3e-2],
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=tuple(f"{variant}-{seed}" for seed in SEEDS for variant in VARIANTS),
    run=_run,
    probed=("weighted-1", "late-1"),
)

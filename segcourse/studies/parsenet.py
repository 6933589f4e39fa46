"""ParseNet's claims on ToyCam: context, normalisation, and more layers (Liu, Rabinovich & Berg 2015).

One backbone, a quarter of VGG16's width, that starts from the classifier of lesson 01; what is scored
differs. A part is VARIANT-SEED. Steps, batches and views are the same for all variants; the learning rate is
chosen for each on the split "val" by whole runs of another seed; scored are the pictures of "test". (After
a quarter of the steps a rate can look best that later spoils the training: with L2 normalisation the weights
before it grow with every step, and the more the larger the rate.)

Adam trains the variants that differ in what they fuse. It scales each weight's step by its gradients, and so
evens out what L2 normalisation is there to even out; the variants that differ in the normalisation are
therefore trained by SGD with momentum, as the paper's networks were.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
from keras import ops

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.layers.l2_normalization import L2Normalization
from segcourse.models.parsenet import convolutions, parsenet
from segcourse.models.starter import small_network
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, rates, reading, scoring, store

# Each fuses what the one before it does, and the map of its name.
FUSED = {
    "fc7": {"context": False},
    "pool6": {},
    "conv5": {"fuse": ("fc7", "conv5")},
    "conv4": {"fuse": ("fc7", "conv5", "conv4")},
    "conv3": {"fuse": ("fc7", "conv5", "conv4", "conv3")},
}
# One early map beside the last, without context.
_PAIR = {"fuse": ("fc7", "conv3"), "context": False}
NORMALIZED = {
    "raw": {**_PAIR, "normalization": "none"},
    "scale1": {**_PAIR, "scale": 1.0},
    "scale10": {**_PAIR, "scale": 10.0},
}
STARTER = "starter"  # lesson 00's network, from random weights
VARIANTS = (STARTER, *FUSED, *NORMALIZED)
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")
SHARES = (0, 10, 50, 90, 100)  # percentiles of the lengths of a map's pixels, and of learned scales


def _run(part, settings):
    variant, seed = part.rsplit("-", 1)
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("parsenet", variant, settings)
    found = rate_scores(variant, data, settings, folder)
    rate = rates.best_rate(found)
    start = build(variant, int(seed), settings)
    lengths = {"start": map_lengths(start, variant, data["val"][0])}
    model, history = train(variant, rate, int(seed), settings["steps"], data, settings, folder / seed)
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "lengths": {**lengths, "end": map_lengths(model, variant, data["val"][0])},
        "scales": scales(model),
        "test": scoring.measure(model, *data["test"], len(datasets.spec("toycam"))),
    }


def build(variant: str, seed: int, settings: Mapping) -> keras.Model:
    """The untrained network of a variant; its 13 convolutions come from lesson 01's classifier."""
    training.set_seed(seed)
    classes = len(datasets.spec("toycam"))
    if variant == STARTER:
        return small_network(classes, input_shape=(None, None, 3))
    options = (FUSED | NORMALIZED)[variant]
    model = parsenet(classes=classes, width=settings["width"], rate=settings["rate"], **options)
    transplant(vgg16_toycam.classifier(settings["width"]), convolutions(model))
    return model


def train(
    variant: str, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    A round is `round_steps` batches of pictures drawn anew.

    Returns:
        the network with its last weights, and the history by round, `val_miou` among it.
    """
    model, schedule = build(variant, seed, settings), training.poly(rate, steps)
    sgd = variant in NORMALIZED
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9) if sgd else keras.optimizers.Adam(schedule)
    return model, fitting.rounds(
        model, optimizer, data, settings, seed, steps, settings["round_steps"], folder
    )


def rate_scores(variant: str, data: Mapping, settings: Mapping, folder: Path) -> dict[str, float]:
    """Mean IoU on val after a training with each learning rate of the grid, by a seed of its own."""

    def trial(rate, place):
        return train(variant, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    return rates.rate_scores(settings["grid"]["sgd" if variant in NORMALIZED else "adam"], folder, trial)


def map_lengths(model: keras.Model, variant: str, images: np.ndarray) -> dict[str, list[float]]:
    """How long the vectors of channels of a network's maps are before any normalisation.

    Returns:
        dict map -> percentiles `SHARES` over the pixels of 16 images; the starter has none of these maps.
    """
    if variant == STARTER:
        return {}
    names = {"conv3": "pool3", "conv4": "conv4_3", "conv5": "conv5_3", "fc7": "fc7", "pool6": "pool6"}
    names = {name: layer for name, layer in names.items() if layer in [found.name for found in model.layers]}
    maps = keras.Model(model.input, [model.get_layer(layer).output for layer in names.values()])
    found = zip(names, maps(images[:16], training=False), strict=True)
    lengths = {name: np.linalg.norm(ops.convert_to_numpy(x), axis=-1) for name, x in found}
    return {name: np.percentile(values, SHARES).tolist() for name, values in lengths.items()}


def scales(model: keras.Model) -> dict[str, list[float]]:
    """The learned scales of a network: dict map -> percentiles `SHARES` over the channels."""
    found = [layer for layer in model.layers if isinstance(layer, L2Normalization)]
    return {
        layer.name.removeprefix("norm_"): np.percentile(ops.convert_to_numpy(layer.scale), SHARES).tolist()
        for layer in found
    }


# Reading the stored result, whichever parts it has


def stored(result: Mapping, variants: Sequence[str] = VARIANTS) -> tuple[str, ...]:
    """Those of the variants of which all seeds are stored."""
    return reading.stored(result, variants)


def per_seed(result: Mapping, score: str, variants: Sequence[str] = VARIANTS) -> dict[str, list]:
    """A score on the test scenes: dict variant -> list over the seeds."""
    return reading.per_seed(result, variants, "test", score)


def class_iou(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, np.ndarray]:
    """Per-class IoU of each seed: dict variant -> float array [seeds, classes]."""
    return {v: np.array(rows, float) for v, rows in per_seed(result, "iou", variants).items()}


def table(result: Mapping, variants: Sequence[str] = VARIANTS) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return reading.table(result, variants, SCORES, "test")


def report(result: Mapping, variants: Sequence[str] = VARIANTS) -> str:
    """The table in words, what each variant gains on the one before it for each seed, and the learning rates.

    The first variant is there to compare with: no gain over it is listed.
    """
    rows = table(result, variants)
    pairs = [(other, one) for one, other in pairwise(list(rows)[1:])]
    lines = ["", *reading.table_text(rows)]
    lines += reading.gains_text(reading.gains(result, pairs, "test", "miou"), "mIoU")
    return "\n".join(lines + reading.rates_text(reading.learning_rates(result, variants)))


def curves(result: Mapping, key: str, variant: str) -> tuple[list[int], np.ndarray]:
    """A column of the histories: (steps, values [seeds, rounds])."""
    found = reading.curves(result, variant, key)
    return found["step"].tolist(), found[key]


def medians(result: Mapping, variant: str, *keys: str) -> dict[str, float]:
    """The medians in "lengths" (at "start" or "end") or in "scales": dict map -> mean over the seeds."""
    parts = reading.of(result, variant)
    for key in keys:
        parts = [part[key] for part in parts]
    return {name: float(np.mean([part[name][SHARES.index(50)] for part in parts])) for name in parts[0]}


STUDY = Study(
    title="ParseNet's head on a quarter of VGG16, with and without context, normalisation and earlier layers",
    cost="about three hours on one CPU core with AVX2",
    settings={
        "width": 0.25,
        "rate": 4,
        "steps": 400,
        "round_steps": 50,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 400,
        "grid": {"adam": [3e-4, 1e-3, 3e-3, 1e-2], "sgd": [3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0]},
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(VARIANTS),
    run=_run,
    probed=("conv3-1", "raw-1"),
)

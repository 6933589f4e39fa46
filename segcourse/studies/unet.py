"""U-Net's claims on touching cells, six training pictures a seed.

What do skips, weight map and elastic deformation bring, and does bfloat16 cost anything? Every variant is the
full method with one thing changed; data, steps, order of the pictures and learning rate are the same. Each
seed has six training pictures of its own, and all are scored on the same 50 test pictures. The parts 1, 2 and
3 are the seeds of these variants.

Two controls, with a part for each seed, change one thing as well: `outlines` weights all outlines alike and
not the gaps alone, `starter` is the network of lesson 00. The learning rate of each is chosen by short
trainings on pictures of their own, by the Rand error on the split "val", for the IoU does not see what is
claimed. The part `rates` does the same for the variants above: it tells what they would lose or gain by other
rates than the one they share.
"""

import functools
import math
from collections.abc import Mapping

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets import cells
from segcourse.datasets.borders import border_weights
from segcourse.datasets.distances import two_nearest
from segcourse.datasets.elastic import Elastic
from segcourse.datasets.labels import instances_of
from segcourse.datasets.weighted import weighted_epochs
from segcourse.models.blueprint import blueprint
from segcourse.models.starter import small_network
from segcourse.models.unet import unet
from segcourse.studies import Study
from segcourse.studies.core import fitting, rates, scoring, store

# What each variant changes of the full method.
VARIANTS = {
    "full": {},
    "no skips": {"skips": False},
    "no weight map": {"w0": 0.0},
    "no elastic": {"strength": 0.0},
    "bfloat16": {"precision": "mixed_bfloat16"},
}
# What each control changes of it, with a learning rate of its own.
STARTER = "starter"  # lesson 00's network
CONTROLS = {STARTER: {"network": STARTER}, "outlines": {"weighted": "outlines"}}
ROWS = (STARTER, "full", "no skips", "no weight map", "outlines", "no elastic", "bfloat16")  # of the tables
SEEDS = ("1", "2", "3")
SCORES = ("iou", "miou", "rand_error", "vi_merge", "vi_split", "merges", "splits", "found")

RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
RATE_SEED = 4  # none of `SEEDS`: no picture is trained on twice
RATE_EPOCHS = 10  # a third of a training
SEARCHED = ("full", "no skips", "no weight map", "no elastic")  # in the part `rates`


def _run(part, settings):
    if part in SEEDS:
        return {name: _variant(int(part), settings | change) for name, change in VARIANTS.items()}
    if part == "rates":
        return {name: rate_scores(name, settings) for name in SEARCHED}
    control, seed = part.rsplit("-", 1)
    found = rate_scores(control, settings)
    rate = rates.best_rate(found)
    own = settings | CONTROLS[control] | {"learning_rate": rate}
    return {"rates": found, "learning_rate": rate, "test": _variant(int(seed), own)}


def _variant(seed, settings):
    with training.precision(settings["precision"]):
        model = train(seed, settings)
    return measure(model, "test")


def rate_scores(variant: str, settings: dict) -> dict[str, float]:
    """1 minus the Rand error on val after a short training with each learning rate: dict rate -> score.

    The seeds of a control share them: they are kept beside the results, in a folder that git ignores.
    """
    short = settings | (VARIANTS | CONTROLS)[variant] | {"epochs": RATE_EPOCHS}

    def trial(rate, _):
        model = train(RATE_SEED, short | {"learning_rate": rate})
        return {"val_miou": [1 - measure(model, "val")["rand_error"]]}  # what the search takes as the score

    return rates.rate_scores(RATES, store.scratch("unet", variant, short, RATES, RATE_SEED), trial)


def build(settings: Mapping) -> keras.Model:
    """The untrained network of `settings`, for grey pictures and two classes."""
    if settings["network"] == STARTER:
        return small_network(2, input_shape=(None, None, 1))
    return unet(skips=settings["skips"], **settings["network"])


def outline_weights(instances: np.ndarray, w0: float, sigma: float) -> np.ndarray:
    """`border_weights` as if a second cell were everywhere as near as the first: float32 [H, W].

    It is as large along all outlines as that is in a gap one pixel wide. `instances`: integers [H, W], 0
    background, 1, 2, ... the cells.
    """
    nearest, _ = two_nearest(instances, reach=math.ceil(6 * sigma))
    return (1 + w0 * np.exp(-((2 * nearest) ** 2) / (2 * sigma**2))).astype("float32")


def train(seed: int, settings: dict) -> keras.Model:
    """One training on pictures of the split "train" (seed 1 has the first six), as `settings` say."""
    count, repeats = settings["pictures"], settings["repeats"]
    chosen = np.repeat(np.arange((seed - 1) * count, seed * count), repeats)
    images, labels = (array[chosen] for array in datasets.load("cells", "train"))
    weigh = outline_weights if settings.get("weighted") == "outlines" else border_weights
    weights = [weigh(ids, w0=settings["w0"], sigma=settings["sigma"]) for ids in cells.instances("train")]
    view = (
        functools.partial(Elastic, strength=settings["strength"])
        if settings["strength"]
        else datasets.Augment
    )
    weights = np.stack(weights)[chosen]
    augment, batch = view(**settings["augment"]), settings["batch"]
    data = weighted_epochs(images, labels, weights, batch, augment=augment, seed=seed)
    training.set_seed(seed)
    model = build(settings)
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


def parameters(settings: Mapping) -> dict[str, int]:
    """How many weights each variant has: dict variant -> number."""
    others = {"full": {}, "no skips": VARIANTS["no skips"], STARTER: CONTROLS[STARTER]}
    found = {
        name: blueprint(functools.partial(build, settings | change)).count_params()
        for name, change in others.items()
    }
    return dict.fromkeys(ROWS, found["full"]) | found


# Reading the stored result, whichever controls it has


def per_seed(stored: Mapping, score: str) -> dict[str, list]:
    """A score of each stored variant: dict variant -> list over the seeds, in the order of `ROWS`."""
    parts, found = stored["results"], {}
    for name in ROWS:
        if name in VARIANTS:
            found[name] = [parts[seed][name][score] for seed in SEEDS]
        elif all(f"{name}-{seed}" in parts for seed in SEEDS):
            found[name] = [parts[f"{name}-{seed}"]["test"][score] for seed in SEEDS]
    return found


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds: dict variant -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, score) for score in SCORES}, factor=1)


def rate_errors(stored: Mapping) -> dict[str, dict[float, float]]:
    """The Rand errors on val that the short trainings gave: dict variant -> learning rate -> error."""
    parts = stored["results"]
    scores = dict(parts.get("rates", {}))
    scores |= {name: parts[f"{name}-1"]["rates"] for name in CONTROLS if f"{name}-1" in parts}
    return {n: {float(r): 1 - score for r, score in scores[n].items()} for n in ROWS if n in scores}


def report(stored: Mapping) -> str:
    """Tables to print: scores and weights, differences to the full method, Rand errors by learning rate."""
    shown, sizes = [score for score in SCORES if score != "miou"], parameters(stored["settings"])
    lines = [f"{'':13s}" + "".join(f"{score:>13s}" for score in shown) + f"{'weights':>10s}"]
    for name, row in table(stored).items():
        values = "".join(_cell(*row[score], score) for score in shown)
        lines.append(f"{name:13s}{values}{sizes[name]:10,d}")
    lines.append("\nminus the full method, seed by seed")
    merges, rand = per_seed(stored, "merges"), per_seed(stored, "rand_error")
    for name in (name for name in merges if name != "full"):
        lines.append(f"{name:13s} merges {_gains(merges, name)}, Rand error {_gains(rand, name, 2)}")
    if rate_errors(stored):
        lines.append("\nRand error on val after a third of the steps, by learning rate; the rate taken above")
        lines.append(f"{'':13s} " + "".join(f"{rate:>8g}" for rate in RATES))
    for name, row in rate_errors(stored).items():
        rate, at_edge = learning_rate(stored, name)
        errors = "".join(f"{error:8.2f}" for error in row.values())
        lines.append(f"{name:13s} {errors}   {rate:g}{', the edge of the grid' if at_edge else ''}")
    return "\n".join(lines)


def learning_rate(stored: Mapping, name: str) -> tuple[float, bool]:
    """The learning rate of a variant, and whether it was chosen at the edge of the grid."""
    if name in VARIANTS:
        return stored["settings"]["learning_rate"], False
    rate = stored["results"][f"{name}-1"]["learning_rate"]
    return rate, rate in (min(RATES), max(RATES))


def _cell(mean, spread, score):
    """Mean and spread in 13 columns; of what is counted a digit suffices."""
    digits = 1 if score in ("merges", "splits", "found") else 2
    return f"{f'{mean:.{digits}f} ± {spread:.{digits}f}':>13s}"


def _gains(seeds, name, digits=1):
    """What a variant has more than the full method, with each seed, in words."""
    return " ".join(f"{a - b:+.{digits}f}" for a, b in zip(seeds[name], seeds["full"], strict=True))


STUDY = Study(
    title="U-Net with and without skips, weight map and elastic deformation, "
    "from 6 pictures of touching cells",
    cost="about 45 minutes on two CPU cores, half of it for the controls",
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
    parts=(*SEEDS, "rates", *(f"{control}-{seed}" for control in CONTROLS for seed in SEEDS)),
    run=_run,
    probed=("1", *(f"{control}-1" for control in CONTROLS)),
)

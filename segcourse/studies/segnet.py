"""SegNet's decoder table on ToyCam (Badrinarayanan et al. 2015, Table 1): each decoder at its own rate.

One encoder, eight ways to come back to full resolution, and lesson 00's network. A part is VARIANT-SEED.
Batches and steps are the same for all; the learning rate is chosen for each on the split "val", on a grid
that grows until the best rate lies inside; the scores are those of the split "test". Whatever makes scores
starts at zero, so that every variant begins at the loss of chance: maps of unlike size added up in front of
a classifier would decide the race at its start.

The loss is balanced by the median frequency; "natural" variants have the plain one. "Long" ones get four
times the steps, at the rate that the same decoder has without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.losses import median_frequency_weights
from segcourse.models.segnet import DECODERS, segnet_basic
from segcourse.models.segnet_decoders import encoder_storage
from segcourse.models.starter import small_network
from segcourse.studies import Study
from segcourse.studies.core import fitting, rates, reading, scoring, store


@dataclass(frozen=True)
class Variant:
    """A decoder (or "starter", lesson 00's whole network), its loss, and how many times the steps it gets."""

    decoder: str
    balanced: bool = True
    times: int = 1


STARTER, LONG = "starter", 4
COMPARED = (
    "max-unpooling",
    "bilinear",
    "fcn-basic",
    "fcn-basic-no-reduction",
    "fcn-basic-no-addition",
    "encoder-addition",
    "single-channel",
    "replication",
)
NATURAL = {f"{name}-natural": Variant(name, balanced=False) for name in ("max-unpooling", "fcn-basic")}
LONGER = {
    f"{name}-long": Variant(name, times=LONG)
    for name in (STARTER, "max-unpooling", "bilinear", "fcn-basic", "fcn-basic-no-reduction")
}
SHORT = {name: Variant(name) for name in (STARTER, *COMPARED)}
VARIANTS = {**SHORT, **NATURAL, **LONGER}
# What each claim rests on: the first variant's gain over the second.
CLAIMS = (
    ("max-unpooling", "replication"),
    ("max-unpooling", "bilinear"),
    ("fcn-basic", "max-unpooling"),
    ("fcn-basic", "fcn-basic-no-addition"),
    ("encoder-addition", "max-unpooling"),
    ("max-unpooling", "single-channel"),
    ("fcn-basic-no-reduction", "fcn-basic"),
)
LONG_CLAIMS = tuple(
    (f"{one}-long", f"{other}-long")
    for one, other in CLAIMS
    if {f"{one}-long", f"{other}-long"} <= set(LONGER)
)
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")
# Table 1 of the paper, median-frequency balancing, CamVid's test photographs: the four scores in percent.
PAPER = {
    "bilinear": (77.9, 61.1, 43.3, 20.83),
    "max-unpooling": (82.7, 62.0, 47.7, 35.78),
    "encoder-addition": (83.4, 63.6, 48.5, 35.92),
    "single-channel": (81.2, 60.7, 46.1, 31.62),
    "fcn-basic": (81.7, 62.4, 47.3, 38.11),
    "fcn-basic-no-addition": (80.5, 58.6, 44.1, 31.96),
    "fcn-basic-no-reduction": (84.1, 63.4, 50.1, 37.37),
    "fcn-basic-no-addition-no-reduction": (80.5, 61.6, 45.9, 30.47),
}


def _run(part, settings):
    name, seed = part.rsplit("-", 1)
    variant = VARIANTS[name]
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    data["val"] = tuple(part[: settings["val_scenes"]] for part in data["val"])
    folder = store.scratch("segnet", variant.decoder, variant.balanced, settings)

    def short(rate, place):
        return train(variant, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    found = rates.climb(settings["learning_rates"], settings["most_rates"], folder, short)
    rate, steps = rates.best_rate(found), variant.times * settings["steps"]
    model, history = train(variant, rate, int(seed), steps, data, settings, folder / f"{seed} {steps}")
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "test": scoring.measure(model, *data["test"], len(datasets.spec("toycam"))),
    }


def build(decoder: str, settings: Mapping) -> keras.Model:
    """An untrained network whose scores are all zero: it begins at the loss of chance."""
    classes = len(datasets.spec("toycam"))
    if decoder == STARTER:
        model = small_network(classes, input_shape=(None, None, 3))
    else:
        model = segnet_basic(classes=classes, width=settings["width"], decoder=decoder)
    for layer in model.layers:
        if layer.weights and layer.name.startswith(("score", "logits", "reduce")):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    return model


def train(
    variant: Variant, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    Returns:
        the network with its last weights, and the history by round, `val_miou` among it.
    """
    training.set_seed(seed)
    model = build(variant.decoder, settings)
    optimizer, round_steps = keras.optimizers.Adam(training.poly(rate, steps)), settings["round_steps"]
    classes = len(datasets.spec("toycam"))
    weights = median_frequency_weights(data["train"][1], classes) if variant.balanced else None
    history = fitting.rounds(
        model, optimizer, data, settings, seed, steps, round_steps, folder, class_weights=weights
    )
    return model, history


# Reading the stored result, whichever parts it has


def table(
    result: Mapping, variants: Sequence[str] = tuple(SHORT)
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return reading.table(result, variants, SCORES, "test")


def per_seed(result: Mapping, score: str, variants: Sequence[str] = tuple(SHORT)) -> dict[str, list]:
    """A score on the test scenes: dict variant -> list over the seeds."""
    return reading.per_seed(result, variants, "test", score)


def curves(result: Mapping, variants: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The trainings: dict variant -> "step" [rounds], "loss" and "val_miou" [seeds, rounds]."""
    return {v: reading.curves(result, v, "loss", "val_miou") for v in reading.stored(result, variants)}


def report(result: Mapping, kept: Mapping[str, float], variants: Sequence[str] = tuple(SHORT)) -> str:
    """The paper's table beside ours, in words.

    Args:
        kept: what each decoder keeps from the encoder, in MB.
    """
    columns = "".join(f"{score:12s}" for score in ("ours G", "C", "mIoU", "BF", "loss"))
    lines = [f"{'':28s}{'MB':>5s}{'paper G':>9s}{'C':>6s}{'mIoU':>6s}{'BF':>6s}  |  {columns}"]
    for name, row in table(result, variants).items():
        decoder = VARIANTS[name].decoder
        theirs = "".join(f"{score:6.1f}" for score in PAPER.get(decoder, ())) or 4 * "     –"
        ours = "".join(f"{mean:6.1f} ±{spread:4.1f}" for mean, spread in row.values())
        memory = f"{kept[decoder]:5.1f}" if decoder in kept else "    –"
        loss = curves(result, [name])[name]["loss"][:, -1].mean()
        lines.append(f"{name:28s}{memory}   {theirs}  |{ours}{loss:7.2f}")
    return "\n".join(lines)


def gains(
    result: Mapping, pairs: Sequence[tuple[str, str]], score: str = "miou"
) -> dict[tuple[str, str], np.ndarray]:
    """What the first of each pair has over the second, in percent: dict pair -> [seeds]."""
    return reading.gains(result, pairs, "test", score)


def storage(size: tuple[int, int] = (360, 480), width: float = 1.0) -> dict[str, int]:
    """What each decoder keeps from the encoder for an image of `size`: dict decoder -> bytes."""
    with keras.StatelessScope(initialize_variables=False):  # nobody needs the values of the weights
        networks = {name: segnet_basic((*size, 3), width=width, decoder=name) for name in DECODERS}
    return {name: encoder_storage(network) for name, network in networks.items()}


STUDY = Study(
    title="Eight decoders on SegNet-Basic's encoder, a quarter as wide, each at its own rate, on ToyCam",
    cost="about an hour and three quarters on two CPU cores with AVX2",
    settings={
        "width": 0.25,
        "steps": 600,
        "round_steps": 100,
        "batch": 8,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 400,
        "learning_rates": [1e-3, 3e-3, 1e-2],
        "most_rates": 7,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(tuple(VARIANTS)),
    run=_run,
    version=2,
    probed=("max-unpooling-1", "fcn-basic-natural-1", "starter-1"),
)

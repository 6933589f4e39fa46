"""CRF-as-RNN's claim on ToyCam (Zheng et al. 2015, Table 1): network < with separate CRF < trained jointly.

For each seed one FCN-8s is trained and a CRF for it is searched on validation scenes. From that one state
every variant goes on for the same steps on the same batches; they differ in what is trained, through how many
iterations, and in the form of the CRF's weights. The learning rate is chosen for each on the split "val".
Scored are the test scenes, after every iteration from 0 (the network alone) to 10.

A part is VARIANT-SEED. Lesson 00's network has no state to go on from: it is trained in one go on as many
pictures, and gets a separate CRF as well.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.layers.crf import BilateralFilter, SpatialFilter, mean_field, normalized
from segcourse.layers.crf.recurrent import MeanFieldRNN
from segcourse.models.crf_rnn import crf_rnn, start_from_fcn8s, without_crf
from segcourse.models.fcn import fcn8s
from segcourse.models.starter import small_network
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import coordinates, fitting, rates, reading, scoring, store

SEARCHED = ("sigma_spatial", "sigma_xy", "sigma_rgb", "spatial_weight", "bilateral_weight")


@dataclass(frozen=True)
class Variant:
    """What goes on being trained.

    Attributes:
        trained: "network", "crf" or "everything"; None is lesson 00's network.
        iterations: of mean field in training.
        per_class: a weight for each class and kernel instead of matrices.
        rate_of: the variant whose learning rate this one takes; None for its own.
    """

    trained: str | None
    iterations: int = 5
    per_class: bool = False
    rate_of: str | None = None


STARTER = "starter"
VARIANTS = {
    STARTER: Variant(None, 0),
    "network": Variant("network", 0),
    "only-crf": Variant("crf"),
    "joint": Variant("everything"),
    "joint-per-class": Variant("everything", per_class=True),
    "joint-10": Variant("everything", iterations=10, rate_of="joint"),
}
# The rows of the lesson's table: a variant, and the iterations at test.
ROWS = {
    "starter": (STARTER, "0"),
    "starter + separate CRF": (STARTER, "10"),
    "network": ("network", "0"),
    "network + separate CRF": ("network", "10"),
    "only the CRF trained": ("only-crf", "10"),
    "joint, weights per class": ("joint-per-class", "10"),
    "joint, full matrices": ("joint", "10"),
    "joint, 5 at test": ("joint", "5"),
    "joint, 10 in training": ("joint-10", "10"),
}
# What each claim rests on: the first row's gain over the second.
CLAIMS = (
    ("network + separate CRF", "network"),
    ("joint, full matrices", "network + separate CRF"),
    ("joint, weights per class", "network + separate CRF"),
    ("joint, full matrices", "joint, weights per class"),
    ("only the CRF trained", "network + separate CRF"),
    ("joint, full matrices", "joint, 5 at test"),
    ("joint, 10 in training", "joint, full matrices"),
    ("starter + separate CRF", "starter"),
    ("starter", "joint, full matrices"),
)
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")


def _run(part, settings):
    name, seed = part.rsplit("-", 1)
    variant, classes = VARIANTS[name], len(datasets.spec("toycam"))
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    data["val"] = tuple(values[: settings["val_scenes"]] for values in data["val"])
    budget = {**settings, **settings["starter"]} if name == STARTER else settings
    judged, few = variant.rate_of or name, budget["rate_steps"]

    def short(rate, place):
        return train(VARIANTS[judged], rate, budget["rate_seed"], few, data, budget, place)[1]

    folder = store.scratch("crf-rnn", judged, settings)
    found = rates.climb(settings["learning_rates"], settings["most_rates"], folder, short)
    rate, place = rates.best_rate(found), store.scratch("crf-rnn", name, settings) / seed
    model, history = train(variant, rate, int(seed), budget["steps"], data, budget, place)
    network, crf, searched = _separate_or_learned(model, variant, int(seed), data, settings)
    maps = maps_by_iteration(network, crf, data["test"][0], settings["batch"])
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou", "seconds")},
        "search": searched,
        **measure(data["test"][1], maps, classes),
        **learned(crf),
    }


def _separate_or_learned(model, variant, seed, data, settings):
    """The network of a variant and its CRF: what it has learned, or one that is searched for it anew."""
    if variant.trained in ("crf", "everything"):
        return without_crf(model), model.get_layer("crf"), start(seed, data, settings)[1]
    first, network = settings["crf"], model
    if variant.trained == "network":
        first, network = scoring.best(start(seed, data, settings)[1], SEARCHED), without_crf(model)
    found = search(data["val"], network, settings, first)
    crf, classes = MeanFieldRNN(**scoring.best(found, SEARCHED)), len(datasets.spec("toycam"))
    crf.build([(None, None, None, classes), (None, None, None, 3)])
    return network, crf, found


def start(seed: int, data: Mapping, settings: Mapping) -> tuple[keras.Model, list[dict[str, float]]]:
    """The FCN-8s that the variants of a seed go on from, and the search for its CRF; both are kept."""
    folder = store.scratch("crf-rnn", "start", seed, settings)
    training.set_seed(seed)
    with training.precision(settings["precision"]):
        model = fcn8s(classes=len(datasets.spec("toycam")), **settings["network"])
    transplant(vgg16_toycam.classifier(settings["network"]["width"]), model)
    own = {**settings, **settings["start"]}
    optimizer = keras.optimizers.Adam(training.poly(own["learning_rate"], own["steps"]))
    fitting.rounds(model, optimizer, data, own, seed, own["steps"], own["round_steps"], folder / "network")
    path = folder / "search.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write(path, {"found": search(data["val"], model, settings, settings["crf"])})
    return model, json.loads(path.read_text())["found"]


def search(
    val: Sequence[np.ndarray], network: keras.Model, settings: Mapping, first: Mapping[str, float]
) -> list[dict[str, float]]:
    """The mean IoU of a network with separate CRFs, from `first` on, as `coordinates.climb` tries them."""
    judge = SeparateCRF(val, network, settings)
    return coordinates.climb(first, settings["search_factor"], settings["most_searched"], judge)


class SeparateCRF:
    """Called with the parameters of a CRF, `SEARCHED`, it gives the mean IoU of a network that it follows.

    Args:
        val: (images, labels), of which the first `search_scenes` count.
        network: gives logits.
        settings: `search_scenes`, `search_iterations` and `batch`.
    """

    def __init__(self, val: Sequence[np.ndarray], network: keras.Model, settings: Mapping) -> None:
        images, labels = (values[: settings["search_scenes"]] for values in val)
        logits = scoring.logits_of(network, images, settings["batch"])
        pieces = [slice(i, i + settings["batch"]) for i in range(0, len(images), settings["batch"])]
        self.parts = [(images[piece], labels[piece], logits[piece]) for piece in pieces]
        self.iterations = settings["search_iterations"]
        self.bandwidths = self.filters = None  # the last ones: kernels cost more than weights

    def __call__(self, *, spatial_weight: float, bilateral_weight: float, **bandwidths: float) -> float:
        """The mean IoU, 0..1."""
        if bandwidths != self.bandwidths:
            self.bandwidths, self.filters = bandwidths, [kernels(x, **bandwidths) for x, *_ in self.parts]
        matrix = 0
        for (_, labels, logits), filters in zip(self.parts, self.filters, strict=True):
            pairwise = list(zip((spatial_weight, bilateral_weight), filters, strict=True))
            scores = mean_field(logits, pairwise, iterations=self.iterations)
            counts = metrics.confusion_matrix(labels, ops.argmax(scores, -1), logits.shape[-1])
            matrix = matrix + ops.convert_to_numpy(counts).astype("int64")
        return metrics.scores(matrix)["miou"]


def kernels(images: np.ndarray, sigma_spatial: float, sigma_xy: float, sigma_rgb: float) -> tuple:
    """The spatial and the bilateral filter of some images, both averages."""
    spatial = SpatialFilter(*images.shape[1:3], sigma_spatial)
    bilateral = BilateralFilter(images, sigma_xy, sigma_rgb)
    return normalized(spatial, images, "after"), normalized(bilateral, images, "after")


def with_crf(
    source: keras.Model, crf: Mapping, classes: int, settings: Mapping, iterations: int = 5
) -> keras.Model:
    """A new `crf_rnn` with the network of `source`, an `fcn8s` or `crf_rnn`, and a CRF as it starts."""
    with training.precision(settings["precision"]):
        model = crf_rnn(
            classes=classes, crf={"training_iterations": iterations, **crf}, **settings["network"]
        )
    start_from_fcn8s(model, source if source.name == "fcn8s" else without_crf(source))
    return model


def student(model: keras.Model, trained: str, settings: Mapping) -> tuple[keras.Model, dict | None]:
    """What of a `crf_rnn` is trained, "network", "crf" or "everything", and the factors of learning rates."""
    if trained == "network":
        return without_crf(model), None
    for layer in model.layers if trained == "crf" else ():
        layer.trainable = layer.name == "crf"
    return model, {"crf": settings["crf_learning_rate_factor"]}


def train(
    variant: Variant, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    Returns:
        a `crf_rnn`, or lesson 00's network, with its last weights; and the history by round.
    """
    classes = len(datasets.spec("toycam"))
    optimizer, round_steps = keras.optimizers.Adam(training.poly(rate, steps)), settings["round_steps"]
    if variant.trained is None:
        training.set_seed(seed)
        model = small_network(classes, input_shape=(None, None, 3))
        return model, fitting.rounds(model, optimizer, data, settings, seed, steps, round_steps, folder)
    network, found = start(seed, data, settings)
    crf = {**scoring.best(found, SEARCHED), "per_class": variant.per_class}
    training.set_seed(seed)
    model = with_crf(network, crf, classes, settings, variant.iterations)
    part, factors = student(model, variant.trained, settings)
    options = {"lr_factors": factors}
    return model, fitting.rounds(
        part, optimizer, data, settings, 1000 * seed, steps, round_steps, folder, **options
    )


def measure(labels: np.ndarray, maps: Sequence[np.ndarray], classes: int) -> dict[str, Any]:
    """Scores of the label maps after each iteration: the mean IoU of all, everything of three of them."""
    matrices = [metrics.confusion_matrix(labels, predictions, classes) for predictions in maps]
    return {
        "miou": [metrics.scores(matrix)["miou"] for matrix in matrices],
        "iterations": {t: scoring.scores(labels, maps[t], classes, scoring.BANDS) for t in (0, 5, 10)},
    }


def maps_by_iteration(
    network: keras.Model, crf: MeanFieldRNN, images: np.ndarray, batch: int, most: int = 10
) -> list[np.ndarray]:
    """Label maps of a network and its CRF after 0, 1, ... `most` iterations: list of uint8 [N, H, W]."""
    maps = [[] for _ in range(most + 1)]
    for i in range(0, len(images), batch):
        logits = scores = network(images[i : i + batch], training=False)
        filters = crf.filters(images[i : i + batch])
        for iteration in range(most + 1):
            maps[iteration].append(ops.convert_to_numpy(ops.argmax(scores, -1)).astype("uint8"))
            if iteration < most:
                scores = crf.step(scores, logits, filters)
    return [np.concatenate(parts) for parts in maps]


def learned(crf: MeanFieldRNN) -> dict[str, Any]:
    """A CRF: its three matrices, float32 [C, C], and the arguments that it is built with."""
    matrices = {weight.name: ops.convert_to_numpy(weight) for weight in crf.weights}
    return {**matrices, "crf": {name: crf.get_config()[name] for name in SEARCHED}}


# Reading the stored result, whichever parts it has


def learned_changes(result: Mapping, variant: str = "joint") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What joint training changed in the score that a message of each class (column) adds to each (row).

    Returns:
        "spatial" and "bilateral", the kernels -> the mean over the seeds, [C, C] in logits, each column less
        its own mean, which the softmax does not see; and whether the seeds agree about the sign, bool [C, C].
    """
    changes = {}
    for kernel in ("spatial", "bilateral"):
        seeds = np.array([_learned_change(part, kernel) for part in reading.of(result, variant)])
        changes[kernel] = seeds.mean(0), (np.sign(seeds) == np.sign(seeds[0])).all(0)
    return changes


def _learned_change(part, kernel):
    effect = -np.array(part["compatibility"]) @ np.array(part[f"{kernel}_weights"])
    change = effect - part["crf"][f"{kernel}_weight"] * np.eye(len(effect))
    return change - change.mean(0)


def per_seed(result: Mapping, score: str) -> dict[str, list]:
    """A score of each row of the table whose variant is stored: dict row -> list over the seeds."""
    known = reading.stored(result, tuple(VARIANTS))
    return {
        row: reading.per_seed(result, [variant], "iterations", iterations, score)[variant]
        for row, (variant, iterations) in ROWS.items()
        if variant in known
    }


def table(result: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict row -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(result, score) for score in SCORES})


def gains(result: Mapping, pairs: Sequence[tuple[str, str]] = CLAIMS) -> dict[tuple[str, str], np.ndarray]:
    """What the first row of each pair has over the second in mIoU, in percent: dict pair -> [seeds]."""
    values = {row: 100 * np.array(numbers, float) for row, numbers in per_seed(result, "miou").items()}
    return {(one, other): values[one] - values[other] for one, other in pairs if {one, other} <= set(values)}


def by_iterations(result: Mapping, variants: Sequence[str] = tuple(VARIANTS)) -> dict[str, np.ndarray]:
    """The mIoU after 0, 1, ... 10 iterations at test: dict variant -> [seeds, 11], in 0..1."""
    return {v: np.array(rows) for v, rows in reading.per_seed(result, variants, "miou").items()}


def searches(result: Mapping, variant: str) -> list[tuple[dict[str, float], int, bool]]:
    """The separate CRF that was found for each seed: (parameters, points tried, whether it lies inside)."""
    factor = result["settings"]["search_factor"]
    return [
        (
            scoring.best(part["search"], SEARCHED),
            len(part["search"]),
            coordinates.is_inside(part["search"], factor),
        )
        for part in reading.of(result, variant)
    ]


def report(result: Mapping) -> str:
    """The table, paired differences, learning rates and the separate CRFs, in words."""
    lines = [*reading.table_text(table(result)), "", *reading.gains_text(gains(result), "mIoU"), ""]
    lines += reading.rates_text(reading.learning_rates(result, tuple(VARIANTS)))
    for variant in reading.stored(result, ("network", STARTER)):
        for seed, (crf, tried, inside) in zip(reading.SEEDS, searches(result, variant), strict=True):
            values = ", ".join(f"{name} {value:.2g}" for name, value in crf.items())
            where = "inside" if inside else "at the edge of what was tried"
            lines.append(f"separate CRF of {variant}, seed {seed}: {values}; {tried} tried, {where}")
    return "\n".join(lines)


STUDY = Study(
    title="FCN-8s alone, with a separate CRF and trained jointly with it, at equal steps on ToyCam",
    cost="about 55 minutes on two CPU cores with AVX2",
    settings={
        "network": {"width": 0.25, "padding": "same", "fc6_size": 3},
        "precision": "float32",
        "start": {"steps": 800, "round_steps": 200, "batch": 8, "learning_rate": 1e-3},
        "steps": 200,
        "round_steps": 100,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 100,
        "learning_rates": [3e-4, 1e-3, 3e-3],
        "most_rates": 6,
        "crf_learning_rate_factor": 100.0,
        # As many pictures as the FCN-8s sees from its start on.
        "starter": {"steps": 900, "round_steps": 100, "batch": 8, "rate_steps": 300},
        "crf": {
            "sigma_spatial": 0.8,
            "sigma_xy": 10.0,
            "sigma_rgb": 10.0,
            "spatial_weight": 3.0,
            "bilateral_weight": 5.0,
        },
        "search_factor": 1.5,
        "most_searched": 80,
        "search_scenes": 24,
        "search_iterations": 5,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(tuple(VARIANTS)),
    run=_run,
    version=2,
    probed=("joint-per-class-1", "network-1", "starter-1"),
)

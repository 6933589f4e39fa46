"""CRF-as-RNN's claim on ToyCam (Zheng et al. 2015, Table 1): network < with separate CRF < trained jointly.

For each seed one FCN-8s is trained and a CRF for it is chosen on validation scenes. From that one state every
variant goes on for the same steps on the same batches; they differ in what is trained, and through how many
iterations. Scored are the test scenes, after every iteration from 0 (the network alone) to 10.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.layers.crf import BilateralFilter, SpatialFilter, mean_field, normalized
from segcourse.models.crf_rnn import crf_rnn, start_from_fcn8s, without_crf
from segcourse.models.fcn import fcn8s
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, scoring

SEARCHED = ("sigma_xy", "sigma_rgb", "spatial_weight", "bilateral_weight")
# What is trained, and the iterations in training.
VARIANTS = {
    "network": ("network", 0),
    "joint": ("everything", 5),
    "joint, 10 in training": ("everything", 10),
    "only the CRF": ("crf", 5),
}


def _run(seed, settings):
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    seed, classes = int(seed), len(datasets.spec("toycam"))
    start = _fcn8s(data["train"], seed, classes, settings)
    results = {"search": search(data["val"], start, classes, settings)}
    crf = scoring.best(results["search"], SEARCHED)
    for variant, (trained, iterations) in VARIANTS.items():
        model = train(start, crf, trained, iterations, data["train"], seed, classes, settings)
        if variant == "network":
            # The separate CRF is chosen anew for the network as it is now.
            results["search again"] = search(data["val"], without_crf(model), classes, settings)
            model = with_crf(model, scoring.best(results["search again"], SEARCHED), classes, settings)
        maps = maps_by_iteration(model, data["test"][0], settings["batch"])
        results[variant] = {**measure(data["test"][1], maps, classes), **learned(model)}
    return results


def _fcn8s(train, seed, classes, settings):
    """The FCN-8s that everything starts from, trained in one go from the classifier of lesson 01."""
    training.set_seed(seed)
    classifier = vgg16_toycam.classifier(settings["network"]["width"])
    with training.precision(settings["precision"]):
        model = fcn8s(classes=classes, **settings["network"])
    transplant(classifier, model)
    fitting.fit(model, train, {**settings, **settings["start"]}, seed)
    return model


def search(
    val: Sequence[np.ndarray], network: keras.Model, classes: int, settings: dict
) -> list[dict[str, float]]:
    """The mean IoU of a network with each CRF of the grid: a list of dicts, the parameters and "miou"."""
    images, labels = (values[: settings["search_scenes"]] for values in val)
    logits, grid, results = scoring.logits_of(network, images, settings["batch"]), settings["grid"], []
    for widths in scoring.grid({name: grid[name] for name in SEARCHED[:2]}):
        counts = {}
        for i in range(0, len(images), settings["batch"]):
            part = slice(i, i + settings["batch"])
            kernels = _kernels(images[part], settings["sigma_spatial"], **widths)
            for weights in itertools.product(*(grid[name] for name in SEARCHED[2:])):
                pairwise = list(zip(weights, kernels, strict=True))
                scores = mean_field(logits[part], pairwise, iterations=settings["search_iterations"])
                matrix = metrics.confusion_matrix(labels[part], ops.argmax(scores, -1), classes)
                counts[weights] = counts.get(weights, 0) + ops.convert_to_numpy(matrix).astype("int64")
        for weights, matrix in counts.items():
            parameters = {**widths, **dict(zip(SEARCHED[2:], weights, strict=True))}
            results.append({**parameters, "miou": metrics.scores(matrix)["miou"]})
    return results


def _kernels(images, sigma_spatial, sigma_xy, sigma_rgb):
    spatial = SpatialFilter(*images.shape[1:3], sigma_spatial)
    bilateral = BilateralFilter(images, sigma_xy, sigma_rgb)
    return normalized(spatial, images, "after"), normalized(bilateral, images, "after")


def with_crf(
    source: keras.Model, crf: dict, classes: int, settings: dict, iterations: int = 5
) -> keras.Model:
    """A new `crf_rnn` with the network of `source`, an `fcn8s` or `crf_rnn`, and a CRF as it starts."""
    crf = {"sigma_spatial": settings["sigma_spatial"], "training_iterations": iterations, **crf}
    with training.precision(settings["precision"]):
        model = crf_rnn(classes=classes, crf=crf, **settings["network"])
    start_from_fcn8s(model, source if source.name == "fcn8s" else without_crf(source))
    return model


def train(
    start: keras.Model,
    crf: dict,
    trained: str,
    iterations: int,
    data: Sequence[np.ndarray],
    seed: int,
    classes: int,
    settings: dict,
) -> keras.Model:
    """Go on from one state: train the network alone, everything, or the CRF alone; returns a `crf_rnn`."""
    training.set_seed(seed)
    model = with_crf(start, crf, classes, settings, iterations)
    student = without_crf(model) if trained == "network" else model
    for layer in model.layers if trained == "crf" else ():
        layer.trainable = layer.name == "crf"
    factors = {"crf": settings["crf_learning_rate_factor"]} if student is model else None
    fitting.fit(student, data, settings, 1000 * seed, lr_factors=factors)
    return model


def measure(labels: np.ndarray, maps: Sequence[np.ndarray], classes: int) -> dict[str, Any]:
    """Scores of the label maps after each iteration: the mean IoU of all, everything of three of them."""
    matrices = [metrics.confusion_matrix(labels, predictions, classes) for predictions in maps]
    return {
        "miou": [metrics.scores(matrix)["miou"] for matrix in matrices],
        "iterations": {t: scoring.scores(labels, maps[t], classes, scoring.BANDS) for t in (0, 5, 10)},
    }


def maps_by_iteration(model: keras.Model, images: np.ndarray, batch: int, most: int = 10) -> list[np.ndarray]:
    """Label maps of a `crf_rnn` after 0, 1, ... `most` iterations: list of uint8 [N, H, W]."""
    network, crf = without_crf(model), model.get_layer("crf")
    maps = [[] for _ in range(most + 1)]
    for i in range(0, len(images), batch):
        logits = scores = network(images[i : i + batch], training=False)
        filters = crf.filters(images[i : i + batch])
        for iteration in range(most + 1):
            maps[iteration].append(ops.convert_to_numpy(ops.argmax(scores, -1)).astype("uint8"))
            if iteration < most:
                scores = crf.step(scores, logits, filters)
    return [np.concatenate(parts) for parts in maps]


def learned(model: keras.Model) -> dict[str, Any]:
    """The CRF of a `crf_rnn`: its three matrices, float32 [C, C], and the arguments that it is built with."""
    crf = model.get_layer("crf")
    matrices = {weight.name: ops.convert_to_numpy(weight) for weight in crf.weights}
    return {**matrices, "crf": {name: crf.get_config()[name] for name in (*SEARCHED, "sigma_spatial")}}


def learned_changes(stored: Mapping) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What joint training changed in the score that a message of each class (column) adds to each (row).

    Returns:
        "spatial" and "bilateral", the kernels -> the mean over the seeds, [C, C] in logits, each column less
        its own mean, which the softmax does not see; and whether the seeds agree about the sign, bool [C, C].
    """
    changes = {}
    for kernel in ("spatial", "bilateral"):
        seeds = np.array(scoring.by_seed(stored, lambda part, k=kernel: _learned_change(part["joint"], k)))
        changes[kernel] = seeds.mean(0), (np.sign(seeds) == np.sign(seeds[0])).all(0)
    return changes


def _learned_change(variant, kernel):
    effect = -np.array(variant["compatibility"]) @ np.array(variant[f"{kernel}_weights"])
    change = effect - variant["crf"][f"{kernel}_weight"] * np.eye(len(effect))
    return change - change.mean(0)


def per_seed(stored: Mapping, score: str) -> dict[str, list]:
    """A score of each step of the claim: dict name -> list over the seeds."""
    steps = {
        "network": ("network", "0"),
        "network + separate CRF": ("network", "10"),
        "only the CRF trained": ("only the CRF", "10"),
        "joint training": ("joint", "10"),
        "joint, 5 at test": ("joint", "5"),
        "joint, 10 in training": ("joint, 10 in training", "10"),
    }
    return {
        name: scoring.by_seed(stored, lambda part, v=variant, i=iterations: part[v]["iterations"][i][score])
        for name, (variant, iterations) in steps.items()
    }


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict name -> score -> (mean, spread)."""
    names = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")
    return scoring.table({name: per_seed(stored, name) for name in names})


STUDY = Study(
    title="FCN-8s alone, with a separate CRF and trained jointly with it, at equal steps on ToyCam",
    cost="about 20 minutes on two CPU cores with bfloat16 units",
    settings={
        "network": {"width": 0.25, "padding": "same", "fc6_size": 3},
        "precision": "mixed_bfloat16",
        "start": {"epochs": 8, "batch": 8, "learning_rate": 1e-3},
        "epochs": 1,
        "batch": 4,
        "learning_rate": 3e-4,
        "crf_learning_rate_factor": 100.0,
        "sigma_spatial": 0.8,
        "grid": {
            "sigma_xy": [10.0, 20.0],
            "sigma_rgb": [10.0],
            "spatial_weight": [1.0, 3.0],
            "bilateral_weight": [2.0, 5.0, 10.0],
        },
        "search_scenes": 24,
        "search_iterations": 5,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

"""CRF-as-RNN's claim on ToyCam (Zheng et al. 2015, Table 1): network < with separate CRF < trained jointly.

For each seed one FCN-8s is trained and a CRF for it is chosen on validation scenes. From that one state every
variant goes on for the same steps on the same batches; they differ in what is trained, and through how many
iterations. Scored are the test scenes, after every iteration from 0 (the network alone) to 10.
"""

import itertools

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import vgg16
from segcourse.layers.crf import BilateralFilter, SpatialFilter, mean_field, normalized
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.crf_rnn import crf_rnn, start_from_fcn8s, without_crf
from segcourse.models.fcn import fcn8s
from segcourse.paths import data_file
from segcourse.studies import Study, vgg16_toycam

WIDTHS = (1, 2, 4, 8, 16)  # pixels, half widths of the bands around true outlines
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
    crf = best(results["search"])
    for variant, (trained, iterations) in VARIANTS.items():
        model = train(start, crf, trained, iterations, data["train"], seed, classes, settings)
        if variant == "network":
            # The separate CRF is chosen anew for the network as it is now.
            results["search again"] = search(data["val"], without_crf(model), classes, settings)
            model = with_crf(model, best(results["search again"]), classes, settings)
        maps = maps_by_iteration(model, data["test"][0], settings["batch"])
        results[variant] = {**measure(data["test"][1], maps, classes), **learned(model)}
    return results


def _fcn8s(train, seed, classes, settings):
    """The FCN-8s that everything starts from, trained in one go from the classifier of lesson 01."""
    training.set_seed(seed)
    classifier = vgg16((96, 96, 3), classes, settings["network"]["width"])
    classifier.load_weights(data_file(f"weights/{vgg16_toycam.WEIGHTS}"))
    with training.precision(settings["precision"]):
        model = fcn8s(classes=classes, **settings["network"])
    transplant(classifier, model)
    batch = settings["start"]["batch"]
    steps = settings["start"]["epochs"] * (len(train[0]) // batch)
    optimizer = keras.optimizers.Adam(training.poly(settings["start"]["learning_rate"], steps))
    training.compile(model, optimizer, MaskedCrossEntropy())
    data = datasets.epochs(*train, batch, augment=datasets.Augment(**settings["augment"]), seed=seed)
    training.fit(model, data, epochs=settings["start"]["epochs"])
    return model


def search(val, network, classes, settings):
    """The mean IoU of a network with each CRF of the grid: a list of dicts, the parameters and "miou"."""
    images, labels = (values[: settings["search_scenes"]] for values in val)
    logits, grid, results = logits_of(network, images, settings["batch"]), settings["grid"], []
    for widths in itertools.product(grid["sigma_xy"], grid["sigma_rgb"]):
        counts = {}
        for i in range(0, len(images), settings["batch"]):
            part = slice(i, i + settings["batch"])
            kernels = _kernels(images[part], *widths, settings["sigma_spatial"])
            for weights in itertools.product(grid["spatial_weight"], grid["bilateral_weight"]):
                pairwise = list(zip(weights, kernels, strict=True))
                scores = mean_field(logits[part], pairwise, iterations=settings["search_iterations"])
                matrix = metrics.confusion_matrix(labels[part], ops.argmax(scores, -1), classes)
                counts[weights] = counts.get(weights, 0) + ops.convert_to_numpy(matrix).astype("int64")
        for weights, matrix in counts.items():
            parameters = dict(zip(SEARCHED, (*widths, *weights), strict=True))
            results.append({**parameters, "miou": metrics.scores(matrix)["miou"]})
    return results


def _kernels(images, sigma_xy, sigma_rgb, sigma_spatial):
    spatial = SpatialFilter(*images.shape[1:3], sigma_spatial)
    bilateral = BilateralFilter(images, sigma_xy, sigma_rgb)
    return normalized(spatial, images, "after"), normalized(bilateral, images, "after")


def best(found):
    """The searched parameters with the highest mean IoU."""
    first = max(found, key=lambda row: row["miou"])
    return {name: first[name] for name in SEARCHED}


def logits_of(network, images, batch):
    """Logits of all images, float32 [N, H, W, C]."""
    parts = [network(images[i : i + batch], training=False) for i in range(0, len(images), batch)]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def with_crf(source, crf, classes, settings, iterations=5):
    """A new `crf_rnn` with the network of `source`, an `fcn8s` or `crf_rnn`, and a CRF as it starts."""
    crf = {"sigma_spatial": settings["sigma_spatial"], "training_iterations": iterations, **crf}
    with training.precision(settings["precision"]):
        model = crf_rnn(classes=classes, crf=crf, **settings["network"])
    start_from_fcn8s(model, source if source.name == "fcn8s" else without_crf(source))
    return model


def train(start, crf, trained, iterations, data, seed, classes, settings):
    """Go on from one state: train the network alone, everything, or the CRF alone; returns a `crf_rnn`."""
    training.set_seed(seed)
    model = with_crf(start, crf, classes, settings, iterations)
    student = without_crf(model) if trained == "network" else model
    for layer in model.layers if trained == "crf" else ():
        layer.trainable = layer.name == "crf"
    batch, epochs = settings["batch"], settings["epochs"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(data[0]) // batch))
    factors = {"crf": settings["crf_learning_rate_factor"]} if student is model else None
    training.compile(student, keras.optimizers.Adam(schedule), MaskedCrossEntropy(), lr_factors=factors)
    augment = datasets.Augment(**settings["augment"])
    training.fit(student, datasets.epochs(*data, batch, augment=augment, seed=1000 * seed), epochs=epochs)
    return model


def measure(labels, maps, classes):
    """Scores of the label maps after each iteration: the mean IoU of all, everything of three of them."""
    matrices = [metrics.confusion_matrix(labels, predictions, classes) for predictions in maps]
    return {
        "miou": [metrics.scores(matrix)["miou"] for matrix in matrices],
        "iterations": {t: _scores(labels, maps[t], classes) for t in (0, 5, 10)},
    }


def _scores(labels, predictions, classes):
    scores = metrics.scores(metrics.confusion_matrix(labels, predictions, classes))
    bands = {w: metrics.trimap_iou(labels, predictions, classes, width=w) for w in WIDTHS}
    return {**scores, "boundary_f1": metrics.boundary_f1(labels, predictions, classes), "trimap_iou": bands}


def maps_by_iteration(model, images, batch, most=10):
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


def learned(model):
    """The CRF of a `crf_rnn`: its three matrices, float32 [C, C], and the arguments that it is built with."""
    crf = model.get_layer("crf")
    matrices = {weight.name: ops.convert_to_numpy(weight) for weight in crf.weights}
    return {**matrices, "crf": {name: crf.get_config()[name] for name in (*SEARCHED, "sigma_spatial")}}


def per_seed(stored, score):
    """A score of each step of the claim: dict name -> list over the seeds."""
    steps = {
        "network": ("network", "0"),
        "network + separate CRF": ("network", "10"),
        "only the CRF trained": ("only the CRF", "10"),
        "joint training": ("joint", "10"),
        "joint, 5 at test": ("joint", "5"),
        "joint, 10 in training": ("joint, 10 in training", "10"),
    }
    seeds = stored["results"].values()
    return {
        name: [seed[variant]["iterations"][iterations][score] for seed in seeds]
        for name, (variant, iterations) in steps.items()
    }


def table(stored):
    """Mean and standard deviation over the seeds, in percent: dict name -> score -> (mean, spread)."""
    names = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")
    scores = {name: per_seed(stored, name) for name in names}
    return {
        step: {n: (100 * np.mean(scores[n][step]), 100 * np.std(scores[n][step], ddof=1)) for n in names}
        for step in scores["miou"]
    }


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
        "augment": {
            "scale": [1.0, 1.0],
            "brightness": 0.1,
            "contrast": 0.1,
            "saturation": 0.1,
            "hue": 0.0,
            "blur": 0.0,
        },
        "toycam_version": toycam.VERSION,
    },
    code=(
        "models/crf_rnn.py",
        "models/fcn.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "layers/crf/exact.py",
        "layers/crf/spatial.py",
        "layers/crf/lattice.py",
        "layers/crf/mean_field.py",
        "layers/crf/recurrent.py",
        "encoders/transfer.py",
        "encoders/vgg.py",
        "losses/cross_entropy.py",
        "metrics/confusion.py",
        "metrics/boundaries.py",
        "datasets/augment.py",
        "studies/crf_rnn.py",
    ),
    parts=("1", "2", "3"),
    run=_run,
)

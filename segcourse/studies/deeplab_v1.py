"""DeepLab's claim on ToyCam: a larger field of view at the same weights and cost (Chen et al. 2015, Table 2).

One network, LargeFOV, on scenes of two sizes; for each size only the rate of the holes in fc6 differs. Steps,
batches, learning rates and first weights (VGG16 from ToyCam windows, the rest from the seed) are the same.
"""

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import vgg16
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features, shrink
from segcourse.paths import data_file
from segcourse.studies import Study, vgg16_toycam

SCORES = ("pixel_accuracy", "miou", "boundary_f1")


def _run(seed, settings):
    return {
        name: {f"rate {rate}": _one(size, rate, int(seed), settings) for rate in rates}
        for name, (size, rates) in settings["scenes"].items()
    }


def _one(size, rate, seed, settings):
    """Train and score one network on scenes of this size."""
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "test")}
    model, history = train(data["train"], seed, settings, rate=rate)
    images, labels = data["test"]
    classes = len(datasets.spec("toycam"))
    scores = prediction.evaluate(model, images, labels, classes)
    predictions = prediction.predict(model, images)
    outlines = metrics.boundary_f1(labels, predictions, classes)
    return {**scores, "boundary_f1": outlines, "training_loss": history["loss"]}


def train(data, seed, settings, **options):
    """A LargeFOV trained on (images, labels), and its history; the options go to `deeplab_v1`."""
    training.set_seed(seed)
    classes = len(datasets.spec("toycam"))
    with training.precision(settings["precision"]):
        model = deeplab_v1(classes=classes, width=settings["width"], **options)
    transplant(classifier(settings["width"]), features(model))
    net, epochs, batch = coarse(model), settings["epochs"], settings["batch"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(data[0]) // batch))
    training.compile(net, keras.optimizers.Adam(schedule), MaskedCrossEntropy())
    batches = datasets.epochs(*data, batch, augment=datasets.Augment(**settings["augment"]), seed=seed)
    return model, training.fit(net, lambda epoch: batches(epoch).map(_shrunk), epochs=epochs)


def _shrunk(images, labels):
    return images, shrink(labels)


def classifier(width):
    """The VGG16 of lesson 01, trained on ToyCam windows."""
    model = vgg16((96, 96, 3), len(datasets.spec("toycam")), width)
    model.load_weights(data_file(f"weights/{vgg16_toycam.WEIGHTS}"))
    return model


def per_seed(stored, scenes, score):
    """A score of each rate on one size of scenes: dict rate -> list over the seeds."""
    seeds = [results[scenes] for results in stored["results"].values()]
    return {rate: [seed[rate][score] for seed in seeds] for rate in seeds[0]}


def class_iou(stored, scenes):
    """Per-class IoU averaged over the seeds: dict rate -> float array [classes]."""
    return {rate: np.array(rows, float).mean(0) for rate, rows in per_seed(stored, scenes, "iou").items()}


def table(stored, scenes):
    """Mean and standard deviation over the seeds, in percent: dict rate -> score -> (mean, spread)."""
    seeds = {score: per_seed(stored, scenes, score) for score in SCORES}
    return {
        rate: {s: (100 * np.mean(seeds[s][rate]), 100 * np.std(seeds[s][rate], ddof=1)) for s in SCORES}
        for rate in seeds["miou"]
    }


STUDY = Study(
    title="LargeFOV at several rates of fc6, at equal steps on ToyCam scenes of two sizes",
    cost="about 20 minutes on two CPU cores with bfloat16 units, twice that without",
    settings={
        "width": 0.25,
        "precision": "mixed_bfloat16",
        "epochs": 4,
        "learning_rate": 1e-3,
        "batch": 8,
        "scenes": {
            "192x256": [[192, 256], [1, 4, 8, 12]],
            "96x128": [[96, 128], [1, 4, 12]],
        },
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
        "models/deeplab_v1.py",
        "models/fcn.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "encoders/transfer.py",
        "encoders/vgg.py",
        "losses/cross_entropy.py",
        "metrics/confusion.py",
        "metrics/boundaries.py",
        "datasets/augment.py",
        "studies/deeplab_v1.py",
    ),
    parts=("1", "2", "3"),
    run=_run,
)

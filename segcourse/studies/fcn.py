"""FCN's claim on ToyCam (Long et al. 2015, Table 2): skips help, fine-tuning helps more, at equal steps.

Every variant is trained in three stages of the same lengths and learning rates on the same batches. They
differ in what is added at the start of a stage (a skip or nothing) and in what may learn (everything or the
score layer alone).
"""

import keras
import numpy as np

from segcourse import datasets, metrics, training
from segcourse.datasets import toycam
from segcourse.encoders.vgg import vgg16
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s, transplant
from segcourse.paths import data_file
from segcourse.studies import Study, vgg16_toycam

# The network of each of the three stages.
VARIANTS = {
    "32s-fixed": (fcn32s, fcn32s, fcn32s),
    "32s": (fcn32s, fcn32s, fcn32s),
    "16s": (fcn32s, fcn16s, fcn16s),
    "8s": (fcn32s, fcn16s, fcn8s),
}


def _run(seed, settings):
    train, test = datasets.load("toycam", "train"), datasets.load("toycam", "test")
    classes = len(datasets.spec("toycam"))
    classifier = vgg16((96, 96, 3), classes, settings["width"])
    classifier.load_weights(data_file(f"weights/{vgg16_toycam.WEIGHTS}"))
    trained, results = {}, {}
    for variant, networks in VARIANTS.items():
        model = classifier
        for stage in range(3):
            path = (variant == "32s-fixed", *(network.__name__ for network in networks[: stage + 1]))
            if path not in trained:  # variants that begin alike share their first stages
                trained[path] = _stage(
                    model, networks[stage], stage, variant == "32s-fixed", train, int(seed), settings
                )
            model = trained[path]
        results[variant] = _measure(model, *test, classes)
    return results


def _stage(source, network, stage, fixed, train, seed, settings):
    """One stage of the training: the network takes over what `source` knows and goes on."""
    training.set_seed(1000 * seed + stage)
    options = {"padding": "same", "fc6_size": 3}
    model = network(classes=len(datasets.spec("toycam")), width=settings["width"], **options)
    transplant(source, model)
    if fixed:
        for layer in model.layers:
            layer.trainable = layer.name == "score_fr"
    epochs, batch = settings["epochs"][stage], settings["batch"]
    schedule = training.poly(settings["learning_rates"][stage], epochs * (len(train[0]) // batch))
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy())
    augment = datasets.Augment(**settings["augment"])
    data = datasets.epochs(*train, batch, augment=augment, seed=1000 * seed + stage)
    training.fit(model, data, epochs=epochs)
    return model


def _measure(model, images, labels, classes):
    scores = training.evaluate(model, images, labels, classes)
    predictions = training.predict(model, images)
    scores["boundary_f1"] = metrics.boundary_f1(labels, predictions, classes)
    scores["trimap_iou"] = {
        w: metrics.trimap_iou(labels, predictions, classes, width=w) for w in (1, 2, 4, 8, 16)
    }
    return scores


def per_seed(stored, score):
    """A score of each variant: dict variant -> list over the seeds."""
    return {v: [results[v][score] for results in stored["results"].values()] for v in VARIANTS}


def class_iou(stored):
    """Per-class IoU averaged over the seeds: dict variant -> float array [classes]."""
    return {v: np.array(rows, float).mean(0) for v, rows in per_seed(stored, "iou").items()}


def table(stored):
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    names = ("pixel_accuracy", "mean_accuracy", "miou", "fwiou", "boundary_f1")
    seeds = {name: per_seed(stored, name) for name in names}
    return {
        v: {n: (100 * np.mean(seeds[n][v]), 100 * np.std(seeds[n][v], ddof=1)) for n in names}
        for v in VARIANTS
    }


STUDY = Study(
    title="FCN-32s, 16s, 8s and 32s with only the last layer trained, at equal steps on ToyCam",
    cost="about 15 minutes on two CPU cores",
    settings={
        "width": 0.25,
        "epochs": [8, 4, 4],
        "learning_rates": [1e-3, 1e-3, 1e-3],
        "batch": 8,
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
        "models/fcn.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "encoders/vgg.py",
        "losses.py",
        "metrics.py",
        "datasets/augment.py",
        "studies/fcn.py",
    ),
    parts=("1", "2", "3"),
    run=_run,
)

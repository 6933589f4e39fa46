"""SegNet's decoder table on ToyCam (Badrinarayanan et al. 2015, Table 1), at equal budget for all decoders.

One encoder, nine ways to come back to full resolution; everything else is the same: batches, steps,
learning rates, seeds. The loss is balanced by the median frequency; two decoders are trained without
balancing as well.
"""

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy, median_frequency_weights
from segcourse.models.segnet import DECODERS, encoder_storage, segnet_basic
from segcourse.studies import Study

LOSSES = ("balanced", "natural")
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1")


def _run(seed, settings):
    data = {split: datasets.load("toycam", split) for split in ("train", "test")}
    return {
        loss: {decoder: _one(decoder, loss, data, int(seed), settings) for decoder in settings[loss]}
        for loss in LOSSES
    }


def _one(decoder, loss, data, seed, settings):
    """Train and score one network."""
    training.set_seed(seed)
    classes = len(datasets.spec("toycam"))
    with training.precision(settings["precision"]):
        model = segnet_basic(classes=classes, width=settings["width"], decoder=decoder)
    weights = median_frequency_weights(data["train"][1], classes) if loss == "balanced" else None
    epochs, batch = settings["epochs"], settings["batch"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(data["train"][0]) // batch))
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(class_weights=weights))
    augment = datasets.Augment(**settings["augment"])
    history = training.fit(
        model, datasets.epochs(*data["train"], batch, augment=augment, seed=seed), epochs=epochs
    )
    return {**_measure(model, *data["test"], classes), "training_loss": history["loss"]}


def _measure(model, images, labels, classes):
    scores = prediction.evaluate(model, images, labels, classes)
    predictions = prediction.predict(model, images)
    return {**scores, "boundary_f1": metrics.boundary_f1(labels, predictions, classes)}


def per_seed(stored, score, loss="balanced"):
    """A score of each decoder: dict decoder -> list over the seeds."""
    seeds = [results[loss] for results in stored["results"].values()]
    return {decoder: [seed[decoder][score] for seed in seeds] for decoder in seeds[0]}


def table(stored, loss="balanced"):
    """Mean and standard deviation over the seeds, in percent: dict decoder -> score -> (mean, spread)."""
    seeds = {score: per_seed(stored, score, loss) for score in SCORES}
    return {
        decoder: {
            s: (100 * np.mean(seeds[s][decoder]), 100 * np.std(seeds[s][decoder], ddof=1)) for s in SCORES
        }
        for decoder in seeds["miou"]
    }


def storage(size=(360, 480)):
    """Bytes that each decoder of the paper's width keeps from the encoder: dict decoder -> bytes."""
    with keras.StatelessScope(initialize_variables=False):
        return {name: encoder_storage(segnet_basic((*size, 3), decoder=name)) for name in DECODERS}


STUDY = Study(
    title="Nine decoders on SegNet-Basic's encoder, a quarter as wide, at equal steps on ToyCam",
    cost="about 30 minutes on two CPU cores with bfloat16 units, twice that without",
    settings={
        "width": 0.25,
        "precision": "mixed_bfloat16",
        "epochs": 4,
        "learning_rate": 5e-3,
        "batch": 8,
        "balanced": list(DECODERS),
        "natural": ["max-unpooling", "fcn-basic"],
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
        "models/segnet.py",
        "layers/unpooling.py",
        "layers/local_response.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "losses/balancing.py",
        "losses/cross_entropy.py",
        "metrics/confusion.py",
        "metrics/boundaries.py",
        "datasets/augment.py",
        "studies/segnet.py",
    ),
    parts=("1", "2", "3"),
    run=_run,
)

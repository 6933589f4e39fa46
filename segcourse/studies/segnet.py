"""SegNet's decoder table on ToyCam (Badrinarayanan et al. 2015, Table 1), at equal budget for all decoders.

One encoder, nine ways to come back to full resolution; everything else is the same: batches, steps, learning
rates, seeds. The loss is balanced by the median frequency; two decoders are trained without balancing too.
"""

from collections.abc import Mapping

import keras

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.losses import median_frequency_weights
from segcourse.models.segnet import DECODERS, segnet_basic
from segcourse.models.segnet_decoders import encoder_storage
from segcourse.studies import Study
from segcourse.studies.core import fitting, scoring

LOSSES = ("balanced", "natural")
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
    history = fitting.fit(model, data["train"], settings, seed, class_weights=weights)
    return {**scoring.measure(model, *data["test"], classes), "training_loss": history["loss"]}


def per_seed(stored: Mapping, score: str, loss: str = "balanced") -> dict[str, list]:
    """A score of each decoder: dict decoder -> list over the seeds."""
    decoders = stored["settings"][loss]
    return {
        name: scoring.by_seed(stored, lambda part, name=name: part[loss][name][score]) for name in decoders
    }


def table(stored: Mapping, loss: str = "balanced") -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict decoder -> score -> (mean, spread)."""
    return scoring.table({score: per_seed(stored, score, loss) for score in SCORES})


def storage(size: tuple[int, int] = (360, 480), width: float = 1.0) -> dict[str, int]:
    """What each decoder keeps from the encoder for an image of `size`: dict decoder -> bytes."""
    with keras.StatelessScope(initialize_variables=False):  # nobody needs the values of the weights
        networks = {name: segnet_basic((*size, 3), width=width, decoder=name) for name in DECODERS}
    return {name: encoder_storage(network) for name, network in networks.items()}


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
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

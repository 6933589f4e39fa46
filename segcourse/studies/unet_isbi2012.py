"""A laptop-sized U-Net on ISBI 2012, as in the paper: valid convolutions, no normalization, a tile a step."""

from typing import Any

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.datasets.borders import border_weights
from segcourse.datasets.elastic import Elastic
from segcourse.datasets.labels import instances_of
from segcourse.datasets.weighted import weighted_epochs
from segcourse.models.unet import unet
from segcourse.studies import Study
from segcourse.studies.core import fitting

WEIGHTS = "unet_isbi2012.weights.h5"
MARGIN = 92  # what the valid convolutions take from each side


def windows(pictures: np.ndarray, tile: int) -> np.ndarray:
    """Overlapping square windows of pictures [N, H, W, ...] that are mirrored at their edges.

    Their middles, without `MARGIN`, cover the pictures.
    """
    around = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)] + [(0, 0)] * (pictures.ndim - 3)
    padded = np.pad(pictures, around, mode="reflect")
    rows, columns = (
        np.linspace(0, side - tile, -(-(side - 2 * MARGIN) // (tile - 2 * MARGIN))).round().astype(int)
        for side in padded.shape[1:3]
    )
    return np.concatenate([padded[:, r : r + tile, c : c + tile] for r in rows for c in columns])


def _to_network(images, labels, weights):
    """One grey channel in, and what is wanted only where the network has an output."""
    return (
        images[..., :1],
        labels[:, MARGIN:-MARGIN, MARGIN:-MARGIN],
        weights[:, MARGIN:-MARGIN, MARGIN:-MARGIN],
    )


def _run(part, settings):
    training.set_seed(settings["seed"])
    images, labels = datasets.load("isbi2012", "train")
    weights = np.stack([border_weights(ids, **settings["weights"]) for ids in instances_of(labels)])
    tiles = [windows(array, settings["tile"]) for array in (images, labels, weights)]
    data = weighted_epochs(
        *tiles, settings["batch"], augment=Elastic(**settings["augment"]), seed=settings["seed"]
    )
    with training.precision(settings["precision"]):
        model = unet(**settings["network"])
    fitting.compile(model, settings, len(tiles[0]))
    history = training.fit(model, lambda epoch: data(epoch).map(_to_network), epochs=settings["epochs"])
    fitting.write_weights(model, WEIGHTS)
    plain = unet(**settings["network"])
    plain.set_weights(model.get_weights())
    return {**measure(plain, settings["score_tile"]), "training_loss": history["loss"]}


def probabilities(model: keras.Model, images: np.ndarray, tile: int) -> np.ndarray:
    """How likely every pixel is cell and no membrane: float32 [N, H, W]."""
    logits = np.stack([prediction.tiled_logits(model, image, tile) for image in images])
    return 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))


def measure(model: keras.Model, tile: int) -> dict[str, Any]:
    """Scores on the held-out slices: of the labels, and errors over thresholds on the probability of a cell.

    The challenge takes the best threshold for each of its errors; `rand_error` and `pixel_error` are at 0.5.
    """
    images, labels = datasets.load("isbi2012", "val")
    cell = probabilities(model, images[..., :1], tile)
    truth = instances_of(labels)
    scores = metrics.scores(metrics.confusion_matrix(labels, (cell > 0.5).astype("uint8"), 2))
    thresholds = np.round(np.arange(0.1, 1.0, 0.1), 1)
    rand = [_mean_rand(truth, cell > t) for t in thresholds]
    pixel = [float(((cell > t) != labels).mean()) for t in thresholds]
    return {
        **scores,
        "thresholds": thresholds,
        "rand_error_over_thresholds": rand,
        "pixel_error_over_thresholds": pixel,
        "rand_error": rand[4],
        "pixel_error": pixel[4],
    }


def _mean_rand(truth, cell):
    found = instances_of(cell.astype("uint8"))
    errors = [metrics.object_errors(*pair)["rand_error"] for pair in zip(truth, found, strict=True)]
    return float(np.mean(errors))


def _score(settings):
    model = fitting.read_weights(unet(**settings["network"]), WEIGHTS)
    return {"val": measure(model, settings["score_tile"])}


STUDY = Study(
    title="U-Net, a quarter as wide, valid convolutions, on 24 slices of ISBI 2012",
    cost="about 15 minutes on two CPU cores; needs ISBI 2012 (segcourse data get isbi2012)",
    settings={
        "network": {"width": 0.25},
        "precision": "mixed_bfloat16",
        "tile": 380,
        "score_tile": 572,
        "epochs": 8,
        "batch": 1,
        "learning_rate": 5e-4,
        "seed": 0,
        "weights": {"w0": 10.0, "sigma": 5.0},
        "augment": {"scale": [1.0, 1.0], "saturation": 0.0, "hue": 0.0, "blur": 0.0, "strength": 10.0},
    },
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

"""DeepLab's second claim on ToyCam: a fully connected CRF adds points, mostly at outlines (Chen et al. 2015).

The CRF's parameters are chosen on validation scenes, for each network by itself; the scores are those of the
test scenes, before and after.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.layers.crf import dense_crf
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, scoring
from segcourse.studies.core.scoring import BANDS, logits_of
from segcourse.studies.deeplab_v1 import shrunk

SEARCHED = ("w_bilateral", "sigma_xy", "sigma_rgb")


def _run(seed, settings):
    classes = len(datasets.spec("toycam"))
    data = {split: datasets.load("toycam", split) for split in ("train", "val", "test")}
    trained = _largefov(data["train"], int(seed), settings)
    model = deeplab_v1(classes=classes, width=settings["width"], rate=settings["rate"])  # in float32
    model.set_weights(trained.get_weights())
    found = search(*(x[: settings["search_scenes"]] for x in data["val"]), model, classes, settings)
    parameters = scoring.best(found, SEARCHED)
    return {"search": found, **before_and_after(*data["test"], model, classes, parameters, settings)}


def _largefov(train, seed, settings):
    """A LargeFOV trained on (images, labels), from lesson 01's classifier."""
    training.set_seed(seed)
    with training.precision(settings["precision"]):
        model = deeplab_v1(
            classes=len(datasets.spec("toycam")), width=settings["width"], rate=settings["rate"]
        )
    transplant(vgg16_toycam.classifier(settings["width"]), features(model))
    fitting.fit(coarse(model), train, settings, seed, prepare=shrunk)
    return model


def refine(images: np.ndarray, logits: np.ndarray, batch: int, **parameters: float) -> np.ndarray:
    """Label maps after the CRF, uint8 [N, H, W]."""
    parts = [
        ops.convert_to_numpy(dense_crf(images[i : i + batch], logits[i : i + batch], **parameters)).argmax(-1)
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(parts).astype("uint8")


def search(
    images: np.ndarray, labels: np.ndarray, model: keras.Model, classes: int, settings: dict
) -> list[dict[str, float]]:
    """The mean IoU for each combination on the grid: a list of dicts, the parameters and "miou"."""
    logits, results = logits_of(model, images, settings["batch"]), []
    for parameters in scoring.grid({name: settings["grid"][name] for name in SEARCHED}):
        predictions = refine(images, logits, settings["batch"], **parameters, **settings["fixed"])
        counts = metrics.confusion_matrix(labels, predictions, classes)
        results.append({**parameters, "miou": metrics.scores(counts)["miou"]})
    return results


def before_and_after(
    images: np.ndarray, labels: np.ndarray, model: keras.Model, classes: int, parameters: dict, settings: dict
) -> dict[str, dict]:
    """Scores of the network and of the network with the CRF: dict "before", "after" -> scores."""
    logits = logits_of(model, images, settings["batch"])
    after = refine(images, logits, settings["batch"], **parameters, **settings["fixed"])
    return {
        "parameters": parameters,
        "before": measure(labels, logits.argmax(-1), classes),
        "after": measure(labels, after, classes),
    }


def measure(labels: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, Any]:
    """All scores of label maps, with the mean IoU in bands and the accuracy by distance to an outline."""
    scores = scoring.scores(labels, predictions, classes, BANDS)
    return {**scores, "accuracy_by_distance": accuracy_by_distance(labels, predictions)}


def accuracy_by_distance(labels: np.ndarray, predictions: np.ndarray, void: int = 255) -> dict[str, list]:
    """Pixel accuracy in rings around the true outlines, and each ring's share of the pixels.

    Args:
        labels, predictions: integer ids [N, H, W].

    Returns:
        dict "up to w" (w of `BANDS`: at most w rows and w columns from a pixel of another class or void, and
        not in an earlier ring) and "beyond" -> [accuracy, share].
    """
    right, valid = labels == predictions, labels != void
    rings, inner = {}, np.zeros(labels.shape, bool)
    for width in BANDS:
        near = _near(labels, width)
        rings[f"up to {width}"] = near & ~inner & valid
        inner = near
    rings["beyond"] = ~inner & valid
    return {name: [right[ring].mean(), ring.sum() / valid.sum()] for name, ring in rings.items()}


def _near(labels, width):
    """Where a window of `width` pixels to each side holds more than one id: bool [N, H, W]."""
    ids = ops.cast(labels, "float32")[..., None]
    size = 2 * width + 1
    highest, lowest = (ops.max_pool(sign * ids, size, 1, "same") for sign in (1, -1))
    return ops.convert_to_numpy(highest != -lowest)[..., 0]


def per_seed(stored: Mapping, when: str, score: str) -> list:
    """A score "before" or "after" the CRF: list over the seeds."""
    return scoring.by_seed(stored, lambda part: part[when][score])


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: "before", "after", "gain" -> score -> pair."""
    values = {}
    for score in ("pixel_accuracy", "mean_accuracy", "miou", "boundary_f1"):
        before, after = (np.array(per_seed(stored, when, score)) for when in ("before", "after"))
        values[score] = {"before": before, "after": after, "gain": after - before}
    return scoring.table(values)


STUDY = Study(
    title="LargeFOV on ToyCam before and after a fully connected CRF",
    cost="about 6 minutes on two CPU cores with bfloat16 units, twice that without",
    settings={
        "rate": 4,
        "width": 0.25,
        "precision": "mixed_bfloat16",
        "epochs": 8,
        "learning_rate": 1e-3,
        "batch": 8,
        "augment": fitting.COLORS_ONLY,
        "search_scenes": 20,
        "grid": {"w_bilateral": [3, 6], "sigma_xy": [3, 5, 10], "sigma_rgb": [5, 10]},
        "fixed": {"w_spatial": 1, "sigma_spatial": 2, "iterations": 10},
        "toycam_version": toycam.VERSION,
    },
    parts=("1", "2", "3"),
    run=_run,
)

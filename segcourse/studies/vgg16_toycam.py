"""The classifier of lesson 01: a narrow VGG16 that names the class at the centre of a ToyCam window."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.vgg import MEAN_RGB, vgg16
from segcourse.studies import Study
from segcourse.studies.core import fitting

WEIGHTS = "vgg16_toycam.weights.h5"


def draw_windows(
    images: np.ndarray, labels: np.ndarray, count: int, side: int, seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Windows around random pixels, the classes drawn evenly.

    Args:
        images: uint8 [N, H, W, 3]; labels: uint8 [N, H, W].
        count: number of windows.
        side: height and width of a window; beyond the image there is the mean colour.

    Returns:
        uint8 [count, side, side, 3] and int32 [count], the class of each window's centre.
    """
    rng, half = np.random.default_rng(seed), side // 2
    canvas = np.empty((len(images), images.shape[1] + side, images.shape[2] + side, 3), "uint8")
    canvas[:] = np.round(MEAN_RGB).astype("uint8")
    canvas[:, half:-half, half:-half] = images
    classes = np.setdiff1d(np.unique(labels), [255])
    wanted = rng.choice(classes, count)
    where = np.empty((count, 3), int)
    for c in classes:
        pixels = np.argwhere(labels == c)
        where[wanted == c] = pixels[rng.integers(len(pixels), size=(wanted == c).sum())]
    windows = np.stack([canvas[n, row : row + side, column : column + side] for n, row, column in where])
    return windows, wanted.astype("int32")


def _run(part, settings):
    model = train(settings)
    fitting.write_weights(model, WEIGHTS)
    return measure(model, settings)


def train(settings: Mapping) -> keras.Model:
    """A classifier of windows of the split "train", by the settings of this study or others of their form."""
    training.set_seed(settings["seed"])
    side, batch = settings["window"], settings["batch"]
    model = vgg16((side, side, 3), len(datasets.spec("toycam")), settings["width"])
    steps = settings["epochs"] * (settings["windows_per_epoch"] // batch)
    optimizer = keras.optimizers.Adam(training.poly(settings["learning_rate"], steps))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile(model, optimizer, loss, metrics=["accuracy"])
    images, labels = datasets.load("toycam", "train")
    for epoch in range(settings["epochs"]):
        windows, classes = draw_windows(
            images, labels, settings["windows_per_epoch"], side, (settings["seed"], epoch)
        )
        windows[::2] = windows[::2, :, ::-1]
        model.fit(windows, classes, batch_size=batch, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
    return model


def measure(model: keras.Model, settings: dict) -> dict[str, Any]:
    """How often the classifier is right on windows of the split "val", in all and by class."""
    images, labels = datasets.load("toycam", "val")
    count, side = settings["test_windows"], settings["window"]
    windows, classes = draw_windows(images, labels, count, side, settings["seed"])
    right = model.predict(windows, verbose=0).argmax(-1) == classes
    return {
        "accuracy": right.mean(),
        "accuracy_by_class": [right[classes == c].mean() for c in np.unique(classes)],
    }


def classifier(width: float) -> keras.Model:
    """The trained classifier."""
    return fitting.read_weights(vgg16((96, 96, 3), len(datasets.spec("toycam")), width), WEIGHTS)


def _score(settings):
    return {"val": measure(classifier(settings["width"]), settings)}


STUDY = Study(
    title="VGG16, a quarter as wide, on balanced ToyCam windows",
    cost="about 4 minutes on two CPU cores",
    settings={
        "width": 0.25,
        "window": 96,
        "epochs": 12,
        "windows_per_epoch": 3200,
        "batch": 32,
        "learning_rate": 1e-3,
        "seed": 0,
        "test_windows": 2200,
        "toycam_version": toycam.VERSION,
    },
    parts=("classifier",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

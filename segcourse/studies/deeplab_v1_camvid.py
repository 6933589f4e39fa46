"""A laptop-sized LargeFOV on the photographs of CamVid, started from lesson 01's FCN-8s on the same."""

import keras
import numpy as np

from segcourse import datasets, training
from segcourse.encoders.transfer import transplant
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features
from segcourse.studies import Study, fcn8s_camvid
from segcourse.studies.core import fitting, scoring
from segcourse.studies.deeplab_v1 import shrunk

WEIGHTS = "deeplab_v1_camvid.weights.h5"


def held_out(settings: dict) -> np.ndarray:
    """Which training photographs are kept for choosing the CRF's parameters: bool [367]."""
    first, last = settings["held_out"]
    place = np.arange(367)
    return (first <= place) & (place < last)


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes = len(datasets.spec("camvid"))
    train = [x[~held_out(settings)] for x in datasets.load("camvid", "train")]
    with training.precision(settings["precision"]):
        model = deeplab_v1(classes=classes, width=settings["width"])
    transplant(fcn8s_camvid.network(), features(model))
    history = fitting.fit(coarse(model), train, settings, settings["seed"], prepare=shrunk)
    fitting.write_weights(model, WEIGHTS)
    scores = scoring.measure(network(settings), *datasets.load("camvid", "val"), classes, batch_size=4)
    return {**scores, "training_loss": history["loss"]}


def network(settings: dict) -> keras.Model:
    """The trained network, in float32."""
    return fitting.read_weights(
        deeplab_v1(classes=len(datasets.spec("camvid")), width=settings["width"]), WEIGHTS
    )


def _score(settings):
    return scoring.on_photographs(network(settings), batch_size=2)


STUDY = Study(
    title="LargeFOV, a quarter as wide, on CamVid, started from FCN-8s' convolutions, scored at 360x480",
    cost="about 20 minutes on two CPU cores with bfloat16 units; needs CamVid (segcourse data get camvid)",
    settings={
        "width": 0.25,
        "precision": "mixed_bfloat16",
        "epochs": 40,
        "batch": 4,
        "learning_rate": 1e-3,
        "seed": 0,
        "held_out": [330, 367],
        "augment": {"crop": [241, 321], "scale": [0.75, 1.3]},
    },
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

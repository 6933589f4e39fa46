"""A laptop-sized FCN-8s on the photographs of CamVid, trained in one go from random weights."""

import keras

from segcourse import datasets, training
from segcourse.models.fcn import fcn8s
from segcourse.studies import Study
from segcourse.studies.core import fitting, scoring

WEIGHTS = "fcn8s_camvid.weights.h5"


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes = len(datasets.spec("camvid"))
    model = fcn8s(classes=classes, **settings["network"])
    history = fitting.fit(model, datasets.load("camvid", "train"), settings, settings["seed"])
    fitting.write_weights(model, WEIGHTS)
    scores = scoring.measure(model, *datasets.load("camvid", "val"), classes)
    return {**scores, "training_loss": history["loss"]}


def network() -> keras.Model:
    """The trained network."""
    return fitting.read_weights(
        fcn8s(classes=len(datasets.spec("camvid")), **STUDY.settings["network"]), WEIGHTS
    )


def _score(settings):
    return scoring.on_photographs(network(), batch_size=2)


STUDY = Study(
    title="FCN-8s, a quarter as wide, on CamVid at 360x480, from random weights",
    cost="about 30 minutes on two CPU cores; needs CamVid (segcourse data get camvid)",
    settings={
        "network": {"width": 0.25, "padding": "same", "fc6_size": 3},
        "epochs": 60,
        "batch": 4,
        "learning_rate": 1e-3,
        "seed": 0,
        "augment": {"crop": [288, 384], "scale": [0.8, 1.25]},
    },
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

"""A laptop-sized FCN-8s on the photographs of CamVid, trained in one go from random weights."""

import keras

from segcourse import datasets, metrics, prediction, training
from segcourse.losses import MaskedCrossEntropy
from segcourse.metrics import ConfusionMatrix
from segcourse.models.fcn import fcn8s
from segcourse.paths import data_folder
from segcourse.studies import Study

WEIGHTS = "fcn8s_camvid.weights.h5"


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes, batch = len(datasets.spec("camvid")), settings["batch"]
    train, val = datasets.load("camvid", "train"), datasets.load("camvid", "val")
    model = fcn8s(classes=classes, **settings["network"])
    schedule = training.poly(settings["learning_rate"], settings["epochs"] * (len(train[0]) // batch))
    training.compile(
        model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(), metrics=[ConfusionMatrix(classes)]
    )
    augment = datasets.Augment(**settings["augment"])
    data = datasets.epochs(*train, batch, augment=augment, seed=settings["seed"])
    history = training.fit(model, data, epochs=settings["epochs"])
    training.save_weights(model, data_folder() / "weights" / WEIGHTS)
    scores = prediction.evaluate(model, *val, classes)
    scores["boundary_f1"] = metrics.boundary_f1(val[1], prediction.predict(model, val[0]), classes)
    return {**scores, "training_loss": history["loss"]}


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
    code=(
        "models/fcn.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "encoders/transfer.py",
        "encoders/vgg.py",
        "losses/cross_entropy.py",
        "metrics/confusion.py",
        "metrics/boundaries.py",
        "datasets/augment.py",
        "studies/fcn8s_camvid.py",
    ),
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
)

"""SegNet-Basic, as wide as published, on the photographs of CamVid, from random weights."""

import keras

from segcourse import datasets, metrics, prediction, training
from segcourse.losses import MaskedCrossEntropy, median_frequency_weights
from segcourse.models.segnet import segnet_basic
from segcourse.paths import data_folder
from segcourse.studies import Study

WEIGHTS = "segnet_basic_camvid.weights.h5"
SAMPLE = "every_12th"  # the photographs that the lesson scores again


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes, batch = len(datasets.spec("camvid")), settings["batch"]
    train, val = datasets.load("camvid", "train"), datasets.load("camvid", "val")
    with training.precision(settings["precision"]):
        model = segnet_basic(classes=classes)
    weights = median_frequency_weights(train[1], classes)
    schedule = training.poly(settings["learning_rate"], settings["epochs"] * (len(train[0]) // batch))
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(class_weights=weights))
    augment = datasets.Augment(**settings["augment"])
    data = datasets.epochs(*train, batch, augment=augment, seed=settings["seed"])
    history = training.fit(model, data, epochs=settings["epochs"])
    training.save_weights(model, data_folder() / "weights" / WEIGHTS)
    final = segnet_basic(classes=classes)  # in float32
    final.set_weights(model.get_weights())
    predictions = prediction.predict(final, val[0], batch_size=2)
    return {
        "all": _measure(val[1], predictions, classes),
        SAMPLE: _measure(val[1][::12], predictions[::12], classes),
        "class_weights": weights,
        "training_loss": history["loss"],
    }


def _measure(labels, predictions, classes):
    scores = metrics.scores(metrics.confusion_matrix(labels, predictions, classes))
    return {**scores, "boundary_f1": metrics.boundary_f1(labels, predictions, classes)}


STUDY = Study(
    title="SegNet-Basic on CamVid, trained on crops and scored at 360x480, from random weights",
    cost="about 15 minutes on two CPU cores with bfloat16 units; needs CamVid (segcourse data get camvid)",
    settings={
        "precision": "mixed_bfloat16",
        "epochs": 18,
        "batch": 4,
        "learning_rate": 3e-3,
        "seed": 0,
        "augment": {"crop": [180, 240], "scale": [0.7, 1.2]},
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
        "studies/segnet_camvid.py",
    ),
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
)

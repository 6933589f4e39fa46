"""SegNet-Basic, as wide as published, on the photographs of CamVid, from random weights."""

from segcourse import datasets, prediction, training
from segcourse.losses import median_frequency_weights
from segcourse.models.segnet import segnet_basic
from segcourse.studies import Study
from segcourse.studies.core import fitting, scoring

WEIGHTS = "segnet_basic_camvid.weights.h5"
SAMPLE = "every_12th"  # the photographs that the lesson scores again


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes = len(datasets.spec("camvid"))
    train, (images, labels) = datasets.load("camvid", "train"), datasets.load("camvid", "val")
    with training.precision(settings["precision"]):
        model = segnet_basic(classes=classes)
    weights = median_frequency_weights(train[1], classes)
    history = fitting.fit(model, train, settings, settings["seed"], class_weights=weights)
    fitting.write_weights(model, WEIGHTS)
    final = segnet_basic(classes=classes)  # in float32
    final.set_weights(model.get_weights())
    predictions = prediction.predict(final, images, batch_size=2)
    return {
        "all": scoring.scores(labels, predictions, classes),
        SAMPLE: scoring.scores(labels[::12], predictions[::12], classes),
        "class_weights": weights,
        "training_loss": history["loss"],
    }


def _score(settings):
    model = fitting.read_weights(segnet_basic(classes=len(datasets.spec("camvid"))), WEIGHTS)
    return scoring.on_photographs(model, batch_size=2)


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
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

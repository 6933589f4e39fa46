"""A laptop-sized LargeFOV on the photographs of CamVid, started from lesson 01's FCN-8s on the same."""

import keras
import numpy as np

from segcourse import datasets, metrics, prediction, training
from segcourse.encoders.transfer import transplant
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features, shrink
from segcourse.models.fcn import fcn8s
from segcourse.paths import data_file, data_folder
from segcourse.studies import Study, fcn8s_camvid

WEIGHTS = "deeplab_v1_camvid.weights.h5"


def held_out(settings):
    """Which training photographs are kept for choosing the CRF's parameters: bool [367]."""
    first, last = settings["held_out"]
    place = np.arange(367)
    return (first <= place) & (place < last)


def _run(part, settings):
    training.set_seed(settings["seed"])
    classes, batch = len(datasets.spec("camvid")), settings["batch"]
    images, labels = (x[~held_out(settings)] for x in datasets.load("camvid", "train"))
    with training.precision(settings["precision"]):
        model = deeplab_v1(classes=classes, width=settings["width"])
    transplant(_fcn(classes), features(model))
    net = coarse(model)
    schedule = training.poly(settings["learning_rate"], settings["epochs"] * (len(images) // batch))
    training.compile(net, keras.optimizers.Adam(schedule), MaskedCrossEntropy())
    augment = datasets.Augment(**settings["augment"])
    batches = datasets.epochs(images, labels, batch, augment=augment, seed=settings["seed"])
    history = training.fit(
        net, lambda epoch: batches(epoch).map(lambda x, y: (x, shrink(y))), epochs=settings["epochs"]
    )
    training.save_weights(model, data_folder() / "weights" / WEIGHTS)
    return {**_measure(network(settings), classes), "training_loss": history["loss"]}


def _fcn(classes):
    model = fcn8s(classes=classes, **fcn8s_camvid.STUDY.settings["network"])
    model.load_weights(data_file(f"weights/{fcn8s_camvid.WEIGHTS}"))
    return model


def network(settings):
    """The trained network, in float32."""
    model = deeplab_v1(classes=len(datasets.spec("camvid")), width=settings["width"])
    model.load_weights(data_file(f"weights/{WEIGHTS}"))
    return model


def _measure(model, classes):
    images, labels = datasets.load("camvid", "val")
    predictions = prediction.predict(model, images, batch_size=4)
    scores = metrics.scores(metrics.confusion_matrix(labels, predictions, classes))
    return {**scores, "boundary_f1": metrics.boundary_f1(labels, predictions, classes)}


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
    code=(
        "models/deeplab_v1.py",
        "models/fcn.py",
        "layers/alignment.py",
        "layers/bilinear.py",
        "encoders/transfer.py",
        "encoders/vgg.py",
        "losses/cross_entropy.py",
        "metrics/confusion.py",
        "metrics/boundaries.py",
        "datasets/augment.py",
        "studies/deeplab_v1_camvid.py",
    ),
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
)

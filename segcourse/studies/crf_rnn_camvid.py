"""CRF-as-RNN on the photographs of CamVid, from the FCN-8s of lesson 01: alone, with a separate CRF, jointly.

All of them go on from the same weights for the same steps on the same crops. The separate CRF, with which
joint training starts too, is chosen on photographs that the fine-tuning leaves out. Lesson 01 has trained
on them, so the network is surer there than on new ones.
"""

import keras
import numpy as np

from segcourse import datasets, studies, training
from segcourse.models.crf_rnn import crf_rnn, without_crf
from segcourse.studies import Study, fcn8s_camvid
from segcourse.studies import crf_rnn as toy
from segcourse.studies.core import fitting, scoring

WEIGHTS = "crf_rnn_camvid.weights.h5"
SEARCHED = ("sigma_xy", "sigma_rgb", "spatial_weight", "bilateral_weight")
SAMPLE = "every_12th"  # the photographs that the lesson scores again


def _run(part, settings):
    classes = len(datasets.spec("camvid"))
    train, val = datasets.load("camvid", "train"), datasets.load("camvid", "val")
    held_out = np.arange(len(train[0])) % settings["held_out_every"] == 0
    chosen, train = [x[held_out] for x in train], [x[~held_out] for x in train]
    start = fcn8s_camvid.network()
    results = {"search": _search(chosen, start, settings)}
    crf = _best(results["search"], settings)

    network = _train(start, crf, "network", 0, train, classes, settings)
    results["search again"] = _search(chosen, without_crf(network), settings)
    separate = toy.with_crf(network, _best(results["search again"], settings), classes, settings)
    results["network"] = _measure(separate, *val, classes, settings)

    joint = _train(start, crf, "everything", 5, train, classes, settings)
    fitting.write_weights(joint, WEIGHTS)
    return {**results, "joint": _measure(joint, *val, classes, settings)}


def _search(chosen, network, settings):
    """The mean IoU with each CRF of the grid: a list of dicts, the parameters and "miou"."""
    judge, grid = toy.SeparateCRF(chosen, network, settings), settings["grid"]
    found = scoring.grid({name: grid[name] for name in SEARCHED})
    return [{**row, "miou": judge(sigma_spatial=settings["sigma_spatial"], **row)} for row in found]


def _best(found, settings):
    return {"sigma_spatial": settings["sigma_spatial"], **scoring.best(found, SEARCHED)}


def _train(start, crf, trained, iterations, data, classes, settings):
    """Go on from the start: train the network alone, or everything; returns a `crf_rnn`."""
    training.set_seed(settings["seed"])
    model = toy.with_crf(start, crf, classes, settings, iterations)
    student, factors = toy.student(model, trained, settings)
    fitting.fit(student, data, settings, 1000 * settings["seed"], lr_factors=factors)
    return model


def _measure(model, images, labels, classes, settings):
    """Scores on all photographs and on the few that the lesson scores again, and the CRF."""
    crf = model.get_layer("crf")
    maps = toy.maps_by_iteration(without_crf(model), crf, images, settings["batch_at_test"])
    sample = toy.measure(labels[::12], [predictions[::12] for predictions in maps], classes)
    return {**toy.measure(labels, maps, classes), SAMPLE: sample, **toy.learned(crf)}


def network(crf: dict, settings: dict) -> keras.Model:
    """The trained network, with the arguments of its CRF as the result has them: `["joint"]["crf"]`."""
    model = crf_rnn(classes=len(datasets.spec("camvid")), crf=crf, **settings["network"])
    return fitting.read_weights(model, WEIGHTS)


def _score(settings):
    crf = studies.load("crf-rnn-camvid")["results"]["val"]["joint"]["crf"]
    return scoring.on_photographs(network(crf, settings), batch_size=settings["batch_at_test"])


STUDY = Study(
    title="CRF-as-RNN on CamVid at 360x480, fine-tuned on crops from lesson 01's FCN-8s",
    cost="about 15 minutes on two CPU cores with bfloat16 units; needs CamVid (segcourse data get camvid)",
    settings={
        "network": fcn8s_camvid.STUDY.settings["network"],
        "precision": "mixed_bfloat16",
        "held_out_every": 20,
        "epochs": 3,
        "batch": 4,
        "batch_at_test": 1,
        "learning_rate": 2e-4,
        "crf_learning_rate_factor": 100.0,
        "sigma_spatial": 3.0,
        "grid": {
            "sigma_xy": [10.0, 30.0],
            "sigma_rgb": [5.0, 10.0],
            "spatial_weight": [1.0],
            "bilateral_weight": [1.0, 3.0],
        },
        "search_scenes": 12,
        "search_iterations": 5,
        "augment": {"crop": [180, 240], "scale": [0.8, 1.25]},
        "seed": 0,
    },
    parts=("val",),
    run=_run,
    weights=(WEIGHTS,),
    score=_score,
)

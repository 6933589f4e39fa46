"""The CRF after LargeFOV on the photographs of CamVid: parameters from held-out training photographs."""

from segcourse import datasets
from segcourse.studies import Study
from segcourse.studies import deeplab_v1_camvid as trained
from segcourse.studies import deeplab_v1_crf as toy
from segcourse.studies.core import scoring


def _run(part, settings):
    classes = len(datasets.spec("camvid"))
    model = trained.network(trained.STUDY.settings)
    held_out = trained.held_out(trained.STUDY.settings)
    images, labels = (x[held_out][:: settings["search_every"]] for x in datasets.load("camvid", "train"))
    logits = scoring.logits_of(model, images, settings["batch"])
    alone = toy.measure(labels, logits.argmax(-1), classes)["miou"]
    found = toy.search(images, labels, model, classes, settings)
    parameters = scoring.best(found, toy.SEARCHED)
    scores = toy.before_and_after(*datasets.load("camvid", "val"), model, classes, parameters, settings)
    return {"search_without": alone, "search": found, **scores}


STUDY = Study(
    title="LargeFOV on CamVid before and after a fully connected CRF",
    cost="about 6 minutes on two CPU cores; needs CamVid (segcourse data get camvid)",
    settings={
        "batch": 2,
        "search_every": 5,
        "grid": {"w_bilateral": [1, 3], "sigma_xy": [10, 20], "sigma_rgb": [4, 8]},
        "fixed": {"w_spatial": 1, "sigma_spatial": 2, "iterations": 10},
    },
    parts=("val",),
    run=_run,
)

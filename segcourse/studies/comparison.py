"""The comparison: every network of the course at one cost, with one training, on the same scenes.

Each network is as wide as 1.0 +- 0.15 billion multiply-adds for a scene of 192x256 allow, has random weights
at the start and gets the same steps, batches, augmentation and loss. Its learning rate is chosen on the
split "val" by runs of a quarter of the steps; nothing is chosen on the split "test", which is reported.

A part is NAME-SEED, such as `unet-2`: one training and its scores. A lesson adds a line to `NETWORKS`.
"""

import json
import math
import os
import time

import keras

from segcourse import datasets, models, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy
from segcourse.metrics import ConfusionMatrix
from segcourse.models.starter import small_network
from segcourse.studies import Study
from segcourse.studies.core import scoring, store

# Options of the builder beside its input, classes and width. `padding="same"`: the 100 zeros around FCN's
# image would make it three times as expensive here, and an unpadded U-Net labels only a scene's middle.
NETWORKS = {
    "starter": {"options": {}, "width": 1.0},
    "fcn8s": {"options": {"padding": "same"}, "width": 0.21875},
    "deeplab_v1": {"options": {}, "width": 0.203125},
    "unet": {"options": {"padding": "same"}, "width": 0.171875},
    "segnet": {"options": {}, "width": 0.171875},
}
SEEDS = (1, 2, 3)


def build(name, settings):
    """The network of a row, with random weights, for scenes of the study's size."""
    options = {"input_shape": (*settings["size"], 3), "classes": len(datasets.spec(settings["data"]))}
    with training.precision(settings["precision"]):
        if name == "starter":
            return small_network(**options)  # it has one width
        return models.build(name, **options, width=NETWORKS[name]["width"], **NETWORKS[name]["options"])


def _run(part, settings):
    name, seed = part.rsplit("-", 1)
    folder = store.scratch("comparison", name, settings, NETWORKS[name])
    train_and_val = {split: _load(split, settings) for split in ("train", "val")}
    rates = rate_scores(name, train_and_val, settings, folder)
    rate = best_rate(rates)
    test, start = _load("test", settings), time.perf_counter()
    model, history = train(
        name, rate, int(seed), settings["steps"], train_and_val, settings, folder / f"seed-{seed}"
    )
    return {
        "network": NETWORKS[name],
        "rates": rates,
        "learning_rate": rate,
        "history": history,
        "seconds": time.perf_counter() - start,
        "test": scoring.measure(model, *test, len(datasets.spec(settings["data"])), settings["trimap"]),
        "environment": training.environment(),
    }


def _load(split, settings):
    return datasets.load(settings["data"], split, size=tuple(settings["size"]))


def rate_scores(name, data, settings, folder):
    """Mean IoU on val after a short training with each learning rate: dict rate -> score, 0 if it diverged.

    What is known already is read from `folder`, and every new score is written there at once.

    Args:
        data: dict with "train" and "val", each (images, labels).
    """
    path = folder / "rates.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    for rate in settings["learning_rates"]:
        if str(rate) not in scores:
            short = folder / f"rate-{rate}"
            try:
                _, history = train(
                    name, rate, settings["rate_seed"], settings["rate_steps"], data, settings, short
                )
                scores[str(rate)] = history["val_miou"][-1]
            except training.TrainingDiverged:
                scores[str(rate)] = 0.0
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_name("partial.json")
            partial.write_text(json.dumps(scores))
            os.replace(partial, path)
    return scores


def best_rate(scores):
    """The learning rate with the highest score."""
    return float(max(scores, key=scores.get))


def train(name, rate, seed, steps, data, settings, folder):
    """One training; killed and started again with the same `folder`, it goes on after its last whole epoch.

    Returns:
        the network with its last weights, and the history by epoch, `val_miou` among it.
    """
    training.set_seed(seed)
    model = build(name, settings)
    classes = len(datasets.spec(settings["data"]))
    optimizer = keras.optimizers.Adam(training.poly(rate, steps))
    training.compile(model, optimizer, MaskedCrossEntropy(), metrics=[ConfusionMatrix(classes)])
    images, batch = data["train"][0], settings["batch"]
    augment = datasets.Augment(**settings["augment"])
    batches = datasets.epochs(*data["train"], batch, augment=augment, seed=seed)
    per_epoch = len(images) // batch
    history = training.fit(
        model,
        lambda epoch: batches(epoch).take(steps - epoch * per_epoch),
        epochs=math.ceil(steps / per_epoch),
        validation=data["val"],
        folder=folder,
        monitor="epoch",  # the latest epoch counts as the best: no weights are chosen
    )
    history["step"] = [min(epoch * per_epoch, steps) for epoch in history["epoch"]]
    return model, history


STUDY = Study(
    title="The networks at a billion multiply-adds a scene and 2,500 steps, on ToyCam at 192x256",
    cost="about 45 minutes a part on two CPU cores",
    settings={
        "data": "toycam",
        "size": [192, 256],
        "multiply_adds": 1.0e9,
        "tolerance": 0.15e9,
        "steps": 2500,
        "batch": 8,
        "learning_rates": [3e-4, 1e-3, 3e-3],
        "rate_steps": 625,
        "rate_seed": 0,
        "precision": "float32",
        "trimap": [1, 2, 4, 8, 16],
        "augment": {
            "flip": True,
            "scale": [0.75, 1.5],
            "brightness": 0.15,
            "contrast": 0.2,
            "saturation": 0.2,
            "hue": 0.02,
            "blur": 0.7,
        },
        "toycam_version": toycam.VERSION,
    },
    parts=tuple(f"{name}-{seed}" for name in NETWORKS for seed in SEEDS),
    run=_run,
    probed=tuple(f"{name}-{SEEDS[0]}" for name in NETWORKS),
)

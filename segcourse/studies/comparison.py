"""The comparison: every network of the course at one cost, with one training, on the same scenes.

Each network is as wide as 1.0 +- 0.15 billion multiply-adds for a scene of 192x256 allow, has random weights
at the start and gets the same steps, batches, augmentation and loss. Its learning rate is chosen on the
split "val" by runs of a quarter of the steps; nothing is chosen on the split "test", which is reported.

A part is NAME-SEED, such as `unet-2`: one training and its scores; or NAME-costs: what the network costs. The
latter needs no training and is best measured while the machine does nothing else:

    segcourse study comparison --part unet-costs --again

With JAX, a part takes minutes on a GPU (whose single precision is one only if asked for):

    KERAS_BACKEND=jax JAX_DEFAULT_MATMUL_PRECISION=highest segcourse study comparison --part unet-2

A lesson adds a line to `NETWORKS`, with the width that `fitting_width` finds.
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segcourse import datasets, models, tflite, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.starter import small_network
from segcourse.studies import Study
from segcourse.studies.core import fitting, rates, scoring, store
from segcourse.tflite import _worker

# Options of the builder beside its input, classes and width. `padding="same"`: the 100 zeros around FCN's
# image would make it three times as expensive here, and an unpadded U-Net labels only a scene's middle.
# DeepLab v2 is that of the tables on VGG16, at one scale.
NETWORKS = {
    "starter": {"options": {}, "width": 1.0},
    "fcn8s": {"options": {"padding": "same"}, "width": 0.21875},
    "deeplab_v1": {"options": {}, "width": 0.203125},
    "unet": {"options": {"padding": "same"}, "width": 0.171875},
    "parsenet": {"options": {}, "width": 0.203125},
    "segnet": {"options": {}, "width": 0.171875},
    "deeplab_v2": {"options": {"backbone": "vgg16", "scales": (1.0,)}, "width": 0.15625},
    "linknet": {"options": {}, "width": 0.6875},
}
SEEDS = (1, 2, 3)
COSTS = "costs"
THREADS, RUNS = (1, 2), 50  # of the timing
SCORES = ("pixel_accuracy", "mean_accuracy", "miou", "fwiou", "boundary_f1")
WIDTH_STEP = 1 / 64  # a width is a multiple of it, so that 64 channels become a whole number


def build(name: str, settings: dict, width: float | None = None) -> keras.Model:
    """The network of a row, with random weights, for scenes of the study's size.

    Args:
        width: another one than the row's.
    """
    options = {"input_shape": (*settings["size"], 3), "classes": len(datasets.spec(settings["data"]))}
    row = NETWORKS[name]
    with training.precision(settings["precision"]):
        if name == "starter":
            return small_network(**options)  # it has one width
        return models.build(name, **options, width=width or row["width"], **row["options"])


def fitting_width(name: str, settings: dict) -> float:
    """The width, in steps of 1/64 and at most 1, whose multiply-adds are closest to the study's."""

    def distance(steps):
        return multiply_adds(name, settings, steps * WIDTH_STEP) - settings["multiply_adds"]

    below, above = 1, round(1 / WIDTH_STEP)
    if distance(above) <= 0:
        return 1.0
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if distance(middle) > 0 else (middle, above)
    return WIDTH_STEP * min(below, above, key=lambda steps: abs(distance(steps)))


def multiply_adds(name: str, settings: dict, width: float | None = None) -> int:
    """Multiply-adds of a row's network for one scene."""
    with keras.StatelessScope(initialize_variables=False):  # nobody needs the values of its weights
        network = build(name, settings, width)
    return models.profile(network, settings["size"]).multiply_adds


def _run(part, settings):
    name, seed = part.rsplit("-", 1)
    return measure_costs(name, settings) if seed == COSTS else _train_and_score(name, int(seed), settings)


def _train_and_score(name, seed, settings):
    folder = store.scratch("comparison", name, settings, NETWORKS[name])
    data = {split: _load(split, settings) for split in ("train", "val")}

    def short(rate, place):
        return train(name, rate, settings["rate_seed"], settings["rate_steps"], data, settings, place)[1]

    found = rates.rate_scores(settings["learning_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(name, rate, seed, settings["steps"], data, settings, folder / f"seed-{seed}")
    classes, bands = len(datasets.spec(settings["data"])), settings["trimap"]
    return {
        "network": NETWORKS[name],
        "rates": found,
        "learning_rate": rate,
        "history": history,
        "test": scoring.measure(model, *_load("test", settings), classes, bands),
        "environment": training.environment(),
    }


def _load(split, settings):
    return datasets.load(settings["data"], split, size=tuple(settings["size"]))


def train(
    name: str, rate: float, seed: int, steps: int, data: dict[str, tuple], settings: dict, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last whole epoch.

    Returns:
        the network with its last weights, and the history by epoch, `val_miou` among it.
    """
    training.set_seed(seed)
    model, optimizer = build(name, settings), keras.optimizers.Adam(training.poly(rate, steps))
    an_epoch = len(data["train"][0]) // settings["batch"]
    return model, fitting.rounds(model, optimizer, data, settings, seed, steps, an_epoch, folder)


def measure_costs(name: str, settings: dict) -> dict[str, Any]:
    """What a network costs on this machine; neither time nor memory depends on the values of the weights.

    Returns:
        dict of `parameters`, `trainable_parameters`, `multiply_adds`, `activations` (bytes),
        `receptive_field` (None for the whole image), `file_bytes` (TFLite, float32), `tflite_seconds` (by
        threads) and `keras_seconds`, medians for one scene; `tflite_memory` and `training_memory`, bytes at
        the peak of a process of its own beyond those it had without the network.
    """
    model = build(name, settings)
    found = models.profile(model, settings["size"])
    with tempfile.TemporaryDirectory() as folder:
        path = tflite.convert(model, Path(folder) / "network.tflite", tuple(settings["size"]))
        runs = {
            threads: tflite.benchmark(path, threads=threads, runs=RUNS, model=model) for threads in THREADS
        }
    last = runs[max(runs)]
    return {
        "network": NETWORKS[name],
        "parameters": found.parameters,
        "trainable_parameters": found.trainable_parameters,
        "multiply_adds": found.multiply_adds,
        "activations": found.activations,
        "receptive_field": [side if math.isfinite(side) else None for side in found.receptive_field],
        "file_bytes": last.file_bytes,
        "tflite_seconds": {threads: run.median for threads, run in runs.items()},
        "keras_seconds": float(np.median(last.keras_seconds)),
        "tflite_memory": last.file_memory_bytes,
        "training_memory": _training_memory(name),
        "environment": training.environment(),
    }


def _training_memory(name):
    """Peak memory of some training steps, measured in a process that does nothing else."""
    command = [sys.executable, "-m", __spec__.name, name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring the memory of {name} failed.\n{done.stderr.strip()[-500:]}")
    return int(done.stdout.split()[-1])


def _print_training_memory(name, settings, steps=3):
    shape = (settings["batch"], *settings["size"])
    images, labels = np.zeros((*shape, 3), "uint8"), np.zeros(shape, "uint8")
    before = _worker._peak_bytes()
    model = build(name, settings)
    training.compile(model, keras.optimizers.Adam(), MaskedCrossEntropy())
    for _ in range(steps):
        model.train_on_batch(images, labels)
    print(_worker._peak_bytes() - before)


# Reading the stored result, whichever parts it has


def trainings(stored: dict) -> dict[str, dict[int, dict]]:
    """The stored trainings: dict name -> seed -> what was stored; names in the order of `NETWORKS`."""
    found = {name: {seed: stored["results"].get(f"{name}-{seed}") for seed in SEEDS} for name in NETWORKS}
    found = {name: {seed: part for seed, part in seeds.items() if part} for name, seeds in found.items()}
    return {name: seeds for name, seeds in found.items() if seeds}


def costs(stored: dict) -> dict[str, dict]:
    """The stored costs: dict name -> what `measure_costs` gave."""
    found = {name: stored["results"].get(f"{name}-{COSTS}") for name in NETWORKS}
    return {name: part for name, part in found.items() if part}


def per_seed(stored: dict, score: str) -> dict[str, dict[int, Any]]:
    """A score on the test scenes: dict name -> seed -> float."""
    return {
        name: {seed: part["test"][score] for seed, part in seeds.items()}
        for name, seeds in trainings(stored).items()
    }


def table(stored: dict) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict name -> score -> (mean, spread).

    The spread of a single seed is NaN.
    """
    seeds = {score: per_seed(stored, score) for score in SCORES}
    return {
        name: {score: scoring.mean_and_spread(list(seeds[score][name].values()), 100) for score in SCORES}
        for name in seeds["miou"]
    }


def differences(
    stored: dict, score: str = "miou", against: str = "starter"
) -> dict[str, tuple[float, float, int]]:
    """By how much each network is better than `against`, compared seed by seed, in percent points.

    Returns:
        dict name -> (mean, spread, number of seeds that both have), for the networks that share a seed.
    """
    seeds = per_seed(stored, score)
    base = seeds.pop(against)
    paired = {name: [own[seed] - base[seed] for seed in own if seed in base] for name, own in seeds.items()}
    return {
        name: (*scoring.mean_and_spread(pairs, 100), len(pairs)) for name, pairs in paired.items() if pairs
    }


def class_iou(stored: dict) -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict name -> float array [classes]."""
    return {
        name: np.array(list(rows.values()), float).mean(0) for name, rows in per_seed(stored, "iou").items()
    }


def trimap(stored: dict) -> dict[str, dict[int, float]]:
    """Mean IoU in bands along the boundaries, averaged over the seeds: dict name -> width -> float."""
    return {
        name: {int(width): float(np.mean([row[width] for row in rows.values()])) for width in bands}
        for name, rows in per_seed(stored, "trimap_iou").items()
        for bands in [next(iter(rows.values()))]
    }


def curves(stored: dict, what: str = "val_miou") -> dict[str, tuple[list, np.ndarray]]:
    """A column of the histories, averaged over the seeds: dict name -> (steps, values)."""
    found = {}
    for name, seeds in trainings(stored).items():
        histories = [part["history"] for part in seeds.values()]
        found[name] = (histories[0]["step"], np.mean([history[what] for history in histories], axis=0))
    return found


def learning_rates(stored: dict) -> dict[str, tuple[float, bool]]:
    """The chosen learning rates: dict name -> (rate, whether it lies at the edge of the grid).

    At the edge a still smaller or larger rate might have been better.
    """
    grid = stored["settings"]["learning_rates"]
    chosen = {name: next(iter(seeds.values()))["learning_rate"] for name, seeds in trainings(stored).items()}
    return {name: (rate, rate in (min(grid), max(grid))) for name, rate in chosen.items()}


STUDY = Study(
    title="The networks at a billion multiply-adds a scene and 2,500 steps, on ToyCam at 192x256",
    cost="about 45 minutes a part on two CPU cores, 3 on a large GPU",
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
    parts=tuple(f"{name}-{part}" for name in NETWORKS for part in (COSTS, *SEEDS)),
    run=_run,
    probed=tuple(f"{name}-{SEEDS[0]}" for name in NETWORKS),
)

if __name__ == "__main__":  # the process of `_training_memory`
    _print_training_memory(sys.argv[1], STUDY.settings)

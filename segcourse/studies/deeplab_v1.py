"""DeepLab's claims on ToyCam: a larger field of view at the same weights, fewer weights at the same field.

The networks of the paper's Table 2 at an eighth of its width, LargeFOV at further rates, and lesson 00's
network (Chen et al. 2015). A part is VARIANT-SEED. Steps, batches and views are the same for all variants on
scenes of one size; the learning rate is chosen for each on the split "val", on a grid that grows until the
best rate lies inside; the scores are those of the split "test", at every pixel.

All DeepLabs on scenes of one size share a start, as the paper's share ImageNet's: the 13 convolutions, from
VGG16 on ToyCam windows, trained for some steps with a single 1x1 layer of scores, which has no field of view
of its own. Everything behind them starts from the seed. Lesson 00's network starts from random weights and
gets these steps, too. As in the paper, the loss sees every 8th pixel; that of lesson 00's network sees all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from segcourse import datasets, training
from segcourse.datasets import toycam
from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import vgg16
from segcourse.layers.alignment import Crop
from segcourse.models.cost import profile
from segcourse.models.deeplab_v1 import VARIANTS as KERNELS
from segcourse.models.deeplab_v1 import coarse, deeplab_v1, features, shrink
from segcourse.models.starter import small_network
from segcourse.studies import Study, vgg16_toycam
from segcourse.studies.core import fitting, rates, reading, scoring, store


@dataclass(frozen=True)
class Variant:
    """A network of Table 2 by the name of its fc6, the rate of its holes, and the scenes it is trained on.

    Attributes:
        kernel: "largefov", "4x4" or "7x7"; None is lesson 00's network.
        rate: in cells of 8 pixels.
        scenes: "large" or "small", of the settings' sizes.
    """

    kernel: str | None
    rate: int | None = None
    scenes: str = "large"

    @property
    def field_of_view(self) -> int | None:
        """What fc6 spans, in pixels: lesson 02, section 3.4."""
        return self.kernel and 8 * (KERNELS[self.kernel][0] - 1) * self.rate + 32


STARTER = "starter"
TABLE_2 = {
    "4x4-rate4": Variant("4x4", 4),
    "4x4-rate8": Variant("4x4", 8),
    "7x7-rate4": Variant("7x7", 4),
    "largefov-rate12": Variant("largefov", 12),
}
LARGE = {STARTER: Variant(None), **TABLE_2}
RATES = {f"largefov-rate{rate}": Variant("largefov", rate) for rate in (1, 4, 12)}
SMALL = {f"small-{name}": Variant("largefov", variant.rate, "small") for name, variant in RATES.items()}
VARIANTS = {**LARGE, **RATES, **SMALL}
# What each claim rests on: the first variant's gain over the second.
CLAIMS = (
    ("4x4-rate8", "4x4-rate4"),
    ("largefov-rate12", "4x4-rate8"),
    ("largefov-rate12", "7x7-rate4"),
    (STARTER, "largefov-rate12"),
)
RATE_CLAIMS = (("largefov-rate4", "largefov-rate1"), ("largefov-rate12", "largefov-rate4"))
SMALL_CLAIMS = tuple((f"small-{one}", f"small-{other}") for one, other in RATE_CLAIMS)
SCORES = ("pixel_accuracy", "miou", "boundary_f1")


def _run(part, settings):
    name, seed = part.rsplit("-", 1)
    variant = VARIANTS[name]
    size, classes = tuple(settings["sizes"][variant.scenes]), len(datasets.spec("toycam"))
    data = {split: datasets.load("toycam", split, size=size) for split in ("train", "val", "test")}
    folder, (few, steps) = store.scratch("deeplab-v1", name, settings), _steps(variant, settings)

    def short(rate, place):
        return train(variant, rate, settings["rate_seed"], few, data, settings, place)[1]

    found = rates.climb(settings["learning_rates"], settings["most_rates"], folder, short)
    rate = rates.best_rate(found)
    model, history = train(variant, rate, int(seed), steps, data, settings, folder / seed)
    return {
        "rates": found,
        "learning_rate": rate,
        "history": {key: history[key] for key in ("step", "loss", "val_loss", "val_miou")},
        "test": scoring.measure(model, *data["test"], classes, scoring.BANDS, settings["batch"]),
    }


def _steps(variant, settings):
    """Of a trial, and of the training; those of the shared start are added for what does not begin there."""
    few, steps = settings["rate_steps"], settings["steps"]
    if variant.kernel is None:
        return round(few * (1 + settings["start_steps"] / steps)), steps + settings["start_steps"]
    return few, steps


def build(variant: Variant, seed: int, data: Mapping, settings: Mapping) -> keras.Model:
    """The untrained network of a variant, with the 13 convolutions that all start from.

    Scores are zero: every DeepLab begins at the loss of chance, however much its fc6 adds up.
    """
    source = None if variant.kernel is None else start(variant.scenes, data, settings)
    training.set_seed(seed)
    model = network(variant, settings)
    if source is not None:
        transplant(source, features(model))
        scores = model.get_layer("fc8")
        scores.set_weights([np.zeros_like(weights) for weights in scores.get_weights()])
    return model


def network(variant: Variant, settings: Mapping) -> keras.Model:
    """The network of a variant with random weights."""
    classes = len(datasets.spec("toycam"))
    if variant.kernel is None:
        return small_network(classes, input_shape=(None, None, 3))
    options = {"classes": classes, "width": settings["width"]}
    return deeplab_v1(variant=variant.kernel, rate=variant.rate, **options)


def start(scenes: str, data: Mapping, settings: Mapping) -> keras.Model:
    """The network whose convolutions all DeepLabs on scenes of this size start from; its training is kept."""
    folder, seed = store.scratch("deeplab-v1", "start", scenes, settings), settings["rate_seed"]
    training.set_seed(seed)
    model, steps = without_field_of_view(settings), settings["start_steps"]
    transplant(classifier(settings), model)
    optimizer = keras.optimizers.Adam(training.poly(settings["start_rate"], steps))
    val = data["val"][0][: settings["val_scenes"]], shrink(data["val"][1][: settings["val_scenes"]])
    some, rounds = {"train": data["train"], "val": val}, settings["round_steps"]
    fitting.rounds(model, optimizer, some, settings, seed, steps, rounds, folder, prepare=shrunk)
    return model


def without_field_of_view(settings: Mapping) -> keras.Model:
    """The convolutions and poolings of 4x4 and one 1x1 layer: scores of every 8th pixel, as of `coarse`."""
    classes = len(datasets.spec("toycam"))
    body = features(deeplab_v1(classes=classes, width=settings["width"], variant="4x4"))
    small = keras.initializers.RandomNormal(stddev=0.01)
    scores = layers.Conv2D(classes, 1, kernel_initializer=small, dtype="float32", name="scores")(body.output)
    logits = Crop(dtype="float32", name="coarse_logits")([scores, shrink(body.input)])
    return keras.Model(body.input, logits, name="without_field_of_view")


def classifier(settings: Mapping) -> keras.Model:
    """Lesson 01's classifier at this width, trained when it is first needed, then kept beside the results."""
    recipe = {**vgg16_toycam.STUDY.settings, **{key: settings[key] for key in ("width", "windows_per_epoch")}}
    path = store.scratch("deeplab-v1", "classifier", recipe) / "classifier.weights.h5"
    if not path.exists():
        model = vgg16_toycam.train(recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        training.save_weights(model, path)
        return model
    side = recipe["window"]
    model = vgg16((side, side, 3), len(datasets.spec("toycam")), recipe["width"])
    model.load_weights(path)
    return model


def train(
    variant: Variant, rate: float, seed: int, steps: int, data: Mapping, settings: Mapping, folder: Path
) -> tuple[keras.Model, dict[str, list]]:
    """One training; killed and started again with the same `folder`, it goes on after its last round.

    Returns:
        the network with its last weights, and the history by round; in that of a DeepLab, loss and mIoU are
        those of every 8th pixel.
    """
    model, student, prepare = build(variant, seed, data, settings), None, None
    val = tuple(part[: settings["val_scenes"]] for part in data["val"])
    if variant.kernel is not None:
        student, prepare, val = coarse(model), shrunk, (val[0], shrink(val[1]))
    optimizer, round_steps = keras.optimizers.Adam(training.poly(rate, steps)), settings["round_steps"]
    some = {"train": data["train"], "val": val}
    history = fitting.rounds(
        student or model, optimizer, some, settings, seed, steps, round_steps, folder, prepare=prepare
    )
    return model, history


def shrunk(images: Any, labels: Any) -> tuple[Any, Any]:
    """A batch with labels as small as the network's coarse scores."""
    return images, shrink(labels)


def costs(settings: Mapping, variants: Sequence[str]) -> dict[str, tuple[int, float]]:
    """What each variant costs for one scene: dict variant -> (weights, billions of multiply-adds)."""
    found = {}
    for name in variants:
        variant = VARIANTS[name]
        model = network(variant, settings)
        cost = profile(model, tuple(settings["sizes"][variant.scenes]))
        found[name] = cost.trainable_parameters, cost.multiply_adds / 1e9
    return found


# Reading the stored result, whichever parts it has


def per_seed(result: Mapping, score: str, variants: Sequence[str] = tuple(VARIANTS)) -> dict[str, list]:
    """A score on the test scenes: dict variant -> list over the seeds."""
    return reading.per_seed(result, variants, "test", score)


def class_iou(result: Mapping, variants: Sequence[str] = tuple(VARIANTS)) -> dict[str, np.ndarray]:
    """Per-class IoU averaged over the seeds: dict variant -> float array [classes]."""
    return reading.means(result, variants, "test", "iou")


def table(
    result: Mapping, variants: Sequence[str] = tuple(VARIANTS)
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return reading.table(result, variants, SCORES, "test")


def gains(
    result: Mapping, pairs: Sequence[tuple[str, str]], score: str = "miou"
) -> dict[tuple[str, str], np.ndarray]:
    """What the first of each pair has over the second, in percent: dict pair -> [seeds]."""
    return reading.gains(result, pairs, "test", score)


def report(result: Mapping, variants: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    """The table with fields of view and costs, paired differences in mIoU, and learning rates, in words."""
    head, *rows = reading.table_text(table(result, variants))
    known = reading.stored(result, variants)
    lines = [f"{head}   field of view   M weights   G multiply-adds"]
    for row, (name, (weights, work)) in zip(rows, costs(result["settings"], known).items(), strict=False):
        field = VARIANTS[name].field_of_view or "-"
        lines.append(f"{row}{field:>16}{weights / 1e6:12.2f}{work:18.2f}")
    lines += ["", *reading.gains_text(gains(result, pairs), "mIoU"), ""]
    return "\n".join(lines + reading.rates_text(reading.learning_rates(result, variants)))


def curves(result: Mapping, variants: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The trainings: dict variant -> "step" [rounds], "loss" and "val_miou" [seeds, rounds].

    The steps of a DeepLab are counted from the beginning of the start that all share.
    """
    found = {v: reading.curves(result, v, "loss", "val_miou") for v in reading.stored(result, variants)}
    for name, curve in found.items():
        curve["step"] = curve["step"] + (result["settings"]["start_steps"] if VARIANTS[name].kernel else 0)
    return found


def by_rate(result: Mapping) -> dict[str, dict[int, list]]:
    """LargeFOV's mIoU on the test scenes: their size, as in "96x128" -> rate -> list over the seeds."""
    found = {}
    for name, values in per_seed(result, "miou", (*RATES, *SMALL)).items():
        variant = VARIANTS[name]
        if variant.kernel:
            scenes = "x".join(map(str, result["settings"]["sizes"][variant.scenes]))
            found.setdefault(scenes, {})[variant.rate] = values
    return found


STUDY = Study(
    title="DeepLab v1's kernels and rates, an eighth as wide, each at its own learning rate, on ToyCam",
    cost="about 75 minutes on two CPU cores with AVX2",
    settings={
        "width": 0.125,
        "windows_per_epoch": 3200,
        "sizes": {"large": [240, 320], "small": [96, 128]},
        "start_steps": 600,
        "start_rate": 1e-3,
        "steps": 500,
        "round_steps": 50,
        "batch": 4,
        "val_scenes": 50,
        "rate_seed": 0,
        "rate_steps": 125,
        "learning_rates": [3e-4, 1e-3, 3e-3],
        "most_rates": 6,
        "augment": fitting.COLORS_ONLY,
        "toycam_version": toycam.VERSION,
    },
    parts=reading.parts(tuple(VARIANTS)),
    run=_run,
    version=2,
    probed=("4x4-rate8-1", "largefov-rate12-1", "starter-1"),
)

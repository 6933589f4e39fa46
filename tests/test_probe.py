"""A probe sees what changes a study's numbers: each deliberate fault is caught, rounding is not."""

import json
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest

from segcourse import datasets, losses, metrics, training
from segcourse.layers.normalization import BatchNormalization
from segcourse.models.segnet import segnet_basic
from segcourse.studies import Study
from segcourse.studies.core import fitting, probe, scoring

RESULTS = Path(__file__).resolve().parents[1] / "data" / "results"
SETTINGS = {
    "width": 1 / 16,
    "epochs": 4,
    "learning_rate": 5e-3,
    "batch": 8,
    "augment": {"crop": [64, 64], "scale": [0.75, 1.5]},
}


def _run(part, settings):
    training.set_seed(1)
    model = segnet_basic(classes=11, width=settings["width"])
    train = datasets.load("toycam", "train")
    weights = losses.median_frequency_weights(train[1], 11)
    fitting.fit(model, train, settings, 1, class_weights=weights)
    return scoring.measure(model, *datasets.load("toycam", "test"), 11)


TRIAL = Study("A trial", "seconds", SETTINGS, ("1",), _run)


@pytest.fixture(scope="module")
def taken():
    return probe.take(TRIAL)


def test_a_probe_says_the_same_twice(taken):
    assert probe.differences(taken, probe.take(TRIAL)) == []
    notes = taken["1"]["trainings"][0]
    assert (
        len(notes["losses"]) == len(notes["batches"]) == probe.STEPS and len(notes["logits"]) == probe.SAMPLES
    )
    assert (
        notes["parameters"] == [segnet_basic(classes=11, width=1 / 16).count_params()] * 2
        or notes["parameters"]
    )
    assert notes["rates"][0] > notes["rates"][1] > notes["rates"][2] > 0


def test_the_pictures_have_void_and_a_rare_class():
    for name, split in (("toycam", "train"), ("camvid", "val")):
        with probe._Watch(TRIAL).in_place():
            images, labels = datasets.load(name, split)
        assert images.dtype == labels.dtype == np.uint8 and images.shape[:3] == labels.shape
        shares = np.bincount(labels.ravel(), minlength=256) / labels.size
        assert 0 < shares[255] < 0.1 and 0 < shares[labels[labels != 255].max()] < 0.6


def test_nothing_is_left_replaced_or_written(tmp_path, monkeypatch):
    before = training.fit, datasets.load, keras.Model.fit, keras.Model.load_weights
    written = mock.Mock()
    monkeypatch.setattr(training, "save_weights", written)
    probe.take(Study("Weights", "seconds", SETTINGS, ("1",), _run_and_save))
    assert (training.fit, datasets.load, keras.Model.fit, keras.Model.load_weights) == before
    assert not written.called


def _run_and_save(part, settings):
    model = segnet_basic(classes=11, width=settings["width"])
    fitting.fit(model, datasets.load("toycam", "train"), settings, 1)
    fitting.write_weights(model, "trial.weights.h5")
    return {}


def test_a_study_that_goes_round_the_watch_is_refused():
    with pytest.raises(probe.ProbeError, match="nothing to note"):
        probe.take(Study("Nothing", "a moment", {}, ("1",), lambda part, settings: {"miou": 1.0}))


# Mutants: what is replaced, and by what.


class OtherNormalization(BatchNormalization):
    CHANGES = {}

    def __init__(self, **options):
        super().__init__(**{**options, **self.CHANGES})


def normalization(**changes):
    kind = type("BatchNormalization", (OtherNormalization,), {"CHANGES": changes})
    return mock.patch("segcourse.models.segnet_blocks.BatchNormalization", kind)


class PerPixel(losses.MaskedCrossEntropy):
    """Divides by all pixels instead of the labelled ones."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        labelled = keras.ops.mean(keras.ops.cast(keras.ops.not_equal(y_true, self.void), "float32"))
        return super().__call__(y_true, y_pred, sample_weight) * labelled


def other_view(**changes):
    """A data set's random views with other arguments."""
    real = datasets.Augment
    return mock.patch.object(datasets, "Augment", lambda **options: real(**{**options, **changes}))


def other_draws(column, change):
    """Random numbers of one column of the table, changed."""
    from segcourse.datasets import augment

    real = augment._draws

    def draws(count, seed):
        columns = list(np.arange(9))
        table = real(count, seed)
        import tensorflow as tf

        return tf.stack([change(table[:, i]) if i == column else table[:, i] for i in columns], axis=1)

    return mock.patch.object(augment, "_draws", draws)


def swapped(labels, predictions, classes, real=metrics.confusion_matrix):
    """The confusion matrix with two classes taken for each other."""
    order = np.arange(256)
    order[[1, 2]] = [2, 1]
    return real(labels, order[np.asarray(predictions)], classes)


def heavier(*arguments, real=losses.median_frequency_weights):
    return real(*arguments) * np.where(np.arange(11) == 10, 1.1, 1.0)


MUTANTS = {
    "epsilon of batch normalisation": (lambda: normalization(epsilon=2e-3), "logits"),
    "momentum of batch normalisation": (lambda: normalization(momentum=0.98), "after"),
    "power of the schedule": (
        lambda: mock.patch.object(
            training, "poly", lambda lr, steps, real=training.poly: real(lr, steps, 1.0)
        ),
        "rates",
    ),
    "loss divided by all pixels": (
        lambda: mock.patch.object(fitting, "MaskedCrossEntropy", PerPixel),
        "losses",
    ),
    "one class weight": (lambda: mock.patch.object(losses, "median_frequency_weights", heavier), "losses"),
    "flip probability": (lambda: other_draws(0, lambda draw: draw * 0.7), "batches"),
    "no flip": (lambda: other_view(flip=False), "batches"),
    "origin of the crop": (lambda: other_draws(2, lambda draw: draw * 0.5), "batches"),
    "a swapped class": (lambda: mock.patch.object(metrics, "confusion_matrix", swapped), "result"),
    "epsilon of Adam": (
        lambda: mock.patch.object(
            keras.optimizers, "Adam", lambda lr, real=keras.optimizers.Adam: real(lr, epsilon=1e-3)
        ),
        "after",
    ),
    "a wider network": (
        lambda: mock.patch.dict(SETTINGS, width=1 / 8),
        "weights",
    ),
}


@pytest.mark.parametrize(("mutant", "where"), MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_caught(taken, mutant, where):
    with mutant():
        found = probe.differences(taken, probe.take(TRIAL))
    assert any(where in line for line in found), found or "nothing differs"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_probe_says_nothing_of_its_machine(path):
    assert '"environment"' not in json.dumps(json.loads(path.read_text())["probe"])


def test_rounding_is_not_a_difference():
    old = {"losses": [1.0, 2.0, 3.0], "batches": ["ab"], "iou": [0.5, None]}
    assert (
        probe.differences(old, {"losses": [1.0, 2.00005, 3.0], "batches": ["ab"], "iou": [0.5, None]}) == []
    )


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"losses": [1.0, 2.01, 3.0]}, "losses: apart by 4.6e-03"),
        ({"rates": [1.0, 1.001]}, "rates: apart by 1.0e-03"),
        ({"losses": [1.0, 2.0]}, "losses: then"),
        ({"batches": ["cd"]}, "batches"),
        ({"iou": [0.5, 0.5]}, "iou: other numbers are missing"),
        ({"more": 1}, "more: only now"),
    ],
)
def test_a_difference_is_named_with_its_size(new, said):
    old = {"losses": [1.0, 2.0, 3.0], "rates": [1.0, 1.0], "batches": ["ab"], "iou": [0.5, None]}
    found = probe.differences(old, {**old, **new})
    assert len(found) == 1 and found[0].startswith(said)

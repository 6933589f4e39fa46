"""The comparison: its protocol, that nothing is chosen on test, resumption, and what the lessons read."""

import json
import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from segcourse import cli, datasets, models, studies, training
from segcourse.jsonable import jsonable
from segcourse.studies import comparison
from segcourse.studies.core import probe, rates, scoring, store

SETTINGS = comparison.STUDY.settings


# The protocol, which every lesson relies on


def test_the_protocol():
    assert SETTINGS["data"] == "toycam" and SETTINGS["size"] == [192, 256]
    assert (SETTINGS["multiply_adds"], SETTINGS["tolerance"]) == (1.0e9, 0.15e9)
    assert (SETTINGS["steps"], SETTINGS["batch"], SETTINGS["precision"]) == (2500, 8, "float32")
    assert SETTINGS["learning_rates"] == [3e-4, 1e-3, 3e-3]
    assert SETTINGS["rate_steps"] == SETTINGS["steps"] / 4
    augment = SETTINGS["augment"]
    assert datasets.Augment(**augment | {"scale": tuple(augment["scale"])}) == datasets.Augment()
    assert comparison.SEEDS == (1, 2, 3) and SETTINGS["rate_seed"] not in comparison.SEEDS
    assert {"unet-costs", "unet-1", "unet-2", "unet-3"} < set(comparison.STUDY.parts)


@pytest.mark.parametrize("name", comparison.NETWORKS)
def test_no_width_comes_closer_to_a_billion_multiply_adds(name):
    width = comparison.NETWORKS[name]["width"]
    target, tolerance = SETTINGS["multiply_adds"], SETTINGS["tolerance"]
    distance = abs(comparison.multiply_adds(name, SETTINGS, width) - target)
    if width < 1:
        assert distance <= tolerance
        for other in (width - 1 / 64, width + 1 / 64):
            assert abs(comparison.multiply_adds(name, SETTINGS, other) - target) > distance
    else:
        assert comparison.multiply_adds(name, SETTINGS) < target + tolerance


def test_the_search_finds_the_width():
    assert comparison.fitting_width("unet", SETTINGS) == comparison.NETWORKS["unet"]["width"]
    assert comparison.fitting_width("starter", SETTINGS) == 1.0, "smaller than a billion: full width"
    small = SETTINGS | {"multiply_adds": 1.0}
    assert comparison.fitting_width("unet", small) == 1 / 64


def test_every_network_labels_every_pixel_of_a_scene():
    for name in comparison.NETWORKS:
        with keras.StatelessScope(initialize_variables=False):
            assert comparison.build(name, SETTINGS).output_shape == (None, 192, 256, 11)


# One part, small


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Settings for a moment's training on six noisy scenes a split; the state goes to `tmp_path`."""
    rng = np.random.default_rng(0)
    splits = {}
    for split in ("train", "val", "test"):
        labels = rng.integers(0, 11, (6, 4, 4)).repeat(8, 1).repeat(8, 2).astype("uint8")
        splits[split] = (np.stack([20 * labels] * 3, -1), labels)
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(datasets, "load", lambda name, split, size: splits[split])
    return SETTINGS | {"size": [32, 32], "batch": 2, "steps": 8, "rate_steps": 2, "trimap": [1, 2]}


class Trainings:
    """Stands in for `comparison.train`: notes what it is asked for, and may be told to interrupt."""

    def __init__(self, log):
        self.log, self.interrupt_at = log, None
        self.model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(11, 1)])

    def __call__(self, name, rate, seed, steps, data, settings, folder):
        if len(self.log) == self.interrupt_at:
            raise KeyboardInterrupt
        self.log.append((rate, seed, steps, tuple(data)))
        return self.model, {"val_miou": [0.5 - abs(rate - 1e-3)]}


@pytest.fixture
def log(monkeypatch):
    """Notes each split that is loaded, in order."""
    entries, load = [], comparison._load
    monkeypatch.setattr(
        comparison, "_load", lambda split, settings: (entries.append(split), load(split, settings))[1]
    )
    return entries


@pytest.fixture
def trainings(log, monkeypatch):
    """Notes each training in `log` as well: its rate, seed, steps and data."""
    stand_in = Trainings(log)
    monkeypatch.setattr(comparison, "train", stand_in)
    return stand_in


def test_the_learning_rate_is_chosen_before_test_is_seen(small, trainings, log):
    result = comparison._run("starter-2", small)
    short = [(rate, 0, 2, ("train", "val")) for rate in (3e-4, 1e-3, 3e-3)]
    assert log == ["train", "val", *short, (1e-3, 2, 8, ("train", "val")), "test"]
    assert result["learning_rate"] == 1e-3
    assert result["rates"] == pytest.approx({"0.0003": 0.4993, "0.001": 0.5, "0.003": 0.498})


def test_the_best_rate_has_the_highest_score():
    assert rates.best_rate({"0.0003": 0.4, "0.001": 0.5, "0.003": 0.45}) == 1e-3


def test_a_rate_that_diverges_is_not_chosen(tmp_path):
    def train(rate, folder):
        if rate > 1e-3:
            raise training.TrainingDiverged
        return {"val_miou": [0.9, rate]}

    found = rates.rate_scores((3e-4, 1e-3, 3e-3), tmp_path / "new", train)
    assert found == {"0.0003": 3e-4, "0.001": 1e-3, "0.003": 0.0}
    assert rates.rate_scores((3e-4, 1e-3, 3e-3), tmp_path / "new", None) == found, "known scores are read"


def test_a_part_holds_scores_history_and_what_it_was(small, monkeypatch):
    monkeypatch.setattr(rates, "rate_scores", lambda *_: {"0.001": 0.5})
    result = comparison._run("starter-1", small)
    assert result["network"] == comparison.NETWORKS["starter"]
    assert result["history"]["step"] == [3, 6, 8], "three batches an epoch, and two in the last"
    assert len(result["history"]["val_miou"]) == len(result["history"]["loss"]) == 3
    assert len(result["test"]["iou"]) == 11 and set(result["test"]["trimap_iou"]) == {1, 2}
    assert 0 <= result["test"]["miou"] <= 1 and 0 <= result["test"]["boundary_f1"] <= 1
    assert result["environment"]["cpu"]
    json.dumps(jsonable(result))


def test_an_interrupted_part_repeats_no_finished_training(small, trainings, log):
    trainings.interrupt_at = 4  # two splits, two short trainings
    with pytest.raises(KeyboardInterrupt):
        comparison._run("starter-1", small)
    trainings.interrupt_at = None
    comparison._run("starter-1", small)
    assert [entry[0] for entry in log if entry[1:3] == (0, 2)] == [3e-4, 1e-3, 3e-3]
    log.clear()
    comparison._run("starter-2", small)
    assert [entry[1:3] for entry in log if isinstance(entry, tuple)] == [(2, 8)], "the rate is known"


def test_an_interrupted_training_goes_on_and_ends_the_same(small, monkeypatch, tmp_path):
    data = {split: comparison._load(split, small) for split in ("train", "val")}
    arguments = ("starter", 1e-3, 1, 8, data, small)
    whole, history = comparison.train(*arguments, tmp_path / "whole")
    epochs, seen = datasets.epochs, []

    def interrupted(*given, **options):
        batches = epochs(*given, **options)

        def epoch_data(epoch):
            seen.append(epoch)
            if seen == [0, 1]:
                raise KeyboardInterrupt
            return batches(epoch)

        return epoch_data

    monkeypatch.setattr(datasets, "epochs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        comparison.train(*arguments, tmp_path / "parts")
    resumed, again = comparison.train(*arguments, tmp_path / "parts")
    assert seen == [0, 1, 1, 2], "one epoch is not repeated"
    np.testing.assert_allclose(again["val_miou"], history["val_miou"], atol=1e-6)
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_no_weights_are_chosen_on_val(small, monkeypatch, tmp_path):
    data = {split: comparison._load(split, small) for split in ("train", "val")}
    fit, latest = comparison.training.fit, []

    def noting(model, *arguments, **options):
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: latest.append(model.get_weights()))
        return fit(model, *arguments, **options, callbacks=[note])

    monkeypatch.setattr(comparison.training, "fit", noting)
    model, history = comparison.train("starter", 0.1, 1, 8, data, small, tmp_path)
    assert len(latest) == 3
    for kept, last in zip(model.get_weights(), latest[-1], strict=True):
        np.testing.assert_array_equal(kept, last)
    score = scoring.measure(model, *data["val"], 11)["miou"]
    assert score == pytest.approx(history["val_miou"][-1], abs=1e-3)


def test_other_settings_do_not_go_on_with_the_old_state(small):
    folder = store.scratch("comparison", "unet", small)
    assert store.scratch("comparison", "unet", small) == folder
    assert store.scratch("comparison", "unet", small | {"batch": 4}) != folder
    assert store.scratch("comparison", "segnet", small) != folder


def test_the_costs_are_those_of_the_network(monkeypatch):
    small = SETTINGS | {"size": [32, 32]}
    monkeypatch.setattr(comparison, "RUNS", 3)
    monkeypatch.setattr(comparison, "_training_memory", lambda name: 123)
    found = comparison._run("starter-costs", small)
    network = comparison.build("starter", small)
    assert found["parameters"] == network.count_params()
    assert found["multiply_adds"] == models.profile(network, (32, 32)).multiply_adds
    assert found["receptive_field"] == [39, 39]
    assert found["file_bytes"] > 4 * found["trainable_parameters"]
    assert set(found["tflite_seconds"]) == {1, 2} and min(found["tflite_seconds"].values()) > 0
    assert found["keras_seconds"] > 0 and found["tflite_memory"] > 0 and found["training_memory"] == 123
    assert found["environment"]["cpu"]


# Parts of a study


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Replaces what a part computes by a count of calls; results go to `tmp_path`."""
    calls = []

    def part(name, settings):
        calls.append(name)
        if name == "segnet-1":
            raise KeyboardInterrupt
        return {"call": len(calls)}

    monkeypatch.setattr(comparison, "STUDY", replace(comparison.STUDY, run=part))
    monkeypatch.setattr(probe, "take_apart", lambda name, parts: {})
    monkeypatch.setattr("segcourse.paths.data_folder", lambda: tmp_path)
    return calls


def stored_parts(folder):
    return json.loads((folder / "comparison.json").read_text())["results"]


def test_each_part_is_stored_at_once_and_kept(ran, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        studies.run("comparison", tmp_path, parts=["unet-2", "segnet-1"], report=lambda line: None)
    assert stored_parts(tmp_path) == {"unet-2": {"call": 1}}
    studies.run("comparison", tmp_path, parts=["unet-2", "unet-costs"], report=lambda line: None)
    assert ran == ["unet-2", "segnet-1", "unet-costs"]
    assert stored_parts(tmp_path) == {"unet-2": {"call": 1}, "unet-costs": {"call": 3}}


def test_the_command_takes_parts_and_repeats_them_only_when_told(ran, tmp_path):
    command = ["study", "comparison", "--part", "unet-costs"]
    for arguments in (command, command, [*command, "--again"]):
        assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert stored_parts(tmp_path / "results") == {"unet-costs": {"call": 2}}


def test_an_unknown_part_lists_the_known_ones(ran, tmp_path):
    with pytest.raises(ValueError, match="no part 'unet-4'.*unet-costs, unet-1"):
        studies.run("comparison", tmp_path, parts=["unet-4"])
    assert not ran


def test_parts_of_another_protocol_are_neither_mixed_nor_lost(ran, tmp_path, monkeypatch):
    studies.run("comparison", tmp_path, parts=["unet-2"], report=lambda line: None)
    other = replace(comparison.STUDY, settings=SETTINGS | {"batch": 4})
    monkeypatch.setattr(comparison, "STUDY", other)
    with pytest.raises(ValueError, match="out of date: settings, batch: 8 then, 4 now"):
        studies.run("comparison", tmp_path, parts=["unet-1"])
    assert stored_parts(tmp_path) == {"unet-2": {"call": 1}}


# What the lessons read, against numbers by hand


def part(miou, rate=1e-3):
    scores = dict.fromkeys(comparison.SCORES, 0.5) | {"miou": miou, "iou": [miou, None]}
    scores["trimap_iou"] = {"1": miou / 2, "2": miou}
    history = {"step": [100, 200], "val_miou": [miou / 4, miou / 2]}
    return {"test": scores, "history": history, "learning_rate": rate}


@pytest.fixture
def stored():
    results = {"starter-1": part(0.40), "starter-2": part(0.44), "unet-1": part(0.50), "unet-2": part(0.58)}
    results |= {"unet-3": part(0.9), "segnet-2": part(0.41, 3e-3), "unet-costs": {"parameters": 5}}
    return {"settings": SETTINGS, "results": results}


def test_a_table_is_made_of_the_parts_that_are_there(stored):
    assert comparison.per_seed(stored, "miou") == {
        "starter": {1: 0.40, 2: 0.44},
        "unet": {1: 0.50, 2: 0.58, 3: 0.9},
        "segnet": {2: 0.41},
    }
    table = comparison.table(stored)
    assert list(table) == ["starter", "unet", "segnet"], "in the order of the lessons"
    assert table["starter"]["miou"] == pytest.approx((42.0, 100 * math.sqrt(2 * 0.02**2)))
    assert table["segnet"]["miou"] == pytest.approx((41.0, math.nan), nan_ok=True)
    assert comparison.costs(stored) == {"unet": {"parameters": 5}}


def test_differences_are_paired_by_seed(stored):
    found = comparison.differences(stored)
    assert list(found) == ["unet", "segnet"]
    assert found["unet"] == pytest.approx((12.0, 100 * math.sqrt(2 * 0.02**2), 2)), "seed 3 has no partner"
    assert found["segnet"] == pytest.approx((-3.0, math.nan, 1), nan_ok=True)


def test_means_over_the_seeds(stored):
    iou = comparison.class_iou(stored)["starter"]
    np.testing.assert_allclose(iou, [0.42, np.nan])
    assert comparison.trimap(stored)["starter"] == pytest.approx({1: 0.21, 2: 0.42})
    steps, values = comparison.curves(stored)["starter"]
    assert steps == [100, 200]
    np.testing.assert_allclose(values, [0.105, 0.21])


def test_a_rate_at_the_edge_of_the_grid_is_said(stored):
    assert comparison.learning_rates(stored) == {
        "starter": (1e-3, False), "unet": (1e-3, False), "segnet": (3e-3, True)
    }  # fmt: skip

"""The machinery of the studies, and the results that are stored."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from segcourse import studies
from segcourse.paths import data_folder
from segcourse.studies import Study
from segcourse.studies.core import fitting, photographs, probe, running, scoring, source, state, store
from segcourse.studies.core.study import file_of

RESULTS = sorted(path.stem for path in (data_folder() / "results").glob("*.json"))


class Experiment:
    """A study in which every part is its own number times a factor; it notes what it computes."""

    def __init__(self):
        self.computed, self.fails_at = [], None

    def __call__(self, part, settings):
        if part == self.fails_at:
            raise KeyboardInterrupt
        self.computed.append(part)
        return {"score": np.float32(int(part) * settings["factor"]), "iou": np.array([0.5, np.nan])}


@pytest.fixture
def experiment():
    return Experiment()


@pytest.fixture
def study(experiment, monkeypatch, tmp_path):
    """Registers a study "trial" of three parts and makes `tmp_path` the place of the stored results."""
    trial = Study("A trial", "a moment", {"factor": 2, "size": (3, 4)}, ("1", "2", "3"), experiment)
    use(monkeypatch, trial)
    for module in ("segcourse.paths", "segcourse.studies.core.store", "segcourse.studies.core.state"):
        monkeypatch.setattr(f"{module}.data_folder", lambda: tmp_path)
    behave(monkeypatch)
    edit(monkeypatch, "as measured")
    return trial


def use(monkeypatch, study):
    get = studies.get
    for module in (store, state, running):
        monkeypatch.setattr(module, "get", lambda name: study if name == "trial" else get(name))


def behave(monkeypatch, **changes):
    """From now on the probe says this of every part."""
    notes = {"losses": [1.0, 2.0], "experiment": "trial"} | changes
    monkeypatch.setattr(probe, "take_apart", lambda name, parts: dict.fromkeys(parts, notes))


def edit(monkeypatch, digest="edited"):
    """From now on the trial's source has another digest."""
    real = source.digest, source.closure
    for module in (store, state, running):
        monkeypatch.setattr(
            module,
            "source_digest",
            lambda name: digest if name == "trial" else real[0](real[1]([file_of(name)])),
        )


def run(folder, **options):
    lines = []
    path = studies.run("trial", folder, report=lines.append, **options)
    assert path == folder / "trial.json"
    return json.loads(path.read_text()), lines


def test_a_result_carries_where_it_comes_from(study, tmp_path):
    stored, lines = run(tmp_path / "results")
    assert stored["study"] == "trial" and stored["title"] == "A trial"
    assert stored["command"] == "segcourse study trial"
    assert stored["settings"] == {"factor": 2, "size": [3, 4]}
    assert stored["version"] == 1 and stored["source"] == "as measured"
    assert stored["probe"] == {"1": {"losses": [1.0, 2.0], "experiment": "trial"}}
    assert stored["environment"]["packages"]["keras"]
    assert stored["seconds"] >= 0
    assert [stored["results"][part]["score"] for part in "123"] == [2, 4, 6]
    assert len(lines) == 3
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["trial.json"]  # nothing half-written


def test_numbers_that_are_none_become_null(study, tmp_path):
    stored, _ = run(tmp_path / "results")
    assert stored["results"]["1"]["iou"] == [0.5, None]
    text = (tmp_path / "results" / "trial.json").read_text()
    assert "NaN" not in text and '"iou": [0.5, null]' in text


def test_an_interrupted_study_goes_on_where_it_was(study, experiment, tmp_path):
    experiment.fails_at = "2"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert not (tmp_path / "trial.json").exists()
    experiment.fails_at = None
    stored, lines = run(tmp_path)
    assert experiment.computed == ["1", "2", "3"]
    assert "already done" in lines[0] and "already done" not in lines[1]
    assert [stored["results"][part]["score"] for part in "123"] == [2, 4, 6]


def test_a_finished_study_starts_anew(study, experiment, tmp_path):
    run(tmp_path)
    run(tmp_path)
    assert experiment.computed == ["1", "2", "3"] * 2


@pytest.mark.parametrize("change", [{"settings": {"factor": 3, "size": (3, 4)}}, {"version": 2}, {}])
def test_parts_of_another_experiment_are_not_reused(study, experiment, tmp_path, monkeypatch, change):
    experiment.fails_at = "3"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    experiment.fails_at = None
    other = replace(study, **change)
    use(monkeypatch, other)
    if not change:
        edit(monkeypatch)
    stored, _ = run(tmp_path)
    assert experiment.computed == ["1", "2", "1", "2", "3"]
    assert stored["results"]["1"]["score"] == other.settings["factor"]


def test_the_weights_that_a_study_writes_are_digested(study, tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.h5").write_bytes(b"weights")
    use(monkeypatch, replace(study, weights=("net.h5",)))
    assert run(tmp_path)[0]["weights"] == {"net.h5": hashlib.sha256(b"weights").hexdigest()}


def test_single_parts_are_stored_beside_each_other(study, experiment, tmp_path):
    for part in ("2", "1"):
        assert run(tmp_path, parts=[part])[0]["results"][part]["score"] == 2 * int(part)
    stored, lines = run(tmp_path, parts=["1", "3"])
    assert experiment.computed == ["2", "1", "3"] and list(stored["results"]) == ["2", "1", "3"]
    assert "already done" in lines[0]
    with pytest.raises(ValueError, match="no part '4'. Its parts: 1, 2, 3"):
        run(tmp_path, parts=["4"])


def test_a_joining_part_leaves_the_probes_of_the_others(study, tmp_path, monkeypatch):
    run(tmp_path, parts=["1"])
    edit(monkeypatch)
    behave(monkeypatch, losses=[1.0, 2.00001])
    assert run(tmp_path, parts=["2"])[0]["probe"]["1"]["losses"] == [1.0, 2.0]
    assert run(tmp_path, parts=["1"], again=True)[0]["probe"]["1"]["losses"] == [1.0, 2.00001]


@pytest.mark.parametrize("change", [{"settings": {"factor": 3, "size": (3, 4)}}, {"version": 2}])
def test_a_part_does_not_join_parts_of_other_settings(study, tmp_path, monkeypatch, change):
    before, _ = run(tmp_path, parts=["1"])
    use(monkeypatch, replace(study, **change))
    with pytest.raises(ValueError, match="trial is out of date: (settings|version)"):
        run(tmp_path, parts=["2"])
    assert json.loads((tmp_path / "trial.json").read_text()) == before


@pytest.mark.parametrize("same", [True, False])
def test_a_part_joins_parts_of_edited_code_if_that_behaves_alike(study, tmp_path, monkeypatch, same):
    run(tmp_path, parts=["1"])
    edit(monkeypatch)
    behave(monkeypatch, losses=[1.0, 2.0 if same else 2.1])
    if same:
        assert set(run(tmp_path, parts=["2"])[0]["results"]) == {"1", "2"}
    else:
        with pytest.raises(ValueError, match="losses: apart"):
            run(tmp_path, parts=["2"])
        assert set(json.loads((tmp_path / "trial.json").read_text())["results"]) == {"1"}


# The state of a stored result


@pytest.fixture
def stored(study, tmp_path):
    """The file of the trial's result, in its place."""
    run(tmp_path / "results")
    return tmp_path / "results" / "trial.json"


def test_the_same_source_needs_no_probe(stored, monkeypatch):
    monkeypatch.setattr(probe, "take_apart", None)
    assert state.state("trial", with_probe=True) == state.State("same source")


def test_an_edited_source_is_held_against_the_probe(stored, monkeypatch):
    edit(monkeypatch)
    assert state.state("trial").name == "source edited"
    assert state.state("trial", with_probe=True) == state.State("same behaviour")
    behave(monkeypatch, losses=[1.0, 2.00001])
    assert state.state("trial", with_probe=True).is_good
    behave(monkeypatch, losses=[1.0, 2.01])
    found = state.state("trial", with_probe=True)
    assert found.name == "out of date" and not found.is_good
    assert found.why == ("1.losses: apart by 6.3e-03 of their size (allowed: 3e-03)",)


def test_other_settings_or_another_version_are_out_of_date_at_once(stored, study, monkeypatch):
    monkeypatch.setattr(probe, "take_apart", None)
    use(monkeypatch, replace(study, settings={"factor": 2, "size": (3, 5)}))
    assert state.state("trial").why == ("settings, size: [3, 4] then, [3, 5] now",)
    use(monkeypatch, replace(study, version=2))
    assert state.state("trial").why == ("version 1 then, 2 now",)


def test_no_result_is_no_state(study):
    assert state.state("trial").name == "none" and not state.state("trial").is_good


def test_recording_keeps_the_probe_of_the_code_that_measured(stored, monkeypatch):
    edit(monkeypatch)
    behave(monkeypatch, losses=[1.0, 2.00001])
    state.record("trial")
    assert json.loads(stored.read_text())["probe"]["1"]["losses"] == [1.0, 2.0]
    assert state.state("trial").name == "same source"
    before = stored.read_text()
    behave(monkeypatch, losses=[1.0, 2.1])
    with pytest.raises(ValueError, match="out of date: 1.losses: apart"):
        state.record("trial")
    assert stored.read_text() == before


def test_a_result_without_a_probe_is_out_of_date_until_one_is_recorded(stored):
    content = json.loads(stored.read_text())
    del content["probe"]
    stored.write_text(json.dumps({**content, "source": "old"}))
    assert "no probe" in state.state("trial", with_probe=True).why[0]
    state.record("trial")
    assert state.state("trial").name == "same source"


def test_describe_says_what_where_and_whether_the_code_was_edited(study, tmp_path, monkeypatch):
    stored, _ = run(tmp_path / "results")
    stored["seconds"] = 1500.0
    stored["environment"] |= {
        "cores": 2,
        "cpu": "Some CPU",
        "gpus": [],
        "packages": {"keras": "3.10.0", "numpy": "2.0"},
    }
    text = studies.describe(stored)
    assert (
        text
        == "A trial: 25 minutes on 2 cores of Some CPU (keras 3.10.0). Repeat with: segcourse study trial."
    )
    stored["environment"]["gpus"] = ["Some GPU"]
    assert "25 minutes on Some GPU (" in studies.describe(stored)
    edit(monkeypatch)
    assert "The code was edited since" in studies.describe(stored)


def test_an_unknown_study_lists_the_known_ones():
    for function in (studies.get, studies.load, state.state):
        with pytest.raises(ValueError, match="'fcm'.*" + ".*".join(studies.names())):
            function("fcm")
    with pytest.raises(ValueError, match="no study"):
        studies.run("fcm", Path("unused"))
    assert not Path("unused").exists()


def test_a_study_that_has_not_run_names_its_command(study):
    with pytest.raises(FileNotFoundError, match="segcourse study trial"):
        studies.load("trial")


@pytest.mark.parametrize("name", studies.names())
def test_every_study_is_described(name):
    study = studies.get(name)
    assert study.title and study.cost and study.parts and callable(study.run)
    assert json.loads(json.dumps(study.settings)) == study.settings  # what is stored compares equal to this
    assert len(store.source_digest(name)) == 64


def test_studies_are_found_by_their_files():
    files = {path.stem for path in Path(studies.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in studies.names()} == files


# Scores and tables


def test_tables_and_paired_differences():
    miou = {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.7, 0.9]}
    table = scoring.table({"miou": miou, "f1": {"a": [0.1, 0.1, 0.1], "b": [0, 0, 0]}})
    assert table["a"]["miou"] == pytest.approx((60, 10)) and table["b"]["f1"] == (0, 0)
    found = scoring.paired(miou, "a")
    assert list(found) == ["b"]
    differences = [10, 10, 20]
    assert found["b"] == pytest.approx((np.mean(differences), np.std(differences, ddof=1)))
    assert np.isnan(scoring.mean_and_spread([1.0])[1])


def test_the_best_of_a_grid():
    rows = list(scoring.grid({"x": [1, 2], "y": [3, 4]}))
    assert rows == [{"x": 1, "y": 3}, {"x": 1, "y": 4}, {"x": 2, "y": 3}, {"x": 2, "y": 4}]
    found = [{**row, "miou": score} for row, score in zip(rows, (0.1, 0.5, 0.5, 0.2), strict=True)]
    assert scoring.best(found, ["y", "x"]) == {"y": 4, "x": 1}


def test_scores_of_label_maps():
    labels = np.zeros((1, 8, 8), "uint8")
    labels[:, :, 4:] = 1
    shifted = np.roll(labels, 1, axis=2)
    found = scoring.scores(labels, shifted, 2, bands=(1, 2))
    assert found["pixel_accuracy"] == pytest.approx(48 / 64) and set(found["trimap_iou"]) == {1, 2}
    assert scoring.scores(labels, labels, 2)["boundary_f1"] == 1.0
    assert "trimap_iou" not in scoring.scores(labels, labels, 2)


# Weights


def test_weights_are_stored_in_half_precision_and_read_as_they_are_stored(tmp_path, monkeypatch):
    for module in ("fitting", "store"):
        monkeypatch.setattr(f"segcourse.studies.core.{module}.data_folder", lambda: tmp_path)
    monkeypatch.setattr(fitting, "data_file", lambda name: tmp_path / name)
    (tmp_path / "weights").mkdir()
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(512, 9), keras.layers.BatchNormalization()]
    )
    before = model.get_weights()
    fitting.write_weights(model, "small.weights.h5")
    path = tmp_path / "weights" / "small.weights.h5"
    assert path.stat().st_size < 0.55 * 4 * model.count_params() and [path] == list(path.parent.iterdir())
    for w in model.weights:
        w.assign(keras.ops.zeros_like(w))
    fitting.read_weights(model, "small.weights.h5")
    for old, new in zip(before, model.get_weights(), strict=True):
        assert new.dtype == np.float32
        np.testing.assert_array_equal(new, fitting.rounded(old).astype("float32"))
        np.testing.assert_allclose(new, old, rtol=2**-9 + 2**-11, atol=1e-6)  # rounded twice
    content = [w.copy() for w in model.get_weights()]
    fitting.halve(path)
    fitting.read_weights(model, "small.weights.h5")
    for old, new in zip(content, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_weights_beyond_half_precision_are_refused_and_the_file_stays(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.layers[0].bias.assign([1e6, 0])
    path = tmp_path / "large.weights.h5"
    model.save_weights(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="beyond 65504"):
        fitting.halve(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_rounding_to_eight_digits():
    values = np.array([1, 1 + 2**-8, 1 + 2**-9, 1 + 3 * 2**-10, -3.14159, 0, 65504], "float32")
    found = fitting.rounded(values).astype("float32")
    np.testing.assert_array_equal(found[:4], [1, 1 + 2**-8, 1 + 2**-8, 1 + 2**-8])
    np.testing.assert_allclose(found[4:6], values[4:6], rtol=2**-9)
    np.testing.assert_array_equal(fitting.rounded(found), found)


def test_a_network_too_large_for_a_committed_file_is_refused():
    model = keras.Sequential([keras.Input((1600,)), keras.layers.Dense(1600)])
    with pytest.raises(ValueError, match="2,561,600 weights; at most 2,500,000"):
        photographs.small_enough(model)


def test_the_common_study_of_the_photographs_runs_in_miniature():
    notes = probe.take(studies.get("camvid-starter"))["all"]
    assert [t["network"] for t in notes["trainings"]] and notes["result"]["parameters"] < photographs.LARGEST
    assert {"miou", "boundary_f1", "trimap_iou"} <= set(notes["result"]["val"])


# What is stored

every_result = pytest.mark.parametrize("name", RESULTS)


def test_every_stored_result_is_of_a_known_study():
    assert set(RESULTS) <= set(studies.names())


@every_result
def test_a_stored_result_is_complete(name):
    stored, study = studies.load(name), studies.get(name)
    assert stored["study"] == name and stored["command"] == f"segcourse study {name}"
    assert set(stored["results"]) == set(study.parts) or study.probed  # such a study grows part by part
    assert len(stored["source"]) == 64 and stored["seconds"] > 0 and stored["probe"]
    assert {"python", "packages", "backend", "platform", "cpu", "cores", "gpus"} <= set(stored["environment"])
    assert set(stored["weights"]) == set(study.weights)
    assert name in studies.describe(stored)


@every_result
def test_the_weights_are_those_that_the_study_wrote(name):
    for file, expected in studies.load(name)["weights"].items():
        content = (data_folder() / "weights" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected, (
            f"{file} is not the file that the study measured"
        )
        assert len(content) <= 5e6


def test_all_weights_together_stay_small():
    assert sum(path.stat().st_size for path in (data_folder() / "weights").glob("*.h5")) <= 40e6


@pytest.mark.parametrize("name", RESULTS, ids="probe={}".format)
def test_a_stored_result_belongs_to_todays_code(name, request):
    """It fails when the behaviour changed. A probe takes about 15 seconds; `--probes` runs those of unedited
    code as well, on which other versions of the libraries or another processor may act."""
    found = state.state(name, with_probe=True)
    if found.name == "same source" and request.config.getoption("--probes"):
        found = state.compare(name, studies.load(name))
    assert found.is_good, f"{name} is {found.name}: {'; '.join(found.why)}. Run: segcourse study {name}"


def test_the_claim_of_fcn_can_be_read_from_the_stored_study():
    from segcourse.studies import fcn
    from segcourse.studies.core import reading

    stored = studies.load("fcn")
    assert reading.stored(stored, fcn.VARIANTS) == fcn.VARIANTS, "a claim needs at least three seeds"
    for variant, row in fcn.table(stored).items():
        for score, (mean, spread) in row.items():
            values = [100 * part["test"][score] for part in reading.of(stored, variant)]
            assert mean == pytest.approx(np.mean(values)) and spread == pytest.approx(np.std(values, ddof=1))
            assert 0 < mean < 100 and 0 <= spread < 25
        assert fcn.class_iou(stored)[variant].shape == (11,)
        assert np.nanmean(fcn.class_iou(stored)[variant]) == pytest.approx(row["miou"][0] / 100, abs=1e-6)

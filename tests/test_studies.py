"""The machinery of the studies, and the results that are stored."""

import hashlib
import json
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segcourse import studies
from segcourse.paths import data_folder
from segcourse.studies import Study, code_digest

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
    trial = Study(
        "A trial",
        "a moment",
        {"factor": 2, "size": (3, 4)},
        ("losses/cross_entropy.py",),
        ("1", "2", "3"),
        experiment,
    )
    get = studies.get
    monkeypatch.setattr(studies, "get", lambda name: trial if name == "trial" else get(name))
    for module in ("segcourse.paths", "segcourse.studies"):
        monkeypatch.setattr(f"{module}.data_folder", lambda: tmp_path)
    return trial


def use(monkeypatch, study):
    monkeypatch.setattr(studies, "get", lambda name: study)


def run(folder):
    lines = []
    path = studies.run("trial", folder, report=lines.append)
    assert path == folder / "trial.json"
    return json.loads(path.read_text()), lines


def test_a_result_carries_where_it_comes_from(study, tmp_path):
    stored, lines = run(tmp_path / "results")
    assert stored["study"] == "trial" and stored["title"] == "A trial"
    assert stored["command"] == "segcourse study trial"
    assert stored["settings"] == {"factor": 2, "size": [3, 4]}
    assert stored["code"] == code_digest(("losses/cross_entropy.py",))
    assert stored["environment"]["packages"]["keras"]
    assert stored["seconds"] >= 0
    assert [stored["results"][part]["score"] for part in "123"] == [2, 4, 6]
    assert len(lines) == 3
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["trial.json"]  # nothing half-written


def test_numbers_that_are_none_become_null(study, tmp_path):
    stored, _ = run(tmp_path / "results")
    assert stored["results"]["1"]["iou"] == [0.5, None]
    assert "NaN" not in (tmp_path / "results" / "trial.json").read_text()


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


@pytest.mark.parametrize(
    "change", [{"settings": {"factor": 3, "size": (3, 4)}}, {"code": ("metrics/confusion.py",)}]
)
def test_parts_of_another_experiment_are_not_reused(study, experiment, tmp_path, monkeypatch, change):
    experiment.fails_at = "3"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    experiment.fails_at = None
    other = replace(study, **change)
    use(monkeypatch, other)
    stored, _ = run(tmp_path)
    assert experiment.computed == ["1", "2", "1", "2", "3"]
    assert stored["results"]["1"]["score"] == other.settings["factor"]


def test_the_weights_that_a_study_writes_are_digested(study, tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.h5").write_bytes(b"weights")
    use(monkeypatch, replace(study, weights=("net.h5",)))
    assert run(tmp_path)[0]["weights"] == {"net.h5": hashlib.sha256(b"weights").hexdigest()}


def test_a_result_is_current_until_code_or_settings_change(study, tmp_path, monkeypatch):
    run(tmp_path / "results")
    assert studies.is_current("trial")
    use(monkeypatch, replace(study, settings={"factor": 2, "size": (3, 5)}))
    assert not studies.is_current("trial")
    use(monkeypatch, replace(study, code=("metrics/confusion.py",)))
    assert not studies.is_current("trial")


def test_describe_says_what_where_and_whether_it_still_holds(study, tmp_path, monkeypatch):
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
    use(monkeypatch, replace(study, code=("metrics/confusion.py",)))
    assert "has changed" in studies.describe(stored)


def test_an_unknown_study_lists_the_known_ones():
    for function in (studies.get, studies.load, studies.is_current):
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
    package = Path(studies.__file__).parent.parent
    assert all((package / file).is_file() for file in study.code)
    own = study.run.__module__.removeprefix("segcourse.").replace(".", "/") + ".py"
    assert own in study.code, "a study measures its own code too"


# The digest of the measured code

CODE = '''
    """A module."""
    import math

    # A comment.
    def area(radius, factor=1):
        """Area of a disc."""
        if radius < 0:
            raise ValueError("negative")
        return factor * math.pi * radius**2

    SIDES = (3, 4)
'''


def digest(folder, code):
    (folder / "code.py").write_text(textwrap.dedent(code))
    return code_digest(("code.py",), folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment.", "# Another one."),
        ('"""A module."""', ""),
        ('"""Area of a disc."""', '"""Its area."""'),
        ('"""Area of a disc."""\n', "\n\n"),
        ("factor * math.pi", "(factor   *  math.pi)"),
        ("area(radius, factor=1)", "area(\n        radius,\n        factor=1,\n    )"),
    ],
)
def test_the_digest_ignores_what_does_not_compute(tmp_path, old, new):
    assert old in CODE
    assert digest(tmp_path, CODE.replace(old, new)) == digest(tmp_path, CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factor=1", "factor=2"),
        ("factor=1", "factor=None"),
        ("radius**2", "radius**3"),
        ("radius < 0", "radius <= 0"),
        ('"negative"', '"below zero"'),
        ("(3, 4)", "(4, 3)"),
        ("math.pi *", "math.e *"),
        ("return factor", "factor"),
    ],
)
def test_the_digest_notices_a_change(tmp_path, old, new):
    assert old in CODE
    assert digest(tmp_path, CODE.replace(old, new)) != digest(tmp_path, CODE)


def test_the_digest_ignores_the_order_of_definitions_but_not_of_statements(tmp_path):
    one, two = "def a():\n    return 1\n", "def b():\n    x = 1\n    x = 2\n    return x\n"
    assert digest(tmp_path, one + two) == digest(tmp_path, two + one)
    assert digest(tmp_path, one + two) != digest(
        tmp_path, one + two.replace("x = 1\n    x = 2", "x = 2\n    x = 1")
    )


def test_the_digest_tells_the_files_apart(tmp_path):
    (tmp_path / "a.py").write_text("A = 1\n")
    (tmp_path / "b.py").write_text("B = 1\n")
    both = code_digest(("a.py", "b.py"), tmp_path)
    assert both not in (code_digest(("a.py",), tmp_path), code_digest(("b.py",), tmp_path))
    shutil.move(tmp_path / "a.py", tmp_path / "c.py")
    (tmp_path / "a.py").write_text("B = 1\n")
    (tmp_path / "b.py").write_text("A = 1\n")
    assert code_digest(("a.py", "b.py"), tmp_path) != both


# What is stored

every_result = pytest.mark.parametrize("name", RESULTS)


def test_every_stored_result_is_of_a_known_study():
    assert set(RESULTS) <= set(studies.names())


@every_result
def test_a_stored_result_is_complete(name):
    stored, study = studies.load(name), studies.get(name)
    assert stored["study"] == name and stored["command"] == f"segcourse study {name}"
    assert list(stored["results"]) == list(study.parts)
    assert len(stored["code"]) == 64 and stored["seconds"] > 0
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
        assert len(content) <= 20e6


@every_result
def test_a_stored_result_was_measured_with_todays_code(name):
    """Fails by design when measured code or settings change: the stored numbers are then outdated."""
    assert studies.is_current(name), (
        f"The code that {name!r} measured has changed. Run: segcourse study {name}"
    )


def test_the_claim_of_fcn_can_be_read_from_the_stored_study():
    if "fcn" not in RESULTS:
        pytest.skip("the study has not been run: segcourse study fcn")
    from segcourse.studies import fcn

    stored = studies.load("fcn")
    assert len(stored["results"]) >= 3, "a claim needs at least three seeds"
    table = fcn.table(stored)
    assert list(table) == ["32s-fixed", "32s", "16s", "8s"]
    for variant, row in table.items():
        for score, (mean, spread) in row.items():
            values = [100 * result[variant][score] for result in stored["results"].values()]
            assert mean == pytest.approx(sum(values) / len(values))
            squares = sum((value - mean) ** 2 for value in values)
            assert spread == pytest.approx((squares / (len(values) - 1)) ** 0.5)
            assert 0 < mean < 100 and 0 <= spread < 25
        assert fcn.class_iou(stored)[variant].shape == (11,)
        assert np.nanmean(fcn.class_iou(stored)[variant]) == pytest.approx(row["miou"][0] / 100, abs=1e-6)
    assert fcn.per_seed(stored, "miou")["8s"] == [
        result["8s"]["miou"] for result in stored["results"].values()
    ]

"""A lesson's record is fresh until something changes that its outputs depend on."""

from pathlib import Path

import nbformat
import pytest
import records

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
CODE = """import segcourse.metrics
from segcourse import studies
from segcourse.studies import trial
%matplotlib inline
shown = studies.load("fcn")
print(f"weights/{trial.WEIGHTS}", "weights/classifier.weights.h5")"""


@pytest.fixture
def places(tmp_path):
    """A small package and its data, as arguments of the functions of `records`."""
    files = {
        "segcourse/__init__.py": "",
        "segcourse/metrics.py": "from segcourse import confusion",
        "segcourse/confusion.py": "def miou(): return 1",
        "segcourse/losses.py": "def loss(): return 1",
        "segcourse/studies/__init__.py": "def load(name): return name",
        "segcourse/studies/trial.py": 'WEIGHTS = "trial.weights.h5"',
        "data/results/fcn.json": "{}",
        "data/results/unet.json": "{}",
        "data/weights/trial.weights.h5": "1",
        "data/weights/classifier.weights.h5": "1",
        "data/weights/other.weights.h5": "1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return {"package": tmp_path / "segcourse", "data": tmp_path / "data"}


@pytest.fixture
def lesson(places):
    cells = [nbformat.v4.new_markdown_cell("# Lesson"), nbformat.v4.new_code_cell(CODE)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    records.store(notebook, 12.6, "2 cores of a machine", **places)
    return notebook


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_can_be_recorded(path):
    assert set(records.digests(nbformat.read(path, 4))) == {"code", "source", "data"}


def test_the_record_of_an_execution(lesson, places):
    assert records.of(lesson)["seconds"] == 13 and records.of(lesson)["machine"] == "2 cores of a machine"
    assert records.why_stale(lesson, **places) == ""


def test_a_lesson_without_a_record_is_stale(places):
    assert "no record" in records.why_stale(nbformat.v4.new_notebook(), **places)


HARMLESS = ["data/results/unet.json", "data/weights/other.weights.h5", "segcourse/losses.py"]
HARMFUL = {
    "segcourse/metrics.py": "imports",
    "segcourse/confusion.py": "imports",
    "segcourse/studies/__init__.py": "imports",
    "data/results/fcn.json": "stored result",
    "data/weights/trial.weights.h5": "weights",
    "data/weights/classifier.weights.h5": "weights",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_it_stays_fresh_when_what_it_does_not_use_changes(lesson, places, name):
    (places["data"].parent / name).write_text("changed = 2")
    assert records.why_stale(lesson, **places) == ""


@pytest.mark.parametrize(("name", "word"), HARMFUL.items(), ids=HARMFUL)
def test_it_is_stale_when_what_it_uses_changes(lesson, places, name, word):
    (places["data"].parent / name).write_text('{"results": 2}' if name.endswith("json") else "changed = 2")
    why = records.why_stale(lesson, **places)
    assert word in why and ";" not in why


def test_it_stays_fresh_when_a_result_is_tied_to_other_code(lesson, places):
    (places["data"] / "results/fcn.json").write_text('{"source": "abc", "probe": {}, "as_stored": {}}')
    assert records.why_stale(lesson, **places) == ""


def test_its_own_code_counts_and_its_words_do_not(lesson, places):
    lesson.cells[0].source = "# Another title"
    lesson.cells[1].source += "  # a comment"
    assert records.why_stale(lesson, **places) == ""
    lesson.cells[1].source += "\nshown = 1"
    assert "its code" in records.why_stale(lesson, **places)


def test_a_result_without_a_name_is_refused(places):
    cells = [nbformat.v4.new_code_cell("from segcourse import studies\nstudies.load(name)")]
    with pytest.raises(ValueError, match=r"studies.load\(name\): give the result's name itself"):
        records.store(nbformat.v4.new_notebook(cells=cells), 1, "a machine", **places)

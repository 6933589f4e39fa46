"""Every exercise both ways: its check passes on the solution and fails when the solution is taken out."""

import functools
import re

import nbformat
import pytest
from helpers import LESSONS, ROOT, tags

from segcourse.exercises import NotYet

SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[^\n]*", re.MULTILINE | re.DOTALL
)
BLANKS = ["raise NotImplementedError", "pass", "return None"]


def exercises(path):
    """(exercise, check) sources of the lesson at `path`, in order."""
    cells = nbformat.read(path, 4).cells
    numbers = [n for n, cell in enumerate(cells) if "exercise" in tags(cell)]
    return [(cells[n].source, cells[n + 1].source) for n in numbers]


@functools.cache
def setup(path):
    """What the cells tagged "setup" define."""
    namespace = {"__name__": "__main__"}
    for cell in nbformat.read(path, 4).cells:
        if "setup" in tags(cell):
            exec(cell.source, namespace)
    return namespace


def attempt(path, exercise, check):
    """Run an exercise and its check as a learner would who has run the lesson's setup cells."""
    namespace = dict(setup(path))
    exec(exercise, namespace)
    exec(check, namespace)


def blanked(exercise, blank):
    """The exercise with its solution replaced by one statement."""
    text, count = SOLUTION.subn(rf"\g<1>{blank}", exercise)
    assert count, "no solution is marked"
    return text


def blanks(exercise):
    """The statements that can stand for the solution: `return` only where it is inside a function."""
    indented = SOLUTION.search(exercise)[1]
    return BLANKS if indented else BLANKS[:2]


ALL = [
    pytest.param(path, *pair, id=f"{path.stem}-{number}")
    for path in LESSONS
    for number, pair in enumerate(exercises(path), 1)
]


@pytest.fixture(autouse=True)
def in_the_notebooks_folder(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")


@pytest.mark.parametrize(("path", "exercise", "check"), ALL)
def test_the_check_passes_on_the_solution_and_fails_without(path, exercise, check):
    attempt(path, exercise, check)
    for blank in blanks(exercise):
        with pytest.raises((NotYet, NotImplementedError)):
            attempt(path, blanked(exercise, blank), check)


def lesson(tmp_path, exercise, check):
    cells = [
        nbformat.v4.new_code_cell("from segcourse import exercises\nTWO = 2", metadata={"tags": ["setup"]}),
        nbformat.v4.new_code_cell("raise ValueError('not a setup cell')"),
        nbformat.v4.new_code_cell(exercise, metadata={"tags": ["exercise"]}),
        nbformat.v4.new_code_cell(check, metadata={"tags": ["check"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "lesson.ipynb")
    return tmp_path / "lesson.ipynb"


HONEST = "with exercises.check('1.1'):\n    assert double(3) == 6, 'double(3) is 6'"
LAZY = "with exercises.check('1.1'):\n    double(3)"
DOUBLE = "def double(x):\n    ### BEGIN SOLUTION\n    y = TWO * x\n    return y\n    ### END SOLUTION"


def test_an_honest_check_is_accepted(tmp_path):
    path = lesson(tmp_path, DOUBLE, HONEST)
    ((exercise, check),) = exercises(path)
    test_the_check_passes_on_the_solution_and_fails_without(path, exercise, check)


def test_a_check_that_nothing_can_fail_is_found(tmp_path):
    path = lesson(tmp_path, DOUBLE, LAZY)
    ((exercise, check),) = exercises(path)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_the_check_passes_on_the_solution_and_fails_without(path, exercise, check)


def test_a_wrong_solution_is_found(tmp_path):
    path = lesson(tmp_path, DOUBLE.replace("TWO", "3"), HONEST)
    ((exercise, check),) = exercises(path)
    with pytest.raises(NotYet):
        test_the_check_passes_on_the_solution_and_fails_without(path, exercise, check)


def test_the_solution_is_replaced_at_its_own_indentation():
    assert blanked(DOUBLE, "pass") == "def double(x):\n    pass"
    assert blanks("### BEGIN SOLUTION\ny = 1\n### END SOLUTION") == BLANKS[:2]

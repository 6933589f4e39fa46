"""The budget of `make test`: which lessons are executed, in which order, and what it means to be left out.

The lessons here have two cells, and all but one test execute them without a kernel.
"""

import sys
from pathlib import Path

import lesson_budget
import nbformat
import pytest
import records

NUMBERS = ("01", "02", "03", "04")
# Stands for nbval: one item for each code cell.
COLLECT = """
import nbformat, pytest

class Cell(pytest.Item):
    def runtest(self):
        exec(self.source)

class Lesson(pytest.File):
    def collect(self):
        for n, cell in enumerate(nbformat.read(self.path, 4).cells):
            item = Cell.from_parent(self, name=f"Cell {n}")
            item.source = cell.source
            yield item

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb":
        return Lesson.from_parent(parent, path=file_path)
"""


def write_lesson(folder, number, *, seconds=20, stale=False, source="assert a == 1"):
    cells = [nbformat.v4.new_code_cell("a = 1"), nbformat.v4.new_code_cell(source)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    records.store(notebook, seconds, "a machine")
    if stale:
        notebook.cells[0].source = "a = 1; changed = 2"
    path = folder / "notebooks" / f"{number}_x.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def run(pytester, monkeypatch):
    """A function that runs a unit test and four lessons: the stale ones, their recorded seconds."""
    monkeypatch.setattr(lesson_budget.time, "time", lambda: 0)  # day 0, on which the rotation begins with 01

    def run(*arguments, stale=(), seconds=None):
        pytester.makeconftest(COLLECT)
        pytester.makepyfile(test_unit="def test_unit(): pass")
        for number in NUMBERS:
            expected = (seconds or {}).get(number, 20)
            write_lesson(pytester.path, number, stale=number in stale, seconds=expected, source="pass")
        arguments = ["notebooks", "test_unit.py", "-v", "-p", "lesson_budget", *arguments]
        return pytester.runpytest_inprocess(*arguments)

    return run


def executed(result):
    """The tests that passed, in their order."""
    lines = [line.split(" PASSED")[0] for line in result.outlines if " PASSED" in line]
    return [line.removeprefix("notebooks/").replace("_x.ipynb::Cell ", ".") for line in lines]


def test_without_a_budget_everything_is_executed_after_the_unit_tests(run):
    result = run()
    result.assert_outcomes(passed=9)
    assert executed(result) == [
        "test_unit.py::test_unit",
        *(f"{n}.{cell}" for n in NUMBERS for cell in (0, 1)),
    ]
    result.stdout.fnmatch_lines(["executed: 4 of 4", "left out, good by record: 0 of 4"])


def test_stale_lessons_come_first_whatever_fits_after_them(run):
    result = run("--lesson-minutes=1", stale=("03", "04"), seconds={"01": 500})
    result.assert_outcomes(passed=7, skipped=1)
    assert executed(result)[1:] == [f"{n}.{cell}" for n in ("03", "04", "02") for cell in (0, 1)]
    result.stdout.fnmatch_lines(["executed: 3 of 4", "  notebooks/03_x.ipynb, * s: its code has changed*"])
    result.stdout.fnmatch_lines(["left out, good by record: 1 of 4", "  notebooks/01_x.ipynb:*fresh (500 s)"])


def test_a_stale_lesson_that_is_left_out_fails(run):
    result = run("--lesson-minutes=0.3", stale=("02",))
    result.assert_outcomes(passed=1, failed=1, skipped=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*02_x.ipynb was not executed: 0.3 minutes*Run `make lesson`*"])
    result.stdout.fnmatch_lines(
        ["left out though stale: 1 of 4", "  notebooks/02_x.ipynb: its code has changed*"]
    )


def test_the_time_that_lessons_took_counts_and_not_what_was_expected(run, monkeypatch):
    now = iter(range(0, 10_000, 25))  # every lesson takes 25 seconds
    monkeypatch.setattr(lesson_budget.time, "monotonic", lambda: next(now))
    result = run("--lesson-minutes=1.2")
    result.assert_outcomes(passed=7, skipped=1)
    assert result.ret == 0


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 10, 24, 35])
def test_every_lesson_comes_first_in_its_turn(count):
    lessons = [lesson_budget.Lesson(str(number), 100, "") for number in range(count)]
    orders = [lesson_budget.in_turn(lessons, day) for day in range(700_000, 700_000 + count)]
    assert {order[0] for order in orders} == set(lessons)
    assert all(sorted(order, key=lessons.index) == lessons for order in orders)


def test_with_nbval_and_two_workers(pytester):
    """As `make test` calls it, in processes of their own."""
    tools = Path(lesson_budget.__file__).parent
    pytester.makeini(f"[pytest]\npythonpath = {tools} {tools.parent}")
    pytester.makeconftest('pytest_plugins = ["lesson_budget"]')
    pytester.makepyfile(test_unit="def test_unit(): pass")
    write_lesson(pytester.path, "01")
    write_lesson(pytester.path, "02", seconds=5000)
    write_lesson(pytester.path, "03", stale=True)
    nbval = ["--nbval-lax", "--nbval-current-env", "-n2", "--dist=loadfile", "--no-loadscope-reorder"]
    result = pytester.run(
        sys.executable, "-m", "pytest", "test_unit.py", "notebooks", *nbval, "--lesson-minutes=30"
    )
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(["executed: 2 of 3", "left out, good by record: 1 of 3", "  *02_x.ipynb: *"])

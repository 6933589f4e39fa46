"""Lessons stay within the limits of the design."""

import re
from dataclasses import replace
from pathlib import Path

import measure_lessons
import nbformat
import pytest
from measure_lessons import LIMITS, Measures, excess, measure, reading_minutes

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
HEADER_MINUTES = re.compile(r"^\|[ *]*Reading[^|]*\|([^|]*) minutes", re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_lesson_is_within_its_limits(path):
    assert excess(measure(path)) == {}, f"the limits are {LIMITS}"


def said_minutes(notebook):
    """The numbers in the header's row | Reading | about 38 and 36 minutes, two sittings |, a list."""
    row = HEADER_MINUTES.search(notebook.cells[0].source)
    return [int(number) for number in re.findall(r"\d+", row[1])] if row else []


def header_problems(notebook):
    """Whether the header says how long each sitting takes, to 3 minutes."""
    said, measured = said_minutes(notebook), reading_minutes(notebook)
    right = len(said) == len(measured) and all(abs(a - b) <= 3 for a, b in zip(said, measured, strict=True))
    return [] if right else [f"the header's row | Reading | says {said} minutes, measured are {measured}"]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_header_tells_the_reading_minutes(path):
    assert header_problems(nbformat.read(path, 4)) == []


# The functions themselves, on lessons made for it.


def test_what_is_over_a_limit():
    assert excess(LIMITS) == {}
    assert excess(replace(LIMITS, seconds=None)) == {}  # never executed
    assert excess(replace(LIMITS, seconds=151, minutes=46)) == {"seconds": 151, "minutes": 46}


def lesson(folder, *cells, record=None):
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"segcourse": record} if record else {})
    path = folder / "07_x.ipynb"
    nbformat.write(notebook, path)
    return path


def shown(source):
    return nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", text="1")])


def test_what_is_measured(tmp_path):
    silent = nbformat.v4.new_code_cell
    folded = silent("x = 1\n" * 20, metadata={"jupyter": {"source_hidden": True}})
    path = lesson(
        tmp_path,
        nbformat.v4.new_markdown_cell("# Title\n" + "word " * 358),
        shown("a = 1\n\n" * 20),
        silent("b = 1  " + "#" * 104),
        silent("b = 2"),
        shown("c = 3"),
        silent("c = 4"),
        folded,
        record={"seconds": 71, "machine": "x"},
    )
    assert measure(path) == Measures(
        minutes=5,  # 4.2 are more than 4
        seconds=71,
        kilobytes=-(-len(path.read_bytes()) // 1000),
        long_lines=1,
        silent_cells=2,
        long_cells=1,
    )


def in_sittings(*minutes, said="", heading="# Second sitting: more"):
    """A lesson with a header and sittings of so many minutes; the second one begins with `heading`."""
    cells = [nbformat.v4.new_markdown_cell(f"# T\n\n| **Reading** | {said} |")]
    for place, minute in enumerate(minutes):
        cells += [nbformat.v4.new_markdown_cell(heading)] * bool(place)
        cells.append(nbformat.v4.new_code_cell("x = 1\n" * (20 * minute - 2)))  # and some words
    return nbformat.v4.new_notebook(cells=cells)


def test_a_lesson_in_two_sittings_is_as_long_as_the_longer_one(tmp_path):
    assert reading_minutes(in_sittings(20, 30)) == [20, 30]
    assert measure(lesson(tmp_path, *in_sittings(20, 30).cells)).minutes == 30
    assert measure(lesson(tmp_path, *in_sittings(30, 20).cells)).minutes == 30
    assert reading_minutes(in_sittings(20, 30, heading="## A second sitting")) == [50]
    assert reading_minutes(in_sittings(20, 30, heading="The text\n\n# Second sitting")) == [50]
    comment = nbformat.v4.new_code_cell("# Second sitting\n" + "x = 1\n" * 199)
    assert reading_minutes(nbformat.v4.new_notebook(cells=[comment])) == [10]


@pytest.mark.parametrize("said", ["about 20 and 30 minutes, two sittings", "about 23 and 27 minutes"])
def test_the_header_may_be_three_minutes_off_for_each_sitting(said):
    assert header_problems(in_sittings(20, 30, said=said)) == []


@pytest.mark.parametrize(
    "said", ["", "about 50 minutes", "about 20 minutes", "about 24 and 30 minutes", "about 30 and 20 minutes"]
)
def test_a_header_that_does_not_tell_the_minutes_of_each_sitting(said):
    assert "measured are [20, 30]" in header_problems(in_sittings(20, 30, said=said))[0]


def test_the_table_names_what_is_over(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    lesson(tmp_path / "notebooks", shown("#" * 111))
    monkeypatch.setattr(measure_lessons, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["measure_lessons.py"])
    measure_lessons.main()
    printed = capsys.readouterr().out
    assert re.search(r"^07_x +1 +- +1 +1 +0 +0 *$", printed, re.MULTILINE)
    assert '"07_x": {"long_lines": 1},' in printed

"""Running a lesson: outputs are saved normalised; one that fails or may not be saved stays as it was."""

import re

import nbformat
import pytest
import records
import run_lessons


@pytest.fixture
def lesson(tmp_path):
    """A function that writes a lesson from its code cells and returns its path."""

    def write(*sources):
        cells = [
            nbformat.v4.new_markdown_cell("# Lesson\n## First part"),
            *map(nbformat.v4.new_code_cell, sources),
        ]
        path = tmp_path / "01_lesson.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


def test_outputs_are_saved_and_a_second_run_changes_nothing(lesson):
    path = lesson("#| export x\nx = 20", "import os\nos.environ['PYTEST_CURRENT_TEST'], x + 1")
    said = []
    assert run_lessons.run_lesson(path, said.append) > 0
    notebook = nbformat.read(path, 4)
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2]
    assert notebook.cells[2].outputs[0].data["text/plain"] == "('1', 21)"
    assert set(notebook.metadata) == {"kernelspec", "language_info", "segcourse"}
    assert records.why_stale(notebook) == ""
    assert records.of(notebook)["seconds"] < 60 and " cores of " in records.of(notebook)["machine"]
    assert (
        said[1].strip() == "First part"
        and said[2].endswith("s  x = 20")
        and said[-1].startswith("01_lesson.ipynb: ")
    )
    saved = without_seconds(path)
    run_lessons.run_lesson(path, said.append)
    assert without_seconds(path) == saved


def test_the_seconds_are_those_of_all_cells_together(lesson):
    slow = "import time\ntime.sleep(0.4)"
    assert run_lessons.run_lesson(lesson(slow, slow, "x = 1"), lambda line: None) >= 0.8


def without_seconds(path):
    return re.sub(r'"seconds": \d+', "", path.read_text(encoding="utf-8"))


def test_the_normal_form_keeps_the_record_and_drops_other_metadata():
    lesson = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")], metadata={"widgets": {"x": 1}})
    assert set(nbformat.reads(run_lessons.normalize(lesson), 4).metadata) == {"kernelspec", "language_info"}
    records.store(lesson, 1.4, "2 cores of a machine")
    kept = nbformat.reads(run_lessons.normalize(lesson), 4)
    assert records.of(kept) == records.of(lesson) and records.of(kept)["seconds"] == 1


REFUSED = {
    "error": ("1 / 0", "Cell 1 failed(.|\n)*1 / 0(.|\n)*ZeroDivisionError"),
    "size": ("print('x' * 500_000)", r"the limit is 400 kB(.|\n)*have the cells 1 \(500 kB\)"),
    "machine path": (
        "print('saved in /home/someone/x')",
        "Cell 1 shows a path of this machine: /home/someone",
    ),
    "dead kernel": ("import os\nos._exit(1)", "Cell 1 did not finish"),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_the_lesson_untouched(lesson, source, message):
    path = lesson(source)
    before = path.read_bytes()
    with pytest.raises(run_lessons.LessonError, match=message):
        run_lessons.run_lesson(path, report=lambda line: None)
    assert path.read_bytes() == before


def test_an_unknown_lesson_lists_the_known_ones(lesson):
    path = lesson("1")
    root = path.parent.parent
    path.parent.rename(root / "notebooks")
    assert run_lessons.find_lesson("01", root) == root / "notebooks" / path.name
    assert run_lessons.find_lesson("notebooks/01_lesson.ipynb", root).name == path.name
    with pytest.raises(run_lessons.LessonError, match="'7'. Known: 01_lesson"):
        run_lessons.find_lesson("7", root)

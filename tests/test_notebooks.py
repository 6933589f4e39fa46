"""The form of every lesson: what can be seen without running it. (nbval runs them.)"""

import copy
import re

import nbformat
import new_lesson
import pytest
import run_lessons
from helpers import LESSONS, tags
from run_lessons import PRIVATE_PATH, SIZE_LIMIT, output_text

LONGEST_CELL = 35
SECTIONS = list(new_lesson.SECTIONS)
WITHOUT_A_PAPER = {"00", "21", "22", "23"}
HEADER = ["Paper", "Authors", "Venue", "First published", "Before", "you can", "minutes", "CPU"]
# In a formula two backslashes are a new line, and the command's name is then printed as plain letters.
DOUBLED_BACKSLASH = re.compile(r"\\\\(exp|frac|sigma|left|right|text|sum|cdot|log)\b")
LIBRARY_NOISE = re.compile(r"\b(\w*Warning:|WARNING|oneDNN|cuda)", re.IGNORECASE)


def sections(notebook):
    """The titles of the second level, without their numbers."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [re.sub(r"^[\d.]+ ", "", title).strip() for title in re.findall(r"^## (.+)$", text, re.MULTILINE)]


def shape_problems(notebook, has_paper):
    """Whether the sections stand in the order of the course, all of them where the lesson has a paper."""
    found = [title for title in sections(notebook) if title in SECTIONS]
    wanted = SECTIONS if has_paper else [title for title in SECTIONS if title in found]
    problems = [] if found == wanted else [f"sections are {found}, wanted {wanted}"]
    header = "\n".join(cell.source for cell in notebook.cells[:1])
    if not header.startswith("# "):
        problems.append("the first cell is no title")
    return problems + [
        f"the header says nothing of {field!r}" for field in HEADER if has_paper and field not in header
    ]


def cell_problems(notebook):
    """Long cells, doubled ids, exercises without a check or a marked solution, broken formulas."""
    ids = [cell.get("id") for cell in notebook.cells]
    problems = [] if None not in ids and len(set(ids)) == len(ids) else ["cells without an id of their own"]
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and len(cell.source.splitlines()) > LONGEST_CELL:
            problems.append(f"cell {index} has more than {LONGEST_CELL} lines")
        if "exercise" in tags(cell):
            if "check" not in tags(notebook.cells[index + 1]) if index + 1 < len(ids) else True:
                problems.append(f"cell {index}: no check right after the exercise")
            if not re.search(r"### BEGIN SOLUTION\n.+\n(.*\n)*?\s*### END SOLUTION", cell.source):
                problems.append(f"cell {index}: no marked solution")
        if cell.cell_type == "markdown" and (broken := DOUBLED_BACKSLASH.search(cell.source)):
            problems.append(f"cell {index}: a formula says {broken[0]!r}; a command has one backslash")
    return problems


def output_problems(notebook):
    """Cells not run in order, errors, machine paths, library noise, and pictures without alt text."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    in_order = [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    problems = [] if in_order else ["the cells were not executed from top to bottom"]
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            text = output_text(output)
            if output.output_type == "error":
                problems.append(f"cell {index} ends in {output.ename}")
            if path := PRIVATE_PATH.search(text):
                problems.append(f"cell {index} shows the path {path[0]}")
            if noise := LIBRARY_NOISE.search(text):
                problems.append(f"cell {index} shows a library's message: {noise[0]}")
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if "image/png" in output.get("data", {}) and not alt.strip():
                problems.append(f"cell {index} shows a picture without alt text")
    return problems


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_the_shape_of_the_lesson(path):
    assert shape_problems(nbformat.read(path, 4), path.stem[:2] not in WITHOUT_A_PAPER) == []


def test_the_cells(path):
    notebook = nbformat.read(path, 4)
    assert cell_problems(notebook) == []
    exercises = [cell for cell in notebook.cells if "exercise" in tags(cell)]
    assert 2 <= len(exercises) <= 4


def test_nothing_is_left_of_the_skeleton(path):
    assert [cell.source for cell in nbformat.read(path, 4).cells if "TODO" in cell.source] == []


def test_the_outputs(path):
    assert output_problems(nbformat.read(path, 4)) == []


def test_the_size_and_the_form_of_the_file(path):
    assert path.stat().st_size <= SIZE_LIMIT
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert run_lessons.normalize(copy.deepcopy(notebook)) == path.read_text(encoding="utf-8"), (
        "run make lesson"
    )


# The same functions on lessons made for it: each must see what it is there for.

SOLVED = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"


def sample(*, drop=(), code="1 + 1", exercise=SOLVED):
    """A lesson in good form, but for what the arguments say."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# T\n" + " | ".join(HEADER))]
    cells += [v4.new_markdown_cell(f"## {n} {t}") for n, t in enumerate(SECTIONS, 1) if t not in drop]
    cells += [v4.new_code_cell(code)]
    cells += [v4.new_code_cell(exercise, metadata={"tags": ["exercise"]})]
    cells += [v4.new_code_cell("assert f() == 1", metadata={"tags": ["check"]})]
    for count, cell in enumerate(cells[-3:], 1):
        cell.execution_count = count
    return v4.new_notebook(cells=cells)


def test_a_lesson_in_good_form_has_no_problems():
    lesson = sample()
    assert shape_problems(lesson, True) + cell_problems(lesson) + output_problems(lesson) == []


def test_a_missing_or_misplaced_section_is_seen():
    assert "sections are" in shape_problems(sample(drop=["Break it"]), True)[0]
    assert shape_problems(sample(drop=["Break it"]), False) == []
    lesson = sample()
    lesson.cells[1], lesson.cells[2] = lesson.cells[2], lesson.cells[1]
    assert "sections are" in shape_problems(lesson, False)[0]
    lesson.cells[0].source = "# T"
    assert len(shape_problems(lesson, True)) == 1 + len(HEADER)


def test_bad_cells_are_seen():
    assert "more than 35 lines" in cell_problems(sample(code="x = 1\n" * 36))[0]
    documented = 'def f(x):\n    """F.\n' + "\n    Text." * 32 + '\n    """\n    return x'
    assert "more than 35 lines" in cell_problems(sample(code=documented))[0]
    assert "no marked solution" in cell_problems(sample(exercise="def f():\n    return 1"))[0]
    assert "no marked solution" in cell_problems(sample(exercise=SOLVED.replace("    return 1\n", "")))[0]
    assert cell_problems(sample(exercise=SOLVED.replace("return 1", "x = 1\n\n    return x"))) == []
    lesson = sample()
    lesson.cells[0].id = lesson.cells[1].id
    assert "id of their own" in cell_problems(lesson)[0]
    lesson = sample()
    lesson.cells.pop()
    assert "no check" in cell_problems(lesson)[0]
    lesson = sample()
    lesson.cells[0].source += r" $\sigma$"
    assert cell_problems(lesson) == []
    lesson.cells[0].source += r" $\\sigma$"
    assert "one backslash" in cell_problems(lesson)[0]


OUTPUTS = {
    "ends in ValueError": nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[]),
    "shows the path": nbformat.v4.new_output("stream", text="saved in /home/someone/file"),
    "library's message": nbformat.v4.new_output("stream", text="UserWarning: old"),
    "without alt text": nbformat.v4.new_output("display_data", {"image/png": "aaaa"}),
}


@pytest.mark.parametrize(("problem", "output"), OUTPUTS.items(), ids=OUTPUTS)
def test_bad_outputs_are_seen(problem, output):
    lesson = sample()
    lesson.cells[-1].outputs = [output]
    assert problem in output_problems(lesson)[0]


def test_cells_out_of_order_are_seen():
    lesson = sample()
    lesson.cells[-1].execution_count = 7
    assert "top to bottom" in output_problems(lesson)[0]

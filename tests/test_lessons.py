"""Learners' own copies of the lessons: made once, never changed, and whole without the solutions."""

import ast

import nbformat
import pytest
from helpers import LESSONS, tags
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_exercises import setup

from segcourse import exercises, lessons

SOLVED = "def two():\n    ### BEGIN SOLUTION\n    return 2\n    ### END SOLUTION"
CHECK = "with exercises.check('42.1', hint='One more than one.'):\n    assert two() == 2"


def lesson(folder, text="Two", output="2"):
    cells = [
        new_markdown_cell(text),
        new_code_cell("1 + 1", outputs=[new_output("stream", text=output)], execution_count=1),
        new_code_cell(SOLVED),
        new_code_cell(CHECK),
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"segcourse": {"seconds": 3}}), folder / "42_two.ipynb")
    return folder / "42_two.ipynb"


def test_a_copy_has_no_outputs_and_no_solutions(tmp_path):
    copy = lessons.copy(lesson(tmp_path), tmp_path / "my")
    assert (copy.path, copy.new, copy.behind) == (tmp_path / "my" / "42_two.ipynb", True, False)
    text, shown, exercise, check = nbformat.read(copy.path, as_version=4).cells
    assert text.source == "Two" and check.source == CHECK
    assert (shown.source, shown.outputs, shown.execution_count) == ("1 + 1", [], None)
    assert exercise.source == exercises.blank(SOLVED)


def test_a_copy_that_is_there_stays_as_it_is(tmp_path):
    path = lessons.copy(lesson(tmp_path), tmp_path / "my").path
    path.write_text(path.read_text(encoding="utf-8").replace("1 + 1", "1 + 2"), encoding="utf-8")
    before = path.read_bytes()
    assert lessons.copy(lesson(tmp_path, output="two"), path.parent) == lessons.Copy(path, False, False)
    assert lessons.copy(lesson(tmp_path, text="Two!"), path.parent) == lessons.Copy(path, False, True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"metadata": {"segcourse": 3}}', "{'"])
def test_a_file_of_somebody_else_stays_too(tmp_path, content):
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "42_two.ipynb").write_text(content)
    copy = lessons.copy(lesson(tmp_path), tmp_path / "my")
    assert copy.behind and not copy.new and copy.path.read_text() == content


def test_lessons_are_found_by_number_name_and_path(tmp_path):
    assert lessons.find("01") == lessons.find("01_fcn") == lessons.FOLDER / "01_fcn.ipynb"
    assert lessons.find(str(lesson(tmp_path))) == tmp_path / "42_two.ipynb"
    for wrong in ("1", "fcn", "01_fcn.py"):
        with pytest.raises(FileNotFoundError, match="Known: 00_start_here, 01_fcn"):
            lessons.find(wrong)
    with pytest.raises(FileNotFoundError, match="no file there.ipynb"):
        lessons.find("there.ipynb")


def test_a_solution_is_shown_on_request(capsys):
    exercises.solution("01.1")
    shown = capsys.readouterr().out
    assert "def " in shown and "SOLUTION" not in shown and exercises.FILLER not in shown
    with pytest.raises(LookupError, match=r"01_fcn has no exercise '01.9'. It has: 01.1, 01.2"):
        exercises.solution("01.9")
    with pytest.raises(FileNotFoundError, match="no lesson '77'"):
        exercises.solution("77.1")


def test_the_solution_of_an_exercise_is_that_before_its_check():
    other = CHECK.replace("42.1", "42.2")
    cells = [new_code_cell(source) for source in (SOLVED, "1", SOLVED.replace("two", "pair"), CHECK, other)]
    found = exercises.solutions(new_notebook(cells=cells))
    assert found == {"42.1": "def two():\n    return 2\n\ndef pair():\n    return 2", "42.2": ""}


def cells_of(path, folder):
    copy = lessons.copy(path, folder)
    return [cell for cell in nbformat.read(copy.path, as_version=4).cells if cell.cell_type == "code"]


def names(source, how):
    """The names that a cell reads (`ast.Load`) or binds (`ast.Store`)."""
    lines = ("pass" if line.lstrip()[:1] in ("%", "!") else line for line in source.splitlines())
    nodes = list(ast.walk(ast.parse("\n".join(lines))))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    named = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, how)}
    return named | (defined if how is ast.Store else set())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_learner_can_follow_a_copy_to_its_end(path, tmp_path, monkeypatch):
    """Blank exercises fail with their hints, and nothing else needs what they would have defined."""
    monkeypatch.chdir(path.parent)
    cells = cells_of(path, tmp_path)
    exercise = [n for n, cell in enumerate(cells) if "exercise" in tags(cell)]
    assert exercise
    for n in exercise:
        assert exercises.FILLER in cells[n].source and not cells[n].outputs
        namespace = dict(setup(path))
        try:
            exec(cells[n].source, namespace)
        except NotImplementedError as error:
            assert "your code here" in str(error)
        with pytest.raises(exercises.NotYet, match=r"not written yet[^\n]*\n  Hint: \w"):
            exec(cells[n + 1].source, namespace)
    rest = [cell.source for n, cell in enumerate(cells) if n not in exercise and n - 1 not in exercise]
    rest = [source for source in rest if "except NotImplementedError" not in source]
    theirs = set.union(*(names(cells[n].source, ast.Store) for n in exercise))
    bound, used = (set.union(*(names(source, how) for source in rest)) for how in (ast.Store, ast.Load))
    assert theirs & used <= bound

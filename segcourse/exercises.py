"""Checks of the lessons' exercises, their solutions, and the student's version of a lesson."""

from __future__ import annotations

import contextlib
import copy
import re
import textwrap
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

FILLER = 'raise NotImplementedError("your code here")'

_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_CHECK = re.compile(r"""^with (exercises\.)?check\(\s*["'](?P<name>[^"']+)""", re.MULTILINE)


class NotYet(AssertionError):
    """An exercise is not solved yet. Jupyter shows its few lines instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


@contextlib.contextmanager
def check(name: str, hint: str = "") -> Iterator[None]:
    """Judge an exercise: the assertions in the block hold, or the learner reads what is wrong and a hint.

        with exercises.check("00.1", hint="The void pixels are still counted."):
            assert my_accuracy(a, b) == 0.5, "half of the pixels agree, my_accuracy says otherwise"

    Args:
        name: lesson and number, "00.1".
        hint: the next step for someone who is stuck; no solution.

    Raises:
        NotYet: an assertion failed, the learner's code crashed or is not written.
    """
    try:
        yield
    except Exception as error:  # whatever a learner's code may raise
        lines = [f"✗ Exercise {name}: {_what_is_wrong(error)}"]
        if hint:
            lines.append(f"  Hint: {hint}")
        raise NotYet("\n".join(lines)) from error
    print(f"✓ Exercise {name}: well done.")


def _what_is_wrong(error: Exception) -> str:
    message = textwrap.shorten(str(error), 400, placeholder=" ...")
    if isinstance(error, NotImplementedError):
        return "not written yet. Put your code in place of the line with NotImplementedError."
    if isinstance(error, AssertionError):
        return message or "not right yet."
    return f"the code stopped{_place(error)} with {type(error).__name__}: {message}".removesuffix(": ")


def _place(error: Exception) -> str:
    """Function and line of the learner's code: the last frame of the traceback that is a notebook cell."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if "ipykernel" in code.co_filename and code.co_name != "<module>":
            place = f" in {code.co_name}, line {line} of its cell,"
    return place


def blank(source: str, filler: str = FILLER) -> str:
    """Replace every solution of a cell by `filler`, at the solution's indentation; the marks go too.

    Args:
        source: of a cell, solutions between `### BEGIN SOLUTION` and `### END SOLUTION` (nbgrader's marks).
        filler: what a student finds instead.

    Raises:
        ValueError: a mark without its partner.
    """
    lines, inside = [], False
    for line in source.splitlines(keepends=True):
        mark = line.strip()
        if mark == (_END if inside else _BEGIN):
            if not inside:
                indentation = line[: len(line) - len(line.lstrip())]
                lines.append(indentation + filler + "\n")
            inside = not inside
        elif mark in (_BEGIN, _END):
            raise ValueError(f"{mark!r} without its partner in:\n{source}")
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"{_BEGIN!r} without {_END!r} in:\n{source}")
    text = "".join(lines)
    return text if source.endswith("\n") else text.removesuffix("\n")


def student_version(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook for students: solutions blanked, and no outputs where one would tell the answer.

    Args:
        notebook: an `nbformat` notebook; it is left as it is.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        solved = _BEGIN in cell.source
        if solved:
            cell.source = blank(cell.source)
        if solved or _CHECK.search(cell.source):
            cell.outputs, cell.execution_count = [], None
    return notebook


def solutions(notebook: NotebookNode) -> dict[str, str]:
    """The solved cells of a lesson: dict name of an exercise -> source, without nbgrader's marks.

    Args:
        notebook: an `nbformat` notebook, in which the cell that checks "00.1" follows those that solve it.
    """
    found, solved = {}, []
    for cell in notebook.cells:
        checked = cell.cell_type == "code" and _CHECK.search(cell.source)
        if checked:
            found[checked["name"]], solved = "\n\n".join(solved), []
        elif cell.cell_type == "code" and _BEGIN in cell.source:
            lines = cell.source.splitlines()
            solved.append("\n".join(line for line in lines if line.strip() not in (_BEGIN, _END)))
    return found


def solution(name: str) -> None:
    """Print the solution of an exercise, as in `exercises.solution("01.1")`. Try for a while first.

    Raises:
        LookupError: there is no such exercise.
        FileNotFoundError: there is no such lesson.
    """
    from segcourse import lessons

    print(lessons.solution(name))

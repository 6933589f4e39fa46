"""The lessons as notebooks: where they lie, a learner's own copy, and the solutions of exercises."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segcourse import exercises
from segcourse.paths import PACKAGE

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = PACKAGE.parent / "notebooks"
MINE = PACKAGE.parent / "my"  # git ignores it
_KEY = "segcourse"  # of a notebook's metadata


def every() -> list[Path]:
    """The notebooks of all lessons, in their order; none where only the package is installed."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def find(name: str) -> Path:
    """The notebook of a lesson.

    Args:
        name: the lesson's number or name, "01" or "01_fcn", or the path of a notebook.

    Raises:
        FileNotFoundError: there is none; the message lists the lessons.
    """
    if name.endswith(".ipynb"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"There is no file {name}.")
        return Path(name)
    for path in every():
        if name in (path.stem, path.stem.partition("_")[0]):
            return path
    known = ", ".join(path.stem for path in every()) or "none: the lessons come with the repository"
    raise FileNotFoundError(f"There is no lesson {name!r} here. Known: {known}.")


@dataclass(frozen=True)
class Copy:
    """A learner's copy of a lesson: its path, whether it was made just now, and whether it is behind.

    Attributes:
        path: of the notebook.
        new: made just now; otherwise it was there and is as it was.
        behind: the lesson's text or code has changed since the copy was made, or it is not known what the
            copy was made of.
    """

    path: Path
    new: bool
    behind: bool


def copy(lesson: Path, folder: Path = MINE) -> Copy:
    """A learner's own copy of a lesson: no outputs, solutions blanked. One that is there is never changed.

    Args:
        lesson: its notebook, as from `find`.
        folder: of the copy, which has the lesson's name.
    """
    import nbformat

    path = folder / lesson.name
    fresh = _for_a_learner(nbformat.read(lesson, as_version=4))
    if path.exists():
        return Copy(path, new=False, behind=_made_of(path) != fresh.metadata[_KEY]["made_of"])
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(fresh, path)
    return Copy(path, new=True, behind=False)


def _for_a_learner(notebook: "NotebookNode") -> "NotebookNode":
    notebook = exercises.student_version(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    text = json.dumps([(cell.cell_type, cell.source) for cell in notebook.cells])
    notebook.metadata[_KEY] = {"made_of": hashlib.sha256(text.encode()).hexdigest()[:16]}
    return notebook


def _made_of(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metadata"][_KEY]["made_of"]
    except (ValueError, KeyError, TypeError):  # a notebook of the learner's own, or a damaged one
        return None


def solution(exercise: str) -> str:
    """The solution of an exercise, as the lesson has it.

    Args:
        exercise: lesson and number, "01.2".

    Raises:
        LookupError: the lesson has no such exercise; the message lists those that it has.
    """
    import nbformat

    lesson = find(exercise.partition(".")[0])
    found = exercises.solutions(nbformat.read(lesson, as_version=4))
    if exercise not in found:
        raise LookupError(f"{lesson.stem} has no exercise {exercise!r}. It has: {', '.join(found)}.")
    return found[exercise]

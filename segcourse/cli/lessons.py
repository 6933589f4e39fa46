"""Learners' own copies of the lessons, and student versions to hand out."""

from pathlib import Path
from typing import Annotated

import typer


def start(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[LESSON]...", help="Numbers or names; all if left out.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where the copies are; my/ of the repository.")
    ] = None,
) -> None:
    """Make your own copy of a lesson to work in: no outputs, solutions out. A copy that is there stays.

    Example: segcourse start 01
    """
    from segcourse import lessons

    for path in [_lesson(name) for name in names] if names else lessons.every():
        copy = lessons.copy(path, folder or lessons.MINE)
        if copy.new:
            typer.echo(f"{copy.path}: your own copy of {path.stem}")
        elif copy.behind:
            typer.echo(
                f"{copy.path}: yours, left as it is. The lesson has changed since you began it: rename your "
                f"copy and call segcourse start {path.stem.partition('_')[0]} for a new one."
            )
        elif names:
            typer.echo(f"{copy.path}: yours, left as it is")


def student(
    lesson: Annotated[str, typer.Argument(help="A lesson's number or name, or the path of a notebook.")],
    out: Annotated[Path, typer.Option(dir_okay=False, metavar="FILE.ipynb", help="Where it is written.")],
) -> None:
    """Write the student version of a lesson: solutions blanked, checks and hints kept.

    Example: segcourse student 01 --out 01_fcn_student.ipynb
    """
    import nbformat

    from segcourse import exercises

    source = _lesson(lesson)
    if out.resolve() == source.resolve():
        raise typer.BadParameter(f"--out is the lesson itself ({source}). Choose another file.")
    notebook = exercises.student_version(nbformat.read(source, as_version=4))
    out.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, out)
    blanks = sum(exercises.FILLER in cell.source for cell in notebook.cells)
    typer.echo(f"{out}: {source.stem} with {blanks} exercises to fill in")


def _lesson(name):
    from segcourse import lessons

    try:
        return lessons.find(name)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from error

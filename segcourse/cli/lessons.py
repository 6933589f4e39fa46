"""Student versions of the lessons."""

from pathlib import Path
from typing import Annotated

import typer


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
    from segcourse import paths

    if name.endswith(".ipynb"):
        if not Path(name).is_file():
            raise typer.BadParameter(f"there is no file {name}.")
        return Path(name)
    lessons = sorted((paths.PACKAGE.parent / "notebooks").glob("*.ipynb"))
    found = [path for path in lessons if name in (path.stem, path.stem.partition("_")[0])]
    if not found:
        known = ", ".join(path.stem for path in lessons) or "none: give the path of a notebook"
        raise typer.BadParameter(f"there is no lesson {name!r} here. Known: {known}.")
    return found[0]

"""Execute lessons from top to bottom and write back their outputs, normalised, and a record of the execution.

A failing lesson stays as it is.

python tools/run_lessons.py 01 04        lessons by number
python tools/run_lessons.py --all
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import records
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
SIZE_LIMIT = 400_000
CELL_TIMEOUT = 1200  # as in the Makefile: a slow machine is not broken
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
PRIVATE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|private|var|work|mnt|opt|usr)/[\w.-]+")


class LessonError(RuntimeError):
    """A lesson did not run or may not be saved; the message says which cell and why."""


def find_lesson(name, root=ROOT):
    """The notebook whose number, stem or path is `name`."""
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    found = [path for path in notebooks if path.stem.split("_")[0] == name or Path(name).stem == path.stem]
    if len(found) != 1:
        raise LessonError(f"No lesson is called {name!r}. Known: {', '.join(p.stem for p in notebooks)}.")
    return found[0]


def headline(cell):
    """What the progress line shows of a code cell: its first line that is no export mark."""
    lines = (line.strip() for line in cell.source.splitlines())
    return next((line for line in lines if line and not line.startswith("#|")), "(empty)")[:70]


def section(cell):
    """The last heading in a markdown cell, or None."""
    headings = [line for line in cell.source.splitlines() if line.startswith("#")]
    return headings[-1].lstrip("# ") if cell.cell_type == "markdown" and headings else None


def execute(notebook, folder, report=print):
    """Run all code cells of `notebook` (changed in place) in `folder`; returns the seconds they took."""
    # With this set (nbval sets it too), ipykernel keeps C-level stderr (TensorFlow's log) out of the outputs.
    environment = os.environ | {"PYTEST_CURRENT_TEST": "1"}
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    seconds = 0.0
    with client.setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            if title := section(cell):
                report(f"      {title}")
            if cell.cell_type == "code":
                seconds += _execute_cell(client, cell, index, report)
    return seconds


def _execute_cell(client, cell, index, report):
    start = time.perf_counter()
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise LessonError(f"Cell {index} failed:\n\n{cell.source}\n\n{error.traceback or error}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise LessonError(f"Cell {index} did not finish: {error}\n\n{cell.source}") from None
    seconds = time.perf_counter() - start
    report(f"  {index:3d} {seconds:6.1f} s  {headline(cell)}")
    return seconds


def normalize(notebook):
    """The text of a notebook that depends on nothing but its cells, its outputs and its execution record."""
    kept = {records.KEY: records.of(notebook)} if records.of(notebook) else {}
    plain = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict({**plain, **kept})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lesson.ipynb")
        nbformat.write(notebook, path)
        keep = ["--keep-output", "--keep-count", "--keep-id"]
        subprocess.run([sys.executable, "-m", "nbstripout", *keep, str(path)], check=True)
        return path.read_text(encoding="utf-8")


def output_text(output):
    """Everything that an output shows as text."""
    data = output.get("data", {})
    return "".join([output.get("text", ""), *(data.get(kind, "") for kind in ("text/plain", "text/html"))])


def check_saved(notebook, text):
    """Raise `LessonError` when the outputs are too large to commit or show a path of this machine."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if found := PRIVATE_PATH.search(output_text(output)):
                raise LessonError(
                    f"Cell {index} shows a path of this machine: {found[0]}. Show the name only."
                )
    if (size := len(text.encode())) > SIZE_LIMIT:
        sizes = {index: len(str(cell.get("outputs", ""))) for index, cell in enumerate(notebook.cells)}
        largest = sorted(sizes, key=sizes.get, reverse=True)[:3]
        told = ", ".join(f"{index} ({sizes[index] / 1000:.0f} kB)" for index in largest)
        limit = f"the limit is {SIZE_LIMIT // 1000} kB"
        raise LessonError(
            f"{size / 1000:.0f} kB with outputs; {limit}. Show fewer pictures, or smaller ones. "
            f"The largest outputs have the cells {told}."
        )


def run_lesson(path, report=print):
    """Execute the notebook at `path` and write it back; returns the seconds all cells took together."""
    report(f"{path.name}")
    notebook = nbformat.read(path, as_version=4)
    seconds = execute(notebook, path.parent, report)
    records.store(notebook, seconds, records.machine())
    text = normalize(notebook)
    check_saved(notebook, text)
    path.write_text(text, encoding="utf-8", newline="\n")
    report(f"{path.name}: {seconds:.0f} s, {len(text.encode()) / 1000:.0f} kB")
    return seconds


def main():
    """Command line entry: run the named lessons one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names, as in 01 or 01_fcn")
    parser.add_argument("--all", action="store_true", help="run every lesson")
    arguments = parser.parse_args()
    if not arguments.lessons and not arguments.all:
        parser.error("name a lesson: make lesson L=01")
    try:
        every = sorted((ROOT / "notebooks").glob("*.ipynb"))
        for path in every if arguments.all else map(find_lesson, arguments.lessons):
            run_lesson(path)
    except LessonError as error:
        sys.exit(f"\n{error}\n\nNothing was written: the lesson is as it was.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the lessons: reading minutes, seconds, size, and what makes their code hard to read.

python tools/measure_lessons.py            a table of all lessons
python tools/measure_lessons.py 02         one of them
"""

import argparse
import json
import math
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import records
from run_lessons import LessonError, find_lesson

ROOT = Path(__file__).resolve().parents[1]
WORDS_A_MINUTE, LINES_A_MINUTE = 180, 20
LINE_LENGTH, CELL_LINES = 110, 25
NEXT_SITTING = re.compile(r"# \w+ sitting\b")


@dataclass(frozen=True)
class Measures:
    """What is measured of a lesson; smaller is better.

    minutes: reading, words of prose / 180 + lines of code / 20; of the longest sitting, if there are several
    seconds: all cells together, by the execution record; None without one
    kilobytes: the file with its outputs
    long_lines: lines of code over 110 columns
    silent_cells: most code cells in a row that show nothing
    long_cells: code cells of more than 25 lines
    """

    minutes: int
    seconds: int | None
    kilobytes: int
    long_lines: int
    silent_cells: int
    long_cells: int


# Of a lesson (design, section 3). The first cells import; two definitions in a row are enough to follow.
LIMITS = Measures(minutes=45, seconds=150, kilobytes=400, long_lines=0, silent_cells=2, long_cells=0)


def measure(path):
    """The `Measures` of the lesson at `path`."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line for cell in code for line in cell.source.splitlines()]
    return Measures(
        minutes=max(reading_minutes(notebook)),
        seconds=records.of(notebook).get("seconds"),
        kilobytes=-(-path.stat().st_size // 1000),
        long_lines=sum(len(line) > LINE_LENGTH for line in lines),
        silent_cells=longest_silence(code),
        long_cells=sum(len(cell.source.splitlines()) > CELL_LINES for cell in code),
    )


def reading_minutes(notebook):
    """The minutes of each sitting, a list: a text cell that begins with `# Second sitting` starts one."""
    sittings = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and NEXT_SITTING.match(cell.source):
            sittings.append([])
        sittings[-1].append(cell)
    return [_minutes(cells) for cells in sittings]


def _minutes(cells):
    """Words of prose / 180 + lines of code / 20, rounded up; folded cells count, blank lines do not."""
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    code = (cell.source for cell in cells if cell.cell_type == "code")
    lines = sum(bool(line.strip()) for text in code for line in text.splitlines())
    return math.ceil(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE)


def longest_silence(cells):
    """The most cells in a row without an output."""
    longest = current = 0
    for cell in cells:
        current = 0 if cell.outputs else current + 1
        longest = max(longest, current)
    return longest


def excess(measures, limits=LIMITS):
    """What is over a limit: dict of name -> value."""
    bounds = asdict(limits)
    return {name: value for name, value in asdict(measures).items() if (value or 0) > bounds[name]}


def main():
    """Command line entry: print a table, and under it what is over the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names, as in 01 or 01_fcn")
    arguments = parser.parse_args()
    try:
        every = sorted((ROOT / "notebooks").glob("*.ipynb"))
        paths = list(map(find_lesson, arguments.lessons)) or every
    except LessonError as error:
        sys.exit(str(error))
    found = {path.stem: measure(path) for path in paths}
    names = list(asdict(LIMITS))
    for title, row in {"lesson": names, "limit": asdict(LIMITS).values()}.items():
        print(f"{title:16}", *(f"{value!s:>12}" for value in row))
    for lesson, measures in found.items():
        print(
            f"{lesson:16}", *(f"{'-' if value is None else value:>12}" for value in asdict(measures).values())
        )
    print("\nOver the limits:")
    for lesson, measures in found.items():
        print(f'    "{lesson}": {json.dumps(excess(measures))},')


if __name__ == "__main__":
    main()

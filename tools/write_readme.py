"""Write the table of lessons in README.md from the lessons, or check that it agrees.

python tools/write_readme.py            write it
python tools/write_readme.py --check    exit 1 when it differs
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
import records
from measure_lessons import reading_minutes

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- lessons -->\n).*?(<!-- end -->)", re.DOTALL)
TITLE = re.compile(r"^# Lesson (\d\d) · (.+)$", re.MULTILINE)
YEAR = re.compile(r"^\|[ *]*First published[ *]*\|[^|]*?((?:19|20)\d\d)", re.MULTILINE)
COLUMNS = ["lesson", "title", "first published", "state", "reading", "all cells", "stored experiments"]
# Name, title and year of the lessons that are not there yet; one that is there speaks for itself.
PLANNED = {
    "05": ("parsenet", "ParseNet", "2015"),
    "07": ("deeplab_v2", "DeepLab v2", "2016"),
    "08": ("enet", "ENet", "2016"),
    "09": ("refinenet", "RefineNet", "2016"),
    "10": ("tiramisu", 'FC-DenseNet ("Tiramisu")', "2016"),
    "11": ("pspnet", "PSPNet", "2016"),
    "12": ("layer_cascade", "Deep Layer Cascade", "2017"),
    "13": ("icnet", "ICNet", "2017"),
    "14": ("linknet", "LinkNet", "2017"),
    "15": ("deeplab_v3", "DeepLab v3", "2017"),
    "16": ("spn", "SPN (spatial propagation)", "2017"),
    "17": ("deeplab_v3plus", "DeepLab v3+", "2018"),
    "18": ("video", "Video", "2016-2018"),
    "19": ("portrait", "Portraits", "2016"),
    "20": ("matting", "Matting", "2016-2017"),
    "21": ("comparison", "All networks compared", ""),
    "22": ("real_time", "Real time", ""),
    "23": ("tflite", "TensorFlow Lite in depth", ""),
}


def row(path):
    """(number, cells of the table) of the lesson at `path`."""
    notebook = nbformat.read(path, as_version=4)
    header = notebook.cells[0].source
    title, year, record = TITLE.search(header), YEAR.search(header), records.of(notebook)
    if not title:
        raise SystemExit(f"{path.name}: the first cell must begin with `# Lesson NN · Title`.")
    number = title[1]
    return number, [
        f"[{number}](notebooks/{path.name})",
        title[2],
        year[1] if year else "",
        "there",
        f"{reading_minutes(notebook)} min",
        f"{record['seconds']} s on {record['machine']}" if record else "not recorded yet",
        ", ".join(f"`{name}`" for name in records.results_shown(notebook)),
    ]


def table(folder):
    """The table of all lessons, those in `folder` and those that are planned, in Markdown."""
    rows = {
        number: [number, title, year, "coming", "", "", ""] for number, (_, title, year) in PLANNED.items()
    }
    rows |= dict(map(row, sorted(folder.glob("*.ipynb"))))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(rows[number] for number in sorted(rows))]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def main(root=ROOT):
    """Command line entry: write README.md, or with --check only compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when README.md differs")
    arguments = parser.parse_args()
    path = root / "README.md"
    before = path.read_text(encoding="utf-8")
    if not BLOCK.search(before):
        raise SystemExit("README.md has no place for the table: <!-- lessons --> and <!-- end -->.")
    after = BLOCK.sub(lambda match: match[1] + table(root / "notebooks") + match[2], before)
    if arguments.check:
        print("README.md agrees with the lessons." if before == after else "README.md: run make readme.")
        return int(before != after)
    path.write_text(after, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

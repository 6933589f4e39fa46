"""Write the tables of lessons and of the comparison in README.md, or check that they agree.

python tools/write_readme.py            write it
python tools/write_readme.py --check    exit 1 when it differs
"""

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import mean, stdev

import nbformat
import records
from measure_lessons import reading_minutes

ROOT = Path(__file__).resolve().parents[1]
COMPARISON = "data/results/comparison.json"
TITLE = re.compile(r"^# Lesson (\d\d) · (.+)$", re.MULTILINE)
YEAR = re.compile(r"^\|[ *]*First published[ *]*\|[^|]*?((?:19|20)\d\d)", re.MULTILINE)
COLUMNS = ["lesson", "title", "first published", "state", "reading", "all cells", "stored experiments"]
COMPARED = ["network", "mIoU, %", "boundary F1, %", "learning rate", "weights", "multiply-adds", "TFLite"]
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
        f"{' + '.join(map(str, reading_minutes(notebook)))} min",
        f"{record['seconds']} s on {record['machine']}" if record else "not recorded yet",
        ", ".join(f"`{name}`" for name in records.results_shown(notebook)),
    ]


def table(folder):
    """The table of all lessons, those in `folder` and those that are planned, in Markdown."""
    rows = {
        number: [number, title, year, "coming", "", "", ""] for number, (_, title, year) in PLANNED.items()
    }
    rows |= dict(map(row, sorted(folder.glob("*.ipynb"))))
    return markdown([COLUMNS, ["---"] * len(COLUMNS), *(rows[number] for number in sorted(rows))])


def comparison(path):
    """The table of the networks that the stored comparison at `path` has, best first, in Markdown."""
    stored = json.loads(path.read_text(encoding="utf-8"))["results"]
    names = {part.rsplit("-", 1)[0] for part in stored}
    trained = {n: [stored[p] for p in sorted(stored) if re.fullmatch(rf"{n}-\d+", p)] for n in names}
    found = {
        name: [spread(parts, "miou"), spread(parts, "boundary_f1"), f"{parts[0]['learning_rate']:g}"]
        for name, parts in trained.items()
        if parts
    }
    order = sorted(found, key=lambda name: -mean(part["test"]["miou"] for part in trained[name]))
    rows = [[f"`{name}`", *found[name], *costs(stored.get(f"{name}-costs"))] for name in order]
    return markdown([COMPARED, ["---"] * len(COMPARED), *rows])


def spread(parts, score):
    """Mean and standard deviation of a score on test over the trainings, in percent."""
    values = [100 * part["test"][score] for part in parts]
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def costs(part):
    """Weights, multiply-adds and time of one scene, or blanks where they have not been measured."""
    if part is None:
        return ["", "", ""]
    milliseconds = 1e3 * part["tflite_seconds"]["2"]
    return [
        f"{part['parameters'] / 1e6:.2f} M",
        f"{part['multiply_adds'] / 1e9:.2f} G",
        f"{milliseconds:.1f} ms",
    ]


def markdown(rows):
    """Lines of a table."""
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def written(text, name, content):
    """The text with `content` between the marks <!-- name --> and <!-- end -->."""
    block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not block.search(text):
        raise SystemExit(f"README.md has no place for the table: <!-- {name} --> and <!-- end -->.")
    return block.sub(lambda match: match[1] + content + match[2], text)


def main(root=ROOT):
    """Command line entry: write README.md, or with --check only compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when README.md differs")
    arguments = parser.parse_args()
    path = root / "README.md"
    before = path.read_text(encoding="utf-8")
    after = written(before, "lessons", table(root / "notebooks"))
    after = written(after, COMPARISON, comparison(root / COMPARISON))
    if arguments.check:
        agree = "README.md agrees with lessons and comparison."
        print(agree if before == after else "README.md: run make readme.")
        return int(before != after)
    path.write_text(after, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

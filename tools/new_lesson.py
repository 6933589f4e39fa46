"""Write the skeleton of a lesson: notebook, study and test; and say which two lines to add by hand.

python tools/new_lesson.py 08
"""

import argparse
import sys
from pathlib import Path

import nbformat
from measure_lessons import reading_minutes
from run_lessons import normalize
from write_readme import PLANNED

ROOT = Path(__file__).resolve().parents[1]

# The sections of a lesson in their order, and what belongs there.
SECTIONS = {
    "The problem": "Show on a picture, by code, what goes wrong without the paper's idea.",
    "The idea": "Draw it by code from the real objects. The lesson's decisive picture: plan it first.",
    "Build it": "One idea a cell, at most 25 lines, each ending in a shape, a figure or a checked number.",
    "Fidelity ledger": "Paper / here / why / effect: every deviation, and the parameter count computed live.",
    "Train it": "Say the expected time and result, train on ToyCam, and assert a range afterwards.",
    "The claim, re-run": "Live one controlled pair, beside it the stored study and the paper's numbers.",
    "On photographs": "The same network on CamVid, from weights in data/weights.",
    "Break it": "One instructive mistake and its diagnosis.",
    "Exercises": "Two to four; one of them trains or changes the network.",
    "Take-aways": "Three to five lines, the references, and what came next and why.",
}

HEADER = """# Lesson {number} · {title}

| | |
|---|---|
| **Paper** | TODO |
| **Authors** | TODO |
| **Venue** | TODO |
| **First published** | {year} (TODO) |
| **Before it** | TODO |
| **After this lesson you can** | TODO |
| **Reading** | about {minutes} minutes |
| **Running** | all cells: TODO seconds on two CPU cores, no GPU, no internet |

Every cell can be changed and run again; everything below it then uses your version."""

SETUP = """import keras

from segcourse import exercises
from segcourse.datasets import toycam

images, labels = toycam.load("test", count=4)
print(images.shape, labels.shape)"""

NETWORK = '''#| export models.{module}
def {module}(input_shape=(None, None, 3), classes=21, width=1.0):
    """TODO: what it is, with the paper's section.

    Input: RGB in 0..255. Output: float32 logits [B, H, W, classes] at the input's resolution. The
    defaults are the paper's; `width` scales the channels.
    """
    inputs = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = keras.layers.Conv2D(max(1, round(64 * width)), 3, padding="same", activation="relu")(x)
    logits = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="{module}")'''

SHAPE = """network = {module}(classes=len(toycam.CLASSES), width=1 / 4)
print(network(images[:1]).shape, f"{{network.count_params():,}} weights")"""

EXERCISES = {
    "1": (
        '''def weights_of_convolution(kernel, inputs, outputs):
    """TODO: your own question; this one counts the weights of a convolution, its biases included."""
    ### BEGIN SOLUTION
    return kernel * kernel * inputs * outputs + outputs
    ### END SOLUTION''',
        '''with exercises.check("{number}.1", hint="Each output channel has one bias."):
    got = weights_of_convolution(3, 5, 2)
    assert got == 92, f"a 3x3 convolution from 5 to 2 channels has 92 weights, not {{got}}"''',
    ),
    "2": (
        '''def sides(height, width, stride):
    """TODO: your own question; this one gives the sides after a padded convolution with a stride."""
    ### BEGIN SOLUTION
    return -(-height // stride), -(-width // stride)
    ### END SOLUTION''',
        '''with exercises.check("{number}.2", hint="A stride rounds up."):
    got = sides(97, 64, 2)
    assert got == (49, 32), f"97 x 64 becomes (49, 32) with stride 2, not {{got}}"''',
    ),
}

STUDY = '''"""TODO: the claim of {title} on ToyCam, and what is the same for all variants."""

from collections.abc import Mapping

from segcourse import datasets, training
from segcourse.models.{module} import {module}
from segcourse.studies import Study
from segcourse.studies.core import fitting, scoring

# TODO: the variants that the claim compares; they differ in one thing.
VARIANTS = {{"full": {{"width": 0.5}}, "half": {{"width": 0.25}}}}
SCORES = ("pixel_accuracy", "miou", "boundary_f1")


def _run(seed, settings):
    train, test = datasets.load("toycam", "train"), datasets.load("toycam", "test")
    return {{name: _variant(options, train, test, int(seed), settings) for name, options in VARIANTS.items()}}


def _variant(options, train, test, seed, settings):
    classes = len(datasets.spec("toycam"))
    training.set_seed(seed)
    model = {module}(classes=classes, **options)
    history = fitting.fit(model, train, settings, seed)
    return {{**scoring.measure(model, *test, classes, scoring.BANDS), "training_loss": history["loss"]}}


def per_seed(stored: Mapping, score: str) -> dict[str, list]:
    """A score of each variant: dict variant -> list over the seeds."""
    return {{v: scoring.by_seed(stored, lambda part, v=v: part[v][score]) for v in VARIANTS}}


def table(stored: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, in percent: dict variant -> score -> (mean, spread)."""
    return scoring.table({{score: per_seed(stored, score) for score in SCORES}})


def gains(stored: Mapping, score: str = "miou") -> dict[str, tuple[float, float]]:
    """What each variant has more than "half", seed by seed, in percent points: variant -> (mean, spread)."""
    return scoring.paired(per_seed(stored, score), "half")


STUDY = Study(
    title="TODO",
    cost="TODO",
    settings={{"epochs": 8, "batch": 8, "learning_rate": 1e-3, "augment": fitting.COLORS_ONLY}},
    parts=("1", "2", "3"),
    run=_run,
)
'''

TEST = '''"""What defines {title}: TODO."""

from contract import CLASSES
from helpers import logits_of, noise, randomize

from segcourse.models.{module} import {module}


def test_todo_the_property_that_the_paper_claims():
    """TODO: against an independent oracle: brute-force NumPy, a value computed by hand, another library."""
    model = randomize({module}(classes=CLASSES, width=1 / 16))
    assert logits_of(model, noise((33, 47))).shape == (1, 33, 47, CLASSES)
'''

BY_HAND = """Two lines by hand:
    segcourse/models/registry.py (MODELS)   "{module}": {module},
    tests/contract.py (CASES)         Case("{module}", {{"width": 1 / 16}}, parameters=TODO),
Then: make export, make lesson L={number}, make check, make quick."""


def notebook(number, module, title, year):
    """The skeleton as an `nbformat` notebook: all sections, header fields, and two exercises that work."""
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [markdown(""), code(SETUP, metadata={"tags": ["setup"]})]
    for place, (section, about) in enumerate(SECTIONS.items(), start=1):
        cells.append(markdown(f"## {place}. {section}\n\nTODO: {about}"))
        if section == "Build it":
            cells += [code(NETWORK.format(module=module)), code(SHAPE.format(module=module))]
        if section == "Exercises":
            for exercise, check in EXERCISES.values():
                cells.append(code(exercise, metadata={"tags": ["exercise"]}))
                cells.append(code(check.format(number=number), metadata={"tags": ["check"]}))
    lesson = nbformat.v4.new_notebook(cells=cells)
    minutes = max(reading_minutes(lesson)) + 1  # the header itself
    cells[0].source = HEADER.format(number=number, title=title, year=year or "TODO", minutes=minutes)
    return lesson


def write(number, root=ROOT):
    """Write the three files of a lesson below `root`; returns their paths."""
    if number not in PLANNED:
        raise SystemExit(f"No lesson {number!r} is planned. Planned: {', '.join(PLANNED)}.")
    module, title, year = PLANNED[number]
    texts = {
        f"notebooks/{number}_{module}.ipynb": normalize(notebook(number, module, title, year)),
        f"segcourse/studies/{module}.py": STUDY.format(module=module, title=title),
        f"tests/test_{module}.py": TEST.format(module=module, title=title),
    }
    there = [name for name in texts if (root / name).exists()]
    if there:
        raise SystemExit(f"{', '.join(there)}: already there. Nothing was written.")
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8", newline="\n")
    return [root / name for name in texts]


def main():
    """Command line entry: write the skeleton and say what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", help="of the lesson, as in 08")
    number = parser.parse_args().number
    for path in write(number):
        print(f"wrote {path.relative_to(ROOT)}")
    print(BY_HAND.format(module=PLANNED[number][0], number=number))


if __name__ == "__main__":
    sys.exit(main())

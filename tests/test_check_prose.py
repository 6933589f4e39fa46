"""The checker of prose: what it refuses, and above all what it leaves alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import check_prose
import pytest

ROOT = Path(__file__).resolve().parents[1]

# What was found when the checker was written, shortened; the first line of each sample is empty.
REFUSED = {
    "stub in a paragraph": (
        '''
"""Studies.

A study is a module that says what it costs and which code it measures, and a `run`. One
command, `segcourse study
NAME`, runs it and writes `data/results/NAME.json` with settings, versions and a digest of the
measured code.
Finished parts are kept, so that an interrupted study goes on where it was.
"""
''',
        [(5, "stray short line.*'command, `segcourse study'"), (7, "stray short line.*'measured code.'")],
    ),
    "items": (
        '''
def transplant(source, target, **options):
    """Copy weights.

    Args:
        source, target: built keras.Models. Layers that `target` lacks are left behind (fc8),
        and
            scoring layers that `source` lacks keep their fresh weights.
        **options: `padding="valid"` is the paper (100 zeros around the image, and crops),
        `"same"`
            pads every layer by half its kernel: for far fewer pixels, no crops.

    Returns:
        a data set. When it shuffles, augments,
        crops or repeats, it is for
        training: only full batches, so that one trace serves all. Else every picture once, in
            order.
    """
''',
        [
            (7, "stray short line.*'and'"),
            (8, "indented unlike"),
            (10, "stray"),
            (11, "indented unlike"),
            (14, "stray short line.*'a data set. When it shuffles, augments,'"),
            (15, "stray short line.*'crops or repeats, it is for'"),
            (17, "indented unlike.*'order.'"),
        ],
    ),
    "comment": (
        """
def f(x):
    # A ground point is dark where the sun's ray through it meets the object's upright
    # card or
    # wall, and it is half dark where only a part of the sun is covered by the object.
    return x
""",
        [(4, "stray short line.*'card or'")],
    ),
    "summary": (
        '''
class Crop:
    """Cut the first map [B, H, W, C] down to the height and width of the second, from pixel
    `offset`."""
''',
        [(4, "summary runs over by '`offset`.'")],
    ),
    "message": (
        """
raise MaskError(
    f"{path}: pixel format {mode!r} with {channels} channel(s), but a mask "
    "needs one "
    "class id per pixel (an 8-bit grey or palette PNG). If its colours stand for classes, "
    "say so."
)
""",
        [(4, "message is broken after the short piece 'needs one '")],
    ),
    "sentence that ends in a message's stub": (
        """
raise ChecksumError(
    f"{url}: sha256 {found} where {sha256} is expected. The file was changed at its source or on "
    "its way. "
    f"Try again, and tell the maintainers if it stays so."
)
""",
        [(4, "message is broken")],
    ),
    "long comment": ("\nx = 1  # " + "word " * 25 + "\n", [(2, r"prose of 13\d columns, 110 are allowed")]),
    "long docstring": ('\n"""' + "word " * 25 + '"""\n', [(2, r"prose of 13\d columns")]),
}

FULL = "Words and more words, as many as fill a line, and not one beyond it."
WIDE = "w" * 100
ACCEPTED = {
    "paragraphs": '''
"""Short.

FULL
FULL
The end.

Three kinds:
FULL

Short.
FULL
A sentence.
FULL
"""
''',
    "a word that does not fit": '''
"""Sum.

FULL
short
WIDE
FULL
"""
''',
    "items": '''
def f(image, labels, size, **options):
    """Sum.

    image: uint8;
    labels: ids, FULL;
    size: two.

    Args:
        image: one.
        labels, size (int): FULL
            more
        **options: two

    Returns:
        keras.Model: FULL
        more.
    """
''',
    "lists": '''
"""Sum.

- one
- FULL
  more
- two
1. three
2. FULL
"""
''',
    "code and tables": '''
"""Sum.

    python -m tool
    python -m tool FULL

>>> f(1)
2
>>> f("FULL")
3

```
a = 1
b = "FULL"
```

name     meaning
a        FULL
b        more

Heading
-------
FULL
"""
''',
    "summaries": '''
"""FULL
FULL"""


def f():
    """FULL

    Short.
    """


def g():
    # FULL
    # more
    return 1
''',
    "comments": """
#| export models.net
# FULL
# --- things -------------------------------------------------------------------------------------------------
# See https://example.org/WIDE/WIDE
x = 1  # short
# FULL
y = 2  # short
# short

# FULL
""",
    "messages": r"""
raise ValueError(
    "Short. "
    "FULL"
)
run(
    "import sys\n"
    "import os;"
    "FULL"
)
f("short", g(
    "FULL"))
TEXT = '''short
FULL
'''
""",
    "more bytes than characters": '''
x = "äöüß"; y = """ä"""


def f():
    """ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ"""
''',
}


@pytest.mark.parametrize(("source", "wanted"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(source, wanted):
    found = check_prose.problems(source)
    assert [row for row, _ in found] == [row for row, _ in wanted]
    for (_, message), (_, pattern) in zip(found, wanted, strict=True):
        assert re.search(pattern, message), message


@pytest.mark.parametrize("source", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_left_alone(source):
    assert check_prose.problems(source.replace("FULL", FULL).replace("WIDE", WIDE)) == []


@pytest.fixture
def course(tmp_path):
    """A repository with a ragged file by hand, a ragged generated one, and a lesson with one ragged cell."""
    for folder in ("segcourse", "notebooks"):
        (tmp_path / folder).mkdir()
    ragged, _ = REFUSED["comment"]
    (tmp_path / "segcourse/hand.py").write_text(ragged)
    (tmp_path / "segcourse/taught.py").write_text('"""Nets: generated from notebooks/01.ipynb."""\n' + ragged)
    cells = [{"cell_type": "markdown", "source": [ragged]}]
    for source in ("%matplotlib inline\n!ls", ragged):
        cells.append({"cell_type": "code", "source": source.splitlines(keepends=True)})
    (tmp_path / "notebooks/01.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_the_hand_written_files_and_the_cells_are_checked(course):
    found = [line.split(": ")[0] for line in check_prose.check(course)]
    assert found == ["segcourse/hand.py:4", "notebooks/01.ipynb, cell 2:4"]


def test_the_command_says_where_and_fails(course):
    def run(name):
        command = [sys.executable, ROOT / "tools/check_prose.py", course / "segcourse" / name]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("hand.py")
    assert done.returncode == 1 and "hand.py:4: a stray short line" in done.stdout
    (course / "segcourse/clean.py").write_text("x = 1\n")
    done = run("clean.py")
    assert (done.returncode, done.stdout) == (0, "No ragged prose.\n")

"""The exporter: what it writes, that it is deterministic, and what it refuses."""

import runpy

import export_lessons as exporter
import nbformat
import pytest
from helpers import ROOT, run_python

SETUP = (
    "import math\nimport numpy as np\nfrom collections import Counter, deque\n%matplotlib inline\nloose = 3"
)
KERNEL = '''#| export layers.kernel
RATE = 4


def kernel(size):
    """Distances to the middle."""
    return [math.fabs(i - size // 2) for i in range(size)]
'''
NET = '''#| export models.net
class Net(deque):
    """A net."""

    def run(self, x):
        return np.asarray(kernel(RATE)) + x
'''


@pytest.fixture
def course(tmp_path):
    """A function that writes a lesson from the sources of its code cells; `course.root` is the repository."""
    for package in ("segcourse", "segcourse/layers", "segcourse/models"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('"""By hand."""\n')
    (tmp_path / "notebooks").mkdir()

    def write(*sources, name="01_net", title="Lesson 01: Nets"):
        cells = [nbformat.v4.new_markdown_cell(f"# {title}"), *map(nbformat.v4.new_code_cell, sources)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")

    write.root = tmp_path
    return write


def test_a_module_has_its_lesson_its_imports_and_its_definitions(course):
    course(SETUP, KERNEL, "print(kernel(3))", NET)
    modules = exporter.build(course.root)
    assert modules["segcourse/layers/kernel.py"] == (
        '"""Lesson 01: Nets: generated from notebooks/01_net.ipynb. '
        'Edit the lesson, then run make export."""\n\n'
        "import math\n\nRATE = 4\n\n\ndef kernel(size):\n"
        '    """Distances to the middle."""\n    return [math.fabs(i - size // 2) for i in range(size)]\n'
    )
    head = modules["segcourse/models/net.py"].splitlines()[2:7]
    imports = [
        "from collections import deque",
        "",
        "import numpy as np",
        "",
        "from segcourse.layers.kernel import RATE, kernel",
    ]
    assert head == imports


def test_the_written_module_runs(course):
    course(SETUP, KERNEL)
    exporter.export(course.root)
    module = runpy.run_path(str(course.root / "segcourse/layers/kernel.py"))
    assert module["kernel"](3) == [1.0, 0.0, 1.0]


def test_a_long_title_does_not_make_a_long_line(course):
    course(SETUP, KERNEL, title="Lesson 01 · " + "very " * 20 + "long")
    text = exporter.build(course.root)["segcourse/layers/kernel.py"]
    assert text.startswith('"""Generated from notebooks/01_net.ipynb.')
    assert max(map(len, text.splitlines())) <= exporter.LINE_LENGTH + len("Lesson 01 · ")
    exporter.export(course.root)
    assert exporter.check(course.root) == [] and exporter.export(course.root) == []


def test_export_is_deterministic_and_check_sees_every_difference(course):
    course(SETUP, KERNEL, NET)
    assert len(exporter.check(course.root)) == 2
    assert exporter.export(course.root) == [
        "wrote segcourse/layers/kernel.py",
        "wrote segcourse/models/net.py",
    ]
    first = exporter.build(course.root)
    assert exporter.check(course.root) == [] and exporter.export(course.root) == []
    assert exporter.build(course.root) == first
    edited = course.root / "segcourse/models/net.py"
    edited.write_text(edited.read_text() + "EXTRA = 1\n")
    (problem,) = exporter.check(course.root)
    assert "net.py differs" in problem and "-EXTRA = 1" in problem


def test_a_module_without_a_lesson_is_found_and_removed(course):
    course(SETUP, KERNEL, NET)
    exporter.export(course.root)
    course(SETUP, KERNEL)
    (problem,) = exporter.check(course.root)
    assert "models/net.py: no lesson exports this module" in problem
    exporter.export(course.root)
    assert not (course.root / "segcourse/models/net.py").exists()
    assert (course.root / "segcourse/models/__init__.py").exists()


def test_local_names_and_comprehensions_are_not_globals(course):
    body = (
        "#| export layers.scopes\ndef outer(a, *b, c=len, **d):\n    '''Doc.'''\n    e = [f for f in b]\n"
        "    def inner(g):\n        nonlocal e\n        return e, g, a, (lambda h: h)(c), d\n"
        "    return inner\n"
    )
    course(body)
    assert "import" not in exporter.build(course.root)["segcourse/layers/scopes.py"].split('"""')[2]


MARK = "#| export layers.bad\n"
LONG = "word " * 15
BAD = {
    "unknown name": (
        MARK + "def f():\n    '''Doc.'''\n    return nowhere",
        r"cell 2: nothing provides .*`nowhere`.*Import it",
    ),
    "not exported": (
        MARK + "def f():\n    '''Doc.'''\n    return loose",
        r"`loose`. It is defined in .*cell 1, which is not",
    ),
    "default value": (MARK + "def f(x=nowhere):\n    '''Doc.'''", "nothing provides the name `nowhere`"),
    "decorator": (MARK + "@nowhere\ndef f():\n    '''Doc.'''", "nothing provides the name `nowhere`"),
    "no docstring": (MARK + "def f():\n    return 1", "public `f` has no docstring"),
    "statement": (MARK + "kernel = 3", "`kernel = 3` is not a definition"),
    "call": (MARK + "np.zeros(3)", "is not a definition"),
    "attribute": (MARK + "np.SIZE = 3", "is not a definition"),
    "print": (MARK + "def f():\n    '''Doc.'''\n    print(1)", "does not print"),
    "star": (MARK + "from math import *", r"import \*` hides"),
    "magic": (MARK + "%time\nX = 1", "line 2 is not plain Python"),
    "package prefix": ("#| export segcourse.layers.bad\nX = 1", "Name a module below segcourse"),
    "path": ("#| export layers/bad\nX = 1", "Name a module below segcourse"),
    "hand-written": ("#| export models.__init__\nX = 1", "is hand-written"),
    "no package": ("#| export other.bad\nX = 1", "segcourse/other/__init__.py is missing"),
    "long comment": (MARK + "X = 1  # " + "word " * 25, r"cell 2, line 2: prose of \d+ columns"),
    "ragged docstring": (
        MARK + f"def f():\n    '''Doc.\n\n    {LONG}\n    stub\n    {LONG}\n    '''",
        "cell 2, line 6: a stray short line .*'stub'",
    ),
    "two imports": (MARK + "import numpy.linalg as np\nX = np.inf", "`np` is imported in two ways"),
}


@pytest.mark.parametrize(("source", "message"), BAD.values(), ids=BAD)
def test_what_is_refused(course, source, message):
    course(SETUP, source)
    with pytest.raises(exporter.ExportError, match=message):
        exporter.build(course.root)


def test_a_name_exported_twice_is_refused(course):
    course(SETUP, KERNEL, KERNEL.replace("layers.kernel", "models.other"))
    with pytest.raises(exporter.ExportError, match="`RATE` is already exported by .*cell 2"):
        exporter.build(course.root)


def test_a_module_belongs_to_one_lesson(course):
    course(SETUP, KERNEL)
    course(SETUP, KERNEL, name="02_other")
    with pytest.raises(exporter.ExportError, match="02_other.ipynb and notebooks/01_net.ipynb both export"):
        exporter.build(course.root)


def test_the_modules_of_this_repository_agree_with_their_lessons():
    done = run_python("tools/export_lessons.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr

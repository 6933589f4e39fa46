"""What a piece of code depends on, and whether that has changed."""

import textwrap

import pytest

from segcourse.studies.core import source

FILES = {
    "__init__.py": """
        import importlib
        __version__ = "1"
        importlib.import_module(f"{__name__}.lone")
        """,
    "paths.py": "ROOT = 1",
    "lone.py": "",
    "training.py": """
        import segcourse
        def fit():
            from segcourse.paths import ROOT
            return ROOT, segcourse.__version__
        """,
    "losses/__init__.py": """
        from segcourse.losses.balancing import balanced
        from segcourse.losses.entropy import Entropy as CrossEntropy
        from numpy import mean
        def own(): ...
        """,
    "losses/entropy.py": "class Entropy: ...",
    "losses/balancing.py": "from ..paths import ROOT\ndef balanced(): ...",
    "datasets/__init__.py": """
        import importlib
        from .table import NAMES
        def load(name):
            return importlib.import_module(f"segcourse.datasets.{name}").load()
        """,
    "datasets/table.py": "NAMES = 'toy', 'cells'",
    "datasets/toy/__init__.py": "from . import draw as pencil\nfrom .draw import line",
    "datasets/toy/draw.py": "def line(): ...",
    "datasets/cells.py": "def load(): ...",
    "studies/__init__.py": """
        from importlib import import_module
        def get(name):
            return import_module(f"segcourse.studies.{name}").STUDY
        """,
    "studies/fcn.py": "from segcourse.studies import get",
    "studies/unet.py": "import segcourse.training as t",
}
DATASETS = sorted(name for name in FILES if name.startswith("datasets/"))


@pytest.fixture
def package(tmp_path):
    """A small package in the shape of ours."""
    root = tmp_path / "segcourse"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


CODE = {
    "module": ("import segcourse.paths", ["paths.py"]),
    "module as": ("import segcourse.training as t", ["paths.py", "training.py"]),
    "from package": ("from segcourse import training", ["paths.py", "training.py"]),
    "in a function": ("def f():\n    import segcourse.paths", ["paths.py"]),
    "name of a module": ("from segcourse.training import fit", ["paths.py", "training.py"]),
    "name passed on": ("from segcourse.losses import CrossEntropy", ["losses/entropy.py"]),
    "and its relative import": (
        "from segcourse.losses import balanced",
        ["losses/balancing.py", "paths.py"],
    ),
    "name of the package itself": (
        "from segcourse.losses import own",
        ["losses/__init__.py", "losses/balancing.py", "losses/entropy.py", "paths.py"],
    ),
    "a stranger's name": (
        "from segcourse.losses import mean",
        ["losses/__init__.py", "losses/balancing.py", "losses/entropy.py", "paths.py"],
    ),
    "submodule as a name": ("from segcourse.losses import entropy", ["losses/entropy.py"]),
    "attribute": ("from segcourse import losses\nlosses.CrossEntropy()", ["losses/entropy.py"]),
    "attribute under another name": (
        "import segcourse.losses as l\nl.CrossEntropy()",
        ["losses/entropy.py"],
    ),
    "package handed on": (
        "from segcourse import losses\nlosses.CrossEntropy, getattr(losses, 'x')",
        ["losses/__init__.py", "losses/balancing.py", "losses/entropy.py", "paths.py"],
    ),
    "everything": (
        "from segcourse.losses import *",
        ["losses/__init__.py", "losses/balancing.py", "losses/entropy.py", "paths.py"],
    ),
    "found by name": ("from segcourse import datasets\ndatasets.load('x')", DATASETS),
    "one data set": ("from segcourse.datasets import cells", ["datasets/cells.py"]),
    "relative in a package": (
        "from segcourse.datasets import toy",
        ["datasets/toy/__init__.py", "datasets/toy/draw.py"],
    ),
    "studies found by name": ("from segcourse import studies\nstudies.get('x')", ["studies/__init__.py"]),
    "another package": ("import numpy.linalg\nfrom keras import ops", []),
    "the version": ("import segcourse\nsegcourse.__version__", []),
}


@pytest.mark.parametrize(("code", "files"), CODE.values(), ids=CODE)
def test_imports_are_followed(package, code, files):
    assert source.closure(source.imports(code, package), package) == files


def test_files_belong_to_their_own_closure(package):
    assert source.closure(["studies/fcn.py"], package) == ["studies/__init__.py", "studies/fcn.py"]
    assert source.closure(["studies/unet.py", "lone.py"], package) == [
        "lone.py",
        "paths.py",
        "studies/unet.py",
        "training.py",
    ]
    assert source.closure([], package) == []


@pytest.mark.parametrize("call", ["import_module(name)", "importlib.import_module(f'{name}.x')"])
def test_what_cannot_be_followed_is_refused(package, call):
    (package / "lone.py").write_text(f"import importlib\ndef f(name):\n    {call}")
    with pytest.raises(
        ValueError, match=r"lone.py, line 3: .*import_module.*Begin the name with the package"
    ):
        source.closure(["lone.py"], package)


def test_a_file_that_is_not_there_is_an_error(package):
    with pytest.raises(FileNotFoundError, match="nothing.py"):
        source.closure(["nothing.py"], package)


BEFORE = 'def f(a, b=1):\n    """Doc."""\n    return a + b  # sum\n\nLIMIT = 3\n'
SAME = {
    "comments, docstrings, lines": '"""New."""\ndef f(a,\n      b=1):\n    return (a + b)\nLIMIT = 3',
    "order of definitions": "LIMIT = 3\ndef f(a, b=1):\n    return a + b",
}
DIFFERENT = {
    "constant": BEFORE.replace("3", "4"),
    "default": BEFORE.replace("b=1", "b=2"),
    "operator": BEFORE.replace("+", "-"),
    "new definition": BEFORE + "X = 1",
    "order of statements": BEFORE.replace("return", "b = b; return"),
}


def digest_with(package, text):
    (package / "lone.py").write_text(text)
    return source.digest(["paths.py", "lone.py"], package)


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_digest_stays_when_nothing_else_is_done(package, text):
    assert digest_with(package, text) == digest_with(package, BEFORE)


@pytest.mark.parametrize("text", DIFFERENT.values(), ids=DIFFERENT)
def test_the_digest_changes_with_what_is_done(package, text):
    assert digest_with(package, text) != digest_with(package, BEFORE)


def test_the_digest_tells_in_which_file_code_is(package):
    (package / "paths.py").write_text("A = 1")
    (package / "lone.py").write_text("A = 1")
    assert source.digest(["paths.py"], package) != source.digest(["lone.py"], package)


def test_a_text_has_a_digest_in_which_order_counts():
    assert source.digest_of("a = 1  # one\n\nb = 2") == source.digest_of("a = 1\nb = (2)")
    assert source.digest_of("a = 1\nb = 2") != source.digest_of("b = 2\na = 1")


def test_a_study_depends_on_what_it_trains_with_and_on_no_other_network():
    files = source.closure(["studies/unet.py"])
    assert {"models/unet.py", "training.py", "studies/unet.py"} <= set(files)
    assert not [name for name in files if name.startswith("cli/")]
    assert not {"models/fcn.py", "studies/fcn.py"} & set(files)


def test_every_module_of_the_package_can_be_followed():
    every = [path.relative_to(source.PACKAGE).as_posix() for path in source.PACKAGE.rglob("*.py")]
    assert source.closure(every) == sorted(every)

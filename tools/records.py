"""Execution records: what a lesson was when its saved outputs were made, and whether it still is that.

`make lesson` stores a record in the notebook's metadata. As long as it is fresh, executing the lesson again
would show nothing new, and `make test` need not do it every time.
"""

import ast
import hashlib
import json
import re

from segcourse.studies.core import source

DATA = source.PACKAGE.parent / "data"
KEY = "segcourse"
NOT_SHOWN = ("source", "probe", "as_stored", "weights")
REASONS = {
    "code": "its code has changed since it was executed",
    "source": "what it imports from segcourse has changed since it was executed",
    "data": "a stored result or weights that it shows have changed since it was executed",
}


def code_of(notebook):
    """All code cells as one text of Python; magics and shell lines become empty statements."""
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", "\n".join(cells), flags=re.MULTILINE)


def digests(notebook, package=source.PACKAGE, data=DATA):
    """What a lesson's outputs depend on: sha256 of its code, of what that imports, and of its data files."""
    code = code_of(notebook)
    files = source.closure(source.imports(code, package), package)
    studies = (package / file for file in files if file.startswith("studies/"))
    texts = [code, *(path.read_text(encoding="utf-8") for path in studies)]
    return {
        "code": source.digest_of(code),
        "source": source.digest(files, package),
        "data": _digest_of_files(data_files(code, texts, data)),
    }


def data_files(code, texts, data=DATA):
    """The data files that a lesson shows, sorted.

    Results are named in its own code, as in `studies.load("fcn")`; weights there or in the studies that it
    imports, by a string that ends in the file's name.
    """
    results = {f"{name}.json" for name in _loaded(ast.parse(code))}
    weights = {string.rpartition("/")[2] for text in texts for string in _strings(ast.parse(text))}
    found = [path for path in data.glob("results/*.json") if path.name in results]
    return sorted(found + [path for path in data.glob("weights/*") if path.name in weights])


def results_shown(notebook, data=DATA):
    """The names of the stored results that a lesson loads, sorted."""
    names = _loaded(ast.parse(code_of(notebook)))
    return sorted({name for name in names if (data / "results" / f"{name}.json").is_file()})


def _loaded(tree):
    """The names in `load("NAME")` and `anything.load("NAME")`."""
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None))
        if called == "load" and node.args and isinstance(node.args[0], ast.Constant):
            yield node.args[0].value
        elif called == "load" and ast.unparse(node.func) == "studies.load":
            raise ValueError(
                f"{ast.unparse(node)}: give the result's name itself, so that its record can tell."
            )


def _strings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _digest_of_files(paths):
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name}: {hashlib.sha256(_shown(path)).hexdigest()}\n".encode())
    return total.hexdigest()


def _shown(path):
    """What a lesson can show of a data file: of a study's result all but what ties it to the code."""
    if path.suffix != ".json":
        return path.read_bytes()
    result = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({key: result[key] for key in result if key not in NOT_SHOWN}, sort_keys=True).encode()


def store(notebook, seconds, machine, **places):
    """Put the record of an execution into a notebook."""
    notebook.metadata[KEY] = {**digests(notebook, **places), "seconds": round(seconds), "machine": machine}


def of(notebook):
    """The record of a notebook; an empty dict if it has none."""
    return notebook.metadata.get(KEY, {})


def why_stale(notebook, **places):
    """Why a lesson has to be executed again, in words; "" if its record is fresh."""
    record = of(notebook)
    if not record:
        return "it has no record: it was never executed by make lesson"
    now = digests(notebook, **places)
    return "; ".join(words for key, words in REASONS.items() if record.get(key) != now[key])


def machine():
    """The processor of this machine in a few words."""
    from segcourse import training  # imports Keras

    about = training.environment()
    return f"{about['cores']} cores of {about['cpu']}"

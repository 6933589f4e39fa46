"""Studies: the controlled experiments whose results the lessons show.

A study is a module with a `STUDY` that says what it costs and which code it measures, and a `run`. One
command, `segcourse study
NAME`, runs it and writes `data/results/NAME.json` with its settings, versions, machine and a digest of the
measured code.
Finished parts are kept, so that an interrupted study goes on where it was.
"""

import ast
import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from segcourse.paths import data_file, data_folder

_MODULES = {
    "vgg16-toycam": "vgg16_toycam",
    "fcn": "fcn",
    "fcn8s-camvid": "fcn8s_camvid",
    "deeplab-v1": "deeplab_v1",
    "deeplab-v1-camvid": "deeplab_v1_camvid",
    "deeplab-v1-crf": "deeplab_v1_crf",
    "deeplab-v1-crf-camvid": "deeplab_v1_crf_camvid",
    "crf-rnn": "crf_rnn",
    "crf-rnn-camvid": "crf_rnn_camvid",
    "unet": "unet",
    "unet-isbi2012": "unet_isbi2012",
    "segnet": "segnet",
    "segnet-camvid": "segnet_camvid",
    "comparison": "comparison",
}
_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Study:
    """What a study is.

    Attributes:
        title: one line for people.
        cost: expected time and machine, in words.
        settings: everything that can be chosen, in a form that JSON can hold.
        code: the measured source files, relative to the package.
        parts: keys of the independent parts, e.g. one a seed.
        run: function (part, settings) -> result of this part, in a form that JSON can hold.
        weights: file names below `data/weights` that the study writes.
    """

    title: str
    cost: str
    settings: dict
    code: tuple[str, ...]
    parts: tuple[str, ...]
    run: Callable[[str, dict], dict]
    weights: tuple[str, ...] = field(default=())


def names():
    """The names of all studies, in the order in which they build on each other."""
    return tuple(_MODULES)


def get(name):
    """The `Study` of a name.

    Raises:
        ValueError: if there is none; the message lists the known names.
    """
    if name not in _MODULES:
        raise ValueError(f"There is no study {name!r}. Known: {', '.join(_MODULES)}.")
    return importlib.import_module(f"segcourse.studies.{_MODULES[name]}").STUDY


def run(name, folder, report=print, parts=None, again=False):
    """Run a study, or what is left of it, and write its result.

    Args:
        name: one of `names()`.
        folder: where `NAME.json` is written, usually `data/results`.
        report: called with a line of text after each part.
        parts: some of the study's parts: only they are run, those that the stored result has already are
            left out, and each is stored as soon as it is finished. None runs all and then stores them.
        again: run also those of `parts` that the stored result has.

    Returns:
        Path of the written file.
    """
    study, folder = get(name), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if parts is not None:
        return _run_parts(study, name, folder, parts, again, report)
    unfinished = folder / f".{name}.unfinished.json"
    state = json.loads(unfinished.read_text()) if unfinished.exists() else {}
    digest = code_digest(study.code)
    if state.get("code") != digest or state.get("settings") != _plain(study.settings):
        state = {"code": digest, "settings": _plain(study.settings), "results": {}, "seconds": 0.0}
    for part in study.parts:
        if part in state["results"]:
            report(f"{name}, {part}: already done")
            continue
        start = time.perf_counter()
        state["results"][part] = _plain(study.run(part, study.settings))
        state["seconds"] += time.perf_counter() - start
        _write(unfinished, state)
        report(f"{name}, {part}: {time.perf_counter() - start:.0f} s")
    path = _write_result(study, name, folder, state)
    unfinished.unlink()
    return path


def _run_parts(study, name, folder, parts, again, report):
    """Run some parts of a study beside those that its stored result has."""
    if unknown := sorted(set(parts) - set(study.parts)):
        raise ValueError(f"{name} has no part {unknown[0]!r}. Its parts: {', '.join(study.parts)}.")
    path = folder / f"{name}.json"
    state = {"code": code_digest(study.code), "settings": _plain(study.settings)}
    stored = json.loads(path.read_text()) if path.exists() else {**state, "results": {}, "seconds": 0.0}
    if any(stored[key] != state[key] for key in state):
        raise ValueError(f"{path.name} was measured with other code or settings. Move it away to start anew.")
    results, seconds = stored["results"], stored["seconds"]
    for part in parts:
        if part in results and not again:
            report(f"{name}, {part}: already done")
            continue
        start = time.perf_counter()
        results[part] = _plain(study.run(part, study.settings))
        seconds += time.perf_counter() - start
        _write_result(study, name, folder, {**state, "results": results, "seconds": seconds})
        report(f"{name}, {part}: {time.perf_counter() - start:.0f} s")
    return path


def _write_result(study, name, folder, state):
    from segcourse.training import environment  # imports Keras: only now, so that listing studies is quick

    head = {"study": name, "title": study.title, "command": f"segcourse study {name}"}
    path = folder / f"{name}.json"
    _write(path, {**head, **state, "environment": environment(), "weights": _weight_digests(study)})
    return path


def load(name):
    """The stored result of a study: a dict with `settings`, `results` (by part), `environment`, `seconds`,
    `code`.

    Raises:
        FileNotFoundError: if it has not been run; the message names the command.
    """
    get(name)
    path = data_folder() / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"The study {name!r} has no stored result. Run: segcourse study {name}")
    return json.loads(path.read_text())


def is_current(name):
    """Whether the stored result was measured with today's code and settings."""
    stored, study = load(name), get(name)
    return stored["code"] == code_digest(study.code) and stored["settings"] == _plain(study.settings)


def describe(stored):
    """One paragraph on where a stored result comes from."""
    machine, minutes = stored["environment"], stored["seconds"] / 60
    packages = machine["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("keras", "tensorflow") if name in packages)
    where = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['cpu']}"
    fresh = "" if is_current(stored["study"]) else " The code has changed since: run it again."
    origin = f"{stored['title']}: {minutes:.0f} minutes on {where} ({versions})."
    return f"{origin} Repeat with: {stored['command']}.{fresh}"


def code_digest(files, package=_PACKAGE):
    """sha256 of what the named source files of the package do.

    Comments, docstrings, line breaks and the order of definitions do not count.
    """
    digest = hashlib.sha256()
    for file in files:
        body = ast.parse((package / file).read_text()).body
        for definition in sorted(repr(_meaning(node)) for node in body if not _is_text(node)):
            digest.update(f"{file}: {definition}\n".encode())
    return digest.hexdigest()


def _meaning(node):
    """A syntax tree as nested lists that are the same in every Python version."""
    if isinstance(node, list):
        return [_meaning(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return [type(node).__name__, *((name, _meaning(value)) for name, value in fields)]


def _is_text(node):
    """Whether a statement is nothing but a string: a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _weight_digests(study):
    return {
        name: hashlib.sha256(data_file(f"weights/{name}").read_bytes()).hexdigest() for name in study.weights
    }


def _plain(value):
    """The value as JSON gives it back: arrays and tuples become lists, NaN becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if value != value else value


def _write(path, content):
    partial = path.with_name("partial." + path.name)
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)

"""Running a study, and its stored result: one JSON file in `data/results`."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from segcourse.paths import data_file, data_folder
from segcourse.studies.core import source
from segcourse.studies.core.study import file_of, get


def run(
    name: str,
    folder: Path,
    report: Callable[[str], None] = print,
    parts: Iterable[str] | None = None,
    again: bool = False,
) -> Path:
    """Run a study, or what is left of it, and write its result.

    Every finished part is kept, so that an interruption costs one part at most: the same call goes on.

    Args:
        name: one of `names()`.
        folder: where `NAME.json` is written, usually `data/results`.
        report: called with a line of text after each part.
        parts: only these; they are stored beside the parts that the result has already. None runs all of
            them anew, and the old result stays until the last one is finished.
        again: run also those of `parts` that the result has.

    Returns:
        Path of the written file.

    Raises:
        ValueError: unknown study or part, or a stored result of other settings or of code that behaved
            differently: no part can stand beside it.
    """
    study, folder = get(name), Path(folder)
    if unknown := [part for part in parts or () if part not in study.parts]:
        raise ValueError(f"{name} has no part {unknown[0]!r}. Its parts: {', '.join(study.parts)}.")
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{name}.json"
    path = folder / f".{name}.unfinished.json" if parts is None else whole
    from segcourse.studies.core import state as states  # imports Keras: only now, so that listing is quick

    if parts is not None and path.exists():
        states.record(name, folder)  # no part joins others that different code has measured
    state = _state(name, study, path)
    for part in study.parts if parts is None else parts:
        if part in state["results"] and not (parts and again):
            report(f"{name}, {part}: already done")
            continue
        start = time.perf_counter()
        state["results"][part] = plain(study.run(part, study.settings))
        state["seconds"] += time.perf_counter() - start
        write(path, _complete(state, study))
        report(f"{name}, {part}: {time.perf_counter() - start:.0f} s")
    if path != whole and path.exists():
        os.replace(path, whole)
    if study.score:
        score(name, folder)
    states.record(name, folder)
    return whole


def score(name: str, folder: Path) -> dict[str, Any]:
    """Score the weights of a study as they are stored, and keep the scores in its result as `as_stored`.

    Raises:
        ValueError: the study writes no weights.
    """
    study, path = get(name), Path(folder) / f"{name}.json"
    if not study.score:
        raise ValueError(f"{name} stores no weights that could be scored.")
    stored = json.loads(path.read_text())
    stored |= {"as_stored": plain(study.score(study.settings)), "weights": _weight_digests(study)}
    write(path, stored)
    return stored["as_stored"]


def _state(name, study, path):
    """What is stored at `path`, if it is of this study as it is today; else an empty result."""
    fresh = {
        "study": name,
        "title": study.title,
        "command": f"segcourse study {name}",
        "version": study.version,
        "settings": plain(study.settings),
        "source": source_digest(name),
        "results": {},
        "seconds": 0.0,
    }
    if not path.exists():
        return fresh
    stored = json.loads(path.read_text())
    belongs = all(stored.get(key) == fresh[key] for key in ("version", "settings", "source"))
    return stored if belongs else fresh


def _complete(state, study):
    """The state with where it comes from."""
    from segcourse.training import environment  # imports Keras

    state = {key: value for key, value in state.items() if key != "probe"}
    return {**state, "environment": environment(), "weights": _weight_digests(study)}


def _weight_digests(study):
    return {n: hashlib.sha256(data_file(f"weights/{n}").read_bytes()).hexdigest() for n in study.weights}


def source_digest(name: str) -> str:
    """The digest of all code of the package that a study runs."""
    return source.digest(source.closure([file_of(name)]))


def load(name: str) -> dict[str, Any]:
    """The stored result of a study: a dict with `settings`, `results` (by part), `environment`, `seconds`.

    Raises:
        FileNotFoundError: if it has not been run; the message names the command.
    """
    get(name)
    path = data_folder() / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"The study {name!r} has no stored result. Run: segcourse study {name}")
    return json.loads(path.read_text())


def describe(stored: dict) -> str:
    """One paragraph on where a stored result comes from."""
    machine, minutes = stored["environment"], stored["seconds"] / 60
    packages = machine["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("keras", "tensorflow") if name in packages)
    where = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['cpu']}"
    origin = f"{stored['title']}: {minutes:.0f} minutes on {where} ({versions})."
    name = stored["study"]
    fresh = "" if stored.get("source") == source_digest(name) else (
        f" The code was edited since; does it still do the same? segcourse study {name} --check --probe"
    )  # fmt: skip
    return f"{origin} Repeat with: {stored['command']}.{fresh}"


def scratch(study: str, *key: Any) -> Path:
    """A folder for what an unfinished part of a study keeps, beside the results and ignored by git.

    Args:
        study: its name.
        key: what the content depends on, in a form that JSON can hold; another key has another folder.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    return data_folder() / "results" / f".{study}.unfinished" / digest


def plain(value: Any) -> Any:
    """The value as JSON gives it back: arrays and tuples become lists, NaN becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if value != value else value


def write(path: Path, content: dict) -> None:
    """Write a result, whole or not at all; a list of numbers takes one line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    text = re.sub(
        r"\[[^][{}\"]*\]",
        lambda numbers: re.sub(r"\s+", " ", numbers[0]).replace("[ ", "[").replace(" ]", "]"),
        text,
    )
    partial = path.with_name("partial." + path.name)
    partial.write_text(text + "\n")
    os.replace(partial, path)

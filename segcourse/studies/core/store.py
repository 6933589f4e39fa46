"""The stored result of a study: one JSON file in `data/results`."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from segcourse.jsonable import jsonable
from segcourse.paths import data_file, data_folder
from segcourse.studies.core import source
from segcourse.studies.core.study import Study, file_of, get


def score(name: str, folder: Path) -> dict[str, Any]:
    """Score the weights of a study as they are stored, and keep the scores in its result as `as_stored`.

    Raises:
        ValueError: the study writes no weights.
    """
    study, path = get(name), Path(folder) / f"{name}.json"
    if not study.score:
        raise ValueError(f"{name} stores no weights that could be scored.")
    stored = json.loads(path.read_text())
    stored |= {"as_stored": jsonable(study.score(study.settings)), "weights": weight_digests(study)}
    write(path, stored)
    return stored["as_stored"]


def weight_digests(study: Study) -> dict[str, str]:
    """The sha256 of each file of weights that a study writes."""
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
    parts = [part["environment"] for part in stored["results"].values() if "environment" in part]
    machines = dict.fromkeys(map(_machine, parts or [stored["environment"]]))  # each once, in their order
    origin = f"{stored['title']}: {stored['seconds'] / 60:.0f} minutes on {' and '.join(machines)}."
    name = stored["study"]
    fresh = "" if stored.get("source") == source_digest(name) else (
        f" The code was edited since; does it still do the same? segcourse study {name} --check --probe"
    )  # fmt: skip
    return f"{origin} Repeat with: {stored['command']}.{fresh}"


def _machine(environment):
    """A machine and what ran on it, in words."""
    packages = environment["packages"]
    names = ("keras", environment.get("backend", "tensorflow"))
    versions = ", ".join(f"{name} {packages[name]}" for name in names if name in packages)
    where = ", ".join(environment["gpus"]) or f"{environment['cores']} cores of {environment['cpu']}"
    return f"{where} ({versions})"


def scratch(study: str, *key: Any) -> Path:
    """A folder for what an unfinished part of a study keeps, beside the results and ignored by git.

    Args:
        study: its name.
        key: what the content depends on, in a form that JSON can hold; another key has another folder.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    return data_folder() / "results" / f".{study}.unfinished" / digest


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

"""Running a study, part by part."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from segcourse.jsonable import jsonable
from segcourse.studies.core import state as states
from segcourse.studies.core.store import score, source_digest, weight_digests, write
from segcourse.studies.core.study import get
from segcourse.training import environment


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
    if parts is not None and path.exists():
        states.record(name, folder)  # no part joins others that different code has measured
    state = _state(name, study, path)
    for part in study.parts if parts is None else parts:
        if part in state["results"] and not (parts and again):
            report(f"{name}, {part}: already done")
            continue
        start = time.perf_counter()
        state["results"][part] = jsonable(study.run(part, study.settings))
        _name_machines(state, part)
        state.get("probe", {}).pop(part, None)  # those of other parts stay
        state["seconds"] += time.perf_counter() - start
        write(path, _complete(state, study))
        report(f"{name}, {part}: {time.perf_counter() - start:.0f} s")
    if path != whole and path.exists():
        os.replace(path, whole)
    if study.score:
        score(name, folder)
    states.record(name, folder)
    return whole


def _state(name, study, path):
    """What is stored at `path`, if it is of this study as it is today; else an empty result."""
    fresh = {
        "study": name,
        "title": study.title,
        "command": f"segcourse study {name}",
        "version": study.version,
        "settings": jsonable(study.settings),
        "source": source_digest(name),
        "results": {},
        "seconds": 0.0,
    }
    if not path.exists():
        return fresh
    stored = json.loads(path.read_text())
    belongs = all(stored.get(key) == fresh[key] for key in ("version", "settings", "source"))
    return stored if belongs else fresh


def _name_machines(state, new):
    """Once the parts come from several machines, each says from which; `new` was measured on this one."""
    parts, here = state["results"], environment()
    before = state.get("environment", here)
    if before != here or any("environment" in part for part in parts.values()):
        for name, part in parts.items():
            part.setdefault("environment", here if name == new else before)


def _complete(state, study):
    """The state with where it comes from."""
    return {**state, "environment": environment(), "weights": weight_digests(study)}

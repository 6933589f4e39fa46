"""Whether a stored result still belongs to today's code: by its source, or by its behaviour."""

import json
from dataclasses import dataclass
from pathlib import Path

from segcourse.jsonable import jsonable
from segcourse.paths import data_folder
from segcourse.studies.core import probe
from segcourse.studies.core.store import load, source_digest, write
from segcourse.studies.core.study import get


@dataclass(frozen=True)
class State:
    """What is known of a stored result.

    Attributes:
        name: "same source", "same behaviour", "source edited" (nobody has looked whether it still does the
            same), "out of date" or "none" (there is no result).
        why: what differs, and by how much; a list of lines.
    """

    name: str
    why: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the result is known to belong to today's code."""
        return self.name in ("same source", "same behaviour")


def state(name: str, with_probe: bool = False, folder: Path | None = None) -> State:
    """The state of a stored result.

    Args:
        name: of the study.
        with_probe: run the probe where the source was edited: about 15 seconds on two CPU cores. Without it
            the answer is then "source edited".
        folder: where results are; None for the project's own.
    """
    study = get(name)
    path = _path(name, folder)
    if not path.exists():
        return State("none", (f"run: segcourse study {name}",))
    stored = json.loads(path.read_text())
    if changed := _changed_method(stored, study):
        return State("out of date", changed)
    if stored.get("source") == source_digest(name):
        return State("same source")
    if not with_probe:
        return State("source edited", (f"segcourse study {name} --check --probe tells what that means",))
    return compare(name, stored)


def compare(name: str, stored: dict) -> State:
    """Run the probe of a study and hold it against that of a stored result, whatever the source says."""
    if "probe" not in stored:
        return State("out of date", ("the result has no probe: run the study again",))
    found = probe.differences(stored["probe"], probe.take_apart(name, list(stored["probe"])))
    return State("out of date", tuple(found)) if found else State("same behaviour")


def _changed_method(stored, study):
    """Settings and version, in words."""
    lines = []
    if stored.get("version", 1) != study.version:
        lines.append(f"version {stored.get('version', 1)} then, {study.version} now")
    now, then = jsonable(study.settings), stored["settings"]
    for key in [*then, *(key for key in now if key not in then)]:
        if then.get(key) != now.get(key):
            lines.append(f"settings, {key}: {then.get(key)!r} then, {now.get(key)!r} now")
    return tuple(lines)


def record(name: str, folder: Path | None = None) -> State:
    """Note in a stored result that it belongs to today's code: its probe, and the digest of the source.

    A probe that is there already stays as it is: it says how the code behaved that measured the result. Only
    parts that it lacks are added.

    Raises:
        ValueError: today's code behaves differently, or has other settings; the message says what differs.
    """
    study, path = get(name), _path(name, folder)
    stored = json.loads(path.read_text())
    if changed := _changed_method(stored, study):
        raise ValueError(f"{name} is out of date: {'; '.join(changed)}. Run: segcourse study {name}")
    before = stored.get("probe", {})
    parts = [part for part in study.probed or study.parts[:1] if part in stored["results"]]
    now = probe.take_apart(name, parts)
    found = probe.differences(before, {part: now[part] for part in before if part in now})
    if found:
        raise ValueError(f"{name} is out of date: {'; '.join(found[:5])}. Run: segcourse study {name}")
    stored |= {"source": source_digest(name), "probe": {**now, **before}}
    write(path, stored)
    return State("same source")


def _path(name, folder):
    return (data_folder() / "results" if folder is None else Path(folder)) / f"{name}.json"


__all__ = ["State", "compare", "load", "record", "state"]

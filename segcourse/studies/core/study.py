"""A study, and the studies that there are: every module beside this package is one."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Study:
    """What a study is.

    Attributes:
        title: one line for people.
        cost: expected time and machine, in words.
        settings: everything that can be chosen, in a form that JSON can hold.
        parts: keys of the independent parts, e.g. one a seed.
        run: function (part, settings) -> result of this part, in a form that JSON can hold.
        weights: file names below `data/weights` that the study writes.
        version: raised when its method is changed on purpose; the study is then run again.
        probed: the parts that a probe runs in miniature; none stands for the first.
        score: function (settings) -> scores of the networks in `weights` as they are stored, rounded.
    """

    title: str
    cost: str
    settings: dict
    parts: tuple[str, ...]
    run: Callable[[str, dict], dict]
    weights: tuple[str, ...] = ()
    version: int = 1
    probed: tuple[str, ...] = ()
    score: Callable[[dict], dict] | None = None


def names() -> tuple[str, ...]:
    """The names of all studies: those of their files, with hyphens."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules([str(FOLDER)]) if not m.ispkg))


def file_of(name: str) -> str:
    """The module of a study, relative to the package `segcourse`."""
    return f"studies/{name.replace('-', '_')}.py"


def get(name: str) -> Study:
    """The `Study` of a name.

    Raises:
        ValueError: if there is none; the message lists the known names.
    """
    if name not in names():
        raise ValueError(f"There is no study {name!r}. Known: {', '.join(names())}.")
    return importlib.import_module(f"segcourse.studies.{name.replace('-', '_')}").STUDY

"""Where data lies: the project's own (in a checkout or in the installed package) and cached data sets."""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The folder with `results/` and `weights/`: `data/` of the repository, else the wheel's copy of it."""
    repository = PACKAGE.parent
    return repository / "data" if (repository / "pyproject.toml").exists() else PACKAGE / "data"


def data_file(name: str) -> Path:
    """Path of one of the project's data files, as in `data_file("results/fcn.json")`.

    Raises:
        FileNotFoundError: there is no such file; the message lists the files of that folder.
    """
    path = data_folder() / name
    if not path.is_file():
        known = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        there = ", ".join(known) or "none"
        raise FileNotFoundError(f"No data file {name!r} in {data_folder()}. There are: {there}.")
    return path


def cache_folder() -> Path:
    """The folder in which data sets are kept; it need not exist yet.

    The environment variable `SEGCOURSE_DATA` names it; without that it is the platform's own cache folder.
    """
    chosen = os.environ.get("SEGCOURSE_DATA")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("segcourse"))

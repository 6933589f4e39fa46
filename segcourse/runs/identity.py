"""What a run remembers: of which data, classes and size it is, so that nothing else is taken for it.

All of it is in `settings.json` of the run's folder: the settings as they were given, and under "remembered"
what was found in the data.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcourse.datasets import labels
from segcourse.runs.errors import BadRequest
from segcourse.runs.files import read_json

SETTINGS = "settings.json"
CLASSES = "classes.json"
MODEL = "model.keras"
HISTORY = "history.json"
STATE = "state.npz"  # written by training.fit, as are the best weights
BEST = "best.weights.h5"
# What a setting is that a run does not name, or that is not there in runs of earlier versions.
DEFAULTS = {"loss": "cross-entropy", "class_weights": None, "crop": None}


@dataclass(frozen=True)
class Remembered:
    """What the files beside a model tell of its training; None where they tell nothing.

    Attributes:
        size: (height, width) of the pictures in training, in pixels; of the crops, where the pictures had
            many sizes.
        resized: whether they were brought to this size, as `--size` asks for.
        data: name of a built-in data set, or the absolute path of a folder.
        classes: names and colours, in the order of the ids.
    """

    size: tuple[int, int] | None = None
    resized: bool = False
    data: str | None = None
    classes: labels.LabelSpec | None = None


def remembered(model: str | os.PathLike) -> Remembered:
    """What the run of a model file knows: `export`, `evaluate` and `predict` take it by default.

    Raises:
        BadRequest: `settings.json` beside the model is damaged.
        DataError: `classes.json` beside it is.
    """
    settings, classes = Path(model).with_name(SETTINGS), Path(model).with_name(CLASSES)
    spec = labels.from_file(classes) if classes.is_file() else None
    if not settings.is_file():
        return Remembered(classes=spec)
    content = read_json(settings)
    found = content.get("remembered", {})
    size = content.get("size") or found.get("size")
    return Remembered(
        size=tuple(size) if size else None,
        resized=bool(content.get("size")),
        data=found.get("data") or content.get("data"),
        classes=spec,
    )


def found_in(
    data: str,
    spec: labels.LabelSpec,
    splits: Mapping[str, Iterable[tuple[np.ndarray, np.ndarray]]],
    size: tuple[int, int],
) -> dict[str, Any]:
    """What a run remembers of its data.

    Args:
        data: name or folder.
        spec: its classes.
        splits: by name, pairs of a picture uint8 [H, W, 3] and its labels uint8 [H, W].
        size: (height, width) that the network is trained on.
    """
    from segcourse import datasets

    return {
        "data": data if data in datasets.names() else str(Path(data).resolve()),
        "classes": list(spec.classes),
        "size": list(size),
        "splits": {name: _prints(pairs) for name, pairs in splits.items()},
    }


def _prints(pairs):
    """Number and SHA-256 digests of pictures and masks, with their shapes and in their order."""
    count, pictures, masks = 0, hashlib.sha256(), hashlib.sha256()
    for pair in pairs:
        count += 1
        for whole, array in zip((pictures, masks), pair, strict=True):
            whole.update(f"{array.shape}{array.dtype}".encode())
            whole.update(np.ascontiguousarray(array))
    return {"count": count, "pictures": pictures.hexdigest(), "masks": masks.hexdigest()}


def refuse_hidden(data: str) -> None:
    """Refuse the name of a built-in data set where a folder of that name may be meant.

    Raises:
        BadRequest: there is such a folder with pictures here.
    """
    from segcourse import datasets

    folder = Path(data)
    if data not in datasets.names() or folder.resolve() == datasets.cache_folder().resolve() / data:
        return
    if folder.is_dir() and any((folder / name).is_dir() for name in ("images", "masks", "train")):
        raise BadRequest(
            f"--data {data} is a built-in data set, and there is a folder {data} here. For the folder give "
            f"--data .{os.sep}{data}; for the built-in one work in another folder, or rename this one."
        )


def epochs_done(folder: Path) -> int:
    """Whole epochs of the run in a folder; 0 where there is none.

    Raises:
        BadRequest: what it would continue from is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return 0
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise ValueError(f"{broken} in it is not what was written")
        with np.load(path) as state:
            return len(json.loads(str(state["notes"]))["history"].get("epoch", ()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadRequest(
            f"{path} is damaged ({error}), so the run cannot go on. Put the original back, or start anew "
            f"with --restart (in Python: resume=False); {folder / BEST} may still hold the best weights."
        ) from error


def refuse_other_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to continue a run with settings that are not its own.

    The data may be called otherwise: what they hold is compared by `refuse_other_data`.

    Raises:
        BadRequest: the settings differ, or those of the run are missing or damaged.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise BadRequest(
            f"{folder} holds the state of a run, but no {SETTINGS} that says of which. Choose another "
            "folder, or start anew with --restart (in Python: resume=False)."
        )
    before = {**DEFAULTS, **read_json(path)}
    left_out = {"data"} if "remembered" in before else set()
    now = {key: _plain(value) for key, value in settings.items() if key not in left_out}
    changed = [
        f"{key} was {before.get(key)!r}, now {now[key]!r}" for key in now if before.get(key) != now[key]
    ]
    if changed:
        raise BadRequest(
            f"{folder} holds a run with other settings ({'; '.join(changed)}). Repeat them to continue it, "
            f"choose another folder (its weights are a start: --weights {folder / MODEL}), or start anew "
            "with --restart (in Python: resume=False)."
        )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def refuse_other_data(folder: Path, found: Mapping[str, Any]) -> None:
    """Refuse to continue a run with other pictures, masks or classes than it began with.

    Args:
        found: of `found_in`.

    Raises:
        BadRequest: they differ; the message says in what.
    """
    before = read_json(folder / SETTINGS).get("remembered")
    if before is None:  # a run of an earlier version
        return
    changed = [] if before["classes"] == found["classes"] else [_lists(before["classes"], found["classes"])]
    for split, prints in found["splits"].items():
        changed += _differences(split, before["splits"].get(split, {}), prints)
    if changed:
        raise BadRequest(
            f"{folder} holds a run on other data: {'; '.join(changed)}. Put the data back to continue it, "
            "choose another folder, or start anew with --restart (in Python: resume=False)."
        )


def _lists(before, now):
    if sorted(before) == sorted(now):
        return f"the classes are in another order ({_some(before)}; now {_some(now)})"
    return f"the classes were {_some(before)}; now {_some(now)}"


def _some(names, most=12):
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _differences(split, before, now):
    if before.get("count") != now["count"]:
        return [f"{split} had {before.get('count', 'no')} pictures, now {now['count']}"]
    return [
        f"the {kind} of {split} have changed" for kind in ("pictures", "masks") if before[kind] != now[kind]
    ]


def refuse_foreign_folder(folder: Path, data: str) -> None:
    """Refuse to train into a folder in which a run's files would replace or disturb something else.

    Raises:
        BadRequest: it is the folder of the data, or holds files with a run's names but no run.
    """
    if folder.exists() and Path(data).is_dir() and folder.resolve() == Path(data).resolve():
        raise BadRequest(f"--out {folder} is the folder of the data. Give the run a folder of its own.")
    if (folder / SETTINGS).exists() or (folder / STATE).exists():
        return
    foreign = [name for name in (MODEL, CLASSES, HISTORY, BEST) if (folder / name).exists()]
    if foreign:
        raise BadRequest(
            f"{folder} holds {', '.join(foreign)}, but no run that wrote it: training would replace it. "
            "Choose another folder."
        )


def refuse_other_names(model: str | os.PathLike, names: Iterable[str], data: str | os.PathLike) -> None:
    """Refuse to score a model on data whose classes have other names, or another order.

    Raises:
        BadRequest: the class list beside the model differs from `names`; both are shown.
    """
    own, names = remembered(model).classes, list(names)
    if own is not None and list(own.classes) != names:
        raise BadRequest(
            f"{model} and {data} have different classes: {_lists(list(own.classes), names)}. Scores would "
            "compare unlike things. Give data with the model's list; or --by-id where only the names differ."
        )

"""Class lists as people have them: text, JSON, and the tables of Roboflow, Kaggle, CamVid and labelme."""

import csv
import json
import re
from pathlib import Path

from segcourse.datasets.errors import DataError

Entry = tuple[str, tuple[int, int, int] | None]

_NUMBERED = re.compile(r"(\d+)\s*[:;,\t]\s*(\S.*)")
_COLORED = re.compile(r"(\d{1,3})[ ,\t]+(\d{1,3})[ ,\t]+(\d{1,3})\s+(\S.*)")
_VOID_NAMES = ("__ignore__",)  # labelme's first line, which stands for no class
_NAME_HEADS = ("class", "classes", "class_name", "class name", "label", "labels", "name", "names")
_ID_HEADS = ("pixel value", "id", "index", "class_id", "class id", "trainid")
_COLOR_HEADS = ("r", "g", "b")
_HEADS = {*_NAME_HEADS, *_ID_HEADS, *_COLOR_HEADS, "red", "green", "blue", "color", "colour"}


def read(path: Path | str) -> list[Entry]:
    """Names of the classes in the order of their ids, each with its colour or None.

    Text (``.txt``): one class a line, with a colour if you like, ``road #804080``; lines such as ``0: road``
    and ``128 64 128 road`` are understood when all are written so, and labelme's ``__ignore__`` is left out.
    JSON (``.json``): a list whose entries are names or ``{"name": "road", "color": "#804080"}``. Tables
    (``.csv``) have a first line that names the columns: ``name,r,g,b`` or ``Pixel Value, Class``.

    Raises:
        DataError: the file cannot be read or understood; the message names file and line.
    """
    path = Path(path)
    parse = {".json": _json_entries, ".csv": _table_entries}.get(path.suffix, _text_entries)
    try:
        return parse(path.read_text(encoding="utf-8-sig"), path)
    except DataError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(
            f"{path}: no readable class list ({error}). Write UTF-8 text with one class name a line."
        ) from error


def _text_entries(text, path):
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    _refuse_table(lines, path)
    if lines and lines[0][1] in _VOID_NAMES:
        lines = lines[1:]
    colored = [_COLORED.fullmatch(line) for _, line in lines]
    if lines and all(colored):
        return [_colored_entry(match.groups(), f"{path}, line {lines[at][0]}")
                for at, match in enumerate(colored)]  # fmt: skip
    lines = _without_numbers(lines, path)
    return [_text_entry(line, f"{path}, line {number}") for number, line in lines]


def _refuse_table(lines, path):
    """A header or a list in one line would be taken for a class, and every id would be off by one."""
    if not lines:
        return
    parts = [part.strip().lower() for part in lines[0][1].split(",")]
    if set(parts) <= _HEADS and (len(parts) > 1 or parts[0] in _NAME_HEADS) and len(lines) > 1:
        raise DataError(
            f"{path}, line {lines[0][0]}: {lines[0][1]!r} looks like the head of a table, not like a class. "
            "Remove the line and leave one class name a line, or name the file classes.csv."
        )
    if len(lines) == 1 and len(parts) > 1:
        raise DataError(
            f"{path}: one line with commas, {lines[0][1]!r}. Write one class name a line, in the order of "
            "the ids."
        )


def _without_numbers(lines, path):
    """`0: road` as `road`, if all lines are numbered from 0 in order."""
    numbered = [_NUMBERED.fullmatch(line) for _, line in lines]
    if not lines or not all(numbered):
        return lines
    for at, (match, (number, line)) in enumerate(zip(numbered, lines, strict=True)):
        if int(match[1]) != at:
            raise DataError(
                f"{path}, line {number}: {line!r} has the number {match[1]} where id {at} is due. List the "
                "classes in the order of their ids, from 0 and without a gap."
            )
    return [(number, match[2]) for match, (number, _) in zip(numbered, lines, strict=True)]


def _colored_entry(groups, place):
    color = tuple(map(int, groups[:3]))
    if max(color) > 255:
        raise DataError(f"{place}: colour {color} must be three numbers in 0..255.")
    return groups[3], color


def _text_entry(line, place):
    name, mark, color = line.rpartition("#")
    if not mark:
        return line, None
    return _entry(name.strip(), mark + color, place)


def _json_entries(text, path):
    data = json.loads(text)
    if not isinstance(data, list):
        raise DataError(
            f'{path}: a {type(data).__name__} where a list of classes is needed, like ["road", "car"].'
        )
    return [_json_entry(item, f"{path}, entry {number}") for number, item in enumerate(data, 1)]


def _json_entry(item, place):
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise DataError(f'{place}: needs a name, or {{"name": ..., "color": "#rrggbb"}}.')
    return _entry(item["name"].strip(), item.get("color"), place)


def _entry(name, color, place):
    if not name:
        raise DataError(f"{place}: the class has no name (there are no comments in a class list).")
    if color is None:
        return name, None
    if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise DataError(f"{place}: colour {color!r} must be written as #rrggbb, for example #804080.")
    return name, tuple(bytes.fromhex(color[1:]))


def _table_entries(text, path):
    table = csv.reader(text.splitlines(), skipinitialspace=True)
    rows = [[cell.strip() for cell in row] for row in table if any(row)]
    heads = [head.lower() for head in rows[0]] if rows else []
    name = next((at for at, head in enumerate(heads) if head in _NAME_HEADS), None)
    if name is None or any(len(row) != len(heads) for row in rows):
        raise DataError(
            f"{path}: no table of classes. The first line names the columns, `name,r,g,b` or "
            "`Pixel Value, Class`, and every line has as many columns."
        )
    number = next((at for at, head in enumerate(heads) if head in _ID_HEADS), None)
    entries = []
    for at, row in enumerate(rows[1:]):
        if number is not None and row[number] != str(at):
            raise DataError(
                f"{path}, line {at + 2}: id {row[number]!r} where {at} is due. List the classes in the order "
                "of their ids, from 0 and without a gap."
            )
        entries.append(_table_entry(dict(zip(heads, row, strict=True)), row[name], f"{path}, line {at + 2}"))
    return entries


def _table_entry(row, name, place):
    if not set(_COLOR_HEADS) <= set(row):
        return _entry(name, None, place)
    parts = [row[head] for head in _COLOR_HEADS]
    if not all(part.isdecimal() for part in parts):
        raise DataError(f"{place}: colour {', '.join(parts)} must be three numbers in 0..255.")
    return _colored_entry((*parts, _entry(name, None, place)[0]), place)

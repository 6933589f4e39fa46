"""The page beside a `.tflite` file: what it takes and gives, what it is good for, and who may run it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcourse.tflite.annotation import Metadata, metadata
from segcourse.tflite.files import write_atomically
from segcourse.tflite.inspection import inspect


def write_card(
    path: str | os.PathLike,
    agreement: object | None = None,
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a model card in Markdown beside a TFLite file: `fcn8s.tflite` gets `fcn8s.md`.

    Everything on it is read from the file, or given here.

    Args:
        path: a `.tflite` file.
        agreement: of the file with the network that it was made from, as `compare` returns it.
        scores: name -> value, measured with this file, e.g. {"mIoU on CamVid val": 0.61}.

    Returns:
        The path of the card.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no whole TFLite file at `path`.
        ValueError: a file of the card's name is there and is none.
    """
    report, facts = inspect(path), metadata(path) or Metadata()
    card = own_card(report.path)
    sections = (
        [f"# {report.path.stem}", "", f"{_title(report.path)} (TFLite, LiteRT)."],
        _interface(report, facts),
        _classes(facts),
        _origin(facts),
        _quality(agreement, scores),
        ["## Where it runs", "", "```text", str(report), "```"],
    )
    text = "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"
    write_atomically(card, text.encode())
    return card


def own_card(path: Path) -> Path:
    """Where the card of a TFLite file goes; its folder need not have one yet.

    Raises:
        ValueError: a file of that name is there, and is no card of this file.
    """
    card = path.with_suffix(".md")
    if card.exists() and _title(path) not in card.read_text(errors="replace"):
        raise ValueError(f"{card} is there and no model card of {path.name}. Move it, or go without a card.")
    return card


def _title(path):
    return f"`{path.name}`: semantic segmentation for phones"


def _interface(report, facts):
    rows = [("in", name, tensor) for name, tensor in report.inputs.items()]
    rows += [("out", name, tensor) for name, tensor in report.outputs.items()]
    table = [f"| {side} | `{name}` | {tensor.dtype} {[*tensor.shape]} |" for side, name, tensor in rows]
    lines = ["## Interface", "", "| | name | type and shape |", "|---|---|---|", *table]
    if facts.input_range:
        low, high = facts.input_range
        space = f" {facts.color_space}" if facts.color_space else ""
        lines += ["", f"Pixels:{space} in {low:g}..{high:g}; rescaling and normalisation are in the network."]
    return lines


def _classes(facts):
    if not facts.names:
        return []
    colors = facts.colors or [None] * len(facts.names)
    rows = [
        f"| {number} | {name} | {'#' + bytes(color).hex() if color else ''} |"
        for number, (name, color) in enumerate(zip(facts.names, colors, strict=True))
    ]
    return ["## Classes", "", "| id | class | colour |", "|---|---|---|", *rows]


def _origin(facts):
    if not facts.provenance:
        return []
    return ["## Origin", "", *(f"- {key}: {_text(value)}" for key, value in facts.provenance.items())]


def _text(value):
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def _quality(agreement: Any, scores):
    lines = [] if agreement is None else [f"- agreement with the network it was made from: {agreement}"]
    lines += [f"- {name}: {value:.4f}" for name, value in (scores or {}).items()]
    return ["## Quality", "", *lines] if lines else []

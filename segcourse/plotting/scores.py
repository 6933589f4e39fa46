"""Scores by class: bars of the IoU, and who is taken for whom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from segcourse.plotting import figures
from segcourse.plotting.figures import HATCHES, OKABE_ITO, WIDTH, legend_below, style
from segcourse.plotting.specs import spec_of

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec


def class_bars(ious: Mapping[str, Sequence[float]], spec: LabelSpec | str, *, alt: str | None = None) -> None:
    """IoU of every class for one model or several, in the order of the classes.

    Args:
        ious: by model name, IoU in 0..1 [C], or [seeds, C]: then the mean, and a line from the smallest to
            the largest. NaN is a class that does not occur: it is marked "absent".
        spec: a `LabelSpec` or its name.
    """
    spec = spec_of(spec)
    tables = {name: _iou_table(name, values, spec) for name, values in ious.items()}
    if not tables:
        raise ValueError('class_bars needs at least one model: class_bars({"FCN-8s": scores["iou"]}, spec).')
    thickness = 0.8 / len(tables)
    places = np.arange(len(spec))
    with style():
        fig = Figure(figsize=(WIDTH, 1.1 + len(spec) * max(0.3, 0.17 * len(tables))), layout="constrained")
        axis = fig.subplots()
        looks = zip(tables.items(), cycle(OKABE_ITO), cycle(HATCHES), strict=False)
        for i, ((name, table), color, hatch) in enumerate(looks):
            _draw_bars(axis, places - 0.4 + (i + 0.5) * thickness, table, thickness, name, color, hatch)
        axis.set_yticks(places, spec.classes)
        axis.set(ylim=(len(spec) - 0.45, -0.55), xlim=(0, 1.0), xlabel="IoU")
        axis.grid(True, axis="x")
        axis.tick_params(axis="y", length=0)
        legend_below(fig, axis.get_legend_handles_labels()[0], columns=3)
    figures.show(fig, alt or _bars_text(tables, spec))


def _iou_table(name, values, spec):
    table = np.atleast_2d(np.asarray(values, float))
    if table.ndim != 2 or table.shape[1] != len(spec):
        raise ValueError(
            f"{name!r}: IoU of shape {np.shape(values)}; {spec.name} needs {len(spec)} values, one a class."
        )
    if np.nanmin(table, initial=0) < 0 or np.nanmax(table, initial=0) > 1:
        raise ValueError(
            f"{name!r}: IoU is a fraction from 0 to 1, got up to {np.nanmax(table):g}; divide percent by 100."
        )
    return table


def _columns(table, function):
    """function over the seeds of each class, NaN where a class is absent in all of them."""
    return np.array([function(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in table.T])


def _draw_bars(axis, places, table, thickness, name, color, hatch):
    mean = _columns(table, np.mean)
    label = f"{name} (mean IoU {np.nanmean(mean):.3f})"
    known = ~np.isnan(mean)
    axis.barh(
        places[known], mean[known], thickness * 0.92, color=color, hatch=hatch, edgecolor="white", label=label
    )
    size = float(np.clip(72 * 0.17 * 0.75, 7, 10))
    ends = mean
    if len(table) > 1:
        low, ends = _columns(table, np.min), _columns(table, np.max)
        axis.hlines(places[known], low[known], ends[known], color="black", linewidth=1.5)
    for place, value, end in zip(places, mean, ends, strict=True):
        text, x = ("absent", 0.0) if math.isnan(value) else (f"{value:.2f}", end)
        axis.annotate(
            text, (x, place), (4, 0), textcoords="offset points", va="center", fontsize=size, color="#333333"
        )


def _bars_text(tables, spec):
    sentences = []
    for name, table in tables.items():
        mean = _columns(table, np.mean)
        values = ", ".join(
            f"{c} {'absent' if math.isnan(v) else format(v, '.2f')}"
            for c, v in zip(spec.classes, mean, strict=True)
        )
        sentences.append(f"{name}: mean IoU {np.nanmean(mean):.3f} ({values}).")
    return "IoU of each class. " + " ".join(sentences)


def confusion(matrix: ArrayLike, spec: LabelSpec | str, *, alt: str | None = None) -> None:
    """A confusion matrix in percent of each true class: rows are the truth, columns the prediction.

    Args:
        matrix: counts [C,C].
        spec: a `LabelSpec` or its name.
    """
    spec, matrix = spec_of(spec), np.asarray(matrix, float)
    if matrix.shape != (len(spec), len(spec)):
        raise ValueError(f"the matrix is {matrix.shape}; {spec.name} needs {(len(spec), len(spec))}.")
    totals = matrix.sum(1, keepdims=True)
    percent = 100 * np.divide(matrix, totals, where=totals > 0, out=np.full_like(matrix, np.nan))
    side = 2.4 + 0.47 * len(spec)
    with style():
        fig = Figure(figsize=(min(side + 0.8, WIDTH), min(side, WIDTH - 0.8)), layout="constrained")
        axis = fig.subplots()
        picture = axis.imshow(np.nan_to_num(percent), cmap="Blues", vmin=0, vmax=100)
        size = 9.5 if len(spec) <= 12 else 6.5
        for (row, column), value in np.ndenumerate(percent):
            text = "–" if math.isnan(value) else f"{value:.0f}"
            axis.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="white" if value > 55 else "#222222",
            )
        axis.set_xticks(range(len(spec)), spec.classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(spec)), spec.classes)
        axis.set(xlabel="predicted class", ylabel="true class")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        fig.colorbar(picture, ax=axis, shrink=0.7, label="% of the true class' pixels")
    figures.show(fig, alt or _confusion_text(percent, spec))


def _confusion_text(percent, spec):
    right = [
        f"{name} {value:.0f}"
        for name, value in zip(spec.classes, percent.diagonal(), strict=True)
        if value == value
    ]
    off = np.nan_to_num(percent) * (1 - np.eye(len(spec)))
    worst = [np.unravel_index(i, off.shape) for i in np.argsort(-off, axis=None)[:3]]
    mixed = [
        f"{spec.classes[r]} taken for {spec.classes[c]} {off[r, c]:.0f} %"
        for r, c in worst
        if off[r, c] >= 0.5
    ]
    text = f"Confusion matrix in percent of each true class. Right: {', '.join(right)}."
    return text + (f" Most frequent mistakes: {', '.join(mixed)}." if mixed else "")

"""Figures of the lessons: each function draws and shows one PNG with a text for those who cannot see it.

Class maps have the data set's colours and a legend; everything else has the Okabe-Ito colours, and never a
colour alone: lines differ in dashes and markers, bars in hatching, errors in brightness.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

WIDTH = 9.6  # inches, at 100 dots an inch the width of a notebook's text
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
WRONG = (150, 20, 0)  # dark on a pale picture: seen in any kind of colour vision and in print
VOID = 255

_STYLE = {
    "image.interpolation": "nearest",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=OKABE_ITO),
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.07,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The course's look for figures of your own, inside `with plotting.style():` and nowhere else."""
    with matplotlib.rc_context(_STYLE):
        yield


def show(fig: Figure, alt: str, dpi: int = 100) -> None:
    """Display a figure as one PNG, with `alt` as its text for screen readers, and close it.

    Outside IPython nothing is displayed.

    Args:
        fig: a matplotlib figure, from `matplotlib.pyplot` or not.
        alt: what the figure shows, the main numbers included.
        dpi: dots an inch.
    """
    if not alt.strip():
        raise ValueError("A figure needs an alt text: say what it shows and the main numbers.")
    data = png(fig, dpi)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        bundle = {"image/png": base64.b64encode(data).decode(), "text/plain": alt}
        ipython.display.display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def png(fig: Figure, dpi: int = 100) -> bytes:
    """The figure as PNG bytes with a palette of 256 colours, far fewer bytes than in full colour."""
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    buffer.seek(0)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def gallery(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    predictions: ArrayLike | Mapping[str, ArrayLike] | None = None,
    spec: LabelSpec | str | None = None,
    *,
    rows: int = 4,
    alt: str | None = None,
) -> None:
    """Rows of image | truth | prediction | errors, with the legend of the classes that occur.

    Args:
        images: uint8 [N,H,W,3], or one image [H,W,3].
        labels: class ids [N,H,W] or None; 255 is void, drawn black and never counted as an error.
        predictions: class ids [N,H,W], or None, or a dict of them by model name (then without error maps).
        spec: a `LabelSpec` or its name; needed as soon as there are labels or predictions.
        rows: at most so many images are shown, the first ones.
        alt: instead of the automatic text.
    """
    images = _images(images)
    named = _predictions(predictions)
    maps = {"truth": labels, **named} if labels is not None else named
    maps = {name: _maps(values, images, name)[:rows] for name, values in maps.items()}
    spec = _spec(spec) if maps else None
    images = images[:rows]
    errors = labels is not None and len(named) == 1
    columns = ["image", *maps, *(["errors"] if errors else [])]
    with style():
        handles = _patches(spec, maps.values()) if maps else []
        if errors:
            handles.append(Patch(color=np.array(WRONG) / 255, label="wrong pixel"))
        fig, axes = _grid(len(images), len(columns), images.shape[1] / images.shape[2], handles, 0.2 * errors)
        for row, image in zip(axes, images, strict=True):
            row[0].imshow(image, interpolation="nearest")
        for name, column in zip(maps, axes.T[1:], strict=False):
            for axis, ids in zip(column, maps[name], strict=True):
                axis.imshow(spec.colorize(ids), interpolation="nearest")
        if errors:
            _draw_errors(axes[:, -1], images, *maps.values())
        for axis, name in zip(axes[0], columns, strict=True):
            axis.set_title(name)
    show(fig, alt or _gallery_text(columns, maps, named, spec, len(images)))


def _draw_errors(axes, images, truth, predicted):
    pale = 255 - (255 - images.mean(-1, keepdims=True)) * 0.35
    wrong = _wrong(truth, predicted)
    pictures = np.where(wrong[..., None], WRONG, pale).astype(np.uint8)
    for axis, picture, where, ids in zip(axes, pictures, wrong, truth, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_xlabel(f"{_percent(_share(where, ids), 1)} wrong")


def _wrong(truth, predicted):
    return (truth != predicted) & (truth != VOID)


def _share(wrong, truth) -> float:
    return float(wrong.sum() / max((truth != VOID).sum(), 1))


def _percent(fraction: float, digits: int = 0) -> str:
    return f"{100 * fraction:.{digits}f} %"


def _gallery_text(columns, maps, named, spec, count):
    text = [f"{count} {'row' if count == 1 else 'rows'} of {', '.join(columns)}."]
    for name in named:
        if "truth" in maps:
            share = _share(_wrong(maps["truth"], maps[name]), maps["truth"])
            text.append(f"{name}: {_percent(share, 1)} of the labelled pixels are wrong.")
    for name, ids in islice(maps.items(), 1):
        text.append(f"{name}: {_shares(ids, spec)}.")
    return " ".join(text)


def _shares(ids, spec) -> str:
    """Class shares of the pixels in words, largest first."""
    values, counts = np.unique(ids, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{_class_name(spec, values[i])} {_percent(counts[i] / ids.size)}" for i in order)


def overlay(
    images: ArrayLike,
    labels: ArrayLike,
    spec: LabelSpec | str,
    alpha: float = 0.55,
    *,
    alt: str | None = None,
) -> None:
    """Class colours laid over one image or several, with the legend of the classes that occur.

    Args:
        images: uint8 [N,H,W,3] or [H,W,3].
        labels: class ids [N,H,W] or [H,W].
        alpha: strength of the colours, 0 (image alone) to 1 (colours alone).
    """
    images, spec = _images(images), _spec(spec)
    labels = _maps(labels, images, "labels")
    columns = min(len(images), 3)
    with style():
        handles = _patches(spec, [labels[labels != VOID]])
        fig, axes = _grid(
            math.ceil(len(images) / columns), columns, images.shape[1] / images.shape[2], handles
        )
        for axis, image, ids in zip(axes.flat, images, labels, strict=False):
            axis.imshow(blend(image, ids, spec, alpha), interpolation="nearest")
        for axis in axes.flat[len(images) :]:
            axis.set_axis_off()
    show(fig, alt or f"{len(images)} image(s) under the colours of their classes: {_shares(labels, spec)}.")


def blend(image: ArrayLike, labels: ArrayLike, spec: LabelSpec | str, alpha: float = 0.55) -> np.ndarray:
    """Mix an image [...,H,W,3] with the colours of its class ids [...,H,W]: uint8; void stays as it is."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}.")
    image, labels = np.asarray(image), np.asarray(labels)
    if image.shape != (*labels.shape, 3):
        raise ValueError(
            f"image {image.shape} and labels {labels.shape} do not fit; needed are [H,W,3] and [H,W]."
        )
    mixed = (1 - alpha) * image + alpha * _spec(spec).colorize(labels)
    return np.where((labels == VOID)[..., None], image, mixed.round()).astype(np.uint8)


def legend(spec: LabelSpec | str, *, alt: str | None = None) -> None:
    """All classes of a data set with their colours, names and ids."""
    spec = _spec(spec)
    handles = [_patch(spec, i, f"{i}  {name}") for i, name in enumerate(spec.classes)] + [
        _patch(spec, VOID, "255  void")
    ]
    with style():
        fig = Figure(figsize=(WIDTH, 0.6 + 0.27 * math.ceil(len(handles) / 5)), layout="constrained")
        fig.legend(handles=handles, loc="center", ncols=5, title=f"classes of {spec.name}")
    names = ", ".join(f"{i} {name}" for i, name in enumerate(spec.classes))
    show(fig, alt or f"The colours of the classes of {spec.name}: {names}, 255 void (black).")


def curves(histories: Mapping, keys: Sequence[str] | None = None, *, alt: str | None = None) -> None:
    """Training curves: one panel for each quantity, training dashed, validation solid.

    Args:
        histories: what `segcourse.training.fit` returns; or a dict of them by run name; or a dict of lists of
            them, one for each seed: then the mean is drawn, and a band from the smallest to the largest.
        keys: the quantities without `val_`, such as ("loss", "miou"); all that were measured by default.
        alt: instead of the automatic text.
    """
    runs = _runs(histories)
    first = next(iter(runs.values()))[0]
    keys = tuple(keys or _quantities(first))
    with style():
        fig = Figure(figsize=(WIDTH, 3.5), layout="constrained")
        axes = fig.subplots(1, len(keys), squeeze=False)[0]
        texts = [_draw_curves(axis, runs, key) for axis, key in zip(axes, keys, strict=True)]
        _legend_below(fig, _curve_handles(runs, keys), columns=5)
    show(fig, alt or " ".join(texts))


def _runs(histories) -> dict[str, list[Mapping]]:
    if not isinstance(histories, Mapping) or not histories:
        raise ValueError("curves needs a history (dict of lists), or a dict of histories by run name.")
    if "epoch" in histories or "loss" in histories:
        return {"": [histories]}
    runs = {name: [run] if isinstance(run, Mapping) else run for name, run in histories.items()}
    for name, seeds in runs.items():
        if (
            not isinstance(seeds, Sequence)
            or not seeds
            or not all(isinstance(seed, Mapping) for seed in seeds)
        ):
            raise ValueError(f"run {name!r} is neither a history (dict of lists) nor a list of histories.")
    return runs


def _quantities(history) -> list[str]:
    bases = dict.fromkeys(key.removeprefix("val_") for key in history)
    names = [key for key in bases if key not in ("epoch", "seconds", "lr")]
    if not names:
        raise ValueError(f"the history has nothing to draw, only {sorted(history)}.")
    return names


def _curve_handles(runs, keys):
    handles = []
    if len(runs) > 1:
        for name, color, marker in zip(runs, cycle(OKABE_ITO), cycle(MARKERS), strict=False):
            handles.append(Line2D([], [], color=color, marker=marker, label=name))
    measured = {key for seeds in runs.values() for key in seeds[0]}
    for prefix, dashes, label in (("", "--", "training"), ("val_", "-", "validation")):
        if any(prefix + key in measured for key in keys):
            color = "#555555" if len(runs) > 1 else OKABE_ITO[0 if prefix else 1]
            handles.append(Line2D([], [], color=color, linestyle=dashes, label=label))
    seeds = max(len(seeds) for seeds in runs.values())
    if seeds > 1:
        handles.append(Patch(color="#bbbbbb", label=f"smallest to largest of {seeds} seeds"))
    return handles


def _draw_curves(axis, runs, key) -> str:
    words = []
    for (name, seeds), color, marker in zip(runs.items(), cycle(OKABE_ITO), cycle(MARKERS), strict=False):
        for full, dashes in ((key, "--"), (f"val_{key}", "-")):
            if any(full not in seed for seed in seeds):
                continue
            drawn = OKABE_ITO[1] if len(runs) == 1 and dashes == "--" else color
            epochs, values = _table(seeds, full, name)
            mean = values.mean(0)
            points = {"marker": marker, "markersize": 5, "markevery": max(1, len(mean) // 12)}
            axis.plot(
                epochs,
                mean,
                dashes,
                color=drawn,
                markerfacecolor="white" if dashes == "--" else drawn,
                **points,
            )
            if len(values) > 1:
                axis.fill_between(epochs, values.min(0), values.max(0), color=drawn, alpha=0.18, linewidth=0)
            words.append(f"{name} {full}".strip() + f" from {mean[0]:.3f} to {mean[-1]:.3f}")
    if not words:
        measured = sorted(next(iter(runs.values()))[0])
        raise ValueError(f"{key!r} is in no history; choose from {measured}.")
    axis.set(title=_words(key), xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(True)
    return f"{_words(key)} over {len(epochs)} epochs: {', '.join(words)}."


def _table(seeds, key, name):
    lengths = {len(seed[key]) for seed in seeds}
    if len(lengths) > 1:
        raise ValueError(
            f"the seeds of run {name!r} differ in length ({sorted(lengths)} epochs); draw them as runs."
        )
    epochs = seeds[0].get("epoch", range(1, lengths.pop() + 1))
    return list(epochs), np.array([seed[key] for seed in seeds], float)


def _words(key: str) -> str:
    return {"miou": "mean IoU"}.get(key, key.replace("_", " "))


def class_bars(ious: Mapping[str, Sequence[float]], spec: LabelSpec | str, *, alt: str | None = None) -> None:
    """IoU of every class for one model or several, in the order of the classes.

    Args:
        ious: by model name, IoU in 0..1 [C], or [seeds, C]: then the mean, and a line from the smallest to
            the largest. NaN is a class that does not occur: it is marked "absent".
        spec: a `LabelSpec` or its name.
    """
    spec = _spec(spec)
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
        _legend_below(fig, axis.get_legend_handles_labels()[0], columns=3)
    show(fig, alt or _bars_text(tables, spec))


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
    spec, matrix = _spec(spec), np.asarray(matrix, float)
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
    show(fig, alt or _confusion_text(percent, spec))


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


def _images(images) -> np.ndarray:
    images = np.asarray(images)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        raise ValueError(f"images must be [N,H,W,3] or [H,W,3] in RGB, got the shape {images.shape}.")
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        if low < 0 or high > 255 or high <= 1:
            raise ValueError(f"images must be RGB in 0..255, got {images.dtype} from {low:g} to {high:g}.")
        images = images.round().astype(np.uint8)
    return images


def _maps(maps, images, what) -> np.ndarray:
    maps = np.asarray(maps)
    maps = maps[None] if maps.ndim == 2 else maps
    if maps.shape != images.shape[:3]:
        hint = " These look like logits: take the argmax over the last axis." if maps.ndim == 4 else ""
        raise ValueError(
            f"{what} {maps.shape} do not fit the images {images.shape}; needed is {images.shape[:3]}.{hint}"
        )
    if not np.issubdtype(maps.dtype, np.integer):
        raise ValueError(f"{what} must be integer class ids, got {maps.dtype}.")
    return maps


def _predictions(predictions) -> dict:
    if predictions is None:
        return {}
    return dict(predictions) if isinstance(predictions, Mapping) else {"prediction": predictions}


def _spec(spec) -> LabelSpec:
    if isinstance(spec, str):
        from segcourse.datasets import labels  # not needed by those who bring their own spec

        return labels.get(spec)
    if not hasattr(spec, "colorize"):
        raise ValueError(f'spec must be a LabelSpec or a name such as "camvid", got {spec!r}.')
    return spec


def _class_name(spec, index) -> str:
    if index == VOID:
        return "void"
    return spec.classes[index] if 0 <= index < len(spec) else f"unknown id {index}"


def _patch(spec, index, text) -> Patch:
    return Patch(
        facecolor=spec.colorize(np.array([index]))[0] / 255, edgecolor="#444444", linewidth=0.6, label=text
    )


def _patches(spec, maps) -> list[Patch]:
    present = np.unique(np.concatenate([ids.ravel() for ids in maps]))
    return [_patch(spec, int(i), _class_name(spec, int(i))) for i in present]


def _grid(rows: int, columns: int, aspect: float, handles: list[Patch], gap: float = 0.0):
    """Axes for pictures of height / width = aspect, and a legend below; gap is inches under each row."""
    cell = min((WIDTH - 0.2) / columns, 4.6)
    width = max(cell * columns + 0.2, 4.8)
    legend_columns = max(1, int(width / 1.5))
    legend_height = 0.25 * math.ceil(len(handles) / legend_columns) + 0.2 * bool(handles)
    fig = Figure(figsize=(width, rows * (cell * aspect + gap) + 0.35 + legend_height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.04, h_pad=0.045, wspace=0.0, hspace=0.0)
    axes = fig.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    _legend_below(fig, handles, legend_columns)
    return fig, axes


def _legend_below(fig, handles, columns: int) -> None:
    if handles:
        fig.legend(
            handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=1.6
        )

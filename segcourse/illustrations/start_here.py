"""Drawings of lesson 00: label maps beside pictures, one pixel's answer at a time, and where errors lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from segcourse import plotting

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

EDGE = "#444444"  # around patches of a legend, and bars
NO_ANSWER = 240  # the grey of pixels without an answer


def panels(
    pictures: Mapping[str, np.ndarray], spec: LabelSpec, alt: str, ids: np.ndarray | None = None
) -> None:
    """Pictures side by side, with a legend of the classes in the label maps among them, and in `ids`.

    `pictures` is a dict of title -> RGB picture, uint8 [H, W, 3], or label map of class ids, integer [H, W];
    `ids` is a label map that is not shown; `alt` is the text for those who cannot see the figure.
    """
    fig, axes = _figure(1, len(pictures), (9.6, 7.2 / len(pictures) + 0.8))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        _picture(axis, spec.colorize(picture) if picture.ndim == 2 else picture, title)
    shown = [np.unique(picture) for picture in (*pictures.values(), ids) if np.ndim(picture) == 2]
    _class_legend(fig, np.concatenate(shown) if shown else np.array([], int), spec)
    plotting.show(fig, alt, dpi=80)


def four_answers(
    image: np.ndarray,
    labels: np.ndarray,
    boxes: Sequence[tuple[int, int, int, int, int]],
    instances: np.ndarray,
    spec: LabelSpec,
) -> None:
    """A picture, uint8 [H, W, 3], and its class names, its boxes, its label map and its objects.

    `labels` are class ids, integer [H, W]; a box is (class id, x, y, width, height) in pixels; `instances`,
    integer [H, W], holds 0 where no object is and k at the pixels of the k-th box's object.
    """
    found = [spec.classes[c] for c in np.unique(labels)]
    objects = plt.get_cmap("tab20")(instances % 20, bytes=True)[..., :3]
    objects[instances == 0] = NO_ANSWER
    blank = np.full_like(image, NO_ANSWER)
    answers = {"the picture": image, "1  classification": blank, "2  detection": blank,
               "3  semantic": spec.colorize(labels), "4  instance": objects}  # fmt: skip
    with plotting.style():
        fig = plt.figure(figsize=(9.6, 4.3), layout="constrained")
    axes = list(fig.subplot_mosaic("PP12;PP34").values())
    for axis, (title, picture) in zip(axes, answers.items(), strict=True):
        _picture(axis, picture, title)
    words = "\n".join(", ".join(found[i : i + 2]) for i in range(0, len(found), 2))
    middle = labels.shape[1] / 2, labels.shape[0] / 2
    axes[1].text(*middle, words, ha="center", va="center", fontsize=9)
    for class_id, x, y, *size in boxes:
        color = np.array(spec.palette[class_id]) / 255
        axes[2].add_patch(Rectangle((x - 0.5, y - 0.5), *size, fill=False, color=color, linewidth=1.5))
    _class_legend(fig, labels, spec)
    alt = (
        f"A street and four answers about it: the names of its classes; {len(boxes)} boxes; every pixel in "
        "its class colour; as many objects, each in a colour of its own."
    )
    plotting.show(fig, alt, dpi=70)


def ids_in_pixels(image: np.ndarray, labels: np.ndarray, spec: LabelSpec) -> None:
    """A small picture, uint8 [H, W, 3], beside its label map, integer [H, W], the ids written into it."""
    fig, axes = _figure(1, 2, (9.6, 3.7))
    axes[0].imshow(image, interpolation="nearest")
    axes[1].imshow(spec.colorize(labels), interpolation="nearest")
    for (y, x), value in np.ndenumerate(labels):
        axes[1].text(x, y, value, ha="center", va="center", fontsize=7.5, color="white")
    for axis, title in zip(axes, ("what the network gets", "what it should answer"), strict=True):
        axis.set_title(title)
        axis.set_axis_off()
    _class_legend(fig, labels, spec)
    alt = "A piece of the street, and the same piece with the class id written into every pixel."
    plotting.show(fig, alt, dpi=90)


def scenes(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], spec: LabelSpec) -> None:
    """Scenes above their label maps: title -> (image, uint8 [H, W, 3], and class ids, integer [H, W])."""
    fig, axes = _figure(2, len(pairs), (9.6, 5.5))
    for (title, (image, labels)), (above, below) in zip(pairs.items(), axes.T, strict=True):
        above.imshow(image, interpolation="nearest")
        above.set_title(title)
        below.imshow(spec.colorize(labels), interpolation="nearest")
    for axis in axes.flat:
        axis.set_axis_off()
    _class_legend(fig, np.arange(len(spec)), spec)
    legend = ", ".join(f"{i} {name}" for i, name in enumerate(spec.classes))
    alt = f"ToyCam scenes with their label maps below: {', '.join(pairs)}. Legend: {legend}."
    plotting.show(fig, alt, dpi=68)


def class_shares(share: np.ndarray, spec: LabelSpec) -> None:
    """How much of all pixels each class covers: float [C] in 0..1, drawn as bars on a logarithmic axis."""
    with plotting.style():
        fig, axis = plt.subplots(figsize=(9.6, 3.4), layout="constrained")
        colors = np.array(spec.palette) / 255
        bars = axis.bar(list(spec.classes), 100 * share, color=colors, edgecolor=EDGE, linewidth=0.6)
        axis.bar_label(bars, [f"{100 * s:.1f}" for s in share], padding=2)
        axis.set(yscale="log", ylabel="% of all pixels (log scale)", ylim=(0.3, 90))
        axis.tick_params(axis="x", rotation=30)
    shares = ", ".join(f"{n} {s:.1%}" for n, s in zip(spec.classes, share, strict=True))
    plotting.show(fig, f"Share of the pixels by class: {shares}")


def truth_and_guess(truth: np.ndarray, guess: np.ndarray) -> None:
    """Two label maps of few pixels, integer [H, W] with 0 sky, 1 road and 2 pole; wrong pixels are framed."""
    colors = np.array([(196, 220, 240), (128, 64, 128), (192, 192, 128)], np.uint8)
    fig, axes = _figure(1, 2, (7.6, 3.2))
    for axis, title, ids in zip(axes, ("truth", "prediction"), (truth, guess), strict=True):
        axis.imshow(colors[ids], interpolation="nearest")
        for (y, x), value in np.ndenumerate(ids):
            color = "white" if value == 1 else "black"
            axis.text(x, y, value, ha="center", va="center", fontsize=14, color=color)
        axis.set_title(title)
        axis.set_axis_off()
    for y, x in np.argwhere(truth != guess):
        axes[1].add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, fill=False, color="#D55E00", linewidth=3))
    names = ("0 sky", "1 road", "2 pole")
    _legend(fig, {name: color / 255 for name, color in zip(names, colors, strict=True)}, columns=3)
    height, width = truth.shape
    alt = (
        f"Truth and prediction of {height} by {width} pixels with ids {', '.join(names)}; the "
        f"{np.sum(truth != guess)} wrong pixels are framed."
    )
    plotting.show(fig, alt)


def outlines(true: np.ndarray, band: np.ndarray, predicted: np.ndarray, reach: float) -> None:
    """A true outline, the band of what is near it, and a predicted outline: masks, bool [H, W].

    `reach` is how far the band goes, in pixels. The part of the picture around the band is shown.
    """
    parts = {f"within {reach} px": (band, "#c8e1f5"), "true outline": (true, "#005aa0"),
             "predicted, counts as right": (predicted & band, "#009e73"),
             "predicted, too far": (predicted & ~band, "#d55e00")}  # fmt: skip
    picture = np.ones((*band.shape, 3))
    for mask, color in parts.values():
        picture[mask] = to_rgb(color)
    y, x = np.nonzero(band)
    with plotting.style():
        fig, axis = plt.subplots(figsize=(9.6, 4.4), layout="constrained")
    axis.imshow(picture, interpolation="nearest")
    axis.set(xlim=(x.min() - 3.5, x.max() + 3.5), ylim=(y.max() + 3.5, y.min() - 3.5))
    axis.set_axis_off()
    _legend(fig, {name: color for name, (_, color) in parts.items()}, columns=4)
    alt = (
        f"A true outline, a band of {reach} pixels around it, and a predicted outline: "
        f"{np.mean(band[predicted]):.0%} of it lies inside the band and counts as right, the rest is too "
        "far away."
    )
    plotting.show(fig, alt, dpi=90)


def errors_by_distance(wrong: Sequence[float], limits: Sequence[float]) -> None:
    """Shares of wrong pixels, each in 0..1, between consecutive `limits` of the distance to another class.

    The limits are in pixels and one more than the shares: 0 first, infinity last.
    """
    between = [f"{low:g}–{high:g}" for low, high in list(pairwise(limits))[1:-1]]
    text = [f"{limits[1]:g}", *between, f"over {limits[-2]:g}"]
    with plotting.style():
        fig, axis = plt.subplots(figsize=(9.6, 3.0), layout="constrained")
        axis.bar_label(axis.bar(text, 100 * np.array(wrong)), fmt="%.0f %%", padding=2)
        axis.set(xlabel="distance to the nearest other class, pixels", ylabel="% wrong", ylim=(0, 60))
    told = ", ".join(f"{t} px {w:.0%}" for t, w in zip(text, wrong, strict=True))
    plotting.show(fig, f"Wrong pixels by distance to the nearest other class: {told}")


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    with plotting.style():
        return plt.subplots(rows, columns, figsize=size, layout="constrained")


def _picture(axis: Axes, picture: np.ndarray, title: str) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def _class_legend(fig: Figure, ids: np.ndarray, spec: LabelSpec) -> None:
    """The colours of the classes in `ids`, each with id and name, below a figure."""
    classes = np.unique(ids).astype(int)
    _legend(fig, {f"{c} {spec.classes[c]}": np.array(spec.palette[c]) / 255 for c in classes}, columns=6)


def _legend(fig: Figure, colors: Mapping[str, object], columns: int) -> None:
    patches = [Patch(facecolor=color, edgecolor=EDGE, label=name) for name, color in colors.items()]
    fig.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False)

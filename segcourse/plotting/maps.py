"""Class maps: beside their images or over them, with a legend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from segcourse.plotting import figures
from segcourse.plotting.figures import VOID, WIDTH, WRONG, legend_below, style
from segcourse.plotting.specs import spec_of

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec


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
    spec = spec_of(spec) if maps else None
    images = images[:rows]
    errors = labels is not None and len(named) == 1
    columns = ["image", *maps, *(["errors"] if errors else [])]
    with style():
        handles = _patches(spec, maps.values()) if maps else []
        if errors:
            handles.append(Patch(color=np.array(WRONG) / 255, label="wrong pixel"))
        fig, axes = grid(len(images), len(columns), images.shape[1] / images.shape[2], handles, 0.2 * errors)
        for row, image in zip(axes, images, strict=True):
            row[0].imshow(image, interpolation="nearest")
        for name, column in zip(maps, axes.T[1:], strict=False):
            for axis, ids in zip(column, maps[name], strict=True):
                axis.imshow(spec.colorize(ids), interpolation="nearest")
        if errors:
            _draw_errors(axes[:, -1], images, *maps.values())
        for axis, name in zip(axes[0], columns, strict=True):
            axis.set_title(name)
    figures.show(fig, alt or _gallery_text(columns, maps, named, spec, len(images)))


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
    images, spec = _images(images), spec_of(spec)
    labels = _maps(labels, images, "labels")
    columns = min(len(images), 3)
    with style():
        handles = _patches(spec, [labels[labels != VOID]])
        fig, axes = grid(
            math.ceil(len(images) / columns), columns, images.shape[1] / images.shape[2], handles
        )
        for axis, image, ids in zip(axes.flat, images, labels, strict=False):
            axis.imshow(blend(image, ids, spec, alpha), interpolation="nearest")
        for axis in axes.flat[len(images) :]:
            axis.set_axis_off()
    figures.show(
        fig, alt or f"{len(images)} image(s) under the colours of their classes: {_shares(labels, spec)}."
    )


def blend(image: ArrayLike, labels: ArrayLike, spec: LabelSpec | str, alpha: float = 0.55) -> np.ndarray:
    """Mix an image [...,H,W,3] with the colours of its class ids [...,H,W]: uint8; void stays as it is."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}.")
    image, labels = np.asarray(image), np.asarray(labels)
    if image.shape != (*labels.shape, 3):
        raise ValueError(
            f"image {image.shape} and labels {labels.shape} do not fit; needed are [H,W,3] and [H,W]."
        )
    mixed = (1 - alpha) * image + alpha * spec_of(spec).colorize(labels)
    return np.where((labels == VOID)[..., None], image, mixed.round()).astype(np.uint8)


def label_maps(
    pictures: Mapping[str, ArrayLike],
    spec: LabelSpec | str,
    alt: str,
    *,
    rows: int = 1,
    height: float = 1.75,
) -> None:
    """Images and label maps side by side, each under its title, with the legend of the classes that occur.

    Args:
        pictures: by title, row by row from left to right: images, uint8 [H,W,3], or class ids [H,W].
        spec: a `LabelSpec` or its name.
        alt: what the figure shows.
        rows: into how many rows the pictures go; it divides their number.
        height: of a row, in inches.
    """
    spec = spec_of(spec)
    pictures = {title: np.asarray(picture) for title, picture in pictures.items()}
    handles = _patches(spec, [picture for picture in pictures.values() if picture.ndim == 2])
    with style():
        fig = Figure(figsize=(8.6, rows * height + 0.5), layout="constrained")
        axes = fig.subplots(rows, len(pictures) // rows, squeeze=False)
        for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
            axis.imshow(spec.colorize(picture) if picture.ndim == 2 else picture, interpolation="nearest")
            axis.set_title(title, fontsize=10)
            axis.axis("off")
        fig.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=9)
    figures.show(fig, alt, dpi=72)


def legend(spec: LabelSpec | str, *, alt: str | None = None) -> None:
    """All classes of a data set with their colours, names and ids."""
    spec = spec_of(spec)
    handles = [_patch(spec, i, f"{i}  {name}") for i, name in enumerate(spec.classes)] + [
        _patch(spec, VOID, "255  void")
    ]
    with style():
        fig = Figure(figsize=(WIDTH, 0.6 + 0.27 * math.ceil(len(handles) / 5)), layout="constrained")
        fig.legend(handles=handles, loc="center", ncols=5, title=f"classes of {spec.name}")
    names = ", ".join(f"{i} {name}" for i, name in enumerate(spec.classes))
    figures.show(fig, alt or f"The colours of the classes of {spec.name}: {names}, 255 void (black).")


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


def grid(
    rows: int, columns: int, aspect: float, handles: list[Patch], gap: float = 0.0
) -> tuple[Figure, np.ndarray]:
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
    legend_below(fig, handles, legend_columns)
    return fig, axes

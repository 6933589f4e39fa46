"""Drawings of lesson 04: cells in colours of their own, the U with its real sizes, weights, seams, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from segcourse import plotting


def painted(image: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Every cell in a colour of its own over the grey picture, with a dark outline: uint8 [H, W, 3].

    `image`: uint8 [H, W, 3]; `instances`: integers [H, W], 0 background, 1, 2, ... the cells.
    """
    hues = plt.get_cmap("hsv")(np.arange(instances.max() + 1) * 0.618 % 1)[:, :3]
    mixed = np.where(instances[..., None] > 0, 0.55 * _calm(image) + 110 * hues[instances], _calm(image))
    edge = ndimage.grey_erosion(instances, 3) != ndimage.grey_dilation(instances, 3)
    return np.where((edge & (instances > 0))[..., None], 30, mixed).clip(0, 255).astype("uint8")


def side_by_side(
    pictures: Mapping[str, np.ndarray], alt: str, *, width: float = 6.6, notes: Sequence[str] = ()
) -> None:
    """A row of pictures, title -> uint8 [H, W, 3], with `notes` below them; `width` of the row in inches."""
    size = width, width / len(pictures) + 0.6
    fig, axes = plt.subplots(1, len(pictures), figsize=size, layout="constrained", squeeze=False)
    for i, (ax, (title, picture)) in enumerate(zip(axes[0], pictures.items(), strict=True)):
        _picture(ax, _calm(picture), title)
        ax.set_xlabel(notes[i] if notes else "")
    plotting.show(fig, alt, dpi=85)


def areas(instances: np.ndarray, title: str) -> None:
    """Areas alone, each in a colour of its own, at half the size: integers [H, W], 0 background."""
    blank, count = np.full((*instances.shape, 3), 230, "uint8"), instances.max()
    side_by_side(
        {title: painted(blank, instances)[::2, ::2]},
        f"{title}: the areas found between the membranes, each in a colour of its own: {count}.",
        width=2.9,
        notes=(f"{count} areas",),
    )


def u_shape(
    image: int,
    down: Sequence[tuple[int, int]],
    up: Sequence[tuple[int, int]],
    cropped: Sequence[int],
    logits: tuple[int, int],
) -> None:
    """The U as it is: bars as high as the maps are large, and the wider the more channels they have.

    `image`: side of the image in pixels. `down`: (side, channels) of the maps on the way down, the finest
    first; `up`: on the way up, the deepest first, one fewer. `cropped`: the side to which the copied map of
    each level is cropped, the finest first. `logits`: (side, classes).
    """
    fig, ax = plt.subplots(figsize=(8.6, 4.5), layout="constrained")
    bottom, end = len(down) - 1, 2 * len(down) - 1
    places = [(level, -level) for level in range(len(down))]
    places += [(end - level, -level) for level in reversed(range(bottom))]
    unit = 0.4 / down[0][0], 0.22 / down[-1][1]
    bars = [_bar(ax, place, end, sizes, unit) for place, sizes in zip(places, [*down, *up], strict=True)]
    for (x, y, high), (x2, y2, high2) in zip(bars, bars[1:], strict=False):
        turn = 1 if y2 > y else -1
        _arrow(ax, (x, y + turn * (high + 0.06)), (x2, y2 - turn * (high2 + 0.06)))
    off = [(side - joined) // 2 for (side, _), joined in zip(down, cropped, strict=False)]
    for level, joined in enumerate(cropped):
        text = f"{down[level][0]} → {joined}: {off[level]} off each side"
        text = ("copy, crop and stack, " if level < 2 else "") + text
        _arrow(ax, (level + 0.3, -level), (end - level - 0.3, -level), text, "--")
    ax.text(0, 0.47, f"image {image}²", ha="center")
    ax.text(end, 0.38, f"logits {logits[0]}² × {logits[1]}", ha="center")
    ax.set(xlim=(-1.1, end + 1.1), ylim=(-bottom - 0.4, 0.7))
    ax.axis("off")
    sides = [", ".join(str(side) for side, _ in maps) for maps in (down, up)]
    plotting.show(
        fig,
        f"The U of the real model. Down: {sides[0]} pixels, {down[0][1]} to {down[-1][1]} channels. Up: "
        f"{sides[1]}. Dashed: the copies, cropped by {', '.join(map(str, off[:-1]))} and {off[-1]} "
        "pixels at each side.",
    )


def weight_map(
    image: np.ndarray, instances: np.ndarray, weights: np.ndarray, row: int, columns: range
) -> None:
    """Cells in colours of their own, their weights in the loss, and the weights of `row` in these `columns`.

    `image`: uint8 [H, W, 3]; `instances`: integers [H, W], 0 background; `weights`: float [H, W], 0 to 11.
    """
    fig, axes = plt.subplots(1, 3, figsize=(8.8, 2.6), layout="constrained", width_ratios=(1, 1, 1.25))
    _picture(axes[0], painted(image, instances), "cells")
    _weights(axes[1], weights)
    for ax in axes[:2]:
        ax.axhline(row, color="white", linestyle=":")
    inside = 11.5 * (instances[row, columns] > 0)
    axes[2].fill_between(columns, inside, step="mid", alpha=0.2, color="gray", label="cell")
    axes[2].plot(columns, weights[row, columns], label="weight")
    axes[2].set(title=f"row {row}", xlabel="column", ylim=(0, 11.5), yticks=[0, 5, 10])
    axes[2].legend(loc="upper left")
    plotting.show(
        fig,
        "Cells; their weight map, bright only along the lines between neighbours (up to "
        f"{weights.max():.1f}); and a row of it, with a peak wherever two cells meet.",
        dpi=85,
    )


def training_view(view: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
    """What training sees: a view uint8 [H, W, 3], labels [H, W], 0 or 1, and weights [H, W], 0 to 11."""
    fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), layout="constrained")
    _picture(axes[0], _calm(view), "a view")
    axes[1].imshow(labels, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    axes[1].set(title="its labels", xticks=[], yticks=[])
    _weights(axes[2], weights)
    colors = {"background": "black", "cell": "white"}
    squares = [
        plt.Rectangle((0, 0), 1, 1, facecolor=c, edgecolor="black", label=n) for n, c in colors.items()
    ]
    fig.legend(handles=squares, loc="outside lower center", ncols=2)
    plotting.show(
        fig,
        "One training view: the bent picture; its labels, cells white on black; its weights, bright along "
        "the lines between neighbouring cells.",
        dpi=85,
    )


def seams(errors: Mapping[int, np.ndarray]) -> None:
    """Errors of tiled prediction: pixels cut off each tile -> float [H, W], H and W multiples of 4.

    The scale is logarithmic, from 1e-5 to 1; a dot is the worst of 4 x 4 pixels.
    """
    fig, axes = plt.subplots(1, len(errors), figsize=(9.4, 1.8), layout="constrained")
    for ax, (cut, error) in zip(axes, errors.items(), strict=True):
        height, width = error.shape
        blocks = error.reshape(height // 4, 4, width // 4, 4).max((1, 3))
        drawn = ax.imshow(np.log10(blocks.clip(1e-5)), interpolation="nearest", cmap="magma", vmin=-5, vmax=0)
        ax.set(title=f"{cut} cut off", xlabel=f"up to {error.max():.0e}", xticks=[], yticks=[])
    scale = fig.colorbar(drawn, ax=axes, ticks=[-5, -3, -1, 0], label="error of a logit", shrink=0.9)
    scale.set_ticklabels(["≤ $10^{-5}$", "0.001", "0.1", "1"])
    words = ", ".join(f"{cut} pixels: up to {error.max():.0e}" for cut, error in errors.items())
    plotting.show(
        fig,
        "Errors of tiled prediction with padded convolutions, on a logarithmic scale, by how many pixels are "
        f"cut off each tile: {words}.",
        dpi=70,
    )


def cell_gallery(images: np.ndarray, maps: Mapping[str, np.ndarray]) -> None:
    """Rows of picture and maps, with the number of areas below each map.

    `images`: uint8 [N, H, W, 3], one a row. `maps`: title -> integers [N, H, W], 0 background, 1, 2, ... the
    cells of each picture.
    """
    columns = 1 + len(maps)
    size = 2.2 * columns, 2.2 * len(images) + 0.6
    fig, axes = plt.subplots(len(images), columns, figsize=size, layout="constrained", squeeze=False)
    words = []
    for number, (row, image) in enumerate(zip(axes, images, strict=True)):
        _picture(row[0], _calm(image), "" if number else "picture")
        for ax, (name, instances) in zip(row[1:], maps.items(), strict=True):
            _picture(ax, painted(image, instances[number]), "" if number else name)
            ax.set_xlabel(f"{instances[number].max()} areas")
        words.append(", ".join(f"{name} {instances[number].max()}" for name, instances in maps.items()))
    plotting.show(fig, f"Cells in colours of their own; number of areas, row by row: {'; '.join(words)}.")


def spread(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Scores of variants, a dot a seed and a bar at the mean: title -> variant -> value of each seed."""
    fig, axes = plt.subplots(1, len(measured), figsize=(9.4, 3), layout="constrained", sharey=True)
    for ax, (text, variants) in zip(axes, measured.items(), strict=True):
        for row, values in enumerate(variants.values()):
            color, marker = plotting.OKABE_ITO[row], plotting.MARKERS[row]
            ax.plot(values, [row] * len(values), marker, color=color, alpha=0.6)
            ax.plot(np.mean(values), row, "|", color="black", markersize=20)
        ax.set(yticks=range(len(variants)), yticklabels=variants, xlabel=text)
    axes[0].set_ylim(len(variants) - 0.5, -0.5)
    means = "; ".join(
        f"{variant}: " + ", ".join(f"{np.mean(score[variant]):.3f}" for score in measured.values())
        for variant in variants
    )
    scores = ", ".join(measured)
    plotting.show(
        fig, f"Scores of the variants ({scores}), one dot a seed, a bar at the mean. Means: {means}."
    )


def _calm(picture):
    """The picture in steps of 16 grey levels: noise would make the saved notebook large."""
    return picture // 16 * 16 + 8


def _picture(ax, picture, title):
    ax.imshow(picture, interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])


def _weights(ax, weights):
    """A weight map with its colour bar."""
    drawn = ax.imshow(weights, interpolation="nearest", cmap="magma", vmin=0, vmax=11)
    ax.figure.colorbar(drawn, ax=ax, ticks=[0, 5, 10], label="weight in the loss")
    ax.set(title="weight map", xticks=[], yticks=[])


def _bar(ax, place, end, sizes, unit):
    """A bar for a map, with its side and its channels beside it; returns its place and half its height."""
    (x, y), (side, channels) = place, sizes
    high, wide, going_up = side * unit[0], 0.06 + channels * unit[1], x > end // 2
    color = plotting.OKABE_ITO[2 if going_up else 0]
    ax.add_patch(plt.Rectangle((x - wide, y - high), 2 * wide, 2 * high, color=color))
    text = f"{side}² × {channels}"
    if x == end // 2:
        ax.text(x, y - 0.1, text, ha="center", va="top")
    elif going_up:
        ax.text(x + wide + 0.08, y, text, ha="left", va="center")
    else:
        ax.text(x - wide - 0.08, y, text, ha="right", va="center")
    return x, y, high


def _arrow(ax, start, end, text="", line="-"):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#333333", "linestyle": line})
    ax.text((start[0] + end[0]) / 2, start[1] + 0.06, text, ha="center", fontsize=9)

"""Drawings of lesson 05: what lies around a patch, how far a network looks, and the study's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from segcourse import plotting

# The colour and marker that a variant keeps through the lesson.
LOOKS = {
    "fc7 alone": ("#0072B2", "o"),
    "fc7 and pool6": ("#D55E00", "s"),
    "raw": ("#CC79A7", "D"),
    "scale1": ("#009E73", "^"),
    "scale10": ("#E69F00", "v"),
}
VOICES = ("#0072B2", "#999999", "#D55E00")  # a cell's own scores, the average's bias, its news
# Frames: bright on a dark rim, so that they show on any colour below them.
RIM = [withStroke(linewidth=3.4, foreground="black")]
THEORY = {"color": "#56B4E9", "linestyle": "-", "linewidth": 1.8, "path_effects": RIM}
MEASURED = {**THEORY, "color": "white", "linestyle": (0, (3, 1.5))}


def look_alikes(scenes: np.ndarray, corners: Sequence, side: int, names: Sequence[str]) -> None:
    """Patches that look alike in pairs, and below each its scene, the patch framed.

    `scenes`: uint8 [2P, H, W, 3], pair after pair; `corners`: the top row and left column of each patch, in
    pixels; `side`: its height and width in pixels; `names`: its class.
    """
    fig, axes = plt.subplots(2, len(scenes), figsize=(9, 3.1), layout="constrained")
    for top, bottom, scene, (row, column), name in zip(*axes, scenes, corners, names, strict=True):
        top.imshow(scene[row : row + side, column : column + side])
        top.set_title("?")
        bottom.imshow(scene)
        bottom.add_patch(Rectangle((column, row), side, side, fill=False, color="white", linewidth=2))
        bottom.set_title(name)
        for ax in (top, bottom):
            ax.set(xticks=[], yticks=[])
    words = "; ".join(f"{a} and {b}" for a, b in zip(names[::2], names[1::2], strict=True))
    alt = (
        f"{len(scenes)} patches that look alike in pairs, and below them the scenes they are from, with the "
        f"patch framed: {words}."
    )
    plotting.show(fig, alt, dpi=66)


def noise_changes(
    scene: np.ndarray,
    changes: Mapping[str, np.ndarray],
    frames: Mapping[str, tuple[tuple[float, float], float, float]],
    patch: int,
    what: str,
) -> None:
    """A scene, uint8 [H, W, 3], and how much a patch of noise at each place of it changes an output.

    `changes`: title -> float >= 0 [rows, columns], one for each patch of `patch` pixels, drawn relative to
    the largest on a logarithmic scale. `frames`: title -> (row and column of the output, side of the
    theoretical field, side of the square that causes 90 % of the change), in pixels. `what`: that output, in
    words.
    """
    height, width = scene.shape[:2]
    wide = width > 2 * height  # a panorama: one below the other
    shape, size = ((len(changes) + 1, 1), (7, 6.3)) if wide else ((1, len(changes) + 1), (9.2, 2.4))
    fig, axes = plt.subplots(*shape, figsize=size, layout="constrained")
    axes[0].imshow(scene)
    axes[0].set_title("scene", fontsize=9)
    for ax, (title, change) in zip(axes[1:], changes.items(), strict=True):
        rows, columns = change.shape
        drawn = ax.imshow(np.log10(change / change.max() + 1e-4), cmap="magma", vmin=-3, vmax=0,
                          extent=(0, patch * columns, patch * rows, 0))  # fmt: skip
        middle, field, side = frames[title]
        for length, look in ((field, THEORY), (side, MEASURED)):
            _frame(ax, middle, length, look)
        ax.set_title(f"{title}: 90 % from {side:.0f} px", fontsize=9)
    for ax in axes:
        ax.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0), facecolor="black")
    frame_names = {"field in theory": THEORY, "90 % of the change": MEASURED}
    lines = [Line2D([], [], label=name, **look) for name, look in frame_names.items()]
    fig.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    bar = fig.colorbar(drawn, ax=axes, ticks=[-3, -2, -1, 0], label="change, of the largest")
    bar.set_ticklabels(["≤ 0.1 %", "1 %", "10 %", "100 %"])
    words = [f"{title} {side:.0f} pixels, in theory {field}" for title, (_, field, side) in frames.items()]
    alt = (
        f"How much noise at each place of a scene changes {what}, on a logarithmic scale. A solid frame is "
        "the theoretical field, a dashed one the square that causes 90 % of the change. Its side: "
        f"{'; '.join(words)}."
    )
    plotting.show(fig, alt, dpi=80)


def lengths(of_layers: Mapping[str, np.ndarray]) -> None:
    """Boxes of the lengths of vectors on a logarithmic axis: name of a layer -> float > 0 [cells]."""
    names = list(of_layers)
    fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
    ax.boxplot(list(of_layers.values()), orientation="horizontal", whis=(5, 95), showfliers=False,
               medianprops={"color": "#D55E00", "linewidth": 2})  # fmt: skip
    ax.set(yticklabels=names, xscale="log", xlabel="length of the vector of channels of a cell")
    ax.invert_yaxis()
    medians = ", ".join(f"{name} {np.median(values):.2f}" for name, values in of_layers.items())
    alt = (
        f"Lengths of the vectors of {len(names)} layers of a trained VGG16: boxes hold the middle half, "
        f"whiskers 90 percent. Medians: {medians}"
    )
    plotting.show(fig, alt)


def losses(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Training and validation loss of variants in `LOOKS`: name -> history with step, loss and val_loss."""
    fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
    for name, history in histories.items():
        color, marker = LOOKS[name]
        look = {"color": color, "marker": marker}
        ax.plot(history["step"], history["val_loss"], **look, label=f"{name}, validation")
        ax.plot(history["step"], history["loss"], "--", **look, markerfacecolor="white",
                label=f"{name}, training")  # fmt: skip
    ax.set(xlabel="step", ylabel="loss", ylim=0, xticks=history["step"])
    ax.legend(fontsize=9)
    ends = ", ".join(f"{name} down to {past['val_loss'][-1]:.3f}" for name, past in histories.items())
    plotting.show(fig, f"Loss over {history['step'][-1]} steps. Validation: {ends}.")


def voices(
    scene: np.ndarray,
    place: tuple[float, float],
    parts: Mapping[str, np.ndarray],
    classes: Sequence[str],
    side: int = 8,
) -> None:
    """A scene with a frame around one cell, and beside it what a sum of scores is made of there.

    Args:
        scene: uint8 [H, W, 3].
        place: row and column of the cell's middle, in pixels.
        parts: in words -> the part of the scores, float [C]; each gets a panel with a scale of its own.
        classes: the names of the C classes.
        side: of the cell, in pixels.
    """
    fig, axes = plt.subplots(
        1, len(parts) + 1, figsize=(9.4, 2.7), layout="constrained", width_ratios=(1.3, *[1] * len(parts))
    )
    axes[0].imshow(scene)
    axes[0].set(xticks=[], yticks=[])
    axes[0].set_title("a cell, in the frame", fontsize=9)
    _frame(axes[0], place, 2 * side, MEASURED)
    panels = axes[1:]
    for ax, (name, scores), color, hatch in zip(panels, parts.items(), VOICES, ("", "", "////"), strict=True):
        ax.barh(range(len(classes)), scores, color=color, hatch=hatch, edgecolor="white")
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("score", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.set_yticks(range(len(classes)), [])
        ax.invert_yaxis()
    panels[0].set_yticklabels(classes)
    most = "; ".join(
        f"{name} {', '.join(f'{c} {s:+.2f}' for c, s in zip(classes, scores, strict=True))}"
        for name, scores in parts.items()
    )
    plotting.show(fig, f"A panorama, a cell framed, and the parts of its scores: {most}.", dpi=72)


def seed_curves(
    loss: Mapping[str, tuple[Sequence[int], np.ndarray]], miou: Mapping[str, tuple[Sequence[int], np.ndarray]]
) -> None:
    """Training loss and validation mIoU of variants in `LOOKS`: mean, and range as a band, over the seeds.

    Both are name -> (steps, values [seeds, steps]), the losses >= 0 and the mIoU in 0..1.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    for ax, curves in zip(axes, (loss, miou), strict=True):
        for name, (steps, values) in curves.items():
            color, marker = LOOKS[name]
            ax.plot(steps, values.mean(0), color=color, marker=marker, label=name)
            ax.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0)
    axes[0].set(xlabel="step", ylabel="training loss")
    axes[1].set(xlabel="step", ylabel="mIoU on 50 validation scenes")
    axes[0].legend(handles=axes[0].lines)
    ends = ", ".join(f"{name} {values.mean(0)[-1]:.3f}" for name, (_, values) in loss.items())
    alt = (
        "Training loss and validation mIoU over the steps, mean and range of the seeds. Loss at the end: "
        f"{ends}."
    )
    plotting.show(fig, alt)


def added_layers(miou: Mapping[str, Sequence[float]], boundary_f1: Mapping[str, Sequence[float]]) -> None:
    """Two scores as maps are added, name -> a value in 0..1 a seed: a dot for each, a bar at the mean."""
    names, kept = list(miou), {"fc7": LOOKS["fc7 alone"], "pool6": LOOKS["fc7 and pool6"]}
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained", sharey=True)
    for ax, scores in zip(axes, (miou, boundary_f1), strict=True):
        for row, (name, values) in enumerate(scores.items()):
            color, marker = kept.get(name, ("#555555", "o"))
            ax.plot([100 * v for v in values], [row] * len(values), marker, color=color, alpha=0.6)
            ax.plot(100 * np.mean(values), row, "k|", markersize=20)
    axes[0].set_xlabel("mIoU, %")
    axes[1].set_xlabel("boundary F1, %")
    axes[0].set_yticks(range(len(names)), [n if n in ("starter", "fc7") else f"+ {n}" for n in names])
    axes[0].invert_yaxis()
    means = ", ".join(f"{name} {np.mean(values):.3f}" for name, values in miou.items())
    alt = f"mIoU and boundary F1 as layers are added, one dot a seed, a bar at the mean. Mean mIoU: {means}."
    plotting.show(fig, alt)


def _frame(ax: Axes, middle: tuple[float, float], length: float, look: Mapping[str, object]) -> None:
    """A square around (row, column) with sides of `length` pixels."""
    row, column = middle
    corner = column - length / 2, row - length / 2
    ax.add_patch(Rectangle(corner, length, length, fill=False, **look))

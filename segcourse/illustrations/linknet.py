"""Drawings of lesson 14: nested units, class weights, schedules, what bypasses cost and return, the study.

A variant keeps its colour and hatching; "added" and "weighted" are LinkNet itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from segcourse import plotting
from segcourse.plotting import HATCHES, OKABE_ITO

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

LINKNET = OKABE_ITO[0]
VARIANTS = {  # colour, marker, hatching
    "starter": ("#000000", "X", ""),
    "none": ("#999999", "v", "...."),
    "three": (OKABE_ITO[5], "P", ""),
    "added": (LINKNET, "o", ""),
    "concat": (OKABE_ITO[1], "s", "////"),
    "concatenated": (OKABE_ITO[1], "s", "////"),
    "weighted-enet": (OKABE_ITO[3], "D", ""),
    "weighted": (OKABE_ITO[2], "^", ""),
}


@plotting.style()
def links(shapes: Sequence[tuple[int, int, int]]) -> None:
    """The maps x1 to x5, (height, width, channels) each, encoders down, decoders up, and the four links.

    A map is as wide as it has channels and as high as its side, both on a logarithmic scale.
    """
    fig = Figure(figsize=(9, 4.4), layout="constrained")
    ax = fig.subplots()
    sizes = [(0.28 * np.log2(channels) - 0.9, 0.16 * np.log2(height)) for height, _, channels in shapes]
    levels = -1.3 * np.arange(len(shapes))
    edge = 7.5
    for n, ((width, height), y) in enumerate(zip(sizes, levels, strict=True), start=1):
        h, w, channels = shapes[n - 1]
        places = (0.9 * n, 2 * edge - 0.9 * n) if n < len(shapes) else (edge,)
        for x, name in zip(places, ("x", "y"), strict=False):
            color = "#bbbbbb" if name == "x" else LINKNET
            ax.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, facecolor=color))
            side = {"x": (-0.15 - width / 2, "right"), "y": (0.15 + width / 2, "left")}[name]
            ax.text(x + side[0], y, f"{name}{n}", ha=side[1], va="center")
        ax.text(
            edge,
            y + (0.12 if n < len(shapes) else -0.7),
            f"{h}×{w}, {channels} channels",
            ha="center",
            fontsize=9,
        )
        if n < len(shapes):
            _arrow(ax, (places[0] + width / 2, y), (places[1] - width / 2, y), f"+ link {n}")
            below = 0.9 * (n + 1) if n + 1 < len(shapes) else edge
            under = levels[n] + sizes[n][1] / 2
            _arrow(ax, (places[0], y - height / 2), (below - 0.1, under), f"encoder {n}", "right")
            _arrow(ax, (2 * edge - below + 0.1, under), (places[1], y - height / 2), f"decoder {n}", "left")
    ax.set(xlim=(-1, 2 * edge + 1), ylim=(levels[-1] - 1, 0.8), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    told = ", ".join(f"x{n} {h}×{w} with {c} channels" for n, (h, w, c) in enumerate(shapes, start=1))
    plotting.show(
        fig,
        f"A U of maps: {told}. Encoders lead down on the left, decoders up on the right, and on each of the "
        "four upper levels a link adds what the encoder read to what the decoder returns.",
        dpi=80,
    )


def _arrow(ax: Axes, start: tuple, end: tuple, text: str, side: str = "") -> None:
    style = {"arrowstyle": "->", "color": LINKNET if not side else "#444444", "linewidth": 1.5}
    ax.annotate("", end, start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if side:
        ax.text(x + (0.2 if side == "left" else -0.2), y - 0.08, text, ha=side, va="center", fontsize=9)
    else:
        ax.text(x, y - 0.3, text, ha="center", fontsize=9, color=LINKNET)


@plotting.style()
def class_weights(weights: Mapping[str, np.ndarray], spec: LabelSpec) -> None:
    """Bars of the class weights [classes] by two rules."""
    fig = Figure(figsize=(8, 3), layout="constrained")
    ax = fig.subplots()
    places, thickness = np.arange(len(spec)), 0.8 / len(weights)
    looks = zip(weights.items(), ("#999999", LINKNET), HATCHES, strict=False)
    for i, ((name, values), color, hatch) in enumerate(looks):
        at = places - 0.4 + (i + 0.5) * thickness
        ax.bar(at, values, thickness, color=color, hatch=hatch, edgecolor="white", label=name)
    ax.set_xticks(places, spec.classes, rotation=30, ha="right")
    ax.set_ylabel("weight")
    ax.legend(title="divided by the pixels of", fontsize=9, title_fontsize=9)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{c} {v:.1f}" for c, v in zip(spec.classes, values, strict=True))
        for name, values in weights.items()
    )
    plotting.show(fig, f"Bars of class weights on ToyCam, by the number divided by. {said}.", dpi=80)


@plotting.style()
def schedules(rates: Mapping[str, Sequence[float]]) -> None:
    """Learning rates of every epoch from 1 on: as the help text says, and by the default."""
    fig = Figure(figsize=(6.5, 2.6), layout="constrained")
    ax = fig.subplots()
    for (name, values), color, dashes in zip(
        rates.items(), ("#000000", OKABE_ITO[1]), ("--", "-"), strict=True
    ):
        ax.plot(range(1, len(values) + 1), values, dashes, color=color, label=name)
    ax.set(yscale="log", xlabel="epoch", ylabel="learning rate")
    ax.legend()
    ends = ", ".join(f"{name} {values[-1]:.0e}" for name, values in rates.items())
    plotting.show(fig, f"Learning rates over {len(values)} epochs, log axis; at the end {ends}.", dpi=80)


@plotting.style()
def training_curves(history: Mapping[str, Sequence[float]]) -> None:
    """Loss and mIoU in training and validation over the "step" of a history, as `training.fit` returns."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    for ax, key, label in zip(axes, ("loss", "miou"), ("loss", "mIoU"), strict=True):
        ax.plot(
            history["step"], history[key], "o--", color=LINKNET, markerfacecolor="white", label="training"
        )
        ax.plot(history["step"], history[f"val_{key}"], "o-", color=LINKNET, label="validation")
        ax.set(xlabel="step", ylabel=label, ylim=0)
    axes[0].legend()
    alt = f"Loss and mIoU over {history['step'][-1]} steps; in validation the loss ends at "
    plotting.show(
        fig, f"{alt}{history['val_loss'][-1]:.2f}, the mIoU at {history['val_miou'][-1]:.2f}.", dpi=80
    )


@plotting.style()
def costs_and_returns(
    maps: Mapping[str, np.ndarray],
    costs: Mapping[str, Sequence[float]],
    returns: Mapping[str, Sequence[float]],
    spec: LabelSpec,
) -> None:
    """Label maps [H, W] of one scene, the truth first; below, what each variant costs and what it returns.

    `costs`: millions of multiply-adds and thousands of weights; `returns`: mIoU and boundary F1."""
    fig = Figure(figsize=(9.6, 4.9), layout="constrained")
    grid = fig.add_gridspec(2, 12, height_ratios=(5, 4))
    for n, (name, labels) in enumerate(maps.items()):
        ax = fig.add_subplot(grid[0, 3 * n : 3 * n + 3])
        ax.imshow(spec.colorize(labels), interpolation="nearest")
        ax.set_title(name, fontsize=11)
        ax.axis("off")
    bars = [
        ("multiply-adds, millions", [row[0] for row in costs.values()], "{:.0f}"),
        ("weights, thousands", [row[1] for row in costs.values()], "{:.0f}"),
        ("mIoU", [row[0] for row in returns.values()], "{:.3f}"),
        ("boundary F1", [row[1] for row in returns.values()], "{:.3f}"),
    ]
    for n, (title, values, form) in enumerate(bars):
        ax = fig.add_subplot(grid[1, 3 * n : 3 * n + 3])
        for y, (name, value) in enumerate(zip(costs, values, strict=True)):
            color, _, hatch = VARIANTS[name]
            ax.barh(y, value, color=color, hatch=hatch, edgecolor="white")
            ax.text(value, y, " " + form.format(value), va="center", fontsize=9)
        ax.set_yticks(range(len(costs)), costs if n == 0 else [""] * len(costs))
        ax.invert_yaxis()
        ax.set(xlim=(0, 1.35 * max(values)), xticks=[])
        ax.set_title(("costs: " if n < 2 else "returns: ") + title, fontsize=10)
        ax.spines["bottom"].set_visible(False)
    found = np.unique(np.concatenate([labels.ravel() for labels in maps.values()]))
    handles = [
        Patch(facecolor=np.array(spec.palette[c]) / 255, edgecolor="#444444", label=spec.classes[c])
        for c in found[found < len(spec)]
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=9)
    said = "; ".join(
        f"{name}: {cost[0]:.0f} million multiply-adds, {cost[1]:.0f} thousand weights in the decoder; "
        f"mIoU {back[0]:.3f}, boundary F1 {back[1]:.3f}"
        for (name, cost), back in zip(costs.items(), returns.values(), strict=True)
    )
    plotting.show(fig, f"Label maps of one scene, and bars of costs and returns. {said}.", dpi=80)


@plotting.style()
def moved(steps: Sequence[int], fits: Mapping[str, Sequence[float]]) -> None:
    """MIoU over the pixels by which predictions move; names: "VARIANT, as it should be", "VARIANT, port"."""
    fig = Figure(figsize=(7.5, 2.9), layout="constrained")
    ax = fig.subplots()
    for name, values in fits.items():
        variant, kind = name.split(", ")
        color, marker, _ = VARIANTS[variant]
        look = {"markerfacecolor": color if kind == "port" else "white", "markersize": 5}
        ax.plot(steps, values, f"{marker}{'--' if kind == 'port' else '-'}", color=color, label=name, **look)
    ax.set(xlabel="pixels moved up and left", ylabel="mIoU", ylim=0)
    fig.legend(loc="outside right center", fontsize=9)
    said = ", ".join(f"{name} at {steps[int(np.argmax(values))]}" for name, values in fits.items())
    plotting.show(fig, f"mIoU over the pixels that predictions are moved; best: {said}.", dpi=80)


@plotting.style()
def study_curves(histories: Mapping[str, Mapping]) -> None:
    """Training loss and validation mIoU over the steps, mean and range of the seeds, of a study's variants.

    `histories`: by variant, "step" [rounds], and "loss" and "val_miou", float [seeds, rounds]."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    labels = {"loss": "training loss", "val_miou": "mIoU, validation scenes"}
    for ax, (key, label) in zip(axes, labels.items(), strict=True):
        for name, history in histories.items():
            (color, marker, _), values = VARIANTS[name], history[key]
            ax.plot(history["step"], values.mean(0), color=color, marker=marker, label=name)
            ax.fill_between(
                history["step"], values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0
            )
        ax.set(xlabel="step", ylabel=label)
    axes[0].legend(fontsize=8)
    ends = ", ".join(f"{name} {history['val_miou'][:, -1].mean():.3f}" for name, history in histories.items())
    plotting.show(fig, f"Training loss and validation mIoU over the steps. mIoU at the end: {ends}.", dpi=80)

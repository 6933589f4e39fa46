"""Drawings of lesson 08: metres driven, multiply-adds and weights on one scale, class weights, the study.

SegNet and ENet, encoder and decoder, and a variant of the study keep their colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from segcourse import plotting
from segcourse.plotting import MARKERS, OKABE_ITO

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

Parts = tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]  # encoder, decoder: block -> [2]

NETWORKS = {"SegNet": ("#999999", ""), "ENet": (OKABE_ITO[0], "//")}  # colour, hatching
PARTS = {"encoder": (OKABE_ITO[0], ""), "decoder": (OKABE_ITO[1], "////")}
VARIANTS = ("enet", "segnet", "segnet-basic", "starter", "undilated", "plain", "late", "large", "prelu")
GAP = 0.12  # between squares, as a share of the largest side


@plotting.style()
def driven(metres: Mapping[str, Sequence[float | None]]) -> None:
    """Metres driven during one frame, by image size: (SegNet, ENet); None where memory is too small."""
    fig = Figure(figsize=(7, 2.6), layout="constrained")
    ax = fig.subplots()
    for row, (name, (color, hatch)) in enumerate(NETWORKS.items()):
        for place, values in enumerate(metres.values()):
            length = values[row]
            y = place + 0.36 * (row - 0.5)
            ax.barh(y, length or 0, 0.32, color=color, hatch=hatch, edgecolor="white")
            text = "out of memory" if length is None else f"{length:.1f} m"
            ax.text((length or 0) + 0.2, y, f"{name}: {text}", va="center", fontsize=9)
    ax.set_yticks(range(len(metres)), metres)
    ax.invert_yaxis()
    told = {size: [value and f"{value:.1f}" for value in row] for size, row in metres.items()}
    longest = max(value or 0 for values in metres.values() for value in values)
    ax.set(xlabel="metres driven at 50 km/h during one frame", xlim=(0, 1.25 * longest))
    said = "; ".join(
        f"{size}: SegNet {row[0] or 'none'}, ENet {row[1] or 'none'}" for size, row in told.items()
    )
    plotting.show(fig, f"Bars: metres driven during one frame, by image size. {said}.", dpi=80)


@plotting.style()
def spending(networks: Mapping[str, Parts]) -> None:
    """Squares whose areas are the multiply-adds and the weights of each block, all networks on one scale.

    `networks`: by name, the blocks of the encoder and of the decoder, each block -> (multiply-adds, weights).
    """
    fig = Figure(figsize=(9.6, 1.1 + 1.3 * len(networks)), layout="constrained")
    axes = fig.subplots(2, 1)
    for column, (ax, what) in enumerate(zip(axes, ("multiply-adds", "weights"), strict=True)):
        largest = max(cost[column] for parts in networks.values() for part in parts for cost in part.values())
        ends = [
            _squares(ax, parts, column, largest, -1.35 * row) for row, parts in enumerate(networks.values())
        ]
        ax.set(xlim=(-GAP, max(ends)), ylim=(-1.35 * (len(networks) - 1) - 0.1, 1.1), aspect="equal")
        ax.set_yticks([0.4 - 1.35 * row for row in range(len(networks))], networks)
        ax.tick_params(length=0)
        ax.set_xticks([])
        ax.spines[:].set_visible(False)
        unit = f"{largest / 1e9:.1f} billion" if column == 0 else f"{largest / 1e6:.1f} million"
        ax.set_title(f"{what}, block by block from the image on; largest square: {unit}", fontsize=10)
    handles = [Patch(facecolor=c, hatch=h, edgecolor="white", label=n) for n, (c, h) in PARTS.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    said = "; ".join(f"{name} {_told(parts)}" for name, parts in networks.items())
    plotting.show(fig, f"Squares, one for each block, with areas on one scale. {said}.", dpi=90)


def _squares(ax: Axes, parts: Parts, column: int, largest: float, base: float) -> float:
    """Draw the squares of one network above `base`; returns where they end."""
    x = 0.0
    for part, (color, hatch) in zip(parts, PARTS.values(), strict=True):
        for cost in part.values():
            side = float(np.sqrt(cost[column] / largest))
            look = {"hatch": hatch, "edgecolor": "white"} if side > 0.3 else {}
            ax.add_patch(Rectangle((x, base), side, side, facecolor=color, **look))
            x += side + GAP
    return x


def _told(parts: Parts) -> str:
    totals = [sum(part.values()) for part in parts]
    whole = sum(totals)
    return (
        f"{whole[0] / 1e9:.1f} billion multiply-adds, {totals[1][0] / whole[0]:.0%} of them in the decoder, "
        f"and {whole[1] / 1e6:.2f} million weights, {totals[1][1] / whole[1]:.0%} of them there"
    )


@plotting.style()
def blocks(parts: Parts) -> None:
    """Multiply-adds and weights of each block of one network as bars; `parts` as in `spending`."""
    fig = Figure(figsize=(9.6, 4), layout="constrained")
    axes = fig.subplots(2, 1, sharex=True)
    names = [name for part in parts for name in part]
    for column, (ax, unit, label) in enumerate(
        zip(axes, (1e6, 1e3), ("multiply-adds, millions", "weights, thousands"), strict=True)
    ):
        place = 0
        for part, (name, (color, hatch)) in zip(parts, PARTS.items(), strict=True):
            values = [cost[column] / unit for cost in part.values()]
            ax.bar(
                np.arange(place, place + len(values)),
                values,
                color=color,
                hatch=hatch,
                edgecolor="white",
                label=name,
            )
            place += len(values)
        ax.set_ylabel(label)
    axes[1].set_xticks(range(len(names)), [name.replace("stage", "") for name in names], rotation=90)
    axes[0].legend()
    costs = [(name, cost) for part in parts for name, cost in part.items()]
    tops = [max(costs, key=lambda item: item[1][column])[0] for column in (0, 1)]
    plotting.show(
        fig,
        f"Bars for {len(names)} blocks of ENet: multiply-adds and weights. Most multiply-adds has {tops[0]}, "
        f"most weights {tops[1]}.",
        dpi=80,
    )


@plotting.style()
def class_weights(shares: np.ndarray, spec: LabelSpec) -> None:
    """Weights over the shares p of classes: 1 / ln(c + p) for two c, and median share / p beside them.

    `shares`: of the labelled pixels, [classes]."""
    fig = Figure(figsize=(7.5, 3), layout="constrained")
    ax = fig.subplots()
    p = np.geomspace(1e-3, 1, 200)
    for constant, color, dashes in ((1.02, OKABE_ITO[0], "-"), (1.2, OKABE_ITO[1], "--")):
        ax.plot(p, 1 / np.log(constant + p), dashes, color=color, label=f"1 / ln({constant} + p)")
    ax.plot(p, np.median(shares) / p, ":", color="black", label="median share / p")
    weights = 1 / np.log(1.02 + shares)
    ax.plot(shares, weights, "o", color=OKABE_ITO[0])
    order = np.argsort(shares)
    for x, c in zip(np.geomspace(5e-3, 0.6, len(order)), order, strict=True):
        ax.plot([x, shares[c]], [52, weights[c]], color="#999999", linewidth=0.6)
        ax.text(x, 53, spec.classes[c], rotation=50, fontsize=9)
    ax.set(xscale="log", xlabel="share p of the labelled pixels", ylabel="weight", ylim=(0, 70))
    ax.set_yticks(range(0, 51, 10))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.4))
    said = ", ".join(f"{name} {weight:.1f}" for name, weight in zip(spec.classes, weights, strict=True))
    plotting.show(fig, f"Class weights over the share of a class; with 1.02 on ToyCam: {said}.", dpi=80)


@plotting.style()
def two_phases(histories: Sequence[Mapping[str, Sequence[float]]]) -> None:
    """Loss and mIoU over the "step" of both phases, one after the other; as `training.fit` gives them."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes, begin = fig.subplots(1, 2), 0
    looks = zip(histories, ("1: encoder, cells", "2: all, pixels"), ("s", "o"), PARTS.values(), strict=True)
    for history, name, marker, (color, _) in looks:
        steps = [begin + step for step in history["step"]]
        for ax, key in zip(axes, ("loss", "miou"), strict=True):
            ax.plot(steps, history[f"val_{key}"], f"{marker}-", color=color, label=name)
            ax.plot(steps, history[key], f"{marker}--", color=color, markerfacecolor="white")
        begin = steps[-1]
    axes[0].set(xlabel="step", ylabel="weighted loss", ylim=0)
    axes[1].set(xlabel="step", ylabel="mIoU", ylim=0)
    axes[0].legend(title="phase; dashed: training", fontsize=8, title_fontsize=8)
    said = "; ".join(
        f"phase {n}: validation loss {h['val_loss'][-1]:.2f}, mIoU {h['val_miou'][-1]:.2f}"
        for n, h in enumerate(histories, start=1)
    )
    plotting.show(fig, f"Loss and mIoU over the steps of two phases. At the end of {said}.", dpi=80)


@plotting.style()
def study_curves(histories: Mapping[str, Mapping]) -> None:
    """Training loss and validation mIoU over the steps, mean and range of the seeds, of a study's variants.

    `histories`: by variant, "step" [rounds], and "loss" and "val_miou", float [seeds, rounds]."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    labels = {"loss": "training loss", "val_miou": "mIoU, validation scenes"}
    for ax, (key, label) in zip(axes, labels.items(), strict=True):
        for name, history in histories.items():
            place, values = VARIANTS.index(name), history[key]
            again, place = divmod(place, len(OKABE_ITO))
            color, marker = OKABE_ITO[place], MARKERS[(place + 3 * again) % len(MARKERS)]
            dashes = "--" if again else "-"
            ax.plot(history["step"], values.mean(0), dashes, color=color, marker=marker, label=name)
            ax.fill_between(
                history["step"], values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0
            )
        ax.set(xlabel="step", ylabel=label)
    axes[0].legend(fontsize=8)
    ends = ", ".join(f"{name} {history['val_miou'][:, -1].mean():.3f}" for name, history in histories.items())
    plotting.show(fig, f"Training loss and validation mIoU over the steps. mIoU at the end: {ends}.", dpi=80)


@plotting.style()
def slopes(groups: Mapping[str, np.ndarray]) -> None:
    """Learned slopes of PReLUs by groups of layers: mean and range of the seeds for each layer.

    `groups`: name -> float [seeds, layers], the mean slope of each layer, from the image on."""
    fig = Figure(figsize=(8, 2.8), layout="constrained")
    ax = fig.subplots()
    place = 0
    for n, (name, values) in enumerate(groups.items()):
        x = np.arange(place, place + values.shape[1])
        color, marker = OKABE_ITO[n], MARKERS[n]
        ax.plot(x, values.mean(0), marker, color=color, label=name)
        ax.vlines(x, values.min(0), values.max(0), color=color)
        place += values.shape[1]
    ax.axhline(0.25, color="black", linestyle=":", linewidth=1)
    ax.text(-4, 0.255, "start", fontsize=8)
    ax.axhline(0, color="black", linewidth=1)
    ax.set(xlabel="PReLU layers, group by group, each from the image on", ylabel="mean slope", xticks=[])
    ax.legend(fontsize=8, ncols=2)
    said = ", ".join(f"{name} {values.mean():.2f}" for name, values in groups.items())
    plotting.show(fig, f"Mean slope of each PReLU, with the range of the seeds; by group: {said}.", dpi=80)

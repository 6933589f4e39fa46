"""Drawings of lesson 03, CRF as RNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from segcourse import plotting

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

BLUE, ORANGE, GREEN, PINK, AMBER = plotting.OKABE_ITO[:5]


def one_turn(maps: Mapping[str, ArrayLike], name: str) -> None:
    """One turn of mean field as a row of five maps, each with a color bar of its own.

    `maps`: title -> the values [H, W] of one class, any range, in the order in which they are computed;
    `name`: that class, for the text.
    """
    fig, axes = plt.subplots(1, len(maps), figsize=(9.6, 2.2))
    fig.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.24, wspace=0.14)
    for ax, (title, values) in zip(axes, maps.items(), strict=True):
        drawn = ax.imshow(values, cmap="cividis", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
        bar = fig.colorbar(drawn, ax=ax, orientation="horizontal", fraction=0.06, pad=0.06)
        bar.ax.tick_params(labelsize=8)
        bar.ax.locator_params(nbins=4)
    fig.text(0.01, 0.03, "q goes back to step 1, and the same weights are used again", fontsize=9)
    alt = (
        f"One iteration for the class {name} as five maps: the unaries in coarse blocks, their softmax, the "
        f"softmax filtered by place, the same filtered by place and colour, which shows the {name}'s "
        "outline, and the new scores."
    )
    plotting.show(fig, alt, dpi=75, full_color=True)


def lattice(
    points: np.ndarray, vertices: np.ndarray, places: np.ndarray, weights: np.ndarray, back: np.ndarray
) -> None:
    """Points of the plane, the lattice around them, and how much each point gives to its three vertices.

    `points`: features [P, 2], in bandwidths; `vertices`: lattice coordinates [M, 2], whole numbers; `places`:
    the numbers 0..M - 1 of each point's vertices, [P, 3]; `weights`: its shares, [3, P] in 0..1; `back`: the
    matrix [2, 2] from lattice coordinates to features.
    """
    fig, ax = plt.subplots(figsize=(8.4, 5.2), layout="constrained")
    _edges(ax, back)
    spots = vertices @ back.T
    for point, corners, shares in zip(points, places, weights.T, strict=True):
        for spot, share in zip(spots[corners], shares, strict=True):
            line = zip(point, spot, strict=True)
            ax.plot(*line, color=BLUE, linewidth=0.5 + 6 * share, alpha=0.5, zorder=2)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            middle = 0.55 * point + 0.45 * spot
            ax.text(*middle, f"{share:.2f}", fontsize=8, ha="center", va="center", bbox=box, zorder=5)
    ax.scatter(*points.T, s=150, color=ORANGE, zorder=3, label="points (pixels)")
    ax.scatter(*spots.T, s=190, marker="s", color=BLUE, zorder=3, label="vertices in use")
    for places_of_names in (points, spots):
        for name, spot in enumerate(places_of_names):
            ax.annotate(f"{name}", spot, color="white", ha="center", va="center", fontsize=9, zorder=4)
    ax.set(xlim=(-1.6, 2.5), ylim=(-1.7, 1.3), aspect="equal", xlabel="first feature, in bandwidths")
    ax.set_ylabel("second feature, in bandwidths")
    fig.legend(loc="outside lower center", ncols=2)
    alt = (
        f"A lattice of equilateral triangles with {len(points)} numbered points and the numbered vertices "
        "around them. Lines lead from each point to the three vertices of its triangle, the thicker the "
        "larger the weight, which is written beside them."
    )
    plotting.show(fig, alt, dpi=70)


def _edges(ax: Axes, back: np.ndarray) -> None:
    grid = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), -1).reshape(-1, 2)
    for direction in ([1, 0], [0, 1], [1, 1]):
        ends = np.stack([grid, grid + direction]) @ back.T
        ax.plot(*ends.transpose(2, 0, 1), color="#bbbbbb", linewidth=0.8, zorder=1)


def one_value(spots: np.ndarray, states: Mapping[str, np.ndarray], result: np.ndarray, reach: float) -> None:
    """A single value on its way through the filter: on the vertices after each step, then at the points.

    `spots`: the vertices in the plane, [M, 2]; `states`: name of a step -> what the vertices hold then, [M],
    0 or more; `result`: what is read off at a square grid of points, [n, n], from -`reach` to `reach`.
    """
    fig, axes = plt.subplots(1, len(states) + 1, figsize=(9.6, 2.4), layout="constrained", sharey=True)
    for ax, (name, sums) in zip(axes, states.items(), strict=False):
        ax.scatter(*spots.T, s=6, color="#cccccc")
        ax.scatter(*spots[sums > 0].T, s=150 * sums[sums > 0], color=BLUE)
        ax.set_title(f"{name}: {(sums > 0).sum()} vertices", fontsize=10)
    extent = (-reach, reach, -reach, reach)
    bump = axes[-1].imshow(result, cmap="cividis", interpolation="nearest", extent=extent, origin="lower")
    axes[-1].set_title("slice", fontsize=10)
    fig.colorbar(bump, ax=axes[-1], shrink=0.7)
    plt.setp(axes, xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[-3, 0, 3])
    axes[0].set_ylabel("second feature")
    fig.supxlabel("first feature, in bandwidths; a dot is a vertex, its area what it holds", fontsize=10)
    alt = (
        "A single value in the plane: shared out over three vertices, spread along three axes in turn, and "
        "read off at all points: a hexagonal bump."
    )
    plotting.show(fig, alt, dpi=64, full_color=True)


def unrolled(maps: Mapping[int, np.ndarray], spec: LabelSpec, changed: float) -> None:
    """Six label maps in two rows: the recurrence unrolled in time.

    `maps`: number of turns -> class ids [H, W]; `spec`: names and colors of the classes; `changed`: the share
    of the labels, 0..1, that change from the first map to the last.
    """
    fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.1), layout="constrained")
    for ax, (t, labels) in zip(axes.flat, maps.items(), strict=True):
        _labels(ax, labels, spec, f"t = {t}")
    _class_legend(fig, spec)
    after = ", ".join(f"{t}" for t in list(maps)[1:-1])
    alt = (
        f"Labels of the input and after {after} and {max(maps)} iterations: blocks become outlines, most of "
        f"it in the first two turns; {changed:.1%} of the labels change in all."
    )
    plotting.show(fig, alt, dpi=80)


def _labels(ax: Axes, labels: np.ndarray, spec: LabelSpec, title: str) -> None:
    ax.imshow(spec.colorize(labels), interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])


def _class_legend(fig: Figure, spec: LabelSpec) -> None:
    """All classes below the axes, with room taken from the figure."""
    colors = zip(spec.classes, spec.palette, strict=True)
    patches = [Patch(color=np.array(color) / 255, label=name) for name, color in colors]
    fig.legend(handles=patches, loc="outside lower center", ncols=6)


def miou_by_iterations(runs: Mapping[str, np.ndarray]) -> None:
    """Mean IoU over the number of iterations at test: the mean of the seeds, and a band around all of them.

    `runs`: name -> mIoU in 0..1, [seeds, 11], after 0, 1, ... 10 iterations; six of them at most.
    """
    looks = (("black", "x"), (BLUE, "o"), (GREEN, "s"), (ORANGE, "D"), (AMBER, "v"), (PINK, "^"))
    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    text = []
    for (name, values), (color, marker) in zip(runs.items(), looks, strict=False):
        mean = values.mean(0)
        ax.plot(mean, marker=marker, color=color, label=name)
        ax.fill_between(range(11), values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
        text.append(f"{name}: {mean[0]:.3f} without, {mean[5]:.3f} after 5, {mean[10]:.3f} after 10")
    ax.set(xlabel="iterations at test (0: the network alone)", ylabel="mIoU", xticks=range(11))
    ax.legend(title="bands: least to greatest seed", ncols=2, fontsize=8)
    alt = (
        "Mean IoU over the number of iterations at test; a band from the smallest to the largest seed. "
        f"{'; '.join(text)}."
    )
    plotting.show(fig, alt, dpi=70)


def learned_changes(
    spatial: tuple[np.ndarray, np.ndarray], bilateral: tuple[np.ndarray, np.ndarray], classes: Sequence[str]
) -> None:
    """What training changed in a CRF, a matrix for each kernel; crosses are where the seeds differ.

    `spatial`, `bilateral`: the mean change of the score of the class in the row for the class in the column,
    [C, C] in logits, colored from -3 to 3, and whether the seeds agree about its sign, bool [C, C];
    `classes`: C names.
    """
    fig, axes = plt.subplots(1, 2, figsize=(8, 4.5), layout="constrained", sharey=True)
    titles = ("neighbours in place", "neighbours in place and colour")
    for ax, title, (mean, same) in zip(axes, titles, (spatial, bilateral), strict=True):
        drawn = ax.imshow(mean, cmap="RdBu_r", vmin=-3, vmax=3)
        for row, column in zip(*np.nonzero(~same), strict=True):
            ax.text(column, row, "×", ha="center", va="center", fontsize=9, color="#666666")
        ax.set(title=title, xlabel="what is around", xticks=range(len(classes)), yticks=range(len(classes)))
        ax.set_xticklabels(classes, rotation=60, ha="right", rotation_mode="anchor")
    axes[0].set_yticklabels(classes)
    axes[0].set_ylabel("score of")
    fig.colorbar(drawn, ax=axes, label="change of the score, in logits", shrink=0.8)
    alt = (
        "Two matrices: the learned change of the score of each class for every class around it, for the "
        "spatial and the bilateral kernel; crosses where seeds disagree about the sign."
    )
    plotting.show(fig, alt, dpi=54, full_color=True)


def photograph(before: np.ndarray, after: np.ndarray, spec: LabelSpec) -> None:
    """The label maps, class ids [H, W], of a photograph before the CRF layer and after it."""
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    _labels(axes[0], before, spec, "before the CRF layer")
    _labels(axes[1], after, spec, "after it")
    _class_legend(fig, spec)
    alt = (
        "Label maps that the jointly trained network predicts for a CamVid validation photograph: before its "
        "CRF layer, and after it."
    )
    plotting.show(fig, alt, dpi=55)


def two_signs(
    maps: Mapping[str, np.ndarray], accuracies: Mapping[str, Sequence[float]], spec: LabelSpec
) -> None:
    """A CRF with the right and with the wrong sign of its compatibility, in this order.

    `maps`: name -> class ids [H, W] after five turns; `accuracies`: the same names -> pixel accuracy in 0..1
    after 0, 1, ... 10 turns.
    """
    fig, axes = plt.subplots(1, 3, figsize=(9.6, 2.9), layout="constrained")
    for ax, name, color, marker in zip(axes, maps, (BLUE, AMBER), "os", strict=False):
        _labels(ax, maps[name], spec, f"{name}, after 5 turns")
        axes[2].plot(accuracies[name], marker=marker, color=color, label=name)
    axes[2].set(xlabel="turns", ylabel="pixel accuracy", xticks=range(0, 11, 2))
    axes[2].legend()
    _class_legend(fig, spec)
    alt = (
        "Labels after 5 iterations with the right and the wrong sign of the compatibility, and the pixel "
        "accuracy over the iterations: with the right sign it rises and stays, with the wrong one it jumps "
        "to and fro."
    )
    plotting.show(fig, alt, dpi=66)

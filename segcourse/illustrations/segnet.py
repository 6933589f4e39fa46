"""Drawings of lesson 06: what pooling leaves of edges, a decoder at work, curves, outlines over memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from segcourse import plotting
from segcourse.illustrations import studies
from segcourse.plotting import OKABE_ITO

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec

_SHORT = {
    "max-unpooling": "SegNet-Basic",
    "encoder-addition": "encoder addition",
    "single-channel": "single channel",
    "fcn-basic": "FCN-Basic",
    "fcn-basic-no-addition": "no addition",
    "fcn-basic-no-reduction": "no reduction",
    "fcn-basic-no-addition-no-reduction": "neither",
}
# The colour, marker and dashes of each variant whose training is drawn.
_BLUE, _ORANGE, _GREEN, _PINK, _AMBER, *_ = OKABE_ITO
LOOKS = {
    "starter-long": (_AMBER, "P", "-"),
    "max-unpooling-long": (_BLUE, "o", "-"),
    "bilinear-long": (_PINK, "D", ":"),
    "fcn-basic-long": (_ORANGE, "s", "-"),
    "fcn-basic-no-reduction-long": (_GREEN, "^", "--"),
}
_PLACES = ("all zero", "top left", "top right", "bottom left", "bottom right")


def poles(scene: np.ndarray, pixels: np.ndarray, repeated: np.ndarray) -> None:
    """A scene, the pixels of its poles, and those after pooling and repetition.

    Args:
        scene: uint8 [H, W, 3].
        pixels, repeated: 0 or 1, [H, W].
    """
    fig = Figure(figsize=(9, 2.7), layout="constrained")
    axes = fig.subplots(1, 3)
    for ax, picture in zip(axes, (scene, pixels, repeated), strict=True):
        ax.imshow(picture, cmap="gray", interpolation="nearest")
    _bare(axes, ("scene", "pole pixels", "pooled 3 times, repeated"))
    plotting.show(
        fig,
        f"A toy street, its {pixels.sum():.0f} pole pixels as thin white lines, and the same after three "
        f"poolings and repetition: blocks of 8 by 8 pixels, {repeated.sum():.0f} in all.",
        dpi=80,
    )


def windows(patch: np.ndarray, maxima: np.ndarray, indices: np.ndarray, unpooled: np.ndarray) -> None:
    """The numbers of a patch: before pooling, its maxima, their indices, and after unpooling.

    Args:
        patch, unpooled: integers [6, 6], `unpooled` 0 where no maximum stood.
        maxima, indices: integers [3, 3], maxima above 0, indices 0..3.
    """
    fig = Figure(figsize=(9.6, 2.8), layout="constrained")
    axes, won = fig.subplots(1, 4), unpooled > 0
    for ax, numbers in zip(axes, (patch, maxima, indices, unpooled), strict=True):
        ax.imshow(numbers, cmap="Blues", vmin=0, vmax=2 * patch.max(), interpolation="nearest")
        _write(ax, numbers, won if numbers.shape == won.shape else numbers >= 0)
    _bare(axes, ("feature, maxima bold", "pooled", "indices", "unpooled"))
    plotting.show(
        fig,
        "A 6 by 6 patch of edge strengths with the maximum of each 2 by 2 window in bold, the nine maxima, "
        "their nine indices from 0 to 3, and the unpooled patch: each maximum at its old place, zeros "
        "elsewhere.",
    )


def _write(ax: Axes, numbers: np.ndarray, bold: np.ndarray) -> None:
    """Write each number into its square, with lines between the windows."""
    for (row, column), number in np.ndenumerate(numbers):
        strong = {"weight": "bold", "color": "black"}
        look = strong if bold[row, column] else {"weight": "normal", "color": "#777777"}
        ax.text(column, row, number, ha="center", va="center", **look)
    for line in range(0, len(numbers) + 1, len(numbers) // 3):
        ax.axhline(line - 0.5, color="black", linewidth=1)
        ax.axvline(line - 0.5, color="black", linewidth=1)


def edges(strength: np.ndarray, pooled: np.ndarray, unpooled: np.ndarray) -> None:
    """Edges of a scene; after three poolings, repeated; and unpooled, as points over the old edges.

    Args:
        strength: integers >= 0, [H, W].
        pooled: its maxima in blocks of 8 by 8 pixels, [H / 8, W / 8].
        unpooled: those at their old places, 0 elsewhere, [H, W].
    """
    fig = Figure(figsize=(9.6, 2.5), layout="constrained")
    axes, found, strongest = fig.subplots(1, 3), unpooled > 0, strength.max()
    pictures = (strength, 1.0), (pooled.repeat(8, 0).repeat(8, 1), 1.0), (strength, 0.35)
    look = {"cmap": "gray_r", "vmin": 0, "vmax": strongest, "interpolation": "nearest"}
    drawn = [
        ax.imshow(picture, alpha=alpha, **look) for ax, (picture, alpha) in zip(axes, pictures, strict=True)
    ]
    rows, columns = np.nonzero(found)
    axes[2].scatter(columns, rows, s=1 + 25 * unpooled[found] / strongest, color=OKABE_ITO[1])
    _bare(axes, ("edges", "pooled 3 times, repeated", "pooled 3 times, unpooled"))
    fig.colorbar(drawn[0], ax=axes, label="strength of the edge", pad=0.02)
    plotting.show(
        fig,
        "Edge strengths of the scene, dark where strong; after three poolings repeated, in coarse blocks; "
        f"and unpooled: {pooled.size} orange points, larger where the edge is stronger, each on the "
        "strongest pixel of its block, over the old edges, drawn faintly.",
        dpi=74,
    )


def learning(history: Mapping[str, Sequence[float]]) -> None:
    """Loss and mIoU over the steps, in training and on validation.

    Args:
        history: lists of one length: "step", "loss", "miou", "val_loss" and "val_miou".
    """
    steps = history["step"]
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    for ax, key, label in zip(axes, ("loss", "miou"), ("balanced loss", "mIoU"), strict=True):
        ax.plot(steps, history[f"val_{key}"], "o-", color=OKABE_ITO[0], label="50 validation scenes")
        ax.plot(steps, history[key], "o--", color=OKABE_ITO[0], markerfacecolor="white", label="training")
        ax.margins(y=0.15)
        ax.set(xlabel="step", ylabel=label, ylim=0, xticks=steps)
    axes[1].legend(fontsize=9)
    ends = ", ".join(f"{key} {history[key][-1]:.3f}" for key in ("loss", "val_loss", "miou", "val_miou"))
    plotting.show(
        fig,
        f"Loss and mIoU of SegNet-Basic over {steps[-1]} steps, in training and on validation. At the end: "
        f"{ends}.",
    )


def curves(histories: Mapping[str, Mapping[str, Sequence]]) -> None:
    """How variants of the study learned: see `studies.curves`."""
    studies.curves(histories, LOOKS, f"Curves over {max(h['step'][-1] for h in histories.values())} steps")


def unpooling(scene: np.ndarray, places: np.ndarray, sparse: np.ndarray, dense: np.ndarray) -> None:
    """A part of a scene and of one channel: its pooling indices, unpooled, and after the convolution.

    Args:
        scene: uint8 [H, W, 3].
        places: integers [H, W], of each pixel's window: -1 if it was all zero, else the index 0..3.
        sparse, dense: float32 [H, W], before and after the convolution.
    """
    colors = ["#dddddd", *OKABE_ITO[:4]]
    fig = Figure(figsize=(9.6, 2.8))
    axes = fig.subplots(1, 4)
    fig.subplots_adjust(0.01, 0.28, 0.99, 0.9, wspace=0.06)
    axes[0].imshow(scene, interpolation="nearest")
    axes[1].imshow(places, cmap=ListedColormap(colors), vmin=-1.5, vmax=3.5, interpolation="nearest")
    for ax, values in zip(axes[2:], (sparse, dense), strict=True):
        reach = np.abs(values).max()
        drawn = ax.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        fig.colorbar(drawn, cax=ax.inset_axes([0.05, -0.16, 0.9, 0.07]), orientation="horizontal")
    _bare(axes, ("scene, a part", "indices of one channel", "unpooled: sparse", "convolved: dense"))
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in colors]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "frameon": False}
    axes[1].legend(handles, _PLACES, ncols=2, fontsize=9, handlelength=1, columnspacing=1, **below)
    plotting.show(
        fig,
        "A part of the scene; the pooling indices of one channel, four colours, grey where a window was all "
        "zero; the unpooled map, isolated points on white; and a map after the convolution, without gaps.",
        dpi=85,
    )


def outlines(
    paper_kept: Mapping[str, float],
    paper: Mapping[str, Sequence[float]],
    kept: Mapping[str, float],
    ours: Mapping[str, Sequence[float]],
) -> None:
    """Boundary F1 of the decoders over what each keeps from the encoder: the paper's numbers, and ours.

    Args:
        paper_kept: by decoder, MB for an image of 360x480 at the paper's width.
        paper: by decoder, the boundary F1 in percent, one value.
        kept: by decoder, kB for an image of 96x128 at a quarter of the width.
        ours: by decoder, the boundary F1 in percent, one value a seed.
    """
    fig = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = fig.subplots(1, 2)
    _draw_outlines(left, paper_kept, paper, gap=0.8)
    looks = {
        "SegNet-Basic, variants": _look("max-unpooling"),
        "FCN-Basic, variants; bilinear": _look("fcn-basic"),
    }
    handles = [Line2D([], [], label=words, **look) for words, look in looks.items()]
    left.legend(handles=handles, loc="lower right", fontsize=9)
    _draw_outlines(right, kept, ours, gap=1.2)
    left.set(title="paper, CamVid test", xlabel="kept, MB, root scale (full width, 360×480)")
    right.set(title="here, ToyCam test, one dot a seed", xlabel="kept, kB, root scale (width 1/4, 96×128)")
    left.set_xticks((0, 1, 2, 5, 10, 15))
    right.set_xticks((0, 10, 50, 100, 200))
    words = ", ".join(f"{_SHORT.get(n, n)} {kept[n]:.0f} kB {np.mean(v):.1f}" for n, v in ours.items())
    plotting.show(
        fig,
        f"Boundary F1 over what a decoder keeps. Blue circles unpool or repeat, orange "
        f"squares interpolate or learn to. Here: {words}.",
    )


def _draw_outlines(ax: Axes, kept: Mapping, points: Mapping, gap: float) -> None:
    """One panel, highest decoder first; names of the same place stand `gap` percent apart."""
    lowest, most = {}, max(kept.values())
    for name, values in sorted(points.items(), key=lambda item: -np.mean(item[1])):
        ax.plot([kept[name]] * len(values), values, **_look(name))
        height = lowest[kept[name]] = min(np.mean(values), lowest.get(kept[name], np.inf) - gap)
        inward = kept[name] < most / 2
        side = {"ha": "left", "xytext": (7, 0)} if inward else {"ha": "right", "xytext": (-7, 0)}
        text = _SHORT.get(name, name)
        ax.annotate(text, (kept[name], height), va="center", fontsize=9, textcoords="offset points", **side)
    ax.set_xscale("function", functions=(lambda x: np.sign(x) * abs(x) ** 0.5, lambda x: np.sign(x) * x**2))
    ax.set(ylabel="boundary F1, %", xlim=(-most / 800, 1.15 * most), ylim=(min(lowest.values()) - gap, None))


def _look(name: str) -> dict[str, Any]:
    """Of a decoder's points: orange squares for FCN-Basic and bilinear interpolation, else blue circles."""
    square = "fcn" in name or name == "bilinear"
    return {"marker": "s" if square else "o", "color": OKABE_ITO[int(square)], "alpha": 0.7, "linestyle": ""}


def photographs(maps: Mapping[str, np.ndarray], spec: LabelSpec) -> None:
    """Label maps predicted for some photographs, one beside the other, and the legend of the classes.

    Args:
        maps: by the name of the prediction, class ids [N, H, W] of the same photographs, N at least 1.
        spec: the classes.
    """
    count = len(next(iter(maps.values())))
    fig = Figure(figsize=(9.6, 2.1), layout="constrained")
    shown = [(name, ids[n]) for n in range(count) for name, ids in maps.items()]
    axes = fig.subplots(1, len(shown))
    for ax, (name, ids) in zip(axes, shown, strict=True):
        ax.imshow(spec.colorize(ids), interpolation="nearest")
        ax.set_title(name, fontsize=10)
        ax.set(xticks=[], yticks=[])
    plotting.show(
        fig,
        f"What SegNet-Basic predicts for {count} CamVid validation photographs, as label maps; for each, "
        f"side by side: {', '.join(maps)}.",
    )
    plotting.legend(spec)


def _bare(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Axes without ticks, each with its title."""
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, xticks=[], yticks=[])

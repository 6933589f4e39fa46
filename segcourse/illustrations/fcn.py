"""Drawings of lesson 01: receptive fields, bilinear kernels, curves, gains by distance, moves."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from segcourse import plotting
from segcourse.illustrations import studies

# The colour, marker and dashes that a variant keeps through the lesson: a colour a family, skips or parts
# taken away or changed by other dashes.
_BLUE, _ORANGE, _GREEN, _PINK, _AMBER, _SKY, _BLACK = plotting.OKABE_ITO
LOOKS = {
    "32s": (_BLUE, "o", "-"),
    "32s, trained on": (_BLUE, "o", ":"),
    "16s": (_ORANGE, "s", "-"),
    "8s": (_GREEN, "^", "-"),
    "32s-fixed": (_PINK, "D", "-"),
    "16s-falling": (_ORANGE, "s", ":"),
    "8s-falling": (_GREEN, "^", ":"),
    "8s-once": (_SKY, "v", "-"),
    "8s-once-norm": (_SKY, "v", ":"),
    "starter": (_AMBER, "P", "-"),
    "starter-plain": (_AMBER, "P", ":"),
    "starter-half": (_AMBER, "P", "--"),
    "starter-coarse": (_BLACK, "X", "-"),
    "starter-coarse-plain": (_BLACK, "X", ":"),
}


def receptive_fields(fields: Mapping[str, np.ndarray], sides: Mapping[str, int]) -> None:
    """What single outputs see of an image, on a logarithmic scale: one square a layer.

    `fields` are absolute gradients of one output, [size, size], by the layer's name, each with a value above
    0; `sides` are the sides in pixels of the squares in which they are not 0.
    """
    fig, axes = plt.subplots(1, len(fields), figsize=(9.2, 2.4), layout="constrained", sharey=True)
    for ax, (name, field) in zip(axes, fields.items(), strict=True):
        share = np.log10(field / field.max() + 1e-6)
        drawn = ax.imshow(share, cmap=plt.get_cmap("magma", 12), vmin=-6, vmax=0, interpolation="nearest")
        ends = [0, len(field) // 2, len(field) - 1]
        ax.set(title=f"{name}: {sides[name]}", xticks=ends, yticks=ends)
    axes[0].set_ylabel("pixels")
    bar = fig.colorbar(drawn, ax=axes, ticks=[-6, -4, -2, 0], label="gradient / largest")
    bar.set_ticklabels(["≤ 1e-6", "1e-4", "0.01", "1"])
    words = ", ".join(f"{name} {side} pixels" for name, side in sides.items())
    plotting.show(fig, f"Receptive fields as gradients, in steps of half a decade: {words} a side.", dpi=80)


def bilinear_kernels(kernels: Mapping[int, np.ndarray]) -> None:
    """Upsampling kernels as squares of colour: size -> [size, size] with values in 0..1."""
    fig, axes = plt.subplots(1, len(kernels), figsize=(8.5, 2.6), layout="constrained")
    for ax, (size, kernel) in zip(axes, kernels.items(), strict=True):
        ax.imshow(kernel, cmap="viridis", vmin=0, vmax=1)
        ax.set(title=f"{size} × {size}, stride {size // 2}", xticks=[0, size - 1], yticks=[0, size - 1])
    fig.colorbar(axes[-1].images[0], ax=axes, label="weight")
    sizes = ", ".join(map(str, kernels))
    plotting.show(
        fig, f"Bilinear kernels of sizes {sizes}: pyramids, brightest at the centre and fading to the edges."
    )


def curves(histories: Mapping[str, Mapping[str, Sequence]]) -> None:
    """How variants of FCN, or of lesson 00's network, learned: see `studies.curves`."""
    studies.curves(histories, LOOKS, f"Curves over {max(h['step'][-1] for h in histories.values())} steps")


def gains_by_ring(limits: Sequence[int], gains: Mapping[tuple[str, str], np.ndarray]) -> None:
    """How much more of the pixels one variant has right than another, by distance from true outlines.

    `limits`: the distances in pixels at which the rings end, the last ring has what lies beyond; `gains`: by
    the pair's names, in percent of a ring's pixels, [seeds, rings].
    """
    names = [f"{low}–{high}" for low, high in pairwise(limits)]
    names = [f"up to {limits[0]}", *names, f"over {limits[-1]}"]
    fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    words = []
    for (one, other), values in gains.items():
        color, marker, dashes = LOOKS[one]
        mean = values.mean(0)
        ax.plot(names, mean, dashes, color=color, marker=marker, label=f"{one} minus {other}")
        ax.fill_between(names, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
        words.append(f"{one} minus {other} " + ", ".join(f"{gain:+.1f}" for gain in mean))
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="distance from the nearest true outline, pixels", ylabel="more pixels right, %")
    ax.legend()
    plotting.show(fig, f"Gain in rings around true outlines, {', '.join(names)} pixels: {'; '.join(words)}.")


def fit_of_moves(moves: Sequence[int], fits: Mapping[str, Sequence[float]], best: Mapping[str, int]) -> None:
    """How well predictions fit the truth when they are moved: a line a network.

    `moves` are in pixels, down and right; `fits` are pixel accuracies in 0..1, one a move, by the network's
    name, and `best` the move of the largest, by the same names.
    """
    fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for (name, values), marker in zip(fits.items(), plotting.MARKERS, strict=False):
        ax.plot(moves, values, marker=marker, label=f"{name}: best at {best[name]}")
    ax.set(xlabel="prediction moved down and right by, pixels", ylabel="pixel accuracy")
    ax.legend()
    words = ", ".join(f"{name} fits best at {move}" for name, move in best.items())
    plotting.show(fig, f"Pixel accuracy over the move of the prediction in pixels: {words}.")

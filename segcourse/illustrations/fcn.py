"""Drawings of lesson 01: receptive fields, bilinear kernels, scores by band and seed, moved predictions."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from segcourse import plotting


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
    """Upsampling kernels as squares; `kernels` are [size, size] with values in 0..1, by their size."""
    fig, axes = plt.subplots(1, len(kernels), figsize=(8.5, 2.6), layout="constrained")
    for ax, (size, kernel) in zip(axes, kernels.items(), strict=True):
        ax.imshow(kernel, cmap="viridis", vmin=0, vmax=1)
        ax.set(title=f"{size} × {size}, stride {size // 2}", xticks=[0, size - 1], yticks=[0, size - 1])
    fig.colorbar(axes[-1].images[0], ax=axes, label="weight")
    sizes = ", ".join(map(str, kernels))
    plotting.show(
        fig, f"Bilinear kernels of sizes {sizes}: pyramids, brightest at the centre and fading to the edges."
    )


def scores_by_band(widths: Sequence[int], bands: Mapping[str, Sequence[float]]) -> None:
    """The mIoU close to outlines: a line a network over the half width of the band, on a logarithmic axis.

    `widths` are in pixels, from small to large; `bands` are mIoU in 0..1, one a width, by the network's name.
    """
    fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for (name, values), marker in zip(bands.items(), plotting.MARKERS, strict=False):
        ax.plot(widths, values, marker=marker, label=name)
    ax.set(xscale="log", xticks=widths, xticklabels=widths)
    ax.minorticks_off()
    ax.set(xlabel="half width of the band, pixels", ylabel="mIoU inside the band")
    ax.legend()
    words = "; ".join(f"{name} from {values[0]:.2f} to {values[-1]:.2f}" for name, values in bands.items())
    plotting.show(
        fig, f"mIoU inside bands around the true outlines, {widths[0]} to {widths[-1]} pixels: {words}."
    )


def scores_by_seed(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Scores of several variants, a dot a seed and a bar at the mean: one panel a score.

    `scores` are in 0..1, one a seed: by the score's name, then by the variant's; the same variants in each.
    """
    fig, axes = plt.subplots(1, len(scores), figsize=(9, 3.2), layout="constrained")
    words = []
    for ax, (score, variants) in zip(axes, scores.items(), strict=True):
        for row, values in enumerate(variants.values()):
            ax.plot(values, [row] * len(values), "o", alpha=0.6)
            ax.plot(np.mean(values), row, "k|", markersize=22)
        ax.set(yticks=range(len(variants)), yticklabels=variants, xlabel=score)
        ax.invert_yaxis()
        means = ", ".join(f"{variant} {np.mean(values):.3f}" for variant, values in variants.items())
        words.append(f"Mean {score}: {means}.")
    plotting.show(fig, f"Scores of the variants, one dot a seed, a bar at the mean. {' '.join(words)}")


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

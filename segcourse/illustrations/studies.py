"""Drawings that the lessons share: how the variants of a study learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from segcourse import plotting

Look = tuple[str, str, str]  # colour, marker, dashes


def curves(
    histories: Mapping[str, Mapping[str, Sequence]], looks: Mapping[str, Look], what: str, dpi: int = 85
) -> None:
    """Training loss and validation mIoU over the steps, a line a variant; for several seeds the mean.

    Args:
        histories: by variant, "step" [rounds], and "loss" and "val_miou" [rounds] or [seeds, rounds].
        looks: how each variant is drawn; a band reaches from the lowest seed to the highest.
        what: of what the curves are, in words.
    """
    with plotting.style():
        fig = Figure(figsize=(plotting.WIDTH, 3.6), layout="constrained")
        axes, words = fig.subplots(1, 2), []
        for ax, key, label in zip(
            axes, ("loss", "val_miou"), ("training loss", "validation mIoU"), strict=True
        ):
            for name, history in histories.items():
                _curve(ax, history["step"], np.atleast_2d(history[key]), looks[name], name)
            ax.set(xlabel="step", ylabel=label, ylim=(0, None))
            ax.grid(True)
        handles, names = axes[0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=5, handlelength=3, fontsize=9)
    for name, history in histories.items():
        loss, miou = (np.atleast_2d(history[key]).mean(0)[-1] for key in ("loss", "val_miou"))
        words.append(f"{name} {loss:.2f} and {miou:.3f}")
    plotting.show(fig, f"{what}; loss and mIoU at the end: {', '.join(words)}.", dpi=dpi)


def _curve(ax, steps, values, look, name):
    color, marker, dashes = look
    mean = values.mean(0)
    every = max(1, len(mean) // 6)
    ax.plot(steps, mean, dashes, color=color, marker=marker, markersize=5, markevery=every, label=name)
    if len(values) > 1:
        ax.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)

"""Drawings of lesson 07: rates on cars of different sizes, gradients, schedules, votes, curves, photographs.

A rate keeps its colour and marker, from light for the smallest to dark for the largest; so does a variant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segcourse import plotting
from segcourse.datasets.labels import LabelSpec

Box = tuple[slice, slice]  # of rows and of columns

RATES = (("#b39ddb", "o"), ("#8e63c7", "s"), ("#5e2ca5", "D"), ("#260a4d", "^"))  # colour, marker; by rank
CELL = 8  # pixels between neighbouring cells
VARIANTS = {
    "largefov": ("#0072B2", "o"),
    "aspp-l": ("#D55E00", "s"),
    "aspp-s": ("#009E73", "^"),
    "largefov-step": ("#E69F00", "D"),
    "largefov-scales": ("#CC79A7", "v"),
}
SCHEDULES = {"step": (VARIANTS["largefov-step"][0], "--"), "poly": (VARIANTS["largefov"][0], "-")}
HEADS = {"LargeFOV": (VARIANTS["largefov"][0], "o--"), "ASPP-L": (VARIANTS["aspp-l"][0], "s-")}


@plotting.style()
def heights_of_cars(heights: np.ndarray, most: tuple[float, float]) -> None:
    """Histogram of heights in pixels [cars] on a logarithmic axis; `most`: what 80 % of them lie between."""
    fig = Figure(figsize=(6, 2.4), layout="constrained")
    ax = fig.subplots()
    low, high = heights.min(), heights.max()
    ax.hist(heights, bins=np.geomspace(low, high + 1, 16), color=plotting.OKABE_ITO[0], edgecolor="white")
    ax.set(xscale="log", xlabel="height of a car in pixels", ylabel="cars")
    ticks = [tick for tick in (5, 10, 20, 40, 80, 160) if low <= tick <= high]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    alt = f"Histogram of the heights of {len(heights)} cars on a logarithmic axis, {low} to {high} pixels, "
    plotting.show(fig, f"{alt}most of them between {most[0]:.0f} and {most[1]:.0f}.", dpi=80)


@plotting.style()
def taps(images: Sequence[np.ndarray], boxes: Sequence[Box], rates: Sequence[int]) -> None:
    """Grey images [H, W] of 0..255; around the middle of a box in each the nine taps of up to four rates."""
    fig = Figure(figsize=(9, 2.9), layout="constrained")
    sizes = [rows.stop - rows.start for rows, _ in boxes]
    for ax, image, box, size in zip(fig.subplots(1, len(images)), images, boxes, sizes, strict=True):
        _draw_taps(ax, image, box, rates)
        ax.set_title(f"a car {size} pixels high")
    _legend_of_rates(fig, rates)
    told = f"Cars {', '.join(map(str, sizes))} pixels high in grey; around each the taps of the rates"
    plotting.show(fig, f"{told} {', '.join(map(str, rates))}.", dpi=80)


def _draw_taps(ax: Axes, image: np.ndarray, box: Box, rates: Sequence[int]) -> None:
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    row, column = ((part.start + part.stop) / 2 for part in box)
    for rate, (color, marker) in zip(rates, RATES, strict=False):
        steps = CELL * rate * np.arange(-1, 2)
        ax.plot(
            *np.meshgrid(column + steps, row + steps),
            marker,
            color=color,
            markersize=6,
            markeredgecolor="white",
        )
    ax.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


def _legend_of_rates(fig: Figure, rates: Sequence[int]) -> None:
    handles = [
        Line2D([], [], marker=marker, color=color, label=f"rate {rate}", linestyle="")
        for rate, (color, marker) in zip(rates, RATES, strict=False)
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))


@plotting.style()
def gradients(norms: Mapping[str, Sequence[float]]) -> None:
    """Norms of the gradient by unit, from the first on, of the chains "plain" and "residual"."""
    fig = Figure(figsize=(6, 2.8), layout="constrained")
    ax = fig.subplots()
    for kind, color, dashes in (("plain", "#999999", "--"), ("residual", "#000000", "-")):
        ax.plot(range(1, len(norms[kind]) + 1), norms[kind], dashes, color=color, label=kind)
    ax.set(yscale="log", xlabel="unit", ylabel="norm of the gradient")
    ax.legend()
    ends = "; ".join(f"{kind}: {values[0]:.2g} and {values[-1]:.2g}" for kind, values in norms.items())
    plotting.show(fig, f"Norms of the gradient by unit, log axis; first and last, {ends}.", dpi=80)


@plotting.style()
def schedules(rates: Mapping[str, Sequence[float]]) -> None:
    """Learning rates at every step from 0 on, of the schedules "step" and "poly"."""
    fig = Figure(figsize=(5.5, 2.4), layout="constrained")
    ax = fig.subplots()
    for name, (color, dashes) in SCHEDULES.items():
        ax.plot(rates[name], dashes, color=color, label=name)
    ax.set(xlabel="step", ylabel="learning rate")
    ax.legend()
    steps = len(rates["step"])
    plotting.show(
        fig, f"Learning rates over {steps:,} steps: step falls twice to a tenth, poly evenly to 0.", dpi=80
    )


@plotting.style()
def training_curves(history: Mapping[str, Sequence[float]]) -> None:
    """Loss and mIoU in training and validation over the "step" of a history, as `training.fit` returns."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    for ax, key, label in zip(axes, ("loss", "miou"), ("loss", "mIoU of coarse labels"), strict=True):
        for prefix, dashes, face, name in (
            ("", "s--", "white", "training"),
            ("val_", "s-", None, "validation"),
        ):
            values = history[prefix + key]
            color = HEADS["ASPP-L"][0]
            ax.plot(history["step"], values, dashes, color=color, markerfacecolor=face or color, label=name)
        ax.set(xlabel="step", ylabel=label, ylim=0)
    axes[0].legend()
    alt = f"Loss and mIoU of coarse scores over {history['step'][-1]} steps; in validation the loss ends at "
    plotting.show(
        fig, f"{alt}{history['val_loss'][-1]:.2f}, the mIoU at {history['val_miou'][-1]:.2f}.", dpi=80
    )


@plotting.style()
def votes_for_one_car(
    views: Sequence[tuple[np.ndarray, np.ndarray, Box]], rates: Sequence[int], votes: np.ndarray
) -> None:
    """One car in several sizes with the taps of four rates around it, and the votes of their branches below.

    `views`: image uint8 [H, W, 3], labels, the car's box; `votes`: float [views, rates], in logits."""
    images, _, boxes = zip(*views, strict=True)
    fig = Figure(figsize=(8, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, len(images), height_ratios=(5, 4))
    names = [f"car {rows.stop - rows.start} pixels high" for rows, _ in boxes]
    for column, (image, box) in enumerate(zip(images, boxes, strict=True)):
        ax = fig.add_subplot(grid[0, column])
        pale = 255 - (255 - image.astype(float)) * 0.6  # so that the taps stand out
        _draw_taps(ax, pale.astype(np.uint8), box, rates)
        ax.set_title(names[column], fontsize=10)
    ax = fig.add_subplot(grid[1, :])
    places = np.arange(len(images))
    for rank, (values, (color, _)) in enumerate(zip(np.transpose(votes), RATES, strict=True)):
        ax.bar(places + 0.2 * (rank - 1.5), values, 0.18, color=color)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(places, names)
    ax.set_ylabel("vote for car (logits)")
    _legend_of_rates(fig, rates)
    said = [f"{name}: {', '.join(f'{v:.2f}' for v in row)}" for name, row in zip(names, votes, strict=True)]
    alt = f"One car, zoomed in on, with the taps of the rates {', '.join(map(str, rates))} around its middle,"
    plotting.show(fig, f"{alt} and their votes for car, from left to right. {'; '.join(said)}.", dpi=70)


@plotting.style()
def votes_by_height(heights: Sequence[float], votes: np.ndarray, rates: Sequence[int]) -> None:
    """Mean votes [groups, rates] in logits over the mean height of each group of cars, in pixels."""
    fig = Figure(figsize=(7, 2.9), layout="constrained")
    ax = fig.subplots()
    for rate, values, (color, marker) in zip(rates, np.transpose(votes), RATES, strict=True):
        ax.plot(heights, values, f"{marker}-", color=color, label=f"rate {rate}")
    ax.axhline(0, color="black", linewidth=1)
    ax.set(xlabel="height of the cars in pixels, mean of the group", ylabel="mean vote for car (logits)")
    fig.legend(loc="outside right center")
    largest = [rates[place] for place in np.argmax(votes, axis=1)]
    said = ", ".join(f"{h:.0f} pixels rate {rate}" for h, rate in zip(heights, largest, strict=True))
    plotting.show(
        fig, f"Mean vote of each branch by the height of the cars. The largest vote has, at {said}.", dpi=80
    )


@plotting.style()
def found_by_height(heights: Sequence[float], shares: Mapping[str, Sequence[float]]) -> None:
    """Shares 0..1 of the cars' pixels found by "LargeFOV" and "ASPP-L", over the groups' mean heights."""
    fig = Figure(figsize=(6, 2.6), layout="constrained")
    ax = fig.subplots()
    for name, (color, look) in HEADS.items():
        ax.plot(heights, shares[name], look, color=color, label=name)
    ax.set(xlabel="height of the cars in pixels, mean of the group", ylabel="pixels found", ylim=(0, 1))
    ax.legend()
    said = "; ".join(f"{name} {', '.join(f'{v:.0%}' for v in shares[name])}" for name in HEADS)
    plotting.show(fig, f"Share of the cars' pixels that are called car, small to large cars: {said}.", dpi=80)


@plotting.style()
def study_curves(histories: Mapping[str, Mapping]) -> None:
    """Training loss and validation mIoU over the steps, mean and range of the seeds, of a study's variants.

    `histories`: by variant, "step" [rounds], and "loss" and "val_miou", float [seeds, rounds]."""
    fig = Figure(figsize=(8, 2.6), layout="constrained")
    axes = fig.subplots(1, 2)
    labels = {"loss": "training loss", "val_miou": "mIoU, validation scenes"}
    for ax, (key, label) in zip(axes, labels.items(), strict=True):
        for name, history in histories.items():
            (color, marker), values = VARIANTS[name], history[key]
            ax.plot(history["step"], values.mean(0), color=color, marker=marker, label=name)
            ax.fill_between(
                history["step"], values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0
            )
        ax.set(xlabel="step", ylabel=label)
    axes[0].legend(title="mean, and range of the seeds")
    ends = ", ".join(f"{name} {history['val_miou'][:, -1].mean():.3f}" for name, history in histories.items())
    plotting.show(fig, f"Training loss and validation mIoU over the steps. mIoU at the end: {ends}.", dpi=80)


def photographs(maps: Mapping[str, np.ndarray], spec: LabelSpec) -> None:
    """Label maps that networks predict for the same photographs, a row for each network, with the legend.

    `maps`: by the network's name, class ids [N, H, W]; the photographs themselves are not shown.
    """
    pictures = {
        f"{name}, photograph {n}": ids for name, rows in maps.items() for n, ids in enumerate(rows, start=1)
    }
    count = len(pictures) // len(maps)
    alt = f"Label maps predicted by {' and '.join(maps)} for {count} validation photographs of CamVid."
    plotting.label_maps(pictures, spec, alt, rows=len(maps), height=2.7)

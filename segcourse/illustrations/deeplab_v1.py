"""Drawings of lesson 02: holes, taps, curves, the CRF's kernels and what it gains, and sliders for it."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from segcourse import plotting
from segcourse.illustrations import studies
from segcourse.illustrations.fcn import receptive_fields as receptive_fields  # drawn once more

BLUE, RED = plotting.OKABE_ITO[:2]
# How the variants of the study are drawn: the two rates of 4x4 in one colour, the smaller one dotted.
LOOKS = {
    "starter": (plotting.OKABE_ITO[6], "D", "--"),
    "4x4-rate4": (BLUE, "o", ":"),
    "4x4-rate8": (BLUE, "o", "-"),
    "7x7-rate4": (plotting.OKABE_ITO[2], "s", "-"),
    "largefov-rate12": (RED, "^", "-"),
}


def holes(signal: np.ndarray, strided: np.ndarray, atrous: np.ndarray) -> None:
    """A signal [n], n odd, and what three taps make of it: on every second sample, and with holes on all.

    `strided` [(n - 3) / 2] lies on the samples 2, 4, ..., `atrous` [n - 4] on 2, 3, ...; the former is drawn
    once more over the latter.
    """
    positions = np.arange(len(signal))
    rows = (
        (positions, signal, "the signal"),
        (positions[2:-2:2], strided, "every second sample, then three taps"),
        (positions[2:-2], atrous, "three taps with a hole between them"),
    )
    fig, axes = plt.subplots(3, 1, figsize=(7, 4.4), layout="constrained", sharex=True)
    for ax, (at, values, title) in zip(axes, rows, strict=True):
        ax.stem(at, values, basefmt=" ")
        ax.axhline(0, color="gray", linewidth=0.6)
        ax.set(title=title, xlim=(-1, len(signal)))
    look = {"color": RED, "markersize": 9, "fillstyle": "none"}
    axes[2].plot(positions[2:-2:2], strided, "D", label="the answers of the row above", **look)
    axes[2].legend(loc="lower right")
    axes[2].set_xlabel("sample")
    plotting.show(
        fig,
        f"A signal of {len(signal)} samples; filtered after taking every second sample, {len(strided)} "
        f"answers; filtered with holes, {len(atrous)} answers, which agree with the {len(strided)} where "
        "both exist.",
        dpi=80,
    )


def taps(kernels: Mapping[str, tuple[int, int, int]]) -> None:
    """Where the taps of kernels with holes lie in the image, each as a block of 32 pixels.

    `kernels` by name: the side in taps, the rate in cells of 8 pixels, and the span of all blocks in pixels.
    """
    fig, axes = plt.subplots(1, len(kernels), figsize=(8.8, 2.6), layout="constrained", sharey=True)
    words = []
    for ax, (name, (side, rate, span)) in zip(axes, kernels.items(), strict=True):
        places = 8 * rate * (np.arange(side) - (side - 1) / 2)
        look = {"facecolor": BLUE, "alpha": 0.55, "edgecolor": "white"}
        for x, y in np.stack(np.meshgrid(places, places), -1).reshape(-1, 2):
            ax.add_patch(plt.Rectangle((x - 16, y - 16), 32, 32, **look))
        ax.set(title=f"{name}: {side}×{side}, rate {rate}\nspan {span}", xlim=(-160, 160), ylim=(-160, 160),
               xticks=(-112, 0, 112), yticks=(-112, 0, 112), aspect="equal")  # fmt: skip
        words.append(f"{name}, {side}x{side} blocks {8 * rate} pixels apart, spans {span} pixels")
    axes[0].set_ylabel("pixels from the centre")
    plotting.show(fig, f"Where the taps of fc6 lie in the image: {'; '.join(words)}.", dpi=80)


def training_curves(history: Mapping[str, Sequence[float]], steps: Sequence[int]) -> None:
    """Loss and mIoU (0..1) over the steps, from "loss", "val_loss", "miou" and "val_miou" of a history."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
    for ax, key, title in zip(axes, ("loss", "miou"), ("loss", "mIoU at every 8th pixel"), strict=True):
        ax.plot(steps, history[key], "o--", color=RED, markerfacecolor="white", label="training")
        ax.plot(steps, history[f"val_{key}"], "o-", color=BLUE, label="validation")
        ax.set(title=title, xlabel="step", xticks=steps)
    axes[0].legend(loc="upper right")
    keys = ("loss", "val_loss", "val_miou")
    ends = {key: f"{history[key][0]:.2f} to {history[key][-1]:.2f}" for key in keys}
    plotting.show(
        fig,
        f"Over {steps[-1]} steps the training loss goes from {ends['loss']}, the validation loss from "
        f"{ends['val_loss']}, the validation mIoU from {ends['val_miou']}.",
        dpi=80,
    )


def curves(histories: Mapping[str, Mapping[str, Sequence]]) -> None:
    """Training loss and validation mIoU of the study's networks over the steps; see `studies.curves`."""
    what = "Training loss and validation mIoU over the steps, those of the DeepLabs at every 8th pixel"
    studies.curves(histories, LOOKS, what)


def scores_by_rate(scores: Mapping[str, Mapping[int, Sequence[float]]]) -> None:
    """The mIoU over the rate of fc6, the mean and each seed: one panel a size of the scenes.

    `scores` are in 0..1, one a seed: by the size of the scenes, as in "96x128", then by the rate.
    """
    fig, axes = plt.subplots(1, len(scores), figsize=(8, 3), layout="constrained", sharey=True)
    words = []
    for ax, (scenes, by_rate) in zip(axes, scores.items(), strict=True):
        rates, values = list(by_rate), 100 * np.array(list(by_rate.values()))
        ax.plot(rates, values.mean(1), "o-", color=BLUE, label="mean")
        labels = ["each seed", *[""] * (values.shape[1] - 1)]
        ax.plot(rates, values, "_", color="gray", markersize=12, label=labels)
        ax.set(title=f"scenes of {scenes.replace('x', '×')} pixels", xlabel="rate of fc6", xticks=rates)
        means = zip(rates, values.mean(1), strict=True)
        words.append(f"{scenes}: " + ", ".join(f"rate {rate} {mean:.1f}" for rate, mean in means))
    axes[0].set_ylabel("mIoU, %")
    axes[0].legend(loc="lower left")
    plotting.show(
        fig, f"mIoU over the rate of fc6, the mean of the seeds and each seed. {'; '.join(words)}.", dpi=80
    )


def kernel_rows(image: np.ndarray, places: Sequence[tuple[int, int]], rows: Mapping[str, np.ndarray]) -> None:
    """What some pixels listen to: the image, and a panel a kernel, in a row of panels for each pixel.

    `image` is uint8 [H, W, 3], `places` are the pixels' (row, column); `rows` are kernel values in 0..1,
    [len(places), H, W], by the kernel's title.
    """
    size = (9, 1.85 * len(places))
    fig, axes = plt.subplots(len(places), 1 + len(rows), figsize=size, layout="constrained", squeeze=False)
    for n, (line, (y, x)) in enumerate(zip(axes, places, strict=True)):
        line[0].imshow(image)
        for ax, (title, values) in zip(line[1:], rows.items(), strict=True):
            shades = plt.get_cmap("gray_r", 20)
            drawn = ax.imshow(values[n], cmap=shades, vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(title)
        for ax in line:
            ax.plot(x, y, "+", color=RED, markersize=13, markeredgewidth=2)
            ax.axis("off")
    fig.colorbar(drawn, ax=axes, label="kernel, in steps of 0.05")
    plotting.show(
        fig,
        f"Rows of the kernel matrices for {len(places)} pixels, marked by a cross, black where the kernel "
        "is 1. A spatial kernel is a round spot at each; a bilateral kernel fills the area of like colour "
        "around the pixel, a larger one at a larger colour bandwidth.",
        dpi=72,
    )


def gain_by_distance(
    bands: Mapping[str, Mapping[int, float]], wrong: Mapping[str, Mapping[str, float]]
) -> None:
    """Before and after the CRF: the mIoU in bands around outlines, and the wrong pixels by their distance.

    Both by "before" and "after": `bands` are mIoU in 0..1 by the half width of the band in pixels, `wrong`
    are shares in 0..1 by the name of the ring, as in "up to 4".
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.3), layout="constrained")
    for (when, inside), color, marker in zip(bands.items(), (BLUE, RED), "os", strict=True):
        look = {"color": color, "marker": marker, "label": f"{when} the CRF"}
        left.plot(list(inside), [100 * value for value in inside.values()], **look)
        right.plot(list(wrong[when]), [100 * value for value in wrong[when].values()], **look)
        names = list(wrong[when])
    left.set(xscale="log", xlabel="half width of the band, pixels", ylabel="mIoU inside the band, %",
             xticks=list(inside), xticklabels=list(inside))  # fmt: skip
    left.minorticks_off()
    left.legend(loc="upper left")
    right.set(xlabel="distance to the next outline, pixels", ylabel="wrong pixels, %")
    right.set_xticks(names, [name.replace("up to ", "≤ ") for name in names])
    told = "; ".join(
        f"{when} the CRF {100 * inside[min(inside)]:.0f} % mIoU in the narrowest band, and wrong are "
        f"{100 * wrong[when][names[0]]:.1f} % in the nearest ring and "
        f"{100 * wrong[when][names[-1]]:.1f} % in the farthest"
        for when, inside in bands.items()
    )
    plotting.show(
        fig,
        "Left: mIoU inside bands around true outlines. Right: wrong pixels by distance to the next outline. "
        f"In numbers: {told}.",
        dpi=80,
    )


def crf_sliders(redraw: Callable[..., None], start: Mapping[str, float]) -> None:
    """Sliders for the parameters of `dense_crf`, in JupyterLab; each move calls `redraw(**parameters)`.

    `start` has the first values: the two weights, the three bandwidths, and the iterations.
    """
    from ipywidgets import FloatSlider, IntSlider, interact

    look = {"continuous_update": False, "style": {"description_width": "110px"}}
    ends = {"w_bilateral": (0, 30), "sigma_xy": (1, 60), "sigma_rgb": (1, 80), "w_spatial": (0, 30)}
    sliders = {
        name: FloatSlider(start[name], min=low, max=high, step=0.5, **look)
        for name, (low, high) in (ends | {"sigma_spatial": (0.5, 10)}).items()
    }
    interact(redraw, **sliders, iterations=IntSlider(start["iterations"], min=0, max=15, **look))

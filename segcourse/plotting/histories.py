"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from segcourse.plotting import figures
from segcourse.plotting.figures import MARKERS, OKABE_ITO, WIDTH, legend_below, style


def curves(histories: Mapping, keys: Sequence[str] | None = None, *, alt: str | None = None) -> None:
    """Training curves: one panel for each quantity, training dashed, validation solid.

    Args:
        histories: what `segcourse.training.fit` returns; or a dict of them by run name; or a dict of lists of
            them, one for each seed: then the mean is drawn, and a band from the smallest to the largest.
        keys: the quantities without `val_`, such as ("loss", "miou"); all that were measured by default.
        alt: instead of the automatic text.
    """
    runs = _runs(histories)
    first = next(iter(runs.values()))[0]
    keys = tuple(keys or _quantities(first))
    with style():
        fig = Figure(figsize=(WIDTH, 3.5), layout="constrained")
        axes = fig.subplots(1, len(keys), squeeze=False)[0]
        texts = [_draw_curves(axis, runs, key) for axis, key in zip(axes, keys, strict=True)]
        legend_below(fig, _curve_handles(runs, keys), columns=5)
    figures.show(fig, alt or " ".join(texts))


def _runs(histories) -> dict[str, list[Mapping]]:
    if not isinstance(histories, Mapping) or not histories:
        raise ValueError("curves needs a history (dict of lists), or a dict of histories by run name.")
    if "epoch" in histories or "loss" in histories:
        return {"": [histories]}
    runs = {name: [run] if isinstance(run, Mapping) else run for name, run in histories.items()}
    for name, seeds in runs.items():
        if (
            not isinstance(seeds, Sequence)
            or not seeds
            or not all(isinstance(seed, Mapping) for seed in seeds)
        ):
            raise ValueError(f"run {name!r} is neither a history (dict of lists) nor a list of histories.")
    return runs


def _quantities(history) -> list[str]:
    bases = dict.fromkeys(key.removeprefix("val_") for key in history)
    names = [key for key in bases if key not in ("epoch", "seconds", "lr")]
    if not names:
        raise ValueError(f"the history has nothing to draw, only {sorted(history)}.")
    return names


def _curve_handles(runs, keys):
    handles = []
    if len(runs) > 1:
        for name, color, marker in zip(runs, cycle(OKABE_ITO), cycle(MARKERS), strict=False):
            handles.append(Line2D([], [], color=color, marker=marker, label=name))
    measured = {key for seeds in runs.values() for key in seeds[0]}
    for prefix, dashes, label in (("", "--", "training"), ("val_", "-", "validation")):
        if any(prefix + key in measured for key in keys):
            color = "#555555" if len(runs) > 1 else OKABE_ITO[0 if prefix else 1]
            handles.append(Line2D([], [], color=color, linestyle=dashes, label=label))
    seeds = max(len(seeds) for seeds in runs.values())
    if seeds > 1:
        handles.append(Patch(color="#bbbbbb", label=f"smallest to largest of {seeds} seeds"))
    return handles


def _draw_curves(axis, runs, key) -> str:
    words = []
    for (name, seeds), color, marker in zip(runs.items(), cycle(OKABE_ITO), cycle(MARKERS), strict=False):
        for full, dashes in ((key, "--"), (f"val_{key}", "-")):
            if any(full not in seed for seed in seeds):
                continue
            drawn = OKABE_ITO[1] if len(runs) == 1 and dashes == "--" else color
            epochs, values = _table(seeds, full, name)
            mean = values.mean(0)
            points = {"marker": marker, "markersize": 5, "markevery": max(1, len(mean) // 12)}
            axis.plot(
                epochs,
                mean,
                dashes,
                color=drawn,
                markerfacecolor="white" if dashes == "--" else drawn,
                **points,
            )
            if len(values) > 1:
                axis.fill_between(epochs, values.min(0), values.max(0), color=drawn, alpha=0.18, linewidth=0)
            words.append(f"{name} {full}".strip() + f" from {mean[0]:.3f} to {mean[-1]:.3f}")
    if not words:
        measured = sorted(next(iter(runs.values()))[0])
        raise ValueError(f"{key!r} is in no history; choose from {measured}.")
    axis.set(title=_words(key), xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(True)
    return f"{_words(key)} over {len(epochs)} epochs: {', '.join(words)}."


def _table(seeds, key, name):
    lengths = {len(seed[key]) for seed in seeds}
    if len(lengths) > 1:
        raise ValueError(
            f"the seeds of run {name!r} differ in length ({sorted(lengths)} epochs); draw them as runs."
        )
    epochs = seeds[0].get("epoch", range(1, lengths.pop() + 1))
    return list(epochs), np.array([seed[key] for seed in seeds], float)


def _words(key: str) -> str:
    return {"miou": "mean IoU"}.get(key, key.replace("_", " "))

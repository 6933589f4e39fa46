"""The scores that the studies share, searches over a grid, and tables over seeds."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from segcourse import datasets, metrics, prediction
from segcourse.datasets import distances

BANDS = (1, 2, 4, 8, 16)  # pixels, half widths of the bands around true outlines
RINGS = (1, 2, 4, 8, 16)  # pixels, where the rings around true outlines end


def scores(
    labels: np.ndarray, predictions: np.ndarray, classes: int, bands: Sequence[int] = ()
) -> dict[str, Any]:
    """All scores of label maps: `metrics.scores`, `boundary_f1`, and the mean IoU in bands as `trimap_iou`.

    Args:
        labels, predictions: integer ids [N, H, W].
        classes: number of classes.
        bands: half widths in pixels; without any there is no `trimap_iou`.
    """
    result = metrics.scores(metrics.confusion_matrix(labels, predictions, classes))
    result["boundary_f1"] = metrics.boundary_f1(labels, predictions, classes)
    if bands:
        iou = {width: metrics.trimap_iou(labels, predictions, classes, width=width) for width in bands}
        result["trimap_iou"] = iou
    return result


def measure(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    bands: Sequence[int] = (),
    batch_size: int = 8,
    rings: Sequence[int] = (),
) -> dict[str, Any]:
    """The `scores` of a network on a whole split; with `rings`, also `right_in_rings` under that name."""
    predictions = prediction.predict(model, images, batch_size=batch_size)
    result = scores(labels, predictions, classes, bands)
    if rings:
        result["right_in_rings"] = right_in_rings(labels, predictions, rings)
    return result


def right_in_rings(
    labels: np.ndarray, predictions: np.ndarray, limits: Sequence[int], void: int = 255
) -> list[float]:
    """The share of pixels that are right, by their distance to the nearest true outline.

    Unlike the bands of a trimap, which contain one another, no pixel is in two rings.

    Args:
        labels, predictions: integer ids [N, H, W]; pixels labelled `void` do not count.
        limits: growing distances in pixels. The first ring reaches from an outline to the first, and so on;
            the last has all that lies beyond the last limit.

    Returns:
        a share 0..1 for each ring, one more than `limits`; NaN for a ring without pixels.
    """
    ring = np.searchsorted(limits, distances.to_outline(labels))  # a limit itself is the inner ring's
    valid = labels != void
    counts = np.bincount(ring[valid], minlength=len(limits) + 1)
    right = np.bincount(ring[valid & (labels == predictions)], minlength=len(limits) + 1)
    return np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0).tolist()


def on_photographs(
    model: keras.Model, name: str = "camvid", *, bands: Sequence[int] = (), batch_size: int = 8
) -> dict[str, Any]:
    """The scores of a network on the splits "val" and "test" of a data set; None for one that is not here.

    CamVid's val split is easier than its test split, on which papers report: their numbers do not compare.
    `bands` and `batch_size` are as in `measure`.
    """
    classes = len(datasets.spec(name))
    return {
        split: measure(model, *datasets.load(name, split), classes, bands, batch_size)
        if datasets.available(name, split)
        else None
        for split in ("val", "test")
    }


def logits_of(model: keras.Model, images: np.ndarray, batch: int) -> np.ndarray:
    """Logits of all images, float32 [N, H, W, C]."""
    parts = [model(images[i : i + batch], training=False) for i in range(0, len(images), batch)]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def grid(values: Mapping[str, Sequence]) -> Iterable[dict[str, Any]]:
    """All combinations of a grid, as dicts; the last name changes fastest."""
    return (dict(zip(values, row, strict=True)) for row in itertools.product(*values.values()))


def best(found: Sequence[Mapping], names: Sequence[str], score: str = "miou") -> dict[str, Any]:
    """The named parameters of the row with the highest score; of equal rows, the first."""
    first = max(found, key=lambda row: row[score])
    return {name: first[name] for name in names}


def by_seed(stored: Mapping, pick: Callable[[Mapping], Any]) -> list:
    """What `pick` takes of each part of a stored result, in their order."""
    return [pick(part) for part in stored["results"].values()]


def table(
    values: Mapping[str, Mapping[str, Sequence[float]]], factor: float = 100.0
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds, times `factor`.

    Args:
        values: score -> variant -> a number for each seed.

    Returns:
        variant -> score -> (mean, spread).
    """
    variants = next(iter(values.values()))
    return {v: {score: mean_and_spread(values[score][v], factor) for score in values} for v in variants}


def mean_and_spread(numbers: Sequence[float], factor: float = 1.0) -> tuple[float, float]:
    """Mean and standard deviation (with n - 1) of one number a seed; a single one has no spread: NaN."""
    numbers = factor * np.array(numbers, float)
    return numbers.mean(), numbers.std(ddof=1) if len(numbers) > 1 else float("nan")


def paired(
    values: Mapping[str, Sequence[float]], reference: str, factor: float = 100.0
) -> dict[str, tuple[float, float]]:
    """Differences to one variant, seed by seed: variant -> (mean, spread) of the others minus the reference.

    Seeds share data, batches and first weights, so that their differences vary less than the scores.
    """
    others = {name: numbers for name, numbers in values.items() if name != reference}
    base = np.array(values[reference], float)
    return {
        name: mean_and_spread(np.array(numbers, float) - base, factor) for name, numbers in others.items()
    }

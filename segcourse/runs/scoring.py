"""Scores of a model on a set of pictures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np


def score(
    label: Callable[[np.ndarray], np.ndarray], images: Iterable[np.ndarray], truth: np.ndarray, classes: int
) -> dict[str, Any]:
    """All scores of a `Labeller`: those of `metrics.scores`, and `boundary_f1`.

    Args:
        label: called with each image.
        images: iterable of uint8 [H, W, 3].
        truth: uint8 [N, H, W]; 255 does not count.
        classes: number of classes.
    """
    return score_labels(truth, np.stack([label(image) for image in images]), classes)


def score_labels(
    truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray], classes: int
) -> dict[str, Any]:
    """The same of labels uint8 [H, W] that are there already; pictures may differ in size."""
    from segcourse import metrics

    pairs = list(zip(truth, predicted, strict=True))
    # Picture by picture, in little memory: those without an outline are NaN and do not count.
    outlines = [metrics.boundary_f1(one[None], other[None], classes) for one, other in pairs]
    known = [value for value in outlines if value == value]
    boundary_f1 = float(np.mean(known)) if known else float("nan")
    return {**scores_of(pairs, classes), "boundary_f1": boundary_f1}


def scores_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> dict[str, Any]:
    """`metrics.scores` of all pairs of true and predicted labels together."""
    from segcourse import metrics

    return metrics.scores(sum(confusions(pairs, classes)))


def confusions(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> Iterator[np.ndarray]:
    """The confusion matrix of each pair of true and predicted labels, int64 [classes, classes].

    Rows are the truth.
    """
    from segcourse import metrics

    for pair in pairs:
        yield np.asarray(metrics.confusion_matrix(*pair, classes)).astype(np.int64)

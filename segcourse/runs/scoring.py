"""Scores of a model on a set of pictures."""

from collections.abc import Callable, Iterable
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


def score_labels(truth: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, Any]:
    """The same of labels uint8 [N, H, W] that are there already."""
    from segcourse import metrics

    boundary_f1 = metrics.boundary_f1(truth, predicted, classes)
    return {**scores_of(truth, predicted, classes), "boundary_f1": boundary_f1}


def scores_of(truth: Iterable[np.ndarray], predicted: Iterable[np.ndarray], classes: int) -> dict[str, Any]:
    """`metrics.scores` of all pictures together."""
    from segcourse import metrics

    return metrics.scores(sum(confusions(truth, predicted, classes)))


def confusions(
    truth: Iterable[np.ndarray], predicted: Iterable[np.ndarray], classes: int
) -> list[np.ndarray]:
    """The confusion matrix of each picture, int64 [classes, classes]; rows are the truth."""
    from segcourse import metrics

    pairs = zip(truth, predicted, strict=True)
    return [np.asarray(metrics.confusion_matrix(*pair, classes)).astype(np.int64) for pair in pairs]

"""The losses and class weights that a run can be given by name."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from segcourse.runs.errors import BadRequest

if TYPE_CHECKING:
    import keras

LOSSES = ("cross-entropy", "focal", "dice")
CLASS_WEIGHTS = ("median-frequency", "enet")
ENET = 1.02  # Paszke et al. 2016, section 5.1: keeps the weights between 1.4 and 50


def class_weights(name: str, masks: Iterable[np.ndarray], classes: int) -> np.ndarray:
    """Weights of the classes for the loss, float64 [classes]; a class that never occurs has no say.

    Args:
        name: "median-frequency" (Eigen & Fergus 2015: median of the frequencies / frequency, as
            `segcourse.losses.median_frequency_weights`) or "enet" (Paszke et al. 2016: 1 / ln(1.02 + share of
            the labelled pixels)).
        masks: class ids [H, W] of any sizes, one after the other; 255 is void.
        classes: number of classes.
    """
    _known(name, CLASS_WEIGHTS, "class weights")
    if name == "median-frequency":
        from segcourse.losses import median_frequency_weights

        return median_frequency_weights(masks, classes)
    counts = sum(np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks)
    return np.where(counts > 0, 1 / np.log(ENET + counts / max(counts.sum(), 1)), 0.0)


def loss(name: str, weights: Sequence[float] | None = None) -> "keras.losses.Loss":
    """A loss for logits [B, H, W, C] and ids [B, H, W] that leaves void (255) out.

    Args:
        name: one of `LOSSES`.
        weights: of the classes, or None.

    Raises:
        BadRequest: unknown name, or class weights for a loss that has none.
    """
    from segcourse.losses import MaskedCrossEntropy
    from segcourse.losses.regions import MaskedDice, MaskedFocal

    _known(name, LOSSES, "loss")
    if name == "dice":
        if weights is not None:
            raise BadRequest(
                "--loss dice counts every class alike already and takes no --class-weights. Leave one out."
            )
        return MaskedDice()
    return (MaskedCrossEntropy if name == "cross-entropy" else MaskedFocal)(class_weights=weights)


def _known(name, names, what):
    if name not in names:
        raise BadRequest(f"There is no {what} {name!r}. Known: {', '.join(names)}.")

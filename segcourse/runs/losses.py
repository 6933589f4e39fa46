"""The losses and class weights that a run can be given by name."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from segcourse.runs.errors import BadRequest

if TYPE_CHECKING:
    import keras

LOSSES = ("cross-entropy", "focal", "dice")
CLASS_WEIGHTS = ("median-frequency", "enet")


def class_weights(name: str, masks: Iterable[np.ndarray], classes: int) -> np.ndarray:
    """Weights of the classes for the loss, float64 [classes]; a class that never occurs has no say.

    Args:
        name: "median-frequency" (Eigen & Fergus 2015: median of the frequencies / frequency, as
            `segcourse.losses.median_frequency_weights`) or "enet" (Paszke et al. 2016: 1 / ln(1.02 + share of
            the labelled pixels), as `segcourse.losses.log_frequency_weights`).
        masks: class ids [H, W] of any sizes, one after the other; 255 is void.
        classes: number of classes.
    """
    _known(name, CLASS_WEIGHTS, "class weights")
    from segcourse.losses import log_frequency_weights, median_frequency_weights

    return (median_frequency_weights if name == "median-frequency" else log_frequency_weights)(masks, classes)


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

"""Batches of pictures with labels and with weights in the loss that move along with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from segcourse.datasets.augment import Augment, epochs
from segcourse.datasets.labels import VOID

if TYPE_CHECKING:
    import tensorflow as tf

_STEPS = 126  # of weights: twice as many, plus a label, stay below 255, which is void


def weighted_epochs(
    images: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    batch_size: int,
    *,
    augment: Augment | None = None,
    seed: int = 0,
) -> Callable[[int], tf.data.Dataset]:
    """`datasets.epochs` for the labels 0 and 1, with weights of the pixels that move with the pictures.

    An augmentation moves one mask. So label and weight travel in one number, 2 * weight step + label.

    Args:
        images: uint8 [N, H, W, 3].
        labels: uint8 [N, H, W], 0 or 1.
        weights: float [N, H, W], at least 0.
        batch_size: pictures at a time.
        augment: random views of pictures, labels and weights alike; None takes them as they are.
        seed: another seed gives another order and other views.

    Returns:
        A function epoch -> `tf.data.Dataset` of (images uint8 [B, h, w, 3], labels uint8 [B, h, w], weights
        float32 [B, h, w]). A weight is off by at most 1/252 of the largest; void (255) has the weight 0.

    Raises:
        ValueError: there are other labels.
    """
    import tensorflow as tf

    if labels.max() > 1:
        raise ValueError(f"weighted_epochs takes the labels 0 and 1, got labels up to {labels.max()}.")
    step = float(weights.max()) / _STEPS
    packed = (2 * np.round(weights / step) + labels).astype("uint8")

    def unpack(views, packed):
        void = packed == VOID
        weights = step * tf.cast(packed // 2, tf.float32)
        return views, tf.where(void, packed, packed % 2), tf.where(void, 0.0, weights)

    data = epochs(images, packed, batch_size, augment=augment, seed=seed)
    return lambda epoch: data(epoch).map(unpack)

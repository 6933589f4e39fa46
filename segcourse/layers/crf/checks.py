"""What goes into a CRF, looked at before it is computed: each error says what is needed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from segcourse.layers.crf.exact import values_if_known


def check_inference(logits: Any, iterations: int) -> None:
    """Raise a `ValueError` for logits of fewer than two classes, or fewer than 0 iterations."""
    if logits.shape[-1] < 2:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} have {logits.shape[-1]} class: a CRF needs at least two "
            "on the last axis. Give an object and its background a channel each."
        )
    if iterations < 0:
        raise ValueError(f"iterations = {iterations}: give a whole number of 0 or more.")


def check_image_and_scores(image: Any, scores: Any, from_logits: bool) -> None:
    """Raise a `ValueError` unless image and scores are as `dense_crf` says, where they are known yet."""
    _check_sizes(image.shape, scores.shape)
    _check_image(image)
    _check_scores(scores, from_logits)


def _check_sizes(image: Sequence, scores: Sequence) -> None:
    known = [a == b or None in (a, b) for a, b in zip(image[:3], scores[:3], strict=False)]
    if len(image) != 4 or len(scores) != 4 or image[3] != 3 or not all(known):
        raise ValueError(
            f"image {tuple(image)} and scores {tuple(scores)}: needed are [B, H, W, 3] and [B, H, W, C] with "
            "the same B, H and W. Add a batch axis with [None]; resize logits (never labels) to the image."
        )


def _check_image(image: Any) -> None:
    ends = values_if_known(ops.stack([ops.min(image), ops.max(image)]))
    if ends is None:
        return
    low, high = map(float, ends)
    if not (0 <= low <= high <= 255) or (low < high <= 1 and "float" in str(image.dtype)):
        raise ValueError(
            f"The image has values from {low:.3g} to {high:.3g}: needed are RGB colors in 0..255, "
            "as sigma_rgb is on that scale. From 0..1 multiply by 255; undo a network's mean subtraction."
        )


def _check_scores(scores: Any, from_logits: bool) -> None:
    sums = values_if_known(ops.sum(scores, axis=-1))
    if sums is None:
        return
    if not np.isfinite(sums).all():
        raise ValueError(
            f"The scores of {(~np.isfinite(sums)).sum()} pixels are not finite: the CRF needs finite "
            "numbers. A logarithm of 0 gives -inf: clip probabilities before, or give them with "
            "from_logits=False."
        )
    least = 0 if from_logits else float(ops.min(scores))
    if not from_logits and (least < 0 or abs(sums - 1).max() > 1e-3):
        raise ValueError(
            f"from_logits=False, but the scores are not probabilities: the least is {least:.3g}, the sums "
            f"over classes go from {sums.min():.3g} to {sums.max():.3g}. Needed are 0 or more, and sums of "
            "1. Logits? Then say from_logits=True."
        )

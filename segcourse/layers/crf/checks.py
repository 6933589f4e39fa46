"""What goes into a CRF, looked at before it is computed: each error says what is needed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops


def check_bandwidths(**bandwidths: float) -> None:
    """Raise a `ValueError` unless every bandwidth, given by name, is a positive finite number."""
    for name, value in bandwidths.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"{name} = {value}: a bandwidth must be a finite number above 0. It is a standard deviation, "
                "of positions in pixels (80, for example) or of colors in 0..255 (13, for example)."
            )


def values_if_known(tensor: Any) -> np.ndarray | None:
    """The numbers in `tensor` as a NumPy array; None while a graph is traced, where they do not exist yet."""
    try:
        return ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError):
        return None


def check_sizes(scores: Sequence[int | None], image: Sequence[int | None]) -> int:
    """The number of classes, from the shapes of scores [B, H, W, C] and of their image [B, H, W, 3].

    A side that is None is not known yet and fits every other.

    Raises:
        ValueError: the shapes do not belong together, or there is one class only.
    """
    scores, image = tuple(scores), tuple(image)
    known = [a == b or None in (a, b) for a, b in zip(image[:3], scores[:3], strict=False)]
    if len(image) != 4 or len(scores) != 4 or image[3] != 3 or not all(known):
        raise ValueError(
            f"image {image} and scores {scores}: needed are an RGB image [B, H, W, 3], for its colors are "
            "compared, and scores [B, H, W, C] with the same B, H and W. Add a batch axis with [None]; "
            "resize logits (never labels) to the image."
        )
    _check_classes(scores)
    return scores[3]


def check_iterations(**iterations: int) -> None:
    """Raise a `ValueError` unless every number of iterations, given by name, is 0 or more."""
    for name, value in iterations.items():
        if value < 0:
            raise ValueError(f"{name} = {value}: give a whole number of 0 or more.")


def check_inference(logits: Any, iterations: int) -> None:
    """Raise a `ValueError` for logits [..., C] of fewer than two classes, or fewer than 0 iterations."""
    _check_classes(logits.shape)
    check_iterations(iterations=iterations)


def check_image_and_scores(image: Any, scores: Any, from_logits: bool) -> None:
    """Raise a `ValueError` unless image and scores are as `dense_crf` says, where they are known yet."""
    check_sizes(scores.shape, image.shape)
    _check_image(image)
    _check_scores(scores, from_logits)


def _check_classes(shape: Sequence) -> None:
    if shape[-1] < 2:
        raise ValueError(
            f"logits of shape {tuple(shape)} have {shape[-1]} class: a CRF needs at least two on the last "
            "axis. Give an object and its background a channel each."
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

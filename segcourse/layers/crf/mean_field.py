"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

import numpy as np
from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.exact import values_if_known
from segcourse.layers.crf.lattice import BilateralFilter
from segcourse.layers.crf.spatial import SpatialFilter


def _iterated(logits, pairwise, compatibility, iterations):
    scores = logits
    for _ in range(iterations):
        marginals = ops.softmax(scores)
        scores = logits
        for weight, kernel_filter in pairwise:
            message = weight * kernel_filter(marginals)
            if compatibility is not None:
                message = -ops.matmul(message, ops.transpose(compatibility))
            scores = scores + message  # not +=, which could change the caller's logits
    return scores


def _check_inference(logits, iterations):
    if logits.shape[-1] < 2:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} have {logits.shape[-1]} class: a CRF needs at least two "
            "on the last axis. Give an object and its background a channel each."
        )
    if iterations < 0:
        raise ValueError(f"iterations = {iterations}: give a whole number of 0 or more.")


def mean_field(logits, pairwise, compatibility=None, iterations=10):
    """Mean-field inference: every pixel's scores, corrected again and again by those of all pixels alike.

    One iteration is: q = softmax(scores); filter q by every kernel; add up the messages with their weights;
    scores = logits - compatibility x message. Krähenbühl and Koltun 2011, algorithm 1, except that a pixel
    also sends a message to itself, as in their code.

    Args:
        logits: [B, H, W, C].
        pairwise: a list of (weight, filter): a number and a callable [B, H, W, C] -> [B, H, W, C].
        compatibility: [C, C], the cost of label l (row) beside label l' (column). None stands for Potts. Its
            cost 1 for different labels is the same as -1 for equal ones: all scores of a pixel then differ by
            one number, which the softmax does not see. None is computed as the latter, minus the identity.
        iterations: how many; 0 gives the logits back.

    Returns:
        scores, float32 [B, H, W, C]; their softmax are the marginals. Differentiable in `logits`, the weights
        and `compatibility`. Raises ValueError for fewer than two classes or a negative number of iterations.
    """
    _check_inference(logits, iterations)
    logits = ops.cast(logits, "float32")
    if crf_kernels.serves(logits, pairwise, compatibility):
        return crf_kernels.mean_field(_iterated, logits, pairwise, iterations)
    return _iterated(logits, pairwise, compatibility, iterations)


NORMALIZATIONS = ("none", "symmetric", "after")


def normalized(kernel_filter, like, how="symmetric"):
    """A filter divided by what it makes of ones, n = K 1, so that its strength is alike everywhere.

    Args:
        kernel_filter: a callable, values [B, H, W, C] -> [B, H, W, C].
        like: a tensor [B, H, W, any]: the size of what will be filtered.
        how: "none", "symmetric" (n^-1/2 K n^-1/2, still a symmetric kernel) or "after" (K / n, an average).

    Returns:
        a callable like `kernel_filter`. Raises ValueError for another `how`.
    """
    if how not in NORMALIZATIONS:
        raise ValueError(f"normalization = {how!r}: choose one of {', '.join(map(repr, NORMALIZATIONS))}.")
    if how == "none":
        return kernel_filter
    mass = kernel_filter(ops.ones_like(like[..., :1], dtype="float32")) + 1e-20
    if how == "after":
        return Normalized(kernel_filter, None, 1 / mass)
    return Normalized(kernel_filter, ops.rsqrt(mass), ops.rsqrt(mass))


class Normalized:
    """A filter whose values and results are multiplied, by `before` (None for 1) and by `after`."""

    def __init__(self, kernel_filter, before, after):
        self.filter, self.before, self.after = kernel_filter, before, after

    def __call__(self, values):
        return self.after * self.filter(values if self.before is None else self.before * values)


def dense_crf(
    image, scores, *, from_logits=True, iterations=10, w_bilateral=10.0, sigma_xy=80.0, sigma_rgb=13.0,
    w_spatial=3.0, sigma_spatial=3.0, normalization="symmetric",
):  # fmt: skip
    """Refine a network's segmentation with a fully connected CRF: labels then follow the edges of the image.

    Potts compatibility, and the two kernels of Krähenbühl and Koltun 2011, equation 3.

    Args:
        image: [B, H, W, 3] in 0..255.
        scores: [B, H, W, C], logits, or probabilities if `from_logits=False`.
        iterations: of mean field.
        w_bilateral, sigma_xy, sigma_rgb: the kernel over place (pixels) and color (scale of the image).
        w_spatial, sigma_spatial: the kernel over place alone (pixels). A weight of 0 leaves a kernel out.
        normalization: "none", "symmetric" or "after"; see `normalized`.

    Returns:
        probabilities, float32 [B, H, W, C]. Raises ValueError for scores, an image or parameters that are
        not as said here; the message tells what is needed.
    """
    _check_sizes(image.shape, scores.shape)
    _check_image(image)
    _check_scores(scores, from_logits)
    logits = ops.cast(scores, "float32")
    if not from_logits:
        logits = ops.log(ops.maximum(logits, 1e-10))
    pairwise = []
    if w_bilateral:
        pairwise.append((w_bilateral, BilateralFilter(image, sigma_xy, sigma_rgb)))
    if w_spatial:
        height, width = ops.shape(logits)[1:3]
        pairwise.append((w_spatial, SpatialFilter(height, width, sigma_spatial)))
    pairwise = [(weight, normalized(kernel, logits, normalization)) for weight, kernel in pairwise]
    return ops.softmax(mean_field(logits, pairwise, iterations=iterations))


def _check_sizes(image, scores):
    known = [a == b or None in (a, b) for a, b in zip(image[:3], scores[:3], strict=False)]
    if len(image) != 4 or len(scores) != 4 or image[3] != 3 or not all(known):
        raise ValueError(
            f"image {tuple(image)} and scores {tuple(scores)}: needed are [B, H, W, 3] and [B, H, W, C] with "
            "the same B, H and W. Add a batch axis with [None]; resize logits (never labels) to the image."
        )


def _check_image(image):
    ends = values_if_known(ops.stack([ops.min(image), ops.max(image)]))
    if ends is None:
        return
    low, high = map(float, ends)
    if not (0 <= low <= high <= 255) or (low < high <= 1 and "float" in str(image.dtype)):
        raise ValueError(
            f"The image has values from {low:.3g} to {high:.3g}: needed are RGB colors in 0..255, "
            "as sigma_rgb is on that scale. From 0..1 multiply by 255; undo a network's mean subtraction."
        )


def _check_scores(scores, from_logits):
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

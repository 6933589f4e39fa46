"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.checks import check_image_and_scores, check_inference
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


def mean_field(logits, pairwise, compatibility=None, iterations=10):
    """Mean-field scores, float32 [B, H, W, C], whose softmax are the marginals, from logits [B, H, W, C].

    `pairwise` is a list of (weight, filter); `compatibility` [C, C] the cost of label l (row) beside l', None
    for Potts, computed as minus the identity. Differentiable. ValueError for one class or iterations < 0.
    """
    check_inference(logits, iterations)
    logits = ops.cast(logits, "float32")
    if crf_kernels.serves(logits, pairwise, compatibility):  # the same, in fewer passes over the memory
        return crf_kernels.mean_field(_iterated, logits, pairwise, iterations)
    return _iterated(logits, pairwise, compatibility, iterations)


NORMALIZATIONS = ("none", "symmetric", "after")


def normalized(kernel_filter, like, how="symmetric"):
    """A filter divided by what it makes of ones, n = K 1, so that its strength is alike everywhere.

    `like` is a tensor [B, H, W, any] as large as what will be filtered. `how`: "symmetric", n^-1/2 K n^-1/2,
    still a symmetric kernel, "after", K / n, an average, or "none"; a ValueError for anything else.
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
    """Refine a segmentation with a fully connected CRF (Krähenbühl and Koltun 2011, equation 3; Potts).

    image: [B, H, W, 3] in 0..255; scores: [B, H, W, C], logits, or probabilities if `from_logits=False`. The
    bilateral kernel is over place (in pixels) and color (on the image's scale), the spatial one over place;
    a weight of 0 leaves one out. `normalization`: see `normalized`. Returns probabilities, float32
    [B, H, W, C]; raises ValueError for an image, scores or parameters that are not as said here.
    """
    check_image_and_scores(image, scores, from_logits)
    logits = ops.cast(scores, "float32")
    if not from_logits:
        logits = ops.log(ops.maximum(logits, 1e-10))
    pairwise = []
    if w_bilateral:
        pairwise.append((w_bilateral, BilateralFilter(image, sigma_xy, sigma_rgb)))
    if w_spatial:
        pairwise.append((w_spatial, SpatialFilter(*ops.shape(logits)[1:3], sigma_spatial)))
    pairwise = [(weight, normalized(kernel, logits, normalization)) for weight, kernel in pairwise]
    return ops.softmax(mean_field(logits, pairwise, iterations=iterations))

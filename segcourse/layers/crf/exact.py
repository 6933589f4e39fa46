"""Generated from notebooks/02_deeplab_v1.ipynb. Edit the lesson, then run make export.

Lesson 02 · DeepLab v1: holes keep the resolution, a CRF finds the outlines.
"""

import math

import numpy as np
from keras import ops


def energy(labels, unary, kernel, compatibility=None):
    """The energy of a labelling: low where labels fit the unaries, and alike pixels have the same label.

    `sum_i unary[i, x_i] + sum_{i < j} compatibility[x_i, x_j] kernel[i, j]`, a float64 number. labels: [N];
    unary: costs [N, C], usually minus the logits; kernel: [N, N], symmetric, the weighted sum of all kernels;
    compatibility: [C, C], symmetric, the cost of two labels; None stands for Potts: 0 if equal, else 1.
    """
    labels, unary = np.asarray(labels), np.asarray(unary, "float64")
    kernel = np.asarray(kernel, "float64")
    cost = 1 - np.eye(unary.shape[-1]) if compatibility is None else np.asarray(compatibility, "float64")
    pairs = np.triu(kernel * cost[labels[:, None], labels[None]], k=1)
    return unary[np.arange(len(labels)), labels].sum() + pairs.sum()


def check_bandwidths(**bandwidths):
    """Raise a `ValueError` unless every bandwidth, given by name, is a positive finite number."""
    for name, value in bandwidths.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"{name} = {value}: a bandwidth must be a finite number above 0. It is a standard deviation, "
                "of positions in pixels (80, for example) or of colors in 0..255 (13, for example)."
            )


def values_if_known(tensor):
    """The numbers in `tensor` as a NumPy array; None while a graph is traced, where they do not exist yet."""
    try:
        return ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError):
        return None


def position_features(height, width, sigma):
    """The place (x, y) of every pixel, row by row, divided by `sigma` in pixels: float32 [H * W, 2]."""
    check_bandwidths(sigma=sigma)
    y, x = ops.meshgrid(ops.arange(height), ops.arange(width), indexing="ij")
    places = ops.stack([ops.reshape(x, [-1]), ops.reshape(y, [-1])], axis=-1)
    return ops.cast(places, "float32") / sigma


def bilateral_features(image, sigma_xy, sigma_rgb):
    """Place and color of every pixel of images [B, H, W, 3], row by row: float32 [B, H * W, 5].

    (x, y) are divided by `sigma_xy` in pixels, (r, g, b) by `sigma_rgb` on the image's scale, 0..255.
    """
    check_bandwidths(sigma_xy=sigma_xy, sigma_rgb=sigma_rgb)
    batch, height, width = ops.shape(image)[:3]
    places = position_features(height, width, sigma_xy)
    colors = ops.reshape(ops.cast(image, "float32"), [batch, height * width, 3]) / sigma_rgb
    return ops.concatenate([ops.tile(places[None], [batch, 1, 1]), colors], axis=-1)


def gaussian_kernel(features):
    """How alike every two pixels are, `exp(-|f_i - f_j|^2 / 2)`: float32 [.., N, N] of features [.., N, d].

    The matrix has N^2 entries: for small images only (60x80 pixels are 92 MB).
    """
    features = ops.cast(features, "float32")
    difference = features[..., :, None, :] - features[..., None, :, :]
    return ops.exp(-0.5 * ops.sum(ops.square(difference), axis=-1))


class ExactFilter:
    """The Gaussian filter as a product with the full kernel matrix: exact, and only for small images.

    Called with values [B, H, W, C] it gives, at every pixel i, the sum over all pixels j of
    `k(i, j) values[j]`: float32 [B, H, W, C].

    Args:
        features: [N, d], or [B, N, d] with an image of its own for each batch entry.
        include_self: whether j = i counts, as in the fast filters; the sum in the energy leaves it out.
    """

    def __init__(self, features, include_self=True):
        kernel = gaussian_kernel(features)
        self.kernel = kernel if include_self else kernel * (1 - ops.eye(ops.shape(kernel)[-1]))

    def __call__(self, values):
        batch, height, width, channels = ops.shape(values)
        rows = ops.reshape(ops.cast(values, "float32"), [batch, height * width, channels])
        return ops.reshape(ops.matmul(self.kernel, rows), [batch, height, width, channels])

"""Generated from notebooks/03_crf_as_rnn.ipynb. Edit the lesson, then run make export.

Lesson 03 · CRF as RNN: inference becomes a layer.
"""

import numpy as np
from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.exact import bilateral_features
from segcourse.layers.crf.gradients import linear
from segcourse.layers.crf.numbering import find_neighbors, number_corners, number_vertices


def embedding(d):
    """The matrix [d, d], float32, from features to lattice coordinates: vertices are the whole numbers."""
    size = np.sqrt(2 / 3) / np.sqrt([(i + 1) * (i + 2) for i in range(d)])
    return ((np.tril(np.ones((d, d)), -1) + np.diag(np.arange(2, d + 2))) * size).astype("float32")


def enclosing_simplices(coordinates):
    """The simplex around each point, `coordinates` float32 [d, P]: a walk that goes along every axis once.

    Returns `corner`, int64 [d, P], where it begins; `walk`, int32 [d, P], the axis 0..d - 1 of each step;
    `weights`, float32 [d + 1, P], of the vertices on the walk, not negative, with sum 1.
    """
    corner = ops.floor(coordinates)
    fractions, walk = ops.top_k(ops.transpose(coordinates - corner), k=coordinates.shape[0])
    fractions = ops.transpose(fractions)
    above = ops.concatenate([ops.ones_like(fractions[:1]), fractions], 0)
    below = ops.concatenate([fractions, ops.zeros_like(fractions[:1])], 0)
    return ops.cast(corner, "int64"), ops.transpose(walk), above - below


def build_lattice(coordinates, image_index):
    """All that the filter needs to know of the points, float32 [d, P], each in an image, int64 [P].

    Returns `places`, int32, and `weights`, float32, both [P, d + 1], the vertices 0..M - 1 of each point and
    their shares; `ahead` and `behind`, int32 [d + 1, M], the neighbors of each vertex, -1 for none.
    """
    corner, walk, weights = enclosing_simplices(coordinates)
    keys, steps = number_corners(corner, image_index)
    vertices, places = number_vertices(keys, walk, steps)
    return places, ops.transpose(weights), *find_neighbors(vertices, steps)


def splat(values, places, weights, count):
    """Share values [P, C] out over their vertices, `places` and `weights` [P, d + 1]: [M, C], M = `count`."""
    shares = ops.reshape(weights[..., None] * values[:, None], [-1, values.shape[-1]])
    return ops.segment_sum(shares, ops.reshape(places, [-1]), count)


def blur(sums, ahead, behind):
    """Add to each vertex, sums [M, C], half of its two neighbors along one direction, [M], -1 for none."""
    padded = ops.pad(sums, [[1, 0], [0, 0]])  # neighbor -1, none, is the row of zeros
    return sums + 0.5 * (ops.take(padded, ahead + 1, axis=0) + ops.take(padded, behind + 1, axis=0))


def slice_points(sums, places, weights):
    """Read the sums [M, C] off at the points, by their `places` and `weights` [P, d + 1]: [P, C]."""
    return ops.sum(weights[..., None] * ops.take(sums, places, axis=0), axis=1)


def splat_blur_slice(values, places, weights, ahead, behind):
    """The filter of values, float32 [P, C], by a lattice from `build_lattice`: float32 [P, C]."""
    sums = splat(values, places, weights, ops.shape(ahead)[1])
    for j in range(ahead.shape[0]):
        sums = blur(sums, ahead[j], behind[j])
    return slice_points(sums / (1 + 2.0 ** (1 - ahead.shape[0])), places, weights)


class Lattice:
    """Filters values [P, C] to roughly half of `sum_j exp(-|f_i - f_j|^2 / 2) values[j]`: see `normalized`.

    Points, features f float32 [P, d] in bandwidths, see each other if `image_index`, int64 [P], is the same.
    """

    def __init__(self, features, image_index):
        fast = crf_kernels.available()  # the same by NumPy and SciPy
        build = crf_kernels.build_lattice if fast else build_lattice
        self.run = crf_kernels.lattice_filter if fast else splat_blur_slice
        coordinates = ops.matmul(embedding(features.shape[-1]), ops.transpose(features))
        self.places, self.weights, self.ahead, self.behind = build(coordinates, image_index)
        self.count = ops.shape(self.ahead)[1]

    def __call__(self, values):
        shares = self.places, self.weights
        filtered = linear(  # the gradient: the transposed product
            lambda values: self.run(values, *shares, self.ahead, self.behind),
            lambda upstream: self.run(upstream, *shares, self.ahead[::-1], self.behind[::-1]),
        )
        return filtered(ops.cast(values, "float32"))


class BilateralFilter:
    """The Gaussian filter over place and color, of all images of a batch at once, by one lattice.

    Called with values [B, H, W, C] it gives, at every pixel i, about the sum over the pixels j of the same
    image of `exp(-|p_i - p_j|^2 / (2 sigma_xy^2) - |c_i - c_j|^2 / (2 sigma_rgb^2)) values[j]`, float32
    [B, H, W, C]; roughly half of it, so use it `normalized`. Differentiable in the values, not in the image.

    The image is [B, H, W, 3] in 0..255. The bandwidths `sigma_xy`, in pixels, and `sigma_rgb`, on the image's
    scale, are finite and above 0, or a ValueError is raised.
    """

    def __init__(self, image, sigma_xy, sigma_rgb):
        image = ops.stop_gradient(ops.convert_to_tensor(image))
        features = bilateral_features(image, sigma_xy, sigma_rgb)
        batch, count = ops.shape(features)[:2]
        index = ops.repeat(ops.arange(batch, dtype="int64"), count)
        self.lattice = Lattice(ops.reshape(features, [-1, 5]), index)

    def __call__(self, values):
        rows = ops.reshape(values, [-1, values.shape[-1]])
        return ops.reshape(self.lattice(rows), ops.shape(values))

"""The Gaussian filter over place and color, by the permutohedral lattice: linear in the number of pixels.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", 2010.
"""

import keras
import numpy as np
from keras import ops

from segcourse.layers.crf.exact import bilateral_features


def embedding(d):
    """The matrix, float32 [d, d], from features to lattice coordinates, where vertices are whole numbers.

    It is so scaled that splat, blur and slice together have the standard deviation 1 in the features.
    """
    scale = np.sqrt(2 / 3) / np.sqrt([(i + 1) * (i + 2) for i in range(d)])
    return ((np.tril(np.ones((d, d)), -1) + np.diag(np.arange(2, d + 2))) * scale).astype("float32")


def enclosing_simplices(coordinates):
    """The simplex around each point: the vertices that a walk meets in the order of the fractions.

    From the corner `base` the walk makes one step along each axis, that of the largest fraction first. The
    d + 1 points on its way are the simplex's vertices, and how much the fractions drop from step to step is
    the point's weight in them.

    Args:
        coordinates: float32 [P, d].

    Returns:
        base: int32 [P, d]; walk: int32 [P, d], the axis of each step; weights: float32 [P, d + 1], sum 1.
    """
    base = ops.floor(coordinates)
    fractions, walk = ops.top_k(coordinates - base, k=coordinates.shape[-1])
    edge = fractions[:, :1]
    above = ops.concatenate([ops.ones_like(edge), fractions], 1)
    below = ops.concatenate([fractions, ops.zeros_like(edge)], 1)
    return ops.cast(base, "int32"), walk, above - below


def number_vertices(base, walk, image_index):
    """One whole number, a key, for each vertex, and the steps of the keys along the lattice's directions.

    The coordinates are the digits of the key, and the image's number in the batch is its first digit. So a
    step along an axis adds the same number to every key.

    Args:
        base, walk: from `enclosing_simplices`, [P, d].
        image_index: int64 [P], the image of each point.

    Returns:
        keys: int64 [P, d + 1]; steps: int64 [d + 1], one for each axis and one for all axes at once.
    """
    base = ops.cast(base, "int64")
    low = ops.min(base, axis=0)
    # The vertices are at base and base + 1, their neighbors one step beyond.
    sizes = ops.max(base, axis=0) - low + 4
    sizes = ops.concatenate([ops.ones([1], "int64"), sizes], 0)
    places = ops.cumprod(sizes)
    axes = places[:-1]
    first = ops.sum((base - low + 1) * axes, axis=1) + image_index * places[-1]
    way = ops.cumsum(ops.take(axes, walk), axis=1)
    keys = first[:, None] + ops.concatenate([ops.zeros_like(way[:, :1]), way], 1)
    return keys, ops.concatenate([axes, ops.sum(axes, keepdims=True)], 0)


def unique(keys):
    """The different keys, int64 [M], and for each of `keys` [K] its place among them, int32 [K]."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.unique(keys)
    order = ops.argsort(keys)
    ranked = ops.take(keys, order)
    new = ops.concatenate([ops.zeros([1], "int32"), ops.cast(ranked[1:] != ranked[:-1], "int32")], 0)
    rank = ops.cumsum(new)
    place = ops.scatter(order[:, None], rank, ops.shape(keys))
    return ops.segment_max(ranked, rank), place


def find_neighbors(keys, steps):
    """For every vertex and direction the vertices one step on and one step back: two int32 [d + 1, M].

    A neighbor that is not there is number M.
    """
    count = ops.shape(keys)[0]
    ranked_order = ops.argsort(keys)
    ranked = ops.take(keys, ranked_order)

    def find(wanted):
        flat = ops.reshape(wanted, [-1])
        place = ops.minimum(ops.searchsorted(ranked, flat), count - 1)
        found = ops.where(ops.take(ranked, place) == flat, ops.take(ranked_order, place), count)
        return ops.reshape(found, ops.shape(wanted))

    return find(keys[None] + steps[:, None]), find(keys[None] - steps[:, None])


class Lattice:
    """A permutohedral lattice around points in d dimensions: a fast Gaussian filter of bandwidth 1.

    Called with values [P, C] it gives the sum over all points j of about `exp(-|f_i - f_j|^2 / 2) values[j]`,
    float32 [P, C]. Differentiable in the values.

    Args:
        features: float32 [P, d], divided by their bandwidths.
        image_index: int64 [P]: points of different numbers do not see each other. None: all do.
    """

    def __init__(self, features, image_index=None):
        self.dimension = d = features.shape[-1]
        coordinates = ops.matmul(features, ops.transpose(embedding(d)))
        base, walk, self.weights = enclosing_simplices(coordinates)
        if image_index is None:
            image_index = ops.zeros_like(base[:, 0], dtype="int64")
        keys, steps = number_vertices(base, walk, image_index)
        vertices, places = unique(ops.reshape(keys, [-1]))
        self.places = ops.reshape(places, [-1, d + 1])
        self.ahead, self.behind = find_neighbors(vertices, steps)
        self.count = ops.shape(vertices)[0]

    def splat(self, values):
        """Share the values [P, C] out over the vertices: [M, C]."""
        shares = self.weights[..., None] * values[:, None]
        shares = ops.reshape(shares, [-1, ops.shape(values)[-1]])
        return ops.segment_sum(shares, ops.reshape(self.places, [-1]), self.count)

    def blur(self, sums, directions):
        """Add to each vertex half of its two neighbors, along one direction after the other: [M, C]."""
        for j in directions:
            padded = ops.pad(sums, [[0, 1], [0, 0]])
            sums = sums + 0.5 * (ops.take(padded, self.ahead[j], 0) + ops.take(padded, self.behind[j], 0))
        return sums

    def slice(self, sums):
        """Read off at the points what the vertices [M, C] hold: [P, C]."""
        return ops.sum(self.weights[..., None] * ops.take(sums, self.places, 0), axis=1)

    def _filter(self, values, directions):
        return self.slice(self.blur(self.splat(values), directions)) / (1 + 2.0**-self.dimension)

    def __call__(self, values):
        directions = range(self.dimension + 1)

        @ops.custom_gradient
        def both_ways(values):
            def gradient(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return self._filter(upstream, reversed(directions))

            return self._filter(values, directions), gradient

        return both_ways(ops.cast(values, "float32"))


class BilateralFilter:
    """The Gaussian filter over place and color, of all images of a batch at once, by one lattice.

    Called with values [B, H, W, C] it gives, at every pixel i, about the sum over the pixels j of the same
    image of `exp(-|p_i - p_j|^2 / (2 sigma_xy^2) - |c_i - c_j|^2 / (2 sigma_rgb^2)) values[j]`, float32
    [B, H, W, C]. Differentiable in the values, not in the image. Built once for a batch of images, then used
    as often as one likes.

    Args:
        image: [B, H, W, 3] in 0..255.
        sigma_xy: bandwidth of the place, in pixels.
        sigma_rgb: bandwidth of the color, on the image's scale.

    Raises ValueError unless both bandwidths are finite and positive.
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

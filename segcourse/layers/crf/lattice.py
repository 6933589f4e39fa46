"""Generated from notebooks/03_crf_as_rnn.ipynb. Edit the lesson, then run make export.

Lesson 03 · CRF as RNN: inference becomes a layer.
"""

import keras
import numpy as np
from keras import ops

from segcourse.kernels import crf as crf_kernels
from segcourse.layers.crf.exact import bilateral_features, values_if_known


def embedding(d):
    """The matrix [d, d] from features to lattice coordinates, in which the vertices are the whole numbers.

    It makes all simplices alike, and so large that splat, blur and slice spread a value like a Gaussian of
    standard deviation 1 in the features. float32.
    """
    size = np.sqrt(2 / 3) / np.sqrt([(i + 1) * (i + 2) for i in range(d)])
    return ((np.tril(np.ones((d, d)), -1) + np.diag(np.arange(2, d + 2))) * size).astype("float32")


def enclosing_simplices(coordinates):
    """The simplex around each point: the vertices on a walk that goes along every axis once.

    It begins at the lowest corner of the point's unit cube, and takes the axis with the largest fraction
    first. The d + 1 places on the way are the vertices; how much the fractions drop from one step to the next
    is the weight of the vertex between.

    Args:
        coordinates: float32 [d, P].

    Returns:
        corner: int64 [d, P]; walk: int32 [d, P], the axis of each step; weights: float32 [d + 1, P], of the
        vertices on the walk, not negative, with sum 1.
    """
    corner = ops.floor(coordinates)
    fractions, walk = ops.top_k(ops.transpose(coordinates - corner), k=coordinates.shape[0])
    fractions = ops.transpose(fractions)
    above = ops.concatenate([ops.ones_like(fractions[:1]), fractions], 0)
    below = ops.concatenate([fractions, ops.zeros_like(fractions[:1])], 0)
    return ops.cast(corner, "int64"), ops.transpose(walk), above - below


def check_range(digits, images):
    """Raise a `ValueError` if the keys of so many digits [d] and images do not fit into their integers.

    `number_vertices` writes d more digits of base d. While a graph is traced nothing is known yet, and
    nothing is checked.
    """
    digits, images = values_if_known(digits), values_if_known(images)
    if digits is None:
        return
    d, bits = len(digits), 8 * digits.dtype.itemsize - 1
    needed = float(np.log2(digits.astype("float64")).sum() + np.log2(images) + d * np.log2(d))
    if needed > bits:
        raise ValueError(
            f"The lattice's vertices need numbers of {needed:.0f} bits, there are {bits}: use larger "
            'bandwidths. On JAX, jax.config.update("jax_enable_x64", True) gives 63 bits instead of 31.'
        )


def number_corners(corner, image_index):
    """One whole number for each lattice point, its key, and what a step along each axis adds to it.

    The coordinates are the digits of the key, and the number of the image is the last one. So the same step
    adds the same number to every key.

    Args:
        corner: int64 [d, P].
        image_index: int64 [P], the image in the batch.

    Returns:
        keys: int64 [P]; steps: int64 [d].
    """
    low, high = ops.min(corner, axis=1), ops.max(corner, axis=1)
    # Vertices are at corner and corner + 1, their neighbors a step beyond: four more digits than high - low.
    digits = high - low + 4
    check_range(digits, ops.max(image_index) + 1)
    steps = ops.cumprod(ops.concatenate([ops.ones_like(low[:1]), digits], 0))
    key = image_index * steps[-1] + ops.sum((1 - low) * steps[:-1])
    for j in range(corner.shape[0]):
        key += corner[j] * steps[j]
    return key, steps[:-1]


def unique(keys):
    """The different ones among `keys` [K], int64 [M], and where among them each of `keys` is, int32 [K]."""
    order = ops.argsort(keys)
    ranked = ops.take(keys, order)
    first = ops.pad(ranked[1:] != ranked[:-1], [[1, 0]], constant_values=True)
    rank = ops.cumsum(ops.cast(first, "int32")) - 1
    last = values_if_known(rank[-1])
    count = ops.shape(keys)[0] if last is None else int(last) + 1  # a traced graph needs room for all
    target = ops.where(first, rank, count)  # repeated keys go to a place of their own, which is cut off
    different = ops.scatter(target[:, None], ranked, [count + 1])[:-1]
    # What room is left holds numbers so low that no key, step or neighbor ever comes near them.
    room = ops.arange(count, dtype=keys.dtype)
    lowest = np.iinfo(keras.backend.standardize_dtype(keys.dtype)).min
    different = ops.where(room <= ops.cast(rank[-1], keys.dtype), different, lowest + room)
    return different, ops.scatter(order[:, None], rank, ops.shape(keys))


def number_vertices(keys, walk, steps):
    """All vertices of all simplices, each once, and which of them every point has.

    Points that are alike share a simplex: the walk is gone once for each simplex, not for each point.

    Args:
        keys: int64 [P], of the simplices' corners; walk: int32 [d, P]; steps: int64 [d].

    Returns:
        vertices: int64 [M], their keys; places: int32 [P, d + 1], numbers 0..M - 1 of each point's vertices.
    """
    d = walk.shape[0]
    walk = ops.cast(walk, "int64")
    code = keys
    for k in range(d):
        code = code * d + walk[k]
    simplices, which = unique(code)
    way = [simplices // d**d]
    for k in range(d):
        axis = simplices // d ** (d - 1 - k) % d
        way.append(way[-1] + ops.take(steps, axis))
    vertices, places = unique(ops.concatenate(way, 0))
    places = ops.transpose(ops.reshape(places, [d + 1, -1]))
    return vertices, ops.take(places, which, axis=0)


def find_neighbors(vertices, steps):
    """For each vertex the next ones on both sides, along all axes at once and along each of them.

    Args:
        vertices: int64 [M], keys; steps: int64 [d].

    Returns:
        ahead, behind: int32 [d + 1, M], numbers of vertices; -1 where there is none.
    """
    count, directions = ops.shape(vertices)[0], steps.shape[0] + 1
    steps = ops.concatenate([ops.reshape(ops.sum(steps), [1]), steps], 0)
    wanted = ops.reshape(vertices + steps[:, None], [-1])
    _, places = unique(ops.concatenate([vertices, wanted], 0))
    here = ops.arange(1, count + 1, dtype="int32")
    numbers = ops.scatter(places[:count, None], here, [(directions + 1) * count])
    ahead = ops.reshape(ops.take(numbers, places[count:]), [directions, count])
    behind = [ops.scatter(ahead[j][:, None], here, [count + 1])[1:] for j in range(directions)]
    return ahead - 1, ops.stack(behind) - 1


def build_lattice(coordinates, image_index):
    """All that the filter needs to know of the points, float32 [d, P], each in an image, int64 [P].

    Returns:
        places: int32 [P, d + 1] and weights: float32 [P, d + 1], the vertices of each point and their shares;
        ahead, behind: int32 [d + 1, M], the neighbors of each vertex.
    """
    corner, walk, weights = enclosing_simplices(coordinates)
    keys, steps = number_corners(corner, image_index)
    vertices, places = number_vertices(keys, walk, steps)
    return places, ops.transpose(weights), *find_neighbors(vertices, steps)


def splat(values, places, weights, count):
    """Share the values [P, C] out over the vertices of their simplices: float32 [M, C], M = `count`."""
    shares = weights[..., None] * values[:, None]
    shares = ops.reshape(shares, [-1, values.shape[-1]])
    return ops.segment_sum(shares, ops.reshape(places, [-1]), count)


def blur(sums, ahead, behind):
    """Add to each vertex half of its neighbors along one direction, int32 [M] both: float32 [M, C]."""
    padded = ops.pad(sums, [[1, 0], [0, 0]])  # neighbor -1, none, is the row of zeros
    return sums + 0.5 * (ops.take(padded, ahead + 1, axis=0) + ops.take(padded, behind + 1, axis=0))


def slice_points(sums, places, weights):
    """Read the sums [M, C] off at the points, as each one's mean over its vertices: float32 [P, C]."""
    return ops.sum(weights[..., None] * ops.take(sums, places, axis=0), axis=1)


class Lattice:
    """Filters values [P, C] to roughly half of `sum_j exp(-|f_i - f_j|^2 / 2) values[j]`: see `normalized`.

    Points, features [P, d], do not see each other if they differ in `image_index`, int64 [P].
    """

    def __init__(self, features, image_index=None):
        self.dimension = features.shape[-1]
        coordinates = ops.matmul(embedding(self.dimension), ops.transpose(features))
        if image_index is None:
            image_index = ops.zeros_like(coordinates[0], dtype="int64")
        build = crf_kernels.build_lattice if crf_kernels.available() else build_lattice
        self.places, self.weights, self.ahead, self.behind = build(coordinates, image_index)
        self.count = ops.shape(self.ahead)[1]

    def _filter(self, values, ahead, behind):
        if crf_kernels.available():
            return crf_kernels.lattice_filter(values, self.places, self.weights, ahead, behind)
        sums = splat(values, self.places, self.weights, self.count)
        for j in range(self.dimension + 1):
            sums = blur(sums, ahead[j], behind[j])
        return slice_points(sums / (1 + 2.0**-self.dimension), self.places, self.weights)

    def __call__(self, values):
        @ops.custom_gradient
        def both_ways(values):
            def gradient(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return self._filter(upstream, self.ahead[::-1], self.behind[::-1])

            return self._filter(values, self.ahead, self.behind), gradient

        return both_ways(ops.cast(values, "float32"))


class BilateralFilter:
    """The Gaussian filter over place and color, of all images of a batch at once, by one lattice.

    Called with values [B, H, W, C] it gives, at every pixel i, about the sum over the pixels j of the same
    image of `exp(-|p_i - p_j|^2 / (2 sigma_xy^2) - |c_i - c_j|^2 / (2 sigma_rgb^2)) values[j]`, float32
    [B, H, W, C]; roughly half of it, so use it `normalized`. Differentiable in the values, not in the image.
    Built once for a batch of images, then used as often as one likes.

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

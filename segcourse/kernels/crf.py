"""The dense CRF's filters and numbering, fast on a CPU. The lessons teach the same in `keras.ops`.

TensorFlow's tensors lie in memory where NumPy and SciPy can read them: eager ones are read there, and a graph
calls the same functions when it runs. What costs time are products of sparse matrices, which SciPy computes
several times faster than TensorFlow on a processor without AVX-512, and the Gaussian down columns and along
rows, for which a convolution of single channels is slow and BLAS is not.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from scipy.sparse import csr_array

PARTS = 4  # Points are filtered in so many parts at a time, whatever the cores: results then do not vary.
BLOCK = 16384  # points whose simplices are found at a time: what they need stays in the cache
STRIP = 48  # least rows of an image that one product with the Gaussian's matrix yields
SINGLE = 250_000  # Products of matrices up to this size BLAS computes at once, without threads of its own.
ROOM = 32  # Vertices are looked up in a table of all keys if it has at most so many cells for each point.


def available() -> bool:
    """Whether these kernels serve the backend that runs: TensorFlow, without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def build_lattice(coordinates: Any, image_index: Any) -> tuple:
    """What `Lattice` filters with.

    Args:
        coordinates: float32 [d, P], those of the points in the lattice.
        image_index: int64 [P], the image of each.

    Returns:
        places: int32 [P, d + 1], each point's vertices; weights: float32 [P, d + 1], of these; ahead, behind:
        int32 [d + 1, M], the neighbors of every vertex, -1 where there is none.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        found = _build_lattice(np.asarray(coordinates), np.asarray(image_index))
        return tuple(map(tf.convert_to_tensor, found))
    types = [tf.int32, tf.float32, tf.int32, tf.int32]
    found = tf.numpy_function(_build_lattice, [coordinates, image_index], types, stateful=False)
    corners = coordinates.shape[0] + 1
    shapes = 2 * [[None, corners]] + 2 * [[corners, None]]
    return tuple(map(tf.ensure_shape, found, shapes))


def lattice_filter(values: Any, places: Any, weights: Any, ahead: Any, behind: Any) -> Any:
    """Splat, blur and slice of `Lattice`.

    Args:
        values: float32 [P, C].
        places: int32 [P, d + 1], each point's vertices; weights: float32 [P, d + 1], of these.
        ahead, behind: int32 [directions, M], the neighbors of every vertex, in the order of the blurs; -1
            where there is none.

    Returns:
        float32 [P, C].
    """
    return _call(_lattice_filter, values, places, weights, ahead, behind)


def separable_filter(values: Any, down: Any, along: Any) -> Any:
    """Correlate the columns of values, float32 [B, H, W, C], with the taps `down`, their rows with `along`.

    Taps are float32 [2 r + 1], symmetric; beyond the edges there are zeros.
    """
    return _call(_separable_filter, values, down, along)


def serves(logits: Any, pairwise: Sequence[tuple], compatibility: Any) -> bool:
    """Whether `mean_field` computes this: eager tensors, weights that are numbers, Potts, known filters."""
    if not available() or compatibility is not None:
        return False
    import tensorflow as tf

    known = all(isinstance(w, int | float) and type(getattr(f, "filter", 0)) in _terms() for w, f in pairwise)
    return known and tf.executing_eagerly() and isinstance(logits, tf.Tensor)


def mean_field(plain: Callable, logits: Any, pairwise: Sequence[tuple], iterations: int) -> Any:
    """What `plain(logits, pairwise, None, iterations)` gives, in fewer passes over the memory.

    The gradient comes from `plain` itself, which is computed once more for it.

    Args:
        plain: the taught iterations of mean field.
        logits: float32 [B, H, W, C].
        pairwise: a list of (number, `Normalized`), of bilateral and spatial filters.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def both_ways(logits):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                scores = plain(logits, pairwise, None, iterations)
            return tape.gradient(scores, logits, upstream)

        return tf.convert_to_tensor(_mean_field(np.asarray(logits), pairwise, iterations)), gradient

    return both_ways(logits)


def _call(function, values, *others):
    """What a NumPy function makes of tensors: float32, shaped like `values`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return tf.convert_to_tensor(function(np.asarray(values), *map(np.asarray, others)))
    result = tf.numpy_function(function, [values, *others], tf.float32, stateful=False)
    return tf.ensure_shape(result, values.shape)


@functools.cache
def _threads():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(min(cores, PARTS))


def _in_parts(function, count, size=None):
    """The results of `function(part)` for slices of 0..count, of this size or a few equal ones."""
    size = size or -(-count // PARTS)
    return list(_threads().map(function, (slice(k, min(k + size, count)) for k in range(0, count, size))))


def _build_lattice(coordinates, image_index):
    from segcourse.layers.crf.numbering import check_range

    d, points = coordinates.shape
    low, high = (np.floor(ends).astype("int64") for ends in (coordinates.min(1), coordinates.max(1)))
    digits, images = high - low + 4, int(image_index.max()) + 1
    check_range(digits, images)
    radix = np.cumprod([1, *digits])  # the steps along the axes, and from image to image
    few = images * radix[-1] <= min(ROOM * points, 2**31 - 1)
    radix = radix.astype("int32" if few else "int64")
    ways, codes = np.empty((points, d + 1), radix.dtype), np.empty(points, "int64")
    weights = np.empty((points, d + 1), "float32")

    def block(part):
        corner = np.floor(coordinates[:, part])
        fractions, walk = _sorted(coordinates[:, part] - corner)
        weights[part] = -np.diff(fractions, axis=0, prepend=1, append=0).T
        digits = [*(corner - (low - 1)[:, None].astype("float32")), image_index[part]]
        key = sum(step * digit.astype(step.dtype) for step, digit in zip(radix, digits, strict=True))
        ways[part, 0] = key
        for k, axis in enumerate(walk, start=1):
            ways[part, k] = key = key + radix[axis]
        if not few:
            codes[part] = functools.reduce(lambda code, axis: code * d + axis, walk, ways[part, 0])

    _in_parts(block, points, BLOCK)
    directions = np.array([radix[:-1].sum(), *radix[:-1]])[:, None]
    if few:
        places, numbers, vertices = _by_table(ways, images * radix[-1])
    else:
        places, numbers, vertices = _by_sorting(ways, codes)
    return places, weights, numbers(vertices + directions), numbers(vertices - directions)


def _sorted(fractions):
    """The rows of an array [d, P] from large to small at every point, and the rows they were in, int8."""
    rows = list(fractions)
    axes = [np.full(len(row), axis, "int8") for axis, row in enumerate(rows)]
    for turn in range(len(rows)):
        for i in range(turn % 2, len(rows) - 1, 2):
            change = (axes[i + 1] - axes[i]) * (rows[i] < rows[i + 1])
            rows[i], rows[i + 1] = np.maximum(rows[i], rows[i + 1]), np.minimum(rows[i], rows[i + 1])
            axes[i], axes[i + 1] = axes[i] + change, axes[i + 1] - change
    return np.stack(rows), np.stack(axes)


def _by_table(ways, cells):
    """Number the vertices with keys below `cells` on these ways, [P, d + 1], by a table of all keys.

    Returns:
        places: int32 [P, d + 1], the number of each; a function from other keys to numbers, -1 for a key that
        is no vertex; the vertices' keys.
    """
    used = np.zeros(cells, bool)
    _in_parts(lambda part: used.put(ways[part], True), len(ways), BLOCK)
    vertices = np.flatnonzero(used)
    table = np.full(cells, -1, "int32")
    table[vertices] = np.arange(len(vertices), dtype="int32")
    places = np.empty_like(ways)
    _in_parts(lambda part: table.take(ways[part], out=places[part], mode="clip"), len(ways), BLOCK)
    return places, table.take, vertices


def _by_sorting(ways, codes):
    """The same for keys of any size: first the simplices, with equal `codes` [P] if they are equal."""
    simplices, which = np.unique(codes, return_inverse=True)
    someone = np.empty(len(simplices), "int64")
    someone[which] = np.arange(len(codes))
    vertices, places = np.unique(ways[someone], return_inverse=True)

    def numbers(keys):
        found = np.searchsorted(vertices, keys).clip(max=len(vertices) - 1)
        return np.where(vertices[found] == keys, found, -1).astype("int32")

    return places.reshape(len(someone), -1).astype("int32")[which], numbers, vertices


def _lattice_filter(values, places, weights, ahead, behind):
    points, count = len(places), ahead.shape[1]
    tables = _in_parts(lambda part: _matrix(places, weights, count, part).T @ values[part], points)
    sums, result = _blurred(tables, ahead, behind), np.empty_like(values)

    def read_off(part):
        result[part] = _matrix(places, weights, count, part) @ sums

    _in_parts(read_off, points, BLOCK)
    return result


def _matrix(places, weights, count, part):
    """Those rows of *slice*, a matrix [P, M], M = `count`, that belong to a part of the points."""
    columns, entries = places[part], weights[part].reshape(-1)
    rows = np.arange(0, columns.size + 1, columns.shape[1], dtype="int32")
    return csr_array((entries, columns.reshape(-1), rows), shape=(len(columns), count))


def _blurred(tables, ahead, behind):
    """The sum of what parts of the points gave to the vertices, blurred along all directions and scaled."""
    sums = functools.reduce(np.add, tables)
    for front, back in zip(ahead, behind, strict=True):
        padded = np.pad(sums, [[1, 0], [0, 0]])  # neighbor -1, none, is the row of zeros
        sums += np.float32(0.5) * (padded.take(front + 1, 0) + padded.take(back + 1, 0))
    sums /= np.float32(1 + 2.0 ** (1 - len(ahead)))
    return sums


def _separable_filter(values, down, along):
    batch, height, width, channels = values.shape
    values = values.reshape(batch, height, width * channels)
    between = np.empty_like(values)

    def columns(part):
        for here, seen, matrix in _strips(height, down):
            size = max(1, SINGLE // matrix.size)
            for start in range(part.start, part.stop, size):
                slab = slice(start, min(start + size, part.stop))
                np.matmul(matrix, values[:, seen, slab], out=between[:, here, slab])

    def rows(part):
        for here, seen, matrix in _strips(width, along):
            np.matmul(matrix, lines[part, seen], out=result[part, here])

    _in_parts(columns, width * channels)
    lines = between.reshape(batch * height, width, channels)
    result = np.empty_like(lines)
    _in_parts(rows, batch * height)
    return result.reshape(batch, height, width, channels)


def _strips(length, taps):
    """A line in strips: for each its places, the places that it sees, and the matrix from these to it."""
    radius, size = len(taps) // 2, max(STRIP, len(taps))
    matrix = np.zeros((size, size + 2 * radius), "float32")
    for row in range(size):
        matrix[row, row : row + len(taps)] = taps
    for start in range(0, length, size):
        end = min(start + size, length)
        low, high = max(0, start - radius), min(length, end + radius)
        shift = radius - start
        yield slice(start, end), slice(low, high), matrix[: end - start, low + shift : high + shift]


def _mean_field(logits, pairwise, iterations):
    shape, result = logits.shape, np.empty_like(logits)
    logits, scores = (values.reshape(-1, shape[-1]) for values in (logits, result))
    marginals = np.empty_like(logits)
    terms = [_terms()[type(kernel.filter)](weight, kernel, shape) for weight, kernel in pairwise]

    def turn(part, last=False):
        """New scores and marginals of some points, and what they give to each term."""
        for start in range(part.start, part.stop, BLOCK):
            block = slice(start, min(start + BLOCK, part.stop))
            scores[block] = logits[block]
            for term in terms:
                term.add_to(scores[block], block)
            if not last:
                marginals[block] = _softmax(scores[block])
        return None if last else [term.collect(marginals, part) for term in terms]

    for turns_left in reversed(range(iterations + 1)):
        gathered = _in_parts(functools.partial(turn, last=not turns_left), len(logits))
        if turns_left:
            for term, parts in zip(terms, zip(*gathered, strict=True), strict=True):
                term.filter(parts)
    return result


def _softmax(scores):
    if scores.max(initial=0) > 80 or scores.min(initial=0) < -80:  # a row of exponentials could leave float32
        scores = scores - scores.max(1, keepdims=True)
    powers = np.exp(scores)
    powers /= np.einsum("pc->p", powers)[:, None]
    return powers


def _terms():
    """The classes below by the filters of the course that they compute; a changed filter is none of these."""
    from segcourse.layers.crf.lattice import BilateralFilter
    from segcourse.layers.crf.spatial import SpatialFilter

    return {BilateralFilter: _LatticeTerm, SpatialFilter: _SpatialTerm}


def _scales(normalized, shape):
    """What values and results are multiplied by, float32 [P, 1] both, for values of shape [B, H, W, C]."""
    for scale in (normalized.before, normalized.after):
        yield np.broadcast_to(np.float32(1.0) if scale is None else scale, (*shape[:3], 1)).reshape(-1, 1)


class _LatticeTerm:
    """The message of a lattice, with its normalization and its weight in the matrices' entries."""

    def __init__(self, weight, normalized, shape):
        lattice = normalized.filter.lattice
        arrays = lattice.places, lattice.weights, lattice.ahead, lattice.behind
        self.places, weights, self.ahead, self.behind = map(np.asarray, arrays)
        before, after = _scales(normalized, shape)
        self.inward, self.outward = weights * before, weights * (np.float32(weight) * after)
        self.sums = None

    def collect(self, marginals, part):
        return _matrix(self.places, self.inward, self.ahead.shape[1], part).T @ marginals[part]

    def filter(self, parts):
        self.sums = _blurred(parts, self.ahead, self.behind)

    def add_to(self, scores, block):
        if self.sums is not None:
            scores += _matrix(self.places, self.outward, self.ahead.shape[1], block) @ self.sums


class _SpatialTerm:
    """The message of a filter over places alone."""

    def __init__(self, weight, normalized, shape):
        self.taps = normalized.filter.down, normalized.filter.along
        self.before, after = _scales(normalized, shape)
        self.after = np.float32(weight) * after
        self.values, self.message = np.empty(shape, "float32"), None

    def collect(self, marginals, part):
        np.multiply(marginals[part], self.before[part], out=self.values.reshape(marginals.shape)[part])

    def filter(self, parts):
        self.message = _separable_filter(self.values, *self.taps).reshape(-1, self.values.shape[-1])

    def add_to(self, scores, block):
        if self.message is not None:
            scores += self.after[block] * self.message[block]

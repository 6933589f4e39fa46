"""Numbers for the vertices of a permutohedral lattice and for their neighbors, in operations of any backend.

A vertex is a point of whole coordinates in an image of the batch. It gets a key, one whole number that has
these as its digits, so equal vertices are found by sorting, a neighbor by adding: lesson 03 shows six points.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from segcourse.layers.crf.exact import values_if_known


def number_corners(corner: Any, image_index: Any) -> tuple:
    """One whole number for each lattice point, its key, and what a step along each axis adds to it.

    The coordinates are the digits of the key, and the number of the image is the last one. So the same step
    adds the same number to every key.

    Args:
        corner: int64 [d, P].
        image_index: int64 [P], the image in the batch.

    Returns:
        keys: int64 [P]; steps: int64 [d].

    Raises:
        ValueError: the keys do not fit into their integers.
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


def check_range(digits: Any, images: Any) -> None:
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


def number_vertices(keys: Any, walk: Any, steps: Any) -> tuple:
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


def find_neighbors(vertices: Any, steps: Any) -> tuple:
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


def unique(keys: Any) -> tuple:
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

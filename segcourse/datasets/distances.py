"""How far every pixel lies from the objects of a picture, and from the outlines of a label map."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def two_nearest(instances: np.ndarray, reach: int) -> np.ndarray:
    """Distances of every pixel to the borders of the nearest two objects, in pixels.

    Args:
        instances: integers [H, W], 0 background, 1, 2, ... the objects.
        reach: farther than this from an object its distance counts as infinite, and is not computed.

    Returns:
        float64 [2, H, W], the nearest first: from outside an object to its nearest pixel, from inside to the
        nearest pixel outside. Infinite where there is no such object.
    """
    two = np.full((2, *instances.shape), np.inf)
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is not None and (instances != number).any():
            rows, columns = (slice(max(side.start - reach, 0), side.stop + reach) for side in box)
            inside = instances[rows, columns] == number
            distance = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
            two[:, rows, columns] = np.sort([*two[:, rows, columns], distance], axis=0)[:2]
    return two


def to_outline(labels: np.ndarray) -> np.ndarray:
    """Distances of every pixel to the nearest pixel of another class, in pixels.

    Args:
        labels: integers [N, H, W].

    Returns:
        float64 [N, H, W], at least 1; infinite in a map of one class alone.
    """
    distance = np.full(labels.shape, np.inf)
    for ids, out in zip(labels, distance, strict=True):
        classes = np.unique(ids)
        for c in classes if len(classes) > 1 else ():
            inside = ids == c
            out[inside] = ndimage.distance_transform_edt(inside)[inside]
    return distance

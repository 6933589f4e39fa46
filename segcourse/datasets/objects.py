"""Single objects in label maps: where they are, and a closer look at one of ToyCam's."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from segcourse.datasets import toycam

Box = tuple[slice, slice]  # of rows and of columns


def boxes(labels: np.ndarray, class_id: int, smallest: int) -> list[tuple[int, slice, slice]]:
    """Every connected area of a class in label maps [N, H, W]: a list of (scene, rows, columns).

    Pixels that touch by a side are connected. Areas of fewer than `smallest` pixels are left out. An area may
    be a part of an object that something else hides, or several objects that overlap.
    """
    found = []
    for scene, ids in enumerate(labels):
        areas, _ = ndimage.label(ids == class_id)
        for number, box in enumerate(ndimage.find_objects(areas), start=1):
            if (areas[box] == number).sum() >= smallest:
                found.append((scene, *box))
    return found


def is_whole_car(ids: np.ndarray, box: Box, class_id: int) -> bool:
    """Whether a box of a label map [H, W] looks like one whole car.

    The class fills 80 % of it, it is not higher than wide, and it does not touch the left or right side.
    """
    rows, columns = box
    filled = (ids[rows, columns] == class_id).mean()
    inside = columns.start > 0 and columns.stop < ids.shape[1]
    return bool(filled > 0.8 and rows.stop - rows.start <= columns.stop - columns.start and inside)


def from_middle(box: Box, size: tuple[int, int]) -> float:
    """How far the middle of a box is from that of a picture of `size` (rows, columns), in pixels."""
    return math.dist([(part.start + part.stop) / 2 for part in box], [side / 2 for side in size])


def on_cells(box: Box, stride: int) -> Box:
    """The cells of a map, cell i on pixel `stride` * i, that lie in a box of pixels: slices of the map."""
    return tuple(slice(max(0, math.ceil(part.start / stride)), math.ceil(part.stop / stride)) for part in box)


def close_up(
    seed: int, index: int, box: Box, size: tuple[int, int], zoom: int
) -> tuple[np.ndarray, np.ndarray, Box]:
    """A scene of ToyCam, drawn `zoom` times as large and cut to `size` with the middle of a box in its place.

    Args:
        seed, index: the stream and the number of the scene.
        box: rows and columns in the scene of `size`.
        size: (rows, columns), of the scene and of what is returned.
        zoom: 1 or more.

    Returns:
        image uint8 [H, W, 3], labels uint8 [H, W], and the box there, which may stick out over the sides.
    """
    street = toycam.scene(seed, index, (zoom * size[0], zoom * size[1]))
    starts = [(zoom - 1) * (part.start + part.stop) // 2 for part in box]
    window = tuple(slice(start, start + side) for start, side in zip(starts, size, strict=True))
    there = tuple(
        slice(zoom * part.start - start, zoom * part.stop - start)
        for part, start in zip(box, starts, strict=True)
    )
    return street.image[window], street.labels[window], there

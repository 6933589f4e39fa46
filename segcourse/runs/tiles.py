"""Pictures that are too large for a network at once, labelled tile by tile in little memory.

`segcourse.prediction.tiled_logits` keeps the logits of the whole picture; here each tile becomes labels at
once. A tile brings along context on every side, mirrored beyond the picture's edges. What a network sums up
over the whole picture (global pooling), it sums up over a tile here.
"""

from collections.abc import Callable

import numpy as np

from segcourse.runs.errors import BadRequest

# Pixels labelled in one pass: Cityscapes' 1024x2048. FCN-8s takes 2 GB at width 0.25, 6 GB at width 1.
WHOLE = 2**21
SIDE = 1024  # of the tiles beyond that
SMALLEST = 256
STRIDE = 32  # of the deepest layers: tiles so many pixels apart meet the poolings alike


def check(tile: int | None) -> int | None:
    """The side of tiles, if it is one.

    Raises:
        BadRequest: less than `SMALLEST`, or no multiple of `STRIDE`.
    """
    if tile is not None and (tile < SMALLEST or tile % STRIDE):
        near = max(SMALLEST, round(tile / STRIDE) * STRIDE)
        raise BadRequest(
            f"--tile {tile}: the side must be a multiple of {STRIDE} and at least {SMALLEST}, for example "
            f"{near}."
        )
    return tile


def side(size: tuple[int, int], wanted: int | None = None) -> int | None:
    """The side of the tiles for a picture of this (height, width); None if it is labelled whole."""
    if wanted is not None:
        return wanted if max(size) > wanted else None
    return SIDE if size[0] * size[1] > WHOLE else None


def labels(label: Callable[[np.ndarray], np.ndarray], image: np.ndarray, tile: int) -> np.ndarray:
    """Labels uint8 [H, W] of an image uint8 [H, W, 3].

    Args:
        label: gives labels [1, tile, tile] of images [1, tile, tile, 3].
        image: of any size.
        tile: as `check` allows; an eighth of it on each side is context.
    """
    context = max(STRIDE, tile // 8 // STRIDE * STRIDE)
    step = tile - 2 * context
    whole = np.empty(image.shape[:2], np.uint8)
    for top in range(0, image.shape[0], step):
        for left in range(0, image.shape[1], step):
            rows, columns = (
                _mirrored(start - context, tile, length)
                for start, length in zip((top, left), image.shape[:2], strict=True)
            )
            inner = label(image[rows[:, None], columns][None])[0, context:-context, context:-context]
            there = whole[top : top + step, left : left + step]
            there[:] = inner[: there.shape[0], : there.shape[1]]
    return whole


def _mirrored(start, count, length):
    """The `count` places from `start` on, reflected at both ends of 0..length-1 as often as necessary."""
    if length == 1:
        return np.zeros(count, int)
    period = 2 * (length - 1)
    places = np.arange(start, start + count) % period
    return np.minimum(places, period - places)

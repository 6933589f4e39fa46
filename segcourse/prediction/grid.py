"""The arithmetic of overlapping tiles: how an image is cut into them, and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GRID = 16  # the stride of U-Net's deepest level: tiles so many pixels apart meet the poolings alike


def check_tiles(tile: int, margin: int, lost: int) -> None:
    """Raise a `ValueError` unless at least `GRID` pixels of a tile are left, and all of them have logits.

    Args:
        tile: side of a tile in pixels.
        margin: pixels at each side of a tile that are context alone.
        lost: pixels at each side of a tile for which the network has no logits.
    """
    if tile - 2 * margin < GRID or margin < lost:
        raise ValueError(
            f"Tiles of {tile} pixels with a margin of {margin} leave {tile - 2 * margin}; needed are {GRID} "
            f"or more, and a margin of at least {lost}. Take larger tiles."
        )


def cut(image: np.ndarray, tile: int, margin: int, step: int) -> list[np.ndarray]:
    """The tiles of an image, row by row, each [tile, tile, channels]; the image is mirrored at its edges.

    Args:
        image: [H, W, channels].
        tile: side of a tile in pixels.
        margin: pixels at each side of a tile that are context alone.
        step: from one tile to the next, in pixels; at most `tile` - 2 `margin`.
    """
    starts = [range(0, side, step) for side in image.shape[:2]]
    ends = [start[-1] + tile - margin - side for start, side in zip(starts, image.shape, strict=False)]
    padded = np.pad(image, [(margin, ends[0]), (margin, ends[1]), (0, 0)], mode="reflect")
    return [padded[r : r + tile, c : c + tile] for r in starts[0] for c in starts[1]]


def joined(parts: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The answers for the middles of the tiles as one array [H, W, C].

    Args:
        parts: [step, step, C] of every tile, in the order of `cut`.
        size: (H, W) of the image; what lies beyond is left out.
    """
    across = -(-size[1] // parts[0].shape[1])
    rows = [np.concatenate(parts[i : i + across], axis=1) for i in range(0, len(parts), across)]
    return np.concatenate(rows)[: size[0], : size[1]]

"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import numpy as np

from segcourse.prediction.grid import GRID, check_tiles, cut, joined


def tiled_logits(model, image, tile, margin=None, batch_size=4):
    """Logits, float32 [H, W, C], of an image [H, W, channels], 0..255, of any size from overlapping tiles.

    They equal those of one large pass over the mirrored image: every tile brings along all that its logits
    depend on, and lies on the same grid of poolings (Ronneberger et al. 2015, figure 2). `tile`: side of the
    squares, 188, 204, ... for valid convolutions, else a multiple of 16. `margin`: pixels at each side of a
    tile that are context alone; by default what valid convolutions take, and 96 with padding, where the zeros
    around a tile spoil that much. `batch_size`: tiles at a time. Raises ValueError if less than `GRID` pixels
    of a tile are left.
    """
    lost = (tile - model.compute_output_shape((1, tile, tile, image.shape[-1]))[1]) // 2
    margin = (lost or 96) if margin is None else margin
    check_tiles(tile, margin, lost)
    step = (tile - 2 * margin) // GRID * GRID
    tiles, inner = cut(image, tile, margin, step), slice(margin - lost, margin - lost + step)
    parts = []
    for first in range(0, len(tiles), batch_size):
        parts.extend(model.predict_on_batch(np.stack(tiles[first : first + batch_size]))[:, inner, inner])
    return joined(parts, image.shape[:2])

"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import numpy as np

GRID = 16  # the stride of U-Net's deepest level: tiles so many pixels apart meet the poolings alike


def _tiles(image, tile, margin, step):
    """The upper left corners of all tiles in the mirrored image, and that image."""
    starts = [range(0, side, step) for side in image.shape[:2]]
    ends = [start[-1] + tile - margin - side for start, side in zip(starts, image.shape, strict=False)]
    padded = np.pad(image, [(margin, ends[0]), (margin, ends[1]), (0, 0)], mode="reflect")
    return [(r, c) for r in starts[0] for c in starts[1]], padded


def _check_step(tile, margin, lost):
    if tile - 2 * margin < GRID or margin < lost:
        raise ValueError(
            f"Tiles of {tile} pixels with a margin of {margin} leave {tile - 2 * margin}; needed are {GRID} "
            f"or more, and a margin of at least {lost}. Take larger tiles."
        )


def tiled_logits(model, image, tile, margin=None, batch_size=4):
    """Logits, float32 [H, W, C], of an image [H, W, channels] of any size from overlapping tiles.

    They equal those of one large pass over the mirrored image: every tile brings along all that its logits
    depend on, and lies on the same grid of poolings (Ronneberger et al. 2015, figure 2). `tile`: side of the
    squares, 188, 204, ... for valid convolutions, else a multiple of 16. `margin`: pixels at each side of a
    tile that are context alone; by default what valid convolutions take, and 96 with padding, where the zeros
    around a tile spoil that much. Raises ValueError if less than `GRID` pixels of a tile are left.
    """
    lost = (tile - model.compute_output_shape((1, tile, tile, image.shape[-1]))[1]) // 2
    margin = (lost or 96) if margin is None else margin
    step = (tile - 2 * margin) // GRID * GRID
    _check_step(tile, margin, lost)
    corners, padded = _tiles(image, tile, margin, step)
    parts, keep = [], slice(margin - lost, margin - lost + step)
    for first in range(0, len(corners), batch_size):
        batch = [padded[r : r + tile, c : c + tile] for r, c in corners[first : first + batch_size]]
        parts.extend(model.predict_on_batch(np.stack(batch))[:, keep, keep])
    across = -(-image.shape[1] // step)
    rows = [np.concatenate(parts[i : i + across], axis=1) for i in range(0, len(parts), across)]
    return np.concatenate(rows)[: image.shape[0], : image.shape[1]]


def predict_tiled(model, images, tile, margin=None, batch_size=4):
    """Label every pixel of images [N, H, W, channels] tile by tile, as `tiled_logits`: uint8 [N, H, W]."""
    maps = (tiled_logits(model, image, tile, margin, batch_size).argmax(-1) for image in images)
    return np.stack([ids.astype("uint8") for ids in maps])

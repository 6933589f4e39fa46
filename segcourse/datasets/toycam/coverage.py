"""How much of a pixel something covers: exact box filters of edges, bands and repeated stripes."""

from math import ceil, floor

import numpy as np

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels


def clip(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """np.clip without its wrapper, which costs more than the work on small arrays."""
    return np.minimum(np.maximum(values, low), high)


def clip01(values: np.ndarray) -> np.ndarray:
    """`values` cut to 0..1."""
    return np.minimum(np.maximum(values, 0.0), 1.0)


def span(low: float, high: float, limit: int) -> tuple[int, int]:
    """Whole pixels touched by [low, high), cut to the picture."""
    return max(0, floor(low)), min(limit, ceil(high))


def grid(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of `box`, upper left corners: rows float32[h, 1] and columns float32[1, w]."""
    top, left, bottom, right = box
    rows, columns = np.arange(top, bottom, dtype=np.float32), np.arange(left, right, dtype=np.float32)
    return rows[:, None], columns[None, :]


def overlap(pixels: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Share of each pixel [pixels, pixels + 1) that lies between `low` and `high`."""
    return clip01(np.minimum(pixels + 1.0, high) - np.maximum(pixels, low))


def pulses(at: np.ndarray, width: float | np.ndarray, pitch: float, share: float) -> np.ndarray:
    """Mean over [at - width/2, at + width/2] of a wave that is 1 in the first `share` of every `pitch`."""
    inverse, on = 1.0 / pitch, share
    high, low = (at + width * 0.5) * inverse, (at - width * 0.5) * inverse
    floor_high, floor_low = np.floor(high), np.floor(low)
    area = (floor_high - floor_low) * on + np.minimum(high - floor_high, on) - np.minimum(low - floor_low, on)
    return area / (high - low)


def band(at: np.ndarray, width: float | np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean over [at - width/2, at + width/2] of a wave that is 1 from `low` to `high`."""
    half = width * 0.5
    return clip01((np.minimum(at + half, high) - np.maximum(at - half, low)) / width)

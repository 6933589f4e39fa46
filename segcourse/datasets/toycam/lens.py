"""From light to bytes: the glow of lamps, rain, vignette, colour cast and the sensor's noise."""

import numpy as np

from .canvas import Canvas, vector
from .coverage import clip, clip01, grid, span
from .noise import Draws, noise


def develop(canvas: Canvas, draws: Draws) -> np.ndarray:
    """The picture that a camera takes of the canvas: uint8[H, W, 3]."""
    _lamp_glows(canvas)
    if canvas.world.light.rain:
        _rain(canvas, draws)
    half = np.float32(0.5)
    rows, columns = grid((0, 0, canvas.rows, canvas.columns))
    v = (rows + half) / np.float32(canvas.rows) - half
    u = (columns + half) / np.float32(canvas.columns) - half
    vignette = 255.0 - 105.0 * (v * v) - 105.0 * (u * u)
    picture = canvas.color * (vector(canvas.world.light.cast) * vignette)
    count = 3 * canvas.rows * canvas.columns
    grain = draws.bytes(2 * count).reshape(2, 3, canvas.rows, canvas.columns).astype(np.float32)
    picture += (grain[0] + grain[1] - 255.0) * np.float32(canvas.world.light.noise / 104.0)
    return np.ascontiguousarray(clip(picture + 0.5, 0.0, 255.0).astype(np.uint8).transpose(1, 2, 0))


def _lamp_glows(canvas):
    for u, v, size in canvas.lamps:
        reach = 9.0 * size + 3.0
        r0, r1 = span(v - reach, v + reach, canvas.rows)
        c0, c1 = span(u - reach, u + reach, canvas.columns)
        if r1 > r0 and c1 > c0:
            rows, columns = grid((r0, c0, r1, c1))
            dy, dx = rows + np.float32(0.5 - v), columns + np.float32(0.5 - u)
            distance = dx * dx + dy * dy
            inner = size * size * 0.5 + 0.2
            glow = inner * 2.0 / (distance + inner) * clip01(1.3 - distance / (reach * reach) * 1.3)
            canvas.color[:, r0:r1, c0:c1] += vector((1.0, 0.85, 0.55)) * glow


def _rain(canvas, draws):
    rows, columns = np.arange(canvas.rows)[:, None], np.arange(canvas.columns)[None, :]
    shift, slant = draws.whole(0, 255), draws.whole(2, 5)
    down, along = rows // (3 + canvas.rows // 48) + columns * 7, columns * slant + rows + shift
    streaks = clip01((noise((256,), 7)[down & 255, along & 255] - 0.86) * 6.0)
    strength = (0.16 * canvas.world.light.rain) * streaks
    canvas.color += strength * (vector((0.9, 0.92, 0.95)) - canvas.color)

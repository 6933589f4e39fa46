"""From light to bytes: the glow of lamps, rain, vignette, colour cast and the sensor's noise."""

import numpy as np

from .canvas import vector
from .coverage import clip, clip01, span
from .noise import noise


def develop(canvas, draws):
    """uint8[H, W, 3]: rain, vignette, colour cast, sensor noise."""
    _lamp_glows(canvas)
    if canvas.world.light.rain:
        _rain(canvas, draws)
    v = (np.arange(canvas.rows, dtype=np.float32) + np.float32(0.5)) / np.float32(canvas.rows) - np.float32(
        0.5
    )
    u = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5)) / np.float32(
        canvas.columns
    ) - np.float32(0.5)
    vignette = 255.0 - 105.0 * (v * v)[:, None] - 105.0 * (u * u)[None, :]
    picture = canvas.color * (vector(canvas.world.light.cast) * vignette)
    count = 3 * canvas.rows * canvas.columns
    grain = draws.bytes(2 * count).reshape(2, 3, canvas.rows, canvas.columns).astype(np.float32)
    picture += (grain[0] + grain[1] - 255.0) * np.float32(canvas.world.light.noise / 104.0)
    return np.ascontiguousarray(clip(picture + 0.5, 0.0, 255.0).astype(np.uint8).transpose(1, 2, 0))


def _lamp_glows(canvas):
    for u, v, size in canvas.lamps:
        reach = 9.0 * size + 3.0
        (r0, r1), (c0, c1) = (
            span(v - reach, v + reach, canvas.rows),
            span(u - reach, u + reach, canvas.columns),
        )
        if r1 > r0 and c1 > c0:
            dy, dx = (
                np.arange(r0, r1, dtype=np.float32)[:, None] + np.float32(0.5 - v),
                np.arange(c0, c1, dtype=np.float32)[None, :] + np.float32(0.5 - u),
            )
            near = dx * dx + dy * dy
            inner = size * size * 0.5 + 0.2
            canvas.color[:, r0:r1, c0:c1] += vector((1.0, 0.85, 0.55)) * (
                inner * 2.0 / (near + inner) * clip01(1.3 - near / (reach * reach) * 1.3)
            )


def _rain(canvas, draws):
    rows, columns = np.arange(canvas.rows)[:, None], np.arange(canvas.columns)[None, :]
    shift, slant = draws.whole(0, 255), draws.whole(2, 5)
    streaks = noise((256,), 7)[
        (rows // (3 + canvas.rows // 48) + columns * 7) & 255, (columns * slant + rows + shift) & 255
    ]
    canvas.color += (
        (0.16 * canvas.world.light.rain)
        * clip01((streaks - 0.86) * 6.0)
        * (vector((0.9, 0.92, 0.95)) - canvas.color)
    )

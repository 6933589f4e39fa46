"""Posts and street lamps: upright rectangles that stay visible however far they are."""

from math import floor

import numpy as np

from .canvas import Canvas, vector
from .coverage import grid, overlap, span
from .world import POLE, Thing


def pole(canvas: Canvas, t: Thing) -> None:
    """A post; a lamp also has an arm towards the road and a head."""
    light, inward = canvas.sunlight(t.x, t.z) * vector(t.colors[0]), -1.0 if t.flip else 1.0
    half = t.width / 2
    parts = [(t.x - half, t.x + half, 0.0, t.height)]
    if t.style == "lamp":
        arm = sorted((t.x, t.x + inward * 1.5))
        head = sorted((t.x + inward * 1.1, t.x + inward * 1.75))
        parts += [(*arm, t.height - 0.1, t.height), (*head, t.height - 0.22, t.height)]
    for x0, x1, y0, y1 in parts:
        box, alpha = _rectangle(canvas, x0, x1, y0, y1, t.z)
        if box is not None:
            columns = np.arange(box[3] - box[1], dtype=np.float32) + np.float32(0.5)
            across = 1.15 - columns * (0.4 / len(columns)) if y0 == 0.0 else 0.9  # a post is round
            canvas.paint(POLE, box, alpha, light * across, float(t.z))
    if t.style == "lamp" and canvas.world.light.night:
        u, v = canvas.u(t.x + inward * 1.45, t.z), canvas.v(t.height - 0.2, t.z)
        canvas.lamps.append((u, v, canvas.focal * 0.3 / t.z))


def _rectangle(canvas, x0, x1, y0, y1, z):
    """(box, alpha) of an upright rectangle facing the camera; a thin one fills whole pixels of the grid."""
    left, right = canvas.u(x0, z), canvas.u(x1, z)
    if right - left < 1.5:
        left = float(floor((left + right) * 0.5))
        right = left + 1.0
    upper, lower = canvas.v(y1, z), canvas.v(y0, z)
    if lower - upper < 1.0:
        upper = float(floor((upper + lower) * 0.5))
        lower = upper + 1.0
    (r0, r1), (c0, c1) = span(upper, lower, canvas.rows), span(left, right, canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return None, None
    box = (r0, c0, r1, c1)
    rows, columns = grid(box)
    return box, overlap(rows, upper, lower) * overlap(columns, left, right)

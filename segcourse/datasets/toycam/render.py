"""Rasterising a ToyCam world: layers from back to front, each with exact coverage as its alpha."""

from math import ceil, floor

import numpy as np

from .canvas import Canvas
from .cards import CLASS_OF, paint_card
from .cars import car
from .coverage import span
from .ground import ground
from .houses import house
from .lens import develop
from .noise import Draws
from .poles import pole
from .sky import hills, sky
from .walls import fence, hedge
from .world import Thing, World

PAINTERS = {"house": house, "fence": fence, "hedge": hedge, "hills": hills, "pole": pole, "car": car}
PAINTERS |= dict.fromkeys(CLASS_OF, paint_card)


def rasterise(world: World, size: tuple[int, int], draws: Draws) -> tuple[Canvas, np.ndarray]:
    """The canvas of a world with its finished picture: (canvas, uint8[H, W, 3])."""
    canvas = Canvas(world, size)
    sky(canvas)
    ground(canvas)
    for t, cover in visible(canvas):
        canvas.cover = cover
        PAINTERS[t.kind](canvas, t)
    return canvas, develop(canvas, draws)


def visible(canvas: Canvas) -> list[tuple[Thing, np.ndarray]]:
    """(thing, cover) of the things not wholly behind nearer houses, far to near.

    `cover` float64[W]: in each column, everything from this row down is hidden by nearer houses.
    """
    top, seen = np.full(canvas.columns, float(canvas.rows)), []
    for t in reversed(canvas.world.things):
        z, reach = max(t.z, 1.0), 0.5 * t.width + 1.8 * (t.kind == "pole")
        ends = [canvas.u(x, d) for x in (t.x - reach, t.x + reach) for d in (z, t.z + t.length)]
        c0, c1 = span(min(ends) - 1.0, max(ends) + 1.0, canvas.columns)
        part, roof = top[c0:c1], t.style[2] + 0.6 if t.kind == "house" else 0.0
        if c1 > c0 and t.kind == "house" and t.length > 1.5:
            rows = _silhouette(canvas, t, c0, c1)
            raised = 0.0 if t.style[1] == "flat" else roof * canvas.focal / z
            if (part > np.maximum(rows - raised - 1.0, 0.0)).any():
                seen.append((t, top))
                whole = slice(max(0, ceil(min(ends)) - c0), max(0, floor(max(ends)) - c0))
                top = top.copy()
                top[c0:c1][whole] = np.minimum(part[whole], rows[whole] + 1.0)
        elif t.kind == "hills":
            seen.append((t, top))
        elif c1 > c0:
            highest = canvas.v(t.y + t.height + roof, z)
            if highest < canvas.rows and (part > max(highest, 0.0)).any():
                seen.append((t, top))
    return seen[::-1]


def _silhouette(canvas, t, c0, c1):
    """Row of a house's eaves in columns c0..c1-1: level along its front, slanting along its inner wall."""
    z, far = max(t.z, 1.0), t.z + t.length
    inner = t.x - t.width / 2 if t.x > canvas.world.camera.x else t.x + t.width / 2
    near_v, far_v = canvas.v(t.height, z), canvas.v(t.height, far)
    near_u, far_u = canvas.u(inner, z), canvas.u(inner, far)
    slope = (far_v - near_v) / (far_u - near_u) if abs(far_u - near_u) > 0.01 else 0.0
    rows = near_v + (np.arange(c0, c1) + 0.5 - near_u) * slope
    return np.maximum(rows, near_v) if slope * (far_u - near_u) > 0 else rows

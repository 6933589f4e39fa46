"""Upright walls across or along the view, with where each pixel lies on them; fences and hedges."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from .canvas import Canvas, vector
from .coverage import Box, band, clip, clip01, grid, overlap, pulses, span
from .noise import lookup, noise
from .world import FENCE, TREE, Thing


@dataclass
class Plane:
    """The pixels of an upright wall and where they lie on it, all broadcastable to `alpha`.

    box: (top, left, bottom, right); alpha: float32[h, w], coverage; a, y: metres along the wall and up;
    da, dy: metres that a pixel spans in these directions; z: distance from the camera.
    """

    box: Box
    alpha: np.ndarray
    a: np.ndarray
    y: np.ndarray
    da: np.ndarray
    dy: np.ndarray
    z: np.ndarray


def facing(canvas: Canvas, x0: float, x1: float, y0: float, y1: float, z: float) -> Plane | None:
    """The `Plane` of a wall across the view, or None where nothing of it shows."""
    left, right, upper, lower = canvas.u(x0, z), canvas.u(x1, z), canvas.v(y1, z), canvas.v(y0, z)
    (r0, r1), (c0, c1) = span(upper, lower, canvas.rows), span(left, right, canvas.columns)
    r0, r1, c0, c1 = _uncovered(canvas, r0, r1, c0, c1)
    if r1 <= r0 or c1 <= c0:
        return None
    box = (r0, c0, r1, c1)
    rows, columns = grid(box)
    alpha = overlap(rows, upper, lower) * overlap(columns, left, right)
    step = z / canvas.focal
    a = (columns + 0.5 - left) * step
    y = y1 - (rows + 0.5 - upper) * step
    return Plane(box, alpha, a, y, step, step, z)


def receding(canvas: Canvas, x: float, z0: float, z1: float, y0: float, y1: float) -> Plane | None:
    """The `Plane` of a wall along the view at side x, from z0 to z1, or None where nothing of it shows."""
    aside, z0 = x - canvas.world.camera.x, max(z0, 0.8)
    if abs(aside) < 0.05 or z1 <= z0:
        return None
    low, high = sorted((canvas.u(x, z0), canvas.u(x, z1)))
    ends = (low - 0.5, high + 0.5)  # half a pixel of overlap, so that no seam shows at a corner
    c0, c1 = span(*ends, canvas.columns)
    upper_near, lower_near = canvas.v(y1, z0), canvas.v(y0, z0)
    r0, r1 = span(min(upper_near, canvas.v(y1, z1)), max(lower_near, canvas.v(y0, z1)), canvas.rows)
    r0, r1, c0, c1 = _uncovered(canvas, r0, r1, c0, c1)
    if r1 <= r0 or c1 <= c0:
        return None
    box = (r0, c0, r1, c1)
    rows, columns = grid(box)
    inside = overlap(columns, *ends)
    middle = clip(columns + 0.5, ends[0] + 0.01, max(ends[1] - 0.01, ends[0] + 0.01))
    z = clip((canvas.focal * aside) / (middle - canvas.cx), z0, z1)
    step, camera = z / canvas.focal, canvas.world.camera.height
    upper, lower = canvas.cy + (camera - y1) / step, canvas.cy + (camera - y0) / step
    alpha = overlap(rows, upper, lower) * inside
    y = camera - (rows + 0.5 - canvas.cy) * step
    return Plane(box, alpha, z - z0, y, z * step / abs(aside), step, z.astype(np.float32))


def _uncovered(canvas, r0, r1, c0, c1):
    """The part of a pixel box that nearer houses leave open, or an empty box."""
    cover = canvas.cover[c0:c1]
    free = np.flatnonzero(cover > r0)
    if not len(free):
        return r0, r0, c0, c0
    return r0, min(r1, ceil(cover.max()) + 1), c0 + int(free[0]), c0 + int(free[-1]) + 1


def fence(canvas: Canvas, t: Thing) -> None:
    """One panel of a fence or low wall along the street, with its posts."""
    p = receding(canvas, t.x, t.z, t.z + t.length, 0.0, t.height)
    if p is None:
        return
    a = p.a + t.z
    post = pulses(a, p.da, 2.5, 0.064)
    cover, tone = _panel(t, p, a, post)
    rough = lookup(noise((64, 128, 256), 1), p.y * 14.0, a * 14.0)
    own = vector(t.colors[0]) * ((tone - 0.12 * post) * (0.86 + 0.28 * rough))
    color = own * canvas.sunlight(t.x, t.z + 0.5 * t.length)
    canvas.paint(FENCE, p.box, p.alpha * np.maximum(cover, post), color, p.z)


def _panel(t, p, a, post):
    """Coverage and brightness of a fence of style `t.style`, `a` metres along the street."""
    if t.style == "picket":
        rails = np.maximum(band(p.y, p.dy, 0.2, 0.34), band(p.y, p.dy, t.height - 0.4, t.height - 0.26))
        cover = np.maximum(pulses(a, p.da, 0.34, 0.62), rails)
        return cover, 0.9 + 0.1 * cover
    if t.style == "rails":
        cover = np.maximum(pulses(p.y - 0.1, p.dy, t.height * 0.33, 0.55), post)
        return cover, 0.85 + 0.3 * pulses(p.y - 0.1, p.dy, t.height * 0.33, 0.2)
    rim = 0.2 * band(p.y, p.dy, t.height - 0.12, t.height)
    if t.style == "boards":
        return np.float32(1.0), 1.0 - 0.4 * pulses(a, p.da, 0.3, 0.12) - rim
    shift = 0.2 * np.floor(p.y * 5.0)  # every course of bricks is half a brick on
    joints = np.maximum(pulses(p.y, p.dy, 0.2, 0.14), pulses(a + shift, p.da, 0.4, 0.08))
    return np.float32(1.0), 1.0 - 0.3 * joints + rim


def hedge(canvas: Canvas, t: Thing) -> None:
    """One panel of a hedge: leaves with a ragged top."""
    p = receding(canvas, t.x, t.z, t.z + t.length, 0.0, t.height)
    if p is None:
        return
    leaf = lookup(noise((32, 64, 128, 256), 3), p.y * 22.0, (p.a + t.z) * 22.0)
    ragged = clip01((t.height - 0.25 * lookup(noise(), 3.0 + 0.0 * p.a, (p.a + t.z) * 12.0) - p.y) / p.dy)
    own = vector(t.colors[1]) * (0.35 + 0.9 * leaf * (0.6 + 0.4 * clip01(p.y / t.height)))
    color = own * canvas.sunlight(t.x, t.z)
    canvas.paint(TREE, p.box, p.alpha * ragged, color, p.z)

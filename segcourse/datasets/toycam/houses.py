"""Houses: a front across the view, a side wall along it, gables, roofs and the facade's windows."""

import numpy as np

from .canvas import LAMPLIGHT, Canvas, vector
from .coverage import band, clip01, grid, pulses, span
from .noise import lookup, noise
from .walls import Plane, facing, receding
from .world import BUILDING, Thing


def house(canvas: Canvas, t: Thing) -> None:
    """The wall that runs along the street, then the front; a front beside the camera cannot be seen."""
    x0, x1 = t.x - t.width / 2, t.x + t.width / 2
    camera_x = canvas.world.camera.x
    inner = x1 if x1 < camera_x else x0 if x0 > camera_x else None
    if inner is not None and t.length > 1.5:
        _side(canvas, t, inner, looks_right=inner == x1)
    if t.z > 2.5:
        _front(canvas, t, x0, x1)


def _side(canvas, t, inner, looks_right):
    sun_from_right = canvas.world.light.shadow[0] < 0
    lit = canvas.ambient * 0.88 + canvas.sun * (0.85 if looks_right == sun_from_right else 0.0)
    wall = receding(canvas, inner, t.z, t.z + t.length, 0.0, t.height)
    _, roof, rise, _, _ = t.style
    if roof == "gable":
        _roof_slope(canvas, t, inner, rise, lit)
    if wall is not None:
        canvas.paint(BUILDING, wall.box, wall.alpha, facade(canvas, t, wall, lit), wall.z)


def _front(canvas, t, x0, x1):
    lit = canvas.ambient * 0.95 + canvas.sun * (0.75 if canvas.world.light.shadow[1] > 0 else 0.05)
    _, roof, rise, _, _ = t.style
    front = facing(canvas, x0, x1, 0.0, t.height + (0.0 if roof == "flat" else rise), t.z)
    if front is None:
        return
    if roof != "flat":
        _gable(front, t, rise, stepped=roof == "stepped")
    canvas.paint(BUILDING, front.box, front.alpha, facade(canvas, t, front, lit), front.z)


def _gable(front, t, rise, stepped):
    slope = (t.width / 2 - abs(front.a - t.width / 2)) * (rise * 2.0 / t.width)
    if stepped:
        slope = np.floor(slope * 1.25) * 0.8 + 0.5
    front.alpha = front.alpha * clip01((t.height + slope - front.y) / front.dy + 0.5)


def _roof_slope(canvas, t, inner, rise, lit):
    z0, z1, ridge = max(t.z, 1.0), t.z + t.length, t.height + rise
    points = [
        (canvas.u(inner, z0), canvas.v(t.height, z0)),
        (canvas.u(inner, z1), canvas.v(t.height, z1)),
        (canvas.u(t.x, z1), canvas.v(ridge, z1)),
        (canvas.u(t.x, z0), canvas.v(ridge, z0)),
    ]
    box, alpha = _convex(canvas, points)
    if box is not None:
        rows, columns = grid(box)
        tiles = lookup(noise((64, 128, 256), 1), rows * 3.0, columns)
        color = vector(t.colors[1]) * (0.8 + 0.4 * tiles) * lit
        canvas.paint(BUILDING, box, alpha, color, z0 + 0.5 * t.length)


def _convex(canvas, points):
    """(box, alpha) of a convex polygon given by picture points, smooth edges."""
    us, vs = [p[0] for p in points], [p[1] for p in points]
    (r0, r1), (c0, c1) = span(min(vs), max(vs), canvas.rows), span(min(us), max(us), canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return None, None
    box = (r0, c0, r1, c1)
    rows, columns = grid(box)
    v, u = rows + np.float32(0.5), columns + np.float32(0.5)
    (au, av), (bu, bv), (cu, cv) = points[:3]
    turn = 1.0 if (bu - au) * (cv - av) - (bv - av) * (cu - au) > 0 else -1.0
    alpha = None
    for (u0, v0), (u1, v1) in zip(points, (*points[1:], points[0]), strict=True):
        du, dv = u1 - u0, v1 - v0
        size = float(np.sqrt(du * du + dv * dv))
        if size > 1e-6:
            sign = turn / size
            edge = (v - v0) * (du * sign) - (u - u0) * (dv * sign)
            alpha = edge if alpha is None else np.minimum(alpha, edge)
    return box, clip01(alpha + 0.5)


def facade(canvas: Canvas, t: Thing, p: Plane, lit: np.ndarray) -> np.ndarray:
    """Colour float32[3, h, w] of a wall: plaster, framed windows, a ground floor, a cornice, lit rooms."""
    (pitch_x, pitch_y, share_x, share_y), _, _, shop, seed = t.style
    wall, _, trim, accent = t.colors
    near = canvas.focal > 2.5 * t.z  # pixels per metre: farther off, plaster, shops, cornices do not show
    base = _plaster(wall, p, near)
    bottom = 3.4 if shop else 0.9
    storeys = clip01((p.y - bottom) / p.dy) * clip01((t.height - 0.5 - p.y) / p.dy)
    a, y = p.a - pitch_x * (1.0 - share_x) * 0.5, p.y - bottom
    glass = pulses(a, p.da, pitch_x, share_x) * pulses(y, p.dy, pitch_y, share_y) * storeys
    if canvas.focal > 8.0 * t.z:  # farther off, frames are thinner than a pixel
        across = pulses(a + 0.14, p.da, pitch_x, min(1.0, share_x + 0.28 / pitch_x))
        frame = across * pulses(y + 0.14, p.dy, pitch_y, min(1.0, share_y + 0.28 / pitch_y))
        base = base + (frame * storeys) * (vector(trim) - base)
    room = _rooms(a * (1.0 / pitch_x), y * (1.0 / pitch_y), seed)
    pane = vector((0.16, 0.20, 0.25)) + (0.45 * room) * (canvas.fog - 0.1)
    if shop and near:
        window = band(p.y, p.dy, 0.5, 2.5) * pulses(p.a, p.da, 4.2, 0.84)
        awning = band(p.y, p.dy, 2.5, 3.2)
        base = base + awning * (vector(accent) - base)
        glass = np.maximum(glass, window)
    if near:
        cornice = band(p.y, p.dy, t.height - 0.45, t.height - 0.1)
        base = base + cornice * (vector(trim) * 0.9 - base)
    if not canvas.world.light.night:
        return (base + glass * (pane - base)) * lit
    lit = lit + LAMPLIGHT * (0.55 * clip01(1.0 - p.y * 0.09))
    on = glass * (room > (0.35 if shop and t.height < 4 else 0.56))
    return (base + glass * (pane - base)) * lit + on * vector((0.95, 0.72, 0.38)) * (0.5 + 0.7 * room)


def _plaster(wall, p, near):
    base = vector(wall) * (0.93 + 0.012 * np.minimum(p.y, 10.0))
    if not near:
        return base
    return base + (lookup(noise((64, 128, 256), 1), p.y * 9.0, p.a * 9.0) - 0.45) * (0.2 * vector(wall))


def _rooms(column, row, seed):
    """A number in about 0..1 for each window: how bright it mirrors, and whether it is lit at night."""
    number = np.floor(row).astype(np.int32) * 37 + np.floor(column).astype(np.int32) * 101 + seed * 7
    return noise((16,), 9, 16).ravel()[number & 255]

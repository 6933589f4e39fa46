"""Houses: a front across the view, a side wall along it, gables, roofs and the facade's windows."""

import numpy as np

from .canvas import LAMPLIGHT, vector
from .coverage import band, clip01, pulses, span
from .noise import lookup, noise
from .walls import facing, receding
from .world import BUILDING


def house(canvas, t):
    (_, roof, rise, _, _), sun = t.style, canvas.world.light.shadow
    x0, x1 = t.x - t.width / 2, t.x + t.width / 2
    camera_x = canvas.world.camera.x
    inner = x1 if x1 < camera_x else x0 if x0 > camera_x else None
    if inner is not None and t.length > 1.5:
        wall = receding(canvas, inner, t.z, t.z + t.length, 0.0, t.height)
        toward = inner == x1  # this wall's outside looks to +x
        lit = canvas.ambient * 0.88 + canvas.sun * (0.85 if toward == (sun[0] < 0) else 0.0)
        if roof == "gable":
            _roof_slope(canvas, t, inner, rise, lit)
        if wall is not None:
            canvas.paint(BUILDING, wall.box, wall.alpha, facade(canvas, t, wall, lit), wall.z)
    if t.z > 2.5:
        lit = canvas.ambient * 0.95 + canvas.sun * (0.75 if sun[1] > 0 else 0.05)
        if roof == "flat":
            front = facing(canvas, x0, x1, 0.0, t.height, t.z)
        else:
            front = facing(canvas, x0, x1, 0.0, t.height + rise, t.z)
            if front is not None:
                _gable(front, t, rise, stepped=roof == "stepped")
        if front is not None:
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
        tiles = lookup(
            noise((64, 128, 256), 1),
            np.arange(box[0], box[2])[:, None] * 3.0,
            np.arange(box[1], box[3])[None, :] * 1.0,
        )
        canvas.paint(
            BUILDING, box, alpha, vector(t.colors[1]) * (0.8 + 0.4 * tiles) * lit, z0 + 0.5 * t.length
        )


def _convex(canvas, points):
    """(box, alpha) of a convex polygon given by picture points, smooth edges."""
    us, vs = [p[0] for p in points], [p[1] for p in points]
    (r0, r1), (c0, c1) = span(min(vs), max(vs), canvas.rows), span(min(us), max(us), canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return None, None
    v, u = (
        np.arange(r0, r1, dtype=np.float32)[:, None] + np.float32(0.5),
        np.arange(c0, c1, dtype=np.float32)[None, :] + np.float32(0.5),
    )
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
    return (r0, c0, r1, c1), clip01(alpha + 0.5)


def facade(canvas, t, p, lit):
    """Colour float32[3, h, w] of a wall: plaster or brick, windows with frames, a ground floor, a cornice,
    lit rooms."""
    (pitch_x, pitch_y, share_x, share_y), _, _, shop, seed = t.style
    wall, _, trim, accent = t.colors
    light = canvas.world.light
    near = (
        canvas.focal > 2.5 * t.z
    )  # pixels per metre; farther off, plaster, shops and cornices no longer show
    base = vector(wall) * (0.93 + 0.012 * np.minimum(p.y, 10.0))
    if near:
        base = base + (lookup(noise((64, 128, 256), 1), p.y * 9.0, p.a * 9.0) - 0.45) * (0.2 * vector(wall))
    bottom = 3.4 if shop else 0.9
    storeys = clip01((p.y - bottom) / p.dy) * clip01((t.height - 0.5 - p.y) / p.dy)
    a, y = p.a - pitch_x * (1.0 - share_x) * 0.5, p.y - bottom
    glass_y = pulses(y, p.dy, pitch_y, share_y)
    glass = pulses(a, p.da, pitch_x, share_x) * glass_y * storeys
    if canvas.focal > 8.0 * t.z:  # farther off, frames are thinner than a pixel
        frame = pulses(a + 0.14, p.da, pitch_x, min(1.0, share_x + 0.28 / pitch_x)) * pulses(
            y + 0.14, p.dy, pitch_y, min(1.0, share_y + 0.28 / pitch_y)
        )
        base = base + (frame * storeys) * (vector(trim) - base)
    number = (
        np.floor(y * (1.0 / pitch_y)).astype(np.int32) * 37
        + np.floor(a * (1.0 / pitch_x)).astype(np.int32) * 101
        + seed * 7
    ) & 255
    room = noise((16,), 9, 16).ravel()[number]
    pane = vector((0.16, 0.20, 0.25)) + (0.45 * room) * (canvas.fog - 0.1)
    if shop and near:
        window = band(p.y, p.dy, 0.5, 2.5) * pulses(p.a, p.da, 4.2, 0.84)
        awning = band(p.y, p.dy, 2.5, 3.2)
        base = base + awning * (vector(accent) - base)
        glass = np.maximum(glass, window)
    if near:
        cornice = band(p.y, p.dy, t.height - 0.45, t.height - 0.1)
        base = base + cornice * (vector(trim) * 0.9 - base)
    if light.night:
        lit = lit + LAMPLIGHT * (0.55 * clip01(1.0 - p.y * 0.09))
    color = (base + glass * (pane - base)) * lit
    if light.night:
        on = glass * (room > (0.35 if shop and t.height < 4 else 0.56))
        color = color + on * vector((0.95, 0.72, 0.38)) * (0.5 + 0.7 * room)
    return color

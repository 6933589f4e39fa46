"""Shadows on the ground: cast by the sun, and the soft dark patches under whatever stands there."""

import numpy as np

from .canvas import Canvas
from .cards import sprite_of
from .coverage import band, clip01, span
from .sprites import ALPHA


def shadows(canvas: Canvas, x: np.ndarray, z: np.ndarray) -> None:
    """A ground point is dark where the sun's ray through it meets something's upright card or wall."""
    shift_x, shift_z = canvas.world.light.shadow
    for t in canvas.world.things:
        if t.kind == "house" and t.z < 120:
            _house_shadow(canvas.shade, t, x, z, shift_x, shift_z)
        elif t.kind in ("tree", "pedestrian", "bicyclist", "car", "sign", "pole") and t.z < 40:
            _card_shadow(canvas, t, x, z, shift_x, shift_z)


def _house_shadow(shade, t, x, z, shift_x, shift_z):
    wall = t.x - t.width / 2 if t.x > 0 else t.x + t.width / 2
    if (wall > 0) == (shift_x > 0):
        return  # the shadow falls away from the street
    up = (x - wall) * (1.0 / shift_x)
    along = z - up * shift_z
    shade[(up > 0) & (up < t.height) & (along > t.z) & (along < t.z + t.length)] = 0.0


def _card_shadow(canvas, t, x, z, shift_x, shift_z):
    far = t.z + t.height * shift_z
    near_z, far_z = max(1.0, min(t.z, far) - 0.1), max(t.z, far) + 0.1
    top = canvas.rows - canvas.shade.shape[0]
    if far <= 0.5 and t.z <= 0.5:
        return
    first, last = span(canvas.v(0.0, far_z), canvas.v(0.0, near_z) + 1, canvas.rows)
    first, last = max(0, first - top), last - top
    if last <= first:
        return
    rows = z[first:last]
    up = (rows - t.z) * (1.0 / shift_z)
    reach = abs(t.height * shift_x) + t.width
    left, right = span(
        min(canvas.u(t.x - reach, near_z), canvas.u(t.x - reach, far_z)),
        max(canvas.u(t.x + reach, near_z), canvas.u(t.x + reach, far_z)),
        canvas.columns,
    )
    if right <= left:
        return
    across = (x[first:last, left:right] - t.x - up * shift_x) * (1.0 / t.width) + 0.5
    up = (up - t.y) * (1.0 / t.height)
    part = canvas.shade[first:last, left:right]
    inside = (up > 0) & (up < 1) & (across > 0) & (across < 1)
    if t.kind == "pole":
        cover = band(across * t.width, rows / canvas.focal, 0.0, t.width) * clip01(up * 8.0) * (up < 1)
        np.minimum(part, 1.0 - cover, out=part)
        return
    if t.kind == "car":
        inside &= up < 0.9
        part[inside] = 0.0
        return
    alpha = sprite_of(t)[2][1][ALPHA]
    along = 1.0 - clip01(across) if t.flip else clip01(across)
    rows = ((1.0 - clip01(up)) * np.float32(alpha.shape[0] - 1)).astype(np.int32)
    columns = (along * np.float32(alpha.shape[1] - 1)).astype(np.int32)
    np.minimum(part, 1.0 - alpha[rows, columns] * 0.9, out=part, where=inside)


def contacts(canvas: Canvas, x: np.ndarray, z: np.ndarray) -> None:
    """Soft dark patches under cars, people and trees, kept apart because they also dim the sky's light."""
    canvas.dark = dark = np.ones(x.shape, np.float32)
    top = canvas.rows - dark.shape[0]
    for t in canvas.world.things:
        if t.kind not in ("car", "pedestrian", "bicyclist", "tree") or not 2.0 < t.z < 40.0:
            continue
        rx = t.width * (0.22 if t.kind == "tree" else 0.62)
        rz = max(t.length * 0.56, 0.35)
        middle = t.z + t.length / 2
        upper, lower = canvas.v(0.0, middle + 1.3 * rz), canvas.v(0.0, max(1.0, middle - 1.3 * rz)) + 1
        first, last = span(upper, lower, canvas.rows)
        first, last = max(0, first - top), last - top
        near = max(1.0, middle - rz)
        reach, wide = canvas.focal * 1.3 * rx / near, canvas.focal * rx / near
        near_u, far_u = canvas.u(t.x, near), canvas.u(t.x, middle + rz)
        left, right = min(near_u - reach, far_u - wide), max(near_u + reach, far_u + wide)
        left, right = span(left, right, canvas.columns)
        if last <= first or right <= left:
            continue
        dx, dz = (x[first:last, left:right] - t.x) * (1.0 / rx), (z[first:last] - middle) * (1.0 / rz)
        distance = dx * dx + dz * dz
        part = dark[first:last, left:right]
        np.minimum(part, clip01(0.35 + 0.6 * distance * distance), out=part)

"""The ground: pavement and yards, the road with its markings, puddles, pools of lamp light."""

from math import floor

import numpy as np

from .canvas import LAMPLIGHT, Canvas, vector
from .coverage import band, clip, clip01, grid, pulses
from .noise import lookup, noise, smooth
from .shadows import contacts, shadows
from .world import PAVEMENT, ROAD


def ground(canvas: Canvas) -> None:
    """Pavement everywhere below the horizon, the road over it; both lit by `canvas.shade`."""
    world = canvas.world
    top = max(0, floor(canvas.cy) + 1)
    box = (top, 0, canvas.rows, canvas.columns)
    rows, columns = grid(box)
    z = np.minimum(world.camera.height * canvas.focal / (rows + np.float32(0.5) - canvas.cy), 900.0)
    dx = z / canvas.focal  # metres that a pixel spans across and along the street
    dz = np.minimum(z * z / (world.camera.height * canvas.focal), 200.0)
    x = (columns + np.float32(0.5) - canvas.cx) * dx + world.camera.x
    canvas.shade = np.ones(x.shape, np.float32)
    if world.light.sun[0] > 0.3:
        shadows(canvas, x, z)
    contacts(canvas, x, z)
    canvas.pools = _lamp_pools(world, x, z)
    light = (canvas.ambient + canvas.sun * canvas.shade + canvas.pools * LAMPLIGHT) * canvas.dark
    fine = lookup(noise((64, 128, 256), 1), z * 24.0, x * 24.0) - 0.5
    coarse = smooth(noise(), z * 2.5 + float(world.light.drift[1]), x * 5.0) - 0.5
    near = 1.0 / (1.0 + dz * 4.0)
    pavement = _pavement(world.street, x, z, dx, dz, fine * near, coarse)
    canvas.paint(PAVEMENT, box, np.ones(x.shape, np.float32), pavement * light, z)
    cover, road = _road(world.street, x, z, dx, dz, fine * near, coarse)
    wet = world.light.rain
    if wet:
        mirror = canvas.color[:, clip(2 * top - 1 - np.arange(top, canvas.rows), 0, canvas.rows - 1), :]
        road = road + 0.35 * wet * (mirror - road) * clip01(coarse * 2.0 + 0.6)
    canvas.paint(ROAD, box, cover, road * light, z)


def _pavement(street, x, z, dx, dz, fine, coarse):
    side = abs(x)
    slabs = 1.0 - np.maximum(pulses(side - street.half, dx, 0.9, 0.06), pulses(z, dz, 0.9, 0.06)) * 0.28
    yard = clip01((side - street.half - street.pavement) / dx + 0.5)
    tone = slabs + (1.0 + 0.5 * coarse - slabs) * yard
    color = vector(street.slab) + (vector(street.yard) - vector(street.slab)) * yard
    kerb = band(side, dx, street.half, street.half + 0.22)
    return color * (tone + 0.22 * fine + 0.16 * coarse + 0.22 * kerb)


def _road(street, x, z, dx, dz, fine, coarse):
    """Coverage and colour of the asphalt with its markings."""
    cover = band(x, dx, -street.half, street.half)
    if street.junction:
        cover = np.maximum(cover, band(z, dz, *street.junction))
    tracks = band(abs(abs(x) - street.half * 0.48), dx, 0.55, 0.95)
    tone = 1.0 + 0.34 * fine + 0.26 * coarse - 0.07 * tracks
    gutter = band(abs(x), dx, street.half - 0.3, street.half)
    color = vector(street.asphalt) * (tone - 0.14 * gutter)
    worn = clip01(0.8 + 1.2 * coarse + 0.5 * fine)
    paint = _markings(street, x, z, dx, dz) * worn
    return cover, color + paint * (vector((0.84, 0.84, 0.8)) - color)


def _markings(street, x, z, dx, dz):
    """Coverage of the white paint: middle dashes, edges, a stop line before a junction, a zebra crossing."""
    dashes = band(abs(x), dx, 0.0, 0.09) * pulses(z, dz, street.dash * 2.5, 0.42)
    edges = band(abs(x), dx, street.half - 0.5, street.half - 0.36)
    paint = dashes + edges * 0.8
    if street.junction:
        start, end = street.junction
        stop_line = band(z, dz, start - 1.2, start - 0.7) * band(x, dx, -street.half + 0.4, street.half - 0.4)
        paint = paint * (1.0 - band(z, dz, start - 0.5, end + 0.5)) + stop_line
    if street.zebra:
        zebra = band(z, dz, street.zebra, street.zebra + 2.6)
        paint = np.maximum(paint * (1.0 - zebra), zebra * pulses(x, dx, 1.1, 0.5))
    return paint


def _lamp_pools(world, x, z):
    """Light of street lamps and of the own headlights on the ground at night."""
    if not world.light.night:
        return np.zeros(x.shape, np.float32)
    dx = (x - world.camera.x) / (1.5 + 0.25 * z)
    pool = 1.6 / (1.0 + dx * dx) / (1.0 + z * z * 0.006)
    for t in world.things:
        if t.kind == "pole" and t.style == "lamp":
            gx, gz = x - t.x + (1.0 if t.flip else -1.0), z - t.z
            pool = pool + 1.0 / (1.0 + (gx * gx + gz * gz) * 0.12)
    return pool

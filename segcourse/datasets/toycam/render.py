"""Rasterising a ToyCam world: layers from back to front, each with exact coverage as its alpha."""

from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from . import shapes
from . import world as w
from .shapes import ALPHA, FIXED, GLOW, noise, smooth

LAMPLIGHT = np.array((0.75, 0.62, 0.42), np.float32).reshape(3, 1, 1)


class Layer(NamedTuple):
    """One painted surface. `alpha` float32[h, w] fills `box` = (top, left, bottom, right); `depth` (metres)
    broadcasts to it."""

    class_id: int
    depth: np.ndarray
    box: tuple
    alpha: np.ndarray


@lru_cache(1024)
def _vector(color):
    """float32[3, 1, 1] of an RGB tuple; shared, so never changed in place."""
    return np.array(color, np.float32).reshape(3, 1, 1)


def _clip(values, low, high):
    return np.minimum(
        np.maximum(values, low), high
    )  # np.clip's wrapper costs more than the work on small arrays


def _clip01(values):
    return np.minimum(np.maximum(values, 0.0), 1.0)


def _span(low, high, limit):
    """Whole pixels touched by [low, high), cut to the picture."""
    return max(0, floor(low)), min(limit, ceil(high))


def _pulses(at, width, pitch, share):
    """Mean over [at - width/2, at + width/2] of a wave that is 1 in the first `share` of every `pitch`, exact
    box filter."""
    inverse, on = 1.0 / pitch, share
    high, low = (at + width * 0.5) * inverse, (at - width * 0.5) * inverse
    floor_high, floor_low = np.floor(high), np.floor(low)
    area = (floor_high - floor_low) * on + np.minimum(high - floor_high, on) - np.minimum(low - floor_low, on)
    return area / (high - low)


def _band(at, width, low, high):
    """Mean over the footprint of the indicator of [low, high]."""
    half = width * 0.5
    return _clip01((np.minimum(at + half, high) - np.maximum(at - half, low)) / width)


class Canvas:
    """The picture being painted: colour float32[3, H, W], labels uint8, depth float32, layers so far."""

    def __init__(self, world, size):
        self.world, (self.rows, self.columns) = world, size
        camera = world.camera
        self.focal = camera.focal * self.columns
        self.cx, self.cy = camera.centre * self.columns, camera.horizon * self.rows
        self.color = np.zeros((3, *size), np.float32)
        self.labels = np.zeros(size, np.uint8)
        self.depth = np.full(size, np.inf, np.float32)
        self.layers, self.lamps = [], []
        light = world.light
        self.sun, self.ambient, self.fog = _vector(light.sun), _vector(light.ambient), _vector(light.skyline)
        self.lit = self.sun + self.ambient
        # filled by ground(): sunlight, lamp light and contact shadows on the rows below the horizon
        self.shade = self.pools = self.dark = None
        self.cover = np.full(self.columns, float(self.rows))  # per column, the row from which houses hide all

    def clearness(self, z):
        """Share of an object's own colour that survives the haze at distance z."""
        thin = 1.0 / (1.0 + z / (2.0 * self.world.light.fog_distance))
        return thin * thin

    def u(self, x, z):
        return self.cx + self.focal * (x - self.world.camera.x) / z

    def v(self, y, z):
        return self.cy + self.focal * (self.world.camera.height - y) / z

    def paint(self, class_id, box, alpha, color, z, premultiplied=False):
        """Lay `color` float32[3, h, w] (broadcastable) over the picture and record the layer."""
        top, left, bottom, right = box
        part = self.color[:, top:bottom, left:right]
        clear = self.clearness(z)
        if premultiplied:
            part *= 1.0 - alpha
            part += color * clear + self.fog * (alpha * (1.0 - clear))
        else:
            part += alpha * (color * clear + self.fog * (1.0 - clear) - part)
        depth = np.asarray(z, np.float32)
        solid = alpha >= 0.5
        np.copyto(self.labels[top:bottom, left:right], np.uint8(class_id), where=solid)
        np.copyto(self.depth[top:bottom, left:right], depth, where=solid)
        self.layers.append(Layer(class_id, depth, box, alpha))

    def sunlight(self, x, z):
        """Light on something whose foot is at (x, z): the ground's shade there, softened."""
        row, column = floor(self.v(0.0, z)), floor(self.u(x, z))
        top = self.rows - self.shade.shape[0]
        if not (top <= row < self.rows and 0 <= column < self.columns):
            return self.lit
        shade, pool = float(self.shade[row - top, column]), float(self.pools[row - top, column])
        return self.ambient + self.sun * (0.25 + 0.75 * shade) + LAMPLIGHT * (0.7 * pool)


def _lookup(table, rows, columns):
    """Nearest entry of a tileable table at float coordinates."""
    size = table.shape[0] - 1
    return table[np.floor(rows).astype(np.int32) & size, np.floor(columns).astype(np.int32) & size]


# --- sky and ground -----------------------------------------------------------------------------------------
def sky(canvas):
    light = canvas.world.light
    rows = min(canvas.rows, int(canvas.cy) + 2)
    v = (np.arange(rows, dtype=np.float32) + np.float32(0.5))[:, None]
    u = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5))[None, :]
    up = np.maximum(canvas.cy - v, 0.0) / canvas.focal
    height = _clip01(up * 2.2)
    blend = height * (2.0 - height)
    color = canvas.fog + (_vector(light.zenith) - canvas.fog) * blend
    across = (u - canvas.cx) / canvas.focal
    far = 14.0 / (up + 0.09)
    cloud = smooth(noise(), far + float(light.drift[0]), across * far * 1.3 + float(light.drift[1]))
    cover = (
        _clip01((cloud - (0.78 - 0.5 * light.clouds)) * 5.0)
        * _clip01(up * 9.0 + 0.15)
        * (0.9 * min(1.0, light.clouds * 1.6))
    )
    tone = light.cloud_shade * (1.14 - 0.5 * cloud * cover)
    color = color + cover * (_vector((1.0, 0.98, 0.96)) * tone + 0.12 * canvas.fog - color)
    if light.shadow[1] < 0 and not light.night:
        color = color + _glow(across, up, light.shadow) * canvas.sun
    if light.night:
        stars = _lookup(
            noise((256,), 5),
            v * (128.0 / canvas.columns) * 2.0,
            u * (256.0 / canvas.columns) + float(light.drift[0]),
        )
        color = color + (stars > 0.993) * 0.5 * (1.0 - cover) * height
    canvas.color[:, :rows] = color
    box, alpha = (0, 0, rows, canvas.columns), np.ones((rows, canvas.columns), np.float32)
    canvas.layers.append(Layer(w.SKY, np.asarray(np.inf, np.float32), box, alpha))


def _glow(across, up, shadow):
    """The sun ahead: a disc and its halo where the shadows point back to."""
    dx, dy = across - shadow[0] / shadow[1], up - 1.0 / -shadow[1] * 0.35
    distance = dx * dx + dy * dy
    return 0.02 / (distance + 0.02) + 2.0 * (distance < 0.0012)


def ground(canvas):
    """Pavement everywhere below the horizon, the road over it; both lit by `canvas.shade`."""
    world, street = canvas.world, canvas.world.street
    top = max(0, floor(canvas.cy) + 1)
    v = (np.arange(top, canvas.rows, dtype=np.float32) + np.float32(0.5))[:, None]
    u = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5))[None, :]
    z = np.minimum(world.camera.height * canvas.focal / (v - canvas.cy), 900.0)
    dx = z / canvas.focal
    dz = np.minimum(z * z / (world.camera.height * canvas.focal), 200.0)
    x = (u - canvas.cx) * dx + world.camera.x
    canvas.shade = np.ones(x.shape, np.float32)
    if world.light.sun[0] > 0.3:
        shadows(canvas, x, z)
    contacts(canvas, x, z)
    canvas.pools = _lamp_pools(world, x, z)
    light = (canvas.ambient + canvas.sun * canvas.shade + canvas.pools * LAMPLIGHT) * canvas.dark
    fine = _lookup(noise((64, 128, 256), 1), z * 24.0, x * 24.0) - 0.5
    coarse = smooth(noise(), z * 2.5 + float(world.light.drift[1]), x * 5.0) - 0.5
    near = 1.0 / (1.0 + dz * 4.0)
    box = (top, 0, canvas.rows, canvas.columns)
    canvas.paint(
        w.PAVEMENT,
        box,
        np.ones(x.shape, np.float32),
        _pavement(street, x, z, dx, dz, fine * near, coarse) * light,
        z,
    )
    road, color = _road(world, x, z, dx, dz, fine * near, coarse)
    wet = world.light.rain
    if wet:
        mirror = canvas.color[:, _clip(2 * top - 1 - np.arange(top, canvas.rows), 0, canvas.rows - 1), :]
        color = color + 0.35 * wet * (mirror - color) * _clip01(coarse * 2.0 + 0.6)
    canvas.paint(w.ROAD, box, road, color * light, z)


def _pavement(street, x, z, dx, dz, fine, coarse):
    side = abs(x)
    slabs = 1.0 - np.maximum(_pulses(side - street.half, dx, 0.9, 0.06), _pulses(z, dz, 0.9, 0.06)) * 0.28
    yard = _clip01((side - street.half - street.pavement) / dx + 0.5)
    tone = slabs + (1.0 + 0.5 * coarse - slabs) * yard
    color = _vector(street.slab) + (_vector(street.yard) - _vector(street.slab)) * yard
    kerb = _band(side, dx, street.half, street.half + 0.22)
    return color * (tone + 0.22 * fine + 0.16 * coarse + 0.22 * kerb)


def _road(world, x, z, dx, dz, fine, coarse):
    """Coverage and colour of the asphalt with its markings."""
    street = world.street
    cover = _band(x, dx, -street.half, street.half)
    if street.junction:
        cover = np.maximum(cover, _band(z, dz, *street.junction))
    tracks = _band(abs(abs(x) - street.half * 0.48), dx, 0.55, 0.95)
    tone = 1.0 + 0.34 * fine + 0.26 * coarse - 0.07 * tracks
    gutter = _band(abs(x), dx, street.half - 0.3, street.half)
    color = _vector(street.asphalt) * (tone - 0.14 * gutter)
    dashes = _band(abs(x), dx, 0.0, 0.09) * _pulses(z, dz, street.dash * 2.5, 0.42)
    edges = _band(abs(x), dx, street.half - 0.5, street.half - 0.36)
    paint = dashes + edges * 0.8
    if street.junction:
        outside = 1.0 - _band(z, dz, street.junction[0] - 0.5, street.junction[1] + 0.5)
        paint = paint * outside + _band(z, dz, street.junction[0] - 1.2, street.junction[0] - 0.7) * _band(
            x, dx, -street.half + 0.4, street.half - 0.4
        )
    if street.zebra:
        stripes = _band(z, dz, street.zebra, street.zebra + 2.6) * _pulses(x, dx, 1.1, 0.5)
        paint = np.maximum(paint * (1.0 - _band(z, dz, street.zebra, street.zebra + 2.6)), stripes)
    worn = _clip01(0.8 + 1.2 * coarse + 0.5 * fine)
    return cover, color + (paint * worn) * (_vector((0.84, 0.84, 0.8)) - color)


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


def shadows(canvas, x, z):
    """Cast shadows: a ground point is dark where the sun's ray through it meets the object's upright card or
    wall."""
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
    first, last = _span(canvas.v(0.0, far_z), canvas.v(0.0, near_z) + 1, canvas.rows)
    first, last = max(0, first - top), last - top
    if last <= first:
        return
    rows = z[first:last]
    up = (rows - t.z) * (1.0 / shift_z)
    reach = abs(t.height * shift_x) + t.width
    left, right = _span(
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
        cover = _band(across * t.width, rows / canvas.focal, 0.0, t.width) * _clip01(up * 8.0) * (up < 1)
        np.minimum(part, 1.0 - cover, out=part)
        return
    if t.kind == "car":
        inside &= up < 0.9
        part[inside] = 0.0
        return
    alpha = _sprite(t)[2][1][ALPHA]
    rows = ((1.0 - _clip01(up)) * np.float32(alpha.shape[0] - 1)).astype(np.int32)
    columns = (
        (1.0 - _clip01(across) if t.flip else _clip01(across)) * np.float32(alpha.shape[1] - 1)
    ).astype(np.int32)
    np.minimum(part, 1.0 - alpha[rows, columns] * 0.9, out=part, where=inside)


def contacts(canvas, x, z):
    """Soft dark patches under cars, people and trees, kept apart because they also dim the sky's light."""
    canvas.dark = dark = np.ones(x.shape, np.float32)
    top = canvas.rows - dark.shape[0]
    for t in canvas.world.things:
        if t.kind not in ("car", "pedestrian", "bicyclist", "tree") or not 2.0 < t.z < 40.0:
            continue
        rx = t.width * {"tree": 0.22}.get(t.kind, 0.62)
        rz = max(t.length * 0.56, 0.35)
        middle = t.z + t.length / 2
        first, last = _span(
            canvas.v(0.0, middle + 1.3 * rz), canvas.v(0.0, max(1.0, middle - 1.3 * rz)) + 1, canvas.rows
        )
        near = max(1.0, middle - rz)
        left, right = _span(
            canvas.u(t.x, near) - canvas.focal * 1.3 * rx / near,
            canvas.u(t.x, near) + canvas.focal * 1.3 * rx / near,
            canvas.columns,
        )
        left = min(left, _span(canvas.u(t.x, middle + rz) - canvas.focal * rx / near, 0, 1)[0])
        right = max(right, _span(0, canvas.u(t.x, middle + rz) + canvas.focal * rx / near, canvas.columns)[1])
        first, last = max(0, first - top), last - top
        if last <= first or right <= left:
            continue
        dx, dz = (x[first:last, left:right] - t.x) * (1.0 / rx), (z[first:last] - middle) * (1.0 / rz)
        distance = dx * dx + dz * dz
        part = dark[first:last, left:right]
        np.minimum(part, _clip01(0.35 + 0.6 * distance * distance), out=part)


# --- things -------------------------------------------------------------------------------------------------
def _sprite(t):
    if t.kind == "tree":
        return shapes.tree(t.style)
    if t.kind == "pedestrian":
        return shapes.pedestrian(t.style)
    if t.kind == "bicyclist":
        return shapes.bicyclist(*t.style)
    return shapes.sign(t.style)


def card(canvas, class_id, t, sprite):
    """An upright picture facing the camera at (t.x, t.y, t.z)."""
    left, right = canvas.u(t.x - t.width / 2, t.z), canvas.u(t.x + t.width / 2, t.z)
    upper, lower = canvas.v(t.y + t.height, t.z), canvas.v(t.y, t.z)
    (r0, r1), (c0, c1) = _span(upper, lower, canvas.rows), _span(left, right, canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return
    used = 10 if canvas.world.light.night else 7  # the glow planes are for the night
    planes = _resample(sprite[2], used, (upper, lower, r0, r1), (left, right, c0, c1), t.flip)
    own = _painted(planes, t) * canvas.sunlight(t.x, t.z)
    if canvas.world.light.night:
        own = own + planes[GLOW] * 0.9
    canvas.paint(class_id, (r0, c0, r1, c1), planes[ALPHA], own, float(t.z), premultiplied=True)


def _painted(planes, t):
    """Sprite colours with the thing's own paints in the three slots."""
    own = planes[FIXED]
    for slot, paint in enumerate(np.array(t.colors, np.float32).reshape(-1, 3, 1, 1)):
        own = own + planes[4 + slot] * paint
    return own


def _resample(levels, used, vertical, horizontal, flip):
    """The first `used` sprite planes [used, h, w] on the pixel grid, from the level that is just larger than
    needed, bilinear."""
    need = vertical[1] - vertical[0]
    level = levels[0]
    for smaller in levels[1:]:
        if smaller.shape[1] - 2 < need:
            break
        level = smaller
    level = level[:used]
    for axis, (low, high, first, last) in ((1, vertical), (2, horizontal)):
        texels = level.shape[axis] - 2
        at = (np.arange(first, last, dtype=np.float64) + 0.5 - low) * (texels / (high - low)) + 0.5
        if flip and axis == 2:
            at = (texels + 1.0) - at
        at = _clip(at, 0.0, texels + 0.999)
        whole = at.astype(np.int64)
        part = (at - whole).astype(np.float32)
        near = level.take(whole, axis=axis)
        part = part[:, None] if axis == 1 else part
        level = near + (level.take(whole + 1, axis=axis) - near) * part
    return level


def tree(canvas, t):
    card(canvas, w.TREE, t, shapes.tree(t.style))


def pedestrian(canvas, t):
    card(canvas, w.PEDESTRIAN, t, shapes.pedestrian(t.style))


def bicyclist(canvas, t):
    card(canvas, w.BICYCLIST, t, shapes.bicyclist(*t.style))


def sign(canvas, t):
    card(canvas, w.SIGN, t, shapes.sign(t.style))


def _rectangle(canvas, x0, x1, y0, y1, z):
    """(box, alpha) of an upright rectangle facing the camera; thin ones are one whole pixel wide, on the
    pixel grid."""
    left, right = canvas.u(x0, z), canvas.u(x1, z)
    if right - left < 1.5:
        left = float(floor((left + right) * 0.5))
        right = left + 1.0
    upper, lower = canvas.v(y1, z), canvas.v(y0, z)
    if lower - upper < 1.0:
        upper = float(floor((upper + lower) * 0.5))
        lower = upper + 1.0
    (r0, r1), (c0, c1) = _span(upper, lower, canvas.rows), _span(left, right, canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return None, None
    rows, columns = np.arange(r0, r1, dtype=np.float32)[:, None], np.arange(c0, c1, dtype=np.float32)[None, :]
    alpha = _clip01(np.minimum(rows + 1.0, lower) - np.maximum(rows, upper)) * _clip01(
        np.minimum(columns + 1.0, right) - np.maximum(columns, left)
    )
    return (r0, c0, r1, c1), alpha


def pole(canvas, t):
    """A post; a lamp also has an arm towards the road and a head."""
    light, inward = canvas.sunlight(t.x, t.z) * _vector(t.colors[0]), -1.0 if t.flip else 1.0
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
            canvas.paint(w.POLE, box, alpha, light * across, float(t.z))
    if t.style == "lamp" and canvas.world.light.night:
        canvas.lamps.append(
            (canvas.u(t.x + inward * 1.45, t.z), canvas.v(t.height - 0.2, t.z), canvas.focal * 0.3 / t.z)
        )


def _uncovered(canvas, r0, r1, c0, c1):
    """The part of a pixel box that nearer houses leave open, or an empty box."""
    cover = canvas.cover[c0:c1]
    free = np.flatnonzero(cover > r0)
    if not len(free):
        return r0, r0, c0, c0
    return r0, min(r1, ceil(cover.max()) + 1), c0 + int(free[0]), c0 + int(free[-1]) + 1


class Plane:
    """The pixels of an upright wall and where they lie on it: `a` along, `y` up, the footprints `da`, `dy`,
    `z`."""

    def __init__(self, box, alpha, a, y, da, dy, z):
        self.box, self.alpha, self.a, self.y, self.da, self.dy, self.z = box, alpha, a, y, da, dy, z


def facing(canvas, x0, x1, y0, y1, z):
    """A wall across the view."""
    left, right, upper, lower = canvas.u(x0, z), canvas.u(x1, z), canvas.v(y1, z), canvas.v(y0, z)
    (r0, r1), (c0, c1) = _span(upper, lower, canvas.rows), _span(left, right, canvas.columns)
    r0, r1, c0, c1 = _uncovered(canvas, r0, r1, c0, c1)
    if r1 <= r0 or c1 <= c0:
        return None
    rows, columns = np.arange(r0, r1, dtype=np.float32)[:, None], np.arange(c0, c1, dtype=np.float32)[None, :]
    alpha = _clip01(np.minimum(rows + 1.0, lower) - np.maximum(rows, upper)) * _clip01(
        np.minimum(columns + 1.0, right) - np.maximum(columns, left)
    )
    step = z / canvas.focal
    a = (columns + 0.5 - left) * step
    y = y1 - (rows + 0.5 - upper) * step
    return Plane((r0, c0, r1, c1), alpha, a, y, step, step, z)


def receding(canvas, x, z0, z1, y0, y1):
    """A wall along the view at side x, from z0 to z1."""
    aside, z0 = x - canvas.world.camera.x, max(z0, 0.8)
    if abs(aside) < 0.05 or z1 <= z0:
        return None
    low, high = sorted((canvas.u(x, z0), canvas.u(x, z1)))
    ends = (low - 0.5, high + 0.5)  # half a pixel of overlap, so that no seam shows at a corner
    c0, c1 = _span(*ends, canvas.columns)
    upper_near, lower_near = canvas.v(y1, z0), canvas.v(y0, z0)
    r0, r1 = _span(min(upper_near, canvas.v(y1, z1)), max(lower_near, canvas.v(y0, z1)), canvas.rows)
    r0, r1, c0, c1 = _uncovered(canvas, r0, r1, c0, c1)
    if r1 <= r0 or c1 <= c0:
        return None
    rows, columns = np.arange(r0, r1, dtype=np.float32)[:, None], np.arange(c0, c1, dtype=np.float32)[None, :]
    inside = _clip01(np.minimum(columns + 1.0, ends[1]) - np.maximum(columns, ends[0]))
    middle = _clip(columns + 0.5, ends[0] + 0.01, max(ends[1] - 0.01, ends[0] + 0.01))
    z = _clip((canvas.focal * aside) / (middle - canvas.cx), z0, z1)
    step, camera = z / canvas.focal, canvas.world.camera.height
    upper, lower = canvas.cy + (camera - y1) / step, canvas.cy + (camera - y0) / step
    alpha = _clip01(np.minimum(rows + 1.0, lower) - np.maximum(rows, upper)) * inside
    y = camera - (rows + 0.5 - canvas.cy) * step
    return Plane((r0, c0, r1, c1), alpha, z - z0, y, z * step / abs(aside), step, z.astype(np.float32))


def _convex(canvas, points):
    """(box, alpha) of a convex polygon given by picture points, smooth edges."""
    us, vs = [p[0] for p in points], [p[1] for p in points]
    (r0, r1), (c0, c1) = _span(min(vs), max(vs), canvas.rows), _span(min(us), max(us), canvas.columns)
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
    return (r0, c0, r1, c1), _clip01(alpha + 0.5)


# --- houses and fences --------------------------------------------------------------------------------------
def visible(canvas):
    """(thing, cover) of the things not wholly behind nearer houses, far to near.

    `cover` float64[W]: in each column, everything from this row down is hidden by nearer houses.
    """
    top, seen = np.full(canvas.columns, float(canvas.rows)), []
    for t in reversed(canvas.world.things):
        z, reach = max(t.z, 1.0), 0.5 * t.width + 1.8 * (t.kind == "pole")
        ends = [canvas.u(x, d) for x in (t.x - reach, t.x + reach) for d in (z, t.z + t.length)]
        c0, c1 = _span(min(ends) - 1.0, max(ends) + 1.0, canvas.columns)
        highest = canvas.v(t.y + t.height + (t.style[2] + 0.6 if t.kind == "house" else 0.0), z)
        if c1 > c0 and t.kind == "house" and t.length > 1.5:
            rows = _silhouette(canvas, t, c0, c1)
            part = top[c0:c1]
            raised = 0.0 if t.style[1] == "flat" else (t.style[2] + 0.6) * canvas.focal / z
            if (part > np.maximum(rows - raised - 1.0, 0.0)).any():
                seen.append((t, top))
                whole = slice(max(0, ceil(min(ends)) - c0), max(0, floor(max(ends)) - c0))
                top = top.copy()
                top[c0:c1][whole] = np.minimum(part[whole], rows[whole] + 1.0)
        elif t.kind == "hills" or (
            c1 > c0 and highest < canvas.rows and (top[c0:c1] > max(highest, 0.0)).any()
        ):
            seen.append((t, top))
    return seen[::-1]


def _silhouette(canvas, t, c0, c1):
    """Row of a house's eaves in columns c0..c1-1: level along its front, a straight line along its inner
    wall."""
    z, far = max(t.z, 1.0), t.z + t.length
    inner = t.x - t.width / 2 if t.x > canvas.world.camera.x else t.x + t.width / 2
    near_v, far_v, near_u, far_u = (
        canvas.v(t.height, z),
        canvas.v(t.height, far),
        canvas.u(inner, z),
        canvas.u(inner, far),
    )
    slope = (far_v - near_v) / (far_u - near_u) if abs(far_u - near_u) > 0.01 else 0.0
    rows = near_v + (np.arange(c0, c1) + 0.5 - near_u) * slope
    return np.maximum(rows, near_v) if slope * (far_u - near_u) > 0 else rows


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
            canvas.paint(w.BUILDING, wall.box, wall.alpha, facade(canvas, t, wall, lit), wall.z)
    if t.z > 2.5:
        lit = canvas.ambient * 0.95 + canvas.sun * (0.75 if sun[1] > 0 else 0.05)
        if roof == "flat":
            front = facing(canvas, x0, x1, 0.0, t.height, t.z)
        else:
            front = facing(canvas, x0, x1, 0.0, t.height + rise, t.z)
            if front is not None:
                _gable(front, t, rise, stepped=roof == "stepped")
        if front is not None:
            canvas.paint(w.BUILDING, front.box, front.alpha, facade(canvas, t, front, lit), front.z)


def _gable(front, t, rise, stepped):
    slope = (t.width / 2 - abs(front.a - t.width / 2)) * (rise * 2.0 / t.width)
    if stepped:
        slope = np.floor(slope * 1.25) * 0.8 + 0.5
    front.alpha = front.alpha * _clip01((t.height + slope - front.y) / front.dy + 0.5)


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
        tiles = _lookup(
            noise((64, 128, 256), 1),
            np.arange(box[0], box[2])[:, None] * 3.0,
            np.arange(box[1], box[3])[None, :] * 1.0,
        )
        canvas.paint(
            w.BUILDING, box, alpha, _vector(t.colors[1]) * (0.8 + 0.4 * tiles) * lit, z0 + 0.5 * t.length
        )


def facade(canvas, t, p, lit):
    """Colour float32[3, h, w] of a wall: plaster or brick, windows with frames, a ground floor, a cornice,
    lit rooms."""
    (pitch_x, pitch_y, share_x, share_y), _, _, shop, seed = t.style
    wall, _, trim, accent = t.colors
    light = canvas.world.light
    near = (
        canvas.focal > 2.5 * t.z
    )  # pixels per metre; farther off, plaster, shops and cornices no longer show
    base = _vector(wall) * (0.93 + 0.012 * np.minimum(p.y, 10.0))
    if near:
        base = base + (_lookup(noise((64, 128, 256), 1), p.y * 9.0, p.a * 9.0) - 0.45) * (0.2 * _vector(wall))
    bottom = 3.4 if shop else 0.9
    storeys = _clip01((p.y - bottom) / p.dy) * _clip01((t.height - 0.5 - p.y) / p.dy)
    a, y = p.a - pitch_x * (1.0 - share_x) * 0.5, p.y - bottom
    glass_y = _pulses(y, p.dy, pitch_y, share_y)
    glass = _pulses(a, p.da, pitch_x, share_x) * glass_y * storeys
    if canvas.focal > 8.0 * t.z:  # farther off, frames are thinner than a pixel
        frame = _pulses(a + 0.14, p.da, pitch_x, min(1.0, share_x + 0.28 / pitch_x)) * _pulses(
            y + 0.14, p.dy, pitch_y, min(1.0, share_y + 0.28 / pitch_y)
        )
        base = base + (frame * storeys) * (_vector(trim) - base)
    number = (
        np.floor(y * (1.0 / pitch_y)).astype(np.int32) * 37
        + np.floor(a * (1.0 / pitch_x)).astype(np.int32) * 101
        + seed * 7
    ) & 255
    room = noise((16,), 9, 16).ravel()[number]
    pane = _vector((0.16, 0.20, 0.25)) + (0.45 * room) * (canvas.fog - 0.1)
    if shop and near:
        window = _band(p.y, p.dy, 0.5, 2.5) * _pulses(p.a, p.da, 4.2, 0.84)
        awning = _band(p.y, p.dy, 2.5, 3.2)
        base = base + awning * (_vector(accent) - base)
        glass = np.maximum(glass, window)
    if near:
        cornice = _band(p.y, p.dy, t.height - 0.45, t.height - 0.1)
        base = base + cornice * (_vector(trim) * 0.9 - base)
    if light.night:
        lit = lit + LAMPLIGHT * (0.55 * _clip01(1.0 - p.y * 0.09))
    color = (base + glass * (pane - base)) * lit
    if light.night:
        on = glass * (room > (0.35 if shop and t.height < 4 else 0.56))
        color = color + on * _vector((0.95, 0.72, 0.38)) * (0.5 + 0.7 * room)
    return color


def fence(canvas, t):
    p = receding(canvas, t.x, t.z, t.z + t.length, 0.0, t.height)
    if p is None:
        return
    a = p.a + t.z
    if t.style == "picket":
        cover = np.maximum(
            _pulses(a, p.da, 0.34, 0.62),
            np.maximum(_band(p.y, p.dy, 0.2, 0.34), _band(p.y, p.dy, t.height - 0.4, t.height - 0.26)),
        )
        tone = 0.9 + 0.1 * cover
    elif t.style == "rails":
        cover = np.maximum(_pulses(p.y - 0.1, p.dy, t.height * 0.33, 0.55), _pulses(a, p.da, 2.5, 0.064))
        tone = 0.85 + 0.3 * _pulses(p.y - 0.1, p.dy, t.height * 0.33, 0.2)
    elif t.style == "boards":
        cover = np.float32(1.0)
        tone = 1.0 - 0.4 * _pulses(a, p.da, 0.3, 0.12) - 0.2 * _band(p.y, p.dy, t.height - 0.12, t.height)
    else:
        cover = np.float32(1.0)
        rows = np.floor(p.y * 5.0)
        tone = (
            1.0
            - 0.3 * np.maximum(_pulses(p.y, p.dy, 0.2, 0.14), _pulses(a + 0.2 * rows, p.da, 0.4, 0.08))
            + 0.2 * _band(p.y, p.dy, t.height - 0.12, t.height)
        )
    post = _pulses(a, p.da, 2.5, 0.064)
    rough = _lookup(noise((64, 128, 256), 1), p.y * 14.0, a * 14.0)
    color = (
        _vector(t.colors[0])
        * ((tone - 0.12 * post) * (0.86 + 0.28 * rough))
        * canvas.sunlight(t.x, t.z + 0.5 * t.length)
    )
    canvas.paint(w.FENCE, p.box, p.alpha * np.maximum(cover, post), color, p.z)


def hedge(canvas, t):
    p = receding(canvas, t.x, t.z, t.z + t.length, 0.0, t.height)
    if p is None:
        return
    leaf = _lookup(noise((32, 64, 128, 256), 3), p.y * 22.0, (p.a + t.z) * 22.0)
    ragged = _clip01((t.height - 0.25 * _lookup(noise(), 3.0 + 0.0 * p.a, (p.a + t.z) * 12.0) - p.y) / p.dy)
    color = (
        _vector(t.colors[1])
        * (0.35 + 0.9 * leaf * (0.6 + 0.4 * _clip01(p.y / t.height)))
        * canvas.sunlight(t.x, t.z)
    )
    canvas.paint(w.TREE, p.box, p.alpha * ragged, color, p.z)


def hills(canvas, t):
    """The far wooded ridge along the horizon."""
    r0, r1 = _span(canvas.v(t.height * 1.6, t.z), canvas.cy + 1.5, canvas.rows)
    columns = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5) - canvas.cx) * (
        1.0 / canvas.focal
    )
    ridge = smooth(noise(), np.full(columns.shape, float(t.style), np.float32), columns * 160.0 + 128.0)
    top = canvas.cy - (ridge * (1.4 * t.height) - canvas.world.camera.height) * (canvas.focal / t.z)
    rows = np.arange(r0, r1, dtype=np.float32)[:, None]
    alpha = _clip01(rows + 1.0 - top[None, :])
    leaf = _lookup(noise((64, 128, 256), 1), rows * 5.0, columns[None, :] * 900.0)
    canvas.paint(
        w.TREE,
        (r0, 0, r1, canvas.columns),
        alpha,
        _vector(t.colors[0]) * (0.6 + 0.5 * leaf) * canvas.lit,
        t.z * 0.25,
    )


# --- cars ---------------------------------------------------------------------------------------------------
def car(canvas, t):
    """End view on the near side of a box, and its flank as a picture on the receding side wall."""
    kind, view = t.style
    if view in ("left", "right"):
        card(canvas, w.CAR, t, shapes.car_side(kind))
        return
    camera_x = canvas.world.camera.x
    x0, x1 = t.x - t.width / 2, t.x + t.width / 2
    inner = x1 if x1 < camera_x else x0 if x0 > camera_x else None
    if inner is not None and canvas.focal > 2.5 * t.z:
        p = receding(canvas, inner, t.z, t.z + t.length, 0.0, t.height)
        if p is not None:
            _flank(canvas, t, p, shapes.car_side(kind), forward=view == "back")
    card(canvas, w.CAR, t, shapes.car_end(kind, view == "back"))


def _flank(canvas, t, p, sprite, forward):
    """The side sprite projected on plane `p`; cars that drive away have their nose at the far end."""
    used, need = 10 if canvas.world.light.night else 7, p.box[2] - p.box[0]
    level = sprite[2][0]
    for smaller in sprite[2][1:]:
        if smaller.shape[1] - 2 < need or smaller.shape[2] - 2 < 2 * (p.box[3] - p.box[1]):
            break
        level = smaller
    along = p.a * (1.0 / t.length)
    rows = (1.0 - p.y * (1.0 / t.height)) * (level.shape[1] - 2.0) + 1.0
    columns = ((1.0 - along) if forward else along) * (level.shape[2] - 2.0) + 1.0
    rows = _clip(rows, 0.0, level.shape[1] - 1.0).astype(np.int32)
    columns = _clip(columns, 0.0, level.shape[2] - 1.0).astype(np.int32)
    planes = level[:used, rows, columns]
    own = _painted(planes, t)
    inward = (t.x < canvas.world.camera.x) == (canvas.world.light.shadow[0] < 0)
    own = own * canvas.sunlight(t.x, t.z + 0.5 * t.length) * (1.0 if inward else 0.72)
    canvas.paint(
        w.CAR, p.box, planes[ALPHA] * (p.alpha > 0.5), own * (p.alpha > 0.5), p.z, premultiplied=True
    )


PAINTERS = {f.__name__: f for f in (house, fence, hedge, hills, tree, pedestrian, bicyclist, sign, pole, car)}


# --- the lens -----------------------------------------------------------------------------------------------
def _rain(canvas, draws):
    rows, columns = np.arange(canvas.rows)[:, None], np.arange(canvas.columns)[None, :]
    shift, slant = draws.whole(0, 255), draws.whole(2, 5)
    streaks = noise((256,), 7)[
        (rows // (3 + canvas.rows // 48) + columns * 7) & 255, (columns * slant + rows + shift) & 255
    ]
    canvas.color += (
        (0.16 * canvas.world.light.rain)
        * _clip01((streaks - 0.86) * 6.0)
        * (_vector((0.9, 0.92, 0.95)) - canvas.color)
    )


def _lamp_glows(canvas):
    for u, v, size in canvas.lamps:
        reach = 9.0 * size + 3.0
        (r0, r1), (c0, c1) = (
            _span(v - reach, v + reach, canvas.rows),
            _span(u - reach, u + reach, canvas.columns),
        )
        if r1 > r0 and c1 > c0:
            dy, dx = (
                np.arange(r0, r1, dtype=np.float32)[:, None] + np.float32(0.5 - v),
                np.arange(c0, c1, dtype=np.float32)[None, :] + np.float32(0.5 - u),
            )
            near = dx * dx + dy * dy
            inner = size * size * 0.5 + 0.2
            canvas.color[:, r0:r1, c0:c1] += _vector((1.0, 0.85, 0.55)) * (
                inner * 2.0 / (near + inner) * _clip01(1.3 - near / (reach * reach) * 1.3)
            )


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
    picture = canvas.color * (_vector(canvas.world.light.cast) * vignette)
    count = 3 * canvas.rows * canvas.columns
    grain = draws.bytes(2 * count).reshape(2, 3, canvas.rows, canvas.columns).astype(np.float32)
    picture += (grain[0] + grain[1] - 255.0) * np.float32(canvas.world.light.noise / 104.0)
    return np.ascontiguousarray(_clip(picture + 0.5, 0.0, 255.0).astype(np.uint8).transpose(1, 2, 0))


def rasterise(world, size, draws):
    """The canvas of a world with its finished picture: (canvas, uint8[H, W, 3])."""
    canvas = Canvas(world, size)
    sky(canvas)
    ground(canvas)
    for t, cover in visible(canvas):
        canvas.cover = cover
        PAINTERS[t.kind](canvas, t)
    return canvas, develop(canvas, draws)

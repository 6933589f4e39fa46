"""Sprites and noise of the ToyCam world: drawn once per process, sampled ever after.

A sprite is a stack of planes [10, h, w] in which everything is premultiplied by coverage: alpha, a fixed
colour (3), three paint slots (how much of paint 1, 2, 3 shows), and a glow colour (3) that shines at night.
It is stored with its half, quarter, ... sizes, each framed by one transparent pixel, so that any scale is one
bilinear lookup.
"""

from functools import cache

import numpy as np

ROWS = 256  # a sketch is drawn hard-edged at this height and halved once for smooth edges
ALPHA, FIXED, PAINT, GLOW = 0, slice(1, 4), slice(4, 7), slice(7, 10)


class Draws:
    """Uniform numbers of one (stream, key) pair, from raw Philox words so that every NumPy draws the same."""

    def __init__(self, stream, key):
        self._bits = np.random.Philox(key=np.array([stream, key], np.uint64))
        self._pool = []

    def __call__(self, low=0.0, high=1.0):
        """The next number, a Python float in [low, high)."""
        if not self._pool:
            self._pool = uniforms(self._bits.random_raw(1024)).tolist()[::-1]
        return low + (high - low) * self._pool.pop()

    def chance(self, probability):
        return self() < probability

    def pick(self, options):
        return options[int(self() * len(options))]

    def whole(self, low, high):
        """An integer in low..high, both included."""
        return low + int(self() * (high - low + 1))

    def bytes(self, count):
        """uint8[count], for noise."""
        words = self._bits.random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count]


def uniforms(words):
    """float64 in [0, 1) from raw 64-bit words: the top 53 bits, scaled exactly."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


@cache
def noise(octaves=(4, 8, 16, 32, 64), key=0, size=256):
    """float32[size, size] tileable value noise in about 0..1; `octaves` are lattice sizes, coarse to fine."""
    total, weight, strength = np.zeros((size, size), np.float32), 0.0, 1.0
    for number, lattice in enumerate(octaves):
        bits = np.random.Philox(key=np.array([77 + key, number], np.uint64))
        grid = uniforms(bits.random_raw(lattice * lattice)).reshape(lattice, lattice).astype(np.float32)
        at = np.arange(size, dtype=np.float32) * np.float32(lattice / size)
        low = np.floor(at).astype(np.int64)
        part = at - low.astype(np.float32)
        part = part * part * (3.0 - 2.0 * part)
        high = (low + 1) % lattice
        rows = grid[low] + (grid[high] - grid[low]) * part[:, None]
        total += strength * (rows[:, low] + (rows[:, high] - rows[:, low]) * part)
        weight, strength = weight + strength, strength * 0.5
    return total / np.float32(weight)


def smooth(table, rows, columns):
    """Bilinear entry of a tileable table."""
    size = table.shape[0] - 1
    r, c = np.floor(rows), np.floor(columns)
    fr, fc = rows - r, columns - c
    r0, c0 = r.astype(np.int32) & size, c.astype(np.int32) & size
    r1, c1 = (r0 + 1) & size, (c0 + 1) & size
    upper = table[r0, c0] + (table[r0, c1] - table[r0, c0]) * fc
    lower = table[r1, c0] + (table[r1, c1] - table[r1, c0]) * fc
    return upper + (lower - upper) * fr


class Sketch:
    """A canvas of `width` x `height` metres (y upwards from the ground) that shapes are painted on, one over
    the other."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.scale = ROWS / height
        columns = max(4, int(width * self.scale / 4 + 0.5) * 4)
        self.x = ((np.arange(columns) + 0.5) * (width / columns)).astype(np.float32)[None, :]
        self.y = ((ROWS - 0.5 - np.arange(ROWS)) / self.scale).astype(np.float32)[:, None]
        self.planes = np.zeros((10, ROWS, columns), np.float32)

    def fill(self, mask, color=(0.0, 0.0, 0.0), paint=None, shade=1.0, glow=None, alpha=1.0):
        """Paint where `mask` is true: a fixed `color` or paint slot 0..2, times `shade` (number, array)."""
        mask = np.broadcast_to(mask, self.planes.shape[1:])
        values = [alpha, *(alpha * c * shade for c in (color if paint is None else (0.0, 0.0, 0.0)))]
        values += [alpha * shade if slot == paint else 0.0 for slot in range(3)]
        values += [alpha * c for c in (glow or (0.0, 0.0, 0.0))]
        for plane, value in zip(self.planes, values, strict=True):
            if isinstance(value, np.ndarray):
                value = np.broadcast_to(value, mask.shape)[mask]
            plane[mask] = value

    def ellipse(self, cx, cy, rx, ry=None):
        dx, dy = (self.x - cx) / rx, (self.y - cy) / (ry or rx)
        return dx * dx + dy * dy <= 1.0

    def box(self, x0, y0, x1, y1):
        return (self.x >= x0) & (self.x <= x1) & (self.y >= y0) & (self.y <= y1)

    def limb(self, x0, y0, x1, y1, r):
        """A thick line with round ends."""
        dx, dy = x1 - x0, y1 - y0
        along = ((self.x - x0) * dx + (self.y - y0) * dy) / (dx * dx + dy * dy + 1e-9)
        along = np.clip(along, 0.0, 1.0)
        px, py = self.x - x0 - along * dx, self.y - y0 - along * dy
        return px * px + py * py <= r * r

    def polygon(self, *points):
        """Any simple polygon, even-odd rule."""
        inside = np.zeros(self.planes.shape[1:], bool)
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            if y0 != y1:
                crosses = (self.y >= min(y0, y1)) & (self.y < max(y0, y1))
                inside ^= crosses & (self.x < x0 + (self.y - y0) * ((x1 - x0) / (y1 - y0)))
        return inside

    def blob(self, cx, cy, r, paint, shade):
        """A small filled disc, touching only its own corner of the canvas (tree crowns take hundreds)."""
        k, rows, columns = self.scale, self.planes.shape[1], self.planes.shape[2]
        top, bottom = max(0, int(rows - (cy + r) * k)), min(rows, int(rows - (cy - r) * k) + 2)
        left, right = max(0, int((cx - r) * k)), min(columns, int((cx + r) * k) + 2)
        dx, dy = self.x[:, left:right] - cx, self.y[top:bottom] - cy
        mask = dx * dx + dy * dy <= r * r
        part = self.planes[:, top:bottom, left:right]
        part[:, mask] = 0.0
        part[ALPHA][mask] = 1.0
        part[4 + paint][mask] = shade

    def finish(self):
        """The sprite: (width in metres, height in metres, its planes at full, half, quarter, ... size)."""
        levels, planes = [], self.planes
        while min(planes.shape[1:]) >= 4 and planes.shape[1] > 4:
            rows, columns = planes.shape[1] // 2 * 2, planes.shape[2] // 2 * 2
            p = planes[:, :rows, :columns]
            planes = (p[:, ::2, ::2] + p[:, 1::2, ::2] + p[:, ::2, 1::2] + p[:, 1::2, 1::2]) * np.float32(
                0.25
            )
            levels.append(np.ascontiguousarray(np.pad(planes, ((0, 0), (1, 1), (1, 1)))))
        return self.width, self.height, levels


# --- cars: (length, width, height, waist, hood end, windscreen top, roof end, tail top) in metres -----------
CARS = {
    "hatch": (3.9, 1.75, 1.48, 0.92, 0.95, 1.65, 3.2, 3.8),
    "sedan": (4.6, 1.80, 1.44, 0.92, 1.25, 2.0, 3.2, 3.85),
    "van": (5.0, 1.95, 2.15, 1.12, 0.55, 1.25, 4.85, 4.95),
    "truck": (7.0, 2.30, 3.00, 1.35, 0.10, 0.35, 6.85, 6.95),
    "bus": (9.5, 2.45, 3.05, 1.30, 0.05, 0.15, 9.3, 9.4),
}
GLASS, TYRE, HUB = (0.13, 0.17, 0.22), (0.06, 0.06, 0.07), (0.55, 0.56, 0.58)


@cache
def car_side(kind):
    length, _, height, waist, hood, screen, roof, tail = CARS[kind]
    s = Sketch(length, height)
    top = height - 0.04
    shade = np.clip(0.62 + 0.42 * s.y / waist, 0.0, 1.06) + 0.12 * (abs(s.y - waist + 0.12) < 0.05)
    s.fill(
        s.polygon(
            (0.03, 0.22),
            (0.02, waist - 0.25),
            (0.12, waist - 0.12),
            (hood, waist),
            (screen, top),
            (roof, top),
            (tail, waist),
            (length - 0.03, waist - 0.06),
            (length - 0.02, 0.25),
        ),
        paint=0,
        shade=shade,
    )
    sill = waist + 0.05
    if kind != "truck":
        slope = GLASS if kind != "bus" else (0.16, 0.2, 0.24)
        window = s.polygon(
            (hood + 0.22, sill), (screen + 0.1, top - 0.1), (roof - 0.12, top - 0.1), (tail - 0.3, sill)
        )
        s.fill(window, slope, shade=0.8 + 0.9 * (s.y - sill) / (top - sill), glow=(0.1, 0.09, 0.06))
        step = 1.15 if kind == "bus" else 1.05
        for pillar in np.arange(screen + step, roof - 0.3, step).tolist():
            s.fill(s.box(pillar, sill, pillar + 0.08, top - 0.1), paint=0, shade=0.8)
            s.fill(s.box(pillar - 0.02, 0.3, pillar + 0.01, sill), paint=0, shade=0.55)
    else:
        s.fill(s.polygon((0.5, 1.5), (0.55, 2.1), (1.3, 2.1), (1.3, 1.5)), GLASS)
        s.fill(s.box(1.6, 0.9, length - 0.05, top), paint=1, shade=0.9 + 0.1 * (abs(s.y - 2.2) < 0.25))
    s.fill(s.box(0.1, 0.2, length - 0.1, 0.3), (0.1, 0.1, 0.1))
    s.fill(s.box(0.03, waist - 0.28, 0.22, waist - 0.15), (0.9, 0.9, 0.82), glow=(1.0, 0.95, 0.75))
    s.fill(
        s.box(length - 0.2, waist - 0.25, length - 0.03, waist - 0.1),
        (0.6, 0.08, 0.06),
        glow=(1.0, 0.1, 0.05),
    )
    radius = 0.31 if length < 5.5 else 0.45
    for cx in (length * 0.19 + 0.03, length * 0.81 - 0.06):
        s.fill(s.ellipse(cx, radius, radius + 0.07) & (s.y > 0.22), (0.05, 0.05, 0.05))
        s.fill(s.ellipse(cx, radius, radius), TYRE)
        s.fill(s.ellipse(cx, radius, radius * 0.62), HUB, shade=0.75 + 0.5 * s.y)
        s.fill(s.ellipse(cx, radius, radius * 0.25), (0.2, 0.2, 0.2))
    return s.finish()


@cache
def car_end(kind, back):
    _, width, height, waist, *_ = CARS[kind]
    s, tall = Sketch(width, height), height > 1.9
    top, w, inset = height - 0.03, width, 0.06 if height > 1.9 else 0.24
    for x0 in (0.1, w - 0.36):
        s.fill(s.box(x0, 0.0, x0 + 0.26, 0.5), TYRE)
    shade = np.clip(0.55 + 0.45 * s.y / waist, 0.0, 1.02) - 0.25 * abs(s.x - w / 2) / w
    s.fill(
        s.polygon(
            (0.06, 0.24),
            (0.02, 0.5),
            (0.04, waist - 0.05),
            (0.12, waist + 0.02),
            (w - 0.12, waist + 0.02),
            (w - 0.04, waist - 0.05),
            (w - 0.02, 0.5),
            (w - 0.06, 0.24),
        ),
        paint=0,
        shade=shade,
    )
    cabin = s.polygon(
        (0.1, waist),
        (inset + 0.04, top - 0.1),
        (inset + 0.14, top),
        (w - inset - 0.14, top),
        (w - inset - 0.04, top - 0.1),
        (w - 0.1, waist),
    )
    s.fill(cabin, paint=1 if kind == "truck" else 0, shade=0.98)
    if not (kind == "truck" and back):
        low, high = waist + 0.05, top - (0.45 if tall else 0.1)
        glass = s.polygon((0.22, low), (inset + 0.12, high), (w - inset - 0.12, high), (w - 0.22, low))
        gleam = (
            0.7 + 1.1 * (s.y - low) / (high - low) + 0.7 * (abs(s.x - 0.45 * w - (s.y - low) * 0.4) < 0.07)
        )
        s.fill(glass, GLASS, shade=gleam, glow=(0.06, 0.055, 0.04))
        if not tall:
            for cx in (0.32 * w, 0.68 * w):  # head rests
                s.fill(s.ellipse(cx, low + 0.1, 0.11, 0.14) & glass, (0.07, 0.07, 0.08))
    s.fill(s.box(0.08, 0.24, w - 0.08, 0.36), (0.13, 0.13, 0.14))
    s.fill(s.box(w / 2 - 0.26, 0.42, w / 2 + 0.26, 0.54), (0.85, 0.85, 0.75))
    for x0 in (0.08, w - 0.4):
        if back:
            s.fill(
                s.box(x0, waist - 0.32, x0 + 0.32, waist - 0.12), (0.7, 0.08, 0.06), glow=(1.5, 0.12, 0.06)
            )
        else:
            s.fill(s.ellipse(x0 + 0.16, waist - 0.27, 0.17, 0.1), (0.95, 0.95, 0.9), glow=(2.2, 2.0, 1.5))
    if not back:
        s.fill(s.box(0.5, waist - 0.34, w - 0.5, waist - 0.2), (0.1, 0.1, 0.11))
    return s.finish()


# --- people: paint 0 = shirt, 1 = trousers, 2 = skin --------------------------------------------------------
@cache
def pedestrian(variant):
    s = Sketch(0.92, 1.8)
    spread, skirt, bag, hat = (
        (0.24, 0.1, 0.18, 0.05, 0.3, 0.12)[variant],
        variant in (1, 5),
        variant in (2, 4),
        variant == 3,
    )
    light, middle = 1.12 - 0.45 * s.x / 0.92, 0.46
    for side, dark in ((1, 0.72), (-1, 1.0)):  # the far leg and arm first, darker
        foot = middle + side * spread
        s.fill(
            s.limb(middle + side * 0.05, 0.86, middle + side * (0.06 + spread * 0.5), 0.45, 0.085),
            paint=2 if skirt else 1,
            shade=light * dark,
        )
        s.fill(
            s.limb(middle + side * (0.06 + spread * 0.5), 0.45, foot, 0.09, 0.07),
            paint=2 if skirt else 1,
            shade=light * dark,
        )
        s.fill(s.limb(foot - 0.02, 0.05, foot + 0.08, 0.045, 0.045), (0.1, 0.08, 0.07))
        s.fill(
            s.limb(middle + side * 0.14, 1.38, middle + side * (0.2 + spread * 0.4), 0.98, 0.06),
            paint=0,
            shade=light * dark * 0.85,
        )
        s.fill(s.ellipse(middle + side * (0.2 + spread * 0.4), 0.92, 0.05), paint=2, shade=light)
    if skirt:
        s.fill(
            s.polygon(
                (middle - 0.14, 1.0), (middle + 0.14, 1.0), (middle + 0.25, 0.52), (middle - 0.25, 0.52)
            ),
            paint=1,
            shade=light,
        )
    s.fill(s.limb(middle, 1.33, middle, 0.98, 0.155), paint=0, shade=light)
    s.fill(s.box(middle - 0.15, 0.8, middle + 0.15, 0.95), paint=1, shade=light)
    if bag:
        s.fill(s.limb(middle - 0.2, 1.3, middle - 0.2, 1.02, 0.1), (0.3, 0.12, 0.1), shade=light)
    s.fill(s.box(middle - 0.05, 1.4, middle + 0.05, 1.55), paint=2, shade=light * 0.85)
    s.fill(s.ellipse(middle, 1.64, 0.115, 0.14), paint=2, shade=light)
    hair = (0.12, 0.08, 0.05) if variant % 2 else (0.4, 0.28, 0.14)
    s.fill(
        s.ellipse(middle - 0.015, 1.7, 0.125, 0.1) & (s.y > 1.66 - 0.5 * (s.x < middle - 0.04)),
        hair,
        shade=light,
    )
    if hat:
        s.fill(
            s.limb(middle - 0.17, 1.71, middle + 0.17, 1.71, 0.03)
            | (s.ellipse(middle, 1.72, 0.12, 0.08) & (s.y > 1.7)),
            (0.35, 0.1, 0.1),
        )
    return s.finish()


def _wheel(s, cx, r):
    s.fill(s.ellipse(cx, r, r), TYRE)
    s.fill(s.ellipse(cx, r, r - 0.06), (0.45, 0.45, 0.46), alpha=0.55)  # spokes, seen through
    for dx, dy in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)):
        s.fill(
            s.limb(
                cx - dx * (r - 0.03), r - dy * (r - 0.03), cx + dx * (r - 0.03), r + dy * (r - 0.03), 0.009
            ),
            (0.3, 0.3, 0.3),
        )
    s.fill(s.ellipse(cx, r, 0.05), (0.2, 0.2, 0.2))


def _rider_head(s, x, y, helmet, light):
    s.fill(s.ellipse(x, y, 0.11, 0.135), paint=2, shade=light)
    cap = (0.85, 0.85, 0.8) if helmet else (0.14, 0.09, 0.06)
    s.fill(s.ellipse(x, y + 0.05, 0.13, 0.11) & (s.y > y + 0.02), cap, shade=light)


@cache
def bicyclist(view, variant):
    """`view` is "side" (riding to the left), "front" or "back"."""
    helmet = variant % 2 == 0
    if view == "side":
        s = Sketch(1.85, 1.75)
        light = 1.1 - 0.35 * s.x / 1.85
        _wheel(s, 0.38, 0.35), _wheel(s, 1.45, 0.35)
        frame = (0.12, 0.12, 0.14) if helmet else (0.65, 0.12, 0.1)
        s.fill(s.limb(1.1, 0.92, 0.93, 0.33, 0.065), paint=1, shade=light * 0.65)
        for line in (
            (0.38, 0.35, 0.55, 0.92),
            (0.52, 0.8, 1.15, 0.8),
            (0.52, 0.75, 0.95, 0.32),
            (0.95, 0.32, 1.18, 0.88),
            (0.95, 0.32, 1.45, 0.35),
            (1.16, 0.8, 1.45, 0.35),
        ):
            s.fill(s.limb(*line, 0.032), frame)
        s.fill(s.limb(0.42, 1.0, 0.56, 0.94, 0.035), (0.08, 0.08, 0.08))
        s.fill(s.limb(1.08, 0.93, 1.3, 0.94, 0.05), (0.08, 0.08, 0.08))
        s.fill(s.limb(1.15, 0.97, 0.84, 0.7, 0.085), paint=1, shade=light)
        s.fill(s.limb(0.84, 0.7, 0.98, 0.3, 0.065), paint=1, shade=light)
        s.fill(s.limb(0.92, 0.24, 1.02, 0.24, 0.04), (0.1, 0.08, 0.07))
        s.fill(s.limb(1.14, 1.02, 0.93, 1.36, 0.15), paint=0, shade=light)
        s.fill(
            s.limb(0.9, 1.36, 0.68, 1.12, 0.055) | s.limb(0.68, 1.12, 0.5, 1.02, 0.045),
            paint=0,
            shade=light * 0.85,
        )
        _rider_head(s, 0.85, 1.57, helmet, light)
        return s.finish()
    s = Sketch(0.8, 1.78)
    light = 1.1 - 0.4 * s.x / 0.8
    s.fill(s.limb(0.4, 0.06, 0.4, 0.64, 0.05), TYRE)
    s.fill(s.limb(0.27, 0.85, 0.22, 0.3, 0.075) | s.limb(0.53, 0.85, 0.58, 0.45, 0.075), paint=1, shade=light)
    s.fill(s.limb(0.2, 0.25, 0.24, 0.25, 0.05) | s.limb(0.56, 0.4, 0.6, 0.4, 0.05), (0.1, 0.08, 0.07))
    s.fill(s.limb(0.12, 1.02, 0.68, 1.02, 0.025), (0.12, 0.12, 0.13))
    s.fill(s.limb(0.4, 1.32, 0.4, 0.95, 0.18), paint=0, shade=light)
    for side in (-1, 1):
        s.fill(s.limb(0.4 + side * 0.19, 1.36, 0.4 + side * 0.26, 1.05, 0.055), paint=0, shade=light * 0.85)
    lamp = (0.8, 0.1, 0.08) if view == "back" else (0.95, 0.95, 0.85)
    s.fill(s.ellipse(0.4, 0.78, 0.05), lamp, glow=(1.6, 0.2, 0.1) if view == "back" else (1.8, 1.7, 1.3))
    _rider_head(s, 0.4, 1.6, helmet or view == "back", light)
    return s.finish()


# --- signs: whole faces of about one metre ------------------------------------------------------------------
WHITE, RED, BLUE, BLACK = (0.92, 0.92, 0.9), (0.75, 0.09, 0.1), (0.1, 0.25, 0.62), (0.08, 0.08, 0.08)
SIGNS = (
    "ban",
    "limit",
    "must",
    "yield",
    "warn",
    "park",
    "stop",
    "diamond",
    "route",
    "lights_red",
    "lights_green",
)


def _arrow(s, color):
    s.fill(s.limb(0.5, 0.25, 0.5, 0.6, 0.06) | s.polygon((0.3, 0.55), (0.7, 0.55), (0.5, 0.82)), color)


@cache
def sign(kind):
    if kind.startswith("lights"):
        return _traffic_lights(kind.endswith("red"))
    s = Sketch(1.7 if kind == "route" else 1.0, 1.0)
    if kind in ("ban", "limit", "must"):
        s.fill(s.ellipse(0.5, 0.5, 0.49), BLUE if kind == "must" else RED)
        if kind == "must":
            _arrow(s, WHITE)
        else:
            s.fill(s.ellipse(0.5, 0.5, 0.34) if kind == "limit" else s.box(0.17, 0.4, 0.83, 0.6), WHITE)
        if kind == "limit":
            s.fill(s.box(0.34, 0.35, 0.46, 0.65) | (s.ellipse(0.6, 0.5, 0.11, 0.16)), BLACK)
    elif kind in ("yield", "warn"):
        flip = 1.0 if kind == "warn" else -1.0
        for grow, color in ((0.49, RED), (0.3, WHITE)):
            s.fill(
                s.polygon(
                    (0.5, 0.5 + flip * grow * 0.95 - flip * 0.04),
                    (0.5 - grow, 0.5 - flip * grow * 0.72 - flip * 0.04),
                    (0.5 + grow, 0.5 - flip * grow * 0.72 - flip * 0.04),
                ),
                color,
            )
        if kind == "warn":
            s.fill(s.box(0.46, 0.42, 0.54, 0.66) | s.ellipse(0.5, 0.34, 0.05), BLACK)
    elif kind == "park":
        s.fill(s.box(0.03, 0.03, 0.97, 0.97), WHITE)
        s.fill(s.box(0.08, 0.08, 0.92, 0.92), BLUE)
        s.fill(
            (s.ellipse(0.52, 0.62, 0.23, 0.2) & ~s.ellipse(0.5, 0.62, 0.11, 0.09))
            | s.box(0.3, 0.2, 0.42, 0.82),
            WHITE,
        )
    elif kind == "stop":
        edge = abs(s.x - 0.5) + abs(s.y - 0.5)
        for size, color in ((0.48, WHITE), (0.43, RED)):
            s.fill(s.box(0.5 - size, 0.5 - size, 0.5 + size, 0.5 + size) & (edge < size * 1.41), color)
        s.fill(s.box(0.18, 0.42, 0.82, 0.58), WHITE)
    elif kind == "diamond":
        edge = abs(s.x - 0.5) + abs(s.y - 0.5)
        for size, color in ((0.49, WHITE), (0.35, (0.93, 0.75, 0.1))):
            s.fill(edge < size, color)
    else:
        s.fill(s.box(0.02, 0.04, 1.68, 0.96), WHITE)
        s.fill(s.box(0.06, 0.08, 1.64, 0.92), paint=0)
        for y in (0.62, 0.3):
            s.fill(s.box(0.2, y, 1.05 + y * 0.4, y + 0.14), WHITE)
        s.fill(s.polygon((1.35, 0.25), (1.55, 0.5), (1.35, 0.75)), WHITE)
    return s.finish()


def _traffic_lights(red):
    s = Sketch(0.44, 1.1)
    s.fill(s.box(0.02, 0.02, 0.42, 1.08), (0.07, 0.08, 0.08))
    lamps = (
        (0.88, (0.95, 0.12, 0.08), red),
        (0.55, (0.95, 0.65, 0.1), False),
        (0.22, (0.1, 0.85, 0.4), not red),
    )
    for y, color, on in lamps:
        s.fill(s.ellipse(0.22, y, 0.15), color, shade=1.0 if on else 0.25, glow=color if on else None)
    return s.finish()


# --- trees: paint 0 = leaves, 1 = leaves of a second hue; x, y in metres of a tree about 6 m high -----------
TREES = ("oak", "lime", "poplar", "fir", "birch", "plane", "bare", "bush")
BARK = (0.3, 0.24, 0.19)


def _branch(s, x, y, dx, dy, r, depth, draws):
    s.fill(s.limb(x, y, x + dx, y + dy, r), BARK, shade=1.0)
    if depth:
        for turn in (draws(0.3, 0.6), draws(-0.6, -0.3)):
            keep = draws(0.66, 0.78)
            _branch(
                s,
                x + dx,
                y + dy,
                keep * (dx + turn * dy),
                keep * (dy - turn * dx),
                r * 0.68,
                depth - 1,
                draws,
            )


@cache
def tree(kind):
    number = TREES.index(kind)
    draws = Draws(3000 + number, 0)
    if kind == "bush":
        s = Sketch(2.4, 1.5)
        _crown(s, draws, 220, 1.2, 0.65, 1.1, 0.72, 0.16)
        return s.finish()
    s = Sketch(3.6 if kind in ("poplar", "fir") else 6.0, 7.6 if kind in ("poplar", "fir") else 6.4)
    cx = s.width / 2
    trunk = 0.14 if kind == "birch" else 0.22
    color = (0.72, 0.7, 0.66) if kind == "birch" else BARK
    side_light = 1.25 - 0.55 * (s.x - cx + trunk) / (2 * trunk)
    s.fill(
        s.polygon(
            (cx - trunk * 1.3, 0.0), (cx - trunk * 0.7, 3.2), (cx + trunk * 0.7, 3.2), (cx + trunk * 1.3, 0.0)
        ),
        color,
        shade=side_light,
    )
    if kind == "bare":
        for turn in (-0.7, -0.25, 0.2, 0.65):
            _branch(s, cx, 1.7 + 0.5 * abs(turn), turn * 1.2, 1.35, 0.13, 4, draws)
        return s.finish()
    if kind == "fir":
        for step in range(13):
            y, half = 0.9 + step * 0.5, 1.65 * (1.0 - step / 13.5)
            for _ in range(26 - step):
                x, drop = draws(-1.0, 1.0), draws(0.0, 0.3)
                s.blob(
                    cx + x * half,
                    y + (1.0 - abs(x)) * 0.42 - drop,
                    0.17,
                    int(draws(0, 1.6)),
                    0.82 - 0.34 * x + draws(-0.14, 0.14) - drop,
                )
        return s.finish()
    s.fill(s.limb(cx, 2.4, cx - 0.9, 3.6, 0.1) | s.limb(cx, 2.2, cx + 0.9, 3.5, 0.1), color, shade=0.8)
    count, y, rx, ry, r = {
        "oak": (430, 4.0, 2.65, 2.1, 0.27),
        "lime": (380, 4.1, 1.95, 2.2, 0.25),
        "poplar": (330, 4.2, 1.0, 3.2, 0.22),
        "birch": (210, 4.2, 1.7, 2.1, 0.2),
        "plane": (430, 4.6, 2.8, 1.5, 0.26),
    }[kind]
    _crown(s, draws, count, cx, y, rx, ry, r)
    return s.finish()


def _crown(s, draws, count, cx, cy, rx, ry, r):
    """Leaf clumps scattered over an uneven ball, lit from the upper left, the dark inner ones first."""
    clumps = [(draws(-0.55, 0.55), draws(-0.6, 0.6)) for _ in range(9)]
    for number in range(count):
        x0, y0 = draws.pick(clumps)
        x, y = x0 + draws(-0.5, 0.5), y0 + draws(-0.45, 0.45)
        reach = x * x + y * y
        if reach > 0.98:
            continue
        late = number / count
        facing = (0.55 * y - 0.5 * x) * (0.5 + 0.5 * late) + 0.25 * ((y - y0) - (x - x0))
        shade = 0.55 + 0.27 * late + 0.5 * facing + draws(-0.09, 0.09)
        s.blob(
            cx + x * rx * 0.93, cy + y * ry * 0.93, r * draws(0.6, 1.15), int(draws(0, 1.4)), max(0.16, shade)
        )

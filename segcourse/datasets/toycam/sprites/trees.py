"""Trees about 6 m high: paint 0 is the leaves, 1 leaves of a second hue."""

from functools import cache

from ..noise import Draws
from .sketch import Sketch, Sprite

TREES = ("oak", "lime", "poplar", "fir", "birch", "plane", "bare", "bush")
BARK = (0.3, 0.24, 0.19)


def _branch(s, x, y, dx, dy, r, depth, draws):
    s.fill(s.limb(x, y, x + dx, y + dy, r), BARK, shade=1.0)
    if depth:
        for turn in (draws(0.3, 0.6), draws(-0.6, -0.3)):
            keep = draws(0.66, 0.78)
            along, up = keep * (dx + turn * dy), keep * (dy - turn * dx)
            _branch(s, x + dx, y + dy, along, up, r * 0.68, depth - 1, draws)


@cache
def tree(kind: str) -> Sprite:
    """One of `TREES`; each kind has one shape, which a thing's size, paints and flip vary."""
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
    foot, top = trunk * 1.3, trunk * 0.7
    bole = s.polygon((cx - foot, 0.0), (cx - top, 3.2), (cx + top, 3.2), (cx + foot, 0.0))
    s.fill(bole, color, shade=side_light)
    if kind == "bare":
        for turn in (-0.7, -0.25, 0.2, 0.65):
            _branch(s, cx, 1.7 + 0.5 * abs(turn), turn * 1.2, 1.35, 0.13, 4, draws)
        return s.finish()
    if kind == "fir":
        _needles(s, draws, cx)
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


def _needles(s, draws, cx):
    """Thirteen storeys of drooping boughs, narrower upwards."""
    for step in range(13):
        y, half = 0.9 + step * 0.5, 1.65 * (1.0 - step / 13.5)
        for _ in range(26 - step):
            x, drop = draws(-1.0, 1.0), draws(0.0, 0.3)
            paint, shade = int(draws(0, 1.6)), 0.82 - 0.34 * x + draws(-0.14, 0.14) - drop
            s.blob(cx + x * half, y + (1.0 - abs(x)) * 0.42 - drop, 0.17, paint, shade)


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
        size, paint = r * draws(0.6, 1.15), int(draws(0, 1.4))
        s.blob(cx + x * rx * 0.93, cy + y * ry * 0.93, size, paint, max(0.16, shade))

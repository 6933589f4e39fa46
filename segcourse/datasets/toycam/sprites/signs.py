"""Traffic signs, whole faces of about one metre, and traffic lights."""

from functools import cache

from .sketch import Sketch, Sprite

WHITE, RED, BLUE, BLACK = (0.92, 0.92, 0.9), (0.75, 0.09, 0.1), (0.1, 0.25, 0.62), (0.08, 0.08, 0.08)


@cache
def sign(kind: str) -> Sprite:
    """One of `SIGNS`."""
    if kind.startswith("lights"):
        return _traffic_lights(kind.endswith("red"))
    s = Sketch(1.7 if kind == "route" else 1.0, 1.0)
    FACES[kind](s)
    return s.finish()


def _ban(s):
    s.fill(s.ellipse(0.5, 0.5, 0.49), RED)
    s.fill(s.box(0.17, 0.4, 0.83, 0.6), WHITE)


def _limit(s):
    s.fill(s.ellipse(0.5, 0.5, 0.49), RED)
    s.fill(s.ellipse(0.5, 0.5, 0.34), WHITE)
    s.fill(s.box(0.34, 0.35, 0.46, 0.65) | s.ellipse(0.6, 0.5, 0.11, 0.16), BLACK)


def _must(s):
    s.fill(s.ellipse(0.5, 0.5, 0.49), BLUE)
    s.fill(s.limb(0.5, 0.25, 0.5, 0.6, 0.06) | s.polygon((0.3, 0.55), (0.7, 0.55), (0.5, 0.82)), WHITE)


def _triangle(s, up):
    for grow, color in ((0.49, RED), (0.3, WHITE)):
        tip, base = 0.5 + up * grow * 0.95 - up * 0.04, 0.5 - up * grow * 0.72 - up * 0.04
        s.fill(s.polygon((0.5, tip), (0.5 - grow, base), (0.5 + grow, base)), color)


def _yield(s):
    _triangle(s, -1.0)


def _warn(s):
    _triangle(s, 1.0)
    s.fill(s.box(0.46, 0.42, 0.54, 0.66) | s.ellipse(0.5, 0.34, 0.05), BLACK)


def _park(s):
    s.fill(s.box(0.03, 0.03, 0.97, 0.97), WHITE)
    s.fill(s.box(0.08, 0.08, 0.92, 0.92), BLUE)
    bow = s.ellipse(0.52, 0.62, 0.23, 0.2) & ~s.ellipse(0.5, 0.62, 0.11, 0.09)
    s.fill(bow | s.box(0.3, 0.2, 0.42, 0.82), WHITE)


def _stop(s):
    edge = abs(s.x - 0.5) + abs(s.y - 0.5)
    for size, color in ((0.48, WHITE), (0.43, RED)):
        s.fill(s.box(0.5 - size, 0.5 - size, 0.5 + size, 0.5 + size) & (edge < size * 1.41), color)
    s.fill(s.box(0.18, 0.42, 0.82, 0.58), WHITE)


def _diamond(s):
    edge = abs(s.x - 0.5) + abs(s.y - 0.5)
    for size, color in ((0.49, WHITE), (0.35, (0.93, 0.75, 0.1))):
        s.fill(edge < size, color)


def _route(s):
    s.fill(s.box(0.02, 0.04, 1.68, 0.96), WHITE)
    s.fill(s.box(0.06, 0.08, 1.64, 0.92), paint=0)
    for y in (0.62, 0.3):
        s.fill(s.box(0.2, y, 1.05 + y * 0.4, y + 0.14), WHITE)
    s.fill(s.polygon((1.35, 0.25), (1.55, 0.5), (1.35, 0.75)), WHITE)


FACES = {
    "ban": _ban,
    "limit": _limit,
    "must": _must,
    "yield": _yield,
    "warn": _warn,
    "park": _park,
    "stop": _stop,
    "diamond": _diamond,
    "route": _route,
}
SIGNS = (*FACES, "lights_red", "lights_green")


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

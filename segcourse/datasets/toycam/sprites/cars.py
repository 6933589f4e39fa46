"""Cars from the side and from either end; paint 0 is the body, 1 a lorry's box."""

from functools import cache

import numpy as np

from .sketch import Sketch, Sprite

# (length, width, height, waist, hood end, windscreen top, roof end, tail top) in metres
CARS = {
    "hatch": (3.9, 1.75, 1.48, 0.92, 0.95, 1.65, 3.2, 3.8),
    "sedan": (4.6, 1.80, 1.44, 0.92, 1.25, 2.0, 3.2, 3.85),
    "van": (5.0, 1.95, 2.15, 1.12, 0.55, 1.25, 4.85, 4.95),
    "truck": (7.0, 2.30, 3.00, 1.35, 0.10, 0.35, 6.85, 6.95),
    "bus": (9.5, 2.45, 3.05, 1.30, 0.05, 0.15, 9.3, 9.4),
}
GLASS, TYRE, HUB = (0.13, 0.17, 0.22), (0.06, 0.06, 0.07), (0.55, 0.56, 0.58)


@cache
def car_side(kind: str) -> Sprite:
    """The flank, nose to the left."""
    length, _, height, waist, hood, screen, roof, tail = CARS[kind]
    s = Sketch(length, height)
    top = height - 0.04
    shade = np.clip(0.62 + 0.42 * s.y / waist, 0.0, 1.06) + 0.12 * (abs(s.y - waist + 0.12) < 0.05)
    nose = ((0.03, 0.22), (0.02, waist - 0.25), (0.12, waist - 0.12), (hood, waist))
    rear = ((tail, waist), (length - 0.03, waist - 0.06), (length - 0.02, 0.25))
    s.fill(s.polygon(*nose, (screen, top), (roof, top), *rear), paint=0, shade=shade)
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
    tail_lamp = s.box(length - 0.2, waist - 0.25, length - 0.03, waist - 0.1)
    s.fill(tail_lamp, (0.6, 0.08, 0.06), glow=(1.0, 0.1, 0.05))
    radius = 0.31 if length < 5.5 else 0.45
    for cx in (length * 0.19 + 0.03, length * 0.81 - 0.06):
        s.fill(s.ellipse(cx, radius, radius + 0.07) & (s.y > 0.22), (0.05, 0.05, 0.05))
        s.fill(s.ellipse(cx, radius, radius), TYRE)
        s.fill(s.ellipse(cx, radius, radius * 0.62), HUB, shade=0.75 + 0.5 * s.y)
        s.fill(s.ellipse(cx, radius, radius * 0.25), (0.2, 0.2, 0.2))
    return s.finish()


@cache
def car_end(kind: str, back: bool) -> Sprite:
    """The tail, or the nose with its headlights."""
    _, width, height, waist, *_ = CARS[kind]
    s, tall = Sketch(width, height), height > 1.9
    top, w, inset = height - 0.03, width, 0.06 if height > 1.9 else 0.24
    for x0 in (0.1, w - 0.36):
        s.fill(s.box(x0, 0.0, x0 + 0.26, 0.5), TYRE)
    shade = np.clip(0.55 + 0.45 * s.y / waist, 0.0, 1.02) - 0.25 * abs(s.x - w / 2) / w
    left = ((0.06, 0.24), (0.02, 0.5), (0.04, waist - 0.05), (0.12, waist + 0.02))
    right = ((w - 0.12, waist + 0.02), (w - 0.04, waist - 0.05), (w - 0.02, 0.5), (w - 0.06, 0.24))
    s.fill(s.polygon(*left, *right), paint=0, shade=shade)
    left = ((0.1, waist), (inset + 0.04, top - 0.1), (inset + 0.14, top))
    right = ((w - inset - 0.14, top), (w - inset - 0.04, top - 0.1), (w - 0.1, waist))
    s.fill(s.polygon(*left, *right), paint=1 if kind == "truck" else 0, shade=0.98)
    if not (kind == "truck" and back):
        low, high = waist + 0.05, top - (0.45 if tall else 0.1)
        glass = s.polygon((0.22, low), (inset + 0.12, high), (w - inset - 0.12, high), (w - 0.22, low))
        streak = abs(s.x - 0.45 * w - (s.y - low) * 0.4) < 0.07
        gleam = 0.7 + 1.1 * (s.y - low) / (high - low) + 0.7 * streak
        s.fill(glass, GLASS, shade=gleam, glow=(0.06, 0.055, 0.04))
        if not tall:
            for cx in (0.32 * w, 0.68 * w):  # head rests
                s.fill(s.ellipse(cx, low + 0.1, 0.11, 0.14) & glass, (0.07, 0.07, 0.08))
    s.fill(s.box(0.08, 0.24, w - 0.08, 0.36), (0.13, 0.13, 0.14))
    s.fill(s.box(w / 2 - 0.26, 0.42, w / 2 + 0.26, 0.54), (0.85, 0.85, 0.75))
    for x0 in (0.08, w - 0.4):
        if back:
            lamp = s.box(x0, waist - 0.32, x0 + 0.32, waist - 0.12)
            s.fill(lamp, (0.7, 0.08, 0.06), glow=(1.5, 0.12, 0.06))
        else:
            s.fill(s.ellipse(x0 + 0.16, waist - 0.27, 0.17, 0.1), (0.95, 0.95, 0.9), glow=(2.2, 2.0, 1.5))
    if not back:
        s.fill(s.box(0.5, waist - 0.34, w - 0.5, waist - 0.2), (0.1, 0.1, 0.11))
    return s.finish()

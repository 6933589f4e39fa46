"""People on foot and on bicycles: paint 0 is the shirt, 1 the trousers, 2 the skin."""

from functools import cache

from .cars import TYRE
from .sketch import Sketch, Sprite


@cache
def pedestrian(variant: int) -> Sprite:
    """Someone on foot, one of six, walking to the right."""
    s = Sketch(0.92, 1.8)
    spread = (0.24, 0.1, 0.18, 0.05, 0.3, 0.12)[variant]
    skirt, bag, hat = variant in (1, 5), variant in (2, 4), variant == 3
    light, middle = 1.12 - 0.45 * s.x / 0.92, 0.46
    for side, dark in ((1, 0.72), (-1, 1.0)):  # the far leg and arm first, darker
        _leg_and_arm(s, middle, side, spread, light, dark, leg_paint=2 if skirt else 1)
    if skirt:
        corners = ((-0.14, 1.0), (0.14, 1.0), (0.25, 0.52), (-0.25, 0.52))
        s.fill(s.polygon(*((middle + x, y) for x, y in corners)), paint=1, shade=light)
    s.fill(s.limb(middle, 1.33, middle, 0.98, 0.155), paint=0, shade=light)
    s.fill(s.box(middle - 0.15, 0.8, middle + 0.15, 0.95), paint=1, shade=light)
    if bag:
        s.fill(s.limb(middle - 0.2, 1.3, middle - 0.2, 1.02, 0.1), (0.3, 0.12, 0.1), shade=light)
    s.fill(s.box(middle - 0.05, 1.4, middle + 0.05, 1.55), paint=2, shade=light * 0.85)
    s.fill(s.ellipse(middle, 1.64, 0.115, 0.14), paint=2, shade=light)
    hair = s.ellipse(middle - 0.015, 1.7, 0.125, 0.1) & (s.y > 1.66 - 0.5 * (s.x < middle - 0.04))
    s.fill(hair, (0.12, 0.08, 0.05) if variant % 2 else (0.4, 0.28, 0.14), shade=light)
    if hat:
        crown = s.ellipse(middle, 1.72, 0.12, 0.08) & (s.y > 1.7)
        s.fill(s.limb(middle - 0.17, 1.71, middle + 0.17, 1.71, 0.03) | crown, (0.35, 0.1, 0.1))
    return s.finish()


def _leg_and_arm(s, middle, side, spread, light, dark, leg_paint):
    foot, knee, hand = middle + side * spread, middle + side * (0.06 + spread * 0.5), 0.2 + spread * 0.4
    s.fill(s.limb(middle + side * 0.05, 0.86, knee, 0.45, 0.085), paint=leg_paint, shade=light * dark)
    s.fill(s.limb(knee, 0.45, foot, 0.09, 0.07), paint=leg_paint, shade=light * dark)
    s.fill(s.limb(foot - 0.02, 0.05, foot + 0.08, 0.045, 0.045), (0.1, 0.08, 0.07))
    arm = s.limb(middle + side * 0.14, 1.38, middle + side * hand, 0.98, 0.06)
    s.fill(arm, paint=0, shade=light * dark * 0.85)
    s.fill(s.ellipse(middle + side * hand, 0.92, 0.05), paint=2, shade=light)


def _wheel(s, cx, r):
    s.fill(s.ellipse(cx, r, r), TYRE)
    s.fill(s.ellipse(cx, r, r - 0.06), (0.45, 0.45, 0.46), alpha=0.55)  # spokes, seen through
    for dx, dy in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)):
        across, up = dx * (r - 0.03), dy * (r - 0.03)
        s.fill(s.limb(cx - across, r - up, cx + across, r + up, 0.009), (0.3, 0.3, 0.3))
    s.fill(s.ellipse(cx, r, 0.05), (0.2, 0.2, 0.2))


def _rider_head(s, x, y, helmet, light):
    s.fill(s.ellipse(x, y, 0.11, 0.135), paint=2, shade=light)
    cap = (0.85, 0.85, 0.8) if helmet else (0.14, 0.09, 0.06)
    s.fill(s.ellipse(x, y + 0.05, 0.13, 0.11) & (s.y > y + 0.02), cap, shade=light)


@cache
def bicyclist(view: str, variant: int) -> Sprite:
    """`view` is "side" (riding to the left), "front" or "back"."""
    helmet = variant % 2 == 0
    return _rider_from_side(helmet) if view == "side" else _rider_from_end(helmet, view == "back")


def _rider_from_side(helmet):
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
    arm = s.limb(0.9, 1.36, 0.68, 1.12, 0.055) | s.limb(0.68, 1.12, 0.5, 1.02, 0.045)
    s.fill(arm, paint=0, shade=light * 0.85)
    _rider_head(s, 0.85, 1.57, helmet, light)
    return s.finish()


def _rider_from_end(helmet, back):
    s = Sketch(0.8, 1.78)
    light = 1.1 - 0.4 * s.x / 0.8
    s.fill(s.limb(0.4, 0.06, 0.4, 0.64, 0.05), TYRE)
    s.fill(s.limb(0.27, 0.85, 0.22, 0.3, 0.075) | s.limb(0.53, 0.85, 0.58, 0.45, 0.075), paint=1, shade=light)
    s.fill(s.limb(0.2, 0.25, 0.24, 0.25, 0.05) | s.limb(0.56, 0.4, 0.6, 0.4, 0.05), (0.1, 0.08, 0.07))
    s.fill(s.limb(0.12, 1.02, 0.68, 1.02, 0.025), (0.12, 0.12, 0.13))
    s.fill(s.limb(0.4, 1.32, 0.4, 0.95, 0.18), paint=0, shade=light)
    for side in (-1, 1):
        s.fill(s.limb(0.4 + side * 0.19, 1.36, 0.4 + side * 0.26, 1.05, 0.055), paint=0, shade=light * 0.85)
    lamp, glow = ((0.8, 0.1, 0.08), (1.6, 0.2, 0.1)) if back else ((0.95, 0.95, 0.85), (1.8, 1.7, 1.3))
    s.fill(s.ellipse(0.4, 0.78, 0.05), lamp, glow=glow)
    _rider_head(s, 0.4, 1.6, helmet or back, light)
    return s.finish()

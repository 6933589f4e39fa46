"""Upright pictures that face the camera: trees, people, riders and signs."""

import numpy as np

from . import sprites
from .canvas import Canvas
from .coverage import clip, span
from .sprites import ALPHA, FIXED, GLOW, Sprite
from .world import BICYCLIST, PEDESTRIAN, SIGN, TREE, Thing

CLASS_OF = {"tree": TREE, "pedestrian": PEDESTRIAN, "bicyclist": BICYCLIST, "sign": SIGN}


def paint_card(canvas: Canvas, t: Thing) -> None:
    """A tree, a pedestrian, a bicyclist or a sign."""
    card(canvas, CLASS_OF[t.kind], t, sprite_of(t))


def sprite_of(t: Thing) -> Sprite:
    """The sprite of a tree, a pedestrian, a bicyclist or a sign."""
    style = t.style if t.kind == "bicyclist" else (t.style,)
    return getattr(sprites, t.kind)(*style)


def card(canvas: Canvas, class_id: int, t: Thing, sprite: Sprite) -> None:
    """An upright picture facing the camera at (t.x, t.y, t.z)."""
    left, right = canvas.u(t.x - t.width / 2, t.z), canvas.u(t.x + t.width / 2, t.z)
    upper, lower = canvas.v(t.y + t.height, t.z), canvas.v(t.y, t.z)
    (r0, r1), (c0, c1) = span(upper, lower, canvas.rows), span(left, right, canvas.columns)
    if r1 <= r0 or c1 <= c0:
        return
    used = 10 if canvas.world.light.night else 7  # the glow planes are for the night
    planes = _resample(sprite[2], used, (upper, lower, r0, r1), (left, right, c0, c1), t.flip)
    own = painted(planes, t) * canvas.sunlight(t.x, t.z)
    if canvas.world.light.night:
        own = own + planes[GLOW] * 0.9
    canvas.paint(class_id, (r0, c0, r1, c1), planes[ALPHA], own, float(t.z), premultiplied=True)


def painted(planes: np.ndarray, t: Thing) -> np.ndarray:
    """Sprite colours with the thing's own paints in the three slots."""
    own = planes[FIXED]
    for slot, paint in enumerate(np.array(t.colors, np.float32).reshape(-1, 3, 1, 1)):
        own = own + planes[4 + slot] * paint
    return own


def level_for(levels: list[np.ndarray], rows: float, columns: float = 0) -> np.ndarray:
    """The smallest level of a sprite that still has this many rows and columns, or the largest there is."""
    enough = levels[0]
    for smaller in levels[1:]:
        if smaller.shape[1] - 2 < rows or smaller.shape[2] - 2 < columns:
            break
        enough = smaller
    return enough


def _resample(levels, used, vertical, horizontal, flip):
    """The first `used` planes [used, h, w] on the pixel grid, bilinear."""
    level = level_for(levels, vertical[1] - vertical[0])[:used]
    for axis, (low, high, first, last) in ((1, vertical), (2, horizontal)):
        texels = level.shape[axis] - 2
        at = (np.arange(first, last, dtype=np.float64) + 0.5 - low) * (texels / (high - low)) + 0.5
        if flip and axis == 2:
            at = (texels + 1.0) - at
        at = clip(at, 0.0, texels + 0.999)
        whole = at.astype(np.int64)
        part = (at - whole).astype(np.float32)
        near = level.take(whole, axis=axis)
        part = part[:, None] if axis == 1 else part
        level = near + (level.take(whole + 1, axis=axis) - near) * part
    return level

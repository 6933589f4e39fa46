"""Cars: a picture of the near end, and the flank projected on a receding wall."""

import numpy as np

from . import sprites
from .canvas import Canvas
from .cards import card, level_for, painted
from .coverage import clip
from .sprites import ALPHA
from .walls import receding
from .world import CAR, Thing


def car(canvas: Canvas, t: Thing) -> None:
    """End view on the near side of a box, and its flank as a picture on the receding side wall."""
    kind, view = t.style
    if view in ("left", "right"):
        card(canvas, CAR, t, sprites.car_side(kind))
        return
    camera_x = canvas.world.camera.x
    x0, x1 = t.x - t.width / 2, t.x + t.width / 2
    inner = x1 if x1 < camera_x else x0 if x0 > camera_x else None
    if inner is not None and canvas.focal > 2.5 * t.z:
        p = receding(canvas, inner, t.z, t.z + t.length, 0.0, t.height)
        if p is not None:
            _flank(canvas, t, p, sprites.car_side(kind), forward=view == "back")
    card(canvas, CAR, t, sprites.car_end(kind, view == "back"))


def _flank(canvas, t, p, sprite, forward):
    """The side sprite projected on plane `p`; cars that drive away have their nose at the far end."""
    top, left, bottom, right = p.box
    level = level_for(sprite[2], bottom - top, 2 * (right - left))
    along = p.a * (1.0 / t.length)
    rows = (1.0 - p.y * (1.0 / t.height)) * (level.shape[1] - 2.0) + 1.0
    columns = ((1.0 - along) if forward else along) * (level.shape[2] - 2.0) + 1.0
    rows = clip(rows, 0.0, level.shape[1] - 1.0).astype(np.int32)
    columns = clip(columns, 0.0, level.shape[2] - 1.0).astype(np.int32)
    planes = level[:7, rows, columns]
    own = painted(planes, t)
    inward = (t.x < canvas.world.camera.x) == (canvas.world.light.shadow[0] < 0)
    own = own * canvas.sunlight(t.x, t.z + 0.5 * t.length) * (1.0 if inward else 0.72)
    solid = p.alpha > 0.5
    canvas.paint(CAR, p.box, planes[ALPHA] * solid, own * solid, p.z, premultiplied=True)

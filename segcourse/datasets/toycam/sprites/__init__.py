"""Sprites of the ToyCam world: drawn once per process, sampled ever after.

A sprite is a stack of planes [10, h, w] in which everything is premultiplied by coverage: alpha, a fixed
colour (3), three paint slots (how much of paint 1, 2, 3 shows), and a glow colour (3) that shines at night.
It is stored with its half, quarter, ... sizes, each framed by one transparent pixel, so that any scale is one
bilinear lookup.
"""

from .cars import CARS, car_end, car_side
from .people import bicyclist, pedestrian
from .signs import SIGNS, sign
from .sketch import ALPHA, FIXED, GLOW, PAINT, Sprite
from .trees import TREES, tree

__all__ = [
    "ALPHA",
    "CARS",
    "FIXED",
    "GLOW",
    "PAINT",
    "SIGNS",
    "TREES",
    "Sprite",
    "bicyclist",
    "car_end",
    "car_side",
    "pedestrian",
    "sign",
    "tree",
]

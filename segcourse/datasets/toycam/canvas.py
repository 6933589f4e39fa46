"""The picture being painted, and what every painter needs of it: projection, haze, sunlight."""

from functools import lru_cache
from math import floor
from typing import NamedTuple

import numpy as np

from .colors import Color
from .coverage import Box
from .world import World

LAMPLIGHT = np.array((0.75, 0.62, 0.42), np.float32).reshape(3, 1, 1)


class Layer(NamedTuple):
    """One painted surface.

    alpha: float32[h, w], fills `box`; box: (top, left, bottom, right) in pixels; depth: metres, broadcasts to
    `alpha`.
    """

    class_id: int
    depth: np.ndarray
    box: Box
    alpha: np.ndarray


@lru_cache(1024)
def vector(color: Color) -> np.ndarray:
    """float32[3, 1, 1] of an RGB tuple; shared, so never changed in place."""
    return np.array(color, np.float32).reshape(3, 1, 1)


class Canvas:
    """The picture being painted: colour float32[3, H, W], labels uint8, depth float32, layers so far."""

    def __init__(self, world: World, size: tuple[int, int]):
        self.world, (self.rows, self.columns) = world, size
        camera = world.camera
        self.focal = camera.focal * self.columns
        self.cx, self.cy = camera.centre * self.columns, camera.horizon * self.rows
        self.color = np.zeros((3, *size), np.float32)
        self.labels = np.zeros(size, np.uint8)
        self.depth = np.full(size, np.inf, np.float32)
        self.layers, self.lamps = [], []
        light = world.light
        self.sun, self.ambient, self.fog = vector(light.sun), vector(light.ambient), vector(light.skyline)
        self.lit = self.sun + self.ambient
        # Filled by ground(): sunlight, lamp light and contact shadows on the rows below the horizon
        self.shade = self.pools = self.dark = None
        self.cover = np.full(self.columns, float(self.rows))  # per column, the row from which houses hide all

    def clearness(self, z: float | np.ndarray) -> float | np.ndarray:
        """Share of an object's own colour that survives the haze at distance z."""
        thin = 1.0 / (1.0 + z / (2.0 * self.world.light.fog_distance))
        return thin * thin

    def u(self, x: float, z: float) -> float:
        return self.cx + self.focal * (x - self.world.camera.x) / z

    def v(self, y: float, z: float) -> float:
        return self.cy + self.focal * (self.world.camera.height - y) / z

    def paint(
        self,
        class_id: int,
        box: Box,
        alpha: np.ndarray,
        color: np.ndarray,
        z: float | np.ndarray,
        premultiplied: bool = False,
    ) -> None:
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

    def sunlight(self, x: float, z: float) -> np.ndarray:
        """Light on something whose foot is at (x, z): the ground's shade there, softened."""
        row, column = floor(self.v(0.0, z)), floor(self.u(x, z))
        top = self.rows - self.shade.shape[0]
        if not (top <= row < self.rows and 0 <= column < self.columns):
            return self.lit
        shade, pool = float(self.shade[row - top, column]), float(self.pools[row - top, column])
        return self.ambient + self.sun * (0.25 + 0.75 * shade) + LAMPLIGHT * (0.7 * pool)

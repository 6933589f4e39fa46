"""The canvas that a sprite is drawn on, hard-edged and then halved for smooth edges."""

import numpy as np

from ..colors import Color

Sprite = tuple[float, float, list[np.ndarray]]  # width and height in metres, planes at every size

ROWS = 256  # a sketch is drawn hard-edged at this height and halved once for smooth edges
ALPHA, FIXED, PAINT, GLOW = 0, slice(1, 4), slice(4, 7), slice(7, 10)


class Sketch:
    """`width` x `height` metres, y upwards from the ground; shapes are painted on it, one over the other."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.scale = ROWS / height
        columns = max(4, int(width * self.scale / 4 + 0.5) * 4)
        self.x = ((np.arange(columns) + 0.5) * (width / columns)).astype(np.float32)[None, :]
        self.y = ((ROWS - 0.5 - np.arange(ROWS)) / self.scale).astype(np.float32)[:, None]
        self.planes = np.zeros((10, ROWS, columns), np.float32)

    def fill(
        self,
        mask: np.ndarray,
        color: Color = (0.0, 0.0, 0.0),
        paint: int | None = None,
        shade: float | np.ndarray = 1.0,
        glow: Color | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Paint where `mask` is true: a fixed `color` or paint slot 0..2, times `shade` (number, array)."""
        mask = np.broadcast_to(mask, self.planes.shape[1:])
        values = [alpha, *(alpha * c * shade for c in (color if paint is None else (0.0, 0.0, 0.0)))]
        values += [alpha * shade if slot == paint else 0.0 for slot in range(3)]
        values += [alpha * c for c in (glow or (0.0, 0.0, 0.0))]
        for plane, value in zip(self.planes, values, strict=True):
            if isinstance(value, np.ndarray):
                value = np.broadcast_to(value, mask.shape)[mask]
            plane[mask] = value

    def ellipse(self, cx: float, cy: float, rx: float, ry: float | None = None) -> np.ndarray:
        dx, dy = (self.x - cx) / rx, (self.y - cy) / (ry or rx)
        return dx * dx + dy * dy <= 1.0

    def box(self, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return (self.x >= x0) & (self.x <= x1) & (self.y >= y0) & (self.y <= y1)

    def limb(self, x0: float, y0: float, x1: float, y1: float, r: float) -> np.ndarray:
        """A thick line with round ends."""
        dx, dy = x1 - x0, y1 - y0
        along = ((self.x - x0) * dx + (self.y - y0) * dy) / (dx * dx + dy * dy + 1e-9)
        along = np.clip(along, 0.0, 1.0)
        px, py = self.x - x0 - along * dx, self.y - y0 - along * dy
        return px * px + py * py <= r * r

    def polygon(self, *points: tuple[float, float]) -> np.ndarray:
        """Any simple polygon, even-odd rule."""
        inside = np.zeros(self.planes.shape[1:], bool)
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            if y0 != y1:
                crosses = (self.y >= min(y0, y1)) & (self.y < max(y0, y1))
                inside ^= crosses & (self.x < x0 + (self.y - y0) * ((x1 - x0) / (y1 - y0)))
        return inside

    def blob(self, cx: float, cy: float, r: float, paint: int, shade: float) -> None:
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

    def finish(self) -> Sprite:
        """The sprite: (width in metres, height in metres, its planes at full, half, quarter, ... size)."""
        levels, planes = [], self.planes
        while min(planes.shape[1:]) >= 4 and planes.shape[1] > 4:
            rows, columns = planes.shape[1] // 2 * 2, planes.shape[2] // 2 * 2
            p = planes[:, :rows, :columns]
            total = p[:, ::2, ::2] + p[:, 1::2, ::2] + p[:, ::2, 1::2] + p[:, 1::2, 1::2]
            planes = total * np.float32(0.25)
            levels.append(np.ascontiguousarray(np.pad(planes, ((0, 0), (1, 1), (1, 1)))))
        return self.width, self.height, levels

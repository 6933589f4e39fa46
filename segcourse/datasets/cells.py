"""Cells: a procedural microscope that shows living cells pressed against each other.

Grey pictures as interference contrast and phase contrast make them: shaded relief with bright rims,
granules, nuclei, uneven light, debris, blur and noise. Scene k of seed s is the same on every platform and
NumPy version, and at every size the same culture; as in `toycam`, whatever reaches a pixel comes from raw
Philox words through operations that IEEE 754 fixes to the bit. Lengths are units of 1/128 of the longer side
of a picture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from segcourse.datasets.errors import DataError
from segcourse.datasets.rendered import cached
from segcourse.datasets.toycam.noise import Draws, noise, smooth
from segcourse.paths import cache_folder

VERSION = 2  # raise it whenever a pixel changes: cached files of older versions are then ignored
SPLITS = {"train": (0, 30), "val": (1, 20), "test": (2, 50)}
SIZE = (128, 128)
SMALLEST = 64

FIELD = 128.0  # units along the longer side of a picture
GAP = 1.4  # units of background between neighbours
_REACH = 10.0  # units around a cell that its light still touches
_MARGIN = 10.0  # units beyond the picture in which cells may lie
_GRID = 3.0  # units between the points at which the contact of two cells is felt


class Cell(NamedTuple):
    """One cell, in units from the upper left corner.

    kind: spread, spindle, bean or round (dividing); limbs: thick lines (x0, y0, radius 0, x1, y1, radius 1)
    whose smooth union is the body; nucleus: (x, y, direction x, direction y, half length, half width);
    nucleoli: (x, y, radius) each; thickness: of the body, about 1; roughness: units by which the outline
    wanders; seam: share of the height lost where it touches a neighbour; focus: 0 sharp to 1 blurred;
    phase: offset into the noise tables.
    """

    kind: str
    limbs: tuple
    nucleus: tuple
    nucleoli: tuple
    thickness: float
    roughness: float
    seam: float
    focus: float
    phase: tuple


class Culture(NamedTuple):
    """What lies under the microscope: `cells` and `debris` (x, y, radius, strength), and how it is lit.

    shear: direction in which the relief is lit, times its strength; halo: strength of the phase contrast;
    light: brightness, slope down and right, bowl; drift: offset into the noise tables; grain: standard
    deviation of the sensor noise in grey levels.
    """

    cells: tuple
    debris: tuple
    shear: tuple
    halo: float
    light: tuple
    drift: tuple
    grain: float


@dataclass(frozen=True)
class Scene:
    """One picture. image: uint8[H, W, 3], grey in three equal channels; labels: uint8[H, W], 0 background,
    1 cell; instances: int32[H, W], 0 background, 1..n the cells; culture: what was drawn, at any size."""

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    culture: Culture


def scene(seed: int, index: int, size: tuple[int, int] = SIZE) -> Scene:
    """The `Scene` number `index` of stream `seed` at `size` (rows, columns), each at least 64.

    Raises:
        DataError: a number or the size is out of range.
    """
    _check(seed, index, size)
    culture = sample(seed, index)
    fields = _Fields(culture.cells, size)
    instances = _separate(fields)
    image = _develop(culture, fields, Draws(seed, index + 2**40))
    return Scene(np.repeat(image[..., None], 3, 2), (instances > 0).astype(np.uint8), instances, culture)


def render(seed: int, count: int, size: tuple[int, int] = SIZE, start: int = 0) -> dict[str, np.ndarray]:
    """Scenes start .. start + count - 1 of a stream, as a dict of arrays.

    images uint8[N, H, W, 3], labels uint8[N, H, W] and instances int32[N, H, W].
    """
    _check(seed, start, size)
    if count < 0:
        raise DataError(f"count is {count}; it is the number of scenes, give 0 or more.")
    arrays = {
        "images": np.empty((count, *size, 3), np.uint8),
        "labels": np.empty((count, *size), np.uint8),
        "instances": np.empty((count, *size), np.int32),
    }
    for number in range(count):
        one = scene(seed, start + number, size)
        for array, part in zip(arrays.values(), (one.image, one.labels, one.instances), strict=True):
            array[number] = part
    return arrays


def load(split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """All of "train" (30 scenes, as many as ISBI 2012 has slices), "val" (20) or "test" (50).

    At `size`, by default (128, 128): images uint8[N, H, W, 3] and labels uint8[N, H, W], 0 background,
    1 cell. The split is rendered once and kept in `cache_folder()`.

    Raises:
        DataError: unknown split, bad size.
    """
    arrays = _split(split, size)
    return arrays["images"], arrays["labels"]


def instances(split: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The cells of a split one by one: int32[N, H, W], 0 background, 1..n in every picture. See `load`."""
    return _split(split, size)["instances"]


def _split(split, size):
    if split not in SPLITS:
        raise DataError(f"split is {split!r}; cells has {', '.join(SPLITS)}: use one of these.")
    seed, total = SPLITS[split]
    size = SIZE if size is None else tuple(size)
    _check(seed, 0, size)
    path = cache_folder() / f"cells-v{VERSION}-{split}-{size[0]}x{size[1]}.npz"
    shapes = {"images": (total, *size, 3), "labels": (total, *size), "instances": (total, *size)}
    return cached(path, shapes, lambda: render(seed, total, size))


def _check(seed, index, size):
    if seed < 0 or index < 0:
        raise DataError(f"seed and index are {seed} and {index}; both number a scene, give 0 or more.")
    if len(size) != 2 or min(size) < SMALLEST or any(int(n) != n for n in size):
        raise DataError(
            f"size is {tuple(size)}; cells needs (rows, columns), whole numbers of at least {SMALLEST}, "
            "such as (128, 128)."
        )


# --- the culture: parameters only, before any pixel ---------------------------------------------------------
def sample(seed: int, index: int) -> Culture:
    """The `Culture` of scene `index` of stream `seed`."""
    d = Draws(seed, index)
    cells = _grow(d)
    debris = tuple(
        (d(0.0, FIELD), d(0.0, FIELD), d(0.8, 2.2), d(0.5, 1.4) * d.pick((1.0, 1.0, -0.5)))
        for _ in range(d.whole(2, 9))
    )
    relief = d(0.75, 1.25)
    shear = (relief * d(0.6, 0.9), relief * d(0.3, 0.8))
    light = (d(118.0, 140.0), d(-22.0, 22.0), d(-22.0, 22.0), d(5.0, 30.0))
    return Culture(
        tuple(cells), debris, shear, d(0.3, 1.0), light, (d(0.0, 256.0), d(0.0, 256.0)), d(3.0, 6.0)
    )


def _direction(d):
    """A unit vector, all directions alike: a point of the disc, scaled; no sine needed."""
    while True:
        x, y = d(-1.0, 1.0), d(-1.0, 1.0)
        square = x * x + y * y
        if 0.01 < square <= 1.0:
            length = float(np.sqrt(square))
            return x / length, y / length


def _grow(d):
    """Cells one after the other: most settle against a colony, the others lie free."""
    crowd, places, cells = _Crowd(), [], []
    for _ in range(d.whole(16, 32)):
        kind, limbs, radius = _body(d)
        touch = crowd.feeler(limbs)
        place = _beside(d, touch, d.pick(places)) if places and d.chance(0.84) else _apart(d, touch)
        if place is not None:
            limbs = _moved(limbs, place)
            crowd.add(limbs)
            places.append(place)
            cells.append(_finish(d, kind, limbs, radius, place))
    return cells


class _Crowd:
    """How deep the points of a grid over the field, and around it, lie in a cell; below 0 outside."""

    def __init__(self):
        ticks = np.arange(-_MARGIN, FIELD + _MARGIN + _GRID, _GRID)
        self.x, self.y = ticks[None, :], ticks[:, None]
        self.depth = np.full((len(ticks), len(ticks)), -60.0)

    def add(self, limbs):
        np.maximum(self.depth, -outline(limbs, self.x, self.y), out=self.depth)

    def feeler(self, limbs):
        """The function (x, y) -> depth of the deepest point in both the crowd and the limbs moved there;
        below 0 it is the distance between them, as far as it is under 4."""
        ticks = np.arange(-48.0, 48.0 + _GRID, _GRID)
        depth = -outline(limbs, ticks[None, :], ticks[:, None])
        rows, columns = np.nonzero(depth > -4.0)
        depth, right, down = depth[rows, columns], ticks[columns] + _MARGIN, ticks[rows] + _MARGIN
        last = len(self.depth) - 1

        def touch(x, y):
            at = [
                _clip((side + move) * (1.0 / _GRID) + 0.5, 0.0, last)
                for side, move in ((down, y), (right, x))
            ]
            there = self.depth[at[0].astype(np.int64), at[1].astype(np.int64)]
            return float(np.minimum(depth, there).max(initial=-4.0))

        return touch


def _body(d):
    """Kind, limbs around the origin and radius of a new cell."""
    kind = d.pick(("spread", "spread", "spread", "bean", "bean", "spindle", "round"))
    radius = d(6.0, 12.0) if kind != "round" else d(5.0, 7.5)
    u, v = _direction(d)
    bend = d(-0.5, 0.5)
    if kind == "round":
        ends = ((0.15, 1.0), (-0.15, 1.0))
    elif kind == "bean":
        ends = ((d(0.5, 1.1), d(0.7, 0.95)), (-d(0.5, 1.1), d(0.7, 0.95)))
    elif kind == "spindle":
        radius *= 0.75
        ends = ((d(1.3, 2.6), d(0.15, 0.35)), (-d(1.3, 2.6), d(0.15, 0.35)))
    else:
        ends = ((d(0.3, 0.9), d(0.6, 0.9)), (-d(0.3, 0.9), d(0.6, 0.9)))
    limbs = []
    for along, end in ends:
        side = bend * abs(along)
        x, y = radius * (along * u - side * v), radius * (along * v + side * u)
        limbs.append((0.0, 0.0, radius * 0.95, x, y, radius * end))
    for _ in range(d.whole(1, 4) if kind == "spread" else d.whole(0, 1)):
        (x, y), length = _direction(d), radius * d(1.0, 1.9)
        limbs.append((0.0, 0.0, radius * 0.6, x * length, y * length, radius * d(0.12, 0.4)))
    return kind, tuple(limbs), radius


def _moved(limbs, place):
    x, y = place
    return tuple((x0 + x, y0 + y, r0, x1 + x, y1 + y, r1) for x0, y0, r0, x1, y1, r1 in limbs)


def _apart(d, touch):
    """A place with some distance to everything, or None after a few tries."""
    for _ in range(8):
        place = d(0.0, FIELD), d(0.0, FIELD)
        if touch(*place) < -3.0:
            return place
    return None


def _beside(d, touch, near):
    """The place nearest to cell `near`, of a few directions, at which the cell just presses on the crowd."""
    squeeze, best = d(0.6, 2.4), None
    for _ in range(3):
        u, v = _direction(d)
        inner, outer = 0.0, 64.0
        for _ in range(7):
            middle = 0.5 * (inner + outer)
            if touch(near[0] + u * middle, near[1] + v * middle) > squeeze:
                inner = middle
            else:
                outer = middle
        place = near[0] + u * outer, near[1] + v * outer
        inside = all(-0.5 * _MARGIN < at < FIELD + 0.5 * _MARGIN for at in place)
        if inside and (best is None or outer < best[0]):
            best = outer, place
    return best and best[1]


def _finish(d, kind, limbs, radius, place):
    """The `Cell` of a body that has found its place: nucleus, thickness, focus."""
    u, v = _direction(d)
    long, wide = radius * d(0.42, 0.58), radius * d(0.34, 0.46)
    x, y = place[0] + d(-0.2, 0.2) * radius, place[1] + d(-0.2, 0.2) * radius
    nucleoli = tuple(
        (x + d(-0.5, 0.5) * wide, y + d(-0.5, 0.5) * wide, d(0.7, 1.4)) for _ in range(d.whole(1, 3))
    )
    round_ = kind == "round"
    return Cell(
        kind,
        limbs,
        (x, y, u, v, long, wide),
        nucleoli,
        d(1.5, 1.9) if round_ else d(0.75, 1.2),
        d(0.5, 1.5) if round_ else d(3.0, 6.5),
        d(0.55, 1.0),
        d(0.5, 0.9) if d.chance(0.12) else d(0.0, 0.25),
        (d(0.0, 256.0), d(0.0, 256.0)),
    )


# --- geometry -----------------------------------------------------------------------------------------------
def outline(limbs: Iterable[tuple[float, ...]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance, about, from the points (x, y) to a body: below 0 inside, in units.

    The limbs are thick lines whose radius changes evenly from end to end; they flow into each other.
    """
    body = None
    for x0, y0, r0, x1, y1, r1 in limbs:
        dx, dy = x1 - x0, y1 - y0
        along = ((x - x0) * dx + (y - y0) * dy) * (1.0 / (dx * dx + dy * dy))
        along = _clip(along)
        px, py = x - x0 - along * dx, y - y0 - along * dy
        limb = np.sqrt(px * px + py * py) - (r0 + (r1 - r0) * along)
        body = limb if body is None else _blend(body, limb, 4.0)
    return body


def _blend(a, b, width):
    """The smaller of both, with a rounded corner."""
    corner = np.maximum(width - abs(a - b), 0.0)
    return np.minimum(a, b) - corner * corner * (0.25 / width)


def _clip(values, low=0.0, high=1.0):
    return np.minimum(np.maximum(values, low), high)


class _Fields:
    """Which cell is nearest to every pixel, and how deep it lies there.

    x, y: float32 coordinates in units; first, second: distance to the outline of the nearest cell and of the
    next, below 0 inside; owner: the nearest one's number, -1 where none is near; other: the next one's.
    """

    def __init__(self, cells, size):
        self.scale = max(size) / FIELD
        self.y, self.x = (self._axis(pixels)[:, None] for pixels in size)
        self.x = self.x.T
        self.first = np.full(size, _REACH, np.float32)
        self.second = np.full(size, _REACH, np.float32)
        self.owner = np.full(size, -1, np.int32)
        self.other = np.full(size, -1, np.int32)
        for number, cell in enumerate(cells):
            self._add(number, cell)

    def _axis(self, pixels):
        return ((np.arange(pixels) + 0.5 - 0.5 * pixels) / self.scale + 0.5 * FIELD).astype(np.float32)

    def box(self, cell, margin):
        """The part of the picture, as two slices, within `margin` units of the cell's limbs."""
        spots = [spot for limb in cell.limbs for spot in (limb[:3], limb[3:])]
        low = [min(spot[axis] - spot[2] for spot in spots) - margin for axis in (1, 0)]
        high = [max(spot[axis] + spot[2] for spot in spots) + margin for axis in (1, 0)]
        axes = self.y[:, 0], self.x[0]
        return tuple(
            slice(*np.searchsorted(axis, (start, stop)).tolist())
            for axis, start, stop in zip(axes, low, high, strict=True)
        )

    def _add(self, number, cell):
        box = self.box(cell, _REACH)
        x, y = self.x[:, box[1]], self.y[box[0]]
        ripple = smooth(noise((8, 16), 11), y * 4.0 + cell.phase[0], x * 4.0 + cell.phase[1])
        own = outline(cell.limbs, x, y) + (ripple - 0.5) * (2.0 * cell.roughness)
        first, second, owner, other = (a[box] for a in (self.first, self.second, self.owner, self.other))
        wins, places = own < first, own < second
        np.copyto(second, np.where(wins, first, own), where=places)
        np.copyto(other, np.where(wins, owner, number), where=places)
        np.copyto(first, own, where=wins)
        np.copyto(owner, number, where=wins)


def _separate(fields):
    """int32[H, W]: 0 background, 1..n the cells, of which no two touch, not even at a corner."""
    inside = (fields.first < 0.0) & (fields.second - fields.first > GAP)
    found = np.where(inside, fields.owner + 1, 0).astype(np.int32)
    padded = np.pad(found, 1)
    rows, columns = found.shape
    for top in range(3):
        for left in range(3):
            near = padded[top : top + rows, left : left + columns]
            found[(near > 0) & (near < found)] = 0
    return _whole(found, max(6.0, 12.0 * fields.scale * fields.scale))


def _whole(found, smallest):
    """Keep the largest piece of every cell unless it is tiny, and number the cells that are left."""
    pieces, count = ndimage.label(found > 0)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    cell_of = np.zeros(count + 1, np.int32)
    cell_of[pieces.ravel()] = found.ravel()
    numbers, order = np.zeros(count + 1, np.int32), 0
    for cell in range(1, int(found.max(initial=0)) + 1):
        own = np.flatnonzero(cell_of == cell)
        if len(own) and sizes[own].max() >= smallest:
            order += 1
            numbers[own[sizes[own].argmax()]] = order
    return numbers[pieces]


# --- the picture --------------------------------------------------------------------------------------------
def _develop(culture, fields, draws):
    """uint8[H, W]: height of everything, seen through the microscope."""
    height, dye, focus = _height(culture, fields)
    scale = fields.scale
    height = _blur(height, 0.7 * scale)
    down, right = np.gradient(height)
    relief = (right * culture.shear[0] + down * culture.shear[1]) * scale
    halo = _blur(height, 4.0 * scale) - height
    signal = 270.0 * relief + (70.0 * culture.halo) * halo + dye
    soft = _blur(signal, 1.8 * scale)
    signal = signal + (soft - signal) * _blur(focus, 1.5 * scale)
    picture = _lamp(culture, fields) + _blur(signal, 0.4 * scale)
    rows, columns = picture.shape
    grain = draws.bytes(2 * picture.size).reshape(2, rows, columns).astype(np.float32)
    picture += (grain[0] + grain[1] - 255.0) * (culture.grain / 104.0)
    return _clip(picture + 0.5, 0.0, 255.0).astype(np.uint8)


def _height(culture, fields):
    """Optical thickness, absorption in grey levels, and blur 0..1 of every pixel, float32[H, W] each."""
    cells = culture.cells
    thickness = np.array([cell.thickness for cell in cells] + [0.0], np.float32)
    seam = np.array([cell.seam for cell in cells] + [0.0], np.float32)
    depth = np.maximum(-fields.first, 0.0)
    dome = depth / (depth + 2.5)
    apart = fields.second - fields.first
    own, next_ = thickness[fields.owner], thickness[fields.other]
    own = own + (np.where(next_ > 0.0, next_, own) - own) * np.maximum(0.5 - apart * 0.2, 0.0)
    ripple = smooth(noise((16, 32), 13), fields.y * 6.0 + culture.drift[0], fields.x * 6.0 + culture.drift[1])
    pinch = np.maximum(1.0 - apart * 0.4, 0.0) * seam[fields.owner] * (0.5 + ripple)
    height = own * dome * (1.0 - _clip(pinch))
    dye = pinch * depth * (1.0 / (depth + 1.0)) * 22.0
    for number, cell in enumerate(cells):
        _organelles(height, dye, fields, number, cell)
    for x, y, radius, strength in culture.debris:
        square = (fields.x - x) * (fields.x - x) + (fields.y - y) * (fields.y - y)
        height += np.maximum(1.0 - square * (1.0 / (radius * radius)), 0.0) * strength
    focus = np.array([cell.focus for cell in cells] + [0.0], np.float32)[fields.owner]
    return height, dye, focus


def _organelles(height, dye, fields, number, cell):
    """Add nucleus, nucleoli and granules of one cell where it is the nearest."""
    box = fields.box(cell, 4.0)
    mine = (fields.owner[box] == number) * np.minimum(np.maximum(-fields.first[box], 0.0) * 0.5, 1.0)
    x, y = fields.x[:, box[1]], fields.y[box[0]]
    nx, ny, u, v, long, wide = cell.nucleus
    along, across = ((x - nx) * u + (y - ny) * v) * (1.0 / long), ((y - ny) * u - (x - nx) * v) * (1.0 / wide)
    inner = 1.0 - (along * along + across * across)
    nucleus = _clip(inner * 2.5 + 0.5)
    fine = smooth(noise((64, 128), 17), y * 3.5 + cell.phase[1], x * 3.5 + cell.phase[0])
    coarse = smooth(noise((16, 32), 13), y * 8.0 + cell.phase[0], x * 8.0 + cell.phase[1])
    granules = np.maximum(fine - 0.5, 0.0) * 1.0 * (0.3 + coarse)
    own = 0.45 * nucleus + granules * (1.0 - nucleus)
    for cx, cy, radius in cell.nucleoli:
        square = (x - cx) * (x - cx) + (y - cy) * (y - cy)
        own = own + np.maximum(1.0 - square * (1.0 / (radius * radius)), 0.0) * 0.8
    height[box] += mine * own
    dye[box] -= mine * (7.0 - 4.0 * nucleus)


def _lamp(culture, fields):
    """Uneven light and the dirt of the medium, in grey levels."""
    level, right, down, bowl = culture.light
    u, v = fields.x * (1.0 / FIELD) - 0.5, fields.y * (1.0 / FIELD) - 0.5
    mist = smooth(noise((4, 8, 16), 19), fields.y * 1.3 + culture.drift[1], fields.x * 1.3 + culture.drift[0])
    return level + right * u + down * v - bowl * (u * u + v * v) + 16.0 * (mist - 0.5)


def _blur(picture, sigma):
    """Smooth with about the Gaussian of `sigma` pixels: repeated (1, 2, 1) / 4, wider steps for wide blur."""
    variance, step = sigma * sigma, 1
    while variance >= 0.25:
        picture = _binomial(_binomial(picture, step, 0), step, 1)
        variance -= 0.5 * step * step
        if variance >= 2.0 * (2 * step) * (2 * step):
            step *= 2
        while step > 1 and variance < 0.5 * step * step:
            step //= 2
    return picture


def _binomial(picture, step, axis):
    size = picture.shape[axis]
    wide = np.pad(picture, [(step, step) if a == axis else (0, 0) for a in range(2)], mode="edge")
    before, after = wide.take(range(size), axis), wide.take(range(2 * step, 2 * step + size), axis)
    return 0.5 * picture + 0.25 * (before + after)

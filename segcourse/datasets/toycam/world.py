"""What stands where in a ToyCam scene: parameters only, sampled before any pixel is drawn.

World coordinates are metres: x to the right of the road's middle, y up, z forward from the camera. Nothing
here depends on the picture's size, so a scene is the same world at every resolution, and moving the camera or
a thing gives the next frame of a film.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from .shapes import CARS, SIGNS, TREES, Draws

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along +z; `focal` in picture widths, `centre` and `horizon` in picture
    fractions."""

    x: float
    height: float
    focal: float
    centre: float
    horizon: float


@dataclass(frozen=True)
class Light:
    """Colours are RGB factors around 1; `shadow` is the (x, z) offset of a shadow per metre of height."""

    sun: tuple
    ambient: tuple
    zenith: tuple
    skyline: tuple
    fog_distance: float
    clouds: float
    cloud_shade: float
    shadow: tuple
    night: bool
    rain: float
    cast: tuple
    noise: float
    drift: tuple  # offsets into the noise tables: clouds, asphalt


@dataclass(frozen=True)
class Street:
    """The ground: half width of the road, width of a pavement, perhaps a crossing street (z from, to)."""

    half: float
    pavement: float
    junction: tuple | None
    zebra: float | None
    dash: float
    yard: tuple
    slab: tuple
    asphalt: tuple


class Thing(NamedTuple):
    """One object: `x`, `z` of the middle of its foot (front for cars and houses), `y` its base, sizes in
    metres."""

    kind: str
    x: float
    z: float
    width: float
    height: float
    length: float = 0.0
    y: float = 0.0
    style: object = 0
    colors: tuple = ()
    flip: bool = False


@dataclass
class World:
    camera: Camera
    light: Light
    street: Street
    things: list = field(default_factory=list)

    def is_free(self, x, z, width, length, margin=0.3):
        """Whether no solid thing stands in the rectangle around x and from z to z + length."""
        for t in self.things:
            gap = (width + t.width) / 2 + margin
            if (
                t.kind != "pole"
                and abs(t.x - x) < gap
                and z - margin < t.z + t.length
                and t.z < z + length + margin
            ):
                return False
        return True


# name: weight, sun, ambient, zenith, skyline, fog distance, cloud cover, cloud brightness, night, rain
WEATHER = (
    (
        "clear",
        0.30,
        (0.62, 0.58, 0.50),
        (0.50, 0.53, 0.60),
        (0.25, 0.47, 0.80),
        (0.70, 0.82, 0.92),
        420.0,
        0.35,
        1.0,
        False,
        0.0,
    ),
    (
        "fair",
        0.20,
        (0.50, 0.47, 0.42),
        (0.55, 0.57, 0.62),
        (0.38, 0.55, 0.78),
        (0.80, 0.86, 0.90),
        260.0,
        0.75,
        0.97,
        False,
        0.0,
    ),
    (
        "overcast",
        0.17,
        (0.06, 0.06, 0.06),
        (0.80, 0.82, 0.86),
        (0.62, 0.66, 0.70),
        (0.84, 0.86, 0.87),
        160.0,
        1.0,
        0.78,
        False,
        0.0,
    ),
    (
        "golden",
        0.12,
        (0.80, 0.52, 0.28),
        (0.42, 0.39, 0.46),
        (0.33, 0.40, 0.62),
        (0.98, 0.72, 0.46),
        220.0,
        0.6,
        1.0,
        False,
        0.0,
    ),
    (
        "fog",
        0.06,
        (0.03, 0.03, 0.03),
        (0.80, 0.82, 0.84),
        (0.74, 0.76, 0.78),
        (0.80, 0.81, 0.82),
        42.0,
        0.2,
        0.8,
        False,
        0.0,
    ),
    (
        "rain",
        0.06,
        (0.03, 0.03, 0.03),
        (0.58, 0.61, 0.66),
        (0.40, 0.44, 0.49),
        (0.60, 0.63, 0.67),
        90.0,
        1.0,
        0.5,
        False,
        1.0,
    ),
    (
        "night",
        0.09,
        (0.03, 0.03, 0.04),
        (0.38, 0.41, 0.54),
        (0.05, 0.08, 0.20),
        (0.24, 0.25, 0.38),
        200.0,
        0.6,
        0.24,
        True,
        0.0,
    ),
)
WALLS = (
    (0.72, 0.40, 0.30),
    (0.60, 0.33, 0.26),
    (0.80, 0.72, 0.58),
    (0.85, 0.80, 0.70),
    (0.68, 0.66, 0.63),
    (0.55, 0.53, 0.52),
    (0.83, 0.66, 0.48),
    (0.88, 0.84, 0.80),
    (0.62, 0.68, 0.70),
    (0.74, 0.60, 0.60),
    (0.66, 0.70, 0.58),
    (0.50, 0.38, 0.33),
)
ROOFS = ((0.45, 0.22, 0.17), (0.33, 0.31, 0.32), (0.52, 0.30, 0.20), (0.28, 0.27, 0.30), (0.40, 0.36, 0.32))
PAINTS = (
    (0.75, 0.10, 0.10),
    (0.12, 0.22, 0.50),
    (0.85, 0.86, 0.87),
    (0.60, 0.62, 0.64),
    (0.13, 0.13, 0.14),
    (0.33, 0.35, 0.38),
    (0.15, 0.38, 0.28),
    (0.85, 0.70, 0.20),
    (0.45, 0.12, 0.18),
    (0.55, 0.66, 0.75),
    (0.80, 0.42, 0.14),
    (0.72, 0.68, 0.58),
)
CLOTHES = (*PAINTS, (0.62, 0.30, 0.45), (0.35, 0.42, 0.25), (0.20, 0.20, 0.28), (0.48, 0.38, 0.30))
SKIN = ((0.88, 0.68, 0.56), (0.76, 0.55, 0.42), (0.50, 0.34, 0.25), (0.34, 0.23, 0.17))
LEAVES = (
    (0.30, 0.46, 0.17),
    (0.24, 0.40, 0.16),
    (0.38, 0.50, 0.20),
    (0.20, 0.36, 0.20),
    (0.44, 0.48, 0.20),
    (0.62, 0.46, 0.16),
    (0.70, 0.36, 0.15),
    (0.55, 0.24, 0.18),
    (0.82, 0.62, 0.66),
)
GROUNDS = ((0.52, 0.50, 0.47), (0.44, 0.40, 0.35), (0.58, 0.56, 0.53), (0.47, 0.44, 0.42))
SHADES_OF_ROAD = ((0.36, 0.36, 0.37), (0.42, 0.41, 0.40), (0.31, 0.31, 0.33), (0.46, 0.44, 0.42))


def _jitter(d, color, amount=0.06):
    common = d(-amount, amount)
    return tuple([min(0.97, max(0.03, c + common + d(-amount, amount) * 0.5)) for c in color])


def _scaled(color, factor):
    return tuple([c * factor for c in color])


def _light(d):
    at, choice = d(), 0
    while at >= WEATHER[choice][1] and choice < len(WEATHER) - 1:
        at, choice = at - WEATHER[choice][1], choice + 1
    _, _, sun, ambient, zenith, skyline, fog, clouds, cloud_shade, night, rain = WEATHER[choice]
    exposure = d(0.82, 1.16)
    side, low = (1.0 if d.chance(0.5) else -1.0), (1.5 if WEATHER[choice][0] == "golden" else 1.0)
    shadow = (side * d(0.25, 1.1) * low, (1.0 if d.chance(0.6) else -1.0) * d(0.25, 0.8))
    return Light(
        _scaled(sun, exposure),
        _scaled(ambient, exposure),
        _jitter(d, zenith, 0.04 * (not night)),
        _jitter(d, skyline, 0.03),
        fog * d(0.7, 1.4),
        min(1.0, clouds * d(0.5, 1.3)),
        cloud_shade,
        shadow,
        night,
        rain * d(0.5, 1.0),
        (d(0.92, 1.08), d(0.96, 1.04), d(0.90, 1.10)),
        d(2.0, 8.0) + 2.0 * night,
        (int(d(0, 256)), int(d(0, 256))),
    )


def sample(seed, index):
    """The `World` of scene `index` of stream `seed`."""
    d = Draws(seed, index)
    side = 1.0 if d.chance(0.5) else -1.0
    half = d(3.3, 5.2)
    camera = Camera(
        side * half * d(0.3, 0.55), d(1.35, 2.3), d(0.8, 1.05), 0.5 + d(-0.12, 0.12), d(0.41, 0.52)
    )
    light = _light(d)
    start = d(18.0, 45.0)
    junction = (start, start + d(7.0, 10.0)) if d.chance(0.3) else None
    zebra = d(8.0, 26.0) if d.chance(0.3) else None
    street = Street(
        half,
        d(2.2, 4.0),
        junction,
        zebra,
        d(2.0, 4.0),
        _jitter(d, d.pick(GROUNDS)),
        _jitter(d, d.pick(GROUNDS)),
        _jitter(d, d.pick(SHADES_OF_ROAD)),
    )
    world = World(camera, light, street)
    _backdrop(world, d)
    for edge in (-1.0, 1.0):
        _roadside(world, d, edge)
    _traffic(world, d, side)
    _people(world, d)
    world.things.sort(key=lambda t: -_sort_depth(t))
    return world


def _sort_depth(t):
    """Houses by their far end (what stands before their wall comes later), cars by their middle, others by
    foot."""
    return t.z + t.length * (1.0 if t.kind == "house" else 0.5)


def _crossing(street, z, length=0.0):
    return (
        street.junction is not None and z < street.junction[1] + 1.0 and street.junction[0] - 1.0 < z + length
    )


def _house(d, x, z, width, length, height, style=None):
    """`style`: window pitch (x, y) and share (x, y), roof shape and rise, shop front, seed of the lit
    windows."""
    roof = d.pick(("flat", "flat", "gable", "gable", "stepped")) if height < 17 else "flat"
    windows = (d(1.7, 3.2), d(2.7, 3.5), d(0.38, 0.66), d(0.42, 0.66))
    if height > 15 and d.chance(0.35):
        windows = (d(1.2, 2.0), 3.2, 0.88, 0.7)  # an office block of glass
    rise = width * d(0.22, 0.42) if roof != "flat" else 0.0
    colors = (
        _jitter(d, d.pick(WALLS), 0.08),
        d.pick(ROOFS),
        _jitter(d, d.pick(((0.9, 0.88, 0.84), (0.35, 0.3, 0.28), (0.7, 0.68, 0.65)))),
        _jitter(d, d.pick(PAINTS)),
    )
    return Thing(
        "house",
        x,
        z,
        width,
        height,
        length,
        0.0,
        (windows, roof, rise, d.chance(0.4), d.whole(0, 255)),
        colors,
    )


def _backdrop(world, d):
    """Far hills or woods behind everything, a skyline, and sometimes houses that close the street."""
    world.things.append(
        Thing("hills", 0.0, 600.0, 0.0, d(8.0, 45.0), style=d.whole(0, 255), colors=(d.pick(LEAVES),))
    )
    for _ in range(d.whole(2, 7)):
        z, width = d(130.0, 220.0), d(14.0, 40.0)
        world.things.append(_house(d, d(-130.0, 130.0), z, width, 1.0, d(14.0, 60.0)))
    if d.chance(0.3):
        z = d(70.0, 110.0)
        for number in range(4):
            world.things.append(_house(d, -24.0 + number * 16.0, z, 15.9, 10.0, d(7.0, 18.0)))


def _roadside(world, d, edge):
    """One side of the street, near to far: houses with a fence or hedge before them, trees, poles, signs."""
    street, kind = world.street, d.pick(("canyon", "canyon", "villas", "villas", "park"))
    outer = street.half + street.pavement
    setback = {"canyon": 0.0, "villas": d(3.0, 7.0), "park": d(14.0, 22.0)}[kind]
    tall = d(9.0, 20.0) if kind != "villas" else d(5.0, 8.0)
    z = d(1.0, 6.0)
    while z < 80.0:
        length, width = d(8.0, 17.0), d(9.0, 13.0)
        if not _crossing(street, z, length):
            height = max(4.5, tall * d(0.7, 1.35))
            world.things.append(_house(d, edge * (outer + setback + width / 2), z, width, length, height))
        z += length + (0.02 if kind == "canyon" and d.chance(0.8) else d(1.5, 9.0))
    if kind != "canyon" or d.chance(0.15):
        _fence(world, d, edge * (outer + 0.15 if kind != "canyon" else street.half + 0.25))
    _trees(world, d, edge, kind, outer)
    _street_furniture(world, d, edge, outer)


def _fence(world, d, x):
    style, height = d.pick(("picket", "boards", "rails", "wall", "hedge")), d(0.9, 1.7)
    colors = (
        _jitter(d, d.pick((*WALLS, (0.45, 0.33, 0.22), (0.9, 0.9, 0.88), (0.25, 0.3, 0.26)))),
        d.pick(LEAVES),
    )
    z, stop, panel = d(3.0, 8.0), d(18.0, 45.0), 5.0
    gap = d(8.0, 30.0)
    while z < stop:
        if not _crossing(world.street, z, panel) and not gap < z < gap + 3.5:
            world.things.append(
                Thing("hedge" if style == "hedge" else "fence", x, z, 0.1, height, panel, 0.0, style, colors)
            )
        z += panel


def _trees(world, d, edge, kind, outer):
    if d.chance({"canyon": 0.45, "villas": 0.6, "park": 0.95}[kind]):
        species, leaves, step, z = d.pick(TREES[:-1]), _tree_colors(d), d(7.0, 16.0), d(6.0, 16.0)
        x = edge * (outer - 0.6 if kind == "canyon" else outer + d(0.9, 2.6))
        while z < 60.0:
            if not _crossing(world.street, z):
                size = d(4.2, 7.5) * (0.75 if kind == "canyon" else 1.0)
                _plant(world, d, species, x + d(-0.4, 0.4), z, size, leaves)
            z += step * d(0.7, 1.4)
    for _ in range({"canyon": 0, "villas": 4, "park": 8}[kind]):
        z, size = d(6.0, 60.0), d(0.8, 8.5)
        species = "bush" if size < 2.0 else d.pick(TREES[:-1])
        _plant(
            world,
            d,
            species,
            edge * (outer + d(1.0, 2.5 if kind == "villas" else 12.0)),
            z,
            size,
            _tree_colors(d),
        )


def _tree_colors(d):
    first = d.pick(LEAVES[:5]) if d.chance(0.75) else d.pick(LEAVES)
    return (_jitter(d, first, 0.05), _jitter(d, first, 0.1))


def _plant(world, d, species, x, z, size, leaves):
    ratio = {"poplar": 0.474, "fir": 0.474, "bush": 1.6}.get(species, 0.9375)
    if species in ("poplar", "fir"):
        size *= 1.35
    world.things.append(
        Thing("tree", x, z, size * ratio * d(0.85, 1.15), size, 0.0, 0.0, species, leaves, d.chance(0.5))
    )


def _street_furniture(world, d, edge, outer):
    """Lamps in a row, and signs, traffic lights and bare poles along the kerb."""
    inner, street = street_kerb(world.street), world.street
    if d.chance(0.5):
        z, step, height = d(6.0, 16.0), d(14.0, 24.0), d(4.5, 7.5)
        while z < 55.0:
            _pole(world, d, edge * inner, z, height, "lamp", edge)
            z += step
    for _ in range(d.whole(1, 4)):
        z, height = d(6.0, 24.0), d(2.2, 3.2)
        kind = d.pick(SIGNS) if street.junction is None else d.pick((*SIGNS, *SIGNS[-2:]))
        size = d(0.8, 1.15)
        width, tall = (
            (0.42 * size, 1.05 * size)
            if kind.startswith("lights")
            else (size * (1.7 if kind == "route" else 1.0), size)
        )
        x = edge * (inner + d(0.0, 0.5))
        _pole(world, d, x, z, height, "post", edge)
        paint = d.pick(((0.08, 0.35, 0.2), (0.1, 0.25, 0.6), (0.9, 0.75, 0.15), (0.45, 0.25, 0.12)))
        world.things.append(Thing("sign", x, z - 0.05, width, tall, 0.0, height - tall, kind, (paint,)))
        if d.chance(0.25):
            world.things.append(
                Thing("sign", x, z - 0.05, 0.6, 0.6, 0.0, height - tall - 0.65, d.pick(SIGNS[:8]), (paint,))
            )
    for _ in range(d.whole(0, 1)):
        _pole(
            world,
            d,
            edge * (inner + d(0.0, 0.3) if d.chance(0.5) else outer - 0.2),
            d(5.0, 32.0),
            d(1.0, 8.0),
            "post",
            edge,
        )


def street_kerb(street):
    return street.half + 0.45


def _pole(world, d, x, z, height, style, edge):
    if not _crossing(world.street, z):
        color = _jitter(
            d, d.pick(((0.42, 0.43, 0.44), (0.62, 0.63, 0.63), (0.2, 0.22, 0.22), (0.35, 0.28, 0.2)))
        )
        thickness = d(0.08, 0.15)
        world.things.append(Thing("pole", x, z, thickness, height, 0.0, 0.0, style, (color,), edge > 0))


def _car(world, d, x, z, view, kind=None):
    kind = kind or d.pick(
        (
            "hatch",
            "hatch",
            "sedan",
            "sedan",
            "van",
            "truck" if view != "front" else "hatch",
            "bus" if z > 12 else "sedan",
        )
    )
    length, width, height = CARS[kind][:3]
    across = view in ("left", "right")
    size = d(0.95, 1.06)
    wide, deep = (length, width) if across else (width, length)
    if world.is_free(x, z, wide * size, deep * size):
        colors = (_jitter(d, d.pick(PAINTS)), _jitter(d, d.pick(WALLS)))
        world.things.append(
            Thing(
                "car",
                x,
                z,
                wide * size,
                height * size,
                deep * size,
                0.0,
                (kind, view),
                colors,
                view == "right",
            )
        )


def _traffic(world, d, side):
    """`side` is the half of the road on which the camera drives: cars there show their backs."""
    street = world.street
    for edge in (-1.0, 1.0):
        view = "back" if edge == side else "front"
        for _ in range(d.whole(0, 3)):
            _car(world, d, edge * street.half * d(0.38, 0.5), d(7.0, 55.0), view)
        if d.chance(0.6):
            z = d(6.0, 14.0)
            for _ in range(d.whole(1, 6)):
                if not _crossing(street, z, 6.0):
                    _car(
                        world,
                        d,
                        edge * (street.half - 1.0),
                        z,
                        view,
                        d.pick(("hatch", "sedan", "hatch", "van")),
                    )
                z += d(5.5, 9.0)
    if street.junction:
        for _ in range(d.whole(1, 3)):
            _car(world, d, d(-14.0, 14.0), street.junction[0] + d(1.0, 4.5), d.pick(("left", "right")))


def _people(world, d):
    street, camera = world.street, world.camera
    for _ in range(d.whole(3, 9)):
        edge, z = (1.0 if d.chance(0.5) else -1.0), d(6.0, 12.0) if d.chance(0.45) else d(9.0, 40.0)
        x = edge * (street.half + d(0.5, street.pavement - 0.3))
        if d.chance(0.2):
            x, z = d(-street.half, street.half), (street.zebra + 1.0 if street.zebra else z + 8.0)
        _person(world, d, x, z)
    for _ in range(d.whole(1, 4)):
        z = d(5.5, 13.0) if d.chance(0.5) else d(8.0, 32.0)
        view = d.pick(("front", "back", "side"))
        x = (
            camera.x + d(-0.45, 0.45) * z
            if d.chance(0.4)
            else (1.0 if d.chance(0.5) else -1.0) * (street.half - d(0.5, 1.2))
        )
        x = min(street.half - 0.4, max(0.4 - street.half, x))
        variant, flip, size = d.whole(0, 3), d.chance(0.5), d(1.7, 1.9)
        width = size * (1.85 / 1.75 if view == "side" else 0.8 / 1.78)
        if world.is_free(x, z, width, 0.6, 0.1):
            world.things.append(
                Thing("bicyclist", x, z, width, size, 0.5, 0.0, (view, variant), _clothes(d), flip)
            )


def _person(world, d, x, z):
    size, variant, flip, clothes = d(1.5, 1.92), d.whole(0, 5), d.chance(0.5), _clothes(d)
    if world.is_free(x, z, 0.5, 0.3, 0.05):
        world.things.append(Thing("pedestrian", x, z, size * 0.51, size, 0.3, 0.0, variant, clothes, flip))


def _clothes(d):
    return (_jitter(d, d.pick(CLOTHES)), _scaled(_jitter(d, d.pick(CLOTHES)), 0.75), d.pick(SKIN))

"""Who uses the street: cars, riders, people on foot."""

from .colors import CLOTHES, PAINTS, SKIN, WALLS, jitter, scaled
from .noise import Draws
from .sprites import CARS
from .world import Thing, World


def traffic(world: World, d: Draws, side: float) -> None:
    """`side` is the half of the road on which the camera drives: cars there show their backs."""
    street = world.street
    for edge in (-1.0, 1.0):
        view = "back" if edge == side else "front"
        for _ in range(d.whole(0, 3)):
            _car(world, d, edge * street.half * d(0.38, 0.5), d(7.0, 55.0), view)
        if d.chance(0.6):
            z = d(6.0, 14.0)
            for _ in range(d.whole(1, 6)):
                if not street.crosses(z, 6.0):
                    kind = d.pick(("hatch", "sedan", "hatch", "van"))
                    _car(world, d, edge * (street.half - 1.0), z, view, kind)
                z += d(5.5, 9.0)
    if street.junction:
        for _ in range(d.whole(1, 3)):
            _car(world, d, d(-14.0, 14.0), street.junction[0] + d(1.0, 4.5), d.pick(("left", "right")))


def _car(world, d, x, z, view, kind=None):
    large = ("truck" if view != "front" else "hatch", "bus" if z > 12 else "sedan")
    kind = kind or d.pick(("hatch", "hatch", "sedan", "sedan", "van", *large))
    length, width, height = CARS[kind][:3]
    across = view in ("left", "right")
    size = d(0.95, 1.06)
    wide, deep = (length, width) if across else (width, length)
    if world.is_free(x, z, wide * size, deep * size):
        colors = (jitter(d, d.pick(PAINTS)), jitter(d, d.pick(WALLS)))
        box = (wide * size, height * size, deep * size)
        world.things.append(Thing("car", x, z, *box, 0.0, (kind, view), colors, view == "right"))


def people(world: World, d: Draws) -> None:
    """People on the pavements and crossing the road, and riders near the kerb or before the camera."""
    street = world.street
    for _ in range(d.whole(3, 9)):
        edge, z = (1.0 if d.chance(0.5) else -1.0), d(6.0, 12.0) if d.chance(0.45) else d(9.0, 40.0)
        x = edge * (street.half + d(0.5, street.pavement - 0.3))
        if d.chance(0.2):
            x, z = d(-street.half, street.half), (street.zebra + 1.0 if street.zebra else z + 8.0)
        _person(world, d, x, z)
    for _ in range(d.whole(1, 4)):
        _rider(world, d)


def _person(world, d, x, z):
    size, variant, flip, clothes = d(1.5, 1.92), d.whole(0, 5), d.chance(0.5), _clothes(d)
    if world.is_free(x, z, 0.5, 0.3, 0.05):
        world.things.append(Thing("pedestrian", x, z, size * 0.51, size, 0.3, 0.0, variant, clothes, flip))


def _rider(world, d):
    half = world.street.half
    z = d(5.5, 13.0) if d.chance(0.5) else d(8.0, 32.0)
    view = d.pick(("front", "back", "side"))
    if d.chance(0.4):
        x = world.camera.x + d(-0.45, 0.45) * z
    else:
        x = (1.0 if d.chance(0.5) else -1.0) * (half - d(0.5, 1.2))
    x = min(half - 0.4, max(0.4 - half, x))
    style, flip, size = (view, d.whole(0, 3)), d.chance(0.5), d(1.7, 1.9)
    width = size * (1.85 / 1.75 if view == "side" else 0.8 / 1.78)
    if world.is_free(x, z, width, 0.6, 0.1):
        world.things.append(Thing("bicyclist", x, z, width, size, 0.5, 0.0, style, _clothes(d), flip))


def _clothes(d):
    return (jitter(d, d.pick(CLOTHES)), scaled(jitter(d, d.pick(CLOTHES)), 0.75), d.pick(SKIN))

"""What stands beside the street: houses, fences, trees, lamps, signs."""

from .colors import LEAVES, PAINTS, ROOFS, WALLS, jitter
from .noise import Draws
from .sprites import SIGNS, TREES
from .world import Thing, World

TRIMS = ((0.9, 0.88, 0.84), (0.35, 0.3, 0.28), (0.7, 0.68, 0.65))
WOODS = ((0.45, 0.33, 0.22), (0.9, 0.9, 0.88), (0.25, 0.3, 0.26))
SIGN_PAINTS = ((0.08, 0.35, 0.2), (0.1, 0.25, 0.6), (0.9, 0.75, 0.15), (0.45, 0.25, 0.12))
METALS = ((0.42, 0.43, 0.44), (0.62, 0.63, 0.63), (0.2, 0.22, 0.22), (0.35, 0.28, 0.2))


def backdrop(world: World, d: Draws) -> None:
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


def roadside(world: World, d: Draws, edge: float) -> None:
    """One side of the street, near to far: houses with a fence or hedge before them, trees, poles, signs."""
    street, kind = world.street, d.pick(("canyon", "canyon", "villas", "villas", "park"))
    outer = street.half + street.pavement
    setback = {"canyon": 0.0, "villas": d(3.0, 7.0), "park": d(14.0, 22.0)}[kind]
    tall = d(9.0, 20.0) if kind != "villas" else d(5.0, 8.0)
    z = d(1.0, 6.0)
    while z < 80.0:
        length, width = d(8.0, 17.0), d(9.0, 13.0)
        if not street.crosses(z, length):
            height = max(4.5, tall * d(0.7, 1.35))
            world.things.append(_house(d, edge * (outer + setback + width / 2), z, width, length, height))
        z += length + (0.02 if kind == "canyon" and d.chance(0.8) else d(1.5, 9.0))
    if kind != "canyon" or d.chance(0.15):
        _fence(world, d, edge * (outer + 0.15 if kind != "canyon" else street.half + 0.25))
    _trees(world, d, edge, kind, outer)
    _street_furniture(world, d, edge, outer)


def _house(d, x, z, width, length, height):
    """A house; style: windows (pitch x, y, share x, y), roof and its rise, shop or not, seed of the rooms."""
    roof = d.pick(("flat", "flat", "gable", "gable", "stepped")) if height < 17 else "flat"
    windows = (d(1.7, 3.2), d(2.7, 3.5), d(0.38, 0.66), d(0.42, 0.66))
    if height > 15 and d.chance(0.35):
        windows = (d(1.2, 2.0), 3.2, 0.88, 0.7)  # an office block of glass
    rise = width * d(0.22, 0.42) if roof != "flat" else 0.0
    colors = (
        jitter(d, d.pick(WALLS), 0.08),
        d.pick(ROOFS),
        jitter(d, d.pick(TRIMS)),
        jitter(d, d.pick(PAINTS)),
    )
    style = (windows, roof, rise, d.chance(0.4), d.whole(0, 255))
    return Thing("house", x, z, width, height, length, 0.0, style, colors)


def _fence(world, d, x):
    style, height = d.pick(("picket", "boards", "rails", "wall", "hedge")), d(0.9, 1.7)
    colors = (
        jitter(d, d.pick((*WALLS, *WOODS))),
        d.pick(LEAVES),
    )
    kind = "hedge" if style == "hedge" else "fence"
    z, stop, panel = d(3.0, 8.0), d(18.0, 45.0), 5.0
    gap = d(8.0, 30.0)
    while z < stop:
        if not world.street.crosses(z, panel) and not gap < z < gap + 3.5:
            world.things.append(Thing(kind, x, z, 0.1, height, panel, 0.0, style, colors))
        z += panel


def _trees(world, d, edge, kind, outer):
    if d.chance({"canyon": 0.45, "villas": 0.6, "park": 0.95}[kind]):
        species, leaves, step, z = d.pick(TREES[:-1]), _tree_colors(d), d(7.0, 16.0), d(6.0, 16.0)
        x = edge * (outer - 0.6 if kind == "canyon" else outer + d(0.9, 2.6))
        while z < 60.0:
            if not world.street.crosses(z):
                size = d(4.2, 7.5) * (0.75 if kind == "canyon" else 1.0)
                _plant(world, d, species, x + d(-0.4, 0.4), z, size, leaves)
            z += step * d(0.7, 1.4)
    for _ in range({"canyon": 0, "villas": 4, "park": 8}[kind]):
        z, size = d(6.0, 60.0), d(0.8, 8.5)
        species = "bush" if size < 2.0 else d.pick(TREES[:-1])
        x = edge * (outer + d(1.0, 2.5 if kind == "villas" else 12.0))
        _plant(world, d, species, x, z, size, _tree_colors(d))


def _tree_colors(d):
    first = d.pick(LEAVES[:5]) if d.chance(0.75) else d.pick(LEAVES)
    return (jitter(d, first, 0.05), jitter(d, first, 0.1))


def _plant(world, d, species, x, z, size, leaves):
    ratio = {"poplar": 0.474, "fir": 0.474, "bush": 1.6}.get(species, 0.9375)
    if species in ("poplar", "fir"):
        size *= 1.35
    width, flip = size * ratio * d(0.85, 1.15), d.chance(0.5)
    world.things.append(Thing("tree", x, z, width, size, 0.0, 0.0, species, leaves, flip))


def _street_furniture(world, d, edge, outer):
    """Lamps in a row, and signs, traffic lights and bare poles along the kerb."""
    kerb = world.street.half + 0.45
    if d.chance(0.5):
        z, step, height = d(6.0, 16.0), d(14.0, 24.0), d(4.5, 7.5)
        while z < 55.0:
            _pole(world, d, edge * kerb, z, height, "lamp", edge)
            z += step
    for _ in range(d.whole(1, 4)):
        _sign(world, d, kerb, edge)
    if d.whole(0, 1):
        x = edge * (kerb + d(0.0, 0.3) if d.chance(0.5) else outer - 0.2)
        z, height = d(5.0, 32.0), d(1.0, 8.0)
        _pole(world, d, x, z, height, "post", edge)


def _sign(world, d, kerb, edge):
    """A post with a sign or traffic lights, sometimes with a small second sign below."""
    z, height = d(6.0, 24.0), d(2.2, 3.2)
    kind = d.pick(SIGNS) if world.street.junction is None else d.pick((*SIGNS, *SIGNS[-2:]))
    size = d(0.8, 1.15)
    width, tall = size * (1.7 if kind == "route" else 1.0), size
    if kind.startswith("lights"):
        width, tall = 0.42 * size, 1.05 * size
    x = edge * (kerb + d(0.0, 0.5))
    _pole(world, d, x, z, height, "post", edge)
    paint = d.pick(SIGN_PAINTS)
    world.things.append(Thing("sign", x, z - 0.05, width, tall, 0.0, height - tall, kind, (paint,)))
    if d.chance(0.25):
        below = d.pick(SIGNS[:8])
        world.things.append(Thing("sign", x, z - 0.05, 0.6, 0.6, 0.0, height - tall - 0.65, below, (paint,)))


def _pole(world, d, x, z, height, style, edge):
    if not world.street.crosses(z):
        color = jitter(d, d.pick(METALS))
        thickness = d(0.08, 0.15)
        world.things.append(Thing("pole", x, z, thickness, height, 0.0, 0.0, style, (color,), edge > 0))

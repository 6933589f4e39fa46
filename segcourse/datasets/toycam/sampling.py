"""Drawing a ToyCam world: parameters only, sampled before any pixel is drawn."""

from .colors import GROUNDS, SHADES_OF_ROAD, jitter
from .noise import Draws
from .roadside import backdrop, roadside
from .traffic import people, traffic
from .weather import sample_light
from .world import Camera, Street, World


def sample(seed: int, index: int) -> World:
    """The `World` of scene `index` of stream `seed`."""
    d = Draws(seed, index)
    side = 1.0 if d.chance(0.5) else -1.0
    half = d(3.3, 5.2)
    camera = Camera(
        x=side * half * d(0.3, 0.55),
        height=d(1.35, 2.3),
        focal=d(0.8, 1.05),
        centre=0.5 + d(-0.12, 0.12),
        horizon=d(0.41, 0.52),
    )
    light = sample_light(d)
    start = d(18.0, 45.0)
    junction = (start, start + d(7.0, 10.0)) if d.chance(0.3) else None
    zebra = d(8.0, 26.0) if d.chance(0.3) else None
    street = Street(
        half,
        pavement=d(2.2, 4.0),
        junction=junction,
        zebra=zebra,
        dash=d(2.0, 4.0),
        yard=jitter(d, d.pick(GROUNDS)),
        slab=jitter(d, d.pick(GROUNDS)),
        asphalt=jitter(d, d.pick(SHADES_OF_ROAD)),
    )
    world = World(camera, light, street)
    backdrop(world, d)
    for edge in (-1.0, 1.0):
        roadside(world, d, edge)
    traffic(world, d, side)
    people(world, d)
    world.things.sort(key=lambda t: -_sort_depth(t))
    return world


def _sort_depth(t):
    """Houses by their far end, so that what stands before their wall comes later; cars by their middle."""
    return t.z + t.length * (1.0 if t.kind == "house" else 0.5)

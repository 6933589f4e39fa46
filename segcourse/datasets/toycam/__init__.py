"""ToyCam: a procedural street world with CamVid's 11 classes, exact labels, depth and layers.

Image k of seed s is the same on every platform, every NumPy version and whatever else was drawn. Two rules
keep it so: random numbers come from raw Philox words keyed by (seed, index), and whatever reaches a pixel
uses only operations that IEEE 754 fixes to the bit (+ - * / sqrt, comparisons, floor, integers, table
lookups): no sin, exp or power, no sums over float arrays, no drawing library.
"""

from dataclasses import dataclass

import numpy as np

from segcourse.datasets.rendered import cached
from segcourse.paths import cache_folder

from .canvas import Layer
from .noise import Draws
from .render import rasterise
from .sampling import sample
from .world import CLASSES, World

VERSION = 2  # raise it whenever a pixel changes: cached files of older versions are then ignored
SPLITS = {"train": (0, 800), "val": (1, 100), "test": (2, 100)}
SMALLEST = 32

__all__ = ["CLASSES", "Layer", "Scene", "World", "load", "render", "scene"]


@dataclass(frozen=True)
class Scene:
    """One street.

    image: uint8[H, W, 3] RGB; labels: uint8[H, W] class ids 0..10; depth: float32[H, W] metres (inf in the
    sky); layers: what was painted, back to front; world: camera, light and things, independent of the size.
    """

    image: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    layers: tuple[Layer, ...]
    world: World


def scene(seed: int, index: int, size: tuple[int, int] = (96, 128)) -> Scene:
    """The `Scene` number `index` of stream `seed` at `size` (rows, columns), each at least 32.

    Raises ValueError for a negative number or a bad size.
    """
    _check(seed, index, size)
    world = sample(seed, index)
    canvas, image = rasterise(world, tuple(size), Draws(seed, index + 2**40))
    return Scene(image, canvas.labels, canvas.depth, tuple(canvas.layers), world)


def render(
    seed: int, count: int, size: tuple[int, int] = (96, 128), start: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Scenes start .. start + count - 1 of a stream: (images uint8[N, H, W, 3], labels uint8[N, H, W])."""
    _check(seed, start, size)
    if count < 0:
        raise ValueError(f"count is {count}; it is the number of scenes, give 0 or more")
    images, labels = np.empty((count, *size, 3), np.uint8), np.empty((count, *size), np.uint8)
    for number in range(count):
        one = scene(seed, start + number, size)
        images[number], labels[number] = one.image, one.labels
    return images, labels


def load(
    split: str, size: tuple[int, int] | None = None, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` scenes (default: all) of "train" (800), "val" (100) or "test" (100).

    At `size`, by default (96, 128): (images uint8[N, H, W, 3], labels uint8[N, H, W]). The whole split is
    rendered once and kept in `cache_folder()`. Raises ValueError for an unknown split, a bad size or a bad
    count.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; ToyCam has {', '.join(SPLITS)}: use one of these")
    seed, total = SPLITS[split]
    size = (96, 128) if size is None else tuple(size)
    count = total if count is None else count
    _check(seed, 0, size)
    if not 0 <= count <= total:
        raise ValueError(
            f"count is {count}; {split} has {total} scenes: ask for 0 to {total}, or use render() for more"
        )
    path = cache_folder() / f"toycam-v{VERSION}-{split}-{size[0]}x{size[1]}.npz"
    shapes = {"images": (total, *size, 3), "labels": (total, *size)}
    arrays = cached(path, shapes, lambda: dict(zip(shapes, render(seed, total, size), strict=True)))
    return arrays["images"][:count], arrays["labels"][:count]


def _check(seed, index, size):
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index are {seed} and {index}; both number a scene, give 0 or more")
    if len(size) != 2 or min(size) < SMALLEST or any(int(n) != n for n in size):
        raise ValueError(
            f"size is {tuple(size)}; ToyCam needs (rows, columns), whole numbers of at least {SMALLEST}, "
            "such as (96, 128)"
        )

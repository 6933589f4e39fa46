"""What stands where in a ToyCam scene.

World coordinates are metres: x to the right of the road's middle, y up, z forward from the camera. Nothing
here depends on the picture's size, so a scene is the same world at every resolution, and moving the camera or
a thing gives the next frame of a film.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from .colors import Color

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
    """A pinhole camera looking along +z; `focal` in picture widths, `centre` and `horizon` as fractions."""

    x: float
    height: float
    focal: float
    centre: float
    horizon: float


@dataclass(frozen=True, kw_only=True)
class Air:
    """What the weather makes of the light; colours are RGB factors around 1."""

    sun: Color
    ambient: Color
    zenith: Color
    skyline: Color
    fog_distance: float
    clouds: float
    cloud_shade: float
    night: bool = False
    rain: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Light(Air):
    """The light of one scene; `shadow` is the (x, z) offset of a shadow per metre of height."""

    shadow: tuple[float, float]
    cast: Color
    noise: float
    drift: tuple[int, int]  # offsets into the noise tables: clouds, asphalt


@dataclass(frozen=True)
class Street:
    """The ground: half width of the road, width of a pavement, perhaps a crossing street (z from, to)."""

    half: float
    pavement: float
    junction: tuple[float, float] | None
    zebra: float | None
    dash: float
    yard: Color
    slab: Color
    asphalt: Color

    def crosses(self, z: float, length: float = 0.0) -> bool:
        """Whether the crossing street needs some of the stretch from z to z + length."""
        crossing = self.junction
        return crossing is not None and z < crossing[1] + 1.0 and crossing[0] - 1.0 < z + length


class Thing(NamedTuple):
    """One object, in metres: `x`, `z` the middle of its foot (front for cars and houses), `y` its base."""

    kind: str
    x: float
    z: float
    width: float
    height: float
    length: float = 0.0
    y: float = 0.0
    style: object = 0
    colors: tuple[Color, ...] = ()
    flip: bool = False


@dataclass
class World:
    """One scene, whatever the size of its picture; `things` from far to near."""

    camera: Camera
    light: Light
    street: Street
    things: list[Thing] = field(default_factory=list)

    def is_free(self, x: float, z: float, width: float, length: float, margin: float = 0.3) -> bool:
        """Whether no solid thing stands in the rectangle around x and from z to z + length."""
        for t in self.things:
            gap = (width + t.width) / 2 + margin
            beside = z - margin < t.z + t.length and t.z < z + length + margin
            if t.kind != "pole" and abs(t.x - x) < gap and beside:
                return False
        return True

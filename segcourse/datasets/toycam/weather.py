"""Weather and time of day: the light of a scene."""

from dataclasses import dataclass

from .colors import jitter, scaled
from .noise import Draws
from .world import Air, Light


@dataclass(frozen=True, kw_only=True)
class Weather(Air):
    """A kind of weather, from which each scene departs a little; `weight` is its share of the scenes."""

    name: str
    weight: float


WEATHER = (
    Weather(
        name="clear",
        weight=0.30,
        sun=(0.62, 0.58, 0.50),
        ambient=(0.50, 0.53, 0.60),
        zenith=(0.25, 0.47, 0.80),
        skyline=(0.70, 0.82, 0.92),
        fog_distance=420.0,
        clouds=0.35,
        cloud_shade=1.0,
    ),
    Weather(
        name="fair",
        weight=0.20,
        sun=(0.50, 0.47, 0.42),
        ambient=(0.55, 0.57, 0.62),
        zenith=(0.38, 0.55, 0.78),
        skyline=(0.80, 0.86, 0.90),
        fog_distance=260.0,
        clouds=0.75,
        cloud_shade=0.97,
    ),
    Weather(
        name="overcast",
        weight=0.17,
        sun=(0.06, 0.06, 0.06),
        ambient=(0.80, 0.82, 0.86),
        zenith=(0.62, 0.66, 0.70),
        skyline=(0.84, 0.86, 0.87),
        fog_distance=160.0,
        clouds=1.0,
        cloud_shade=0.78,
    ),
    Weather(
        name="golden",
        weight=0.12,
        sun=(0.80, 0.52, 0.28),
        ambient=(0.42, 0.39, 0.46),
        zenith=(0.33, 0.40, 0.62),
        skyline=(0.98, 0.72, 0.46),
        fog_distance=220.0,
        clouds=0.6,
        cloud_shade=1.0,
    ),
    Weather(
        name="fog",
        weight=0.06,
        sun=(0.03, 0.03, 0.03),
        ambient=(0.80, 0.82, 0.84),
        zenith=(0.74, 0.76, 0.78),
        skyline=(0.80, 0.81, 0.82),
        fog_distance=42.0,
        clouds=0.2,
        cloud_shade=0.8,
    ),
    Weather(
        name="rain",
        weight=0.06,
        sun=(0.03, 0.03, 0.03),
        ambient=(0.58, 0.61, 0.66),
        zenith=(0.40, 0.44, 0.49),
        skyline=(0.60, 0.63, 0.67),
        fog_distance=90.0,
        clouds=1.0,
        cloud_shade=0.5,
        rain=1.0,
    ),
    Weather(
        name="night",
        weight=0.09,
        sun=(0.03, 0.03, 0.04),
        ambient=(0.38, 0.41, 0.54),
        zenith=(0.05, 0.08, 0.20),
        skyline=(0.24, 0.25, 0.38),
        fog_distance=200.0,
        clouds=0.6,
        cloud_shade=0.24,
        night=True,
    ),
)


def sample_light(d: Draws) -> Light:
    """The `Light` of one scene."""
    weather = _weather(d())
    exposure = d(0.82, 1.16)
    side, low = (1.0 if d.chance(0.5) else -1.0), (1.5 if weather.name == "golden" else 1.0)
    shadow = (side * d(0.25, 1.1) * low, (1.0 if d.chance(0.6) else -1.0) * d(0.25, 0.8))
    return Light(
        sun=scaled(weather.sun, exposure),
        ambient=scaled(weather.ambient, exposure),
        zenith=jitter(d, weather.zenith, 0.04 * (not weather.night)),
        skyline=jitter(d, weather.skyline, 0.03),
        fog_distance=weather.fog_distance * d(0.7, 1.4),
        clouds=min(1.0, weather.clouds * d(0.5, 1.3)),
        cloud_shade=weather.cloud_shade,
        shadow=shadow,
        night=weather.night,
        rain=weather.rain * d(0.5, 1.0),
        cast=(d(0.92, 1.08), d(0.96, 1.04), d(0.90, 1.10)),
        noise=d(2.0, 8.0) + 2.0 * weather.night,
        drift=(int(d(0, 256)), int(d(0, 256))),
    )


def _weather(at):
    """The kind of weather at `at` in 0..1 of all weights laid end to end."""
    for weather in WEATHER[:-1]:
        if at < weather.weight:
            return weather
        at -= weather.weight
    return WEATHER[-1]

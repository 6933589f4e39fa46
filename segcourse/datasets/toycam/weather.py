"""Weather and time of day: the light of a scene."""

from .colors import jitter, scaled
from .world import Light

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


def sample_light(d):
    at, choice = d(), 0
    while at >= WEATHER[choice][1] and choice < len(WEATHER) - 1:
        at, choice = at - WEATHER[choice][1], choice + 1
    _, _, sun, ambient, zenith, skyline, fog, clouds, cloud_shade, night, rain = WEATHER[choice]
    exposure = d(0.82, 1.16)
    side, low = (1.0 if d.chance(0.5) else -1.0), (1.5 if WEATHER[choice][0] == "golden" else 1.0)
    shadow = (side * d(0.25, 1.1) * low, (1.0 if d.chance(0.6) else -1.0) * d(0.25, 0.8))
    return Light(
        scaled(sun, exposure),
        scaled(ambient, exposure),
        jitter(d, zenith, 0.04 * (not night)),
        jitter(d, skyline, 0.03),
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

"""What lies at infinity: sky, clouds, sun and stars, and the wooded ridge along the horizon."""

import numpy as np

from .canvas import Layer, vector
from .coverage import clip01, span
from .noise import lookup, noise, smooth
from .world import SKY, TREE


def sky(canvas):
    light = canvas.world.light
    rows = min(canvas.rows, int(canvas.cy) + 2)
    v = (np.arange(rows, dtype=np.float32) + np.float32(0.5))[:, None]
    u = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5))[None, :]
    up = np.maximum(canvas.cy - v, 0.0) / canvas.focal
    height = clip01(up * 2.2)
    blend = height * (2.0 - height)
    color = canvas.fog + (vector(light.zenith) - canvas.fog) * blend
    across = (u - canvas.cx) / canvas.focal
    far = 14.0 / (up + 0.09)
    cloud = smooth(noise(), far + float(light.drift[0]), across * far * 1.3 + float(light.drift[1]))
    cover = (
        clip01((cloud - (0.78 - 0.5 * light.clouds)) * 5.0)
        * clip01(up * 9.0 + 0.15)
        * (0.9 * min(1.0, light.clouds * 1.6))
    )
    tone = light.cloud_shade * (1.14 - 0.5 * cloud * cover)
    color = color + cover * (vector((1.0, 0.98, 0.96)) * tone + 0.12 * canvas.fog - color)
    if light.shadow[1] < 0 and not light.night:
        color = color + _glow(across, up, light.shadow) * canvas.sun
    if light.night:
        stars = lookup(
            noise((256,), 5),
            v * (128.0 / canvas.columns) * 2.0,
            u * (256.0 / canvas.columns) + float(light.drift[0]),
        )
        color = color + (stars > 0.993) * 0.5 * (1.0 - cover) * height
    canvas.color[:, :rows] = color
    box, alpha = (0, 0, rows, canvas.columns), np.ones((rows, canvas.columns), np.float32)
    canvas.layers.append(Layer(SKY, np.asarray(np.inf, np.float32), box, alpha))


def _glow(across, up, shadow):
    """The sun ahead: a disc and its halo where the shadows point back to."""
    dx, dy = across - shadow[0] / shadow[1], up - 1.0 / -shadow[1] * 0.35
    distance = dx * dx + dy * dy
    return 0.02 / (distance + 0.02) + 2.0 * (distance < 0.0012)


def hills(canvas, t):
    """The far wooded ridge along the horizon."""
    r0, r1 = span(canvas.v(t.height * 1.6, t.z), canvas.cy + 1.5, canvas.rows)
    columns = (np.arange(canvas.columns, dtype=np.float32) + np.float32(0.5) - canvas.cx) * (
        1.0 / canvas.focal
    )
    ridge = smooth(noise(), np.full(columns.shape, float(t.style), np.float32), columns * 160.0 + 128.0)
    top = canvas.cy - (ridge * (1.4 * t.height) - canvas.world.camera.height) * (canvas.focal / t.z)
    rows = np.arange(r0, r1, dtype=np.float32)[:, None]
    alpha = clip01(rows + 1.0 - top[None, :])
    leaf = lookup(noise((64, 128, 256), 1), rows * 5.0, columns[None, :] * 900.0)
    canvas.paint(
        TREE,
        (r0, 0, r1, canvas.columns),
        alpha,
        vector(t.colors[0]) * (0.6 + 0.5 * leaf) * canvas.lit,
        t.z * 0.25,
    )

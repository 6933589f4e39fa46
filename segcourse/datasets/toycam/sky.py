"""What lies at infinity: sky, clouds, sun and stars, and the wooded ridge along the horizon."""

import numpy as np

from .canvas import Canvas, Layer, vector
from .coverage import clip01, grid, span
from .noise import lookup, noise, smooth
from .world import SKY, TREE, Thing


def sky(canvas: Canvas) -> None:
    """The sky down to the horizon, at infinite depth."""
    light = canvas.world.light
    box = (0, 0, min(canvas.rows, int(canvas.cy) + 2), canvas.columns)
    v, u = (corner + np.float32(0.5) for corner in grid(box))
    up = np.maximum(canvas.cy - v, 0.0) / canvas.focal
    across = (u - canvas.cx) / canvas.focal
    height = clip01(up * 2.2)
    color = canvas.fog + (vector(light.zenith) - canvas.fog) * (height * (2.0 - height))
    cover, tone = _clouds(light, across, up)
    color = color + cover * (vector((1.0, 0.98, 0.96)) * tone + 0.12 * canvas.fog - color)
    if light.night:
        color = color + _stars(canvas, v, u) * 0.5 * (1.0 - cover) * height
    elif light.shadow[1] < 0:
        color = color + _glow(across, up, light.shadow) * canvas.sun
    canvas.color[:, : box[2]] = color
    alpha = np.ones((box[2], canvas.columns), np.float32)
    canvas.layers.append(Layer(SKY, np.asarray(np.inf, np.float32), box, alpha))


def _clouds(light, across, up):
    """Coverage and brightness of a layer of clouds that thins out towards the horizon."""
    far = 14.0 / (up + 0.09)
    cloud = smooth(noise(), far + float(light.drift[0]), across * far * 1.3 + float(light.drift[1]))
    thick = clip01((cloud - (0.78 - 0.5 * light.clouds)) * 5.0)
    cover = thick * clip01(up * 9.0 + 0.15) * (0.9 * min(1.0, light.clouds * 1.6))
    return cover, light.cloud_shade * (1.14 - 0.5 * cloud * cover)


def _stars(canvas, v, u):
    """True where a star is; the same stars at every size of the picture."""
    rows, columns = v * (128.0 / canvas.columns) * 2.0, u * (256.0 / canvas.columns)
    return lookup(noise((256,), 5), rows, columns + float(canvas.world.light.drift[0])) > 0.993


def _glow(across, up, shadow):
    """The sun ahead: a disc and its halo where the shadows point back to."""
    dx, dy = across - shadow[0] / shadow[1], up - 1.0 / -shadow[1] * 0.35
    distance = dx * dx + dy * dy
    return 0.02 / (distance + 0.02) + 2.0 * (distance < 0.0012)


def hills(canvas: Canvas, t: Thing) -> None:
    """The far wooded ridge along the horizon."""
    r0, r1 = span(canvas.v(t.height * 1.6, t.z), canvas.cy + 1.5, canvas.rows)
    box = (r0, 0, r1, canvas.columns)
    rows, columns = grid(box)
    across = (columns + np.float32(0.5) - canvas.cx) * (1.0 / canvas.focal)
    ridge = smooth(noise(), np.full(across.shape, float(t.style), np.float32), across * 160.0 + 128.0)
    top = canvas.cy - (ridge * (1.4 * t.height) - canvas.world.camera.height) * (canvas.focal / t.z)
    leaf = lookup(noise((64, 128, 256), 1), rows * 5.0, across * 900.0)
    color = vector(t.colors[0]) * (0.6 + 0.5 * leaf) * canvas.lit
    canvas.paint(TREE, box, clip01(rows + 1.0 - top), color, t.z * 0.25)

"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import math

import numpy as np

from segcourse.datasets.distances import two_nearest


def border_weights(instances, class_weights=(1.0, 1.0), w0=10.0, sigma=5.0):
    """The weight of every pixel in the loss, large in the narrow gaps between cells: float32 [H, W].

    w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), d1 and d2 the distances in pixels to the
    borders of the nearest and the second nearest cell (U-Net, equation 2). `instances`: integers [H, W],
    0 background, 1, 2, ... the cells. `class_weights`: w_c of background and cell, 0 or more. `w0`: what
    a gap without any width would add to w_c, 0 or more; `sigma`: how slowly that fades as the gap widens, in
    pixels, above 0. The paper takes w0 = 10 and a sigma of about 5 pixels.
    """
    nearest, second = two_nearest(instances, reach=math.ceil(6 * sigma))  # beyond, float32 would add nothing
    border = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return (np.asarray(class_weights)[(instances > 0).astype(int)] + border).astype("float32")

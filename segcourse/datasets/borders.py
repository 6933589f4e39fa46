"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import math

import numpy as np
from scipy import ndimage

from segcourse.datasets.augment import epochs
from segcourse.datasets.labels import VOID


def _two_nearest(instances, reach):
    """Distances to the borders of the nearest two cells, float64 [2, H, W].

    They are infinite farther than `reach` from a cell, where the border term vanishes in float32.
    """
    two = np.full((2, *instances.shape), np.inf)
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is not None and (instances != number).any():
            rows, columns = (slice(max(side.start - reach, 0), side.stop + reach) for side in box)
            inside = instances[rows, columns] == number
            distance = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
            two[:, rows, columns] = np.sort([*two[:, rows, columns], distance], axis=0)[:2]
    return two


def border_weights(instances, class_weights=(1.0, 1.0), w0=10.0, sigma=5.0):
    """The weight of every pixel in the loss, large in the narrow gaps between cells: float32 [H, W].

    w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), d1 and d2 the distances in pixels to the
    borders of the nearest and the second nearest cell (U-Net, equation 2). `instances`: integers [H, W],
    0 background, 1, 2, ... the cells. `class_weights`: w_c of background and cell.
    """
    nearest, second = _two_nearest(instances, reach=math.ceil(6 * sigma))
    border = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return (np.asarray(class_weights)[(instances > 0).astype(int)] + border).astype("float32")


def weighted_epochs(images, labels, weights, batch_size, *, augment=None, seed=0):
    """`datasets.epochs` for the labels 0 and 1, with weights, float [N, H, W], that move with the pictures.

    An augmentation moves one mask. So label and weight travel in one number, 2 * weight step + label, with
    126 steps from 0 to the largest weight. A function epoch -> `tf.data.Dataset` of (images, labels, float32
    weights [B, h, w]); a weight is off by at most 1/252 of the largest. Raises ValueError for other labels.
    """
    import tensorflow as tf

    if labels.max() > 1:
        raise ValueError(f"weighted_epochs takes the labels 0 and 1, got labels up to {labels.max()}.")
    step = float(weights.max()) / 126
    packed = (2 * np.round(weights / step) + labels).astype("uint8")

    def unpack(views, packed):
        void = packed == VOID
        weights = step * tf.cast(packed // 2, tf.float32)
        return views, tf.where(void, packed, packed % 2), tf.where(void, 0.0, weights)

    data = epochs(images, packed, batch_size, augment=augment, seed=seed)
    return lambda epoch: data(epoch).map(unpack)

"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import numpy as np


def class_frequencies(labels, classes, void=255):
    """How common each class is where it occurs at all (Eigen & Fergus 2015).

    freq(c) = pixels of class c / pixels, void ones too, of the images that show c.

    Args:
        labels: integer ids [N, H, W], 0..classes-1 or `void`; or an iterable of images' ids, of any sizes.
        classes: number of classes C.

    Returns:
        float64 array [C]; NaN for a class in no image.
    """
    counts, shown = np.zeros(classes), np.zeros(classes)
    for image in map(np.asarray, labels):
        own = np.bincount(image[image != void], minlength=classes)
        if len(own) > classes:
            raise ValueError(
                f"Some ids are no class: needed are 0..{classes - 1} or {void}, got {len(own) - 1}."
            )
        counts += own
        shown += image.size * (own > 0)
    return np.divide(counts, shown, out=np.full(classes, np.nan), where=shown > 0)


def median_frequency_weights(labels, classes, void=255):
    """Class weights for the loss: median of the frequencies / frequency; rare classes weigh more.

    Args: as `class_frequencies`.

    Returns:
        float64 array [C]. A class in no image weighs 0: nothing can be learned about it.
    """
    frequencies = class_frequencies(labels, classes, void)
    return np.nan_to_num(np.nanmedian(frequencies) / frequencies, nan=0.0)

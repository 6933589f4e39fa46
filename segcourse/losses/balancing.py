"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import numpy as np


def class_frequencies(labels, classes, void=255):
    """How common each class is where it occurs at all (Eigen & Fergus 2015): float64 [classes].

    freq(c) = pixels of class c / pixels, void ones too, of the images that show c; NaN if none does.
    `labels`: integer ids [N, H, W], 0..classes-1 or `void`; or an iterable of images' ids, of any sizes.
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
    """Class weights for the loss, float64 [classes]: the median of `class_frequencies` / the frequency.

    Rare classes weigh more. A class in no image weighs 0: nothing can be learned about it.
    """
    frequencies = class_frequencies(labels, classes, void)
    return np.nan_to_num(np.nanmedian(frequencies) / frequencies, nan=0.0)

"""Generated from notebooks/06_segnet.ipynb. Edit the lesson, then run make export.

Lesson 06 · SegNet: remember where the maximum was.
"""

import numpy as np


def class_frequencies(labels, classes, void=255):
    """How common each class is where it occurs at all (Eigen & Fergus 2015).

    freq(c) = pixels of class c / pixels, void ones too, of the images that show c.

    Args:
        labels: integer ids [N, H, W], 0..classes-1 or `void`.
        classes: number of classes C.

    Returns:
        float64 array [C]; NaN for a class in no image.
    """
    labels = np.asarray(labels).reshape(len(labels), -1)
    counts = np.stack([np.bincount(image[image != void], minlength=classes) for image in labels])
    if counts.shape[1] != classes:
        raise ValueError(
            f"Some ids are no class: needed are 0..{classes - 1} or {void}, got {counts.shape[1] - 1}."
        )
    shown = labels.shape[1] * (counts > 0).sum(0)
    return np.divide(counts.sum(0), shown, out=np.full(classes, np.nan), where=shown > 0)


def median_frequency_weights(labels, classes, void=255):
    """Class weights for the loss: median of the frequencies / frequency; rare classes weigh more.

    Args: as `class_frequencies`.

    Returns:
        float64 array [C]. A class in no image weighs 0: nothing can be learned about it.
    """
    frequencies = class_frequencies(labels, classes, void)
    return np.nan_to_num(np.nanmedian(frequencies) / frequencies, nan=0.0)

"""Generated from notebooks/14_linknet.ipynb. Edit the lesson, then run make export.

Lesson 14 · LinkNet: add what you know already.
"""

import numpy as np


def max_frequency_weights(labels, classes, constant=1.02, void=255):
    """Class weights for the loss, float64 [classes]: 1 / ln(constant + pixels / the commonest class' pixels).

    As LinkNet's released code. `labels`: integer ids [N, H, W], 0..classes-1 or `void`, or an iterable of
    images' ids, of any sizes. `constant` > 1 bounds the weights: they lie between 1 / ln(1 + constant) and
    1 / ln(constant). A class in no image weighs 0: nothing can be learned about it.
    """
    counts = np.zeros(classes)
    for image in map(np.asarray, labels):
        own = np.bincount(image[image != void], minlength=classes)
        if len(own) > classes:
            raise ValueError(f"An id is no class: needed are 0..{classes - 1} or {void}, got {len(own) - 1}.")
        counts += own
    return np.where(counts > 0, 1 / np.log(constant + counts / max(counts.max(), 1)), 0.0)

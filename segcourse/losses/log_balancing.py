"""Generated from notebooks/08_enet.ipynb. Edit the lesson, then run make export.

Lesson 08 · ENet: a network for real time.
"""

import numpy as np


def log_frequency_weights(labels, classes, constant=1.02, void=255):
    """Class weights for the loss, float64 [classes]: 1 / ln(constant + share of the labelled pixels).

    Paszke et al. 2016, section 5.2. `labels`: integer ids [N, H, W], 0..classes-1 or `void`, or an iterable
    of images' ids, of any sizes. `constant` > 1 bounds the weights: 1 / ln(constant) is the largest. A class
    in no image weighs 0, as in the released code: nothing can be learned about it.
    """
    counts = np.zeros(classes)
    for image in map(np.asarray, labels):
        own = np.bincount(image[image != void], minlength=classes)
        if len(own) > classes:
            raise ValueError(f"An id is no class: needed are 0..{classes - 1} or {void}, got {len(own) - 1}.")
        counts += own
    return np.where(counts > 0, 1 / np.log(constant + counts / max(counts.sum(), 1)), 0.0)

"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import numpy as np
from skimage.metrics import adapted_rand_error, variation_of_information


def _shared_pixels(truth, predicted):
    """How many pixels cell i + 1 (row i) and object j + 1 (column j) share: int64 array."""
    rows, columns = truth.max() + 1, predicted.max() + 1
    pairs = truth.ravel().astype("int64") * columns + predicted.ravel()
    return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)[1:, 1:]


def object_errors(truth, predicted):
    """How well two numberings of the cells of one picture, integers [H, W], agree; 0 is background.

    A dict: `rand_error`, 1 minus the F-score over all pairs of cell pixels that belong together (0 is
    perfect; scikit-image's `adapted_rand_error`); `vi_merge` and `vi_split`, the two halves of the variation
    of information in bits; `merges`: an object that holds k true cells counts k - 1, `splits`: the same the
    other way round; `cells` and `found`: how many there are. A cell belongs to the object that covers more
    than half of it, and the other way round.
    """
    vi_split, vi_merge = variation_of_information(truth, predicted, ignore_labels=[0])
    shared = _shared_pixels(truth, predicted)
    cell_in_object = shared > 0.5 * np.bincount(truth.ravel())[1:, None]
    object_in_cell = shared > 0.5 * np.bincount(predicted.ravel())[None, 1:]
    return {
        "rand_error": float(adapted_rand_error(truth, predicted)[0]),
        "vi_merge": float(vi_merge),
        "vi_split": float(vi_split),
        "merges": int(np.maximum(cell_in_object.sum(0) - 1, 0).sum()),
        "splits": int(np.maximum(object_in_cell.sum(1) - 1, 0).sum()),
        "cells": int((np.bincount(truth.ravel())[1:] > 0).sum()),
        "found": int((np.bincount(predicted.ravel())[1:] > 0).sum()),
    }

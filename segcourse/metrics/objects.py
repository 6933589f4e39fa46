"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

import numpy as np
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information


def object_errors(truth, predicted):
    """How well two numberings of the cells of one picture, integers [H, W], agree; 0 is background.

    A dict: `rand_error`, 1 minus the F-score over all pairs of cell pixels that belong together (0 is
    perfect; scikit-image's `adapted_rand_error`); `vi_merge` and `vi_split`, the two halves of the variation
    of information in bits; `merges`: an object that holds k true cells counts k - 1, `splits`: the same the
    other way round; `cells` and `found`: how many there are. A cell belongs to the object that covers more
    than half of it, and the other way round.
    """
    vi_split, vi_merge = variation_of_information(truth, predicted, ignore_labels=[0])
    shared = contingency_table(truth, predicted).toarray()  # pixels of cell i (row) and object j (column)
    of_cell, of_object = shared.sum(1)[1:], shared.sum(0)[1:]
    cell_in_object = shared[1:, 1:] > 0.5 * of_cell[:, None]
    object_in_cell = shared[1:, 1:] > 0.5 * of_object
    return {
        "rand_error": float(adapted_rand_error(truth, predicted)[0]),
        "vi_merge": float(vi_merge),
        "vi_split": float(vi_split),
        "merges": int(np.maximum(cell_in_object.sum(0) - 1, 0).sum()),
        "splits": int(np.maximum(object_in_cell.sum(1) - 1, 0).sum()),
        "cells": int((of_cell > 0).sum()),
        "found": int((of_object > 0).sum()),
    }

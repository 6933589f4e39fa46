"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

from keras import ops


def confusion_matrix(labels, predictions, classes, void=255):
    """Count every (true class, predicted class) pair of pixels.

    Args:
        labels, predictions: ids 0..C-1, integers of one shape, C = `classes`; the label `void` is left out.

    Returns:
        int32 tensor [C, C] of pixel counts: rows are the truth, columns the prediction.

    Raises:
        ValueError: if an id is no class. (A compiled graph cannot raise: there it leaves out such pixels.)
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    predictions = ops.reshape(ops.cast(predictions, "int32"), (-1,))
    left_out = classes * classes
    known = (labels >= 0) & (labels < classes) & (predictions >= 0) & (predictions < classes)
    pair = ops.where(known, labels * classes + predictions, left_out + 1)
    counts = ops.bincount(ops.where(labels == void, left_out, pair), minlength=left_out + 1)
    if counts.shape[0] not in (None, left_out + 1):
        raise ValueError(
            f"Some ids are no class: needed are 0..{classes - 1}, or {void} (void) in the labels. "
            "Try check_masks()."
        )
    return ops.reshape(ops.cast(counts[:left_out], "int32"), (classes, classes))


def class_iou(confusion):
    """Intersection over union of each class: float64 array [C] in 0..1, NaN for a class nowhere to be seen.

    IoU_i = p_ii / (sum_j p_ij + sum_j p_ji - p_ii), p the counts of `confusion_matrix` [C, C] (Garcia-Garcia
    et al. 2017).
    """
    confusion = ops.convert_to_numpy(confusion).astype("float64")
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = hit / union.clip(1)
    iou[union == 0] = float("nan")
    return iou


def scores(confusion):
    """The standard scores of the counts [C, C] of `confusion_matrix` (Garcia-Garcia et al. 2017).

    A class without a single pixel is left out of every mean: it counts neither as 0 nor as 1.
    Without a single pixel in all there is a ValueError.

    Returns:
        dict of floats in 0..1, `pixel_accuracy`, `mean_accuracy`, `miou` and `fwiou`
        (frequency-weighted IoU), and `iou`, the array of `class_iou`.
    """
    confusion = ops.convert_to_numpy(confusion).astype("float64")
    truth, hit, iou = confusion.sum(1), confusion.diagonal(), class_iou(confusion)
    if truth.sum() == 0:
        raise ValueError(
            "The confusion matrix counts no pixel: was everything void? Check the masks with check_masks()."
        )
    seen, known = truth > 0, iou == iou  # NaN is the one value that differs from itself
    return {
        "pixel_accuracy": float(hit.sum() / truth.sum()),
        "mean_accuracy": float((hit[seen] / truth[seen]).mean()),
        "miou": float(iou[known].mean()),
        "fwiou": float((truth[seen] * iou[seen]).sum() / truth.sum()),
        "iou": iou,
    }

"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import ops


def confusion_matrix(labels, predictions, classes, void=255):
    """Count every (true class, predicted class) pair of pixels.

    Args:
        labels: integer ids of any shape, 0..classes-1 or `void`; void pixels are left out.
        predictions: integer ids 0..classes-1, same shape as `labels`; ignored on void pixels.
        classes: number of classes C.
        void: the id of pixels that nobody labelled.

    Returns:
        int32 tensor [C, C] of pixel counts: rows are the truth, columns the prediction.

    Raises:
        ValueError: if an id is no class. (In a compiled graph, which cannot raise, such pixels are left
        out.)
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

    IoU_i = p_ii / (sum_j p_ij + sum_j p_ji - p_ii), p the confusion matrix (Garcia-Garcia et al. 2017).
    """
    confusion = ops.convert_to_numpy(confusion).astype("float64")
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = hit / union.clip(1)
    iou[union == 0] = float("nan")
    return iou


def scores(confusion):
    """The standard scores of a confusion matrix [C, C] (Garcia-Garcia et al. 2017).

    A class without a single pixel is left out of every mean: it counts neither as 0 nor as 1.

    Returns:
        dict of floats in 0..1, `pixel_accuracy`, `mean_accuracy`, `miou` and `fwiou`
        (frequency-weighted IoU), and `iou`, the array of `class_iou`.

    Raises:
        ValueError: if the matrix counts no pixel at all.
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


def _count_pairs(labels, predictions, classes, void):
    """`confusion_matrix` for compiled steps: float32 [C, C], exact up to 16 million pixels a batch.

    An id that is no class is left out, because a compiled step cannot raise.
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    truth = ops.one_hot(ops.where(labels == void, -1, labels), classes)  # the one-hot code of -1 is all 0
    guess = ops.one_hot(ops.reshape(predictions, (-1,)), classes)
    return ops.matmul(ops.transpose(truth), guess)


def _mean_iou(counts):
    """Mean IoU over the classes that occur of counts [C, C]: float32 scalar in 0..1, 0 if all are 0."""
    counts = ops.cast(counts, "float32")
    hit = ops.diagonal(counts)
    union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hit
    present = ops.cast(union > 0, "float32")
    return ops.sum(hit / ops.maximum(union, 1.0)) / ops.maximum(ops.sum(present), 1.0)


def _ids(predictions, labels, classes):
    """Class ids [B, H, W] of logits [B, H, W, C]; ids come back as they are."""
    if len(predictions.shape) == len(labels.shape):
        return predictions
    if predictions.shape[-1] != classes:
        raise ValueError(
            f"Got logits for {predictions.shape[-1]} classes; this metric is for {classes} classes."
        )
    return ops.argmax(predictions, axis=-1)


@keras.saving.register_keras_serializable(package="segcourse")
class ConfusionMatrix(keras.metrics.Metric):
    """A confusion matrix that adds up over batches; as a number it is the mean IoU.

    `classes` is the number of classes C, `void` the id of pixels to leave out, `name` the key under which
    Keras reports the mean IoU. `update_state` takes ids [B, H, W] and logits [B, H, W, C] or ids [B, H, W].
    """

    def __init__(self, classes, void=255, name="miou", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.classes, self.void = classes, void
        self.counts = self.add_variable((classes, classes), initializer="zeros", dtype="int", name="counts")

    def update_state(self, labels, predictions, sample_weight=None):
        """Add the pixels of one batch; `sample_weight` is ignored, for a pixel is right or wrong."""
        predictions = _ids(predictions, labels, self.classes)
        batch = _count_pairs(labels, predictions, self.classes, self.void)
        self.counts.assign_add(ops.cast(batch, self.counts.dtype))

    def result(self):
        """The mean IoU so far; 0 before the first pixel."""
        return _mean_iou(self.counts)

    def confusion(self):
        """The counts so far, integer array [C, C]."""
        return ops.convert_to_numpy(self.counts)

    def scores(self):
        """All scores of the counts so far, as `scores()` gives them."""
        return scores(self.counts)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "void": self.void}

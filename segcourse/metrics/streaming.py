"""A metric that counts pixels over batches, inside the compiled step in which Keras trains."""

from __future__ import annotations

import keras
from keras import ops

from segcourse.metrics.confusion import scores


@keras.saving.register_keras_serializable(package="segcourse")
class ConfusionMatrix(keras.metrics.Metric):
    """A confusion matrix that adds up over batches; as a number it is the mean IoU.

    `classes` is the number of classes C, `void` the id of pixels to leave out, `name` the key under which
    Keras reports the mean IoU. `update_state` takes ids [B, H, W] and logits [B, H, W, C] or ids [B, H, W].
    """

    def __init__(self, classes: int, void: int = 255, name: str = "miou", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.classes, self.void = classes, void
        self.counts = self.add_variable((classes, classes), initializer="zeros", dtype="int", name="counts")

    def update_state(self, labels, predictions, sample_weight=None) -> None:
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

    def scores(self) -> dict:
        """All scores of the counts so far, as `scores()` gives them."""
        return scores(self.counts)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "void": self.void}


def _ids(predictions, labels, classes):
    """Class ids [B, H, W] of logits [B, H, W, C]; ids come back as they are."""
    if len(predictions.shape) == len(labels.shape):
        return predictions
    if predictions.shape[-1] != classes:
        raise ValueError(
            f"Got logits for {predictions.shape[-1]} classes; this metric is for {classes} classes."
        )
    return ops.argmax(predictions, axis=-1)


def _count_pairs(labels, predictions, classes, void):
    """`confusion_matrix` for compiled steps: float32 [C, C], exact up to 16 million pixels a batch.

    XLA and JAX must know all sizes beforehand and cannot build a `bincount`; the product of two one-hot
    matrices counts the same pairs. An id that is no class is left out, for a compiled step cannot raise.
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

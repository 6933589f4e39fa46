"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import ops


def _pixel_weights(labels, valid, class_weights, sample_weight, classes):
    """What each pixel counts, float32 [B, H, W]: nothing if void, else its class weight times its own."""
    weights = ops.cast(valid, "float32")
    if class_weights is not None:
        if len(class_weights) != classes:
            raise ValueError(
                f"Got {len(class_weights)} class_weights for {classes} classes: one each is needed."
            )
        weights = weights * ops.take(ops.convert_to_tensor(class_weights, "float32"), labels)
    if sample_weight is not None:
        weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(weights))
    return weights


@keras.saving.register_keras_serializable(package="segcourse")
class MaskedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of labelled pixels: ids [B, H, W] (`void`: left out), logits [B, H, W, C], no softmax.

    `class_weights`: C floats >= 0; `sample_weight`: [B, H, W]. The result is the weighted sum over the
    labelled pixels divided by their number: the same learning rate then fits every image size.
    """

    def __init__(self, void=255, class_weights=None, name="masked_cross_entropy"):
        super().__init__(name=name, reduction=None)
        self.void = void
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        valid = labels != self.void
        labels = ops.where(valid, labels, 0)
        weights = _pixel_weights(labels, valid, self.class_weights, sample_weight, logits.shape[-1])
        loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return ops.sum(loss * weights) / ops.maximum(ops.sum(ops.cast(valid, "float32")), 1.0)

    def get_config(self):
        return {"void": self.void, "class_weights": self.class_weights, "name": self.name}

"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import ops


def _weights_of(labels, class_weights, classes):
    """The class weight of every pixel, float32 [B, H, W]."""
    if len(class_weights) != classes:
        raise ValueError(f"Got {len(class_weights)} class_weights for {classes} classes: one each is needed.")
    return ops.take(ops.convert_to_tensor(class_weights, "float32"), labels)


@keras.saving.register_keras_serializable(package="segcourse")
class MaskedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of every labelled pixel; void pixels neither pull nor push.

    `void` is the id of the pixels to leave out, `class_weights` optionally C floats >= 0, one a class.
    Call it with ids [B, H, W] (integers, 0..C-1 or `void`), logits [B, H, W, C] (any float dtype; no
    softmax) and optionally `sample_weight` [B, H, W] (pixel weights). The result is the weighted sum over
    the labelled pixels divided by their number: the same learning rate then fits every image size.
    """

    def __init__(self, void=255, class_weights=None, name="masked_cross_entropy"):
        super().__init__(name=name, reduction=None)
        self.void = void
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of one batch, a float32 scalar."""
        labels, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        valid = labels != self.void
        labels, weights = ops.where(valid, labels, 0), ops.cast(valid, "float32")
        pixels = ops.maximum(ops.sum(weights), 1.0)
        if self.class_weights is not None:
            weights = weights * _weights_of(labels, self.class_weights, logits.shape[-1])
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(weights))
        loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return ops.sum(loss * weights) / pixels

    def get_config(self):
        """The arguments of the constructor."""
        return {"void": self.void, "class_weights": self.class_weights, "name": self.name}

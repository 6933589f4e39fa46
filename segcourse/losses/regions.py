"""Losses beside cross-entropy that people ask for by name; void pixels are left out as there."""

import keras
from keras import ops

from segcourse.losses.cross_entropy import MaskedCrossEntropy


@keras.saving.register_keras_serializable(package="segcourse")
class MaskedFocal(MaskedCrossEntropy):
    """Cross-entropy in which a pixel that is right already counts little: times `(1 - p) ** gamma`.

    p is the probability of the true class. Arguments and result as of `MaskedCrossEntropy`; with `gamma` 0 it
    is the same loss.

    Source: Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, equation 4.
    """

    def __init__(self, void=255, class_weights=None, gamma=2.0, name="masked_focal"):
        super().__init__(void=void, class_weights=class_weights, name=name)
        self.gamma = float(gamma)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of one batch, a float32 scalar."""
        labels, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        labels = ops.where(labels == self.void, 0, labels)
        right = ops.exp(-ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        # A probability may exceed 1 by rounding, and a power of less than 0 is NaN.
        focus = ops.maximum(1.0 - right, 0.0) ** self.gamma
        if sample_weight is not None:
            focus = focus * ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(focus))
        return super().__call__(y_true, y_pred, focus)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="segcourse")
class MaskedDice(keras.losses.Loss):
    """1 - the mean Dice score of the classes that occur in the batch, from probabilities instead of labels.

    Dice of a class is 2 sum(p t) / (sum p + sum t) over the labelled pixels, p the probability of the class
    and t 1 where it is the truth. Call it with ids [B, H, W] and logits [B, H, W, C].

    Source: Milletari et al., V-Net, arXiv:1606.04797, section 3; without the squares in the denominator.
    """

    def __init__(self, void=255, name="masked_dice"):
        super().__init__(name=name, reduction=None)
        self.void = void

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of one batch, a float32 scalar in 0..1."""
        labels, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        valid = ops.cast(labels != self.void, "float32")
        if sample_weight is not None:
            valid = valid * ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(valid))
        truth = ops.one_hot(ops.where(labels == self.void, 0, labels), logits.shape[-1]) * valid[..., None]
        guess = ops.softmax(logits) * valid[..., None]
        hit, there, said = (ops.sum(x, axis=(0, 1, 2)) for x in (truth * guess, truth, guess))
        occurs = ops.cast(there > 0, "float32")
        dice = 2 * hit / ops.maximum(there + said, 1e-7)
        return 1.0 - ops.sum(dice * occurs) / ops.maximum(ops.sum(occurs), 1.0)

    def get_config(self):
        """The arguments of the constructor."""
        return {"void": self.void, "name": self.name}

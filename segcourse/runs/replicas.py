"""What Keras needs to train on parts of a batch: see `distribution`."""

from typing import Any

import keras
import tensorflow as tf

from segcourse.datasets.labels import VOID
from segcourse.losses import MaskedCrossEntropy


class Reported(keras.Model):
    """A network whose steps report in the form that Keras can reduce over several workers.

    It takes the mean along the first axis there, which a single number does not have.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        return _in_rows(super().train_step(data))

    def test_step(self, data: Any) -> dict[str, Any]:
        return _in_rows(super().test_step(data))


def _in_rows(logs):
    return {name: keras.ops.expand_dims(value, 0) for name, value in logs.items()}


class Share(keras.losses.Loss):
    """A loss of which each device computes its share, for Keras adds up the gradients of all.

    A loss that is a mean over the labelled pixels is one over those of the whole batch: a device counts by
    how many of them it has, and not every device alike.
    """

    def __init__(self, loss: keras.losses.Loss, devices: int):
        super().__init__(name=loss.name, reduction=None)
        self._loss, self._devices = loss, devices

    def __call__(self, y_true, y_pred, sample_weight=None):
        return self._loss(y_true, y_pred, sample_weight) * self._part(y_true)

    def _part(self, labels):
        device = tf.distribute.get_replica_context()  # None while Keras builds, outside of the devices
        if device is None or not isinstance(self._loss, MaskedCrossEntropy):
            return 1 / self._devices
        pixels = tf.reduce_sum(tf.cast(labels != VOID, tf.float32))
        return pixels / tf.maximum(device.all_reduce("sum", pixels), 1.0)

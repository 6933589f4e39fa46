"""Training on several devices of this machine, by TensorFlow's own distribution, which Keras knows."""

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from segcourse.datasets.labels import VOID
from segcourse.runs.errors import BadRequest

if TYPE_CHECKING:
    import keras


def scope(wanted: bool, batch_size: int) -> Callable[[], AbstractContextManager]:
    """Gives contexts to build, compile and train a network in: on every device, if that is wanted.

    Each of n devices gets an n-th of every batch, and the gradients' mean counts. That is the training of one
    device up to rounding where each part of a batch has as many labelled pixels, and the network has no batch
    normalization (whose statistics are those of a part) and no dropout (every device draws its own).

    Args:
        wanted: False for the plain training on one device.
        batch_size: of all devices together.

    Raises:
        BadRequest: another backend, several machines, one device alone, or a batch that cannot be divided.
    """
    if not wanted:
        return contextlib.nullcontext
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BadRequest(f"--distribute needs Keras on TensorFlow, and this is {keras.backend.backend()}.")
    if os.environ.get("TF_CONFIG"):
        raise BadRequest(
            "--distribute is for the devices of one machine, but TF_CONFIG names a cluster. Unset TF_CONFIG."
        )
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise BadRequest(
            f"--distribute needs two devices or more; this machine has {devices[0].name} alone. Leave it out."
        )
    if batch_size % len(devices):
        raise BadRequest(
            f"A batch of {batch_size} cannot be divided among {len(devices)} devices. Give --batch-size "
            f"{-(-batch_size // len(devices)) * len(devices)}."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices]).scope


def whole_batches(images: np.ndarray, masks: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks [N, ...] to validate, with void ones added until every batch is whole.

    A device without a picture would fail. Void pixels change no score, only the mean that is `val_loss`.
    """
    missing = -len(images) % batch_size
    spare = np.repeat(images[:1], missing, axis=0), np.full((missing, *masks.shape[1:]), VOID, masks.dtype)
    return np.concatenate([images, spare[0]]), np.concatenate([masks, spare[1]])


def share(loss: "keras.losses.Loss") -> "keras.losses.Loss":
    """A loss for one of several devices: its part of the mean, for Keras adds up the gradients of all.

    To be called within the scope.
    """
    import keras
    import tensorflow as tf

    devices = tf.distribute.get_strategy().num_replicas_in_sync

    class Share(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return loss(y_true, y_pred, sample_weight) / devices

    return Share(name=loss.name, reduction=None)

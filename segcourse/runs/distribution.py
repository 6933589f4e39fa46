"""Training on several devices of one machine, or on several machines, by TensorFlow's own distribution."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segcourse.datasets.labels import VOID
from segcourse.runs.errors import BadRequest, WorkerLost
from segcourse.runs.identity import BEST, STATE

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Devices:
    """What a network is trained on.

    Attributes:
        scope: gives contexts to build, compile and train a network in.
        parts: how many parts a batch is divided into, one for each device.
        workers: how many processes take part, each on its own machine or port.
        first: whether this is the worker that writes the files of the run.
    """

    scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    parts: int = 1
    workers: int = 1
    first: bool = True

    def model(self, model: "keras.Model") -> "keras.Model":
        """The network in the form that is trained; it has the same weights.

        To be called outside of the scope: a model that is made inside has Keras look at the first batch with
        `Strategy.reduce`, which fails with several workers.
        """
        if self.workers == 1:
            return model
        from segcourse.runs.replicas import Reported

        return Reported(model.inputs, model.outputs[0], name=model.name)

    def loss(self, loss: "keras.losses.Loss") -> "keras.losses.Loss":
        """The loss of one part of a batch: its share of the loss of the whole."""
        if self.parts == 1:
            return loss
        from segcourse.runs.replicas import Share

        return Share(loss, self.parts)

    def parted(self, data: "tf.data.Dataset") -> "tf.data.Dataset":
        """Batches of which every worker takes its part, as one process would divide them."""
        if self.workers == 1:
            return data
        import tensorflow as tf

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return data.with_options(options)

    def whole_batches(self, data: "tf.data.Dataset", batch_size: int) -> "tf.data.Dataset":
        """Batches of (images, labels) to validate on; the last is filled up with void where it is divided.

        A device without a picture would fail. Void pixels change no score, only the mean that is `val_loss`.
        """
        if self.parts == 1:
            return data
        import tensorflow as tf

        def fill(images, labels):
            missing = batch_size - tf.shape(images)[0]
            rows = [[0, missing], [0, 0], [0, 0]]
            return tf.pad(images, [*rows, [0, 0]]), tf.pad(labels, rows, constant_values=VOID)

        return self.parted(data.map(fill))

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """The scope, to train in.

        Raises:
            WorkerLost: another worker has crashed or was killed.
        """
        import tensorflow as tf

        lost = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
        try:
            with self.scope():
                yield
        except lost as error:
            if self.workers == 1:
                raise
            raise WorkerLost(
                "Another worker is gone, and this one cannot go on without it. Start the same command on all "
                "workers again: the run continues after its last whole epoch."
            ) from error

    @contextlib.contextmanager
    def own(self, folder: Path, resumed: bool) -> Iterator[Path]:
        """The folder for the state of this worker: the run's, or a copy that is gone afterwards."""
        if self.first:
            yield folder
            return
        with tempfile.TemporaryDirectory() as private:
            for name in (STATE, BEST) if resumed else ():
                shutil.copy(folder / name, private)
            yield Path(private)


def devices(wanted: bool, batch_size: int) -> Devices:
    """The devices to train on: one, or all there are if that is `wanted`.

    Each of n devices gets an n-th of every batch. That is the training of one device up to rounding, unless
    the network has batch normalization (whose statistics are those of a part) or dropout (every device draws
    its own), or the loss is Dice (the mean of the parts').

    With several workers, TF_CONFIG must name them all, no operation may have run in TensorFlow before, and
    the data and the run's folder must be on a disk that all of them see. The first one writes the run.

    Args:
        wanted: False for the plain training on one device.
        batch_size: of all devices together.

    Raises:
        BadRequest: another backend, one device alone, or a batch that cannot be divided.
    """
    if not wanted:
        return Devices()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BadRequest(f"--distribute needs Keras on TensorFlow, and this is {keras.backend.backend()}.")
    found = _workers() if os.environ.get("TF_CONFIG") else _here()
    if batch_size % found.parts:
        raise BadRequest(
            f"A batch of {batch_size} cannot be divided among {found.parts} devices. Give --batch-size "
            f"{-(-batch_size // found.parts) * found.parts}."
        )
    return found


def _here():
    import tensorflow as tf

    names = [device.name for device in _logical_devices()]
    if len(names) < 2:
        raise BadRequest(
            f"--distribute needs two devices or more; this machine has {names[0]} alone. Leave it out."
        )
    return Devices(tf.distribute.MirroredStrategy(names).scope, len(names))


def _logical_devices():
    import tensorflow as tf

    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


def _workers():
    """The workers of TF_CONFIG, once all of them are there."""
    import tensorflow as tf

    try:
        config = json.loads(os.environ["TF_CONFIG"])
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        if task["type"] != "worker" or not 0 <= index < len(workers) or set(config["cluster"]) != {"worker"}:
            raise ValueError("only workers take part")
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(
            f"TF_CONFIG does not tell the workers and which of them this is ({error!r}). Needed is, for the "
            'first of two: {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", '
            '"index": 0}}; or unset it to train on this machine alone.'
        ) from error
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Devices(strategy.scope, strategy.num_replicas_in_sync, len(workers), index == 0)

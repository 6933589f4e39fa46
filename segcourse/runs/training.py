"""Train a network in a folder, so that the same call continues where it was interrupted."""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcourse.runs import distribution, identity, losses, tiles
from segcourse.runs.errors import BadRequest, WorkerLost
from segcourse.runs.files import read_json, reserve, write_json
from segcourse.runs.scoring import scores_of
from segcourse.runs.weights import start_from

if TYPE_CHECKING:
    import keras


def train(
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    resume: bool = True,
    report: Callable[[str], Any] = print,
    tensorboard: bool = False,
    distribute: bool = False,
    place: str = "auto",
) -> dict[str, Any]:
    """Train a network and leave `model.keras` (best epoch), `history.json` and `classes.json` in `folder`.

    The same call continues an interrupted run after its last whole epoch; a run is begun with its first whole
    epoch. Ctrl-C leaves `model.keras` of the best epoch so far.

    Args:
        folder: of the run; it is made.
        settings: dict of `network`, `arguments` (of the network), `data`, `size` ((H, W) or None), `epochs`,
            `batch_size`, `learning_rate`, `seed`, `weights` (a file to start from, or None), `precision`; and
            if you like `loss` and `class_weights` (names, see `runs.losses`), and `crop` ((H, W) of random
            crops to train on, for pictures that differ in size or are too large).
        resume: False forgets what the folder holds.
        report: called with a line of text.
        tensorboard: also write `tensorboard/` into the folder.
        distribute: train on all devices, see `distribution`. The same run may go on with it or without.
        place: where the pictures of a folder are read from, see `datasets.opened`; the results are the same.

    Returns:
        dict of `settings`, `val` (scores), `history`, `environment`, as in `history.json`.

    Raises:
        BadRequest: unknown network or argument, too few images, or a folder of a run with other settings or
            other data.
        DataError: the data cannot be used.
        TrainingDiverged: the loss is no longer a number.
        WorkerLost: another worker has crashed or was killed.
        DiskFull: there is no room for the run's files.
    """
    folder, settings = Path(folder), {**identity.DEFAULTS, **settings}
    identity.refuse_hidden(settings["data"])
    identity.refuse_foreign_folder(folder, settings["data"])
    done = identity.epochs_done(folder) if resume else 0
    if done:
        identity.refuse_other_settings(folder, settings)

    devices = distribution.devices(distribute, settings["batch_size"])
    from segcourse import datasets, training

    datasets.checked(settings["data"], ("train", "val"), report)
    spec = datasets.spec(settings["data"])
    hooks = [*_lines(report, settings["epochs"]), *_tensorboard(folder, tensorboard and devices.first)]
    training.set_seed(settings["seed"])
    with devices.scope(), training.precision(settings["precision"]):
        network = _build(settings, len(spec))
    model = devices.model(network)
    start_from(settings["weights"], model, lambda classes: _build(settings, classes), report)
    splits = datasets.opened(settings["data"], ("train", "val"), settings["size"], place, report)
    size = _training_size(settings, splits["train"])
    found = identity.found_in(settings["data"], spec, splits, size)
    if done:
        identity.refuse_other_data(folder, found)
    if done >= settings["epochs"] and (folder / identity.HISTORY).exists():
        report(f"{folder} is finished already ({done} of {done} epochs): nothing was trained.")
        return read_json(folder / identity.HISTORY)
    _check_batch(settings["batch_size"], len(splits["train"]))
    window = _window(model, size)
    validation = _validation(model, splits["val"], settings["batch_size"], devices)
    loss = _loss(settings, splits["train"], spec, report)
    report(_summary(settings, model, window, found, done))
    if devices.first:
        _accept(folder, settings, found, spec, done, report)
    with devices.own(folder, done > 0) as own, _usable_model(folder, settings, len(spec), devices):
        data = splits["train"], validation
        history = _fit(model, window, data, own, settings, loss, hooks, devices)
    record = {"settings": settings, "history": history, "environment": training.environment()}
    if devices.first:
        record["val"] = _score_val(folder, splits["val"], len(spec))
        write_json(folder / identity.HISTORY, record)
    return record


def _training_size(settings, pictures):
    """What the network sees in training: crops, or pictures that all have one size."""
    if settings["crop"]:
        return tuple(settings["crop"])
    return pictures.one_size()


def _check_batch(batch_size, images):
    if images < batch_size:
        raise BadRequest(
            f"A batch of {batch_size} needs as many images; there are {images} to train on. Give "
            f"--batch-size {images} or less, or add pictures."
        )


def _summary(settings, model, window, found, done):
    counts = {split: prints["count"] for split, prints in found["splits"].items()}
    seen = f" (mirrored to {window.size[0]}x{window.size[1]})" if window.margin else ""
    after = f", continued after epoch {done}" if done else ""
    return (
        f"{settings['network']}: {model.count_params():,} weights, {counts['train']} images of "
        f"{found['size'][0]}x{found['size'][1]}{seen}, {counts['val']} to validate, "
        f"{settings['epochs']} epochs{after}."
    )


def _accept(folder, settings, found, spec, done, report):
    """Write what the run is, now that nothing speaks against it; what it replaces goes."""
    if not done:
        own = (identity.MODEL, identity.BEST, identity.STATE, identity.HISTORY)
        old = [name for name in own if (folder / name).exists()]
        if old:
            report(f"Forgetting the run in {folder}: {', '.join(old)}.")
        for name in old:
            (folder / name).unlink()
    write_json(folder / identity.SETTINGS, {**settings, "remembered": found})
    write_json(folder / identity.CLASSES, _class_list(spec))


def _class_list(spec):
    """The classes in the form that `labels.from_file` reads."""
    pairs = zip(spec.classes, spec.palette, strict=True)
    return [{"name": name, "color": "#" + bytes(color).hex()} for name, color in pairs]


def _build(settings, classes):
    from segcourse import models

    arguments = {"classes": classes, **_input(settings), **settings["arguments"]}
    try:
        return models.build(settings["network"], **arguments)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from error


def _input(settings):
    """The `input_shape` for the channels of the data; a colour network takes grey as three equal channels."""
    from segcourse import datasets, models

    if settings["network"] not in models.MODELS:
        return {}  # `build` lists the known ones
    own = inspect.signature(models.MODELS[settings["network"]]).parameters["input_shape"].default
    return {"input_shape": (None, None, max(own[-1], datasets.channels(settings["data"])))}


def _window(model, size):
    """The `windows.Window` in which a network sees pictures of this size."""
    from segcourse.prediction.windows import Network

    try:
        window = Network(model).window(tuple(size))
        check_size(model, window.size)
    except ValueError as error:
        raise BadRequest(
            f"{model.name} does not take pictures of {size[0]}x{size[1]}: {_first_line(error)} Or give "
            "another --size: from 32x32 on every network has an answer."
        ) from error
    return window


def check_size(model: "keras.Model", size: tuple[int, int]) -> None:
    """A symbolic call: a network that does not take this size says so in its own words (ValueError)."""
    import keras

    model.compute_output_spec(keras.KerasTensor((1, *size, model.input_shape[-1])))


def _first_line(error):
    return str(error).strip().splitlines()[0]


def _loss(settings, pictures, spec, report):
    weights = None
    if settings["class_weights"]:
        masks = (labels for _, labels in pictures)
        weights = losses.class_weights(settings["class_weights"], masks, len(spec))
        pairs = zip(spec.classes, weights, strict=True)
        report("class weights: " + ", ".join(f"{name} {weight:.2f}" for name, weight in pairs))
    return losses.loss(settings["loss"], weights)


def _validation(model, pictures, batch_size, devices):
    """Batches to validate on; pictures of different sizes come one by one, large ones by their middle."""
    import tensorflow as tf

    from segcourse.prediction.windows import Network

    network = Network(model)
    if pictures.size:
        shown = pictures.in_grey() if network.channels == 1 else pictures
        data = network.window(pictures.size).batches(shown.batches(batch_size))
        return devices.whole_batches(data, batch_size)
    if devices.parts > 1:
        raise BadRequest("--distribute needs pictures of one size. Give --size HEIGHTxWIDTH.")
    shown = [_middle(size) for size in pictures.sizes]
    windows = [_window(model, [part.stop - part.start for part in parts]) for parts in shown]

    def one_by_one():
        for (image, labels), window, part in zip(pictures, windows, shown, strict=True):
            yield window.images(image[part][None]), window.truth(labels[part][None])

    signature = (
        tf.TensorSpec((1, None, None, network.channels), tf.uint8), tf.TensorSpec((1, None, None), tf.uint8)
    )  # fmt: skip
    data = tf.data.Dataset.from_generator(one_by_one, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(pictures))).prefetch(2)


def _middle(size):
    """The rows and columns of a picture to validate on: all, or as much as is labelled in one pass."""
    height, width = size
    scale = min(1, (tiles.WHOLE / (height * width)) ** 0.5)
    return tuple(
        slice((side - kept) // 2, (side - kept) // 2 + kept)
        for side, kept in ((height, int(height * scale)), (width, int(width * scale)))
    )


def _fit(model, window, data, folder, settings, loss, hooks, devices):
    import keras

    from segcourse import datasets, training
    from segcourse.metrics import ConfusionMatrix

    (pictures, validation), batch_size, epochs = data, settings["batch_size"], settings["epochs"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(pictures) // batch_size))
    crop = settings["crop"] and tuple(settings["crop"])
    pictures = pictures.in_grey() if window.channels == 1 else pictures
    batches = pictures.epochs(batch_size, augment=datasets.Augment(crop=crop), seed=settings["seed"])

    def epoch_data(epoch):
        return devices.parted(window.batches(batches(epoch)))

    options = {"epochs": epochs, "validation": validation, "folder": folder, "batch_size": batch_size}
    try:
        with devices.training():
            metrics = [ConfusionMatrix(model.output_shape[-1])]
            training.compile(model, keras.optimizers.Adam(schedule), devices.loss(loss), metrics)
            return training.fit(model, epoch_data, callbacks=[*hooks, _room(folder, model)], **options)
    except ValueError as error:
        if "resume=False" not in str(error):  # what `fit` says of a state that does not fit the network
            raise
        raise BadRequest(str(error).replace("resume=False", "--restart (in Python: resume=False)")) from error


@contextlib.contextmanager
def _usable_model(
    folder: Path, settings: Mapping[str, Any], classes: int, devices: distribution.Devices
) -> Iterator[None]:
    """After the block, however it ended, `model.keras` has the weights of the best epoch, if there is one."""
    from segcourse.training import TrainingDiverged

    if not devices.first:
        yield
        return
    try:
        yield
    except (KeyboardInterrupt, WorkerLost):
        _write_model(folder, settings, classes)
        raise
    except TrainingDiverged as error:
        _write_model(folder, settings, classes)
        if not identity.epochs_done(folder):
            raise
        raise TrainingDiverged(
            f"{error} {folder / identity.MODEL} has the best weights before. To try other settings in this "
            "folder, add --restart."
        ) from error
    _write_model(folder, settings, classes)


def _write_model(folder, settings, classes):
    """Float32 and without the optimizer, whatever the run used: the file to predict with and to export."""
    if not (folder / identity.STATE).exists():
        return
    final = _build(settings, classes)
    final.load_weights(folder / identity.BEST)
    path = folder / identity.MODEL
    partial = path.with_name("partial." + path.name)
    reserve(path, 8 * final.count_params() + 2**20)
    final.save(partial)
    os.replace(partial, path)


def _score_val(folder, pictures, classes):
    from segcourse.runs.models import Labeller

    label = Labeller(folder / identity.MODEL)
    return scores_of(((labels, label(image)) for image, labels in pictures), classes)


def _room(folder, model):
    """A callback that fails, before the weights are written, where the disk is too full for them."""
    import keras

    # The state has the weights three times (Adam's two moments), the best weights once.
    size = 4 * sum(weight.size * weight.dtype.itemsize for weight in model.get_weights()) + 2**20
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: reserve(folder / identity.STATE, size)
    )


def _lines(report, epochs):
    """One line an epoch where no progress bar is shown."""
    import keras

    from segcourse.training import interactive

    if interactive():
        return []
    return [
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: report(_line(epoch, epochs, logs)),
        )
    ]


def _line(epoch, epochs, logs):
    names = {"loss": "loss", "val_loss": "val loss", "val_miou": "val mean IoU"}
    values = ", ".join(f"{name} {logs[key]:.4f}" for key, name in names.items() if key in logs)
    return f"epoch {epoch + 1}/{epochs}: {values}"


def _tensorboard(folder, wanted):
    if not wanted:
        return []
    import keras

    if find_spec("tensorboard") is None:
        raise BadRequest("--tensorboard needs the package of that name: pip install tensorboard.")
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]

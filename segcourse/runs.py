"""A training run in a folder, and labelling images with the model that came out of it.

What the commands `train`, `evaluate`, `predict` and `export` do, for use from Python as well. Keras and
TensorFlow are imported inside the functions, so that the command line starts quickly.
"""

import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segcourse.datasets import files, labels
from segcourse.datasets.errors import DataError
from segcourse.jsonable import jsonable

if TYPE_CHECKING:
    import keras


class BadRequest(ValueError):
    """What was asked for does not fit together; the message says what was got, what is needed and the fix."""


def train(
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    resume: bool = True,
    report: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Train a network and leave `model.keras` (best epoch), `history.json` and `classes.json` in `folder`.

    The same call continues an interrupted run after its last whole epoch.

    Args:
        folder: of the run; it is made.
        settings: dict of `network`, `arguments` (of the network), `data`, `size` ((H, W) or None), `epochs`,
            `batch_size`, `learning_rate`, `seed`, `weights` (a file to start from, or None), `precision`.
        resume: False forgets what the folder holds.
        report: called with a line of text.

    Returns:
        dict of `settings`, `val` (scores), `history`, `environment`, as in `history.json`.

    Raises:
        BadRequest: unknown network or argument, too few images, or a folder of a run with other settings.
        DataError: the data cannot be used.
        TrainingDiverged: the loss is no longer a number.
    """
    folder = Path(folder)
    if resume:
        _refuse_other_run(folder, settings)

    from segcourse import datasets, training
    from segcourse.prediction.windows import Network

    datasets.checked(settings["data"], ("train", "val"), report)
    spec = datasets.spec(settings["data"])
    training.set_seed(settings["seed"])
    with training.precision(settings["precision"]):
        model = _build(settings, len(spec))
    _start_from(settings["weights"], model)
    arrays, val = (datasets.load(settings["data"], split, settings["size"]) for split in ("train", "val"))
    images, batch_size = arrays[0], settings["batch_size"]
    if len(images) < batch_size:
        raise BadRequest(
            f"A batch of {batch_size} needs as many images; there are {len(images)} to train on."
        )
    window = _window(model, images.shape[1:3])
    seen = f" (mirrored to {window.size[0]}x{window.size[1]})" if window.margin else ""
    report(
        f"{settings['network']}: {model.count_params():,} weights, {len(images)} images of "
        f"{images.shape[1]}x{images.shape[2]}{seen}, {len(val[0])} to validate, {settings['epochs']} epochs."
    )
    write_json(folder / "settings.json", settings)
    write_json(folder / "classes.json", _class_list(spec))
    history = _fit(model, window, arrays, val, folder, settings, resume)
    # Float32 and without the optimizer, whatever the run used: the file to predict with and to export.
    final = _build(settings, len(spec))
    final.set_weights(model.get_weights())
    final.save(folder / "model.keras")
    scores = _scores(val[1], Network(final).labels(val[0]), len(spec))
    record = {"settings": settings, "val": scores, "history": history, "environment": training.environment()}
    write_json(folder / "history.json", record)
    return record


def _refuse_other_run(folder, settings):
    path = folder / "settings.json"
    if not path.exists():
        return
    before, now = json.loads(path.read_text()), json.loads(json.dumps(settings))
    changed = [
        f"{key} was {before.get(key)!r}, now {now[key]!r}" for key in now if before.get(key) != now[key]
    ]
    if changed:
        raise BadRequest(
            f"{folder} holds a run with other settings ({'; '.join(changed)}). Repeat them to continue it, "
            "choose another folder, or start anew with --restart (in Python: resume=False)."
        )


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


def _start_from(weights, model):
    if not weights:
        return
    try:
        model.load_weights(weights)
    except ValueError as error:
        raise BadRequest(
            f"{weights} does not fit {model.name} for {model.input_shape[-1]} channels and "
            f"{model.output_shape[-1]} classes with these options: {_first_line(error)} Give weights of "
            "the same network, options and classes, or none."
        ) from error


def _window(model, size):
    """The `windows.Window` in which a network sees pictures of this size."""
    from segcourse.prediction.windows import Network

    try:
        window = Network(model).window(size)
        _check_size(model, window.size)
    except ValueError as error:
        raise BadRequest(
            f"{model.name} does not take pictures of {size[0]}x{size[1]}: {_first_line(error)} Or give "
            "another --size: from 32x32 on every network has an answer."
        ) from error
    return window


def _check_size(model, size):
    """A symbolic call: a network that does not take this size says so in its own words."""
    import keras

    model.compute_output_spec(keras.KerasTensor((1, *size, model.input_shape[-1])))


def _first_line(error):
    return str(error).strip().splitlines()[0]


def _fit(model, window, arrays, val, folder, settings, resume):
    import keras

    from segcourse import datasets, training
    from segcourse.losses import MaskedCrossEntropy
    from segcourse.metrics import ConfusionMatrix

    (images, labels), epochs, batch_size = arrays, settings["epochs"], settings["batch_size"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(images) // batch_size))
    metrics = [ConfusionMatrix(model.output_shape[-1])]
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(), metrics)
    if window.channels == 1:
        images = np.repeat(files.grey(images), 3, axis=-1)
    data = datasets.epochs(images, labels, batch_size, augment=datasets.Augment(), seed=settings["seed"])
    validation = window.images(val[0]), window.truth(val[1])
    options = {"validation": validation, "folder": folder, "resume": resume, "batch_size": batch_size}
    return training.fit(model, lambda epoch: window.batches(data(epoch)), epochs=epochs, **options)


def _class_list(spec):
    """The classes in the form that `labels.from_file` reads."""
    pairs = zip(spec.classes, spec.palette, strict=True)
    return [{"name": name, "color": "#" + bytes(color).hex()} for name, color in pairs]


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON; arrays become lists, NaN becomes null. The folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(jsonable(content), indent=1) + "\n")


def load_model(path: Path) -> "keras.Model":
    """A `.keras` file as a `keras.Model`, not compiled.

    Raises:
        BadRequest: the file is of another kind, or has layers that nobody has registered with Keras.
    """
    if path.suffix != ".keras":
        raise BadRequest(f"{path} is no .keras file. Give one that model.save() or segcourse train wrote.")
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except TypeError as error:
        unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", str(error))
        if not unknown:
            raise
        raise BadRequest(
            f"{path} has a layer {unknown[1]!r} that is not Keras' own. Give --import MODULE, a Python "
            "module that registers it: @keras.saving.register_keras_serializable()."
        ) from error


class Labeller:
    """A `.keras` or `.tflite` file as a function from an image uint8 [H, W, 3] to its labels uint8 [H, W].

    Images are labelled whole, or by a network that does not answer for its margin in mirrored windows: see
    `windows`.

    Attributes:
        size: (height, width) if the model takes this size alone, else None. Images of other sizes are resized
            to it, and their labels back by nearest neighbour. None too where windows make it unnecessary.
        classes: number of classes.
    """

    def __init__(self, path: str | os.PathLike):
        from segcourse.prediction.windows import Network

        path = Path(path)
        if path.suffix == ".tflite":
            from segcourse.tflite import Runner

            self._network = Network(Runner(path))
        else:
            self._network = Network(load_model(path))
        self.size = None if self._network.margin else self._network.size
        self.classes = self._network.classes

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.size in (None, image.shape[:2]):
            return self._network.labels(image[None])[0]
        small = self._network.labels(files.resize_image(image, self.size)[None])[0]
        return files.resize_mask(small, image.shape[:2])


def samples(
    model: "keras.Model", data: str, split: str, size: tuple[int, int], count: int | None = None
) -> np.ndarray:
    """Pictures of a data set, the first `count` or all, as a model takes them: uint8 [N, h, w, channels].

    They are resized to `size`; where the model does not answer for its margin, mirrored or cut instead.

    Raises:
        BadRequest: valid convolutions do not take this size.
    """
    from segcourse import datasets
    from segcourse.prediction.windows import Network, Window

    if len(model.outputs) > 1:
        names = ", ".join(tensor.name for tensor in model.outputs)
        raise BadRequest(
            f"The model has {len(model.outputs)} outputs ({names}), and the command line compares one. Save "
            "keras.Model(model.input, model.outputs[0]), or call segcourse.tflite.convert from Python."
        )
    network = Network(model)
    pictures = datasets.load(data, split, None if network.margin else size)[0][:count]
    own = pictures.shape[1:3]
    if network.margin:
        try:
            _check_size(model, size)
        except ValueError as error:
            needed = network.window(own).size
            raise BadRequest(
                f"{_first_line(error)} Pictures of {data} have {own[0]}x{own[1]} pixels: for them give "
                f"{needed[0]}x{needed[1]}."
            ) from error
    return Window(own, size, network.margin, network.channels).images(pictures)


def labelled(
    model: "keras.Model", data: str, split: str, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N, H, W, 3] and labels of a data set, to score a file that was written for `size`.

    They are resized to `size`; where the model does not answer for its margin, they keep their own.
    """
    from segcourse import datasets
    from segcourse.prediction.windows import Network

    return datasets.load(data, split, None if Network(model).margin else size)


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """`count` of the images from first to last, or all: neighbours in a film are too much alike."""
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)]


def data_of(model: str | os.PathLike) -> str:
    """The data that a model file was trained on, by the `settings.json` beside it; else "toycam"."""
    beside = Path(model).with_name("settings.json")
    return json.loads(beside.read_text())["data"] if beside.is_file() else "toycam"


def classes_of(
    model: str | os.PathLike, count: int, file: str | os.PathLike | None = None
) -> labels.LabelSpec:
    """The `LabelSpec` of a model file: from `file`, else inside a `.tflite`, else `classes.json` beside it.

    Where all these are missing, CamVid's or VOC's, if the number fits.

    Raises:
        BadRequest: no class list, or one of another length than `count`.
    """
    beside, inside = Path(model).with_name("classes.json"), None
    if not file and Path(model).suffix == ".tflite":
        from segcourse import tflite

        inside = (tflite.metadata(model) or tflite.Metadata()).classes
    if inside is not None:
        spec = inside
    elif file or beside.is_file():
        spec = labels.from_file(file or beside)
    else:
        spec = next((known for known in (labels.CAMVID, labels.VOC) if len(known) == count), None)
    if spec is None or len(spec) != count:
        found = "there is no list of their names" if spec is None else f"{file or beside} lists {len(spec)}"
        raise BadRequest(
            f"{model} tells {count} classes apart, and {found}. "
            "Give --classes FILE with one class a line, in the order of the ids."
        )
    return spec


def origin_of(model: str | os.PathLike) -> dict[str, Any]:
    """What the files of a training run tell of its model: network, arguments, data; else the file's name."""
    beside = Path(model).with_name("settings.json")
    if not beside.is_file():
        return {"model": Path(model).name}
    settings = json.loads(beside.read_text())
    return {key: settings[key] for key in ("network", "arguments", "data", "size", "epochs", "seed")}


def score(
    label: Callable[[np.ndarray], np.ndarray], images: Iterable[np.ndarray], truth: np.ndarray, classes: int
) -> dict[str, Any]:
    """All scores of a `Labeller`: those of `metrics.scores`, and `boundary_f1`.

    Args:
        label: called with each image.
        images: iterable of uint8 [H, W, 3].
        truth: uint8 [N, H, W]; 255 does not count.
    """
    from segcourse import metrics

    predicted = np.stack([label(image) for image in images])
    boundary_f1 = metrics.boundary_f1(truth, predicted, classes)
    return {**_scores(truth, predicted, classes), "boundary_f1": boundary_f1}


def _scores(truth, predicted, classes):
    """`metrics.scores` of all pictures together."""
    from segcourse import metrics

    pairs = zip(truth, predicted, strict=True)
    counts = [np.asarray(metrics.confusion_matrix(*pair, classes)).astype(np.int64) for pair in pairs]
    return metrics.scores(sum(counts))


def label_file(
    path: Path,
    label: Callable[[np.ndarray], np.ndarray],
    spec: labels.LabelSpec,
    folder: str | os.PathLike,
    name: str,
) -> None:
    """Write `folder/labels/NAME.png` (palette PNG, class ids as pixel values) and `folder/overlay/NAME.png`.

    Raises:
        DataError: the image cannot be read, or the network does not take its size.
    """
    from PIL import Image

    from segcourse import plotting

    image = files.decode_image(files.read_bytes(path), path)
    try:
        ids = label(image)
    except ValueError as error:
        height, width = image.shape[:2]
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: {height}x{width} pixels do not fit the network: {reason}") from error
    picture = Image.fromarray(ids)
    picture.putpalette(spec.colorize(np.arange(256)).tobytes())
    overlay = Image.fromarray(plotting.blend(image, ids, spec))
    for kind, content in (("labels", picture), ("overlay", overlay)):
        target = Path(folder) / kind / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        content.save(target)

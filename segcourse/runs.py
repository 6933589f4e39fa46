"""A training run in a folder, and labelling images with the model that came out of it.

What the commands `train`, `evaluate`, `predict` and `export` do, for use from Python as well. Keras and
TensorFlow are imported inside the functions, so that the command line starts quickly.
"""

import json
from pathlib import Path

import numpy as np

from segcourse.datasets import files, labels
from segcourse.datasets.errors import DataError


class BadRequest(ValueError):
    """What was asked for does not fit together; the message says what was got, what is needed and the fix."""


def train(folder, settings, resume=True, report=print):
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

    from segcourse import datasets, prediction, training

    spec = datasets.spec(settings["data"])
    training.set_seed(settings["seed"])
    with training.precision(settings["precision"]):
        model = _build(settings, len(spec))
    if settings["weights"]:
        model.load_weights(settings["weights"])
    arrays, val = (datasets.load(settings["data"], split, settings["size"]) for split in ("train", "val"))
    images, batch_size = arrays[0], settings["batch_size"]
    if len(images) < batch_size:
        raise BadRequest(
            f"A batch of {batch_size} needs as many images; there are {len(images)} to train on."
        )
    report(
        f"{settings['network']}: {model.count_params():,} weights, {len(images)} images of "
        f"{images.shape[1]}x{images.shape[2]}, {len(val[0])} to validate, {settings['epochs']} epochs."
    )
    write_json(folder / "settings.json", settings)
    write_json(folder / "classes.json", _class_list(spec))
    history = _fit(model, arrays, val, folder, settings, resume)
    # Float32 and without the optimizer, whatever the run used: the file to predict with and to export.
    final = _build(settings, len(spec))
    final.set_weights(model.get_weights())
    final.save(folder / "model.keras")
    scores = prediction.evaluate(final, *val, len(spec), batch_size)
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

    arguments = {"classes": classes, **settings["arguments"]}
    try:
        return models.build(settings["network"], **arguments)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from error


def _fit(model, arrays, val, folder, settings, resume):
    import keras

    from segcourse import datasets, training
    from segcourse.losses import MaskedCrossEntropy
    from segcourse.metrics import ConfusionMatrix

    epochs, batch_size = settings["epochs"], settings["batch_size"]
    schedule = training.poly(settings["learning_rate"], epochs * (len(arrays[0]) // batch_size))
    metrics = [ConfusionMatrix(model.output_shape[-1])]
    training.compile(model, keras.optimizers.Adam(schedule), MaskedCrossEntropy(), metrics)
    data = datasets.epochs(*arrays, batch_size, augment=datasets.Augment(), seed=settings["seed"])
    options = {"validation": val, "folder": folder, "resume": resume, "batch_size": batch_size}
    return training.fit(model, data, epochs=epochs, **options)


def _class_list(spec):
    """The classes in the form that `labels.from_file` reads."""
    pairs = zip(spec.classes, spec.palette, strict=True)
    return [{"name": name, "color": "#" + bytes(color).hex()} for name, color in pairs]


def write_json(path, content):
    """Write `content` as JSON; arrays become lists, NaN becomes null. The folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(content), indent=1) + "\n")


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if value != value else value


def load_model(path):
    """A `.keras` file as a `keras.Model`, not compiled.

    Raises:
        BadRequest: the file is of another kind.
    """
    if path.suffix != ".keras":
        raise BadRequest(f"{path} is no .keras file. Give one that model.save() or segcourse train wrote.")
    import keras

    return keras.saving.load_model(path, compile=False)


class Labeller:
    """A `.keras` or `.tflite` file as a function from an image uint8 [H, W, 3] to its labels uint8 [H, W].

    Attributes:
        size: (height, width) if the model takes this size alone, else None. Images of other sizes are resized
            to it, and their labels back by nearest neighbour.
        classes: number of classes.
    """

    def __init__(self, path):
        path = Path(path)
        if path.suffix == ".tflite":
            from segcourse.tflite import Runner

            runner = Runner(path)
            self._predict, inputs, outputs = runner.labels, runner.input_shape, runner.output_shape
        else:
            from segcourse import prediction

            model = load_model(path)
            self._predict = lambda images: prediction.predict(model, images)
            inputs, outputs = model.input_shape, model.output_shape
        self.size = None if None in inputs[1:3] else tuple(inputs[1:3])
        self.classes = outputs[-1]

    def __call__(self, image):
        if self.size in (None, image.shape[:2]):
            return self._predict(image[None])[0]
        small = self._predict(files.resize_image(image, self.size)[None])[0]
        return files.resize_mask(small, image.shape[:2])


def classes_of(model, count, file=None):
    """The `LabelSpec` of a model file: from `file`, else `classes.json` beside it, else CamVid's or VOC's.

    Raises:
        BadRequest: no class list, or one of another length than `count`.
    """
    beside = Path(model).with_name("classes.json")
    if file or beside.is_file():
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


def score(label, images, truth, classes):
    """All scores of a `Labeller`: those of `metrics.scores`, and `boundary_f1`.

    Args:
        label: called with each image.
        images: iterable of uint8 [H, W, 3].
        truth: uint8 [N, H, W]; 255 does not count.
    """
    from segcourse import metrics

    predicted = np.stack([label(image) for image in images])
    pairs = zip(truth, predicted, strict=True)
    counts = [np.asarray(metrics.confusion_matrix(*pair, classes)).astype(np.int64) for pair in pairs]
    scores = metrics.scores(sum(counts))
    return {**scores, "boundary_f1": metrics.boundary_f1(truth, predicted, classes)}


def label_file(path, label, spec, folder, name):
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

"""Model files: as a network, as a function that labels pictures, and what belongs to them."""

import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segcourse.datasets import files, labels
from segcourse.runs import tiles
from segcourse.runs.errors import BadRequest
from segcourse.runs.files import read_json

if TYPE_CHECKING:
    import keras


def load_model(path: Path) -> "keras.Model":
    """A `.keras` file as a `keras.Model`, not compiled.

    Raises:
        BadRequest: the file is damaged or of another kind, or has layers that nobody registered with Keras.
    """
    if path.suffix != ".keras":
        raise BadRequest(f"{path} is no .keras file. Give one that model.save() or segcourse train wrote.")
    if not zipfile.is_zipfile(path):
        raise BadRequest(f"{path} is damaged, cut short, or no .keras file. Copy it again, or train again.")
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
    `windows`. Those that are too large for one pass are labelled in tiles: see `tiles`.

    Args:
        path: of the file.
        size: (height, width) to bring every image to; its labels are brought back by nearest neighbour. None
            keeps the image's own size.
        tile: side of the tiles in pixels for images larger than that; None cuts only images of more than
            `tiles.WHOLE` pixels.

    Attributes:
        size: (height, width) if images are brought to this size: the one asked for, or the only one that the
            model takes. None where every image is labelled at its own size.
        classes: number of classes.

    Raises:
        BadRequest: the file is of another kind, tells no classes apart, or does not go with size or tile.
    """

    def __init__(self, path: str | os.PathLike, size: tuple[int, int] | None = None, tile: int | None = None):
        from segcourse.prediction.windows import Network

        path = Path(path)
        if path.suffix == ".tflite":
            from segcourse.tflite import Runner

            self._network = Network(Runner(path))
        else:
            self._network = Network(load_model(path))
        if self._network.classes == 1:
            raise BadRequest(
                f"{path} gives one score a pixel, and the largest of one is always class 0. Train it with an "
                "output for each class, the background too."
            )
        own = None if self._network.margin else self._network.size
        if own and (tile or size not in (None, own)):
            raise BadRequest(
                f"{path} takes images of {own[0]}x{own[1]} alone. Leave --size and --tile out, or give the "
                ".keras file it was made from."
            )
        self.size, self.classes = own or size, self._network.classes
        self._tile = tiles.check(tile)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.size in (None, image.shape[:2]):
            return self._own_size(image)
        return files.resize_mask(self._own_size(files.resize_image(image, self.size)), image.shape[:2])

    def tiled(self, size: tuple[int, int]) -> int | None:
        """The side of the tiles that an image of this (height, width) is cut into; None if it is not cut."""
        return None if self._network.size else tiles.side(self.size or size, self._tile)

    def _own_size(self, image):
        side = self.tiled(image.shape[:2])
        if side is None:
            return self._network.labels(image[None])[0]
        return tiles.labels(self._network.labels, image, side)


def samples(
    model: "keras.Model",
    data: str,
    split: str,
    size: tuple[int, int],
    count: int | None = None,
    spread: bool = False,
) -> np.ndarray:
    """Pictures of a data set, `count` of them or all, as a model takes them: uint8 [N, h, w, channels].

    They are resized to `size`; where the model does not answer for its margin, mirrored or cut instead.

    Args:
        spread: take them from first to last instead of the first ones: neighbours in a film are too much
            alike.

    Raises:
        BadRequest: valid convolutions do not take this size.
    """
    from segcourse import datasets
    from segcourse.prediction.windows import Network, Window
    from segcourse.runs.training import check_size

    if len(model.outputs) > 1:
        names = ", ".join(tensor.name for tensor in model.outputs)
        raise BadRequest(
            f"The model has {len(model.outputs)} outputs ({names}), and the command line compares one. Save "
            "keras.Model(model.input, model.outputs[0]), or call segcourse.tflite.convert from Python."
        )
    network = Network(model)
    resized = None if network.margin else size
    opened = datasets.opened(data, (split,), resized, report=lambda text: None)[split]
    opened.one_size()
    count = len(opened) if count is None else min(count, len(opened))
    chosen = np.linspace(0, len(opened) - 1, count).round().astype(int) if spread else range(count)
    pictures = np.stack([opened[index][0] for index in chosen])
    own = pictures.shape[1:3]
    if network.margin:
        try:
            check_size(model, size)
        except ValueError as error:
            needed = network.window(own).size
            raise BadRequest(
                f"{str(error).strip().splitlines()[0]} Pictures of {data} have {own[0]}x{own[1]} pixels: for "
                f"them give {needed[0]}x{needed[1]}."
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
    settings = read_json(beside)
    return {key: settings[key] for key in ("network", "arguments", "data", "size", "epochs", "seed")}

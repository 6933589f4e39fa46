"""Label whole images with a network, and score it over a whole set."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from segcourse import metrics
from segcourse.prediction.folding import folded
from segcourse.prediction.tiling import tiled_logits
from segcourse.training import jit_compile

UNFOLDED_BYTES = 2**31  # of the windows of one image, which oneDNN's products of matrices take


def predict(model: keras.Model, images: ArrayLike, batch_size: int = 8) -> np.ndarray:
    """Label every pixel.

    Args:
        model: gives logits [B,H,W,C] at the input's resolution.
        images: [N,H,W,3], uint8 or float, 0..255.
        batch_size: images at a time.

    Returns:
        uint8 [N,H,W], the class of the largest logit.
    """
    return np.concatenate(list(_predictions(model, images, batch_size)))


def predict_tiled(
    model: keras.Model, images: ArrayLike, tile: int, margin: int | None = None, batch_size: int = 4
) -> np.ndarray:
    """Label every pixel tile by tile, images of any size.

    Args:
        model: takes tiles, and gives logits of their middles or of the whole tiles.
        images: [N,H,W,channels], uint8 or float, 0..255.
        tile: side of the tiles in pixels.
        margin: pixels at each side of a tile that are context alone; None as for `tiled_logits`.
        batch_size: tiles at a time.

    Returns:
        uint8 [N,H,W], the class of the largest logit.
    """
    maps = (tiled_logits(model, image, tile, margin, batch_size).argmax(-1) for image in images)
    return np.stack([ids.astype("uint8") for ids in maps])


def evaluate(
    model: keras.Model, images: ArrayLike, labels: ArrayLike, classes: int, batch_size: int = 8
) -> dict[str, Any]:
    """Score a model over a whole set: one confusion matrix, then `segcourse.metrics.scores`.

    Args:
        images: [N,H,W,3], 0..255.
        labels: integer [N,H,W]; 255 is void and does not count.
        classes: the number of classes.

    Returns:
        dict of `pixel_accuracy`, `mean_accuracy`, `miou`, `fwiou`, `iou` (per class, NaN where absent).
    """
    labels = np.asarray(labels)
    if labels.shape != np.shape(images)[:3]:
        raise ValueError(
            f"labels {labels.shape} do not fit images {np.shape(images)}; needed: [N,H,W], [N,H,W,3]."
        )
    confusion = np.zeros((classes, classes), np.int64)
    first = 0
    for predicted in _predictions(model, images, batch_size):
        truth = labels[first : first + len(predicted)]
        confusion += keras.ops.convert_to_numpy(metrics.confusion_matrix(truth, predicted, classes))
        first += len(predicted)
    return metrics.scores(confusion)


def _predictions(model: keras.Model, images, batch_size: int) -> Iterator[np.ndarray]:
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be [N,H,W,3] with N at least 1, got the shape {images.shape}. "
                         "For one image pass image[None].")  # fmt: skip
    model = folded(model)
    if not model.compiled and jit_compile() is False:
        model.jit_compile = False
    for first in range(0, len(images), batch_size):
        batch = images[first : first + batch_size]
        logits = on_batch(model, batch)
        if np.shape(logits)[:3] != batch.shape[:3]:
            raise ValueError(
                f"The model gives {np.shape(logits)} for images {batch.shape}; needed are logits [N,H,W,C]."
            )
        yield np.argmax(logits, axis=-1).astype(np.uint8)


def on_batch(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """`model.predict_on_batch`, quick for one large image too.

    For a single image TensorFlow hands oneDNN the kernels as they are. Where the unfolded windows of a
    convolution are then too large (7x7, 64 channels at 360x480), only oneDNN's reference is left, which takes
    minutes. Two images are computed as usual.
    """
    if len(images) > 1 or not _unfolds_too_much(model, images.shape[1:3]):
        return model.predict_on_batch(images)
    return model.predict_on_batch(np.repeat(images, 2, axis=0))[:1]


def _unfolds_too_much(model, size):
    """Whether a convolution's windows take `UNFOLDED_BYTES`; of unknown size, the image's counts."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            sides = [known or side for known, side in zip(layer.output.shape[1:3], size, strict=True)]
            if 4 * math.prod(sides) * math.prod(layer.kernel.shape[:3]) >= UNFOLDED_BYTES:
                return True
    return False

"""Pictures of any size, as a network takes them, and its answer as labels of the whole picture.

A grey network gets grey pictures. Valid convolutions (U-Net) take few sizes and answer for the middle of what
they see: such a network sees a picture in a larger window, mirrored beyond the edges, or, where that window
would be too large, in overlapping tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from segcourse.datasets import files
from segcourse.datasets.labels import VOID
from segcourse.layers.valid_size import ValidSize, nearest_valid, valid_output
from segcourse.prediction.tiling import GRID, predict_tiled
from segcourse.prediction.whole import on_batch, predict

if TYPE_CHECKING:
    import tensorflow as tf

LARGEST = 572  # side of the largest window to predict in: the tile of U-Net's paper
BATCH = 4  # windows at a time


@dataclass(frozen=True)
class Window:
    """What a network sees of pictures of one size.

    Args:
        picture: (height, width) of the pictures.
        size: (height, width) of the window; it begins `margin` pixels above and left of the picture.
        margin: how many pixels at each side of the window have no logits.
        channels: 1 (grey) or 3 (RGB).
    """

    picture: tuple[int, int]
    size: tuple[int, int]
    margin: int
    channels: int

    def images(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [N, h, w, channels] of pictures uint8 [N, H, W, 3]; beyond the edges they are mirrored."""
        images = files.grey(pictures) if self.channels == 1 else pictures
        rows, columns = self._places()
        return images[:, rows][:, :, columns] if self.margin else images

    def truth(self, labels: np.ndarray) -> np.ndarray:
        """The labels [N, H, W] for the logits of a window: void where these reach beyond the picture."""
        return np.pad(labels, self._beyond(), constant_values=VOID)

    def batches(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """The same for a `tf.data.Dataset` of (pictures, labels); grey is in three equal channels there."""
        import tensorflow as tf

        def seen(pictures, labels):
            rows, columns = self._places()
            images = tf.gather(tf.gather(pictures[..., : self.channels], rows, axis=1), columns, axis=2)
            return images, tf.pad(labels, self._beyond(), constant_values=VOID)

        return data.map(seen) if self.margin or self.channels == 1 else data

    def _places(self):
        """The row and the column of the picture that each row and column of the window shows."""
        for side, length in zip(self.picture, self.size, strict=True):
            after = max(0, length - self.margin - side)
            yield np.pad(np.arange(side), (self.margin, after), mode="reflect")[:length]

    def _beyond(self):
        sides = zip(self.picture, self.size, strict=True)
        return [(0, 0), *((0, length - 2 * self.margin - side) for side, length in sides)]


class Network:
    """A Keras model or a TFLite file, for pictures uint8 [N, H, W, 3].

    Args:
        model: a `keras.Model` or a `segcourse.tflite.Runner`, for images of one or three channels.

    Attributes:
        size: (height, width) of its images if it takes this size alone, else None.
        channels: 1 (grey) or 3 (RGB).
        margin: how many pixels at each side of an image have no logits.
        classes: number of classes.
    """

    def __init__(self, model: Any):
        if isinstance(model, keras.Model):
            self._whole, self.predict_on_batch = partial(predict, model), partial(on_batch, model)
        else:
            self._whole, self.predict_on_batch = model.labels, model
        if len(model.input_shape) != 4:
            raise ValueError(
                f"The network takes {model.input_shape}; needed are images [batch, height, width, channels]."
            )
        _, *size, self.channels = model.input_shape
        self.size, self.classes = None if None in size else tuple(size), model.output_shape[-1]
        self._side, answered = _working_side(model)
        self.margin = (self._side - answered) // 2
        if self.channels not in (1, 3):
            raise ValueError(
                f"The network takes images of {self.channels} channels, but pictures have 1 (grey) or 3 "
                "(RGB). Build it with input_shape=(None, None, 1) or (None, None, 3)."
            )

    def window(self, picture: tuple[int, int]) -> Window:
        """The smallest `Window` in which the network answers for every pixel of pictures of this size.

        Raises:
            ValueError: it takes images of one size alone, and pictures of this size do not fit.
        """
        needed = tuple(map(self._needed, picture))
        size = self.size or needed
        if size != needed and not (self.margin and _covers(size, needed)):
            raise ValueError(
                f"The network takes images of {_text(size)} alone, but pictures of {_text(picture)} need "
                f"{_text(needed)}. Build it with input_shape=(None, None, {self.channels}) or "
                f"({needed[0]}, {needed[1]}, {self.channels})."
            )
        return Window(tuple(picture), size, self.margin, self.channels)

    def labels(self, pictures: np.ndarray) -> np.ndarray:
        """The class of every pixel, uint8 [N, H, W], of pictures uint8 [N, H, W, 3].

        Raises:
            ValueError: the network does not take this size, and cannot do it in tiles; or it gives one score
                a pixel, of which none is the largest.
        """
        if self.classes == 1:
            raise ValueError(
                "The network gives one score a pixel, and the largest of one is always class 0. Give it an "
                "output for each class, the background too: two, with a softmax loss."
            )
        height, width = picture = pictures.shape[1:3]
        if not self.margin:
            return self._whole(self.window(picture).images(pictures))
        if not _covers(self.size or (LARGEST, LARGEST), map(self._needed, picture)):
            return self._in_tiles(pictures)
        images = self.window(picture).images(pictures)
        batches = (images[first : first + BATCH] for first in range(0, len(images), BATCH))
        ids = np.concatenate([self.predict_on_batch(batch).argmax(-1) for batch in batches])
        return ids[:, :height, :width].astype("uint8")

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the logits of images of this shape [N, h, w, channels]."""
        return (shape[0], *(side - 2 * self.margin for side in shape[1:3]), self.classes)

    def _needed(self, side):
        """The least side of an image that has logits for `side` pixels."""
        if not self.margin:
            return side
        # From a side that works on, every 16th does.
        steps = -(-(side + 2 * self.margin - self._side) // GRID)
        return self._side + max(0, steps) * GRID

    def _in_tiles(self, pictures):
        largest = self._needed(LARGEST - 2 * self.margin)
        height, width = self.size or (largest, largest)
        if height != width or height - 2 * self.margin < GRID:
            needed = tuple(map(self._needed, pictures.shape[1:3]))
            raise ValueError(
                f"The network takes images of {height}x{width} alone and answers for their middle, "
                f"{height - 2 * self.margin}x{width - 2 * self.margin}; pictures of "
                f"{_text(pictures.shape[1:3])} need {_text(needed)}, or tiles, which are square and at least "
                f"{self._needed(GRID)} wide. Build or export it for {_text(needed)} or {largest}x{largest}."
            )
        images = files.grey(pictures) if self.channels == 1 else pictures
        return predict_tiled(self, images, height, batch_size=BATCH)


def _working_side(model):
    """A side of images that the model takes, and how much of it has logits; (0, 0) if every side is whole."""
    side, answered = model.input_shape[1], model.output_shape[1]
    levels = [layer.levels for layer in getattr(model, "layers", ()) if isinstance(layer, ValidSize)]
    if side is None and levels:
        side = nearest_valid(0, levels[0])[0]
        answered = valid_output(side, levels[0])
    return (0, 0) if None in (side, answered) else (side, answered)


def _covers(size, needed):
    return all(have >= need for have, need in zip(size, needed, strict=True))


def _text(size):
    return "{}x{}".format(*size)

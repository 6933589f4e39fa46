"""The "multi-scale" branches (MSc) of DeepLab v1, which no training of the course uses."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def multiscale_scores(maps: Sequence[Any], classes: int, channels: int, dropout: float) -> list[Any]:
    """Scores from the image and pool1..pool4: a 3x3 and a 1x1 convolution and a layer of scores on each.

    `maps` are [B, h, w, c] at strides 1, 2, 4, 8 and 8, in this order; `channels` are those of the first two
    layers of a branch, each of which a dropout of this rate (0..1) follows.

    Returns the list of the five scores, float32 [B, H/8, W/8, classes], H and W being the image's sides,
    rounded up.
    """
    scores = []
    names = ("data", "pool1", "pool2", "pool3", "pool4")
    start = keras.initializers.RandomNormal
    for name, x, stride in zip(names, maps, (8, 4, 2, 1, 1), strict=True):
        for i, (size, step) in enumerate(((3, stride), (1, 1)), start=1):
            x = layers.Conv2D(channels, size, step, "same", activation="relu", name=f"{name}_ms{i}",
                              kernel_initializer=start(stddev=0.001))(x)  # fmt: skip
            x = layers.Dropout(dropout, name=f"drop_{name}_ms{i}")(x)
        scores.append(layers.Conv2D(classes, 1, kernel_initializer=start(stddev=0.001), dtype="float32",
                                    name=f"{name}_ms_scores")(x))  # fmt: skip
    return scores

"""Which options and image sizes U-Net can take: its arithmetic, and a layer that checks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def valid_output(side: int, levels: int = 4) -> int | None:
    """Side of the output for a side of the input, through U-Net's unpadded convolutions.

    Two 3x3 convolutions take 4 pixels on each level, and every pooling needs an even side. From 188 up, every
    16th side works: 572 gives 388.

    Args:
        side: height or width of the image in pixels.
        levels: number of poolings.

    Returns:
        int, or None where a pooling would meet an odd side or nothing would be left.
    """
    for _ in range(levels):
        side -= 4
        if side % 2:
            return None
        side //= 2
    side -= 4
    for _ in range(levels):
        side = 2 * side - 4
    return side if side > 0 else None


def nearest_valid(side: int, levels: int = 4) -> tuple[int, ...]:
    """The input sides that work next to `side`: the largest below and the smallest above, if any."""
    step, least = 2**levels, next(s for s in range(10**6) if valid_output(s, levels))
    below = least + (side - least) // step * step
    return tuple(s for s in (below, below + step) if s >= least) or (least,)


def check_valid_size(size: Sequence[int | None], levels: int = 4) -> None:
    """Raise a `ValueError` unless U-Net's unpadded convolutions can take an image of `size`, (height, width).

    A side that is None is unknown yet and passes.
    """
    if all(side is None or valid_output(side, levels) for side in size):
        return
    height, width = (
        "any"
        if side is None
        else " or ".join(map(str, [side] if valid_output(side, levels) else nearest_valid(side, levels)))
        for side in size
    )
    least = nearest_valid(0, levels)[0]
    raise ValueError(
        f"U-Net with valid convolutions got an image of {size[0]}x{size[1]}: each side must be at "
        f"least {least}, and even before each of the {levels} poolings, which is every {2**levels}th side "
        f"from {least} on. Nearest: height {height}, width {width}. "
        'segcourse.prediction.predict_tiled takes images of any size, and so does padding="same".'
    )


@keras.saving.register_keras_serializable(package="segcourse")
class ValidSize(keras.Layer):
    """Hands the image [B, H, W, C] on, if unpadded convolutions and `levels` poolings can take its size.

    Raises:
        ValueError: when it is called with another size; the message names the nearest sizes that work.
    """

    def __init__(self, levels: int = 4, **kwargs: Any):
        super().__init__(**kwargs)
        self.levels = levels

    def call(self, image):
        check_valid_size(image.shape[1:3], self.levels)
        return image

    def compute_output_shape(self, input_shape):
        check_valid_size(input_shape[1:3], self.levels)
        return input_shape

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}

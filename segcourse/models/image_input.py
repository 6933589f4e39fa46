"""The image that a network begins with."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def image_input(network: str, input_shape: Sequence[int | None]) -> keras.KerasTensor:
    """A symbolic batch of images, named "image".

    Args:
        network: its name, for the message.
        input_shape: (H, W, channels), H and W from 32 up or None for any.

    Returns:
        [B, H, W, channels].

    Raises:
        ValueError: a side is below 32.
    """
    if any(side is not None and side < 32 for side in input_shape[:2]):
        raise ValueError(
            f"{network} got {input_shape}: both sides must be at least 32, for its poolings halve the image "
            "again and again."
        )
    return keras.Input(tuple(input_shape), name="image")

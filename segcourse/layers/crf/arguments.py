"""What a recurrent CRF layer needs besides weights and iterations: arguments, their checks, a config."""

from collections.abc import Sequence
from typing import Any

import keras

from segcourse.layers.crf.exact import check_bandwidths


class CRFLayer(keras.Layer):
    """A layer for `[logits, image]`, [B, H, W, C] and [B, H, W, 3] in 0..255, with the arguments of a CRF.

    Its result are logits of the same shape, always in float32.

    Args:
        iterations, training_iterations: of mean field, at test and in training; 0 gives the logits back.
        sigma_spatial: bandwidth of the spatial kernel, in pixels of the image as it comes in.
        sigma_xy, sigma_rgb: those of the bilateral kernel, in pixels and on the scale of the colors.
        spatial_weight, bilateral_weight: what the weights of the two kernels start from.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        iterations: int = 10,
        training_iterations: int = 5,
        sigma_spatial: float = 3.0,
        sigma_xy: float = 160.0,
        sigma_rgb: float = 3.0,
        spatial_weight: float = 3.0,
        bilateral_weight: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_bandwidths(sigma_spatial=sigma_spatial, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb)
        if min(iterations, training_iterations) < 0:
            raise ValueError(f"{iterations} and {training_iterations} iterations: give 0 or more.")
        self.iterations, self.training_iterations = iterations, training_iterations
        self.sigma_spatial, self.sigma_xy, self.sigma_rgb = sigma_spatial, sigma_xy, sigma_rgb
        self.spatial_weight, self.bilateral_weight = spatial_weight, bilateral_weight

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        """The shape of the logits."""
        return tuple(input_shape[0])

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        names = ("iterations", "training_iterations", "sigma_spatial", "sigma_xy", "sigma_rgb")
        names += ("spatial_weight", "bilateral_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def check_inputs(logits: Sequence, image: Sequence) -> int:
    """The number of classes; a ValueError if the shapes of logits and image do not belong together."""
    logits, image = tuple(logits), tuple(image)
    sizes = zip(logits[:3], image[:3], strict=True)
    if len(image) != 4 or image[3] != 3 or any(a != b for a, b in sizes if None not in (a, b)):
        raise ValueError(
            f"logits {logits} and image {image}: needed are [B, H, W, C] and [B, H, W, 3] with the same B, H "
            "and W. Resize the logits (never the labels) to the size of the image."
        )
    if logits[3] < 2:
        raise ValueError(
            f"logits {logits} have one class: a CRF needs at least two. Give an object and its background "
            "a channel each."
        )
    return logits[3]

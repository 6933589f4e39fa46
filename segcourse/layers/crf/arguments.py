"""What a recurrent CRF layer needs besides weights and iterations: its arguments and a config."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from segcourse.layers.crf.checks import check_bandwidths, check_iterations


def diagonal(matrix: Any) -> Any:
    """A matrix [C, C] with zeros off its diagonal: a constraint, which Keras applies after every step."""
    return matrix * ops.eye(matrix.shape[0], dtype=matrix.dtype)


class CRFLayer(keras.Layer):
    """A recurrent layer for [logits, image] that keeps the arguments of a CRF; a subclass iterates.

    It is called with logits [B, H, W, C] of two classes or more and an image [B, H, W, 3] in 0..255, and
    gives float32 logits of the same shape. A subclass has `filters(image)`, the two filters of a batch of
    images, by place and by place and color, and `step(scores, logits, filters)`, one iteration: better
    scores [B, H, W, C]. It gives `form` to the weights of both kernels as their constraint.

    Args:
        iterations, training_iterations: of mean field, at test and in training; 0 gives the logits back.
        sigma_spatial: bandwidth of the spatial kernel, in pixels of the image as it comes in; above 0.
        sigma_xy: bandwidth of the bilateral kernel's place, in the same pixels; above 0.
        sigma_rgb: bandwidth of its color, on the scale 0..255; above 0.
        spatial_weight, bilateral_weight: what the weights of the two kernels start from.
        per_class: a number for each class and kernel, as in the paper's section 4.3: the kernels' matrices
            stay diagonal in training. By default all entries are trained, as in the released code.

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
        per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_bandwidths(sigma_spatial=sigma_spatial, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb)
        check_iterations(iterations=iterations, training_iterations=training_iterations)
        self.iterations, self.training_iterations = iterations, training_iterations
        self.sigma_spatial, self.sigma_xy, self.sigma_rgb = sigma_spatial, sigma_xy, sigma_rgb
        self.spatial_weight, self.bilateral_weight = spatial_weight, bilateral_weight
        self.per_class = per_class
        self.form = diagonal if per_class else None

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        """The shape of the logits."""
        return tuple(input_shape[0])

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        names = ("iterations", "training_iterations", "sigma_spatial", "sigma_xy", "sigma_rgb")
        names += ("spatial_weight", "bilateral_weight", "per_class")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

"""Generated from notebooks/03_crf_as_rnn.ipynb. Edit the lesson, then run make export.

Lesson 03 · CRF as RNN: inference becomes a layer.
"""

import keras
from keras import ops

from segcourse.layers.crf.exact import check_bandwidths
from segcourse.layers.crf.lattice import BilateralFilter
from segcourse.layers.crf.mean_field import normalized
from segcourse.layers.crf.spatial import SpatialFilter


def check_inputs(logits, image):
    """The number of classes; a ValueError if the shapes of logits and image do not belong together."""
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


class CRFWeights(keras.Layer):
    """What `MeanFieldRNN` is made of: its arguments, its 3 C^2 weights and its two filters."""

    def __init__(
        self,
        iterations=10,
        training_iterations=5,
        sigma_spatial=3.0,
        sigma_xy=160.0,
        sigma_rgb=3.0,
        spatial_weight=3.0,
        bilateral_weight=5.0,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_bandwidths(sigma_spatial=sigma_spatial, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb)
        if min(iterations, training_iterations) < 0:
            raise ValueError(f"{iterations} and {training_iterations} iterations: give 0 or more.")
        self.iterations, self.training_iterations = iterations, training_iterations
        self.sigma_spatial, self.sigma_xy, self.sigma_rgb = sigma_spatial, sigma_xy, sigma_rgb
        self.spatial_weight, self.bilateral_weight = spatial_weight, bilateral_weight

    def build(self, input_shape):
        """Create the weights for logits and images of these shapes, [B, H, W, C] and [B, H, W, 3]."""
        size = 2 * (check_inputs(*map(tuple, input_shape)),)
        starts = (self.spatial_weight, self.bilateral_weight, -1.0)
        starts = [keras.initializers.Identity(start) for start in starts]
        self.spatial_weights = self.add_weight(size, starts[0], name="spatial_weights")
        self.bilateral_weights = self.add_weight(size, starts[1], name="bilateral_weights")
        self.compatibility = self.add_weight(size, starts[2], name="compatibility")

    def filters(self, image):
        """The spatial and the bilateral filter of a batch of images, each an average: K / K 1."""
        spatial = SpatialFilter(*ops.shape(image)[1:3], self.sigma_spatial)
        bilateral = BilateralFilter(image, self.sigma_xy, self.sigma_rgb)
        return normalized(spatial, image, "after"), normalized(bilateral, image, "after")

    def get_config(self):
        """The arguments of the constructor."""
        names = ("iterations", "training_iterations", "sigma_spatial", "sigma_xy", "sigma_rgb")
        names += ("spatial_weight", "bilateral_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="segcourse")
class MeanFieldRNN(CRFWeights):
    """Mean field of a dense CRF as a recurrent layer with learned weights (Zheng et al. 2015, section 4).

    Call it with `[logits, image]`, [B, H, W, C] and [B, H, W, 3] in 0..255; it returns better logits, always
    float32. The image only says which pixels are alike: no gradient flows into it.

    Args:
        iterations, training_iterations: of mean field, at test and in training; 0 gives the logits back.
        sigma_spatial: bandwidth of the spatial kernel, in pixels of the image as it comes in.
        sigma_xy, sigma_rgb: those of the bilateral kernel, in pixels and on the scale of the colors.
        spatial_weight, bilateral_weight: where the diagonals of the [C, C] filter weights start.

    Raises ValueError for arguments out of range, one class, or an image that does not fit the logits.
    """

    def step(self, scores, logits, filters):
        """One iteration: from scores to better scores, [B, H, W, C]; `logits` are the network's own."""
        spatial, bilateral = filters
        marginals = ops.softmax(scores)
        message = ops.matmul(spatial(marginals), ops.transpose(self.spatial_weights))
        message += ops.matmul(bilateral(marginals), ops.transpose(self.bilateral_weights))
        return logits - ops.matmul(message, ops.transpose(self.compatibility))

    def call(self, inputs, training=False):
        """All iterations; the filters are built once, and the weights serve every iteration."""
        logits, image = inputs
        scores, filters = logits, self.filters(image)
        for _ in range(self.training_iterations if training else self.iterations):
            scores = self.step(scores, logits, filters)
        return scores

    def compute_output_shape(self, input_shape):
        """The shape of the logits."""
        return tuple(input_shape[0])

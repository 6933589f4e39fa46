"""Mean-field inference in a dense CRF as a recurrent layer whose parameters are learned."""

import keras
from keras import ops

from segcourse.layers.crf.exact import check_bandwidths
from segcourse.layers.crf.lattice import BilateralFilter
from segcourse.layers.crf.mean_field import normalized
from segcourse.layers.crf.spatial import SpatialFilter


@keras.saving.register_keras_serializable(package="segcourse")
class MeanFieldRNN(keras.Layer):
    """Mean field of a dense CRF as a recurrent layer with learned parameters (Zheng et al. 2015, section 4).

    Call it with `[logits, image]`: float [B, H, W, C] and [B, H, W, 3] in 0..255. The result is float32
    logits [B, H, W, C]; their softmax is what the CRF believes of each pixel. It computes in float32,
    whatever the precision of the network before it. The image only says which pixels are alike: no
    gradient flows into it.

    Args:
        iterations: of mean field; 0 gives the logits back.
        training_iterations: the same while training.
        sigma_spatial: bandwidth in pixels of the spatial kernel (theta_gamma in the paper).
        sigma_xy, sigma_rgb: bandwidths of the bilateral kernel, in pixels and on the scale of the colors
            (theta_alpha, theta_beta). Pixels of the image as it comes in: at half the size, give half.
        spatial_weight, bilateral_weight: where the diagonals of the two [C, C] filter weights start.

    Raises ValueError for a bandwidth or number of iterations out of range, fewer than two classes, or an
    image that does not fit the logits.
    """

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
            raise ValueError(
                f"iterations={iterations}, training_iterations={training_iterations}: "
                "give whole numbers of 0 or more."
            )
        self.iterations, self.training_iterations = iterations, training_iterations
        self.sigma_spatial, self.sigma_xy, self.sigma_rgb = sigma_spatial, sigma_xy, sigma_rgb
        self.spatial_weight, self.bilateral_weight = spatial_weight, bilateral_weight

    def build(self, input_shape):
        """Create the 3 C^2 weights for inputs of these shapes, [B, H, W, C] and [B, H, W, 3]."""
        classes = _check_inputs(*map(tuple, input_shape))

        def weight(name, start):
            return self.add_weight(
                (classes, classes), initializer=keras.initializers.Identity(start), name=name
            )

        self.spatial_weights = weight("spatial_weights", self.spatial_weight)
        self.bilateral_weights = weight("bilateral_weights", self.bilateral_weight)
        self.compatibility = weight("compatibility", -1.0)

    def filters(self, image):
        """The spatial and the bilateral filter of a batch of images, each an average: K / K 1."""
        height, width = ops.shape(image)[1:3]
        spatial = SpatialFilter(height, width, self.sigma_spatial)
        bilateral = BilateralFilter(image, self.sigma_xy, self.sigma_rgb)
        return normalized(spatial, image, "after"), normalized(bilateral, image, "after")

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
        scores = logits
        filters = self.filters(image)
        for _ in range(self.training_iterations if training else self.iterations):
            scores = self.step(scores, logits, filters)
        return scores

    def compute_output_shape(self, input_shape):
        """The shape of the logits."""
        return tuple(input_shape[0])

    def get_config(self):
        """The arguments of the constructor."""
        names = ("iterations", "training_iterations", "sigma_spatial", "sigma_xy", "sigma_rgb")
        names += ("spatial_weight", "bilateral_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _check_inputs(logits, image):
    """The number of classes; a ValueError if logits and image do not belong together."""
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

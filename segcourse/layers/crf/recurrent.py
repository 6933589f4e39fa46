"""Generated from notebooks/03_crf_as_rnn.ipynb. Edit the lesson, then run make export.

Lesson 03 · CRF as RNN: inference becomes a layer.
"""

import keras
from keras import ops

from segcourse.layers.crf.arguments import CRFLayer
from segcourse.layers.crf.checks import check_sizes
from segcourse.layers.crf.lattice import BilateralFilter
from segcourse.layers.crf.mean_field import normalized
from segcourse.layers.crf.spatial import SpatialFilter


def mean_field_step(scores, logits, filters, spatial_weights, bilateral_weights, compatibility):
    """One iteration of mean field: better scores, [B, H, W, C] like `scores` and the network's `logits`.

    `filters` are the spatial and the bilateral one, each an average. `spatial_weights`, `bilateral_weights`
    and `compatibility` are [C, C]; row l is what label l makes of all labels.
    """
    marginals = ops.softmax(scores)  # 1 normalise
    by_place, by_color = (one(marginals) for one in filters)  # 2 pass messages
    message = ops.matmul(by_place, ops.transpose(spatial_weights))  # 3 weigh
    message += ops.matmul(by_color, ops.transpose(bilateral_weights))
    pairwise = ops.matmul(message, ops.transpose(compatibility))  # 4 compatibility
    return logits - pairwise  # 5 add the unaries


@keras.saving.register_keras_serializable(package="segcourse")
class MeanFieldRNN(CRFLayer):
    """Mean field with learned weights as a recurrent layer (Zheng et al. 2015, section 4); see `CRFLayer`."""

    def build(self, input_shape):
        size, eye = 2 * (check_sizes(*input_shape),), keras.initializers.Identity
        self.spatial_weights = self.add_weight(size, eye(self.spatial_weight), name="spatial_weights")
        self.bilateral_weights = self.add_weight(size, eye(self.bilateral_weight), name="bilateral_weights")
        self.spatial_weights.constraint = self.bilateral_weights.constraint = self.form  # None or diagonal
        self.compatibility = self.add_weight(size, eye(-1.0), name="compatibility")

    def filters(self, image):
        by_place = SpatialFilter(*ops.shape(image)[1:3], self.sigma_spatial)
        by_color = BilateralFilter(image, self.sigma_xy, self.sigma_rgb)
        return normalized(by_place, image, "after"), normalized(by_color, image, "after")

    def step(self, scores, logits, filters):
        return mean_field_step(scores, logits, filters, *self.weights)  # the three, in their order

    def call(self, inputs, training=False):
        logits, image = inputs
        scores, filters = logits, self.filters(image)
        for _ in range(self.training_iterations if training else self.iterations):
            scores = self.step(scores, logits, filters)
        return scores

"""Fully connected conditional random fields: exact for small images, fast by the permutohedral lattice."""

from segcourse.layers.crf.checks import check_bandwidths
from segcourse.layers.crf.exact import (
    ExactFilter,
    bilateral_features,
    energy,
    gaussian_kernel,
    position_features,
)
from segcourse.layers.crf.lattice import BilateralFilter
from segcourse.layers.crf.mean_field import dense_crf, mean_field, normalized
from segcourse.layers.crf.spatial import SpatialFilter

__all__ = [
    "BilateralFilter",
    "ExactFilter",
    "SpatialFilter",
    "bilateral_features",
    "check_bandwidths",
    "dense_crf",
    "energy",
    "gaussian_kernel",
    "mean_field",
    "normalized",
    "position_features",
]

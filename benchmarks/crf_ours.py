"""The course's dense CRF. Run by `crf.py`, with its Python: `crf_ours.py CORES PICTURES`."""

import sys

from crf_worker import ITERATIONS, SETTINGS, serve, use_cores

if __name__ == "__main__":
    use_cores(sys.argv[1])

import numpy as np
from keras import ops

from segcourse.layers import crf
from segcourse.training import environment


def setup(image, probabilities):
    """Both filters and the unaries."""
    logits = ops.log(ops.maximum(probabilities[None], 1e-10))
    bilateral = crf.BilateralFilter(image[None], SETTINGS["sigma_xy"], SETTINGS["sigma_rgb"])
    spatial = crf.SpatialFilter(*image.shape[:2], SETTINGS["sigma_spatial"])
    weights = SETTINGS["w_bilateral"], SETTINGS["w_spatial"]
    return logits, [
        (w, crf.normalized(k, logits)) for w, k in zip(weights, (bilateral, spatial), strict=True)
    ]


def inference(state):
    logits, pairwise = state
    return np.asarray(ops.softmax(crf.mean_field(logits, pairwise, iterations=ITERATIONS)))[0]


def whole(image, probabilities):
    options = {"from_logits": False, "iterations": ITERATIONS, **SETTINGS}
    return np.asarray(crf.dense_crf(image[None], probabilities[None], **options))[0]


if __name__ == "__main__":
    serve(setup, inference, whole, sys.argv[2], environment()["packages"])

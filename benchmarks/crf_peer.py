"""The C++ library of Krähenbühl and Koltun by its Python wrapper, pydensecrf2. Run by `crf.py`, with
`.venv-benchmark`: `crf_peer.py CORES PICTURES`. It uses one core."""

import importlib.metadata
import sys

import numpy as np
from crf_worker import ITERATIONS, SETTINGS, serve, use_cores
from pydensecrf.densecrf import DenseCRF2D


def setup(image, probabilities):
    height, width, classes = probabilities.shape
    unary = -np.log(np.maximum(probabilities, 1e-10)).reshape(-1, classes)
    crf = DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(unary.T))
    crf.addPairwiseGaussian(sxy=SETTINGS["sigma_spatial"], compat=SETTINGS["w_spatial"])
    crf.addPairwiseBilateral(
        sxy=SETTINGS["sigma_xy"], srgb=SETTINGS["sigma_rgb"], rgbim=image, compat=SETTINGS["w_bilateral"]
    )
    return crf, probabilities.shape


def inference(state):
    crf, shape = state
    height, width, classes = shape
    return np.asarray(crf.inference(ITERATIONS)).reshape(classes, height, width).transpose(1, 2, 0)


def whole(image, probabilities):
    return inference(setup(image, probabilities))


if __name__ == "__main__":
    use_cores(sys.argv[1])
    serve(setup, inference, whole, sys.argv[2], {"pydensecrf2": importlib.metadata.version("pydensecrf2")})

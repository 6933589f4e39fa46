"""Semantic segmentation, network by network: the helper package of the course."""

import importlib
import os

import wrapt

__version__ = "0.1.0"

# TensorFlow uses oneDNN by itself only on processors with AVX512-VNNI; with AVX2 alone training takes up to
# 3 times as long without. It reads this when it is imported. Lessons import Keras first and have it from
# their kernel (tools/make_env.sh, environment.yml).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@wrapt.when_imported("keras")
def _register_layers(keras):
    """Make every saved model loadable after `import segcourse`, which itself does not import Keras."""
    for name in ("layers", "losses", "metrics", "models"):
        importlib.import_module(f"{__name__}.{name}")

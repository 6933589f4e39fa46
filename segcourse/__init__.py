"""Semantic segmentation, network by network: the helper package of the course."""

import importlib

import wrapt

__version__ = "0.1.0"


@wrapt.when_imported("keras")
def _register_layers(keras):
    """Make every saved model of the course loadable after `import segcourse` alone, which stays free of Keras."""
    for name in ("layers", "losses", "metrics", "models"):
        importlib.import_module(f"{__name__}.{name}")

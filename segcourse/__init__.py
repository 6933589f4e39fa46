"""Semantic segmentation, network by network: the helper package of the course."""

import importlib

import wrapt

__version__ = "0.1.0"


@wrapt.when_imported("keras")
def _register_layers(keras):
    """Make every saved model loadable after `import segcourse`, which itself does not import Keras."""
    for name in ("layers", "losses", "metrics", "models"):
        importlib.import_module(f"{__name__}.{name}")

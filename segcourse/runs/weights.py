"""Weights to start from, also those of a network for another number of classes."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segcourse.runs.errors import BadRequest

if TYPE_CHECKING:
    import keras


def start_from(
    path: str | Path | None,
    model: "keras.Model",
    build: Callable[[int], "keras.Model"],
    report: Callable[[str], Any],
) -> None:
    """Load a `.weights.h5` or `.keras` file; for another number of classes all but the classifier.

    Args:
        path: of the file; None leaves the model as it is.
        model: to load into.
        build: gives the same network for another number of classes.
        report: called with a line of text where the classifier keeps its fresh weights.

    Raises:
        BadRequest: the file is damaged, or of another network.
    """
    if not path:
        return
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras, about what is refused or told of below
            model.load_weights(path)
    except Exception as error:  # Keras and h5py raise nearly anything for a file that does not fit
        model.set_weights(before)
        fresh = _load_all_but(path, model, build)
        if not fresh:
            model.set_weights(before)
            raise BadRequest(_refusal(path, model, error)) from error
        report(
            f"{path} is for another number of classes: all layers but the classifier start from it; "
            f"{', '.join(fresh)} start{'s' if len(fresh) == 1 else ''} afresh."
        )


def _load_all_but(path, model, build):
    """Load what fits; the names of the layers that did not, or none if that is not the classifier alone."""
    classifier = _differing(model, build(model.output_shape[-1] + 1))
    before = {layer.name: layer.get_weights() for layer in model.layers}
    for layer in model.layers:
        # What still is not a number afterwards was not in the file.
        layer.set_weights(
            [np.full_like(w, np.nan) if w.dtype.kind == "f" else w for w in layer.get_weights()]
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.load_weights(path, skip_mismatch=True)
    except Exception:  # as in start_from, which tells of the first one
        return []
    missing = [layer for layer in model.layers if any(np.isnan(w).any() for w in layer.get_weights())]
    if not {layer.name for layer in missing} <= classifier:
        return []
    for layer in missing:
        layer.set_weights(before[layer.name])
    return [layer.name for layer in missing]


def _differing(model, other):
    """The names of the layers whose weights have other shapes in the two."""
    shapes = [[[tuple(w.shape) for w in layer.weights] for layer in each.layers] for each in (model, other)]
    return {layer.name for layer, one, two in zip(model.layers, *shapes, strict=True) if one != two}


def _refusal(path, model, error):
    reason = str(error).strip().splitlines()[0]
    return (
        f"{path} does not fit {model.name} for {model.input_shape[-1]} channels and "
        f"{model.output_shape[-1]} classes with these options: {reason} Give weights of the same network and "
        "options (the number of classes may differ), or none."
    )

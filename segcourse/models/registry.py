"""The networks by name."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from segcourse.models.crf_rnn import crf_rnn
from segcourse.models.deeplab_v1 import deeplab_v1
from segcourse.models.deeplab_v2 import deeplab_v2
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s
from segcourse.models.linknet import linknet
from segcourse.models.parsenet import parsenet
from segcourse.models.segnet import segnet, segnet_basic
from segcourse.models.unet import unet

MODELS: dict[str, Callable[..., keras.Model]] = {
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "deeplab_v1": deeplab_v1,
    "crf_rnn": crf_rnn,
    "unet": unet,
    "parsenet": parsenet,
    "segnet": segnet,
    "segnet_basic": segnet_basic,
    "deeplab_v2": deeplab_v2,
    "linknet": linknet,
}


def build(name: str, **options: Any) -> keras.Model:
    """Build a network by its name in `MODELS`; the options go to its function.

    Raises:
        ValueError: if the name or an option is unknown; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"There is no network {name!r}. Known: {', '.join(MODELS)}.")
    known = inspect.signature(MODELS[name]).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"{name} has no option {', '.join(map(repr, unknown))}. Known: {', '.join(known)}.")
    return MODELS[name](**options)

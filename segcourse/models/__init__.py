"""The networks, by name."""

from segcourse.models.cost import profile  # noqa: F401
from segcourse.models.crf_rnn import crf_rnn
from segcourse.models.deeplab_v1 import deeplab_v1
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s
from segcourse.models.segnet import segnet, segnet_basic
from segcourse.models.unet import unet

MODELS = {
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "deeplab_v1": deeplab_v1,
    "crf_rnn": crf_rnn,
    "unet": unet,
    "segnet": segnet,
    "segnet_basic": segnet_basic,
}


def build(name, **arguments):
    """Build a network by its name in `MODELS`; the arguments go to its function.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"There is no network {name!r}. Known: {', '.join(MODELS)}.")
    return MODELS[name](**arguments)

"""DeepLab v2 on a narrow ResNet-18, with the paper's rates, on the photographs of CamVid."""

from functools import partial

from segcourse.models.deeplab_v2 import deeplab_v2
from segcourse.studies.core.photographs import photographs

# 360x480 pixels are 46x61 cells, about the paper's own maps: its rates fit.
STUDY = photographs(
    "deeplab_v2",
    partial(deeplab_v2, width=0.4375, backbone="resnet18", scales=(1.0,)),
    "about two hours on two CPU cores",
)

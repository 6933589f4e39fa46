"""LinkNet, 7/16 as wide, on the photographs of CamVid."""

from functools import partial

from segcourse.models.linknet import linknet
from segcourse.studies.core.photographs import photographs

STUDY = photographs("linknet", partial(linknet, width=0.4375), "about an hour on two CPU cores")

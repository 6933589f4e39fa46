"""ENet as published, for CamVid's 11 classes, on its photographs."""

from segcourse.models.enet import enet
from segcourse.studies.core.photographs import photographs

STUDY = photographs("enet", enet, "about an hour on two CPU cores")

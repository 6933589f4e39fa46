"""ParseNet, a quarter as wide, on the photographs of CamVid."""

from functools import partial

from segcourse.models.parsenet import parsenet
from segcourse.studies.core.photographs import photographs

STUDY = photographs(
    "parsenet",
    partial(parsenet, width=0.25),
    "about an hour and a half on two CPU cores",
)

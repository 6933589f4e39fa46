"""Lesson 00's starter network on photographs: the row that every lesson's network is held against."""

from functools import partial

from segcourse.models.starter import small_network
from segcourse.studies.core.photographs import photographs

STUDY = photographs(
    "starter",
    partial(small_network, input_shape=(None, None, 3)),
    "about 40 minutes on two CPU cores",
)

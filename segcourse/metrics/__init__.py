"""Scores of label maps: of their pixels, of their outlines, and of the objects in them."""

# First, because importing Keras makes segcourse import all its metrics: none may be half imported by then.
import keras  # noqa: F401

from segcourse.metrics.boundaries import boundary_f1, trimap_iou
from segcourse.metrics.confusion import class_iou, confusion_matrix, scores
from segcourse.metrics.objects import object_errors
from segcourse.metrics.streaming import ConfusionMatrix

__all__ = [
    "ConfusionMatrix",
    "boundary_f1",
    "class_iou",
    "confusion_matrix",
    "object_errors",
    "scores",
    "trimap_iou",
]

"""Figures of the lessons: each function draws and shows one PNG with a text for those who cannot see it.

Class maps have the data set's colours and a legend; everything else has the Okabe-Ito colours, and never a
colour alone: lines differ in dashes and markers, bars in hatching, errors in brightness.
"""

from segcourse.plotting.figures import HATCHES, MARKERS, OKABE_ITO, VOID, WIDTH, WRONG, png, show, style
from segcourse.plotting.histories import curves
from segcourse.plotting.maps import blend, gallery, label_maps, legend, overlay
from segcourse.plotting.scores import class_bars, confusion

__all__ = [
    "HATCHES",
    "MARKERS",
    "OKABE_ITO",
    "VOID",
    "WIDTH",
    "WRONG",
    "blend",
    "class_bars",
    "confusion",
    "curves",
    "gallery",
    "label_maps",
    "legend",
    "overlay",
    "png",
    "show",
    "style",
]

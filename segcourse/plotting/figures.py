"""What all figures share: the look, the colours, and a PNG with a text for those who cannot see it."""

from __future__ import annotations

import base64
import contextlib
import io
import sys
from collections.abc import Iterator

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 9.6  # inches, at 100 dots an inch the width of a notebook's text
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
WRONG = (150, 20, 0)  # dark on a pale picture: seen in any kind of colour vision and in print
VOID = 255

_STYLE = {
    "image.interpolation": "nearest",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=OKABE_ITO),
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.07,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The course's look for figures of your own, inside `with plotting.style():` and nowhere else."""
    with matplotlib.rc_context(_STYLE):
        yield


def show(fig: Figure, alt: str, dpi: int = 100, *, full_color: bool = False) -> None:
    """Display a figure as one PNG, with `alt` as its text for screen readers, and close it.

    Outside IPython nothing is displayed.

    Args:
        fig: a matplotlib figure, from `matplotlib.pyplot` or not.
        alt: what the figure shows, the main numbers included.
        dpi: dots an inch.
        full_color: for continuous maps, which a palette would draw in steps.
    """
    if not alt.strip():
        raise ValueError("A figure needs an alt text: say what it shows and the main numbers.")
    data = png(fig, dpi, full_color=full_color)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        bundle = {"image/png": base64.b64encode(data).decode(), "text/plain": alt}
        ipython.display.display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def png(fig: Figure, dpi: int = 100, *, full_color: bool = False) -> bytes:
    """The figure as PNG bytes: with a palette of 256 colours, or in full colour with far more bytes."""
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    buffer.seek(0)
    small = io.BytesIO()
    picture = Image.open(buffer).convert("RGB")
    if not full_color:
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


def legend_below(fig: Figure, handles: list, columns: int) -> None:
    """A legend under the axes, if there is anything to name; its room is taken from the figure."""
    if handles:
        fig.legend(
            handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=1.6
        )

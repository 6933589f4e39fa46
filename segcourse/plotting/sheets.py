"""A few pictures with their masks on one sheet, to see at a glance whether they belong together."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from segcourse.datasets import files
from segcourse.datasets.labels import VOID, LabelSpec
from segcourse.plotting.figures import png, style
from segcourse.plotting.maps import grid

_COLUMNS = 4  # a picture and its overlay, twice
_SIDE = 480  # pixels of a picture's longer side: more cannot be seen
_NAME = 34  # characters under a picture
_STRANGE = (255, 0, 255)
_ALPHA = 0.55


def sheet(pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], spec: LabelSpec) -> bytes:
    """Pictures, each beside itself with its mask laid over, and the legend of the classes, as PNG bytes.

    Void is darkened, and values that are no class are magenta.

    Args:
        pictures: at least one: a name, the picture uint8 [H,W,3], and its mask, integers [H,W] of its size.
        spec: the classes.
    """
    small = [(name, *_small(image, mask)) for name, image, mask in pictures]
    values = sorted({value for _, _, mask in small for value in np.unique(mask).tolist()})
    ratio = max(image.shape[0] / image.shape[1] for _, image, _ in small)
    with style():
        handles = _handles(values, spec)
        fig, axes = grid(math.ceil(2 * len(small) / _COLUMNS), _COLUMNS, ratio, handles, gap=0.3)
        for index, (name, image, mask) in enumerate(small):
            left, right = axes.flat[2 * index : 2 * index + 2]
            left.imshow(image)
            right.imshow(_blend(image, mask, spec), interpolation="nearest")
            left.set_xlabel(name if len(name) <= _NAME else f"...{name[3 - _NAME :]}", fontsize=7, loc="left")
        for axis in axes.flat[2 * len(small) :]:
            axis.axis("off")
        return png(fig, dpi=160)


def _small(image, mask):
    height, width = image.shape[:2]
    shrink = min(1, _SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    ids = np.where((mask < 0) | (mask > VOID), VOID - 1, mask).astype(np.uint8)  # 254 is hardly ever a class
    return files.resize_image(image, size), files.resize_mask(ids, size)


def _no_class(ids, spec):
    return (ids >= len(spec)) & (ids != VOID)


def _colors(ids, spec):
    return np.where(_no_class(ids, spec)[..., None], _STRANGE, spec.colorize(ids))


def _blend(image, ids, spec):
    return ((1 - _ALPHA) * image + _ALPHA * _colors(ids, spec)).round().astype(np.uint8)


def _handles(values, spec):
    """One patch a class that occurs, one for void, one for all that is neither."""
    strange = [value for value in values if _no_class(np.array(value), spec)]
    named = [(value, f"{value}  {spec.classes[value]}") for value in values if value < len(spec)]
    named += [(VOID, "255  void (darkened)")] if VOID in values else []
    if strange:
        some = ", ".join(map(str, strange[:3])) + (", ..." if len(strange) > 3 else "")
        named.append((strange[0], f"{some}: no class"))
    return [
        Patch(facecolor=_colors(np.array(value), spec) / 255, edgecolor="#444444", linewidth=0.6,
              label=text.replace("$", r"\$"))
        for value, text in named
    ]  # fmt: skip

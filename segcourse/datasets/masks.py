"""Masks as people have them: what their values mean, which mistake a whole set of them shows, and its repair.

`labels.check_masks` looks at arrays; here masks come one by one from their files, so that sets larger than
memory can be judged, and every finding names its files.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from segcourse.datasets import files, labels
from segcourse.datasets.errors import MaskError
from segcourse.datasets.labels import VOID, LabelSpec

# What `read_loosely` says of masks that cannot be used as they are.
HOW = {
    "colours": "Masks have colours instead of ids.",
    "equal channels": "Masks have several channels, all equal, instead of one.",
    "floating-point numbers": "Masks are floating-point numbers instead of ids with 8 bits.",
    "palette": "The palette of masks has the colours of the class list at other ids: either the ids or the "
    "list are in another order. The colours are believed.",
}

_WHITE = 65535  # in 16 bits
_MAP = "Say which id is which with `segcourse data fix --map OLD=NEW`."
_WINDOW = 1024  # pixels a side: enough of a large mask to see whether it was interpolated


def read_loosely(
    picture: Image.Image, colors: Mapping[labels.Color, int], place: object
) -> tuple[np.ndarray, str]:
    """Class ids of a mask in any pixel format, and what stands in the way of using it as it is.

    Args:
        picture: from `files.open_mask`.
        colors: ids by the colours that the class list gives; may be empty.
        place: its path, for messages.

    Returns:
        an integer array ``[H, W]``, and ``""`` for a mask that can be used as it is, else a key of `HOW`.

    Raises:
        MaskError: no ids can be had from it; the message names the file.
    """
    if picture.mode == "P" and picture.format != "GIF":
        return _of_palette(picture, colors)
    if picture.format == "GIF":
        picture = files.gif_levels(picture)
    if picture.mode == "F":
        return _of_floats(np.array(picture), place), "floating-point numbers"
    if len(picture.getbands()) == 1:
        return files.ids_of(picture), ""
    pixels = np.array(picture.convert("RGB"))
    grey = bool((pixels == pixels[..., :1]).all())
    if grey and not _known(pixels, colors):
        return pixels[..., 0], "equal channels"
    try:
        return labels.ids_of_colors(pixels, colors, "the class list"), "colours"
    except MaskError as error:
        raise MaskError(
            f"{place}: colours instead of ids. {error} The class list gives {len(colors)} colours; a line "
            "with a colour is written `road #804080`."
        ) from error


def _known(pixels, colors):
    try:
        labels.ids_of_colors(pixels, colors, "")
    except MaskError:
        return False
    return True


def _of_palette(picture, colors):
    """Indices are ids, unless the class list gives all the colours in use to other ids."""
    ids = files.ids_of(picture)
    table = np.reshape(picture.getpalette("RGB"), (-1, 3))
    used = [index for index in np.unique(ids).tolist() if index != VOID and index < len(table)]
    by_color = [colors.get(tuple(table[index].tolist())) for index in used]
    if None in by_color or by_color == used:
        return ids, ""
    lookup = np.arange(VOID + 1, dtype=np.uint8)
    lookup[used] = by_color
    return lookup[ids], "palette"


def _of_floats(values, place):
    if not np.isfinite(values).all() or (values != np.round(values)).any() or abs(values).max() > 65535:
        raise MaskError(
            f"{place}: floating-point numbers from {values.min():g} to {values.max():g}, but ids are whole "
            "numbers. Go back to the original masks and store them as 8-bit PNG."
        )
    return values.astype(np.int32)


class Seen(NamedTuple):
    """What one mask holds.

    Attributes:
        name: of its file.
        pixels: pixels per value, smallest value first.
        between: `labels.between` with the borders to void, and without.
    """

    name: str
    pixels: dict[int, int]
    between: tuple[tuple[int, int], tuple[int, int]]

    @classmethod
    def of(cls, name: str, ids: np.ndarray) -> "Seen":
        """Look at a mask, an integer array ``[H, W]``."""
        values, numbers = np.unique(ids, return_counts=True)
        part = ids[:_WINDOW, :_WINDOW]
        between = (0, 0), (0, 0)
        if len(values) > 2:
            between = labels.between(part, False), labels.between(part, True)
        return cls(name, dict(zip(values.tolist(), numbers.tolist(), strict=True)), between)


class Remap(NamedTuple):
    """A repair of ids: in words, and as a function from the ids of one mask to right ones, uint8."""

    text: str
    apply: Callable[[np.ndarray], np.ndarray]


class Fault(NamedTuple):
    """What is wrong with the ids of a set: the explanation, the files, and the repair or None."""

    text: str
    files: tuple[str, ...]
    remap: Remap | None


def fault(masks: Sequence[Seen], spec: LabelSpec) -> Fault | None:
    """The mistake that the ids of a whole set of masks show, or None."""
    count, pixels = len(spec), total(masks)
    wrong = {value for value in pixels if not 0 <= value < count and value != VOID}
    found = (
        _white_in_16_bits(masks, wrong, count) or _black_and_white_among_ids(masks, count)
        or _scaled(masks, pixels, wrong, count)
    )  # fmt: skip
    if found:
        return found

    def share(ignore_void):
        return labels.between_share(*np.sum([mask.between[ignore_void] for mask in masks], axis=0).tolist())

    kind, text = labels.id_fault(pixels, share, count) or ("", "")
    if not kind:
        return None
    soft = not {0, 1, VOID}.issuperset(pixels)
    remap = {"white": _white(VOID, count, soft), "from one": _from_one(count)}.get(kind)
    if remap is None and kind != "interpolated":
        text = f"{text} {_MAP}"
    return Fault(text, _with(masks, wrong) if kind == "range" else (), remap)


def total(masks: Sequence[Seen]) -> dict[int, int]:
    """Pixels per value over all masks, smallest value first."""
    pixels: Counter[int] = Counter()
    for mask in masks:
        pixels.update(mask.pixels)
    return dict(sorted(pixels.items()))


def _with(masks, values):
    return tuple(mask.name for mask in masks if not values.isdisjoint(mask.pixels))


def _white_in_16_bits(masks, wrong, count):
    white = _WHITE
    if wrong != {white}:
        return None
    text = (
        f"Masks are 0 and {white}, which is white in 16 bits, but ids are 0..{count - 1}: a black-and-white "
        "mask, and not ids."
    )
    text = text if count == 2 else f"{text} {_MAP}"
    return Fault(text, _with(masks, wrong), _white(white, count))


def _black_and_white_among_ids(masks, count):
    """Some masks are 0 and 255, others have ids, and 255 never stands beside an id as void would."""
    white = [mask for mask in masks if labels.is_binary(mask.pixels, count)]
    others = [mask for mask in masks if mask not in white and any(0 < value < count for value in mask.pixels)]
    if not white or not others or any(VOID in mask.pixels for mask in others):
        return None
    text = (
        f"{len(white)} of {len(masks)} masks are 0 and 255, while {len(others)} have the ids of classes: two "
        "ways of writing, and 255 means void here, so that what is white would be ignored."
    )
    return Fault(text, tuple(mask.name for mask in white), _white(VOID, count))


def _white(white, count, soft=False):
    """The repair of black-and-white masks; what is half white or more at a soft edge is white."""
    if count != 2:
        return None  # nobody knows which class is white
    text = f"0..{white // 2} -> 0, {white // 2 + 1}..{white} -> 1" if soft else f"{white} -> 1"
    return Remap(text, lambda ids: (ids > white // 2 if ids.max() > 1 else ids).astype(np.uint8))


def _scaled(masks, pixels, wrong, count):
    """Ids spread over 0..255 to be looked at: 0, 127, 254 for three classes."""
    values = [value for value in pixels if value > 0]
    if not wrong or count < 3 or min(pixels) < 0 or len(pixels) < 3:
        return None
    table = {value: round(value * (count - 1) / VOID) for value in values}
    if max(values) > VOID or any(abs(value - at * VOID / (count - 1)) > 1 for value, at in table.items()):
        values = [value for value in values if value != VOID]
        step = math.gcd(*values)
        table = {value: value // step for value in values}
        if step < 2 or max(table.values()) >= count:
            return None
    # Where 255 is the next step, it may be void or one class more than the list has.
    doubtful = VOID in pixels and VOID not in table and max(table) + min(table) == VOID
    text = (
        f"The values {', '.join(map(str, pixels))} are evenly spaced, but ids are 0..{count - 1}: the ids "
        "were probably multiplied so that the masks can be looked at."
    )
    if doubtful:
        return Fault(f"{text} {_MAP}", _with(masks, wrong), None)
    return Fault(text, _with(masks, wrong), table_remap(table))


def _from_one(count):
    return Remap(
        f"1..{count} -> 0..{count - 1}",
        lambda ids: np.where(ids == VOID, VOID, ids - 1).astype(np.uint8),
    )


def table_remap(table: Mapping[int, int]) -> Remap:
    """A repair by a table of old and new ids; values that are not in it stay as they are."""

    def apply(ids):
        changed = ids.astype(np.int32)
        for old, new in table.items():
            changed[ids == old] = new
        return changed

    return Remap(", ".join(f"{old} -> {new}" for old, new in table.items()), apply)

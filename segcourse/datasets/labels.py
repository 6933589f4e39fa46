"""Class names and colours of a data set, and the classic mistakes in label masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcourse.datasets import class_list
from segcourse.datasets.errors import DataError, MaskError

VOID = 255

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpec:
    """The classes of a data set: position = class id. 255 is void and is drawn black.

    Args:
        name: of the data set.
        classes: class names, at most 255, all different.
        palette: one (red, green, blue) in 0..255 per class.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[Color, ...]

    void = VOID

    def __post_init__(self):
        if not 1 <= len(self.classes) <= VOID:
            raise DataError(
                f"{self.name}: {len(self.classes)} classes; there can be 1 to {VOID}, because id {VOID} "
                "means void."
            )
        doubles = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if doubles:
            raise DataError(
                f"{self.name}: class {doubles[0]!r} is listed more than once. Give every class its own name."
            )
        if len(self.palette) != len(self.classes):
            raise DataError(
                f"{self.name}: {len(self.palette)} colours for {len(self.classes)} classes. Give one per "
                "class."
            )

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, class_name: str) -> int:
        """Id of a class; 255 for ``"void"``."""
        if class_name in self.classes:
            return self.classes.index(class_name)
        if class_name == "void":
            return self.void
        raise DataError(
            f"{self.name} has no class {class_name!r}; it has {', '.join(self.classes)} and void."
        )

    def colorize(self, labels: np.ndarray) -> np.ndarray:
        """Colours uint8 ``[..., 3]`` of class ids ``[...]``; ids outside the classes are black like void."""
        table = np.zeros((VOID + 1, 3), np.uint8)
        table[: len(self)] = self.palette
        labels = np.asarray(labels)
        return table[np.where((labels >= 0) & (labels < len(self)), labels, VOID).astype(np.uint8)]

    def decolorize(self, colors: np.ndarray) -> np.ndarray:
        """Class ids uint8 ``[...]`` of palette colours ``[..., 3]``; black is void unless a class has it.

        Raises:
            MaskError: a colour that is not in the palette (an interpolated or JPEG-compressed colour mask).
        """
        known = {color: index for index, color in reversed(list(enumerate(self.palette)))}
        known.setdefault((0, 0, 0), VOID)
        return ids_of_colors(colors, known, self.name)


def ids_of_colors(colors: np.ndarray, known: Mapping[Color, int], name: str) -> np.ndarray:
    """Class ids uint8 ``[...]`` of colours ``[..., 3]``, by a table of colours; `name` says whose it is.

    Raises:
        MaskError: a colour that is not in the table.
    """
    keys = _color_keys(np.asarray(colors, np.uint8))
    table = {int(_color_keys(np.uint8(color))): index for color, index in known.items()}
    values, inverse = np.unique(keys, return_inverse=True)
    strange = [int(value) for value in values if int(value) not in table]
    if strange:
        raise MaskError(
            f"{len(strange)} colour(s) are not in the palette of {name}, the first is #{strange[0]:06x}. Use "
            "the original colour masks (PNG, never JPEG, never resized with interpolation), or the right "
            "palette."
        )
    return np.array([table[int(value)] for value in values], np.uint8)[inverse].reshape(keys.shape)


def _color_keys(colors):
    red, green, blue = np.moveaxis(colors.astype(np.int64), -1, 0)
    return red << 16 | green << 8 | blue


def _bit_palette(count: int, start: int = 0) -> tuple[Color, ...]:
    """Pascal VOC's colours: the bits of the id, lowest first, fill red, green, blue from the top bit."""
    colors = []
    for index in range(start, start + count):
        color = [0, 0, 0]
        for bit in range(8):
            color[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
        colors.append(tuple(color))
    return tuple(colors)


CAMVID = LabelSpec(
    "camvid",
    (
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip

VOC = LabelSpec(
    "voc",
    (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
        "tvmonitor",
    ),
    _bit_palette(21),
)  # fmt: skip

CELLS = LabelSpec("cells", ("background", "cell"), ((38, 50, 72), (245, 178, 66)))

MEMBRANES = LabelSpec("isbi2012", ("membrane", "cell"), ((38, 50, 72), (245, 178, 66)))

_SPECS = {spec.name: spec for spec in (CAMVID, VOC, CELLS, MEMBRANES)}


def get(name: str) -> LabelSpec:
    """A label specification by name: ``camvid``, ``voc``, ``cells`` or ``isbi2012``."""
    if name not in _SPECS:
        raise DataError(
            f"no label specification {name!r}; there are {', '.join(_SPECS)}. Read your own with "
            "from_file(path)."
        )
    return _SPECS[name]


def instances_of(labels: np.ndarray, class_id: int = 1) -> np.ndarray:
    """The connected pieces of a class, one by one: neighbours share a side of a pixel (4-connectivity).

    Args:
        labels: class ids ``[H, W]`` or ``[N, H, W]``.
        class_id: the class whose pieces are wanted.

    Returns:
        int32 of the same shape: 0 elsewhere, 1..n the pieces, counted anew in every picture.

    Raises:
        DataError: the labels have another number of axes.
    """
    from scipy import ndimage

    labels = np.asarray(labels)
    if labels.ndim == 2:
        return ndimage.label(labels == class_id, output=np.int32)[0]
    if labels.ndim != 3:
        raise DataError(f"labels have the shape {labels.shape}: give [H, W] or [N, H, W] of class ids.")
    pieces = np.empty(labels.shape, np.int32)
    for index, mask in enumerate(labels):
        pieces[index] = instances_of(mask, class_id)
    return pieces


def from_file(path: Path | str) -> LabelSpec:
    """Classes from a small text, JSON or CSV file, see `class_list.read`.

    Classes without a colour get one from Pascal VOC's scheme.

    Raises:
        DataError: the file cannot be read or understood; the message names file and line.
    """
    path = Path(path)
    entries = class_list.read(path)
    if not entries:
        raise DataError(f"{path}: no class in it. Write one class name a line, in the order of the ids.")
    if len(entries) > VOID:
        raise DataError(
            f"{path}: {len(entries)} classes; there can be at most {VOID}, because id {VOID} means void."
        )
    spare = _bit_palette(len(entries), start=1)
    palette = tuple(color or spare[index] for index, (_, color) in enumerate(entries))
    try:
        return LabelSpec(path.stem, tuple(name for name, _ in entries), palette)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def check_masks(
    labels: np.ndarray | Sequence[np.ndarray],
    classes: int | LabelSpec,
    images: np.ndarray | Sequence[np.ndarray] | None = None,
) -> list[str]:
    """Look for the classic mistakes in label masks.

    Args:
        labels: one mask ``[H, W]``, several ``[N, H, W]``, or a list of masks of any sizes.
        classes: number of classes, or their specification.
        images: the pictures ``[H, W, 3]``, ``[N, H, W, 3]`` or a list of them, to compare counts and sizes.

    Returns:
        one explanation per mistake: what was seen, what it probably is, how to mend it. Empty if all is well.
    """
    count = classes if isinstance(classes, int) else len(classes)
    masks = _as_list(labels, count)
    if not masks or any(mask.size == 0 for mask in masks):
        return [
            "There is no pixel to look at: no mask was given, or one is empty. Check the path and the file "
            "pattern."
        ]
    notes = _size_notes(masks, images)
    if any(mask.ndim != 2 for mask in masks):
        return [*notes, _channel_note(masks, count)]
    if any(mask.dtype.kind == "f" for mask in masks):
        note, whole = _float_note(masks)
        notes.append(note)
        if not whole:
            return notes
    masks = [mask.astype(np.int64) if mask.dtype.kind == "f" else mask for mask in masks]
    return notes + _void_notes(masks) + _id_notes(masks, count, classes)


def _as_list(labels, count):
    """A list of masks; a single colour or one-hot mask stays whole, so that it can be recognised."""
    if not isinstance(labels, np.ndarray):
        return [_integer(np.asarray(mask)) for mask in labels]
    labels = _integer(labels)
    is_one_hot = labels.ndim == 3 and labels.shape[-1] == count and _one_hot(labels)
    if labels.ndim <= 2 or (labels.ndim == 3 and labels.shape[-1] in (3, 4)) or is_one_hot:
        return [labels]
    return list(labels)


def _integer(mask):
    return mask.astype(np.uint8) if mask.dtype.kind == "b" else mask


def _one_hot(mask):
    return bool(((mask == 0) | (mask == 1)).all() and (mask.sum(axis=-1) == 1).all())


def _size_notes(masks, images):
    if images is None:
        return []
    images = [images] if isinstance(images, np.ndarray) and images.ndim == 3 else list(images)
    if len(images) != len(masks):
        return [
            f"{len(images)} images but {len(masks)} masks: some have no partner. Match them by file name and "
            "add what is missing."
        ]
    sizes = [(np.shape(image)[:2], mask.shape[:2]) for image, mask in zip(images, masks, strict=True)]
    wrong = [index for index, (image, mask) in enumerate(sizes) if image != mask]
    if not wrong:
        return []
    image, mask = sizes[wrong[0]]
    if image == mask[::-1]:
        advice = (
            "Height and width are swapped: transpose one of the two, "
            "or turn the photo upright as its EXIF entry says."
        )
    else:
        advice = "Probably only one of them was resized: resize both, the mask by nearest neighbour."
    return [
        f"{len(wrong)} mask(s) differ in size from their image; at index {wrong[0]} the image is "
        f"{image[0]}x{image[1]} and the mask {mask[0]}x{mask[1]} (height x width). {advice}"
    ]


def _channel_note(masks, count):
    mask = next(mask for mask in masks if mask.ndim != 2)
    seen = f"A mask has the shape {mask.shape}, but one class id per pixel is needed, [height, width]."
    channels = mask.shape[-1] if mask.ndim == 3 else 0
    if channels == 1:
        return f"{seen} It has an axis of length 1 too many: take mask[..., 0]."
    if channels == count and _one_hot(mask):
        return f"{seen} It is one-hot, one channel per class: take mask.argmax(-1)."
    if channels in (3, 4):
        return (
            f"{seen} It is a colour picture (RGB palette): turn its colours into ids with "
            "LabelSpec.decolorize(mask[..., :3])."
        )
    return f"{seen} Give one mask [H, W], several [N, H, W], or a list."


def _float_note(masks):
    values = np.concatenate([mask.ravel() for mask in masks if mask.dtype.kind == "f"])
    if not np.isfinite(values).all():
        return "The masks hold NaN or infinity. Ids are whole numbers: load the original files again.", False
    seen = (
        f"The masks are floating point, from {values.min():g} to {values.max():g}, but ids are whole numbers."
    )
    if (values == np.round(values)).all():
        return f"{seen} Here they happen to be whole: store them as uint8.", True
    share = np.mean(values != np.round(values))
    if values.min() >= 0 and values.max() <= 1:
        return (
            f"{seen} They were probably divided by 255 like an image: only images are rescaled, never masks.",
            False,
        )
    return (
        f"{seen} {share:.1%} of the pixels are fractions: the masks were probably resized with "
        "interpolation. Use nearest neighbour.",
        False,
    )


def _void_notes(masks):
    empty = [index for index, mask in enumerate(masks) if (mask == VOID).all()]
    if not empty:
        return []
    return [
        f"{len(empty)} of {len(masks)} mask(s) are void (255) everywhere, the first at index {empty[0]}: "
        "nothing can be learned from them. Leave them out, or check that the masks were exported with ids."
    ]


def _id_notes(masks, count, classes):
    pixels = _histogram(masks)
    fault = id_fault(pixels, lambda ignore_void: _between_share(masks, ignore_void), count)
    if fault:
        return [fault[1]]
    ids = [value for value in pixels if value != VOID]
    if len(ids) == 1:
        name = "" if isinstance(classes, int) else f" ({classes.classes[ids[0]]})"
        return [
            f"All {len(masks)} mask(s) show the single id {ids[0]}{name}: there is nothing to tell apart. "
            "Check that these are the masks, that they were exported with ids, and that no threshold erased "
            "them."
        ]
    return []


def id_fault(pixels: Mapping[int, int], share: Callable[[bool], float], count: int) -> tuple[str, str] | None:
    """What is wrong with the ids of a set of masks, as far as it shows in how often they occur.

    Args:
        pixels: pixels per id, smallest id first.
        share: `between_share` of the masks, with and without borders to void; it takes `ignore_void`.
        count: number of classes.

    Returns:
        None; or a word, `white`, `interpolated`, `from one` or `range`, and the explanation.
    """
    ids = [value for value in pixels if value != VOID]
    wrong = [value for value in ids if not 0 <= value < count]
    if is_binary(pixels, count):
        return "white", _binary_note(pixels, count)
    if share(not wrong) > _MANY_BETWEEN:
        return "interpolated", _interpolation_note(pixels, wrong, count)
    if not wrong:
        return None
    from_one = wrong == [count] and 0 not in ids
    return "from one" if from_one else "range", _range_note(pixels, ids, wrong, count)


def _histogram(masks):
    """Pixels per id, smallest id first."""
    total: dict[int, int] = {}
    for mask in masks:
        if mask.dtype == np.uint8:
            numbers = np.bincount(mask.ravel(), minlength=VOID + 1)
            values = np.flatnonzero(numbers)
            numbers = numbers[values]
        else:
            values, numbers = np.unique(mask, return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            total[value] = total.get(value, 0) + number
    return dict(sorted(total.items()))


def is_binary(pixels: Mapping[int, int], count: int) -> bool:
    """Whether masks of `count` classes with these pixels per id are black and white.

    They have only 0 and 255, or these two with a soft edge: hardly any pixel has another id that would be
    valid.
    """
    if count < 2 or 0 not in pixels or VOID not in pixels or min(pixels) < 0 or max(pixels) > VOID:
        return False
    valid = sum(number for value, number in pixels.items() if 0 < value < count)
    ends = pixels[0] + pixels[VOID]
    between = sum(pixels.values()) - ends
    return between == 0 or (ends > 4 * between and valid < 0.2 * between and len(pixels) > 10)


def _binary_note(pixels, count):
    total = sum(pixels.values())
    soft = len(pixels) - 2
    seen = f"The masks are 0 ({pixels[0] / total:.1%} of the pixels) and 255 ({pixels[VOID] / total:.1%})"
    if soft:
        seen += f" with {soft} grey values between them at soft or JPEG-compressed edges"
    return (
        f"{seen}, but {count} classes are expected. This is probably a black-and-white mask, and 255 means "
        "void here: the whole foreground would be ignored. Use mask = (mask > 127).astype('uint8')."
    )


_MANY_BETWEEN = (
    0.2  # clean masks: below 0.08 even at 24x32 pixels; interpolated or JPEG-compressed ones: above 0.3
)
_FEW_CROSSINGS = 30


def _between_share(masks, ignore_void):
    counts = [between(mask, ignore_void) for mask in masks]
    return between_share(sum(count[0] for count in counts), sum(count[1] for count in counts))


def between(mask: np.ndarray, ignore_void: bool) -> tuple[int, int]:
    """Crossings between ids at least 2 apart that pass through an id between the two, and all such crossings.

    Ids are names, so the pixel on the border of class 1 and class 8 is one of the two; an average of them is
    not.
    """
    passed = crossings = 0
    for rows in (mask, mask.T):
        rows = rows.astype(np.int32)
        before, here, after = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
        low, high = np.minimum(before, after), np.maximum(before, after)
        crossing = high - low >= 2
        if ignore_void:
            crossing &= (high != VOID) & (here != VOID)
        crossings += np.count_nonzero(crossing)
        passed += np.count_nonzero(crossing & (low < here) & (here < high))
    return passed, crossings


def between_share(passed: int, crossings: int) -> float:
    """The share of the two numbers of `between`; 0 where there are too few crossings to tell."""
    return passed / crossings if crossings >= _FEW_CROSSINGS else 0.0


def _interpolation_note(pixels, wrong, count):
    outside = f" (among them {_listed(pixels, wrong)}, outside 0..{count - 1})" if wrong else ""
    return (
        f"Along many borders of two classes the pixels have ids between the two{outside}. The masks were "
        "probably resized with bilinear interpolation, or saved as JPEG: averages of ids are other classes. "
        "Go back to the original masks, store them as PNG, and resize them by nearest neighbour only."
    )


def _range_note(pixels, ids, wrong, count):
    seen = f"Found {_listed(pixels, wrong)}, but valid ids are 0..{count - 1} and 255 (void)."
    if wrong == [count] and 0 not in ids:
        return f"{seen} Id 0 never occurs, so the ids probably start at 1: subtract 1 from all but 255."
    if wrong == [count]:
        return (
            f"{seen} Either id {count} is this data set's void: write mask[mask == {count}] = 255. Or the "
            "ids start at 1 and 0 means unlabelled: write mask = mask - 1 with uint8, which turns 0 into 255."
        )
    return (
        f"{seen} Probably the masks follow another class list, or void has another id: map every id to yours "
        "with a table of 256 entries, table[mask], and what you do not need to 255."
    )


def _listed(pixels, ids):
    some = ", ".join(f"{value} ({pixels[value]} px)" for value in ids[:5])
    return f"{'id' if len(ids) == 1 else 'ids'} {some}{', ...' if len(ids) > 5 else ''}"

"""Look at a whole folder data set before anything is trained on it, and name every mistake with its files."""

import io
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segcourse.datasets import files, masks
from segcourse.datasets.errors import DataError, MaskError
from segcourse.datasets.folder import Folder, Pair, size_fault
from segcourse.datasets.labels import VOID, LabelSpec

_NAMED = 10
_SAME_SHAPE = 0.02  # relative difference of two aspect ratios that rounding of sizes explains
_CLEARLY = 1.2  # so much more contrast at the mask's borders says which way up a picture is
_FEW_PIXELS = 1e-4  # of all: a class that hardly occurs


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set.

    Args:
        text: what was seen, and what to do.
        files: names of the files that it is about; none if it is about all.
        stops: whether a training must not go on.
        mends: whether `repair.fix` can put it right.
    """

    text: str
    files: tuple[str, ...] = ()
    stops: bool = True
    mends: bool = False

    def __str__(self):
        if not self.files:
            return self.text
        more = f" and {len(self.files) - _NAMED} more" if len(self.files) > _NAMED else ""
        return f"{self.text} ({len(self.files)}: {', '.join(self.files[:_NAMED])}{more})"


@dataclass
class Report:
    """What `inspect` saw.

    Attributes:
        root: the folder.
        spec: its classes.
        splits: number of pictures in each split that was looked at.
        sizes: number of pictures of each (height, width), upright.
        pixels: pixels per value of the masks, smallest value first.
        pictures: number of masks in which each value occurs.
        findings: what there is to say.
        remap: the repair of the ids, or None.
        looks: what was seen of each pair.
    """

    root: Path
    spec: LabelSpec
    splits: dict[str, int]
    sizes: Counter = field(default_factory=Counter)
    pixels: dict[int, int] = field(default_factory=dict)
    pictures: Counter = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    remap: masks.Remap | None = None
    looks: list["_Look"] = field(default_factory=list, repr=False)

    def examples(self, count: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Some of the pairs to look at, spread evenly over those that can be read.

        Returns:
            name, picture uint8 ``[H, W, 3]``, and mask as its file has it, integers ``[H, W]``, resized by
            nearest neighbour where it is of another size.
        """
        colors = Folder(self.root).colors()
        good = [look for look in self.looks if look.seen]
        chosen = [good[round(at)] for at in np.linspace(0, len(good) - 1, min(count, len(good)))]
        return [look.pixels(colors) for look in chosen]

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop a training."""
        return [finding for finding in self.findings if finding.stops]

    @property
    def notes(self) -> list[Finding]:
        """Findings that do not."""
        return [finding for finding in self.findings if not finding.stops]


def checked(
    name: str | Path,
    splits: Sequence[str] = ("train", "val"),
    report: Callable[[str], object] = print,
    strict: bool = True,
) -> Report | None:
    """Look at a folder data set before it is used; data sets of this package are known to be sound.

    Args:
        name: of a data set, or the path of a folder.
        splits: the splits that will be used.
        report: called with each note that does not stop.
        strict: False reports the mistakes instead of raising them.

    Returns:
        what was seen, or None for a data set of this package.

    Raises:
        MaskError: all the mistakes with their files, and the command that mends them.
        DataError: the folder is no data set.
    """
    from segcourse import datasets

    datasets.spec(name)  # an unknown name is refused in the words of the others
    if name in datasets.names():
        return None
    seen = inspect(name, splits)
    for finding in seen.notes if strict else seen.findings:
        report(f"note: {finding}")
    if strict and seen.errors:
        first, *others = map(str, seen.errors)
        raise MaskError(" ".join([f"{name}: {first} {_advice(name, seen)}", *others]))
    return seen


def _advice(name, seen):
    check = f"See it with `segcourse data check {shlex.quote(str(name))}`"
    if not any(finding.mends for finding in seen.errors):
        return f"{check}."
    return f"{check}; `{fix_command(name)}` mends a copy."


def fix_command(folder: str | Path) -> str:
    """The command that writes a corrected copy of a folder, ready for a shell."""
    new = f"{Path(folder).resolve().name}-fixed"
    return f"segcourse data fix {shlex.quote(str(folder))} --out {shlex.quote(new)}"


def inspect(
    root: str | Path,
    splits: Sequence[str] | None = None,
    pictures: bool = False,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Report:
    """Look at every mask of a folder data set, one at a time.

    Args:
        root: the folder.
        splits: the splits to look at; None takes all.
        pictures: also decode every picture, to find the damaged ones.
        watch: wraps the loop, for a progress bar.

    Raises:
        DataError: there are no pairs of pictures and masks, or no class list.
    """
    folder = Folder(root)
    spec, colors = folder.spec(), folder.colors()
    pairs = {split: _pairs(folder, split) for split in splits or folder.splits()}
    if splits is None and sum(map(len, pairs.values())) == 0:
        pairs = {"all": folder.pairs("all")}
    found = Report(folder.root, spec, {split: len(own) for split, own in pairs.items()})
    looks = [_Look(folder.root, pair) for own in pairs.values() for pair in own]
    looks.sort(key=lambda look: look.name)
    for look in watch(looks):
        look.read(colors, pictures)
    found.looks = looks
    _summarise(found, looks)
    return found


def _pairs(folder, split):
    """A single picture is a data set that can be looked at, though not one that can be divided."""
    if split in ("train", "val") and len(folder.pairs("all")) < 2:
        return []
    return folder.pairs(split)


class _Look:
    """One pair: its sizes, what its mask holds, and what is wrong with the files themselves."""

    def __init__(self, root: Path, pair: Pair):
        self.image, self.mask = pair
        self.name = self.mask.relative_to(root).as_posix()
        self.size = self.seen = None
        self.how = self.fault = self.size_fault = ""
        self.mends_size, self.lossy = True, False
        self.contrast = None

    def read(self, colors, pictures):
        try:
            self.size, orientation = files.picture_size(self.image)
            if pictures:
                files.decode_image(files.read_bytes(self.image), self.image)
            picture = files.open_mask(files.read_bytes(self.mask), self.mask)
            ids, self.how = masks.read_loosely(picture, colors, self.mask)
        except DataError as error:
            self.fault = str(error)
            return
        self.lossy = picture.format == "JPEG"
        self.seen = masks.Seen.of(self.name, ids)
        if ids.shape != self.size:
            self.size_fault = size_fault(self.image.name, self.size, ids.shape, orientation)
            self.mends_size = orientation > 4 and ids.shape == self.size[::-1] or _same_shape(ids, self.size)
        elif orientation > 1:
            self.contrast = _contrast_each_way(self.image, ids)

    def pixels(self, colors):
        image = files.decode_image(files.read_bytes(self.image), self.image)
        picture = files.open_mask(files.read_bytes(self.mask), self.mask)
        ids = masks.read_loosely(picture, colors, self.mask)[0]
        if ids.shape != image.shape[:2]:
            ids = np.array(Image.fromarray(ids).resize(image.shape[1::-1], Image.Resampling.NEAREST))
        return self.name, image, ids


def _same_shape(ids, size):
    return abs(ids.shape[0] * size[1] / (ids.shape[1] * size[0]) - 1) < _SAME_SHAPE


def _contrast_each_way(path, ids):
    """How strongly the picture changes at the borders of its mask: turned upright, and as it is stored."""
    stored = Image.open(io.BytesIO(files.read_bytes(path)))
    upright = ImageOps.exif_transpose(stored)
    if stored.size != upright.size:
        return None  # the sizes tell
    return tuple(_contrast(np.array(picture.convert("L"), np.int16), ids) for picture in (upright, stored))


def _contrast(grey, ids):
    found = [abs(np.diff(grey, axis=axis))[np.diff(ids.astype(np.int32), axis=axis) != 0] for axis in (0, 1)]
    steps = np.concatenate(found)
    return float(steps.mean()) if steps.size else 0.0


def _summarise(found, looks):
    found.sizes.update(look.size for look in looks if look.size)
    seen = [look.seen for look in looks if look.seen]
    found.pixels = masks.total(seen)
    for mask in seen:
        found.pictures.update(mask.pixels.keys())
    found.findings += _file_findings(looks)
    if not seen:
        return
    wrong = masks.fault(seen, found.spec)
    if wrong:
        found.remap = wrong.remap
        found.findings.append(Finding(wrong.text, wrong.files, mends=wrong.remap is not None))
        return
    found.findings += _content_findings(found, seen)
    if found.splits == {"all": 1}:
        text = "One picture alone cannot be divided into train and val: add pictures before you train."
        found.findings.append(Finding(text, stops=False))


def _file_findings(looks):
    """Damage, pixel formats, sizes, turned pictures."""
    for look in looks:
        if look.fault:
            yield Finding(look.fault)
    for how in sorted({look.how for look in looks if look.how}):
        names = tuple(look.name for look in looks if look.how == how)
        yield Finding(masks.HOW[how], names, mends=True)
    for mends in (True, False):
        wrong = [look for look in looks if look.size_fault and look.mends_size == mends]
        if wrong:
            cut = "" if mends else " Its sides have another ratio: cut, or of another picture?"
            text = f"{wrong[0].name}: {wrong[0].size_fault}{cut}"
            yield Finding(text, tuple(look.name for look in wrong), mends=mends)
    yield from _turned(looks)
    lossy = tuple(look.name for look in looks if look.lossy)
    if lossy:
        yield Finding(
            "Masks are JPEG files, which change ids near borders. Store masks as PNG.", lossy, False, True
        )


def _turned(looks):
    both = np.array([look.contrast for look in looks if look.contrast])
    if not len(both):
        return
    upright, stored = both.mean(0)
    if stored > _CLEARLY * upright:
        names = tuple(look.name for look in looks if look.contrast and look.contrast[1] > look.contrast[0])
        yield Finding(
            "Masks fit their pictures as stored, and not as the EXIF entry turns them: the picture's edges "
            f"at the mask's borders are {stored / max(upright, 1e-9):.1f} times as strong. Look at "
            "`segcourse data check`, and turn the masks with `segcourse data fix --turn`.",
            names,
            stops=False,
        )


def _content_findings(found, seen):
    """What the ids say, once they are ids."""
    void = tuple(mask.name for mask in seen if set(mask.pixels) == {VOID})
    ids = [value for value in found.pixels if value != VOID]
    if not ids:
        yield Finding("All masks are void (255) everywhere: nothing can be learned. Export them with ids.")
        return
    if void:
        yield Finding("Masks are void (255) everywhere and teach nothing. Leave them out.", void, False)
    names = found.spec.classes
    if len(ids) == 1 and "train" in found.splits:
        yield Finding(
            f"All masks show the single id {ids[0]} ({names[ids[0]]}): there is nothing to tell apart. Check "
            "that these are the masks, and that no threshold erased them."
        )
        return
    absent = [f"{name} ({index})" for index, name in enumerate(names) if index not in found.pixels]
    if absent:
        text = f"Never in a mask: {', '.join(absent)}."
        if 0 not in found.pixels:
            text += " Do the ids start at 1? `segcourse data fix --map` changes them."
        yield Finding(text, stops=False)
    total = sum(found.pixels[value] for value in ids)
    rare = [names[value] for value in ids if found.pixels[value] < _FEW_PIXELS * total]
    if rare:
        yield Finding(f"Hardly in the masks (under 0.01 % of the pixels): {', '.join(rare)}.", stops=False)

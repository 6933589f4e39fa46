"""A data set of your own: a folder with ``images/``, ``masks/`` and a class list. See ``data/folder.md``."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from segcourse.datasets import class_list, files, layout
from segcourse.datasets.errors import DataError, ImageError, MaskError, together
from segcourse.datasets.labels import LabelSpec, check_masks, from_file

SPLITS = ("train", "val", "test", "all")

_CLASS_FILES = (
    "classes.txt", "classes.json", "classes.csv", "class_dict.csv", "_classes.csv", "train/_classes.csv",
)  # fmt: skip
_VAL_SHARE = 5  # every fifth picture

Pair = tuple[Path, Path]
Result = TypeVar("Result")


class Folder:
    """Pictures and masks in a folder, matched by file name without its ending.

    Either ``images/`` and ``masks/`` hold everything and a fifth becomes ``val``, always the same pictures;
    or each split has its own, as ``train/images`` and ``train/masks`` or as ``images/train`` and
    ``masks/train``. The layouts of Cityscapes, Pascal VOC and Roboflow are understood: see `layout`.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def spec(self) -> LabelSpec:
        """Classes from ``classes.txt``, ``classes.json`` or a table.

        Raises:
            DataError: there is no list, or more than one, or it cannot be understood.
        """
        return self._spec

    @property
    def class_file(self) -> Path:
        """The class list.

        Raises:
            DataError: there is none, or more than one.
        """
        found = [self.root / name for name in _CLASS_FILES if (self.root / name).is_file()]
        if len(found) != 1:
            raise DataError(
                f"{self.root}: {len(found)} class lists found, need one of {' or '.join(_CLASS_FILES[:2])}: "
                "one class name a line, in the order of the ids in the masks."
            )
        return found[0]

    def colors(self) -> dict[tuple[int, int, int], int]:
        """Ids by the colours that the class list itself gives."""
        return {
            color: index for index, (_, color) in reversed([*enumerate(class_list.read(self.class_file))])
            if color
        }  # fmt: skip

    def splits(self) -> tuple[str, ...]:
        """The splits that there are, without ``all``."""
        lists = layout.voc_lists(self.root)
        return tuple(lists) or tuple(layout.own_splits(self.root)) or ("train", "val")

    def available(self, split: str) -> bool:
        """Whether this split has at least one complete pair."""
        try:
            return bool(self.pairs(split))
        except DataError:
            return False

    def pairs(self, split: str) -> list[Pair]:
        """(image, mask) files of a split, sorted by name.

        Raises:
            DataError: unknown split, no pictures, or a picture or mask without its partner; the message names
                them.
        """
        if split == "all" and self.divided:
            return [pair for name in self.splits() for pair in self.named_pairs(name).values()]
        return list(self.named_pairs(split).values())

    def named_pairs(self, split: str) -> layout.Pairs:
        """(image, mask) files of a split by the name that the two have in common, sorted by it.

        Raises:
            DataError: as `pairs`; also for ``all`` where each split has its own names.
        """
        if split not in SPLITS:
            raise DataError(f"{self.root}: no split {split!r}; there are {', '.join(SPLITS)}.")
        if self.divided:
            self._need(split)
            lists = layout.voc_lists(self.root)
            if lists:
                return layout.match(*layout.whole(self.root), lists[split])
            return layout.match(*layout.own_splits(self.root)[split])
        pairs = layout.match(*layout.whole(self.root))
        if split == "test":
            raise DataError(
                f"{self.root}: no test split. Put its pictures into test/images and test/masks, and the "
                "others into train and val; or give another --split."
            )
        return pairs if split == "all" else _split(pairs, self.root)[split]

    @property
    def divided(self) -> bool:
        """Whether its folders or lists say which picture belongs to which split."""
        return bool(layout.voc_lists(self.root) or layout.own_splits(self.root))

    def _need(self, split):
        if split not in self.splits():
            raise DataError(
                f"{self.root}: has the split(s) {', '.join(self.splits())} but no {split!r}. Add "
                f"{split}/images and {split}/masks."
            )

    def load(self, split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A split in memory.

        Args:
            split: ``train``, ``val``, ``test``, or ``all``.
            size: (height, width) to resize to: images bilinearly, masks by nearest neighbour. None needs
                pictures of one size.

        Returns:
            images uint8 ``[N, H, W, 3]`` and labels uint8 ``[N, H, W]``.

        Raises:
            DataError: a subclass names the files, what is wrong with them, and what to do.
        """
        size, pairs = files.check_size(size), self.pairs(split)
        size = size or self.common_size(pairs)
        images = np.empty((len(pairs), *size, 3), np.uint8)
        labels = np.empty((len(pairs), *size), np.uint8)

        def keep(numbered):
            index, pair = numbered
            images[index], labels[index] = self.read(pair, size)

        every(keep, enumerate(pairs))
        return images, labels

    def read(self, pair: Pair, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A picture uint8 ``[H, W, 3]`` and its mask uint8 ``[H, W]``, resized unless `size` is None.

        Raises:
            DataError: a subclass names the file, what is wrong with it, and what to do.
        """
        image_path, mask_path = pair
        image = files.decode_image(files.read_bytes(image_path), image_path)
        mask = files.decode_mask(files.read_bytes(mask_path), mask_path)
        if mask.shape != image.shape[:2]:
            orientation = files.picture_size(image_path)[1]
            fault = size_fault(image_path.name, image.shape[:2], mask.shape, orientation)
            raise MaskError(f"{mask_path}: {fault}")
        odd = (mask < 0) | ((mask >= len(self._spec)) & (mask != self._spec.void))
        if odd.any():
            raise MaskError(f"{mask_path}: {' '.join(check_masks(mask, self._spec))}")
        mask = mask.astype(np.uint8)
        if size is None or image.shape[:2] == size:
            return image, mask
        return files.resize_image(image, size), files.resize_mask(mask, size)

    @cached_property
    def _spec(self):
        return from_file(self.class_file)

    def sizes(self, pairs: list[Pair]) -> list[tuple[int, int]]:
        """(height, width) of each picture, upright, from the heads of the files."""
        return every(lambda pair: files.picture_size(pair[0])[0], pairs)

    def common_size(self, pairs: list[Pair]) -> tuple[int, int]:
        """(height, width) of all the pictures.

        Raises:
            ImageError: they differ.
        """
        sizes = self.sizes(pairs)
        other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
        if other is not None:
            raise ImageError(
                f"{pairs[other][0]}: {_by(sizes[other])} pixels, but {pairs[0][0].name} has {_by(sizes[0])}. "
                "Bring all of them to one size with --size HEIGHTxWIDTH, or train on random crops with "
                "--crop HEIGHTxWIDTH (in Python: size=(height, width), or datasets.Stream)."
            )
        return sizes[0]


def every(task: Callable[..., Result], items: Iterable) -> list[Result]:
    """`task` of every item; where some raise a `DataError`, one error that names them all, at the end."""
    results, errors = [], []
    for item in items:
        try:
            results.append(task(item))
        except DataError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return results


def size_fault(name: str, image: tuple[int, int], mask: tuple[int, int], orientation: int) -> str:
    """What to say of a mask whose size (height, width) is not that of its picture.

    Args:
        name: of the picture.
        image: size of the picture, upright.
        mask: size of the mask.
        orientation: of the picture's EXIF entry, 1 to 8.
    """
    seen = f"{_by(mask)} pixels, but its image {name} has {_by(image)} (height x width)."
    if orientation > 4 and mask == image[::-1]:
        return (
            f"{seen} It fits the picture as it is stored, before its EXIF entry turns it upright: turn the "
            "mask as well. `segcourse data fix` does."
        )
    return (
        f"{seen} Export the mask at the size of the image, turned upright like it; `segcourse data fix` "
        "resizes it by nearest neighbour."
    )


def _by(size):
    return f"{size[0]}x{size[1]}"


def _split(pairs, root):
    """Every fifth by a digest of the name: the same everywhere, and no regular pattern in a video."""
    if len(pairs) < 2:
        raise DataError(
            f"{root}: one picture cannot be split into train and val. Add pictures, or take it as it is, by "
            "split all."
        )
    ranked = sorted(pairs, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest())
    count = -(-len(pairs) // _VAL_SHARE)
    return {
        split: {key: pairs[key] for key in sorted(keys, key=pairs.get)}
        for split, keys in (("val", ranked[:count]), ("train", ranked[count:]))
    }

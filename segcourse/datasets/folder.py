"""A data set of your own: a folder with ``images/``, ``masks/`` and a class list. See ``data/folder.md``."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np

from segcourse.datasets import files
from segcourse.datasets.errors import DataError, ImageError, MaskError
from segcourse.datasets.labels import LabelSpec, check_masks, from_file

SPLITS = ("train", "val", "all")

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
_CLASS_FILES = ("classes.txt", "classes.json")
_VAL_SHARE = 5  # every fifth picture


class Folder:
    """Pictures and masks in a folder, matched by file name without its ending.

    Either ``images/`` and ``masks/`` hold everything and a fifth becomes ``val``, always the same pictures;
    or each split has its own, as ``train/images`` and ``train/masks`` or as ``images/train`` and
    ``masks/train``.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def spec(self) -> LabelSpec:
        """Classes from ``classes.txt`` or ``classes.json``."""
        return self._spec

    def available(self, split: str) -> bool:
        """Whether this split has at least one complete pair."""
        try:
            return bool(self.pairs(split))
        except DataError:
            return False

    def pairs(self, split: str) -> list[tuple[Path, Path]]:
        """(image, mask) files of a split, sorted by name.

        Raises:
            DataError: unknown split, no pictures, or a picture or mask without its partner; the message names
                them.
        """
        if split not in SPLITS:
            raise DataError(f"{self.root}: no split {split!r}; there are {', '.join(SPLITS)}.")
        own = self._own_splits()
        if own:
            chosen = list(own) if split == "all" else [split]
            if not set(chosen) <= set(own):
                raise DataError(
                    f"{self.root}: has the split(s) {', '.join(own)} but no {split!r}. Add {split}/images "
                    f"and {split}/masks."
                )
            return [pair for name in chosen for pair in _match(*own[name])]
        pairs = _match(self.root / "images", self.root / "masks")
        return pairs if split == "all" else _split(pairs)[split]

    def load(self, split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A split in memory.

        Args:
            split: ``train``, ``val``, or ``all``.
            size: (height, width) to resize to: images bilinearly, masks by nearest neighbour. None needs
                pictures of one size.

        Returns:
            images uint8 ``[N, H, W, 3]`` and labels uint8 ``[N, H, W]``.

        Raises:
            DataError: a subclass names the file, what is wrong with it, and what to do.
        """
        size, pairs = files.check_size(size), self.pairs(split)
        size = size or self._common_size(pairs)
        images = np.empty((len(pairs), *size, 3), np.uint8)
        labels = np.empty((len(pairs), *size), np.uint8)
        for index, pair in enumerate(pairs):
            image, mask = self._read(*pair)
            same = image.shape[:2] == size
            images[index] = image if same else files.resize_image(image, size)
            labels[index] = mask if same else files.resize_mask(mask, size)
        return images, labels

    @cached_property
    def _spec(self):
        found = [self.root / name for name in _CLASS_FILES if (self.root / name).is_file()]
        if len(found) != 1:
            raise DataError(
                f"{self.root}: {len(found)} class lists found, need one of {' or '.join(_CLASS_FILES)}: "
                "one class name a line, in the order of the ids in the masks."
            )
        return from_file(found[0])

    def _own_splits(self):
        """(images, masks) folders of the splits that are laid out as folders."""
        own = {}
        for split in ("train", "val"):
            for images, masks in (
                (self.root / split / "images", self.root / split / "masks"),
                (self.root / "images" / split, self.root / "masks" / split),
            ):
                if images.is_dir():
                    own[split] = images, masks
        return own

    def _common_size(self, pairs):
        first = files.decode_image(files.read_bytes(pairs[0][0]), pairs[0][0]).shape[:2]
        for image_path, _ in pairs[1:]:
            other = files.decode_image(files.read_bytes(image_path), image_path).shape[:2]
            if other != first:
                raise ImageError(
                    f"{image_path}: {other[0]}x{other[1]} pixels, but {pairs[0][0].name} has "
                    f"{first[0]}x{first[1]}. Give size=(height, width) to bring all of them to one size."
                )
        return first

    def _read(self, image_path, mask_path):
        image = files.decode_image(files.read_bytes(image_path), image_path)
        mask = files.decode_mask(files.read_bytes(mask_path), mask_path)
        if mask.shape != image.shape[:2]:
            raise MaskError(
                f"{mask_path}: {mask.shape[0]}x{mask.shape[1]} pixels, but its image {image_path.name} has "
                f"{image.shape[0]}x{image.shape[1]} (height x width). Export the mask at the size of the "
                "image, turned upright like it."
            )
        odd = (mask < 0) | ((mask >= len(self._spec)) & (mask != self._spec.void))
        if odd.any():
            raise MaskError(f"{mask_path}: {' '.join(check_masks(mask, self._spec))}")
        return image, mask.astype(np.uint8)


def _listing(folder):
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder. A data set needs images/ and masks/ with files of the same names."
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path}: has the same name as {found[path.stem].name}. Keep one of the two.")
        found[path.stem] = path
    return found


def _match(image_folder, mask_folder):
    images, masks = _listing(image_folder), _listing(mask_folder)
    if not images:
        raise DataError(
            f"{image_folder}: no pictures in it ({', '.join(sorted(_SUFFIXES))}). Put them there."
        )
    for have, lack, folder, what in (
        (images, masks, mask_folder, "mask"),
        (masks, images, image_folder, "image"),
    ):
        alone = sorted(set(have) - set(lack))
        if alone:
            some = ", ".join(have[stem].name for stem in alone[:5]) + (", ..." if len(alone) > 5 else "")
            raise DataError(
                f"{folder}: no {what} for {len(alone)} file(s): {some}. Add the {what}, named alike, or "
                "remove the other."
            )
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _split(pairs):
    """Every fifth by a digest of the name: the same everywhere, and no regular pattern in a video."""
    if len(pairs) < 2:
        raise DataError(
            f"{pairs[0][0].parent}: one picture cannot be split into train and val. Add pictures, or load "
            "split 'all'."
        )
    ranked = sorted(
        pairs, key=lambda pair: hashlib.sha256(pair[0].stem.encode("utf-8", "surrogateescape")).digest()
    )
    count = -(-len(pairs) // _VAL_SHARE)
    return {"val": sorted(ranked[:count]), "train": sorted(ranked[count:])}

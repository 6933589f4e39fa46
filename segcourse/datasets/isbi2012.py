"""ISBI 2012: thirty serial sections of a fly's nerve cord in the electron microscope, membranes marked.

The challenge that U-Net won (Ronneberger, Fischer, Brox, 2015). Data: Cardona et al., "An integrated micro-
and macroarchitectural analysis of the Drosophila brain by computer-assisted serial section electron
microscopy" (PLoS Biology, 2010); challenge: Arganda-Carreras et al., "Crowdsourcing the creation of image
segmentation algorithms for connectomics" (Frontiers in Neuroanatomy, 2015). See ``data/isbi2012.md``.
"""

from pathlib import Path

import numpy as np

from segcourse.datasets import files
from segcourse.datasets.errors import DataError, ImageError, MaskError
from segcourse.datasets.labels import instances_of
from segcourse.datasets.published import Published

# Slices next to each other show nearly the same, so the split is two runs of slices and not a random choice.
SPLITS = {"train": range(24), "val": range(24, 30)}
SIZE = (512, 512)
COMMIT = "909ae9b5fefd8a55900e24a771b073b1d4ef70ff"

_SET = Published("isbi2012", "ISBI 2012", "zhixuhao/unet", COMMIT)
URL = _SET.url


def manifest() -> dict[str, str]:
    """sha256 of the original files, by path in the data set (``image/0.png``, ``label/0.png``)."""
    return _SET.digests()


def folder(split: str = "train") -> Path:
    """The folder that holds a split: the cache's, or one beside the repository (``../shared/data/isbi2012``).

    Raises:
        DataError: there is none, or no such split.
    """
    _check_split(split)
    return _SET.folder("image", "label")


def available(split: str) -> bool:
    """Whether a split can be loaded without a download."""
    return split in SPLITS and _SET.find("image", "label") is not None


def load(split: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A split in memory, every file checked against the original.

    The labels of the challenge's own 30 test slices were never published, so that train and val are both from
    its training slices.

    Args:
        split: ``train`` (slices 0 to 23) or ``val`` (24 to 29).
        size: (height, width) to resize to; None keeps 512x512. Labels are resized by nearest neighbour, which
            breaks thin membranes: take crops rather than small sizes where cells are told apart.

    Returns:
        images uint8 ``[N, H, W, 3]``, grey in three equal channels, and labels uint8 ``[N, H, W]``:
        0 membrane, 1 cell.

    Raises:
        DataError: the set is not here; a subclass if one of its files is damaged.
    """
    size, root = files.check_size(size) or SIZE, folder(split)
    images = np.empty((len(SPLITS[split]), *size, 3), np.uint8)
    labels = np.empty((len(SPLITS[split]), *size), np.uint8)
    for index, number in enumerate(SPLITS[split]):
        image, mask = _slice(root, number)
        images[index] = image if size == SIZE else files.resize_image(image, size)
        labels[index] = mask if size == SIZE else files.resize_mask(mask, size)
    return images, labels


def instances(split: str) -> np.ndarray:
    """The cells of a split one by one: int32 ``[N, 512, 512]``, 0 membrane, 1..n in every slice. A cell is a
    4-connected piece of what is no membrane; the same cell has another number in the next slice."""
    return instances_of(load(split)[1])


def download(progress: bool = True) -> Path:
    """Fetch the data set from its public repository into the cache folder, check it, and return its folder.

    Nothing is fetched where a complete copy is in the cache. A new copy takes its place only after the sha256
    of every file has passed.
    """
    return _SET.install(URL, _member, verify, progress)


def verify(root: Path) -> None:
    """Check every file of the set below ``root``; raises the error of the first bad one."""
    for split in SPLITS.values():
        for number in split:
            _slice(root, number)


def _check_split(split):
    if split not in SPLITS:
        raise DataError(f"ISBI 2012 has no split {split!r}; there are {', '.join(SPLITS)}.")


def _slice(root, number):
    """Image uint8 ``[512, 512, 3]`` and ids uint8 ``[512, 512]`` of one section."""
    parts = [f"{kind}/{number}.png" for kind in ("image", "label")]
    contents = [_SET.read(root, part, manifest()) for part in parts]
    image = files.decode_image(contents[0], root / parts[0])
    mask = files.decode_mask(contents[1], root / parts[1])
    for part, pixels, error in ((parts[0], image, ImageError), (parts[1], mask, MaskError)):
        if pixels.shape[:2] != SIZE:
            raise error(f"{root / part}: {pixels.shape[:2]} pixels where ISBI 2012 has {SIZE}. {_SET.get}")
    return image, (mask > 127).astype(np.uint8)


def _member(name: str) -> str | None:
    """Where a member of the repository's archive goes; None for the rest of the repository."""
    path = name.partition("/")[2].removeprefix("data/membrane/train/")
    return path if path in manifest() else None

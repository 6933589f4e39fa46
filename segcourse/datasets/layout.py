"""Which file is the mask of which picture, in the folder layouts that people have. See ``data/folder.md``."""

import unicodedata
from collections import Counter
from pathlib import Path

from segcourse.datasets.errors import DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif",
    ".heic", ".heif",  # not read, but named
)  # fmt: skip
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
IMAGES = ("images", "JPEGImages", "leftImg8bit")
MASKS = ("masks", "labels", "SegmentationClass", "gtFine")

_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img")
# Where several sets of masks lie side by side, the first of these that is there.
_MASK_ENDINGS = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_mask")
_SIDE_BY_SIDE = "_mask"  # Roboflow: pictures and masks in one folder

Files = dict[str, Path]
Pairs = dict[str, tuple[Path, Path]]


def own_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """(images, masks) folders of the splits that are laid out as folders, by ``train``, ``val``, ``test``."""
    found = {}
    for split, words in SPLITS.items():
        for word in words:
            folders = _split_folders(root, word)
            if folders and (split != "test" or folders[1].is_dir()):  # pictures to predict are no test split
                found[split] = folders
    return found


def _split_folders(root, word):
    for images in (root / word / name for name in IMAGES):
        if images.is_dir():
            return images, _first(root / word)
    for name in IMAGES:
        if (root / name / word).is_dir():
            return root / name / word, _first(root, word)
    inside = root / word
    if inside.is_dir() and any(stem.endswith(_SIDE_BY_SIDE) for stem in listing(inside)):
        return inside, inside
    return None


def _first(root, *below):
    """The masks' folder that is there, or the one that should be."""
    folders = [root.joinpath(name, *below) for name in MASKS]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def whole(root: Path) -> tuple[Path, Path]:
    """(images, masks) folders of a set that is not divided."""
    images = next((root / name for name in IMAGES if (root / name).is_dir()), root / IMAGES[0])
    return images, _first(root)


def voc_lists(root: Path) -> dict[str, list[str]]:
    """Names of the pictures of each split, where Pascal VOC's ``ImageSets/Segmentation`` lists them."""
    files = {split: root / "ImageSets" / "Segmentation" / f"{split}.txt" for split in SPLITS}
    return {
        split: [_same(line.strip()) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for split, file in files.items()
        if file.is_file()
    }


def listing(folder: Path) -> Files:
    """Pictures in a folder and below it, by their path without its ending; hidden files are passed over.

    Raises:
        DataError: there is no such folder, or two files differ in their ending alone.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder. A data set needs images/ and masks/ with files of the same names."
        )
    found: Files = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in inside.parts):
            continue
        key = _same(inside.with_suffix("").as_posix())
        if key in found:
            raise DataError(f"{path}: has the same name as {found[key].name}. Keep one of the two.")
        found[key] = path
    return found


def _same(name):
    """One spelling for a name: Macs store é as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def match(image_folder: Path, mask_folder: Path, listed: list[str] | None = None) -> Pairs:
    """(image, mask) files by name, in its order.

    Names are equal up to the ending, or every mask has the name of its picture and the same addition, such as
    ``_mask``.

    Args:
        image_folder: the pictures.
        mask_folder: the masks; it may be the same folder, with ``a.jpg`` and ``a_mask.png``.
        listed: only these names; None takes all.

    Raises:
        DataError: no pictures, or a picture or mask without its partner; the message names them.
    """
    images, masks = listing(image_folder), listing(mask_folder)
    if image_folder == mask_folder:
        images = {key: path for key, path in images.items() if not key.endswith(_SIDE_BY_SIDE)}
        masks = {key: path for key, path in masks.items() if key not in images}
    for files, folder in ((images, image_folder), (masks, mask_folder)):
        if not files:
            raise DataError(
                f"{folder}: no pictures in it{_what_instead(folder)}. Put them there "
                f"({', '.join(sorted(SUFFIXES))})."
            )
    images, masks = _plain(images, masks)
    if listed is not None:
        images, masks = ({key: files[key] for key in listed if key in files} for files in (images, masks))
    for have, lack, folder, what in (
        (images, masks, mask_folder, "mask"),
        (masks, images, image_folder, "image"),
    ):
        alone = sorted(set(have) - set(lack))
        if alone:
            some = ", ".join(have[key].name for key in alone[:5]) + (", ..." if len(alone) > 5 else "")
            raise DataError(
                f"{folder}: no {what} for {len(alone)} file(s): {some}. Add the {what}, named alike, or "
                "remove the other."
            )
    if not images:
        raise DataError(f"{image_folder}: none of the {len(listed)} pictures of the list is in it.")
    return {key: (images[key], masks[key]) for key in sorted(images)}


def _what_instead(folder):
    endings = Counter(path.suffix.lower() for path in folder.iterdir() if not path.name.startswith("."))
    endings.pop("", None)
    return f", only {', '.join(f'{n} {ending}' for ending, n in endings.most_common(3))}" if endings else ""


def _plain(images, masks):
    """Both by the name that picture and mask have in common."""
    if not images.keys().isdisjoint(masks):
        return images, masks
    ending = next((end for end in _IMAGE_ENDINGS if all(key.endswith(end) for key in images)), "")
    images = {key.removesuffix(ending): path for key, path in images.items()}
    ending = _addition(images, masks)
    chosen = {key.removesuffix(ending): path for key, path in masks.items() if key.endswith(ending)}
    return images, chosen


def _addition(images, masks):
    """What most masks' names have after the name of a picture."""
    found = Counter(key[cut:] for key in masks for cut in range(1, len(key) + 1) if key[:cut] in images)
    if not found:
        return ""
    known = next((ending for ending in _MASK_ENDINGS if ending in found), None)
    return known or min(found, key=lambda ending: (-found[ending], len(ending)))

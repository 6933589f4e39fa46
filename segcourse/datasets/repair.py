"""Write a corrected copy of a folder data set: masks with ids, as large as their pictures."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segcourse.datasets import files, masks
from segcourse.datasets.errors import DataError, MaskError
from segcourse.datasets.folder import Folder
from segcourse.datasets.inspection import inspect
from segcourse.datasets.labels import VOID, LabelSpec

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def fix(
    root: str | Path,
    out: str | Path,
    mapping: Mapping[int, int] | None = None,
    turn: bool = False,
    watch: Callable[[Iterable], Iterable] = iter,
) -> dict[str, int]:
    """Write a copy of a folder data set whose masks are right; the folder itself stays as it is.

    What `inspect` can mend is mended: 255 becomes 1 in black-and-white masks of two classes, ids from 1 begin
    at 0, evenly spaced values become ids, colours become the ids that the class list gives them, and masks of
    another size are resized by nearest neighbour, or turned where they fit the picture as it is stored.

    Args:
        root: the folder.
        out: where the copy goes; it must not be there yet, or be empty.
        mapping: instead of the repair of ids: old and new id; others stay as they are.
        turn: turn every mask as its picture's EXIF entry says.
        watch: wraps the loop, for a progress bar.

    Returns:
        what was done, in words, and to how many masks. Empty if there was nothing to do: then nothing is
        written.

    Raises:
        MaskError: something cannot be mended, or the copy would not be right either; nothing is written.
        DataError: the folder is no data set, or `out` is not free.
    """
    folder, out = Folder(root), Path(out)
    _refuse_place(folder.root, out)
    report = inspect(root)
    if not (mapping or turn):
        _refuse(report, [finding for finding in report.errors if not finding.mends])
        if not any(finding.mends for finding in report.findings):
            return {}
    remap = masks.table_remap(mapping) if mapping else report.remap
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        done = _copy(folder, fresh, report.splits, remap, turn, watch)
        _refuse(report, inspect(fresh).errors)
        if out.is_dir():
            out.rmdir()
        fresh.chmod(0o755)  # what mkdtemp makes is for its owner alone
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return dict(done)


def _refuse_place(root, out):
    if out.resolve().is_relative_to(root.resolve()) or root.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{out}: the copy cannot lie in the data set itself. Give another folder as --out.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out}: there is something already. Give a new folder as --out.")


def _refuse(report, errors):
    if errors:
        raise MaskError(
            f"{report.root}: cannot be mended here. {' '.join(map(str, errors))} Nothing was written."
        )


def _copy(folder, fresh, splits, remap, turn, watch):
    divided = len(splits) > 1 and folder.divided
    jobs = [
        (fresh / split if divided else fresh, key, pair)
        for split in splits
        for key, pair in folder.named_pairs(split).items()
    ]
    done: Counter[str] = Counter()
    spec, colors = folder.spec(), folder.colors()
    for target, key, pair in watch(jobs):
        image = _below(target / "images", key, pair[0].suffix)
        shutil.copyfile(pair[0], image)
        ids, steps = _mended(pair, colors, remap, turn)
        done.update(steps)
        _write(_below(target / "masks", key, ".png"), ids, spec)
    own = folder.class_file
    shutil.copyfile(own, fresh / (own.name if own.parent == folder.root else "classes.csv"))
    return done


def _below(folder, key, suffix):
    path = folder / f"{key}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _mended(pair, colors, remap, turn):
    """The right ids of a mask, and what was done to get them."""
    image_path, mask_path = pair
    size, orientation = files.picture_size(image_path)
    picture = files.open_mask(files.read_bytes(mask_path), mask_path)
    ids, how = masks.read_loosely(picture, colors, mask_path)
    steps = [f"{how} -> ids"] if how else []
    if remap:
        before, ids = ids, remap.apply(ids)
        steps += [remap.text] if (before != ids).any() else []
    if ids.min() < 0 or ids.max() > VOID:
        raise MaskError(f"{mask_path}: values from {ids.min()} to {ids.max()} are no ids (0..{VOID}).")
    ids = ids.astype(np.uint8)
    if orientation > 1 and (turn or (orientation > 4 and ids.shape == size[::-1] != size)):
        ids = np.array(Image.fromarray(ids).transpose(_TURN[orientation]))
        steps.append("turned like its picture")
    if ids.shape != size:
        ids = files.resize_mask(ids, size)
        steps.append("resized by nearest neighbour")
    return ids, steps


def _write(path: Path, ids: np.ndarray, spec: LabelSpec) -> None:
    picture = Image.fromarray(ids)
    picture.putpalette(spec.colorize(np.arange(VOID + 1)).tobytes())
    picture.save(path)


def describe(done: Mapping[str, int]) -> list[str]:
    """The result of `fix` as lines of text."""
    return [f"{text}: {count} mask{'s' if count > 1 else ''}" for text, count in done.items()]

"""Read image and mask files, and resize them without harming a label."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segcourse.datasets.errors import DataError, ImageError, MaskError

_MASK_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
_IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read_bytes(path: Path | str) -> bytes:
    """Content of a file; :class:`DataError` where the system refuses it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions."
        ) from error


def _decode(content: bytes, path: Path | str, kind: type[DataError]) -> Image.Image:
    if not content:
        raise kind(f"{path}: the file is empty. Copy or download it again.")
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
        raise kind(
            f"{path}: not a readable image, or cut short ({type(error).__name__}: {error}). "
            "Copy or download it again; PNG and JPEG are sure to work."
        ) from error
    return picture


def decode_image(content: bytes, path: Path | str) -> np.ndarray:
    """Pixels of an encoded picture, turned upright as its EXIF entry says.

    Returns:
        uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageError: the bytes are damaged, or the picture has more than 8 bits a channel.
    """
    picture = _decode(content, path, ImageError)
    if picture.mode not in _IMAGE_MODES:
        raise ImageError(
            f"{path}: pixel format {picture.mode!r} has more than 8 bits a channel. Save it as 8-bit RGB or "
            "grey."
        )
    try:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except Exception as error:  # EXIF entries and palettes can be damaged too
        raise ImageError(
            f"{path}: cannot be turned into RGB ({error}). Save it again as PNG or JPEG."
        ) from error


def decode_mask(content: bytes, path: Path | str) -> np.ndarray:
    """Class ids of an encoded mask: grey values, or the indices of a palette picture.

    Returns:
        an integer array ``[H, W]``: uint8, or int32 for files with 16 or 32 bits a pixel.

    Raises:
        MaskError: the bytes are damaged, or the picture has colours where ids are needed.
    """
    picture = _decode(content, path, MaskError)
    if picture.mode not in _MASK_MODES:
        raise MaskError(
            f"{path}: pixel format {picture.mode!r} with {len(picture.getbands())} channel(s), but a mask "
            "needs one class id per pixel (an 8-bit grey or palette PNG). If its colours stand for classes, "
            "turn them into ids with LabelSpec.decolorize() and save those."
        )
    return np.array(picture).astype(np.uint8 if picture.mode in ("1", "L", "P") else np.int32)


def check_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """``size`` as (height, width), or a :class:`DataError` that says what is needed."""
    if size is None:
        return None
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"size={size!r}: give (height, width) in pixels, for example size=(96, 128)."
        ) from error
    if min(height, width) < 1:
        raise DataError(f"size={size!r}: height and width must be at least 1.")
    return height, width


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 ``[H, W, 3]`` to ``size`` (height, width): bilinear, area-averaged when shrinking."""
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 ``[H, W]`` to ``size`` (height, width) by nearest neighbour: no id is made up."""
    return np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))


def grey(images: np.ndarray) -> np.ndarray:
    """The brightness uint8 ``[..., 1]`` of colours uint8 ``[..., 3]``; three equal channels stay exact."""
    red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
    # Pillow's weights for "L": 0.299, 0.587 and 0.114 in parts of 2^16.
    return (((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16)[..., None]).astype(np.uint8)

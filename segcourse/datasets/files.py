"""Read image and mask files, and resize them without harming a label."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segcourse.datasets.errors import DataError, ImageError, MaskError

_MASK_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_WITH_PREVIEW = ("MPO",)  # a JPEG photograph whose further frames are its previews or its other eye
_ORIENTATION = 0x0112
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
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC:
        raise kind(f"{path}: a HEIC photograph, which is not read here. Save it as JPEG or PNG.")
    try:
        picture = Image.open(io.BytesIO(content))
        frames = getattr(picture, "n_frames", 1)
        if frames == 1 or picture.format in _WITH_PREVIEW:
            picture.load()
    except Image.DecompressionBombError as error:
        raise kind(
            f"{path}: too many pixels to be read at once ({error}). Shrink the picture, or cut it into parts."
        ) from error
    except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
        unknown = isinstance(error, UnidentifiedImageError)  # its words are the address of a buffer
        reason = "of no known format" if unknown else f"{type(error).__name__}: {error}"
        raise kind(
            f"{path}: not a readable image, or cut short ({reason}). "
            "Copy or download it again; PNG and JPEG are sure to work."
        ) from error
    if frames > 1 and picture.format not in _WITH_PREVIEW:
        raise kind(
            f"{path}: {frames} pages (or frames) in one {picture.format} file, and one picture is needed. "
            "Save every page as a file of its own."
        )
    return picture


def decode_image(content: bytes, path: Path | str) -> np.ndarray:
    """Pixels of an encoded picture, turned upright as its EXIF entry says.

    Returns:
        uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageError: the bytes are damaged, the file has several pages, too many pixels, or more than 8 bits a
            channel.
    """
    picture = _decode(content, path, ImageError)
    if picture.mode not in _IMAGE_MODES:
        raise ImageError(
            f"{path}: pixel format {picture.mode!r} is not read here (16 bits a channel, floating point or "
            "LAB). Save it as 8-bit RGB or grey."
        )
    try:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except Exception as error:  # EXIF entries and palettes can be damaged too
        raise ImageError(
            f"{path}: cannot be turned into RGB ({error}). Save it again as PNG or JPEG."
        ) from error


def picture_size(path: Path | str) -> tuple[tuple[int, int], int]:
    """(height, width) of an upright picture, and its EXIF orientation, 1 to 8, from the head of the file.

    The pixels are not decoded, so a file that is cut short later on passes.

    Raises:
        ImageError: the head is damaged.
    """
    try:
        with Image.open(path) as picture:
            # Pillow decodes a whole PNG in search of the entry, which few have.
            turned = picture.format != "PNG" or _has_exif(path)
            orientation = picture.getexif().get(_ORIENTATION, 1) if turned else 1
            width, height = picture.size
    except Exception as error:
        _decode(read_bytes(path), path, ImageError)  # says it in better words
        raise ImageError(
            f"{path}: its size cannot be read ({error}). Save it again as PNG or JPEG."
        ) from error
    orientation = orientation if orientation in range(1, 9) else 1
    return ((width, height) if orientation > 4 else (height, width)), orientation


def _has_exif(path):
    """Whether a PNG has such a chunk: each begins with its length and its name, and ends with a checksum."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def open_mask(content: bytes, path: Path | str) -> Image.Image:
    """An encoded mask in whatever pixel format it has.

    Raises:
        MaskError: the bytes are damaged, or the file has several pages.
    """
    return _decode(content, path, MaskError)


def decode_mask(content: bytes, path: Path | str) -> np.ndarray:
    """Class ids of an encoded mask: grey values, or the indices of a palette picture.

    Programs that write GIF number the palette anew, so in a GIF it is the grey level that counts.

    Returns:
        an integer array ``[H, W]``: uint8, or int32 for files with 16 or 32 bits a pixel.

    Raises:
        MaskError: the bytes are damaged, or the picture has colours where ids are needed.
    """
    picture = open_mask(content, path)
    if picture.format == "GIF":
        picture = gif_levels(picture)
    if picture.mode not in _MASK_MODES:
        raise MaskError(
            f"{path}: pixel format {picture.mode!r} with {len(picture.getbands())} channel(s), but a mask "
            "needs one class id per pixel (an 8-bit grey or palette PNG). If its colours stand for classes, "
            "`segcourse data fix` turns them into ids by the class list (in Python: LabelSpec.decolorize())."
        )
    return ids_of(picture)


def ids_of(picture: Image.Image) -> np.ndarray:
    """The values of a picture with one channel: uint8 ``[H, W]``, or int32 where it has more than 8 bits."""
    return np.array(picture).astype(np.uint8 if picture.mode in ("1", "L", "P") else np.int32)


def gif_levels(picture: Image.Image) -> Image.Image:
    """A GIF's colours, as grey ("L") if all are grey, else as "RGB"; its indices if colours are doubled."""
    colors = picture.convert("RGB")
    if picture.mode == "P" and len(colors.getcolors(2**24)) < len(picture.getcolors()):
        return Image.fromarray(np.array(picture))
    red, green, blue = colors.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else colors


def check_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """``size`` as (height, width), or a :class:`DataError` that says what is needed."""
    if size is None:
        return None
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"size={size!r}: give (height, width) in pixels, for example size=(96, 128), or --size 96x128."
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

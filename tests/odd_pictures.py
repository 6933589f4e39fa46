"""Pictures as people have them, odd in one way each, and what labelling them should come to.

`PICTURES` is a dict name of a file -> (function that writes it, outcome). The outcome is the (height, width)
of the labels, or a part of the message.
"""

import struct
import zlib

import numpy as np
from PIL import Image

SIZE = (24, 40)


def scene(size=SIZE):
    """A bright rectangle on a dark ground, uint8 [H, W, 3]."""
    image = np.full((*size, 3), 40, np.uint8)
    image[size[0] // 4 : size[0] // 2 + 1, size[1] // 4 : size[1] // 2 + 1] = 220
    return image


def _saved(mode="RGB", size=SIZE, **options):
    return lambda path: Image.fromarray(scene(size)).convert(mode).save(path, **options)


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _cut(path):
    _saved()(path)
    path.write_bytes(path.read_bytes()[:-200])


def _deep(path):
    Image.fromarray(scene()[..., 0].astype(np.uint16) * 257).save(path)


def _turned(path):
    exif = Image.Exif()
    exif[0x0112] = 8  # a quarter turn
    Image.fromarray(scene()).save(path, exif=exif)


def _pages(path):
    picture = Image.fromarray(scene())
    picture.save(path, save_all=True, append_images=[picture.rotate(180), picture])


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _enormous(path):
    """A PNG that says that it has 30000x10000 pixels; nobody has to write them to find out."""
    head = struct.pack(">IIBBBBB", 30000, 10000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(bytes(99))))


def _nowhere(path):
    path.symlink_to(path.parent / "gone" / path.name)


PICTURES = {
    "plain.png": (_saved(), SIZE),
    "LOUD.JPEG": (_saved(), SIZE),
    "old.jpe": (lambda path: _as(path, "JPEG"), SIZE),
    "from_the_web.jfif": (lambda path: _as(path, "JPEG"), SIZE),
    "moving.gif": (_pages, "pages (or frames)"),
    "scan.tif": (_pages, "pages (or frames)"),
    "modern.webp": (_saved(), SIZE),
    "ancient.bmp": (_saved(), SIZE),
    "no colour.png": (_saved("L"), SIZE),
    "no colour, see-through.png": (_saved("LA"), SIZE),
    "see-through.png": (_saved("RGBA"), SIZE),
    "two tones.png": (_saved("1"), SIZE),
    "palette.png": (_saved("P"), SIZE),
    "printer.jpg": (_saved("CMYK"), SIZE),
    "on its side.jpg": (_turned, SIZE[::-1]),
    "a pixel.png": (_saved(size=(1, 1)), (1, 1)),
    "a line.png": (_saved(size=(1, 37)), (1, 37)),
    "uneven.png": (_saved(size=(31, 53)), (31, 53)),
    "été [2] 写真.png": (_saved(), SIZE),
    "16 bit.png": (_deep, "16 bits a channel"),
    "cut short.png": (_cut, "cut short"),
    "nothing.png": (_bytes(b""), "empty"),
    "page.jpg": (_bytes(b"<!doctype html><title>Not found</title>"), "not a readable image"),
    "phone.HEIC": (_bytes(b"\0\0\0\x1cftypheic" + bytes(40)), "HEIC photograph"),
    "enormous.png": (_enormous, "exceeds limit"),
    "lost.png": (_nowhere, "cannot be read"),
}


def _as(path, form):
    Image.fromarray(scene()).save(path, form)

"""Folder data sets as people bring them, one oddity or fault each, drawn for the tests.

Every case starts from the same sound folder: a bright disc on dark ground, six pictures. A case changes it,
and says what must come of it: `RIGHT` where the labels must be read as they were drawn, else the words that
the error must have. `MENDED` holds the faults that `segcourse data fix` must put right.
"""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image

RIGHT = ""
COUNT, HEIGHT, WIDTH = 6, 24, 32
CASES, EXPECTED, MENDED = {}, {}, set()


def drawn(index, classes=2):
    """A picture uint8 [H,W,3] and its ids uint8 [H,W]; nothing in it is symmetric."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label in range(1, classes):
        center = 5 + (index + 3 * label) % 7, 6 + (5 * index + 9 * label) % 13
        ids[(rows - center[0]) ** 2 + (columns - center[1]) ** 2 < (4 + label % 3) ** 2] = label
    noise = np.random.default_rng(index).integers(-9, 10, (HEIGHT, WIDTH, 3))
    return (40 + 50 * (ids[..., None] % 4) + noise).astype(np.uint8), ids


def truth(classes=2):
    """The ids of all pictures, uint8 [N,H,W]."""
    return np.stack([drawn(index, classes)[1] for index in range(COUNT)])


def sound(root, names=("ground", "disc"), images="images", masks="masks"):
    for folder in (root / images, root / masks):
        folder.mkdir(parents=True)
    for index in range(COUNT):
        image, ids = drawn(index, len(names))
        Image.fromarray(image).save(root / images / f"shot{index}.png")
        Image.fromarray(ids).save(root / masks / f"shot{index}.png")
    (root / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def each(folder, change, suffix=".png", **options):
    """Put `change(picture)` in the place of every picture of a folder; None leaves one as it is."""
    for index, path in enumerate(sorted(folder.iterdir())):
        with Image.open(path) as opened:
            new = change(opened.copy(), index)
        if new is not None:
            path.unlink()
            new.save(path.with_suffix(suffix), **options)


def case(expected, mended=False):
    def add(build):
        name = build.__name__
        CASES[name], EXPECTED[name] = build, expected
        if mended:
            MENDED.add(name)
        return build

    return add


def of_values(change, **options):
    """A change of all masks by a function of their ids."""
    return lambda root: each(
        sound(root) / "masks", lambda mask, _: Image.fromarray(change(np.array(mask))), **options
    )


def add(name, expected, build, mended=False):
    build.__name__ = name
    case(expected, mended)(build)


# What masks hold.
add("sound", RIGHT, sound)
add("white", "0 .*and 255.*2 classes", of_values(lambda ids: ids * np.uint8(255)), mended=True)
add("white_16_bit", "65535", of_values(lambda ids: ids * np.uint16(65535)), mended=True)
add("white_jpeg", "0 .*and 255.*grey values", of_values(lambda ids: ids * np.uint8(255), suffix=".jpg"),
    mended=True)  # fmt: skip
add("ids_16_bit", RIGHT, of_values(lambda ids: ids.astype(np.uint16)))
add("floats", "floating-point", of_values(lambda ids: ids.astype(np.float32), suffix=".tif"), mended=True)
add("fractions", "shot0.tif.*whole", of_values(lambda ids: ids * np.float32(0.5), suffix=".tif"))
add("from_one", "start at 1", of_values(lambda ids: ids + np.uint8(1)), mended=True)
add("void_only", "void .255. everywhere", of_values(lambda ids: ids * 0 + np.uint8(255)))
add("one_class_only", "single id 0 .ground", of_values(lambda ids: ids * np.uint8(0)))
add("other_list", r"id 7 .*masks/shot0.png", of_values(lambda ids: ids * np.uint8(7)))
add("three_channels", "several channels", of_values(lambda ids: np.stack([ids] * 3, -1)), mended=True)
add("grey_and_alpha", "several channels", of_values(lambda ids: np.stack([ids, ids * 0 + 255], -1)),
    mended=True)  # fmt: skip
add("two_colours", "masks/shot0.*lists? gives 0 colours|gives 0 colours",
    of_values(lambda ids: np.uint8([[0, 0, 0], [200, 10, 10]])[ids]))  # fmt: skip


@case("masks are 0 and 255, while 3 have the ids.*masks/shot1.png", mended=True)
def white_and_ids(root):
    each(sound(root) / "masks", lambda mask, index: mask.point(lambda v: 255 * v) if index % 2 else None)


@case("evenly spaced", mended=True)
def spread(root):
    each(sound(root, ("ground", "disc", "ring")) / "masks", lambda mask, _: mask.point(lambda v: 127 * v))


@case("evenly spaced", mended=True)
def spread_by_40(root):
    each(sound(root, tuple("abcde")) / "masks", lambda mask, _: mask.point(lambda v: 40 * v))


@case("between the two")
def interpolated(root):
    names = tuple("abcdefghi")
    each(
        sound(root, names) / "masks",
        lambda mask, _: mask.resize((16, 12)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR),
    )


@case(RIGHT)
def one_bit(root):
    each(sound(root) / "masks", lambda mask, _: mask.point(lambda v: 255 * v).convert("1"))


def indexed(mask, colors):
    mask = mask.copy()
    mask.putpalette([part for color in colors for part in color])
    return mask


@case(RIGHT)
def palette_of_anyones_colours(root):
    each(sound(root) / "masks", lambda mask, _: indexed(mask, [(9, 9, 9), (250, 250, 250)]))


@case("palette.*other ids.*believed", mended=True)
def palette_in_another_order(root):
    sound(root)
    (root / "classes.txt").write_text("ground #102030\ndisc #c00000\n")
    swapped = [(0xC0, 0, 0), (0x10, 0x20, 0x30)]
    each(root / "masks", lambda mask, _: indexed(mask.point(lambda v: 1 - v), swapped))


@case("colours instead of ids", mended=True)
def colours_of_the_list(root):
    sound(root)
    (root / "classes.txt").write_text("ground #000000\ndisc #c00000\n")
    each(root / "masks", lambda mask, _: indexed(mask, [(0, 0, 0), (0xC0, 0, 0)]).convert("RGB"))


@case(RIGHT)
def gif_masks(root):
    each(sound(root) / "masks", lambda mask, _: mask, ".gif")


@case("0 .*and 255", mended=True)
def gif_white(root):
    each(sound(root) / "masks", lambda mask, _: mask.point(lambda v: 255 * v), ".gif")


# Sizes and turns.
@case("masks/shot2.png.*12x16 pixels.*shot2.png has 24x32")
def one_mask_half_as_large(root):
    path = sound(root) / "masks" / "shot2.png"
    Image.open(path).resize((16, 12), Image.Resampling.NEAREST).save(path)


@case("24x24.*another ratio")
def one_mask_cut(root):
    path = sound(root) / "masks" / "shot2.png"
    Image.open(path).crop((0, 0, 24, 24)).save(path)


def marked(picture, orientation, path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)


@case(RIGHT)
def turned_photographs(root):
    for path in (sound(root) / "images").iterdir():
        marked(Image.open(path).transpose(Image.Transpose.ROTATE_90), 6, path)


@case("24x32 pixels.*32x24.*as it is stored", mended=True)
def masks_not_turned(root):
    for path in (sound(root) / "images").iterdir():
        marked(Image.open(path).copy(), 6, path)


@case("shot3.png.*--size HEIGHTxWIDTH")
def pictures_of_two_sizes(root):
    sound(root)
    for kind in ("images", "masks"):
        path = root / kind / "shot3.png"
        Image.open(path).resize((40, 30), Image.Resampling.NEAREST).save(path)


# Files.
def spoil(name, content):
    def build(root):
        (sound(root) / name).write_bytes(content)

    return build


add("cut_short", "images/shot4.png.*cut short",
    lambda root: spoil("images/shot4.png", (sound(root.with_name("donor")) / "images/shot4.png")
                       .read_bytes()[:200])(root))  # fmt: skip
add("empty_file", "masks/shot5.png: the file is empty", spoil("masks/shot5.png", b""))
add("a_web_page", "shot1.png: not .*of no known format", spoil("images/shot1.png", b"<html>404</html>"))
add("heic", "shot1.png: a HEIC photograph.*JPEG", spoil("images/shot1.png", b"\0\0\0\x18ftypheic\0\0\0\0"))


@case("vol.tif: 3 pages.*file of its own")
def several_pages(root):
    sound(root)
    for kind in ("images", "masks"):
        pages = [Image.open(root / kind / f"shot{index}.png") for index in range(3)]
        pages[0].save(root / kind / "vol.tif", save_all=True, append_images=pages[1:])


@case("shot0.png.*16 bits a channel")
def sixteen_bit_pictures(root):
    images = sound(root) / "images"
    each(images, lambda image, _: Image.fromarray(np.array(image.convert("L")) * np.uint16(9)))


@case(RIGHT)
def litter(root):
    sound(root)
    for kind in ("images", "masks"):
        for name in (".DS_Store", "._shot0.png", "Thumbs.db", "desktop.ini"):
            (root / kind / name).write_bytes(b"\0\5\x16\7")


@case("ghost.png: cannot be read")
def dead_link(root):
    (sound(root) / "images" / "ghost.png").symlink_to("/nowhere.png")
    shutil.copy(root / "masks" / "shot0.png", root / "masks" / "ghost.png")


# Names and layouts.
def renamed(change):
    def build(root):
        for path in sorted((sound(root) / "masks").iterdir()):
            path.rename(path.with_name(change(path.stem) + ".png"))

    return build


for _ending in ("_mask", "_L", "-labels"):
    add(f"suffix{_ending}", RIGHT, renamed(lambda stem, end=_ending: stem + end))
add("no_partner", "no mask for 6 file", renamed(lambda stem: stem.replace("shot", "other")))


@case(RIGHT)
def two_spellings(root):
    sound(root)
    for kind, form in (("images", "NFC"), ("masks", "NFD")):
        name = unicodedata.normalize(form, "shot5é") + ".png"
        (root / kind / "shot5.png").rename(root / kind / name)


@case("shot0.png: has the same name as shot0.jpg")
def same_name_twice(root):
    shutil.copy(sound(root) / "images" / "shot0.png", root / "images" / "shot0.jpg")


add("labels_folder", RIGHT, lambda root: sound(root, masks="labels"))
add("voc_folders", RIGHT, lambda root: sound(root, images="JPEGImages", masks="SegmentationClass"))


@case(RIGHT)
def voc_lists(root):
    sound(root, images="JPEGImages", masks="SegmentationClass")
    (root / "JPEGImages" / "unlabelled.png").write_bytes(b"not looked at")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, numbers in {"train": range(4), "val": (4,), "test": (5,)}.items():
        (lists / f"{split}.txt").write_text("".join(f"shot{number}\n" for number in numbers))


SPLITS = {"train": range(4), "val": (4,), "test": (5,)}


def divided(root, images, masks, words=("train", "val", "test")):
    """The pictures of the three splits as files named by two patterns."""
    for word, numbers in zip(words, SPLITS.values(), strict=True):
        for number in numbers:
            for pattern, pixels in zip((images, masks), drawn(number), strict=True):
                path = root / pattern.format(split=word, name=f"shot{number}")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (root / "classes.txt").write_text("ground\ndisc\n")


add("three_splits", RIGHT, lambda root: divided(
    root, "{split}/images/{name}.png", "{split}/masks/{name}.png"))  # fmt: skip
add("valid_and_labels", RIGHT, lambda root: divided(
    root, "{split}/images/{name}.png", "{split}/labels/{name}.png", ("train", "valid", "test")))  # fmt: skip
add("splits_below", RIGHT, lambda root: divided(
    root, "images/{split}/{name}.png", "masks/{split}/{name}.png"))  # fmt: skip
add("cityscapes", RIGHT, lambda root: divided(
    root, "leftImg8bit/{split}/ulm/{name}_leftImg8bit.png", "gtFine/{split}/ulm/{name}_gtFine_labelIds.png"
))  # fmt: skip


@case(RIGHT)
def cityscapes_with_colours(root):
    CASES["cityscapes"](root)
    for path in list((root / "gtFine").rglob("*_labelIds.png")):
        for other in ("color", "instanceIds"):
            shutil.copy(path, path.with_name(path.name.replace("labelIds", other)))


@case(RIGHT)
def roboflow(root):
    divided(root, "{split}/{name}.png", "{split}/{name}_mask.png", ("train", "valid", "test"))
    (root / "classes.txt").unlink()
    (root / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, ground\n1, disc\n")


@case("no pictures in it, only 6 .txt")
def yolo_polygons(root):
    sound(root)
    for path in (root / "masks").iterdir():
        path.rename(path.with_suffix(".txt"))


# Class lists.
def listed(content, name="classes.txt"):
    def build(root):
        (sound(root) / "classes.txt").unlink()
        (root / name).write_bytes(content)

    return build


for _name, _expected, _content in (
    ("windows_list", RIGHT, "\ufeffground\r\ndisc\r\n\r\n".encode()),
    ("numbered_list", RIGHT, b"0: ground\n1: disc\n"),
    ("colours_first", RIGHT, b"0 0 0\tground\n128 0 0\tdisc\n"),
    ("labelme_list", RIGHT, b"__ignore__\n_background_\ndisc\n"),
    ("brackets", RIGHT, b"ground\ndisc [/old]\n"),
    ("header", r"classes.txt, line 1: 'name,r,g,b' looks like the head", b"name,r,g,b\nground,0,0,0\n"),
    ("header_alone", "line 1: 'Class' looks like the head", b"Class\nground\ndisc\n"),
    ("one_line", "one line with commas", b"ground, disc\n"),
    ("gap", "line 2: '2: disc' has the number 2 where id 1", b"0: ground\n2: disc\n"),
    ("comment", "line 1: the class has no name", b"# my classes\nground\ndisc\n"),
    ("utf_16", "no readable class list", "ground\ndisc\n".encode("utf-16")),
    ("latin_1", "no readable class list", "Straße\ndisc\n".encode("latin-1")),
):
    add(_name, _expected, listed(_content))
add("json_object", "a dict where a list", listed(b'{"0": "ground"}', "classes.json"))
add("table", RIGHT, listed(b"name,r,g,b\nground,0,0,0\ndisc,128,0,0\n", "class_dict.csv"))
add("table_gap", "line 3: id '2' where 1", listed(b"id,name\n0,ground\n2,disc\n", "classes.csv"))
add("table_colour", "line 2: colour x, 0, 0", listed(b"name,r,g,b\nground,x,0,0\n", "classes.csv"))
add("no_list", "0 class lists found", lambda root: (sound(root) / "classes.txt").unlink())
add("two_lists", "2 class lists found", lambda root: (sound(root) / "classes.json").write_text('["a", "b"]'))


def build(name: str, root: Path) -> Path:
    """The folder of a case, which is made below `root`."""
    CASES[name](root / name)
    return root / name

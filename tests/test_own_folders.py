"""Every folder that people bring ends in right labels or in an error that names the file; none in silence."""

import re
import warnings

import folder_cases
import numpy as np
import pytest
from folder_cases import CASES, EXPECTED, MENDED, RIGHT, build, drawn, marked, sound
from PIL import Image
from typer.testing import CliRunner

from segcourse import datasets
from segcourse.cli import app
from segcourse.datasets import files, inspection, masks, repair
from segcourse.datasets.errors import DataError, MaskError
from segcourse.datasets.folder import Folder
from segcourse.datasets.labels import LabelSpec


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["data", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


def use(root):
    """What a training does: the check, then the pictures; the labels of all splits in the order of names."""
    datasets.checked(root, Folder(root).splits(), report=str)
    return datasets.load(root, "all")[1]


@pytest.mark.parametrize("name", CASES)
def test_right_labels_or_a_named_error(name, tmp_path):
    root = build(name, tmp_path)
    if EXPECTED[name] == RIGHT:
        np.testing.assert_array_equal(use(root), folder_cases.truth())
        return
    with pytest.raises(DataError) as caught:
        use(root)
    assert re.search(EXPECTED[name], str(caught.value)), caught.value
    assert name in str(caught.value)  # the path


@pytest.mark.parametrize("name", sorted(MENDED))
def test_the_command_that_the_error_names_mends_a_copy(name, tmp_path):
    root = build(name, tmp_path)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(MaskError, match=f"segcourse data fix {root} --out {name}-fixed"):
        use(root)
    call("fix", root, "--out", tmp_path / "new")
    labels = use(tmp_path / "new")
    expected = folder_cases.truth(len(datasets.spec(root)))
    if name == "masks_not_turned":
        expected = np.rot90(expected, -1, axes=(1, 2))
    np.testing.assert_array_equal(labels, expected)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path.name for path in tmp_path.iterdir()} == {name, "new"}


def test_a_mask_of_another_size_is_resized_by_nearest_neighbour(tmp_path):
    root = build("one_mask_half_as_large", tmp_path)
    assert repair.fix(root, tmp_path / "new") == {"resized by nearest neighbour": 1}
    small = np.array(Image.open(root / "masks" / "shot2.png"))
    np.testing.assert_array_equal(use(tmp_path / "new")[2], files.resize_mask(small, (24, 32)))


@pytest.mark.parametrize("name", ["interpolated", "void_only", "several_pages", "one_mask_cut", "empty_file"])
def test_what_cannot_be_mended_is_named_and_nothing_is_written(name, tmp_path):
    root = build(name, tmp_path)
    with pytest.raises(MaskError, match=f"{name}: cannot be mended here.*Nothing was written"):
        repair.fix(root, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_ids_are_mapped_as_told(tmp_path):
    root = build("other_list", tmp_path)
    assert "--map OLD=NEW" in call("fix", root, "--out", tmp_path / "new", code=1)
    assert "7 -> 1: 6 masks" in call("fix", root, "--out", tmp_path / "new", "--map", "7=1")
    np.testing.assert_array_equal(use(tmp_path / "new"), folder_cases.truth())
    assert "for example 255=1" in call("fix", root, "--out", tmp_path / "b", "--map", "7", code=2)
    assert "id 9" in call("fix", root, "--out", tmp_path / "b", "--map", "7=9", code=1)


def test_a_copy_keeps_splits_and_never_lands_on_something(tmp_path):
    root = build("roboflow", tmp_path)
    for path in root.rglob("*_mask.png"):
        Image.open(path).point(lambda value: 255 * value).save(path)
    call("fix", root, "--out", tmp_path / "new")
    assert Folder(tmp_path / "new").splits() == ("train", "val", "test")
    np.testing.assert_array_equal(use(tmp_path / "new"), folder_cases.truth())
    assert "something already" in call("fix", root, "--out", tmp_path / "new", code=1)
    assert "in the data set itself" in call("fix", root, "--out", root / "new", code=1)
    assert "Nothing to mend" in call("fix", tmp_path / "new", "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_pictures_stored_upside_down_are_announced_and_masks_turned(tmp_path):
    root = sound(tmp_path / "set")
    for path in (root / "images").iterdir():
        marked(Image.open(path).copy(), 3, path)
    said = []
    datasets.checked(root, report=said.append)
    assert len(said) == 1 and "times as strong" in said[0] and "shot0.png" in said[0]
    assert repair.fix(root, tmp_path / "new", turn=True) == {"turned like its picture": 6}
    datasets.checked(tmp_path / "new", report=said.append)
    assert len(said) == 1
    np.testing.assert_array_equal(use(tmp_path / "new"), folder_cases.truth()[:, ::-1, ::-1])


def test_all_bad_masks_are_listed_at_once(tmp_path):
    root = sound(tmp_path / "set")
    for index in (1, 3):
        (root / "masks" / f"shot{index}.png").write_bytes(b"")
    for look in (lambda: datasets.checked(root), lambda: datasets.load(root, "all")):
        with pytest.raises(MaskError, match=r"shot1\.png.*shot3\.png"):
            look()


def test_notes_name_absent_and_rare_classes_and_void_masks(tmp_path):
    root = sound(tmp_path / "set")
    (root / "classes.txt").write_text("ground\ndisc\nbird [rare]\n")
    Image.fromarray(np.full((24, 32), 255, np.uint8)).save(root / "masks" / "shot0.png")
    said = []
    datasets.checked(root, report=said.append)
    assert any("Never in a mask: bird [rare] (2)" in note for note in said)
    assert any("void (255) everywhere" in note and "masks/shot0.png" in note for note in said)
    assert datasets.checked("toycam") is None
    with pytest.raises(DataError, match="no data set 'nowhere': give one of toycam"):
        datasets.checked("nowhere")


def test_mistakes_can_be_waved_through(tmp_path):
    said = []
    report = datasets.checked(build("white", tmp_path), report=said.append, strict=False)
    assert report.errors and "0 (" in said[0] and "255" in said[0]


def test_one_picture_can_be_looked_at_and_not_trained_on(tmp_path, monkeypatch):
    root = sound(tmp_path / "set")
    for path in [*root.glob("*/shot[1-9].png")]:
        path.unlink()
    monkeypatch.chdir(tmp_path)
    assert "note: One picture alone cannot be divided into train and val" in call("check", root)
    with pytest.raises(DataError, match="set: one picture cannot be split.*split all"):
        datasets.load(root, "train")


def test_a_single_split_may_show_one_class(tmp_path):
    root = build("one_class_only", tmp_path)
    assert datasets.checked(root, ("val",), report=str).errors == []


def test_void_beside_ids_is_no_black_and_white_mask(tmp_path):
    """As in Pascal VOC: a border of 255 around the objects, and pictures with nothing but ground and void."""
    root = sound(tmp_path / "set")
    for index, path in enumerate(sorted((root / "masks").iterdir())):
        ids = np.array(Image.open(path)) * np.uint8(index > 1)
        ids[:2] = 255
        Image.fromarray(ids).save(path)
    assert datasets.checked(root, report=str).findings == []


def test_check_shows_a_table_and_draws_a_sheet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = build("brackets", tmp_path)
    said = call("check", root)
    share = 100 * np.mean(folder_cases.truth() == 1)
    assert "pictures, train 4" in said and "24x32 (6)" in said and "Nothing is wrong" in said
    assert f"1 disc [/old] {share:.2f} % 6" in said
    sheet = np.array(Image.open(tmp_path / "brackets-check.png").convert("RGB"))
    assert sheet.shape[1] > 1000 and len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50
    call("check", root)  # its own sheet is drawn anew
    Image.fromarray(sheet).save(tmp_path / "brackets-check.png")
    assert "Give another --picture" in call("check", root, code=2)
    call("check", root, "--picture", tmp_path / "other.png")


def test_check_finds_damaged_pictures_and_names_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = call("check", build("cut_short", tmp_path), code=1)
    assert "images/shot4.png" in said and "cut short" in said
    root = build("white", tmp_path)
    assert f"segcourse data fix {root} --out white-fixed" in call("check", root, code=1)
    said = call("check", build("other_list", tmp_path), code=1)
    assert "7 no class" in said


def test_a_picture_of_too_many_pixels_is_named(monkeypatch, tmp_path):
    root = sound(tmp_path / "set")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32 // 2 - 1)
    with warnings.catch_warnings(), pytest.raises(DataError, match=r"shot0\.png: too many pixels"):
        warnings.simplefilter("ignore")
        files.decode_image((root / "images" / "shot0.png").read_bytes(), root / "images" / "shot0.png")


def test_a_photograph_with_a_preview_is_one_picture(tmp_path):
    photo = Image.fromarray(drawn(0)[0])
    photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[photo.resize((8, 6))])
    assert files.decode_image((tmp_path / "a.jpg").read_bytes(), "a.jpg").shape == (24, 32, 3)


@pytest.mark.parametrize(("orientation", "late"), [(6, False), (6, True), (3, True), (1, False)])
def test_sizes_come_from_the_head_of_a_file(tmp_path, orientation, late):
    """An EXIF entry may stand behind the pixels of a PNG."""
    path = tmp_path / "a.png"
    marked(Image.fromarray(drawn(0)[0]), orientation, path)
    if late:
        content = path.read_bytes()
        start = content.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        path.write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    size = (32, 24) if orientation > 4 else (24, 32)
    assert files.picture_size(path) == (size, orientation)
    assert files.decode_image(path.read_bytes(), path).shape[:2] == size


def test_a_gif_counts_by_its_grey_levels(tmp_path):
    """Programs renumber the palette: of the ids 0 and 2, the second may have become index 1."""
    ids = np.where(drawn(0)[1], 2, 0).astype(np.uint8)
    picture = Image.fromarray((ids > 0).astype(np.uint8))
    picture.putpalette([0, 0, 0, 2, 2, 2])
    picture.save(tmp_path / "a.gif")
    np.testing.assert_array_equal(files.decode_mask((tmp_path / "a.gif").read_bytes(), "a.gif"), ids)


def test_an_unknown_test_split_says_where_it_goes(tmp_path):
    with pytest.raises(DataError, match="no test split.*test/images"):
        datasets.load(sound(tmp_path / "set"), "test")
    with pytest.raises(DataError, match="has the split.* train, val, test but no|no split 'dev'"):
        datasets.load(build("three_splits", tmp_path), "dev")
    assert len(datasets.load(tmp_path / "three_splits", "test")[0]) == 1


def test_the_judgement_needs_no_more_than_counts():
    """Masks are looked at one by one, so that a set of any size can be judged."""
    spec = LabelSpec("three", ("a", "b", "c"), ((0, 0, 0),) * 3)
    seen = [masks.Seen.of(f"{index}", np.array([[0, 85, 170, 255]])) for index in range(3)]
    assert masks.fault(seen, spec).remap is None  # four levels, three classes
    seen = [masks.Seen.of(f"{index}", np.array([[0, 128, 255]])) for index in range(3)]
    assert masks.fault(seen, spec).remap.text == "128 -> 1, 255 -> 2"
    assert masks.fault([masks.Seen.of("a", np.array([[0, 1, 2, 255]]))], spec) is None


def test_a_finding_names_ten_files_and_counts_the_others():
    text = str(inspection.Finding("Bad.", tuple(f"m{index}.png" for index in range(13))))
    assert text == f"Bad. (13: {', '.join(f'm{index}.png' for index in range(10))} and 3 more)"

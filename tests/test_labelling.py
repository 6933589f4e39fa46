"""Pictures to label files: every kind of picture, names that collide, and files that must not be lost."""

import os
import shutil

import keras
import numpy as np
import odd_pictures
import pytest
from PIL import Image
from typer.testing import CliRunner

from segcourse.cli import app
from segcourse.datasets import DataError
from segcourse.datasets.labels import LabelSpec
from segcourse.runs import BadRequest, check_targets, jobs, label_file, labelling, models, tiles

SPEC = LabelSpec("two", ("ground", "thing [/b]"), ((0, 0, 0), (250, 200, 0)))


def bright(images):
    """A stand-in for a network: labels of one image or several by their brightness."""
    return (images.mean(-1) > 127).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path):
    """Three pictures with names for `predict`."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.jpg"):
        Image.fromarray(odd_pictures.scene()).save(folder / name)
    return folder


def todo(folder, out):
    return jobs(sorted(folder.iterdir()), out)


def ids(path):
    return np.array(Image.open(path))


@pytest.mark.parametrize("name", odd_pictures.PICTURES)
def test_every_kind_of_picture_is_labelled_or_named(name, tmp_path):
    write, outcome = odd_pictures.PICTURES[name]
    write(tmp_path / name)
    (job,) = jobs([tmp_path / name], tmp_path / "out")
    if isinstance(outcome, str):
        with pytest.raises(DataError) as caught:
            label_file(job, bright, SPEC)
        assert outcome in str(caught.value) and name in str(caught.value)
        assert not (tmp_path / "out").exists()
    else:
        label_file(job, bright, SPEC)
        assert ids(job.labels).shape == ids(job.overlay).shape[:2] == outcome


def test_all_of_them_at_once_by_the_command(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, (write, _) in odd_pictures.PICTURES.items():
        write(folder / name)
    for name in ("._plain.png", ".DS_Store", "notes.txt"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "more").mkdir()
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Conv2D(11, 1)(image)).save(tmp_path / "model.keras")
    arguments = ["predict", str(tmp_path / "model.keras"), str(folder), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    good = [name for name, (_, outcome) in odd_pictures.PICTURES.items() if not isinstance(outcome, str)]
    assert result.exit_code == 1
    assert f"{len(good)} of {len(odd_pictures.PICTURES)} images labelled" in result.output
    assert result.output.count("error:") == len(odd_pictures.PICTURES) - len(good)
    assert "names: notes.txt\n" in result.output and "left out, folders: more. Give" in result.output
    assert "scan.tif: 3 pages" in result.output
    assert "names and colours are those of camvid" in result.output
    assert len(list((tmp_path / "out" / "labels").iterdir())) == len(good)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg-2", "a.jpg", "a.png"]),
        (["A.png", "a.png"], ["A.png", "a.png-2"]),
        (["caf\u00e9.png", "cafe\u0301.jpg"], ["cafe\u0301.jpg", "caf\u00e9.png"]),
    ],
)
def test_no_two_pictures_share_an_output(names, expected, tmp_path):
    found = jobs([tmp_path / name for name in sorted(names)], tmp_path / "out")
    assert sorted(job.labels.stem for job in found) == sorted(expected)
    assert len({labelling._key(job.labels.name) for job in found}) == len(names)


def test_its_own_results_are_replaced_in_silence(pictures, tmp_path):
    for _ in range(2):
        assert check_targets(todo(pictures, tmp_path / "out")) == []
        for job in todo(pictures, tmp_path / "out"):
            label_file(job, bright, SPEC)
    np.testing.assert_array_equal(ids(tmp_path / "out/labels/a.png"), bright(odd_pictures.scene()))


def foreign_masks(out):
    (out / "labels").mkdir(parents=True)
    Image.fromarray(bright(odd_pictures.scene()) * 7).save(out / "labels/b.png")


def linked_masks(out):
    foreign_masks(out.with_name("elsewhere"))
    out.mkdir()
    (out / "labels").symlink_to(out.with_name("elsewhere") / "labels")


def a_link(out):
    foreign_masks(out.with_name("elsewhere"))
    (out / "labels").mkdir(parents=True)
    (out / "labels/b.png").symlink_to(out.with_name("elsewhere") / "labels/b.png")


def a_broken_link(out):
    (out / "labels").mkdir(parents=True)
    (out / "labels/b.png").symlink_to(out / "nowhere.png")


@pytest.mark.parametrize("prepare", [foreign_masks, linked_masks, a_link, a_broken_link])
def test_what_somebody_else_wrote_stays(prepare, pictures, tmp_path):
    out = tmp_path / "out"
    prepare(out)
    with pytest.raises(BadRequest, match=r"1 file\(s\) in the way.*labels/b.png.*--force"):
        check_targets(todo(pictures, out))
    assert check_targets(todo(pictures, out), force=True) == [out / "labels/b.png"]


def test_a_link_is_replaced_and_not_what_it_leads_to(pictures, tmp_path):
    out = tmp_path / "out"
    a_link(out)
    before = ids(tmp_path / "elsewhere/labels/b.png")
    for job in todo(pictures, out):
        label_file(job, bright, SPEC)
    np.testing.assert_array_equal(ids(tmp_path / "elsewhere/labels/b.png"), before)
    assert not (out / "labels/b.png").is_symlink()


def test_labels_corrected_by_hand_stay(pictures, tmp_path):
    """An editor may keep what is written about a file's origin; the pixels tell."""
    from PIL.PngImagePlugin import PngInfo

    for job in todo(pictures, tmp_path / "out"):
        label_file(job, bright, SPEC)
    path, notes = tmp_path / "out/labels/b.png", PngInfo()
    with Image.open(path) as picture:
        notes.add_text("Software", picture.info["Software"])
        picture.putpixel((0, 0), 1)
        picture.save(path, pnginfo=notes)
    with pytest.raises(BadRequest, match="changed since: .*b.png"):
        check_targets(todo(pictures, tmp_path / "out"))


def test_a_picture_is_never_replaced_by_its_labels(pictures, tmp_path):
    for job in todo(pictures, tmp_path / "out"):
        label_file(job, bright, SPEC)
    again = jobs(sorted((tmp_path / "out/overlay").iterdir()), tmp_path / "out")
    with pytest.raises(BadRequest, match="is a picture to be labelled"):
        check_targets(again, force=True)
    shutil.rmtree(tmp_path / "out/labels")
    os.symlink(pictures, tmp_path / "out/labels")
    with pytest.raises(BadRequest, match="is a picture to be labelled"):
        check_targets(todo(pictures, tmp_path / "out"), force=True)


def test_one_picture_that_the_network_refuses_is_named_with_its_size(pictures, tmp_path):
    def out_of_memory(image):
        raise MemoryError

    with pytest.raises(DataError, match="a.png: 24x40 pixels cannot be labelled: MemoryError"):
        label_file(todo(pictures, tmp_path / "out")[0], out_of_memory, SPEC)


def test_pictures_of_many_sizes_are_compiled_for_twice(tmp_path, monkeypatch):
    """The second size makes TensorFlow compile for all sizes, so that no picture has to be filled up."""
    traced = []

    class Counted(keras.layers.Conv2D):
        def call(self, inputs):
            traced.append(tuple(inputs.shape))
            return super().call(inputs)

    image = keras.Input((None, None, 3))
    model = keras.Model(image, Counted(2, 3, padding="same")(image))
    monkeypatch.setattr(models, "load_model", lambda path: model)
    label = models.Labeller(tmp_path / "model.keras")
    traced.clear()
    scenes = [odd_pictures.scene((side, side + 3)) for side in range(20, 34, 2)]
    found = [label(scene) for scene in scenes]
    assert traced == [(1, 20, 23, 3), (1, None, None, 3)]
    for scene, ids_of_it in zip(scenes, found, strict=True):
        np.testing.assert_array_equal(ids_of_it, np.argmax(model(scene[None]), -1)[0])


@pytest.mark.parametrize("size", [(300, 700), (256, 257), (5, 600), (1, 1000), (513, 40)])
def test_tiles_give_what_the_whole_picture_gives(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)

    def smoothed(images):
        """Depends on 31 pixels around, fewer than a tile's context of 32; mirrored beyond the edges."""
        from scipy import ndimage

        seen = ndimage.uniform_filter(images.astype(int), (0, 31, 31, 0), mode="mirror")
        return (seen.mean(-1) > 127).astype(np.uint8)

    found = tiles.labels(smoothed, image, 256)
    np.testing.assert_array_equal(found, smoothed(image[None])[0])
    assert 0.1 < found.mean() < 0.9


def test_pictures_are_cut_from_two_megapixels_on_or_as_asked():
    assert tiles.side((1024, 2048)) is None and tiles.side((1025, 2048)) == tiles.SIDE
    assert tiles.side((300, 200), 256) == 256 and tiles.side((256, 200), 256) is None
    with pytest.raises(BadRequest, match="--tile 250: .*multiple of 32.*for example 256"):
        tiles.check(250)

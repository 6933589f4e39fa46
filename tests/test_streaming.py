"""Folders that are read from disk: the same batches as from memory, in bounded memory, cached as asked."""

import numpy as np
import pytest
import tensorflow as tf
from folder_cases import build, drawn, sound
from PIL import Image

from segcourse import datasets
from segcourse.datasets import streaming
from segcourse.datasets.errors import DataError, ImageError

VIEWS = {"plain": None, "augmented": datasets.Augment()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sound(tmp_path_factory.mktemp("stream") / "set")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path / "cache"))


def same(one, other):
    """Whether two datasets have the same batches, bit for bit."""
    pairs = list(zip(one.as_numpy_iterator(), other.as_numpy_iterator(), strict=True))
    return bool(pairs) and all(np.array_equal(*parts) for pair in pairs for parts in zip(*pair, strict=True))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("options", [{}, {"crop": (16, 20)}], ids=["whole", "crop"])
@pytest.mark.parametrize("cache", [False, True], ids=["decoded", "cached"])
def test_its_epochs_are_those_of_the_arrays(root, view, options, cache):
    """So a training can be resumed, and gives what it would have given from memory."""
    options = {"augment": VIEWS[view], "seed": 4, **options}
    size = (20, 28)
    arrays = datasets.epochs(*datasets.load(root, "all", size), 2, **options)
    stream = datasets.Stream(root, "all", size, cache=cache).epochs(2, **options)
    for epoch in (3, 0):  # whatever was drawn before
        assert len(stream(epoch)) == 3 and same(stream(epoch), arrays(epoch))
    assert not same(stream(0), stream(1))
    assert stream(0).element_spec == arrays(0).element_spec


def test_a_training_takes_it_and_resumes(root, tmp_path):
    import keras

    from segcourse import training

    def fit(epochs, folder):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((24, 32, 3)), keras.layers.Conv2D(2, 3, padding="same")])
        training.compile(model, "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        stream = datasets.Stream(root, "all")
        training.fit(model, stream.epochs(2), epochs=epochs, monitor="loss", folder=folder)
        return training.fit(model, stream.epochs(2), epochs=2, monitor="loss", folder=folder)["loss"]

    assert fit(1, tmp_path / "resumed") == pytest.approx(fit(2, tmp_path / "whole"), rel=1e-6)


def test_every_picture_in_order(root):
    images, labels = datasets.load(root, "val")
    stream = datasets.Stream(root, "val")
    assert len(stream) == 2 and stream.size == (24, 32) and stream.nbytes == images.nbytes + labels.nbytes
    np.testing.assert_array_equal(np.stack([image for image, _ in stream]), images)
    np.testing.assert_array_equal(stream[-1][1], labels[-1])
    assert same(stream.batches(4), datasets.pipeline(images, labels, 4))


def test_grey_is_brightness_in_three_channels(root):
    image, _ = datasets.Stream(root, "val").in_grey()[0]
    expected = np.array(Image.fromarray(datasets.load(root, "val")[0][0]).convert("L"))
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, -1))


def test_pictures_of_different_sizes_are_trained_on_crops_and_scored_one_by_one(tmp_path):
    root = build("pictures_of_two_sizes", tmp_path)
    stream = datasets.Stream(root, "all")
    assert stream.size is None and stream.nbytes == 4 * (5 * 24 * 32 + 30 * 40)
    crop = datasets.Augment(flip=False, scale=(1, 1), crop=(16, 20), brightness=0, contrast=0, saturation=0,
                            hue=0, blur=0)  # fmt: skip
    first = list(stream.epochs(3, augment=crop, seed=1)(0).as_numpy_iterator())
    assert [images.shape for images, _ in first] == [(3, 16, 20, 3)] * 2
    for image, labels in ((i, m) for images, masks in first for i, m in zip(images, masks, strict=True)):
        found = [_inside(image, whole) & _inside(labels, mask) for whole, mask in stream]
        assert any(map(np.any, found))  # a window of one of the pictures, with its mask
    assert same(stream.epochs(3, crop=(16, 20), seed=1)(0), stream.epochs(3, augment=crop, seed=1)(0))
    assert [tuple(image.shape[1:3]) for image, _ in stream.batches(1)][3] == (30, 40)
    for refused in (lambda: stream.epochs(2), lambda: stream.batches(2)):
        with pytest.raises(DataError, match="2 different sizes.*--size HEIGHTxWIDTH.*--crop"):
            refused()


def _inside(part, whole):
    """Where a window lies in a picture: bool [rows, columns] of its top left corners."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    equal = (windows == part).all(axis=tuple(range(whole.ndim, windows.ndim)))
    return equal.reshape(equal.shape[:2])


def test_the_cache_is_one_file_that_is_used_again_until_a_picture_changes(root, tmp_path, monkeypatch):
    copy = sound(tmp_path / "set")
    before = datasets.Stream(copy, "all", cache=True)
    (file,) = (tmp_path / "cache" / "streams").iterdir()
    assert file.stat().st_size == before.nbytes
    with monkeypatch.context() as patch:
        patch.setattr(streaming.Folder, "read", None)  # not decoded again
        np.testing.assert_array_equal(datasets.Stream(copy, "all", cache=True)[2][0], drawn(2)[0])
    Image.fromarray(drawn(5)[0]).save(copy / "images" / "shot2.png", compress_level=1)
    np.testing.assert_array_equal(datasets.Stream(copy, "all", cache=True)[2][0], drawn(5)[0])


def test_a_cache_that_cannot_be_made_leaves_nothing_and_names_the_files(tmp_path, monkeypatch):
    root = build("cut_short", tmp_path)
    with pytest.raises(ImageError, match=r"shot4\.png.*cut short"):
        datasets.Stream(root, "all", cache=True)
    assert list((tmp_path / "cache" / "streams").iterdir()) == []
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match=r"0\.0 GB are free.*SEGCOURSE_DATA"):
        datasets.Stream(sound(tmp_path / "set"), "all", cache=True)


def test_a_damaged_file_is_named_when_its_batch_is_made(tmp_path):
    data = datasets.Stream(build("cut_short", tmp_path), "all").epochs(6)(0)
    with pytest.raises(tf.errors.OpError, match=r"shot4\.png.*cut short"):
        list(data)


@pytest.mark.parametrize(("size", "says"), [(7, "at most 6"), (0, "at least 1")])
def test_bad_batches(root, size, says):
    with pytest.raises(DataError, match=says):
        datasets.Stream(root, "all").epochs(size)


def test_memory_does_not_grow_with_the_set(root, monkeypatch):
    """No more pictures are decoded ahead than the readers, the views and the two batches in waiting hold."""
    stream = datasets.Stream(root, "all")
    count, batch, decoded = 400, 2, []
    stream._pairs, stream.sizes = stream._pairs[:1] * count, stream.sizes[:1] * count
    read = stream._folder.read
    monkeypatch.setattr(stream._folder, "read", lambda *pair: decoded.append(1) or read(*pair))
    batches = iter(stream.epochs(batch)(0))
    for taken in range(1, 60):
        next(batches)
        ahead = len(decoded) - batch * taken
        assert ahead <= 3 * streaming._READERS + batch * (2 + 3 * streaming._VIEWERS)

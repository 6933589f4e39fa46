"""ToyCam: the pixels are pinned, the labels follow from the layers, the cache heals itself."""

import hashlib

import numpy as np
import pytest

from segcourse.datasets import toycam
from segcourse.datasets.toycam.world import POLE

DIGEST = "8d8564ce2ea9d053e3ed7a5922311ec1908992e8dc3a477777f2fed08e2bdadb"
LAYERS_DIGEST = "7afccc7b773907df0046d0dbe517a93c3609bd413d1ff53fd4b95d0bf3540999"
SCENES = 24


@pytest.fixture(scope="module")
def scenes():
    return [toycam.scene(0, index) for index in range(SCENES)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    monkeypatch.setattr(toycam, "SPLITS", {"train": (0, 5), "val": (1, 3), "test": (2, 3)})
    return tmp_path


def test_pixels_are_pinned():
    digest = hashlib.sha256()
    for seed, start, size in ((0, 0, (96, 128)), (1, 90, (96, 128)), (2, 7, (61, 83)), (0, 0, (180, 240))):
        images, labels = toycam.render(seed, 8, size, start)
        digest.update(images.tobytes() + labels.tobytes())
    assert digest.hexdigest() == DIGEST


def test_depth_and_layers_are_pinned(scenes):
    digest = hashlib.sha256()
    for s in scenes:
        digest.update(s.depth.tobytes())
        for layer in s.layers:
            digest.update(repr((layer.class_id, *map(int, layer.box))).encode())
            digest.update(layer.depth.tobytes() + layer.alpha.tobytes())
    assert digest.hexdigest() == LAYERS_DIGEST


def test_a_scene_does_not_depend_on_what_was_drawn_before(scenes):
    toycam.scene(9, 9, (40, 50))
    images, labels = toycam.render(0, 3, start=5)
    for number in (2, 0, 1):
        again = toycam.scene(0, 5 + number)
        assert np.array_equal(images[number], again.image) and np.array_equal(labels[number], again.labels)
        assert np.array_equal(again.image, scenes[5 + number].image)
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], toycam.scene(1, 5).image)


def test_types_and_class_presence(scenes):
    for s in scenes:
        assert s.image.shape == (96, 128, 3) and s.image.dtype == np.uint8
        assert s.labels.shape == s.depth.shape == (96, 128)
        assert s.labels.dtype == np.uint8 and s.depth.dtype == np.float32
        assert s.labels.max() < len(toycam.CLASSES) == 11
    _, labels = toycam.render(0, 120)
    share = np.bincount(labels.ravel(), minlength=11) / labels.size
    present = [(labels == c).any(axis=(1, 2)).mean() for c in range(11)]
    assert share.min() > 0.006, dict(zip(toycam.CLASSES, share.round(4), strict=True))
    assert share.max() < 0.4
    assert min(present) > 0.5, dict(zip(toycam.CLASSES, present, strict=True))


def test_labels_and_depth_are_those_of_the_topmost_solid_layer(scenes):
    for s in scenes:
        labels = np.full(s.labels.shape, 255, np.uint8)
        depth = np.zeros(s.labels.shape, np.float32)
        for layer in s.layers:
            top, left, bottom, right = layer.box
            assert layer.alpha.shape == (bottom - top, right - left) and layer.alpha.dtype == np.float32
            assert layer.alpha.min() >= 0 and layer.alpha.max() <= 1.0001
            where = np.zeros(labels.shape, bool)
            where[top:bottom, left:right] = layer.alpha >= 0.5
            labels[where] = layer.class_id
            depth[where] = np.broadcast_to(layer.depth, layer.alpha.shape)[layer.alpha >= 0.5]
        assert np.array_equal(labels, s.labels)
        assert np.array_equal(depth, s.depth)


def test_things_are_painted_far_to_near(scenes):
    for s in scenes:
        assert np.isinf(s.depth[s.labels == 0]).all()
        assert np.isfinite(s.depth[s.labels != 0]).all() and s.depth.min() > 0
        middles = [t.z + t.length * (1.0 if t.kind == "house" else 0.5) for t in s.world.things]
        assert middles == sorted(middles, reverse=True)


def test_ground_depth_is_that_of_the_pinhole_camera(scenes):
    s = scenes[0]
    camera, row = s.world.camera, 95
    focal, horizon = camera.focal * 128, camera.horizon * 96
    road = s.labels[row] == toycam.CLASSES.index("road")
    assert road.any()
    assert np.allclose(s.depth[row][road], camera.height * focal / (row + 0.5 - horizon), rtol=1e-5)


def test_poles_are_thin_but_never_vanish(scenes):
    widths = []
    for s in scenes:
        for layer in s.layers:
            height, width = layer.alpha.shape
            if layer.class_id == POLE and height > 3 * width:  # posts, not the arms of lamps
                solid = (layer.alpha >= 0.5).sum(axis=1)
                assert solid[1:-1].min(initial=9) >= 1
                widths.append(int(np.median(solid)))
    assert len(widths) > SCENES
    assert np.median(widths) <= 2 and np.mean(np.array(widths) <= 3) > 0.9


def test_sizes_of_one_class_span_a_tenfold_range(scenes):
    heights = [layer.alpha.shape[0] for s in scenes for layer in s.layers if layer.class_id in (8, 9, 10)]
    assert max(heights) >= 10 * min(heights)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 96), (97, 131), (180, 240), (360, 480)])
def test_other_sizes_show_the_same_world(size):
    large, small = toycam.scene(4, 11, size), toycam.scene(4, 11)
    assert large.image.shape == (*size, 3) and large.labels.shape == size
    assert large.world == small.world
    rows = (np.arange(96) + 0.5) / 96 * size[0]
    columns = (np.arange(128) + 0.5) / 128 * size[1]
    if size == (360, 480):  # the same shape of picture, so the labels must agree but for outlines
        seen = large.labels[rows.astype(int)[:, None], columns.astype(int)]
        assert (seen == small.labels).mean() > 0.9


def test_load_caches_whole_splits(cache):
    images, labels = toycam.load("val", size=(32, 40), count=2)
    assert images.shape == (2, 32, 40, 3) and labels.shape == (2, 32, 40)
    (path,) = cache.iterdir()
    assert path.name == f"toycam-v{toycam.VERSION}-val-32x40.npz"
    stamp = path.stat().st_mtime_ns
    again, _ = toycam.load("val", size=(32, 40))
    assert path.stat().st_mtime_ns == stamp and len(again) == 3
    assert np.array_equal(again[:2], images)
    assert np.array_equal(again[1], toycam.scene(1, 1, (32, 40)).image)
    assert len(toycam.load("val", size=(32, 40), count=0)[0]) == 0


def damage_truncated(path):
    path.write_bytes(path.read_bytes()[:500])


def damage_text(path):
    path.write_text("not an archive")


def damage_other_shape(path):
    np.savez(path, images=np.zeros((3, 8, 8, 3), np.uint8), labels=np.zeros((3, 8, 8), np.uint8))


def damage_bytes(path):
    data = bytearray(path.read_bytes())
    data[3000:3100] = bytes(100)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [damage_truncated, damage_text, damage_other_shape, damage_bytes])
def test_a_damaged_cache_file_is_rendered_again(cache, damage):
    images, labels = toycam.load("test", size=(32, 40))
    (path,) = cache.iterdir()
    damage(path)
    again, labels_again = toycam.load("test", size=(32, 40))
    assert np.array_equal(again, images) and np.array_equal(labels_again, labels)
    with np.load(path) as file:
        assert np.array_equal(file["images"], images)
    assert list(cache.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing_behind(cache, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        toycam.load("val", size=(32, 40))
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: toycam.load("training"), "'training'.*train, val, test"),
        (lambda: toycam.load("val", count=101), "101.*100"),
        (lambda: toycam.load("val", count=-1), "-1"),
        (lambda: toycam.scene(0, 0, (31, 128)), r"\(31, 128\).*at least 32"),
        (lambda: toycam.scene(0, 0, (96,)), "rows, columns"),
        (lambda: toycam.scene(0, 0, (96.5, 128)), "whole numbers"),
        (lambda: toycam.scene(0, -1), "-1.*0 or more"),
        (lambda: toycam.scene(-2, 0), "-2.*0 or more"),
        (lambda: toycam.render(0, -3), "-3"),
    ],
)
def test_bad_input_says_what_is_needed(call, message):
    with pytest.raises(ValueError, match=message):
        call()

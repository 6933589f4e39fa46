"""Cells: the pixels are pinned, the labels keep neighbours apart, the pictures are no toys."""

import hashlib

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage import filters, measure

from segcourse import datasets
from segcourse.datasets import DataError, cells
from segcourse.datasets.labels import instances_of

DIGEST = "27f735329b8c6cb46f506e53c1cdd57ac42a6d106ec5d6eb204adf0223723eac"
SCENES = 16


@pytest.fixture(scope="module")
def scenes():
    return [cells.scene(0, index) for index in range(SCENES)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    monkeypatch.setattr(cells, "SPLITS", {"train": (0, 3), "val": (1, 2), "test": (2, 2)})
    return tmp_path


def test_pixels_are_pinned():
    digest = hashlib.sha256()
    for seed, start, size in ((0, 0, (128, 128)), (2, 40, (128, 128)), (1, 7, (65, 83)), (0, 3, (200, 144))):
        for array in cells.render(seed, 3, size, start).values():
            digest.update(array.tobytes())
    assert digest.hexdigest() == DIGEST


def test_a_scene_does_not_depend_on_what_was_drawn_before(scenes):
    cells.scene(9, 9, (64, 70))
    again = cells.render(0, 2, start=5)
    for number in (1, 0):
        assert np.array_equal(again["images"][number], scenes[5 + number].image)
        assert np.array_equal(again["instances"][number], scenes[5 + number].instances)
    assert not np.array_equal(again["images"][0], again["images"][1])
    assert not np.array_equal(again["images"][0], cells.scene(1, 5).image)


def test_types_and_ranges(scenes):
    for s in scenes:
        assert s.image.shape == (128, 128, 3) and s.image.dtype == np.uint8
        assert np.array_equal(s.image[..., 0], s.image[..., 1])
        assert np.array_equal(s.image[..., 0], s.image[..., 2])
        assert s.labels.dtype == np.uint8 and s.instances.dtype == np.int32
        assert np.array_equal(s.labels, s.instances > 0)
        assert np.array_equal(np.unique(s.instances), np.arange(s.instances.max() + 1))
    pictures = np.stack([s.image for s in scenes])
    assert 100 < pictures.mean() < 150 and pictures.std() > 10
    assert np.mean((pictures == 0) | (pictures == 255)) < 1e-3
    assert 0.25 < np.mean([s.labels.mean() for s in scenes]) < 0.55
    assert 12 < np.mean([s.instances.max() for s in scenes]) < 30


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (90, 131), (256, 256)])
def test_no_two_cells_touch_and_pieces_are_the_cells(size):
    """Not even at a corner, so that both connectivities find the cells that were drawn."""
    for index in range(4):
        found = cells.scene(3, index, size).instances
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            here = found[: size[0] - down, max(0, -right) : size[1] - max(0, right)]
            there = found[down:, max(0, right) : size[1] + min(0, right)]
            assert not np.any((here != there) & (here > 0) & (there > 0))
        for connectivity in (1, 2):
            pieces, count = measure.label(found > 0, connectivity=connectivity, return_num=True)
            assert count == found.max()
            pairs = np.unique(np.stack([pieces.ravel(), found.ravel()]), axis=1)
            assert pairs.shape[1] == count + 1


def nearest_neighbours(instances):
    """Distance in pixels from every cell to the nearest other one."""
    distances = []
    for cell in range(1, instances.max() + 1):
        others = (instances > 0) & (instances != cell)
        distances.append(distance_transform_edt(~others)[instances == cell].min() if others.any() else np.inf)
    return distances


def test_most_cells_press_on_a_neighbour_and_some_lie_free(scenes):
    near = np.concatenate([nearest_neighbours(s.instances) for s in scenes])
    assert np.mean(near <= 3.0) > 0.7
    assert 0.02 < np.mean(near > 5.0) < 0.3


def test_sizes_and_shapes_vary(scenes):
    inner = [
        region
        for s in scenes
        for region in measure.regionprops(s.instances)
        if min(region.bbox[:2]) > 0 and max(region.bbox[2:]) < 128
    ]
    areas = np.array([region.area for region in inner])
    assert np.quantile(areas, 0.95) > 6 * np.quantile(areas, 0.05)
    assert 120 < np.median(areas) < 400
    longer = [region.axis_major_length / max(region.axis_minor_length, 1.0) for region in inner]
    solid = [region.solidity for region in inner]
    assert np.quantile(longer, 0.9) > 2.0 and np.quantile(longer, 0.1) < 1.3
    assert np.quantile(solid, 0.1) < 0.86 and np.quantile(solid, 0.9) > 0.93
    assert {cell.kind for s in scenes for cell in s.culture.cells} == {"spread", "bean", "spindle", "round"}


def test_borders_between_neighbours_are_thin_and_only_weakly_visible(scenes):
    contrast, widths = [], []
    for s in scenes:
        grey = s.image[..., 0].astype(float)
        distances = np.sort(
            [distance_transform_edt(s.instances != cell) for cell in range(1, s.instances.max() + 1)], axis=0
        )
        seam = (s.labels == 0) & (distances[1] <= 2.0)
        beside = (s.labels == 1) & (distances[1] > 3.0) & (distances[1] < 7.0)
        contrast.append(grey[beside].mean() - grey[seam].mean())
        widths.append((distances[0] + distances[1])[seam].mean() - 1.0)
        assert abs(contrast[-1]) < 2.0 * grey[beside].std()
    assert 4.0 < -np.mean(contrast) < 25.0  # brighter than the cells on both sides
    assert 1.0 <= np.mean(widths) <= 3.0


def test_brightness_alone_does_not_find_the_cells(scenes):
    """The best of all thresholds, also on the strength of the edges, stays far from a network's IoU."""
    grey = np.stack([s.image[..., 0].astype(float) for s in scenes])
    truth = np.stack([s.labels for s in scenes]) == 1
    edges = np.stack([filters.gaussian(filters.sobel(picture), 2.0) for picture in grey])
    for feature, highest in ((grey, 0.5), (-grey, 0.5), (edges, 0.85)):
        cuts = np.quantile(feature, np.linspace(0.02, 0.98, 49))
        best = max(((feature > cut) & truth).sum() / ((feature > cut) | truth).sum() for cut in cuts)
        assert best < highest


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (128, 96), (97, 131)])
def test_other_sizes_show_the_same_culture(size):
    large, small = cells.scene(4, 11, size), cells.scene(4, 11)
    assert large.image.shape == (*size, 3) and large.labels.shape == size
    assert large.culture == small.culture
    scale = max(size) / 128
    rows, columns = (((np.arange(n) + 0.5 - n / 2) / scale + 64).astype(int) for n in size)
    assert (small.labels[rows[:, None], columns] == large.labels).mean() > 0.9


def test_outline_of_one_limb_is_the_distance_to_a_thick_line():
    generator = np.random.default_rng(0)
    for _ in range(20):
        x0, y0, x1, y1 = generator.uniform(0, 50, 4)
        radius = generator.uniform(1, 5)
        x, y = generator.uniform(-10, 60, (2, 40))
        steps = np.linspace(0, 1, 4001)[:, None]
        away = np.hypot(x - x0 - steps * (x1 - x0), y - y0 - steps * (y1 - y0)).min(axis=0) - radius
        np.testing.assert_allclose(cells.outline(((x0, y0, radius, x1, y1, radius),), x, y), away, atol=0.02)


def test_splits_and_data_set(cache):
    images, labels = datasets.load("cells", "train")
    assert images.shape == (3, 128, 128, 3) and labels.shape == (3, 128, 128)
    (path,) = cache.iterdir()
    assert path.name == f"cells-v{cells.VERSION}-train-128x128.npz"
    stamp = path.stat().st_mtime_ns
    found = cells.instances("train")
    assert path.stat().st_mtime_ns == stamp and found.dtype == np.int32
    assert np.array_equal(found > 0, labels == 1)
    assert [one.max() for one in found] == [one.max() for one in instances_of(labels)]
    assert np.array_equal(images[1], cells.scene(0, 1).image)
    assert datasets.spec("cells").classes == ("background", "cell")
    assert datasets.check_masks(labels, datasets.spec("cells"), images) == []
    assert datasets.available("cells", "test") and not datasets.available("cells", "all")
    assert datasets.load("cells", "val", size=(64, 96))[1].shape == (2, 64, 96)


def test_splits_are_as_documented():
    assert cells.SPLITS == {"train": (0, 30), "val": (1, 20), "test": (2, 50)}


def test_a_damaged_cache_file_is_rendered_again(cache):
    before = cells.instances("val", (64, 64))
    (path,) = cache.iterdir()
    np.savez(path, images=np.zeros((2, 64, 64, 3), np.uint8), labels=np.zeros((2, 64, 64), np.uint8))
    assert np.array_equal(cells.instances("val", (64, 64)), before)
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.load("cells", "training"), "'training'.*train, val, test"),
        (lambda: datasets.load("cells", "val", size=(32, 128)), r"\(32, 128\).*at least 64"),
        (lambda: cells.scene(0, 0, (128,)), "rows, columns"),
        (lambda: cells.scene(0, 0, (128.5, 128)), "whole numbers"),
        (lambda: cells.scene(0, -1), "-1.*0 or more"),
        (lambda: cells.scene(-2, 0), "-2.*0 or more"),
        (lambda: cells.render(0, -3), "-3"),
    ],
)
def test_bad_input_says_what_is_needed(call, message):
    with pytest.raises(DataError, match=message):
        call()

"""Views and batches: image and mask move together, no id is made up, every epoch can be reproduced."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import run_python
from hypothesis import given, settings
from hypothesis import strategies as st

from segcourse.datasets import Augment, DataError, epochs, pipeline

STILL = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "blur": 0}
FIXED = {"flip": False, "scale": (1.0, 1.0), **STILL}


def coded(height=24, width=32):
    """A picture whose channels are its row, its column, and the id that its mask has there."""
    rows, columns = np.mgrid[:height, :width]
    ids = ((rows // 3 + columns // 4) % 11).astype(np.uint8)
    return np.stack([rows * 4, columns * 4, ids * 20], axis=-1).astype(np.uint8), ids


def view(augment, image, mask, seed=(0, 0)):
    return [result.numpy() for result in augment(image, mask, seed)]


def samples(count=10, size=(24, 32), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    images[:, 0, 0] = np.arange(count)[:, None]  # the picture's number, to recognise it
    return images, rng.integers(0, 11, (count, *size), dtype=np.uint8)


def batches(dataset, count=None):
    return [
        (images.numpy(), labels.numpy()) for images, labels in (dataset.take(count) if count else dataset)
    ]


def assert_same(one, other):
    assert len(one) == len(other)
    for (images, labels), (other_images, other_labels) in zip(one, other, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    ids=st.lists(st.integers(0, 254), min_size=1, max_size=4),
    low=st.floats(0.3, 1.0),
    high=st.floats(1.0, 3.0),
    crop=st.one_of(st.none(), st.tuples(st.integers(1, 50), st.integers(1, 50))),
    shape=st.tuples(st.integers(2, 30), st.integers(2, 30)),
)
def test_a_mask_never_gains_an_id(seed, ids, low, high, crop, shape):
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array(ids, np.uint8), shape)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    new_image, new_mask = view(Augment(scale=(low, high), crop=crop), image, mask, (seed, 1))
    assert set(np.unique(new_mask)) <= {*ids, 255}
    assert new_mask.dtype == new_image.dtype == np.uint8
    assert new_mask.shape == (crop or shape) and new_image.shape == (*new_mask.shape, 3)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_crops_and_flips_are_exact_copies_of_image_and_mask(seed):
    image, mask = coded()
    new_image, new_mask = view(Augment(scale=(1, 1), crop=(15, 20), **STILL), image, mask, (seed, 0))
    rows, columns = new_image[..., 0] // 4, new_image[..., 1] // 4
    np.testing.assert_array_equal(new_mask, mask[rows, columns])
    np.testing.assert_array_equal(new_image[..., 2] // 20, new_mask)
    assert set(np.diff(columns[0].astype(int))) in ({1}, {-1})


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.5, 3.0))
def test_scaled_image_and_mask_stay_together(seed, scale):
    """Where picture and mask are read from: the same place, to half a pixel of the source."""
    rows, columns = np.mgrid[:40, :60]
    image = np.stack([rows * 4, columns * 4, 0 * rows], -1).astype(np.uint8)
    augment = Augment(scale=(scale, scale), crop=(30, 30), **STILL)
    for axis, source in enumerate((rows, columns)):
        new_image, new_mask = view(augment, image, source.astype(np.uint8), (seed, 0))
        known = new_mask != 255
        apart = new_image[..., axis].astype(float)[known] / 4 - new_mask[known]
        assert known.any() and np.abs(apart).max() <= 0.5 + 0.13  # and the rounding of a value to 1/4 pixel


def test_flip_is_half_of_the_cases_and_twice_is_identity():
    image, mask = coded()
    augment = Augment(**{**FIXED, "flip": True})
    flipped = 0
    for seed in range(40):
        once = view(augment, image, mask, (seed, 0))
        turned = bool((once[0][0, :, 1] != image[0, :, 1]).any())
        flipped += turned
        np.testing.assert_array_equal(once[1], mask[:, ::-1] if turned else mask)
        twice = view(augment, *once, (seed, 0))
        np.testing.assert_array_equal(twice[0], image)
        np.testing.assert_array_equal(twice[1], mask)
    assert 10 <= flipped <= 30


def test_nothing_asked_nothing_changed():
    image, mask = coded()
    new_image, new_mask = view(Augment(**FIXED), image, mask)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_mask, mask)


def test_beyond_the_picture_is_void_and_repeats_the_edge():
    image, mask = coded(8, 8)
    new_image, new_mask = view(Augment(**{**FIXED, "crop": (20, 20)}), image, mask)
    rows, columns = np.nonzero(new_mask != 255)
    assert len(rows) == 64
    np.testing.assert_array_equal(new_mask[new_mask != 255].reshape(8, 8), mask)
    top, left = rows[0], columns[0]
    placed = np.pad(image, ((top, 12 - top), (left, 12 - left), (0, 0)), mode="edge")
    np.testing.assert_array_equal(new_image, placed)


def test_colour_changes_the_image_only():
    image, mask = coded()
    new_image, new_mask = view(Augment(flip=False, scale=(1, 1)), image, mask, (3, 0))
    np.testing.assert_array_equal(new_mask, mask)
    assert (new_image != image).mean() > 0.5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"brightness": 0.2}, lambda image, u: image + 255 * 0.2 * (2 * u[4] - 1)),
        (
            {"contrast": 0.5},
            lambda image, u: (image - image.mean((0, 1))) * (1 + 0.5 * (2 * u[5] - 1)) + image.mean((0, 1)),
        ),
        (
            {"saturation": 0.5},
            lambda image, u: (
                (grey := (image @ [0.299, 0.587, 0.114])[..., None])
                + (image - grey) * (1 + 0.5 * (2 * u[6] - 1))
            ),
        ),
    ],
)
def test_colour_against_the_formula(change, expected):
    rng = np.random.default_rng(0)
    image = rng.integers(80, 176, (1, 9, 11, 3), dtype=np.uint8)
    draws = rng.random((1, 9), np.float32)
    new_image, _ = Augment(**{**FIXED, **change}).view(image, np.zeros((1, 9, 11), np.uint8), draws)
    np.testing.assert_allclose(new_image[0], expected(image[0].astype(float), draws[0]), atol=0.51)


def test_hue_keeps_grey_and_luma_and_turns_by_the_angle():
    image = np.array([[[[120, 120, 120], [180, 100, 90], [90, 140, 110]]]], np.uint8)
    draws = np.full((1, 9), 0.5, np.float32)
    draws[0, 7] = 1.0
    new_image, _ = Augment(**{**FIXED, "hue": 0.1}).view(image, np.zeros((1, 1, 3), np.uint8), draws)
    before, after = image[0, 0].astype(float), new_image[0, 0].numpy().astype(float)
    np.testing.assert_allclose(after[0], 120, atol=1)
    luma = [0.299, 0.587, 0.114]
    np.testing.assert_allclose(after @ luma, before @ luma, atol=1)
    chroma = [[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    angles = [np.arctan2(*(colors @ np.transpose(chroma))[1:, ::-1].T) for colors in (before, after)]
    np.testing.assert_allclose((angles[1] - angles[0]) / (2 * np.pi) % 1, 0.1, atol=0.01)


def test_blur_against_scipy():
    from scipy.ndimage import gaussian_filter1d

    image = np.random.default_rng(0).integers(0, 256, (1, 20, 23, 3), dtype=np.uint8)
    draws = np.full((1, 9), 0.5, np.float32)
    draws[0, 8] = 0.9
    new_image, _ = Augment(**{**FIXED, "blur": 1.0}).view(image, np.zeros((1, 20, 23), np.uint8), draws)
    expected = image[0].astype(float)
    for axis in (0, 1):
        expected = gaussian_filter1d(expected, 0.8, axis=axis, mode="nearest", radius=2)
    np.testing.assert_allclose(new_image[0], expected, atol=0.51)


def test_the_same_seed_gives_the_same_view_and_another_gives_another():
    image, mask = coded()
    one, same, other = (view(Augment(), image, mask, seed)[0] for seed in ((5, 1), (5, 1), (5, 2)))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_pictures_of_a_batch_get_different_views():
    image, mask = coded()
    _, masks = Augment()(np.stack([image] * 4), np.stack([mask] * 4))
    assert len({bytes(one.numpy()) for one in masks}) == 4


def test_plain_pipeline_gives_everything_once_in_order():
    images, labels = samples(10)
    got = batches(pipeline(images, labels, 4))
    assert [len(batch) for batch, _ in got] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in got]), images)
    np.testing.assert_array_equal(np.concatenate([batch for _, batch in got]), labels)


def test_training_batches_have_static_shapes_and_uint8():
    dataset = pipeline(*samples(10), 4, augment=Augment(crop=(16, 20)), shuffle=True)
    assert dataset.element_spec == (
        tf.TensorSpec((4, 16, 20, 3), tf.uint8),
        tf.TensorSpec((4, 16, 20), tf.uint8),
    )
    assert int(dataset.cardinality()) == 2 == len(batches(dataset))
    endless = pipeline(*samples(10), 4, shuffle=True, repeat=True)
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY


def test_shuffled_epochs_are_permutations_that_differ():
    images, labels = samples(12)
    got = batches(pipeline(images, labels, 4, shuffle=True, repeat=True), 6)
    numbers = np.concatenate([batch[:, 0, 0, 0] for batch, _ in got]).reshape(2, 12)
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(12))
    assert (numbers[0] != numbers[1]).any() and (numbers[0] != np.arange(12)).any()
    for batch, masks in got:
        np.testing.assert_array_equal(masks, labels[batch[:, 0, 0, 0]])


def test_epoch_k_is_the_same_after_a_resume():
    images, labels = samples(11)
    settings = {"augment": Augment(), "seed": 7}
    whole = batches(pipeline(images, labels, 4, shuffle=True, repeat=True, **settings), 8)
    by_epoch = epochs(images, labels, 4, **settings)
    assert_same(whole, [batch for epoch in range(4) for batch in batches(by_epoch(epoch))])
    resumed = epochs(images, labels, 4, **settings)
    assert_same(whole[6:], batches(resumed(3)))
    assert_same(whole[:2], batches(pipeline(images, labels, 4, shuffle=True, **settings)))
    assert (batches(epochs(images, labels, 4, augment=Augment(), seed=8)(0))[0][0] != whole[0][0]).any()


def test_every_epoch_has_new_views():
    images, labels = samples(4)
    first, second = batches(pipeline(images, labels, 4, augment=Augment(), repeat=True), 2)
    assert (first[0] != second[0]).any(axis=(1, 2, 3)).all()


def test_a_picture_gets_its_view_by_its_place_not_by_its_batch():
    images, labels = samples(8)
    small = batches(pipeline(images, labels, 2, augment=Augment(), seed=3))
    large = batches(pipeline(images, labels, 8, augment=Augment(), seed=3))
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in small]), large[0][0])


def test_all_epochs_share_one_trace(monkeypatch):
    traced = []
    original = Augment.view
    monkeypatch.setattr(Augment, "view", lambda *args: traced.append(1) or original(*args))
    data = epochs(*samples(8), 4, augment=Augment())
    for epoch in range(4):
        batches(data(epoch))
    assert len(traced) == 1


def test_crop_without_augment_is_a_plain_copy():
    image, mask = coded()
    (images, labels), *_ = batches(pipeline(image[None], mask[None], 1, crop=(10, 12)))
    assert images.shape == (1, 10, 12, 3)
    np.testing.assert_array_equal(labels[0], mask[images[0, ..., 0] // 4, images[0, ..., 1] // 4])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, y: pipeline(x, y, 11, shuffle=True), "only 10 pictures"),
        (lambda x, y: pipeline(x, y, 0), "at least 1"),
        (lambda x, y: pipeline(x / 255, y, 2), "float64"),
        (lambda x, y: pipeline(x, y[:5], 2), r"need uint8 \(10, 24, 32\)"),
        (lambda x, y: epochs(x, y.astype(np.int32), 2), "int32"),
        (lambda x, y: Augment(scale=(2, 1)), "scale"),
        (lambda x, y: Augment(crop=(0, 4)), "crop"),
        (lambda x, y: Augment(hue=-0.1), "hue"),
    ],
)
def test_wrong_arguments(call, says):
    with pytest.raises(DataError, match=says):
        call(*samples(10))


def test_importing_datasets_does_not_import_tensorflow():
    code = "import sys, segcourse.datasets; sys.exit('tensorflow' in sys.modules)"
    assert run_python("-c", code).returncode == 0

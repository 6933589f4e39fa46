"""What defines U-Net: sizes, crops, stacked skips, first weights, weight map, elastic deformation, tiles."""

import functools
import itertools

import keras
import numpy as np
import pytest
from helpers import ROOT, array, logits_of, randomize
from scipy import ndimage

from segcourse import datasets, studies, training
from segcourse.datasets.augment import Augment
from segcourse.datasets.borders import border_weights
from segcourse.datasets.elastic import Elastic, displacements, warp
from segcourse.datasets.weighted import weighted_epochs
from segcourse.exercises import NotYet
from segcourse.layers.alignment import Crop
from segcourse.layers.valid_size import ValidSize, nearest_valid, valid_output
from segcourse.losses import MaskedCrossEntropy
from segcourse.metrics import object_errors
from segcourse.models.unet import unet
from segcourse.paths import data_file
from segcourse.prediction import predict_tiled, tiled_logits
from segcourse.studies import unet as study
from segcourse.studies.core import store

LESSON = ROOT / "notebooks/04_unet.ipynb"
WIDTH = 1 / 32
STILL = {"scale": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "blur": 0.0}


@functools.cache
def network(padding):
    """A small network with random weights, for images of any size; shared by tests."""
    return randomize(unet(width=WIDTH, padding=padding))


def grey(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 1), dtype=np.uint8)


# The network


def test_the_papers_sizes_channels_and_crops():
    model = unet((572, 572, 1), width=WIDTH)
    sides = {layer.name: layer.output.shape[1] for layer in model.layers}
    assert [sides[f"down{i}_relu2"] for i in range(5)] == [568, 280, 136, 64, 28]
    assert [sides[f"up{i}_relu2"] for i in (3, 2, 1, 0)] == [52, 100, 196, 388]
    crops = [layer for layer in model.layers if isinstance(layer, Crop)]
    assert [crop.offset for crop in crops] == [4, 16, 40, 88]
    assert model.output_shape == (None, 388, 388, 2)


def test_23_convolutions_and_no_activation_on_the_logits():
    model = unet(width=WIDTH)
    convolutions = [
        c for c in model.layers if isinstance(c, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    assert len(convolutions) == 23
    assert all(c.activation is keras.activations.linear for c in convolutions)
    assert (
        model.layers[-1].name == "logits" and (logits_of(randomize(model), grey((188, 188))[None]) < 0).any()
    )
    assert sum(isinstance(layer, keras.layers.ReLU) for layer in model.layers) == 18


def test_normalization_is_an_option():
    kinds = [type(layer).__name__ for layer in unet(width=WIDTH).layers]
    assert "BatchNormalization" not in kinds
    kinds = [type(layer).__name__ for layer in unet(width=WIDTH, normalization="batch").layers]
    assert kinds.count("BatchNormalization") == 18


@pytest.mark.parametrize(("padding", "size"), [("valid", (204, 236)), ("same", (97, 70)), ("same", (64, 96))])
def test_the_skips_are_stacked_beside_what_comes_from_below(padding, size):
    model = randomize(unet(width=WIDTH, padding=padding))
    for level in range(4):
        names = (f"up{level}", f"down{level}_{'dropout' if level == 3 else 'relu2'}", f"up{level}_concat")
        parts = keras.Model(model.input, [model.get_layer(name).output for name in names])
        below, skip, joined = (array(x) for x in parts(grey(size)[None], training=False))
        height, width = joined.shape[1:3]
        top, left = (skip.shape[1] - height) // 2, (skip.shape[2] - width) // 2
        middle = skip[:, top : top + height, left : left + width]
        assert np.ptp(middle) > 0 and (padding == "same") == (skip.shape[1:3] == (height, width))
        np.testing.assert_array_equal(joined, np.concatenate([below[:, :height, :width], middle], -1))


def test_without_skips_nothing_is_copied_across():
    model = unet(width=WIDTH, skips=False)
    assert not any(isinstance(layer, keras.layers.Concatenate | Crop) for layer in model.layers)
    assert logits_of(model, grey((188, 204))[None]).shape == (1, 4, 20, 2)
    assert unet(width=WIDTH, padding="same", skips=False)(grey((45, 61))[None]).shape == (1, 45, 61, 2)


def test_dropout_sits_behind_the_two_deepest_levels_and_before_what_is_copied():
    model = unet((188, 188, 1), width=WIDTH)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [(drop.name, drop.rate) for drop in drops] == [("down3_dropout", 0.5), ("down4_dropout", 0.5)]
    assert [drop.output.shape[1] for drop in drops] == [16, 4]
    pool, crop = model.get_layer("pool4"), model.get_layer("up3_crop")
    assert pool.input is drops[0].output and crop.input[0] is drops[0].output


def test_every_convolution_keeps_the_size_of_a_signal_behind_a_relu():
    training.set_seed(0)
    model, gains = unet(width=1 / 4), {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            shape = (4, 12, 12, layer.input.shape[-1])
            x = np.maximum(np.random.default_rng(0).choice([-1, 1], shape), 0)  # half is 0, as behind a ReLU
            y = array(layer(x - 0.0))
            # Independent inputs with a mean: the variance over channels and positions is that of the weights.
            gains[layer.name] = (np.maximum(y, 0) ** 2).mean() / (x**2).mean()
    assert len(gains) == 23
    kinds = {"up-convolutions": [g for n, g in gains.items() if n in ("up0", "up1", "up2", "up3")]}
    kinds["3x3"] = [gain for name, gain in gains.items() if "_conv" in name and name != "down0_conv1"]
    assert {kind: np.mean(values) for kind, values in kinds.items()} == pytest.approx(
        {"up-convolutions": 1, "3x3": 1}, rel=0.15
    )


# Sizes


def test_from_188_up_every_16th_side_works_and_loses_184():
    working = {side: valid_output(side) for side in range(600) if valid_output(side) is not None}
    assert working == {side: side - 184 for side in range(188, 600, 16)}
    assert nearest_valid(572)[0] == 572
    assert nearest_valid(500) == (492, 508) and nearest_valid(3) == (188,)


@pytest.mark.parametrize("size", [(500, 572), (572, 500), (500, None), (None, 500)])
def test_a_size_that_cannot_work_names_the_nearest_that_do(size):
    with pytest.raises(ValueError, match="500.*at least 188.*492 or 508"):
        unet((*size, 1), width=WIDTH)


@pytest.mark.parametrize("call", [lambda m, x: m(x), lambda m, x: m.predict(x, verbose=0)])
def test_a_model_of_unknown_size_checks_when_it_is_called(call):
    model = unet(width=WIDTH)
    assert np.shape(call(model, grey((188, 204))[None])) == (1, 4, 20, 2)
    with pytest.raises(ValueError, match="190x188.*188 or 204, width 188"):
        call(unet(width=WIDTH), grey((190, 188))[None])


def test_the_size_layer_is_saved_with_its_levels():
    layer = ValidSize.from_config(ValidSize(2).get_config())
    assert layer.levels == 2
    assert layer(np.zeros((1, 44, 44, 1))).shape == (1, 44, 44, 1)
    with pytest.raises(ValueError, match="each of the 2 poolings"):
        layer(np.zeros((1, 46, 46, 1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"padding": "reflect"}, "reflect.*valid.*same"), ({"normalization": "group"}, "group.*None.*batch")],
)
def test_unknown_options_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet(**arguments)


# The weight map


def some_cells(seed, size=(26, 33), count=5):
    """Blobs numbered 1..count, some of them touching, some cut by the edge of the picture."""
    random, ids = np.random.default_rng(seed), np.zeros(size, int)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for number in range(1, count + 1):
        middle, radius = random.uniform((0, 0), size), random.uniform(2, 6, 2)
        blob = ((rows - middle[0]) / radius[0]) ** 2 + ((columns - middle[1]) / radius[1]) ** 2 < 1
        ids[blob & (ids == 0)] = number
    return ids


def distance_to_border(ids, number, pixel):
    """From a pixel of the cell to the nearest outside it, or from outside to the nearest of the cell."""
    inside = ids == number
    others = np.argwhere(~inside if inside[pixel] else inside)
    return np.sqrt(((others - pixel) ** 2).sum(1).min())


@pytest.mark.parametrize("seed", range(4))
def test_the_weight_map_by_brute_force(seed):
    ids = some_cells(seed)
    present = [n for n in np.unique(ids) if n]
    assert len(present) > 2
    expected = np.empty(ids.shape)
    for pixel in np.ndindex(ids.shape):
        d1, d2 = sorted(distance_to_border(ids, n, pixel) for n in present)[:2]
        expected[pixel] = (2.0 if ids[pixel] else 0.5) + 7 * np.exp(-((d1 + d2) ** 2) / (2 * 2.5**2))
    weights = border_weights(ids, class_weights=(0.5, 2.0), w0=7.0, sigma=2.5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_a_window_around_each_cell_changes_nothing():
    ids = np.zeros((90, 200), int)
    ids[40:44, 5:9], ids[40:44, 12:16], ids[70:80, 150:160] = 1, 4, 2  # number 3 is missing
    weights = border_weights(ids, w0=10.0, sigma=5.0)
    assert weights[41, 10] == pytest.approx(
        1 + 10 * np.exp(-((2 + 2) ** 2) / 50)
    )  # columns 8 and 12 are cells
    assert weights[75, 155] == pytest.approx(1, abs=1e-6) and weights[10, 100] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("ids", [np.zeros((8, 9), int), np.ones((8, 9), int), np.eye(8, dtype=int)])
def test_without_a_second_cell_there_is_no_line_to_draw(ids):
    np.testing.assert_array_equal(border_weights(ids, class_weights=(1.0, 3.0)), np.where(ids > 0, 3, 1))


# Elastic deformation


def test_displacements_are_a_function_of_each_pictures_own_seed():
    both = displacements([[1, 2], [3, 4]], (40, 50)).numpy()
    assert both.shape == (2, 40, 50, 2)
    np.testing.assert_array_equal(displacements([[3, 4]], (40, 50)).numpy()[0], both[1])
    assert np.abs(both[0] - both[1]).max() > 1


def test_displacements_have_the_strength_at_the_grid_points_and_are_smooth_between_them():
    seeds = np.stack([np.arange(400), np.zeros(400, int)], 1)
    fields = displacements(seeds, (63, 63), grid=3, strength=5.0).numpy()
    at_grid_points = fields[:, 10::21, 10::21]  # the middles of the 3x3 areas
    assert at_grid_points.shape[1:3] == (3, 3)
    np.testing.assert_allclose(at_grid_points.std(0), 5.0, rtol=0.15)
    np.testing.assert_allclose(at_grid_points.mean(0), 0.0, atol=1.0)
    assert np.abs(np.diff(fields, axis=1)).max() < 3.0 < np.abs(fields).max()


@pytest.mark.parametrize("order", [0, 1])
def test_warping_agrees_with_scipy(order):
    random = np.random.default_rng(order)
    values = random.integers(0, 256, (2, 17, 23, 3), dtype=np.uint8)
    field = random.uniform(-9, 9, (2, 17, 23, 2)).astype("float32")
    warped = warp(values, field, nearest=order == 0).numpy()
    assert warped.dtype == (np.uint8 if order == 0 else np.float32)
    for picture, channel in itertools.product(range(2), range(3)):
        at = np.mgrid[:17, :23] + field[picture].transpose(2, 0, 1)
        expected = ndimage.map_coordinates(
            values[picture, ..., channel].astype(float), at, order=order, mode="mirror"
        )
        np.testing.assert_allclose(warped[picture, ..., channel], expected, atol=1e-2 if order else 0)


def test_no_displacement_changes_nothing():
    images, masks = np.random.default_rng(0).integers(0, 256, (2, 4, 20, 30, 3), dtype=np.uint8)
    masks = masks[..., 0] % 2
    draws = np.random.default_rng(1).random((4, 9)).astype("float32")
    bent = Elastic(strength=0.0).view(images, masks, draws)
    for ours, plain in zip(bent, Augment().view(images, masks, draws), strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_picture_and_mask_move_together():
    mask = np.repeat((np.indices((1, 96, 96)).sum(0) // 16 % 2).astype("uint8"), 6, 0)
    images = np.repeat(mask[..., None] * 200, 3, -1).astype("uint8")
    draws = np.random.default_rng(0).random((6, 9)).astype("float32")
    moved, moved_mask = (x.numpy() for x in Elastic(strength=5.0, **STILL).view(images, mask, draws))
    assert (moved_mask != mask).mean() > 0.2
    assert set(np.unique(moved_mask)) == {0, 1}
    # Where a pixel and its neighbours are clearly of one id, the picture must say the same.
    sure = (moved[..., 0] < 20) | (moved[..., 0] > 180)
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(moved[sure][:, 0] > 100, moved_mask[sure] == 1)


def test_elastic_views_depend_on_seed_epoch_and_picture_alone():
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 40, 3), dtype=np.uint8)
    labels = images[..., 0] % 2

    def epoch(number, seed=3, batch=4):
        data = datasets.epochs(images, labels, batch, augment=Elastic(strength=4.0), seed=seed)
        return np.concatenate([x.numpy() for x, _ in data(number)])

    np.testing.assert_array_equal(epoch(2), epoch(2, batch=2))
    assert (epoch(2) != epoch(1)).mean() > 0.5 and (epoch(2) != epoch(2, seed=4)).mean() > 0.5


# Weights that move with the pictures


def test_pictures_and_labels_are_those_of_epochs_and_the_weights_stay_on_their_labels():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 48, 40, 3), dtype=np.uint8)
    labels = (ndimage.gaussian_filter(random.normal(size=(6, 48, 40)), (0, 4, 4)) > 0).astype("uint8")
    weights = np.where(labels, 9.0, 2.0)
    augment = Elastic(strength=4.0, scale=(0.5, 0.8))
    for (x, y, w), (x2, y2) in zip(
        weighted_epochs(images, labels, weights, 3, augment=augment, seed=5)(4),
        datasets.epochs(images, labels, 3, augment=augment, seed=5)(4),
        strict=True,
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
        assert (y.numpy() == 255).any()
        np.testing.assert_allclose(w, np.choose(np.minimum(y, 2), [2.0, 9.0, 0.0]), atol=9 / 252)


def test_a_third_class_is_an_error():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="0 and 1.*up to 2"):
        weighted_epochs(images, np.full((2, 32, 32), 2, np.uint8), np.ones((2, 32, 32)), 1)


# Tiles


def mirror(image, before, after):
    """`image` with mirrored surroundings, looked up pixel by pixel."""

    def index(i, size):
        period = 2 * (size - 1)
        return min(i % period, period - i % period)

    rows, columns = (
        [index(i, image.shape[axis]) for i in range(-before, image.shape[axis] + after[axis])]
        for axis in (0, 1)
    )
    return image[np.ix_(rows, columns)]


@pytest.mark.parametrize(
    ("padding", "tile", "margin"), [("valid", 220, 92), ("valid", 284, 92), ("same", 256, 96)]
)
@pytest.mark.parametrize("size", [(150, 203), (64, 47), (96, 97)])
def test_tiles_equal_one_large_pass(padding, tile, margin, size):
    model, image = network(padding), grey(size)
    tiled = tiled_logits(model, image, tile)
    # The smallest sides that the network takes and that leave nothing of the image out.
    need = [side + 2 * margin for side in size]
    sides = [-(-(n - 188) // 16) * 16 + 188 if padding == "valid" else -(-n // 16) * 16 for n in need]
    whole = mirror(image, margin, [side - margin - own for side, own in zip(sides, size, strict=True)])
    cut = 0 if padding == "valid" else margin
    expected = logits_of(model, whole[None])[0, cut : cut + size[0], cut : cut + size[1]]
    assert tiled.shape == (*size, 2) and np.ptp(expected) > 0
    np.testing.assert_allclose(tiled, expected, atol=1e-5 * np.ptp(expected))


def test_a_smaller_margin_shows_seams_with_padding():
    model, image = network("same"), grey((150, 203))
    right, wrong = tiled_logits(model, image, 256), tiled_logits(model, image, 256, margin=48)
    assert np.abs(wrong - right).max() > 1e-3 * np.ptp(right)


def test_labels_of_tiles():
    model = network("valid")
    images = np.stack([grey((50, 60), seed) for seed in (0, 1)])
    labels = predict_tiled(model, images, 220, batch_size=3)
    assert labels.shape == (2, 50, 60) and labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[1], tiled_logits(model, images[1], 220).argmax(-1))


@pytest.mark.parametrize(
    ("padding", "tile", "margin"), [("valid", 188, None), ("valid", 220, 64), ("same", 200, None)]
)
def test_tiles_of_which_too_little_is_left_are_an_error(padding, tile, margin):
    with pytest.raises(ValueError, match=f"{tile} pixels with a margin.*16 or more"):
        tiled_logits(network(padding), grey((64, 64)), tile, margin)


# Errors of objects


def pairs_error(truth, predicted):
    """1 - F over all pairs of cell pixels, one by one."""
    pixels = np.argwhere(truth > 0)
    counts = np.zeros(3)
    for a, b in itertools.combinations(map(tuple, pixels), 2):
        t, p = truth[a] == truth[b], predicted[a] == predicted[b]
        counts += t and p, t, p
    return 1 - 2 * counts[0] / (counts[1] + counts[2])


@pytest.mark.parametrize("seed", range(5))
def test_the_rand_error_pair_by_pair(seed):
    truth, predicted = np.random.default_rng(seed).integers(0, 4, (2, 6, 8))
    assert object_errors(truth, predicted)["rand_error"] == pytest.approx(pairs_error(truth, predicted))


def test_merges_and_splits_by_hand():
    truth = np.array([[1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 3]])
    merged = object_errors(truth, np.array([[1, 1, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2]]))
    assert (merged["merges"], merged["splits"], merged["cells"], merged["found"]) == (1, 0, 3, 2)
    assert merged["vi_merge"] == pytest.approx(0.6) and merged["vi_split"] == pytest.approx(
        0
    )  # 6 of 10 pixels, 1 bit
    split = object_errors(truth, np.array([[1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 4, 4]]))
    assert (split["merges"], split["splits"], split["found"]) == (0, 1, 4)
    assert split["vi_split"] == pytest.approx(0.4) and split["vi_merge"] == pytest.approx(0)
    missed = object_errors(truth, np.array([[0, 0, 0, 0, 2, 2, 2, 0, 3, 3, 3, 3]]))
    assert (missed["merges"], missed["splits"], missed["found"]) == (0, 0, 2)
    perfect = object_errors(truth, truth * 5)
    assert perfect["rand_error"] == pytest.approx(0) and perfect["merges"] == perfect["splits"] == 0


def test_nothing_found_is_no_crash():
    truth = some_cells(0)
    errors = object_errors(truth, np.zeros_like(truth))
    assert errors["found"] == 0 and errors["rand_error"] > 0.3


# The trained weights


def test_the_stored_weights_fit_the_papers_network_at_a_quarter_of_its_width():
    model = unet(width=0.25)
    before = model.get_layer("logits").get_weights()[0]
    model.load_weights(data_file("weights/unet_isbi2012.weights.h5"))
    assert not np.array_equal(model.get_layer("logits").get_weights()[0], before)


# The study and its controls


@pytest.mark.parametrize("seed", range(2))
def test_the_control_weights_all_outlines_alike(seed):
    ids = some_cells(seed)
    expected = np.empty(ids.shape)
    for pixel in np.ndindex(ids.shape):
        nearest = min(distance_to_border(ids, n, pixel) for n in np.unique(ids) if n)
        expected[pixel] = 1 + 7 * np.exp(-((2 * nearest) ** 2) / (2 * 2.5**2))
    weights = study.outline_weights(ids, w0=7.0, sigma=2.5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_in_a_gap_one_pixel_wide_the_control_is_as_large_as_the_map_and_nowhere_smaller():
    ids = np.repeat([[0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0, 0]], 12, 0)
    gaps, all_outlines = (f(ids, w0=10.0, sigma=3.0) for f in (border_weights, study.outline_weights))
    np.testing.assert_allclose(all_outlines[:, 6], gaps[:, 6])
    assert (all_outlines >= gaps).all() and all_outlines[5, 2] > 8 > 3 > gaps[5, 2]


def test_without_cells_the_control_is_1_everywhere():
    np.testing.assert_array_equal(study.outline_weights(np.zeros((8, 9), int), 10.0, 3.0), 1.0)


@pytest.mark.parametrize("variant", [*study.CONTROLS, "full", "no skips"])
def test_every_network_of_the_study_starts_near_chance(variant):
    training.set_seed(1)
    model = study.build(study.STUDY.settings | (study.VARIANTS | study.CONTROLS)[variant])
    images, labels = datasets.load("cells", "train")
    logits = array(model(images[:2, ..., :1], training=True))
    assert logits.shape == (2, 128, 128, 2)
    assert float(MaskedCrossEntropy()(labels[:2], logits)) < 2 * np.log(2)


def test_the_study_has_pictures_for_every_seed_and_a_row_for_every_variant():
    seeds = [*map(int, study.SEEDS), study.RATE_SEED]
    assert len(set(seeds)) == 4
    assert max(seeds) * study.STUDY.settings["pictures"] <= len(datasets.load("cells", "train")[0])
    assert sorted(study.ROWS) == sorted(study.VARIANTS | study.CONTROLS) and study.ROWS[0] == study.STARTER
    assert set(study.STUDY.probed) <= set(study.STUDY.parts)
    assert study.STUDY.settings["learning_rate"] in study.RATES


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Stands in for the trainings of the study, whose Rand error is least at 4e-3; notes what they were."""
    noted = []

    def train(seed, settings):
        noted.append((seed, settings))
        return abs(np.log(settings["learning_rate"] / 4e-3)) / 10

    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study, "measure", lambda error, split: {"rand_error": error, "split": split})
    monkeypatch.setattr(store, "scratch", lambda *key: tmp_path / key[1])
    return noted


def test_a_control_changes_one_thing_and_gets_the_best_learning_rate(runs):
    settings = study.STUDY.settings
    for part in ("outlines-1", "outlines-3"):
        found = study.STUDY.run(part, settings)
        assert found["learning_rate"] == 4e-3 and found["rates"]["0.004"] == 1
        assert found["test"] == {"rand_error": 0, "split": "test"}
    # One search for both, on the pictures of another seed; then a whole training each.
    assert [seed for seed, _ in runs] == [study.RATE_SEED] * len(study.RATES) + [1, 3]
    assert [s["learning_rate"] for _, s in runs] == [*study.RATES, 4e-3, 4e-3]
    assert {s["epochs"] for _, s in runs[:-2]} == {study.RATE_EPOCHS}
    assert runs[-1][1] == settings | {"weighted": "outlines", "learning_rate": 4e-3}
    study.STUDY.run("starter-2", settings)
    assert runs[-1] == (2, settings | {"network": "starter", "learning_rate": 4e-3})


def test_the_other_parts_of_the_study_have_the_rate_that_they_share(runs):
    assert list(study.STUDY.run("2", study.STUDY.settings)) == list(study.VARIANTS)
    assert [seed for seed, _ in runs] == [2] * 5 and {s["learning_rate"] for _, s in runs} == {2e-3}
    found = study.STUDY.run("rates", study.STUDY.settings)
    assert list(found) == list(study.SEARCHED) and {len(row) for row in found.values()} == {len(study.RATES)}


def with_controls(stored):
    """A stored result with made-up parts of the controls and rates: those of `full`, at the largest rate."""
    parts = {seed: stored["results"][seed] for seed in study.SEEDS}
    falling = {str(rate): 0.5 + 0.1 * place for place, rate in enumerate(study.RATES)}
    own = {"rates": falling, "learning_rate": study.RATES[-1]}
    controls = {f"{c}-{s}": own | {"test": parts[s]["full"]} for c in study.CONTROLS for s in study.SEEDS}
    return stored | {"results": parts | controls | {"rates": dict.fromkeys(study.SEARCHED, falling)}}


def test_the_study_is_read_with_and_without_its_controls():
    whole = with_controls(studies.load("unet"))
    alone = whole | {"results": {seed: whole["results"][seed] for seed in study.SEEDS}}
    assert list(study.table(whole)) == list(study.ROWS)
    assert list(study.table(alone)) == [name for name in study.ROWS if name not in study.CONTROLS]
    full = [whole["results"][seed]["full"]["merges"] for seed in study.SEEDS]
    assert study.per_seed(whole, "merges")["outlines"] == study.per_seed(alone, "merges")["full"] == full
    mean, spread = study.table(alone)["full"]["merges"]
    assert mean == pytest.approx(np.mean(full)) and spread == pytest.approx(np.std(full, ddof=1))
    assert study.rate_errors(alone) == {}
    assert study.rate_errors(whole)["starter"][8e-3] == pytest.approx(0.1)
    assert study.learning_rate(whole, "starter") == (8e-3, True)
    assert study.learning_rate(whole, "full") == (2e-3, False)


def test_the_report_of_the_study():
    whole = with_controls(studies.load("unet"))
    lines = study.report(whole).splitlines()
    names = [line[:13].strip() for line in lines]
    assert names[1:8] == list(study.ROWS) and lines[1].endswith("405,602") and lines[3].endswith("438,930")
    assert max(map(len, lines)) <= 115
    assert "outlines      merges +0.0 +0.0 +0.0, Rand error +0.00 +0.00 +0.00" in lines
    assert " ".join(lines[-1].split()) == "no elastic 0.50 0.40 0.30 0.20 0.10 0.002"
    assert any(line.startswith("starter") and line.endswith("0.008, the edge of the grid") for line in lines)


# The exercises: wrong answers, and right ones of another form

OUTLINE = "inside = instances > 0\nd = {distance}\nreturn {weight}"
DISTANCE = "ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)"
WEIGHT = "1 + w0 * np.exp(-((2 * d) ** 2) / (2 * sigma**2))"
PAIRS = """cell = {cell}
t, p = (ids[cell][:, None] == ids[cell][None, :] for ids in (truth, predicted))
pairs = {pairs}
precision, recall = (t & p & pairs).sum() / (p & pairs).sum(), (t & p & pairs).sum() / (t & pairs).sum()
return {error}"""
CELL, OTHERS, F_SCORE = "truth > 0", "~np.eye(cell.sum(), dtype=bool)", "2 / (1 / precision + 1 / recall)"


def outline(distance=DISTANCE, weight=WEIGHT):
    return OUTLINE.format(distance=distance, weight=weight)


def rand(cell=CELL, pairs=OTHERS, error=f"1 - {F_SCORE}"):
    return PAIRS.format(cell=cell, pairs=pairs, error=error)


WRONG = [
    (0, "return output + 184"),
    (0, "return 572"),
    (0, "return max(188, 188 + 16 * ((output - 4) // 16))"),  # the tile below
    (0, "return max(188, 204 + 16 * ((output - 4) // 16))"),  # one too large where a tile fits
    (0, "return -(-(output + 184) // 16) * 16"),  # multiples of 16
    (1, outline("ndimage.distance_transform_edt(~inside)")),  # inside the distance is 0
    (1, outline(f"({DISTANCE}) / 2")),  # d in place of 2 d
    (1, outline(f"{DISTANCE} - 0.5")),  # to the crack between the pixels
    (1, outline(DISTANCE.replace("_edt", "_cdt"))),  # chessboard
    (1, outline(weight=WEIGHT.removeprefix("1 + "))),
    (1, outline(weight=WEIGHT.replace("w0", "10").replace("sigma", "3"))),
    (
        1,
        "from segcourse.datasets.borders import border_weights\n"
        "return border_weights(instances, w0=w0, sigma=sigma)",
    ),
    (2, rand(pairs="np.ones_like(t)")),  # each pixel with itself
    (2, rand(cell="(truth > 0) & (predicted > 0)")),
    (2, rand(cell="truth >= 0")),
    (2, rand(error=F_SCORE)),
    (2, rand(error="(t != p)[pairs].mean()")),  # the plain Rand index
]
RIGHT = [
    (0, "return 188 + 16 * math.ceil(max(output - 4, 0) / 16)"),
    (0, "return next(side for side in range(188, 10**4, 16) if side - 184 >= output)"),
    (
        1,
        "from segcourse.datasets.distances import two_nearest\n"
        "d = two_nearest(instances, reach=99)[0]\nreturn " + WEIGHT,
    ),
    (
        1,
        "weights = np.ones(instances.shape)\nfor place in np.ndindex(instances.shape):\n"
        "    others = np.argwhere(instances != instances[place])\n"
        "    d = np.sqrt(((others - place) ** 2).sum(1).min())\n"
        f"    weights[place] = {WEIGHT}\nreturn weights.tolist()",
    ),
    (2, "return adapted_rand_error(truth, predicted)[0]"),
    (
        2,
        "import collections\n"
        "def count(ids):\n    return sum(n * (n - 1) / 2 for n in collections.Counter(ids).values())\n"
        "a, b = truth[truth > 0].tolist(), predicted[truth > 0].tolist()\n"
        "return 1 - 2 * count(zip(a, b)) / (count(a) + count(b))",
    ),
]


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(answer, number, body):
    with pytest.raises(NotYet) as caught:
        answer(number, body)
    assert "the code stopped" not in str(caught.value) and "Hint" in str(caught.value)

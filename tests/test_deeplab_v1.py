"""What defines DeepLab v1: holes, Caffe's sizes and poolings, corner-on-corner scores, labels at stride 8."""

import itertools
import math

import keras
import numpy as np
import pytest
from helpers import ROOT, array, logits_of, noise, randomize

from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import vgg16
from segcourse.exercises import NotYet
from segcourse.layers.padding import PadToGrid
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.deeplab_v1 import VARIANTS, coarse, deeplab_v1, features, shrink
from segcourse.models.fcn import fcn8s
from segcourse.studies import deeplab_v1 as study
from segcourse.studies import deeplab_v1_crf
from segcourse.studies.core import fitting

WIDTH = 1 / 64
LESSON = ROOT / "notebooks" / "02_deeplab_v1.ipynb"
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def part(model, start, end):
    """The layers between two of the model, `start` left out, as a network of their own."""
    return keras.Model(model.get_layer(start).output, model.get_layer(end).output)


# Caffe's sizes


def caffe_size(side, kernel, stride, pad, pooling, rate=1):
    """Output side of a Caffe layer: poolings round up and skip a window beyond, convolutions down."""
    steps = (side + 2 * pad - rate * (kernel - 1) - 1) / stride
    if not pooling:
        return math.floor(steps) + 1
    out = math.ceil(steps) + 1
    return out - 1 if (out - 1) * stride >= side + pad else out


def caffe_map(side, variant):
    """Cells of fc8 for an image of this side, from the released definitions."""
    large = variant == "largefov"
    for block in range(1, 6):
        kernel, pad = (3, 1) if large or block == 5 else (2, 1 if block < 4 else 0)
        side = caffe_size(side, kernel, 2 if block < 4 else 1, pad, pooling=True)
    kernel, rate, _ = VARIANTS[variant]
    pad = {"largefov": 12, "4x4": 6, "4x4-rate8": 12, "7x7": 12}[variant]
    return caffe_size(side, kernel, 1, pad, pooling=False, rate=rate)


@pytest.mark.parametrize(
    ("variant", "side", "cells"),
    [("largefov", 321, 41), ("largefov", 513, 65), ("4x4", 305, 39), ("4x4", 513, 65), ("7x7", 305, 39)],
)
def test_the_released_nets_map_sizes(variant, side, cells):
    padded = side if variant == "largefov" else side + 1  # 306 and 514
    assert caffe_map(padded, variant) == cells
    model = deeplab_v1((side, side, 3), width=WIDTH, variant=variant)
    assert model.get_layer("pad").output.shape[1:3] == (padded, padded)
    assert model.get_layer("fc8").output.shape[1:3] == (cells, cells)
    assert model.output_shape[1:3] == (side, side)


def test_largefovs_maps_at_321_pixels():
    model = deeplab_v1((321, 321, 3), width=WIDTH)
    sides = [model.get_layer(name).output.shape[1] for name in ("pool1", "pool2", "pool3", "pool4", "pool5a")]
    assert sides == [161, 81, 41, 41, 41]


@every_variant
def test_scores_reach_the_last_pixel_at_every_size(variant):
    model = deeplab_v1(width=WIDTH, variant=variant)
    maps = keras.Model(model.input, [model.get_layer(name).output for name in ("pad", "fc8")])
    for side in (32, 33, 34, 40, 41, 42, 97, 98, 131):
        padded, cells = (values.shape[1] for values in maps(noise((side, side))))
        assert 8 * (cells - 1) >= side - 1 > 8 * (cells - 2)
        assert cells == caffe_map(padded, variant)


@pytest.mark.parametrize(("stride", "extra"), [(8, 1), (8, 2), (4, 1)])
def test_padding_adds_zeros_below_and_to_the_right_and_no_more_than_needed(stride, extra):
    layer = PadToGrid(stride, extra)
    for height, width in itertools.product(range(32, 50), (37, 48)):
        padded = array(layer(np.ones((1, height, width, 2))))[0]
        assert (padded[:height, :width] == 1).all() and padded.sum() == height * width * 2
        for side, grown in zip((height, width), padded.shape, strict=False):
            assert (grown - extra) % stride == 0
            assert grown - extra + 1 >= side > grown - extra + 1 - stride


# The layers


def brute_force_convolution(x, kernel, rate):
    """[H, W, in] by a kernel [k, k, in, out] with holes, zeros beyond the edge; position by position."""
    height, width, _ = x.shape
    side = kernel.shape[0]
    out = np.zeros((height, width, kernel.shape[-1]))
    for row, column, i, j in itertools.product(range(height), range(width), range(side), range(side)):
        y, z = row + (i - side // 2) * rate, column + (j - side // 2) * rate
        if 0 <= y < height and 0 <= z < width:
            out[row, column] += x[y, z] @ kernel[i, j]
    return out


@pytest.mark.parametrize(("name", "rate"), [("conv4_3", 1), ("conv5_1", 2), ("conv5_3", 2)])
def test_conv5_has_holes_and_nothing_before_it(name, rate):
    model = randomize(deeplab_v1((97, 97, 3), width=WIDTH))
    layer = model.get_layer(name)
    x = np.random.default_rng(0).normal(size=(1, 9, 7, layer.kernel.shape[2])).astype("float32")
    kernel, bias = layer.get_weights()
    expected = np.maximum(brute_force_convolution(x[0], kernel, rate) + bias, 0)
    np.testing.assert_allclose(array(layer(x))[0], expected, atol=1e-5)


@pytest.mark.parametrize(("options", "rate"), [({}, 12), ({"rate": 4}, 4), ({"rate": 1}, 1)])
def test_fc6_has_holes_and_zeros_beyond_the_edge(options, rate):
    model = randomize(deeplab_v1((225, 225, 3), width=WIDTH, **options))
    fc6 = part(model, "pool5a", "fc6")
    x = np.random.default_rng(0).normal(size=(1, 29, 29, fc6.input.shape[-1])).astype("float32")
    kernel, bias = model.get_layer("fc6").get_weights()
    expected = np.maximum(brute_force_convolution(x[0], kernel, rate) + bias, 0)
    np.testing.assert_allclose(array(fc6(x))[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "fov"), [("7x7", 224), ("4x4", 128), ("4x4-rate8", 224), ("largefov", 224)]
)
def test_fc6_spans_the_field_of_view_of_table_2(variant, fov):
    model = deeplab_v1((449, 449, 3), width=WIDTH, variant=variant)
    fc6 = part(model, "pool5a" if variant == "largefov" else "pool5", "fc6")
    fc6.get_layer("fc6").set_weights(
        [np.ones(fc6.get_layer("fc6").kernel.shape), np.zeros(fc6.output.shape[-1])]
    )
    impulse = np.zeros((1, *fc6.input.shape[1:]), "float32")
    middle = impulse.shape[1] // 2
    impulse[0, middle, middle] = 1
    rows = np.flatnonzero(array(fc6(impulse))[0].any((1, 2)))
    assert 8 * (rows[-1] - rows[0]) + 32 == fov


def caffe_pool(x, kernel, stride, pad, average):
    """Caffe's pooling of [H, W]: an average counts the zeros of the padding, a maximum does not see them."""
    sides = [caffe_size(side, kernel, stride, pad, pooling=True) for side in x.shape]
    out = np.zeros(sides)
    for row, column in np.ndindex(*sides):
        top, left = row * stride - pad, column * stride - pad
        window = x[max(top, 0) : top + kernel, max(left, 0) : left + kernel]
        out[row, column] = window.sum() / kernel**2 if average else window.max()
    return out


@pytest.mark.parametrize(
    ("variant", "start", "end", "arguments"),
    [
        ("largefov", "conv1_2", "pool1", (3, 2, 1, False)),
        ("largefov", "conv4_3", "pool4", (3, 1, 1, False)),
        ("largefov", "pool5", "pool5a", (3, 1, 1, True)),
        ("4x4", "conv1_2", "pool1", (2, 2, 1, False)),
        ("4x4", "conv4_3", "pool4", (2, 1, 0, False)),
        ("4x4", "conv5_3", "pool5", (3, 1, 1, False)),
    ],
)
def test_poolings_are_caffes(variant, start, end, arguments):
    pooling = part(deeplab_v1((97, 97, 3), width=WIDTH, variant=variant), start, end)
    height, width, channels = pooling.input.shape[1:]
    x = np.random.default_rng(0).uniform(size=(1, height, width, channels)).astype("float32")
    expected = np.stack([caffe_pool(x[0, :, :, c], *arguments) for c in range(channels)], axis=-1)
    np.testing.assert_allclose(array(pooling(x))[0], expected, atol=1e-6)


# Scores and labels


@pytest.mark.parametrize("size", [(33, 49), (40, 50), (97, 35)])
def test_logits_lie_on_straight_lines_between_the_scores(size):
    model = randomize(deeplab_v1((*size, 3), classes=3, width=1 / 16), weights=None)
    kernel = model.get_layer("upsample")
    kernel.set_weights(deeplab_v1((*size, 3), classes=3, width=WIDTH).get_layer("upsample").get_weights())
    image = noise(size)
    scores = array(keras.Model(model.input, kernel.input)(image, training=False))[0]
    logits = logits_of(model, image)[0]
    assert np.ptp(logits) > 0
    for c in range(3):
        cells = [8 * np.arange(side) for side in scores.shape[:2]]
        rows = np.array([np.interp(np.arange(size[1]), cells[1], row) for row in scores[:, :, c]])
        expected = np.array([np.interp(np.arange(size[0]), cells[0], column) for column in rows.T]).T
        np.testing.assert_allclose(logits[:, :, c], expected, atol=1e-5 * np.ptp(logits))


@pytest.mark.parametrize("size", [(33, 49), (40, 50), (96, 128), (97, 35)])
@pytest.mark.parametrize("multiscale", [False, True])
def test_coarse_scores_are_the_logits_at_every_8th_pixel(size, multiscale):
    model = randomize(deeplab_v1(classes=3, width=1 / 16, multiscale=multiscale))
    model.get_layer("upsample").set_weights(
        deeplab_v1(classes=3, width=WIDTH).get_layer("upsample").get_weights()
    )
    images = noise(size, count=2)
    scores = logits_of(coarse(model), images)
    assert scores.shape == (2, math.ceil(size[0] / 8), math.ceil(size[1] / 8), 3)
    np.testing.assert_allclose(scores, logits_of(model, images)[:, ::8, ::8], atol=1e-5 * np.ptp(scores))


def test_shrunk_labels_are_picked_and_never_averaged():
    rows, columns = np.mgrid[:41, :50]
    labels = ((rows * 50 + columns) % 251).astype("uint8")[None]
    small = shrink(labels)
    assert small.shape == (1, 6, 7) and small.dtype == np.uint8
    for i, j in np.ndindex(6, 7):
        assert small[0, i, j] == (8 * i * 50 + 8 * j) % 251
    void = np.full((1, 16, 16), 255, "uint8")
    void[0, 8, 8] = 4
    assert shrink(void).tolist() == [[[255, 255], [255, 4]]]


# Weights


def test_the_convolutions_come_from_vgg_or_fcn_and_are_shared_with_the_coarse_network():
    target = deeplab_v1(classes=3, width=1 / 16, multiscale=True)
    for source in (vgg16((32, 32, 3), 5, 1 / 16), fcn8s(classes=7, width=1 / 16)):
        randomize(source, seed=len(source.name))
        transplant(source, features(target))
        for block, depth in enumerate((2, 2, 3, 3, 3), start=1):
            for i in range(1, depth + 1):
                name = f"conv{block}_{i}"
                for ours, theirs in zip(
                    target.get_layer(name).weights, source.get_layer(name).weights, strict=True
                ):
                    np.testing.assert_array_equal(array(ours), array(theirs))
    assert {w.path for w in coarse(target).trainable_weights} == {w.path for w in target.trainable_weights}


def test_removing_a_stride_keeps_the_trained_numbers_where_they_were():
    """conv5 with holes after a pooling without stride, against conv5 without holes after one with stride."""
    model = randomize(deeplab_v1((129, 161, 3), width=1 / 16))
    up_to = keras.Model(model.input, model.get_layer("conv4_3").output)
    before = array(up_to(noise((129, 161)), training=False))
    dense = array(part(model, "conv4_3", "conv5_3")(before))
    strided = keras.layers.MaxPooling2D(3, 2, padding="same")(before)
    for name in ("conv5_1", "conv5_2", "conv5_3"):
        config = model.get_layer(name).get_config() | {"dilation_rate": 1}
        layer = keras.layers.Conv2D.from_config(config)
        layer.build(strided.shape)
        layer.set_weights(model.get_layer(name).get_weights())
        strided = layer(strided)
    np.testing.assert_allclose(dense[:, ::2, ::2], array(strided), atol=1e-4 * np.ptp(dense))


def test_another_rate_changes_no_weight_shapes():
    shapes = {r: [tuple(w.shape) for w in deeplab_v1(width=WIDTH, rate=r).weights] for r in (1, 4, 12)}
    assert shapes[1] == shapes[4] == shapes[12]


@pytest.mark.parametrize(
    ("variant", "millions"), [("largefov", 20.5), ("4x4", 65.1), ("4x4-rate8", 65.1), ("7x7", 134.3)]
)
def test_the_weights_of_table_2(variant, millions):
    kernel, _, channels = VARIANTS[variant]
    vgg = sum(
        9 * i * o + o
        for i, o in zip(
            (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
            (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
            strict=True,
        )
    )
    by_hand = vgg + kernel**2 * 512 * channels + channels + channels**2 + channels + 21 * channels + 21
    with keras.StatelessScope(initialize_variables=False):
        count = sum(math.prod(w.shape) for w in deeplab_v1(variant=variant).trainable_weights)
    keras.utils.clear_session()
    assert count == by_hand and round(by_hand / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variant": "5x5"}, "5x5.*largefov.*4x4.*4x4-rate8.*7x7"),
        ({"variant": "4x4", "rate": 3}, "rate=3.*even number"),
        ({"rate": 0}, "rate=0.*from 1 up"),
        ({"variant": "7x7", "multiscale": True}, 'needs variant="largefov", got .7x7'),
        ({"weights": "voc"}, "voc.*imagenet"),
    ],
)
def test_arguments_that_do_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        deeplab_v1(width=WIDTH, **arguments)


# The studies


def test_accuracy_by_distance_against_a_loop():
    random = np.random.default_rng(0)
    labels = np.repeat(np.repeat(random.integers(0, 3, (2, 3, 4)), 20, 1), 20, 2).astype("uint8")
    labels[:, 25:30, 25:30] = 255
    predictions = np.where(random.uniform(size=labels.shape) < 0.7, labels, 0).astype("uint8")
    counts = {}
    for n, row, column in np.ndindex(*labels.shape):
        if labels[n, row, column] == 255:
            continue
        ring = "beyond"
        for width in reversed(deeplab_v1_crf.BANDS):
            window = labels[
                n, max(row - width, 0) : row + width + 1, max(column - width, 0) : column + width + 1
            ]
            if (window != labels[n, row, column]).any():
                ring = f"up to {width}"
        counts.setdefault(ring, []).append(predictions[n, row, column] == labels[n, row, column])
    found = deeplab_v1_crf.accuracy_by_distance(labels, predictions)
    total = sum(map(len, counts.values()))
    assert found.keys() == counts.keys()
    for ring, right in counts.items():
        np.testing.assert_allclose(found[ring], [np.mean(right), len(right) / total])


@pytest.fixture
def untrained(monkeypatch):
    """The study's settings, and random weights in the place of the start that its networks share."""
    settings, training_of_start = study.STUDY.settings, study.start
    monkeypatch.setattr(study, "start", lambda *_: study.without_field_of_view(settings))
    return settings | {"start": training_of_start}


@pytest.mark.parametrize("name", [*study.LARGE, "small-largefov-rate1"])
def test_every_variant_of_the_study_starts_near_the_loss_of_chance(name, untrained):
    model = study.build(study.VARIANTS[name], 1, {}, untrained)
    labels = np.random.default_rng(1).integers(0, 11, (2, 96, 128), dtype=np.uint8)
    loss = float(MaskedCrossEntropy()(labels, model(noise((96, 128), count=2), training=True)))
    assert loss == pytest.approx(np.log(11), rel=0.15 if name == "starter" else 1e-5)


def test_the_variants_are_table_2s():
    fields = {name: variant.field_of_view for name, variant in study.TABLE_2.items()}
    assert fields == {"4x4-rate4": 128, "4x4-rate8": 224, "7x7-rate4": 224, "largefov-rate12": 224}
    assert {n: v.field_of_view for n, v in study.RATES.items()} == {
        "largefov-rate1": 48,
        "largefov-rate4": 96,
        "largefov-rate12": 224,
    }
    costs = study.costs(study.STUDY.settings, ["4x4-rate4", "4x4-rate8", "largefov-rate1", "largefov-rate12"])
    assert costs["4x4-rate4"] == costs["4x4-rate8"] and costs["largefov-rate1"] == costs["largefov-rate12"]
    assert costs["largefov-rate1"][0] < 0.4 * costs["4x4-rate4"][0]
    named = {v for pair in (*study.CLAIMS, *study.RATE_CLAIMS, *study.SMALL_CLAIMS) for v in pair}
    assert named == set(study.VARIANTS)
    assert study.STUDY.parts[0] == "starter-1" and len(study.STUDY.parts) == 3 * 10


def test_the_study_trains_on_every_8th_pixel_and_scores_all(monkeypatch, untrained, tmp_path):
    calls = []

    def rounds(model, optimizer, data, settings, seed, steps, round_steps, folder, prepare):
        batch = data["train"][0][:2], data["train"][1][:2]
        taken = batch if prepare is None else prepare(*batch)
        calls.append(
            (model.name, float(optimizer.learning_rate), seed, steps, taken[1].shape, data["val"][1].shape)
        )
        columns = ("step", "loss", "val_loss", "val_miou", "seconds")
        return dict.fromkeys(columns, [1 - abs(np.log10(calls[-1][1] / 1e-3))])

    def load(name, split, size):
        return noise(size, count=3), np.random.default_rng(0).integers(0, 11, (3, *size), "uint8")

    monkeypatch.setattr(fitting, "rounds", rounds)
    monkeypatch.setattr(study.datasets, "load", load)
    monkeypatch.setattr(study.store, "scratch", lambda *key: tmp_path / key[1])
    part = study._run("small-largefov-rate4-3", untrained)
    short, whole = untrained["rate_steps"], untrained["steps"]
    coarse_labels = ((2, 12, 16), (3, 12, 16))
    assert calls == [
        *(("coarse", pytest.approx(rate), 0, short, *coarse_labels) for rate in (3e-4, 1e-3, 3e-3)),
        ("coarse", pytest.approx(1e-3), 3, whole, *coarse_labels),
    ]
    assert part["learning_rate"] == 1e-3 and 0 <= part["test"]["miou"] <= 1
    calls.clear()
    monkeypatch.setitem(study.VARIANTS, "small-starter", study.Variant(None, scenes="small"))
    study._run("small-starter-1", untrained)
    assert [call[4:] for call in calls] == 4 * [((2, 96, 128), (3, 96, 128))]
    more = untrained["start_steps"]
    assert [call[3] for call in calls] == [*3 * [round(short * (1 + more / whole))], whole + more]
    calls.clear()
    data = {split: load("toycam", split, (96, 128)) for split in ("train", "val")}
    monkeypatch.setattr(study, "classifier", lambda settings: vgg16((96, 96, 3), 11, settings["width"]))
    source = untrained["start"]("small", data, study.STUDY.settings)
    assert calls == [("without_field_of_view", pytest.approx(1e-3), 0, more, *coarse_labels)]
    assert source(noise((96, 128), count=1)).shape == (1, 12, 16, 11)


def test_what_the_lesson_reads_of_the_result():
    mious = {"starter": 0.5, "4x4-rate4": 0.3, "4x4-rate8": 0.4, "largefov-rate12": 0.45,
             "largefov-rate4": 0.4, "small-largefov-rate1": 0.2}  # fmt: skip
    test, rates = dict.fromkeys(study.SCORES, 0.5), {"0.0003": 0.1, "0.001": 0.2, "0.003": 0.1}
    history = {"step": [100, 200], "loss": [2, 1], "val_loss": [2, 1], "val_miou": [0.1, 0.2]}
    parts = {
        f"{name}-{seed}": {
            "test": test | {"miou": miou + int(seed) / 100, "iou": [miou, miou]},
            "history": history,
            "rates": rates,
            "learning_rate": 1e-3,
        }
        for name, miou in mious.items()
        for seed in "123"
    }
    result = {"results": parts, "settings": study.STUDY.settings}
    lines = study.report(result, tuple(study.LARGE), study.CLAIMS).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "starter",
        "4x4-rate4",
        "4x4-rate8",
        "largefov-rate12",
    ]
    assert lines[1].split()[10] == "-" and lines[2].split()[10] == "128"
    assert "4x4-rate8 minus 4x4-rate4, mIoU, seed by seed: +10.0, +10.0, +10.0" in lines
    assert study.by_rate(result) == {
        "240x320": {4: pytest.approx([0.41, 0.42, 0.43]), 12: pytest.approx([0.46, 0.47, 0.48])},
        "96x128": {1: pytest.approx([0.21, 0.22, 0.23])},
    }
    assert study.curves(result, tuple(study.RATES))["largefov-rate4"]["val_miou"].shape == (3, 2)
    steps = {v: curve["step"].tolist() for v, curve in study.curves(result, ["starter", "4x4-rate4"]).items()}
    assert steps == {"starter": [100, 200], "4x4-rate4": [700, 800]}, "those of the shared start count"
    assert study.class_iou(result)["starter"] == pytest.approx([0.5, 0.5])


# The exercises: wrong answers, and right ones of another form

CONVERT = """stride, rate, out = 1, 1, []
for kernel, step in layers_of_classifier:
    keep = stride * step <= wanted
    {before}
    out.append([kernel, step if keep else 1, rate])
    {after}
    stride *= step if keep else 1
return out"""
FIELD = "side, j = 1, 1\nfor k, s, r in chain:\n    {first}\n    {then}\nreturn side"
SUM = """n, c = unary.shape
out = np.zeros((n, c))
for x in np.ndindex(*[c] * n):
    cost = sum(unary[i, x[i]] for i in range(n))
    cost += sum(kernel[i, j] for i in range(n) for j in range({until}) if x[i] != x[j])
    for i in range(n):
        out[i, x[i]] += np.exp(-cost)
return {result}"""
ROW = "out / out.sum(1, keepdims=True)"
WRONG = [
    (0, CONVERT.format(before="rate *= 1 if keep else step", after="")),  # for the layer itself, too
    (0, CONVERT.format(before="", after="")),  # no holes
    (0, CONVERT.format(before="", after="rate *= 1 if keep else 2")),  # whatever the stride was
    (0, CONVERT.format(before="", after="rate += 0 if keep else step")),
    (1, FIELD.format(first="side += (k - 1) * j", then="j *= s")),  # without the rate
    (1, FIELD.format(first="j *= s", then="side += (k - 1) * r * j")),  # the layer's own stride, too
    (1, FIELD.format(first="side += k * r * j", then="j *= s")),
    (1, FIELD.format(first="side += (k - 1) * r * j", then="j *= s * r")),
    (2, "return kernel[::step, ::step], rate"),
    (2, "return kernel[::step, ::step], rate + step"),
    (2, "return kernel[1::step, 1::step], rate * step"),
    (2, "n = -(-len(kernel) // step)\nreturn kernel[:n, :n], rate * step"),
    (2, "n = -(-len(kernel) // step)\nreturn np.zeros((n, n, *kernel.shape[2:])), rate * step"),
    (3, "q = np.exp(-unary)\nreturn q / q.sum(1, keepdims=True)"),  # each pixel by itself
    (3, SUM.format(until="n", result=ROW)),  # every pair twice
    (3, SUM.format(until="i", result="out")),
    (3, SUM.format(until="i", result="out / out.max()")),
    (3, SUM.format(until="i", result="(out == out.max(1, keepdims=True)).astype(float)")),
]
RIGHT = [
    (0, CONVERT.format(before="", after="rate *= 1 if keep else step")),  # lists in place of tuples
    (1, "jumps = np.cumprod([1] + [s for _, s, _ in chain])\nsteps = zip(chain, jumps)\n"
        "return 1 + sum((k - 1) * r * j for (k, _, r), j in steps)"),
    (2, "taps = range(0, len(kernel), step)\nreturn np.asarray(kernel)[np.ix_(taps, taps)], step * rate"),
    (3, SUM.format(until="i", result="(out / out.sum(1, keepdims=True)).tolist()")),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

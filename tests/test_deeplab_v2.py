"""DeepLab v2 and the ResNet encoder: counts, strides and rates, ASPP, scales, against independent oracles."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from helpers import ROOT, logits_of, noise
from keras import layers, ops

from segcourse import models, studies
from segcourse.datasets import objects, toycam
from segcourse.encoders.keras_resnet import drawn_resnet50, from_keras, imagenet_resnet
from segcourse.encoders.resnet import UNITS, resnet, resnet_features, strides_and_rates, subtract_mean
from segcourse.encoders.vgg import MEAN_RGB
from segcourse.exercises import NotYet
from segcourse.layers.resizing import Resize
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.blueprint import blueprint, trainable
from segcourse.models.deeplab_v1 import coarse
from segcourse.models.deeplab_v2 import HEADS, aspp, at_scales, deeplab_v2
from segcourse.studies import deeplab_v2 as study
from segcourse.studies.core import reading

RNG = np.random.default_rng(7)
LESSON = ROOT / "notebooks" / "07_deeplab_v2.ipynb"
# torchvision's model pages: trainable weights of the classifiers with 1000 classes.
PUBLISHED = {18: 11_689_512, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


def counted(build, **options):
    return trainable(blueprint(partial(build, **options)))


def encoder(size=(None, None), **options):
    image = keras.Input((*size, 3))
    return keras.Model(image, resnet_features(subtract_mean(image), width=1 / 16, **options))


def settle(model):
    """Draw statistics for every normalisation, so that none of them is the identity."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([RNG.uniform(0.5, 1.0, w.shape) for w in layer.get_weights()])
    return model


# ResNet


@pytest.mark.parametrize("depth", PUBLISHED)
def test_a_resnet_has_the_published_number_of_weights(depth):
    assert counted(resnet, depth=depth) == PUBLISHED[depth]


@pytest.mark.parametrize("strided", ["3x3", "last"])
def test_the_place_of_the_stride_changes_no_weight(strided):
    assert counted(resnet, depth=50, strided=strided) == PUBLISHED[50]


def test_the_stem_of_three_small_convolutions():
    """The difference to 7x7 by hand: convolutions, normalisations, and the first layers that see 128 maps."""
    large = 7 * 7 * 3 * 64 + 2 * 64
    small = 9 * (3 * 64 + 64 * 64 + 64 * 128) + 2 * (64 + 64 + 128)
    first_unit = 64 * (64 + 256)  # 64 more channels go into the first 1x1 and into the shortcut
    assert counted(resnet, depth=50, stem="3x3") == PUBLISHED[50] - large + small + first_unit


def test_equal_to_keras_own_resnet50():
    theirs, ours = drawn_resnet50(RNG), resnet((None, None, 3))
    drawn = [v for v in theirs.weights if v.name in ("gamma", "beta", "moving_mean", "bias")]
    assert len(drawn) == 53 * 4 and all(np.ptp(v.numpy()) > 0.3 for v in drawn)  # zeros would hide a mistake
    from_keras(theirs, ours)
    image = RNG.integers(0, 256, (1, 97, 131, 3)).astype("float32")
    # Keras' own preparation subtracts another mean, up to one grey level from DeepLab's.
    expected = np.asarray(theirs((image - MEAN_RGB)[..., ::-1]))
    got = np.asarray(keras.Model(ours.input, ours.get_layer("average").output)(image))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("strided", ["1x1", "3x3", "last"])
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_the_stages_have_the_sizes_of_the_output_stride(output_stride, strided):
    maps = encoder(depth=50, output_stride=output_stride, strided=strided)(np.zeros((1, 65, 131, 3)))
    strides = [2, 4, 8, 16, 32]
    if strided == "last":  # a stage ends with the stride to the next one
        strides = [2, 8, 16, 32, 32]
    strides = [min(stride, output_stride) for stride in strides]
    assert [m.shape[1:3] for m in maps] == [(-(-65 // s), -(-131 // s)) for s in strides]


@pytest.mark.parametrize("strided", ["1x1", "3x3", "last"])
@pytest.mark.parametrize("depth", [18, 50])
def test_rates_in_place_of_strides_keep_every_value_there_was(depth, strided):
    """Output stride 32 computes every fourth cell of output stride 8, and nothing else."""
    coarse_one, fine = (
        settle(encoder(depth=depth, output_stride=output_stride, strided=strided))
        for output_stride in (32, 8)
    )
    fine.set_weights(coarse_one.get_weights())
    image = RNG.integers(0, 256, (1, 97, 129, 3)).astype("float32")
    few, many = np.asarray(coarse_one(image)[-1]), np.asarray(fine(image)[-1])
    np.testing.assert_allclose(many[:, ::4, ::4], few, atol=1e-4 * np.abs(few).max())


def test_keras_distributes_no_resnet18():
    with pytest.raises(ValueError, match="ResNet-18: Keras distributes none"):
        imagenet_resnet(18)


def test_multi_grid_multiplies_the_rates_of_the_last_stage():
    plan = strides_and_rates(UNITS[50], 16, multi_grid=(1, 2, 4))
    assert plan[-1] == [[1, 1, 2], [1, 4, 4], [1, 8, 8]] and plan[-2] == [[2, 1, 1]] + [[1, 1, 1]] * 5


def test_a_frozen_normalisation_stays_as_it_is():
    model = settle(encoder(depth=18, frozen=True))
    before = [w.numpy() for w in model.non_trainable_variables]
    image = RNG.integers(0, 256, (2, 64, 64, 3)).astype("float32")
    in_training, at_test = (np.asarray(model(image, training=flag)[-1]) for flag in (True, False))
    np.testing.assert_array_equal(in_training, at_test)
    assert all((w.numpy() == old).all() for w, old in zip(model.non_trainable_variables, before, strict=True))
    assert not any("norm" in v.path for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 34}, "depth=34 is unknown: 18, 50, 101, 152"),
        ({"output_stride": 4}, "output_stride=4"),
        ({"stem": "5x5"}, "stem='5x5'"),
        ({"strided": "first"}, "strided='first'"),
    ],
)
def test_an_unknown_option_is_named(options, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        encoder(**options)


# ASPP


@pytest.mark.parametrize("channels", [6, None])
def test_aspp_is_the_sum_of_its_branches(channels):
    x = keras.Input((21, 27, 5))
    whole = keras.Model(x, aspp(x, 3, (1, 4, 30), channels))
    cells = RNG.normal(size=(1, 21, 27, 5)).astype("float32")
    total = 0
    for n, rate in enumerate((1, 4, 30), start=1):
        y = cells
        for name, holes in (("fc6", rate), ("fc7", 1)) if channels else ():
            kernel, bias = whole.get_layer(f"{name}_{n}").get_weights()
            y = np.maximum(dense(y, kernel, holes) + bias, 0)
        kernel, bias = whole.get_layer(f"fc8_{n}").get_weights()
        total = total + dense(y, kernel, 1 if channels else rate) + bias
    np.testing.assert_allclose(whole(cells), total, atol=1e-4 * np.abs(total).max())


def dense(x, kernel, rate):
    """The convolution with holes by adding shifted maps, in NumPy."""
    reach = rate * (kernel.shape[0] // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = x.shape[1:3]
    return sum(
        padded[:, rate * i : rate * i + height, rate * j : rate * j + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def test_the_two_pyramids_differ_in_their_rates_alone():
    small, large = (
        deeplab_v2(classes=4, width=1 / 16, backbone="vgg16", head=head, scales=(1.0,))
        for head in ("aspp-s", "aspp-l")
    )
    assert [v.shape for v in small.weights] == [v.shape for v in large.weights]
    rates = [[m.get_layer(f"fc6_{n}").dilation_rate[0] for n in (1, 2, 3, 4)] for m in (small, large)]
    assert rates == [[2, 4, 8, 12], [6, 12, 18, 24]]


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, 44_048_532),
        ({"backbone": "vgg16"}, 37_877_652),
        ({"backbone": "vgg16", "head": "largefov"}, 20_505_429),
    ],
)
def test_the_papers_numbers_of_weights(options, weights):
    """The third is lesson 02's network: DeepLab v1 is one branch of ASPP."""
    assert counted(deeplab_v2, **options) == weights


# Scales


def test_every_pixel_keeps_each_class_largest_score():
    network = deeplab_v2(classes=3, width=1 / 16, backbone="resnet18", scales=(1.0,))
    image = RNG.integers(0, 256, (1, 65, 99, 3)).astype("float32")
    several = at_scales(network, (0.5, 1.0))
    small = ops.image.resize(image, (33, 50))
    expected = np.maximum(network(image), ops.image.resize(network(small), (65, 99)))
    np.testing.assert_allclose(several(image), expected, atol=1e-5)
    assert (np.asarray(several(image)) >= np.asarray(network(image)) - 1e-6).all()


@pytest.mark.parametrize(
    ("factor", "side", "small"), [(0.5, 97, 49), (0.75, 97, 73), (1.5, 33, 50), (0.75, 32, 24)]
)
def test_resizing_by_a_factor(factor, side, small):
    known, unknown = Resize(factor), keras.Sequential([layers.Input((None, None, 2)), Resize(factor)])
    x = RNG.normal(size=(1, side, side + 4, 2)).astype("float32")
    assert known.compute_output_shape(x.shape)[1] == small == known(x).shape[1] == unknown(x).shape[1]
    np.testing.assert_allclose(unknown.predict(x, verbose=0), known(x), atol=1e-5)


def test_the_loss_can_be_taken_on_coarse_scores():
    network = deeplab_v2(classes=3, width=1 / 16, backbone="resnet18", scales=(1.0,))
    assert coarse(network)(np.zeros((1, 65, 99, 3))).shape == (1, 9, 13, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_shape": (31, 64, 3)}, "at least 32"),
        ({"backbone": "resnet34"}, "backbone='resnet34' is unknown: 'vgg16'"),
        ({"head": "aspp"}, "head='aspp' is unknown"),
        ({"rates": (0, 3)}, "rates="),
        ({"scales": ()}, "scales="),
        ({"weights": "coco"}, "weights='coco'"),
        ({"weights": "imagenet", "backbone": "resnet18"}, "Keras distributes none"),
    ],
)
def test_a_wrong_argument_is_named(options, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        models.build("deeplab_v2", **options)


def test_every_head_is_known_by_its_rates():
    assert HEADS == {"largefov": (12,), "aspp-s": (2, 4, 8, 12), "aspp-l": (6, 12, 18, 24)}


# The studies


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_every_variant_starts_near_the_loss_of_chance(variant):
    labels = np.random.default_rng(1).integers(0, 11, (1, 96, 128), dtype=np.uint8)
    logits = logits_of(study.build(variant, 1, study.STUDY.settings), noise((96, 128)))
    assert float(MaskedCrossEntropy()(labels, logits)) == pytest.approx(np.log(11), rel=0.1)


def test_the_variants_differ_in_what_they_say():
    models_ = {v: study.build(v, 1, study.STUDY.settings) for v in study.VARIANTS}
    sizes = {v: model.count_params() for v, model in models_.items()}
    assert sizes["largefov"] < sizes["aspp-s"] == sizes["aspp-l"]
    assert sizes["largefov"] == sizes["largefov-step"] == sizes["largefov-scales"]
    rates = {
        v: [layer.dilation_rate[0] for layer in models_[v].layers if layer.name.startswith("fc6")]
        for v in study.HEADS
    }
    assert rates == {v: list(expected) for v, expected in study.HEADS.items()}
    alone, several = (logits_of(models_[v], noise((96, 128))) for v in ("largefov", "largefov-scales"))
    assert (several >= alone - 1e-6).all() and (several > alone + 1e-6).any()


def test_the_older_schedule_falls_twice_to_a_tenth():
    step, poly = (study.schedule(v, 1.0, 300) for v in (study.STEP, "largefov"))
    at = [0, 99, 101, 199, 201, 299]
    assert [float(step(t)) for t in at] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert [float(poly(t)) for t in at] == pytest.approx([(1 - t / 300) ** 0.9 for t in at], rel=1e-5)


def stored_part(miou, rate=3e-3):
    """The part of a result whose CRF adds a tenth."""
    test = {
        when: dict.fromkeys(study.SCORES, 0.5) | {"miou": value, "iou": [value, 1 - value]}
        for when, value in (("before", miou), ("after", miou + 0.1))
    }
    return {
        **test,
        "learning_rate": rate,
        "rates": {"0.0003": 0.1, "0.003": 0.1, "0.01": 0.1} | {str(rate): 0.2},
        "history": {"step": [80, 160], "loss": [2.0, 1.0 + miou], "val_miou": [0.1, miou]},
    }


def test_what_the_lesson_reads_of_a_result_in_which_parts_are_missing():
    parts = {f"largefov-{s}": stored_part(0.2 + 0.1 * int(s)) for s in reading.SEEDS}
    parts |= {f"aspp-l-{s}": stored_part(0.5, 1e-2) for s in reading.SEEDS} | {"aspp-s-1": stored_part(0.9)}
    result = json.loads(json.dumps({"settings": study.STUDY.settings, "results": parts}))
    assert study.stored(result) == ("largefov", "aspp-l")
    assert study.per_seed(result, "before", "miou")["largefov"] == pytest.approx([0.3, 0.4, 0.5])
    assert study.table(result, "after", ("aspp-s", "largefov"))["largefov"]["miou"] == pytest.approx((50, 10))
    assert study.class_iou(result)["largefov"][0] == pytest.approx([0.3, 0.7])
    assert study.learning_rates(result) == {"largefov": (3e-3, False), "aspp-l": (1e-2, True)}
    curves = study.curves(result, "largefov")
    assert curves["step"].tolist() == [80, 160] and curves["loss"][:, 1] == pytest.approx([1.3, 1.4, 1.5])
    assert curves["val_miou"].shape == (3, 2)
    nothing = {"results": {}}
    assert study.stored(nothing) == () and study.table(nothing) == {}


def test_the_report_of_a_result():
    parts = {f"largefov-{s}": stored_part(0.2 + 0.1 * int(s)) for s in reading.SEEDS}
    parts |= {f"aspp-l-{s}": stored_part(0.5, 1e-2) for s in reading.SEEDS}
    result = {"settings": study.STUDY.settings, "results": parts}
    costs = {"starter": (1, 0.5), "largefov": (2, 1.25), "aspp-l": (3, 2.0)}
    lines = study.report(result, tuple(costs), costs, {"aspp-l": "68.96"}).splitlines()
    assert lines[1].split() == ["starter", "not", "stored", "yet", "0.50", "G", "-"]
    assert lines[2].split() == ["largefov", "40.0", "±", "10.0", "50.0", "±", "10.0", "1.25", "G", "-"]
    assert lines[3].split()[-3:] == ["2.00", "G", "68.96"]
    assert lines[4:6] == [
        f"aspp-l minus largefov, {when} the CRF, seed by seed: +20.0, +10.0, +0.0"
        for when in ("before", "after")
    ]
    assert lines[6:] == [
        "learning rate of largefov: 0.003",
        "learning rate of aspp-l: 0.01, the edge of the grid",
    ]
    assert len(study.report({"results": {}}, tuple(costs), costs, {}).splitlines()) == 4


def test_costs_of_the_variants():
    settings = study.STUDY.settings | {"size": [64, 96]}
    costs = study.costs(settings)
    assert tuple(costs) == study.VARIANTS and costs["aspp-s"] == costs["aspp-l"]
    assert costs["largefov-step"] == costs["largefov"]
    models_ = {v: study.build(v, 1, settings) for v in ("aspp-s", "largefov-scales")}
    assert all(costs[v][0] == model.count_params() for v, model in models_.items())
    assert 1.5 < costs["largefov-scales"][1] / costs["largefov"][1] < 2.1  # areas of 1/4, 9/16 and 1, padded


# Cars in label maps


def test_boxes_of_objects():
    labels = np.zeros((2, 20, 30), np.uint8)
    labels[1, 4:8, 10:20] = labels[1, 12:14, 0:2] = labels[1, 16:19, 3:9] = 7
    assert objects.boxes(labels, 7, 5) == [
        (1, slice(4, 8), slice(10, 20)),
        (1, slice(16, 19), slice(3, 9)),
    ]
    whole, small = (slice(4, 8), slice(10, 20)), (slice(12, 14), slice(0, 2))
    assert objects.is_whole_car(labels[1], whole, 7)
    assert not objects.is_whole_car(labels[1], small, 7)  # touches the side
    assert not objects.is_whole_car(labels[1], (slice(4, 8), slice(10, 26)), 7)  # fills 10 of 16 columns
    labels[1, 0:9, 22:25] = 7
    assert not objects.is_whole_car(labels[1], (slice(0, 9), slice(22, 25)), 7)  # a pole
    assert objects.from_middle(whole, (20, 30)) == 4
    assert objects.on_cells((slice(9, 17), slice(-5, 8)), 8) == (slice(2, 3), slice(0, 1))


def test_a_close_up_keeps_the_middle_of_the_box():
    size, box = (64, 96), (slice(30, 40), slice(40, 60))
    image, labels, same = objects.close_up(1, 0, box, size, zoom=1)
    rendered = toycam.render(1, 1, size)
    np.testing.assert_array_equal(image, rendered[0][0])
    np.testing.assert_array_equal(labels, rendered[1][0])
    assert same == box
    image, _, there = objects.close_up(1, 0, box, size, zoom=4)
    assert image.shape == (*size, 3) and [part.stop - part.start for part in there] == [40, 80]
    assert [part.start + part.stop for part in there] == [70, 100]


def test_the_network_for_photographs_fits_into_a_file():
    found = studies.get("camvid-deeplab-v2")
    assert found.weights == ("camvid_deeplab_v2.weights.h5",) and found.settings["epochs"] == 60


# The exercises: wrong answers, and right ones of another form

TAPS = "slice(reach - rate, reach + rate + 1, rate)"
KERNEL = f"""reach = max(rates)
whole = np.zeros((2 * reach + 1, 2 * reach + 1, *kernels[0].shape[2:]), "float32")
for kernel, rate in zip(kernels, rates):
    taps = {TAPS}
    whole[taps, taps] {{put}}
return whole{{after}}"""
FIELD = """side, jump = {start}, {jump}
for stage in plan:
    for stride, before, rate in stage:
        {step}
return side"""
MOVED = """network = deeplab_v2(classes=11, width=1 / 16, backbone="vgg16", rates={rates}, scales=(1.0,))
parts = [network.get_layer(f"fc6_{{n}}") for n in range(1, len(rates) + 1)]
before = [{before} for part in parts]
training.compile(network, keras.optimizers.Adam({rate}), MaskedCrossEntropy())
{train}
return np.array([{result} for a, b in zip(before, [part.get_weights()[0] for part in parts])])"""
GOOD = {
    "rates": "rates",
    "before": "part.get_weights()[0]",
    "rate": "1e-3",
    "train": "network.fit(images, labels, batch_size=len(images), epochs=3, verbose=0)",
    "result": "np.abs(b - a).mean((2, 3))",
}
WRONG = [
    (0, KERNEL.format(put="= kernel", after="")),  # the last branch alone has the middle
    (0, KERNEL.format(put="+= kernel", after=" / len(kernels)")),
    (0, KERNEL.format(put="+= kernel[::-1, ::-1]", after="")),  # a convolution as mathematicians write it
    (0, KERNEL.format(put="+= kernel", after="").replace(TAPS, "slice(reach - 1, reach + 2)")),  # no holes
    (0, KERNEL.format(put="+= kernel", after="").replace("max(rates)", "max(rates) + 1")),
    (0, KERNEL.format(put="+= kernel", after="").replace("max(rates)", "rates[-1]")),  # as if in order
    (1, FIELD.format(start=7, jump=4, step="jump *= stride; side += 2 * rate * jump")),  # no pooling
    (1, FIELD.format(start=11, jump=4, step="side += 2 * rate * jump; jump *= stride")),  # field before jump
    (1, FIELD.format(start=11, jump=4, step="jump *= stride; side += 2 * before * jump")),
    (1, FIELD.format(start=11, jump=4, step="jump *= stride; side += 2 * jump")),  # without the rate
    (1, FIELD.format(start=11, jump=4, step="side += 2 * rate * jump")),  # without the stride
    (1, FIELD.format(start=11, jump=4, step="jump *= stride; side += 2 * stage[0][2] * jump")),  # the first's
    (1, FIELD.format(start=11, jump=4, step="jump *= stride; side += 2 * stage[-1][2] * jump")),  # the last's
    (2, MOVED.format(**GOOD | {"train": ""})),  # not trained
    (2, MOVED.format(**GOOD | {"before": "part.kernel"})),  # looks at the trained kernel twice
    (2, MOVED.format(**GOOD | {"rates": "None"})),  # the paper's
    (2, MOVED.format(**GOOD | {"rate": "1e-2"})),
    (2, MOVED.format(**GOOD | {"train": GOOD["train"].replace("len(images)", "1")})),  # twelve steps
    (2, MOVED.format(**GOOD | {"result": "(b - a).mean((2, 3))"})),  # ups and downs cancel
    (2, MOVED.format(**GOOD | {"result": "np.abs(b - a).mean((2, 3)).T"})),
    (2, MOVED.format(**GOOD | {"result": "np.abs(b - a).mean((0, 1))"})),
]  # fmt: skip
RIGHT = [
    (0, "r = max(rates)\nshape = kernels[0].shape[2:]\nout = np.zeros((2 * r + 1, 2 * r + 1, *shape))\n"
        "for k, rate in zip(kernels, rates):\n    for i in range(3):\n        for j in range(3):\n"
        "            out[r + (i - 1) * rate, r + (j - 1) * rate] += k[i, j]\n"
        "return ops.convert_to_tensor(out)"),
    (1, "units = [unit for stage in plan for unit in stage]\njumps = 4 * np.cumprod([u[0] for u in units])\n"
        "return 11 + int(sum(2 * u[2] * jump for u, jump in zip(units, jumps)))"),
    (2, MOVED.format(**GOOD)),
    (2, "network = deeplab_v2(classes=11, width=1 / 16, backbone='vgg16', rates=list(rates), scales=[1.0])\n"
        "names = [f'fc6_{n + 1}' for n in range(len(rates))]\n"
        "old = [ops.copy(network.get_layer(name).kernel.value) for name in names]\n"
        "optimizer, loss = keras.optimizers.Adam(1e-3), MaskedCrossEntropy()\n"
        "for _ in range(3):\n    with tf.GradientTape() as tape:\n"
        "        value = loss(labels, network(images, training=True))\n"
        "    slopes = tape.gradient(value, [v.value for v in network.trainable_variables])\n"
        "    optimizer.apply(slopes, network.trainable_variables)\n"
        "return ops.stack([ops.mean(ops.abs(network.get_layer(name).kernel - k), axis=(2, 3))\n"
        "                  for name, k in zip(names, old)])"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

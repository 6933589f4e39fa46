"""What defines ParseNet: L2 normalisation across channels, one average for all pixels, two equal fusions."""

import json

import keras
import numpy as np
import pytest
from helpers import ROOT, array, gradients, logits_of, noise, randomize

from segcourse import studies, tflite
from segcourse.encoders.transfer import transplant
from segcourse.encoders.vgg import vgg16
from segcourse.exercises import NotYet
from segcourse.layers.l2_normalization import L2Normalization
from segcourse.losses import MaskedCrossEntropy
from segcourse.models import profile
from segcourse.models.arguments import FUSED
from segcourse.models.parsenet import Unpool, convolutions, parsenet
from segcourse.studies import parsenet as study
from segcourse.studies.core import reading

SMALL = {"classes": 3, "width": 1 / 16}
LESSON = ROOT / "notebooks" / "05_parsenet.ipynb"


# L2 normalisation


def by_hand(x, scale, epsilon=1e-10):
    """Pixel by pixel, in double precision."""
    out = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:-1]):
        out[place] = scale * x[place] / np.sqrt((x[place].astype(float) ** 2).sum() + epsilon)
    return out


def with_scale(values, **arguments):
    layer = L2Normalization(**arguments)
    layer.build((None, len(values)))
    layer.scale.assign(values)
    return layer


def test_a_vector_of_3_and_4_times_10_becomes_6_and_8():
    np.testing.assert_allclose(array(L2Normalization()(np.array([[3.0, 4.0]]))), [[6.0, 8.0]], rtol=1e-6)


def test_it_divides_across_channels_and_never_across_pixels():
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 3, 5, 7)) * 10.0 ** random.uniform(-3, 3, (2, 3, 5, 1))
    scale = random.uniform(-2, 20, 7)
    found = array(with_scale(scale)(x.astype("float32")))
    np.testing.assert_allclose(found, by_hand(x, scale), rtol=1e-5)
    alone = array(with_scale(scale)(x[1:, 2:, 4:].astype("float32")))
    np.testing.assert_allclose(alone, found[1:, 2:, 4:], rtol=1e-6)


def test_with_a_scale_of_1_it_is_keras_own_unit_normalisation():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype("float32")
    theirs = keras.layers.UnitNormalization(axis=-1)(x)
    np.testing.assert_allclose(array(L2Normalization(scale=1.0)(x)), array(theirs), atol=1e-6)


def test_a_pixel_of_zeros_stays_zero_and_epsilon_is_inside_the_root():
    zero = np.zeros((1, 1, 1, 4), "float32")
    np.testing.assert_array_equal(array(L2Normalization()(zero)), zero)
    small = array(L2Normalization(epsilon=9.0)(np.array([[4.0, 0.0]])))
    np.testing.assert_allclose(small, [[8.0, 0.0]], rtol=1e-6)  # 10 * 4 / sqrt(16 + 9)


def layer_gradients(x, scale, upstream):
    """Those of x and of the scale, from what a step of SGD on a network with a trainable x leaves behind."""
    image = keras.Input(x.shape[1:])
    shift = keras.layers.Dense(x.shape[-1], kernel_initializer="zeros", name="x")
    normal = L2Normalization(name="normal")
    model = keras.Model(image, normal(shift(image)))
    shift.bias.assign(x[0])
    normal.scale.assign(scale)
    optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
    model.compile(optimizer, lambda target, y: keras.ops.sum(target * y), run_eagerly=True)
    model.train_on_batch(np.zeros_like(x), upstream)
    names = [weight.path for weight in model.trainable_weights]
    found = {name: -array(m) for name, m in zip(names, optimizer.momentums, strict=True)}
    return found["x/bias"], found["normal/scale"]


def test_its_gradients_are_those_of_pencil_and_paper_and_perpendicular_to_x():
    for_x, for_scale = layer_gradients(
        np.array([[3.0, 4.0]], "float32"), [10.0, 10.0], np.array([[1.0, 0.0]], "float32")
    )
    np.testing.assert_allclose(for_x, [1.28, -0.96], rtol=1e-4)  # (10 - 6 * 0.6, 0 - 6 * 0.8) / 5
    np.testing.assert_allclose(for_scale, [0.6, 0.0], atol=1e-6)
    random = np.random.default_rng(1)
    x, scale, pull = random.normal(size=(1, 6)), random.uniform(1, 9, 6), random.normal(size=(1, 6))
    for_x, for_scale = layer_gradients(x.astype("float32"), scale, pull.astype("float32"))
    for channel in range(6):
        step = 1e-5 * np.eye(6)[channel]
        slope_x = (pull * (by_hand(x + step, scale) - by_hand(x - step, scale))).sum() / 2e-5
        slope_s = (pull * (by_hand(x, scale + step) - by_hand(x, scale - step))).sum() / 2e-5
        assert (for_x[channel], for_scale[channel]) == pytest.approx((slope_x, slope_s), abs=1e-3)
    assert abs(for_x @ x[0]) < 1e-4 * np.linalg.norm(for_x) * np.linalg.norm(x)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_squares_beyond_float16_do_no_harm_in_mixed_precision(policy):
    x = np.full((1, 2, 2, 512), 300.0)  # the sum of squares is 46 million, float16 ends at 65504
    y = L2Normalization(dtype=policy)(x)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    values = array(keras.ops.cast(y, "float32"))
    np.testing.assert_allclose(values, 10 / np.sqrt(512), rtol=1e-2)


# The network


def output_of(model, name, images):
    return array(keras.Model(model.input, model.get_layer(name).output)(images, training=False))


def test_the_average_adds_one_score_a_class_the_same_everywhere():
    model = randomize(parsenet(**SMALL))
    images = noise((48, 64))
    whole, local, context = (output_of(model, n, images) for n in ("scores", "score_fc7", "score_pool6"))
    assert context.shape == (1, 1, 1, 3) and np.ptp(context) > 0
    np.testing.assert_allclose(whole - local, np.broadcast_to(context, whole.shape), atol=1e-4)
    mean = output_of(model, "fc7", images).mean((1, 2))[0]
    kernel, bias = model.get_layer("score_pool6").get_weights()
    by_pencil = by_hand(mean, array(model.get_layer("norm_pool6").scale)) @ kernel[0, 0] + bias
    np.testing.assert_allclose(context[0, 0, 0], by_pencil, rtol=1e-3, atol=1e-3)


def test_unpooling_repeats_one_cell_over_a_map():
    one, like = np.arange(6.0).reshape(2, 1, 1, 3), np.full((2, 4, 5, 7), 9.0)
    np.testing.assert_array_equal(array(Unpool()([one, like])), np.broadcast_to(one, (2, 4, 5, 3)))


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("fuse", [("fc7",), ("conv4", "fc7"), FUSED])
def test_early_and_late_fusion_are_one_function(fuse, context):
    options = {**SMALL, "fuse": fuse, "context": context}
    late, early = randomize(parsenet(**options)), parsenet(**options, fusion="early")
    for layer in (layer for layer in early.layers if layer.weights and layer.name != "score"):
        layer.set_weights(late.get_layer(layer.name).get_weights())
    names = [*fuse, *(["pool6"] if context else [])]
    kernels, biases = zip(*(late.get_layer(f"score_{n}").get_weights() for n in names), strict=True)
    early.get_layer("score").set_weights([np.concatenate(kernels, axis=2), np.sum(biases, axis=0)])
    expected, images = np.ptp(logits_of(late, noise((33, 47)))), noise((33, 47), count=2)
    np.testing.assert_allclose(logits_of(early, images), logits_of(late, images), atol=1e-6 * expected)


@pytest.mark.parametrize("rate", [4, 12])
def test_the_theoretical_field_of_fc7(rate):
    model = parsenet((None, None, 3), context=False, rate=rate, **SMALL)
    fc7 = keras.Model(model.input, model.get_layer("fc7").output)
    assert profile(fc7, (96, 128)).receptive_field == (220 + 16 * rate, 220 + 16 * rate)
    for fusion in ("late", "early"):
        with_average = parsenet(**SMALL, rate=rate, fusion=fusion)
        assert profile(with_average, (96, 128)).receptive_field == (np.inf, np.inf)


def test_with_the_average_every_pixel_reaches_every_score_and_without_it_not():
    size, far = (64, 512), slice(448, 512)
    images = noise(size, count=1)
    other = images.copy()
    other[:, :, far] = 255 - other[:, :, far]
    changed = {}
    for context in (True, False):
        model = randomize(parsenet(**SMALL, rate=4, context=context))
        apart = abs(logits_of(model, images) - logits_of(model, other))
        changed[context] = apart[:, :, :64].max() / apart.max()
    assert changed[True] > 1e-4 and changed[False] == 0


def test_scores_lie_in_the_middle_of_their_blocks():
    model = randomize(parsenet(**SMALL))
    upsample = model.get_layer("upsample")
    upsample.set_weights(parsenet(**SMALL).get_layer("upsample").get_weights())
    scores = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype("float32")
    found = array(upsample(scores))[0]
    assert found.shape == (32, 40, 3)
    rows, columns = (8 * np.arange(n) + 3.5 for n in (4, 5))
    inner = found[4:-4, 4:-4]  # further out zeros beyond the edge are mixed in, as in Caffe
    for c in range(3):
        across = np.array([np.interp(np.arange(4, 36), columns, row) for row in scores[0, :, :, c]])
        expected = np.array([np.interp(np.arange(4, 28), rows, column) for column in across.T]).T
        np.testing.assert_allclose(inner[:, :, c], expected, atol=1e-5)


def test_each_map_can_be_fused_and_gets_gradients():
    for name in FUSED:
        found = gradients(randomize(parsenet(**SMALL, fuse=(name,), context=False)), noise((40, 40)))
        assert f"score_{name}/kernel" in found
        assert all(gradient.any() for gradient in found.values())


def test_the_convolutions_come_from_vgg():
    target, source = parsenet(**SMALL), randomize(vgg16((32, 32, 3), 5, 1 / 16))
    transplant(source, convolutions(target))
    for layer in (layer for layer in source.layers if layer.name.startswith("conv")):
        for ours, theirs in zip(target.get_layer(layer.name).weights, layer.weights, strict=True):
            np.testing.assert_array_equal(array(ours), array(theirs))


def test_tflite_does_not_join_the_normalisation_to_an_operator_that_phones_lack(tmp_path):
    path = tflite.convert(parsenet((32, 32, 3), **SMALL), tmp_path / "net.tflite", input_size=(32, 32))
    assert "L2_NORMALIZATION" not in str(tflite.inspect(path))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fuse": ()}, "one or more of fc7, conv5, conv4, conv3"),
        ({"fuse": ("fc7", "fc7")}, "each once"),
        ({"fuse": ("conv2",)}, "conv2.*fc7, conv5"),
        ({"fuse": "fc7"}, "give a tuple"),
        ({"normalization": "batch"}, "normalization='batch' is unknown: 'l2', 'none'"),
        ({"fusion": "middle"}, "fusion='middle' is unknown: 'late', 'early'"),
        ({"rate": 0}, "rate=0.*from 1 up"),
        ({"weights": "voc"}, "weights='voc'.*imagenet"),
    ],
)
def test_arguments_that_do_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        parsenet(**SMALL, **arguments)


# The study


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_every_variant_starts_near_the_loss_of_chance(variant):
    scene = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 11, (2, 96, 128), dtype=np.uint8)
    loss = float(
        MaskedCrossEntropy()(labels, logits_of(study.build(variant, 1, study.STUDY.settings), scene))
    )
    assert loss == pytest.approx(np.log(11), rel=0.1)


def test_the_variants_differ_in_what_they_say():
    settings = study.STUDY.settings
    sizes = {v: study.build(v, 1, settings).count_params() for v in study.VARIANTS}
    assert sizes["raw"] < sizes["scale1"] == sizes["scale10"]
    assert sorted(study.FUSED, key=sizes.get) == ["fc7", "pool6", "conv5", "conv4", "conv3"]
    assert study.scales(study.build("scale1", 1, settings)) == {m: [1.0] * 5 for m in ("fc7", "conv3")}
    assert study.scales(study.build("raw", 1, settings)) == {}


def test_lengths_are_those_of_the_vectors_before_normalisation():
    model = study.build("scale10", 1, study.STUDY.settings)
    images = noise((32, 32), count=3)
    found = study.map_lengths(model, "scale10", images)
    assert set(found) == {"conv3", "conv4", "conv5", "fc7"}
    for name, layer in (("conv3", "pool3"), ("fc7", "fc7")):
        lengths = np.sqrt((output_of(model, layer, images).astype(float) ** 2).sum(-1))
        assert found[name] == pytest.approx([np.percentile(lengths, q) for q in study.SHARES], rel=1e-4)


def stored_part(miou, rate=1e-3):
    test = dict.fromkeys(study.SCORES, 0.5) | {"miou": miou, "iou": [miou, 1 - miou]}
    history = {"step": [50, 100], "loss": [2.0, 1.0 + miou]}
    lengths = {"start": {"fc7": [0, 1, 2, 3, 4]}, "end": {"fc7": [0, 1, 10 * miou, 30, 40]}}
    found = {"0.0001": 0.1, "0.001": 0.1, "0.01": 0.1} | {str(rate): 0.2}
    chosen = {"rates": found, "learning_rate": rate}
    return {"test": test, **chosen, "history": history, "lengths": lengths, "scales": {}}


def test_what_the_lesson_reads_of_a_result_in_which_parts_are_missing():
    parts = {f"fc7-{s}": stored_part(0.2 + 0.1 * int(s)) for s in reading.SEEDS}
    parts |= {f"raw-{s}": stored_part(0.5, 1.0) for s in reading.SEEDS} | {"pool6-1": stored_part(0.9)}
    result = json.loads(json.dumps({"settings": study.STUDY.settings, "results": parts}))
    assert study.stored(result) == ("fc7", "raw")
    assert study.per_seed(result, "miou")["fc7"] == pytest.approx([0.3, 0.4, 0.5])
    assert study.table(result, ("pool6", "fc7"))["fc7"]["miou"] == pytest.approx((40.0, 10.0))
    assert study.class_iou(result)["fc7"][0] == pytest.approx([0.3, 0.7])
    assert reading.learning_rates(result, study.VARIANTS) == {"fc7": (1e-3, False), "raw": (1.0, True)}
    assert study.medians(result, "fc7", "lengths", "end") == pytest.approx({"fc7": 4.0})
    steps, losses = study.curves(result, "loss", "fc7")
    assert steps == [50, 100] and losses[:, 1] == pytest.approx([1.3, 1.4, 1.5])


def test_the_report_tells_scores_gains_and_learning_rates():
    variants = {"starter": (0.0, 1e-3), "fc7": (0.2, 1e-3), "pool6": (0.25, 1e-2)}
    parts = {
        f"{v}-{s}": stored_part(least + 0.1 * int(s), rate)
        for v, (least, rate) in variants.items()
        for s in reading.SEEDS
    }
    lines = study.report({"settings": study.STUDY.settings, "results": parts}, list(variants)).splitlines()
    assert lines[1].split() == ["percent", *study.SCORES]
    assert " ".join(lines[3].split()) == "fc7 50.0 ± 0.0 50.0 ± 0.0 40.0 ± 10.0 50.0 ± 0.0"
    assert lines[5:] == [
        "pool6 minus fc7, mIoU, seed by seed: +5.0, +5.0, +5.0",
        "learning rate of starter: 0.001",
        "learning rate of fc7: 0.001",
        "learning rate of pool6: 0.01, the edge of the grid",
    ]


def test_the_network_for_photographs_fits_into_a_file():
    found = studies.get("camvid-parsenet")
    assert found.weights == ("camvid_parsenet.weights.h5",) and found.settings["epochs"] == 60


# The exercises: wrong answers, and right ones of another form

L2 = "length = np.linalg.norm(x, axis=-1, keepdims=True)\nunit = x / length\n"
WINDOW = """near = {near}
context = model.get_layer("score_pool6")({normalized})
upsampled = model.get_layer("upsample")(layers.Add()([model.get_layer("score_fc7").output, context]))
return keras.Model(model.input, model.get_layer("logits")([upsampled, model.input]))"""
FC7, NORMALIZED = 'model.get_layer("drop_fc7").output', 'model.get_layer("norm_pool6")(near)'


def window(near, normalized=NORMALIZED):
    return WINDOW.format(near=near, normalized=normalized)


SCALES, BESIDE = "(upstream * unit).sum(0)", "(p * unit).sum(-1, keepdims=True) * unit"
WRONG = [
    (0, L2 + "return upstream * scale / length, (upstream * unit).sum(0)"),  # may grow along x
    (
        0,
        L2 + f"p = upstream * scale\nreturn p - {BESIDE}, {SCALES}",
    ),
    (
        0,
        L2 + f"p = upstream\nreturn (p - {BESIDE}) / length, {SCALES}",
    ),
    (
        0,
        L2 + f"p = upstream * scale\nreturn (p - (p * unit).sum(0) * unit) / length, {SCALES}",
    ),
    (
        0,
        L2 + f"p = upstream * scale\nreturn (p - {BESIDE}) / length, (p * unit).sum(0)",
    ),
    (1, "return features.mean((1, 2))"),
    (1, "return (features * inside[..., None]).mean((1, 2))"),
    (1, "return (features * inside[..., None]).sum((1, 2)) / inside.sum()"),
    (1, "return np.stack([features[inside].mean(0)] * len(features))"),
    (2, window(f"layers.MaxPooling2D(side, 1, padding='same')({FC7})")),
    (
        2,
        window(
            f"layers.AveragePooling2D(side, 1, padding='same')(model.get_layer('norm_pool6')({FC7}))", "near"
        ),
    ),
    (2, window(f"layers.AveragePooling2D(side, 1, padding='same')({FC7})", "near")),
    (2, window("model.get_layer('pool6').output")),  # the network as it was
    (2, window(f"layers.AveragePooling2D(side, padding='same')({FC7})")),  # moves on by its own size
]
RIGHT = [
    # It counts zeros beyond the edge, which shortens the vectors there: L2 normalisation does not see it.
    (2, window(f"layers.AveragePooling2D(side, 1)(layers.ZeroPadding2D(side // 2)({FC7}))")),
    (0, "out = []\nfor v, g in zip(x, upstream):\n    n = np.sqrt(v @ v)\n"
        "    out.append((np.eye(v.size) / n - np.outer(v, v) / n**3) @ (scale * g))\n"
        "return np.array(out), sum(g * v / np.sqrt(v @ v) for v, g in zip(x, upstream))"),
    (1, "return np.stack([f[i].mean(0) for f, i in zip(features, inside)])"),
    (1, "return np.einsum('bhwc,bhw->bc', features, inside) / np.count_nonzero(inside, (1, 2))[:, None]"),
    (2, window(f"(lambda x, k: layers.Lambda(lambda y: ops.average_pool(y, k, 1, 'same'))(x))({FC7}, side)")),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

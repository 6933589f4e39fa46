"""ENet: counts, blocks against NumPy, faulty ports told apart, two phases, class weights, the study."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from helpers import ROOT, array, logits_of, noise
from keras import layers

from segcourse import datasets, losses, models, studies
from segcourse.exercises import NotYet
from segcourse.losses import MaskedCrossEntropy
from segcourse.models import enet as blocks
from segcourse.models.blueprint import blueprint, trainable
from segcourse.models.cost import profile
from segcourse.models.enet import encoder_scores, enet, labels_of_cells
from segcourse.studies import enet as study

RNG = np.random.default_rng(8)
LESSON = ROOT / "notebooks" / "08_enet.ipynb"
ORIGINAL = 363_856  # trainable weights of the released Lua definitions for 12 classes


def counted(**options):
    return trainable(blueprint(partial(enet, **options)))


def settled(inputs, outputs):
    """A network with weights drawn so that no normalisation or slope is the identity."""
    model = keras.Model(inputs, outputs)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization | layers.PReLU):
            layer.set_weights([RNG.uniform(0.4, 1.2, w.shape) for w in layer.get_weights()])
    return model


# Counts


def test_the_originals_number_of_weights():
    assert counted() == ORIGINAL == counted(bottlenecks="undilated")
    # 3x3 in place of 1x5 and 5x1: 9 and not 10 weights for a pair of 32 channels, in four blocks.
    assert counted(bottlenecks="plain") == ORIGINAL - 4 * 32 * 32
    slopes = 3 * (16 + 16 + 64) + 2 * (4 + 4 + 16)  # of three blocks in stage 4, two in stage 5
    assert counted(decoder_activation="prelu") == ORIGINAL + slopes
    assert counted(classes=11) == ORIGINAL - (2 * 2 * 16 + 1)


def test_the_original_multiply_adds():
    assert profile(blueprint(enet), (360, 640)).multiply_adds == 1_697_760_000  # computed from the Lua files


# The faults of ports, each built into the network


def norm_between(x, kind, name):
    if kind != "5x1":
        return right_middle(x, kind, name)
    x = blocks.convolve(x, x.shape[-1], (1, 5), f"{name}_row")
    x = blocks.normalize(x, f"{name}_between", "prelu")
    return blocks.convolve(x, x.shape[-1], (5, 1), f"{name}_column", bias=True)


def learned_channels(x, channels, name):
    return blocks.normalize(blocks.convolve(x, channels, 1, name), name)


def quarter_of_input(x, channels, name, kind, activation, dropout, size=1):
    inner = (x.shape[-1] if size == 2 else channels) // 4
    y = blocks.normalize(
        blocks.convolve(x, inner, size, f"{name}_reduce", size), f"{name}_reduce", activation
    )
    y = blocks.normalize(blocks.middle(y, kind, name), f"{name}_middle", activation)
    return blocks.normalize(blocks.convolve(y, channels, 1, f"{name}_expand"), f"{name}_expand")


right_middle = blocks.middle


@pytest.mark.parametrize(
    ("part", "faulty", "weights"),
    [
        ("middle", norm_between, 364_240),
        ("pad_channels", learned_channels, 373_456),
        ("branch", quarter_of_input, 346_908),
    ],
)
def test_a_faulty_port_has_the_number_that_exercise_1_says(monkeypatch, part, faulty, weights):
    monkeypatch.setattr(blocks, part, faulty)
    assert counted() == weights


# The blocks against NumPy


def convolved(x, kernel, rate=1):
    """Zeros around, holes of `rate`, by adding shifted maps."""
    rows, columns = (rate * (side // 2) for side in kernel.shape[:2])
    padded = np.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    height, width = x.shape[1:3]
    return sum(
        padded[:, rate * i : rate * i + height, rate * j : rate * j + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


class ByHand:
    """The layers of a network by name, in NumPy."""

    def __init__(self, model):
        self.of = {layer.name: [array(w) for w in layer.weights] for layer in model.layers}

    def norm(self, x, name):
        gamma, beta, mean, variance = self.of[f"{name}_norm"]
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    def act(self, x, name):
        slope = self.of.get(f"{name}_prelu", [0.0])[0]
        return np.maximum(x, 0) + slope * np.minimum(x, 0)

    def expand(self, y, name):
        y = self.act(self.norm(y, f"{name}_middle"), f"{name}_middle")
        return self.norm(y @ self.of[f"{name}_expand"][0][0, 0], f"{name}_expand")

    def reduced(self, y, name):
        return self.act(self.norm(y, f"{name}_reduce"), f"{name}_reduce")


def assert_close(model, x, expected):
    np.testing.assert_allclose(logits_of(model, x), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ["relu", "prelu"])
@pytest.mark.parametrize("kind", [1, 3, "5x1"])
def test_a_bottleneck(kind, activation):
    x = keras.Input((7, 9, 8))
    model = settled(x, blocks.bottleneck(x, 8, "b", kind, activation))
    hand, cells = ByHand(model), RNG.normal(size=(2, 7, 9, 8)).astype("float32")
    y = hand.reduced(cells @ hand.of["b_reduce"][0][0, 0], "b")
    if kind == "5x1":
        y = convolved(convolved(y, hand.of["b_row"][0]), hand.of["b_column"][0]) + hand.of["b_column"][1]
    else:
        y = convolved(y, hand.of["b_3x3"][0], kind) + hand.of["b_3x3"][1]
    assert_close(model, cells, hand.act(cells + hand.expand(y, "b"), "b"))


def test_downsampling_pads_with_zeros_and_reads_every_cell():
    x = keras.Input((6, 8, 4))
    y, (indices, before) = blocks.downsampling(x, 8, "b")
    assert before is x
    model = settled(x, [y, indices])
    hand, cells = ByHand(model), RNG.normal(size=(2, 6, 8, 4)).astype("float32")
    windows = cells.reshape(2, 3, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4, 5)  # [B, h, w, 2, 2, C]
    projected = np.einsum("bhwijc,ijcd->bhwd", windows, hand.of["b_reduce"][0])
    branch = convolved(hand.reduced(projected, "b"), hand.of["b_3x3"][0]) + hand.of["b_3x3"][1]
    flat = windows.reshape(2, 3, 4, 4, 4)
    skip = np.concatenate([flat.max(3), np.zeros((2, 3, 4, 4))], -1)
    got, places = (array(z) for z in model(cells))
    expected = hand.act(skip + hand.expand(branch, "b"), "b")
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(places, flat.argmax(3))


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_upsampling_puts_every_value_where_the_maximum_stood(size):
    before, small = keras.Input((*size, 8)), tuple(-(-side // 2) for side in size)
    x, indices = keras.Input((*small, 16)), keras.Input((*small, 8), dtype="int32")
    model = settled([x, indices, before], blocks.upsampling(x, indices, before, "b", "prelu"))
    hand, cells = ByHand(model), RNG.normal(size=(1, *small, 16)).astype("float32")
    places = RNG.integers(0, 4, (1, *small, 8)).astype("int32")
    kernel, bias = hand.of["b_3x3"]  # [3, 3, out, in]
    y = hand.reduced(cells @ hand.of["b_reduce"][0][0, 0], "b")
    large = np.zeros((1, 2 * small[0] + 2, 2 * small[1] + 2, 2))  # its cell 0 is Torch's cell -1
    skip = hand.norm(cells @ hand.of["b_skip"][0][0, 0], "b_skip")
    unpooled = np.zeros((1, 2 * small[0], 2 * small[1], 8))
    for i, j in np.ndindex(small):
        large[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum("bc,ijdc->bijd", y[:, i, j], kernel)
        for c, place in enumerate(places[0, i, j]):
            unpooled[0, 2 * i + place // 2, 2 * j + place % 2, c] = skip[0, i, j, c]
    crop = np.s_[:, : size[0], : size[1]]
    branch = hand.expand(large[:, 1:, 1:][crop] + bias, "b")
    expected = hand.act(unpooled[crop] + branch, "b")
    got = array(model([cells, places, np.zeros((1, *size, 8), "float32")]))
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_the_initial_block_joins_the_pooled_image():
    x = keras.Input((6, 8, 3))
    model = keras.Model(x, blocks.initial_block(x, 16))
    image = RNG.uniform(size=(1, 6, 8, 3)).astype("float32")
    joined = logits_of(keras.Model(x, model.get_layer("initial_join").output), image)
    np.testing.assert_array_equal(joined[..., 13:], image.reshape(1, 3, 2, 4, 2, 3).max((2, 4)))
    kernel, bias = (array(w) for w in model.get_layer("initial_conv").weights)
    np.testing.assert_allclose(joined[..., :13], convolved(image, kernel)[:, ::2, ::2] + bias, atol=1e-5)


def test_stages_dropout_and_rates_are_the_papers():
    model = blueprint(enet)
    drops = [layer.rate for layer in model.layers if isinstance(layer, layers.SpatialDropout2D)]
    assert drops == pytest.approx([0.01] * 5 + [0.1] * 17)
    rates = [
        model.get_layer(f"stage{s}_{n}_3x3").dilation_rate[0] for s in (2, 3) for n in (1, 2, 4, 5, 6, 8)
    ]
    assert rates == 2 * [1, 2, 4, 1, 8, 16]
    assert {layer.kernel_size for layer in model.layers if layer.name.endswith(("_row", "_column"))} == {
        (1, 5),
        (5, 1),
    }
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert {(layer.epsilon, layer.momentum) for layer in norms} == {(1e-3, 0.9)}
    biased = {layer.name for layer in model.layers if getattr(layer, "use_bias", False)}
    assert biased == {"initial_conv", "scores"} | {
        layer.name for layer in model.layers if layer.name.endswith(("_3x3", "_column"))
    }
    slopes = [layer.alpha.shape for layer in model.layers if isinstance(layer, layers.PReLU)]
    assert all(shape[:2] == (1, 1) for shape in slopes) and len(slopes) == 1 + 3 * 22


# Two phases, class weights, arguments


def test_phase_1_trains_the_encoder_of_the_network():
    network = enet(classes=5, width=1 / 2)
    first = encoder_scores(network)
    assert first(noise((97, 131))).shape == (1, 13, 17, 5)
    shared = {id(w) for w in network.weights}
    assert {w.path.split("/")[0] for w in first.weights if id(w) not in shared} == {"encoder_scores"}
    assert not any(layer.name.startswith(("stage4", "stage5")) for layer in first.layers)
    labels = np.arange(16 * 24).reshape(1, 16, 24)
    assert labels_of_cells(labels).tolist() == [[[100, 108, 116], [292, 300, 308]]]  # row 4 and 12


# Of the 367 training masks, computed from their histogram.
CAMVID = [5.6035, 4.2953, 33.5736, 3.3355, 15.4856, 8.7387, 31.542, 32.012, 12.8288, 38.0141, 43.9074]


def test_class_weights():
    labels = np.array([[[0, 0, 0, 1], [255, 0, 0, 1]]], np.uint8)
    weights = losses.log_frequency_weights(labels, 3)
    assert weights == pytest.approx([1 / np.log(1.02 + 5 / 7), 1 / np.log(1.02 + 2 / 7), 0])
    rare = np.zeros((1, 1000, 1000), np.uint8)
    rare[0, 0, 0] = 1
    assert losses.log_frequency_weights(rare, 2) == pytest.approx([1.422278, 50.498350], rel=1e-3)
    assert losses.log_frequency_weights(rare, 2, constant=1.2)[1] == pytest.approx(5.484815, rel=1e-4)
    assert losses.log_frequency_weights(iter(labels), 3) == pytest.approx(weights)
    with pytest.raises(ValueError, match="needed are 0..1 or 0, got 2"):
        losses.log_frequency_weights(labels + 1, 2, void=0)
    if datasets.available("camvid", "train"):
        masks = datasets.load("camvid", "train")[1]
        assert losses.log_frequency_weights(masks, 11) == pytest.approx(CAMVID, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_shape": (31, 64, 3)}, "at least 32"),
        ({"bottlenecks": "dense"}, "bottlenecks='dense' is unknown: 'paper', 'undilated', 'plain'"),
        ({"decoder_activation": "elu"}, "decoder_activation='elu' is unknown: 'relu', 'prelu'"),
    ],
)
def test_a_wrong_argument_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        models.build("enet", **options)


# The studies


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_every_variant_starts_near_the_loss_of_chance(variant):
    labels = np.random.default_rng(1).integers(0, 11, (1, 96, 128), dtype=np.uint8)
    logits = logits_of(study.build(variant, 1), noise((96, 128)))
    assert logits.shape == (1, 96, 128, 11)
    assert float(MaskedCrossEntropy()(labels, logits)) < 1.6 * np.log(11)


def test_what_the_variants_cost():
    costs = study.costs(study.STUDY.settings)
    weights, adds = ({v: row[n] for v, row in costs.items()} for n in (0, 1))
    assert weights["enet"] == weights["undilated"] == weights["weighted"] == ORIGINAL - 65
    assert 0.98 < adds["plain"] / adds["enet"] < 1 == adds["undilated"] / adds["enet"]
    assert 0.85 < adds["late"] / adds["enet"] < 1.15, "halving later at equal cost"
    assert 1.5 < adds["large"] / adds["enet"] < 2.2, "the decoder mirrors the encoder"
    assert weights["segnet-basic"] == pytest.approx(weights["enet"], rel=0.02)
    assert adds["segnet-basic"] / adds["enet"] == pytest.approx(12, abs=0.5)
    assert weights["segnet"] / weights["enet"] == pytest.approx(5, abs=0.5)
    assert adds["segnet"] / adds["enet"] == pytest.approx(5.4, abs=0.5)


def test_the_probed_slopes_are_all_and_in_groups():
    network = study.build("prelu", 1)
    found = study.mean_slopes(network)
    assert set(found.values()) == {0.25} and len(found) == 1 + 3 * 22 + 3 * 5
    parts = {f"prelu-{seed}": {"slopes": found} for seed in study.SEEDS}
    groups = study.slopes({"results": parts}, "prelu")
    assert {name: values.shape for name, values in groups.items()} == {
        "encoder, after adding": (3, 23), "encoder, inside": (3, 44),
        "decoder, after adding": (3, 5), "decoder, inside": (3, 10),
    }  # fmt: skip
    assert study.slopes({"results": {}}, "prelu") == {}


def stored_part(miou, rate=3e-3):
    test = dict.fromkeys(study.SCORES, 0.5) | {"miou": miou, "iou": [miou, 1 - miou]}
    history = {"step": [120, 240], "loss": [2.0, 1.0 + miou], "val_miou": [0.1, miou]}
    return {"test": test, "learning_rate": rate, "history": history}


def test_what_the_lesson_reads_of_a_result_in_which_parts_are_missing():
    parts = {f"enet-{s}": stored_part(0.2 + 0.1 * int(s)) for s in study.SEEDS}
    parts |= {f"segnet-{s}": stored_part(0.5, 3e-2) for s in study.SEEDS} | {"plain-1": stored_part(0.9)}
    result = json.loads(json.dumps({"settings": study.STUDY.settings, "results": parts}))
    assert study.stored(result) == ("segnet", "enet")
    assert study.table(result)["enet"]["miou"] == pytest.approx((40, 10))
    assert study.class_iou(result)["enet"][0] == pytest.approx([0.3, 0.7])
    assert study.learning_rates(result) == {"segnet": (3e-2, True), "enet": (3e-3, False)}
    curves = study.curves(result, "enet")
    assert curves["step"].tolist() == [120, 240] and curves["loss"][:, 1] == pytest.approx([1.3, 1.4, 1.5])
    costs = {name: (1000, 0.5) for name in study.VARIANTS}
    lines = study.report(result, ("starter", "segnet", "enet"), costs, {"enet": "51.3"}).splitlines()
    assert lines[1].split() == ["starter", "not", "stored", "yet", "1,000", "0.500", "G", "-"]
    assert lines[3].split()[1:4] == ["40.0", "±", "10.0"] and lines[3].split()[-1] == "51.3"
    assert lines[4] == "enet minus segnet, mIoU, seed by seed: -20.0, -10.0, +0.0"
    assert lines[6:] == [
        "learning rate of segnet: 0.03, the edge of the grid",
        "learning rate of enet: 0.003",
    ]
    assert (
        len(study.report({"settings": study.STUDY.settings, "results": {}}, ("enet",), costs, {}).split("\n"))
        == 2
    )


def test_the_network_for_photographs_fits_into_a_file():
    found = studies.get("camvid-enet")
    assert found.weights == ("camvid_enet.weights.h5",) and found.settings["epochs"] == 60


# The exercises: wrong answers, and right ones of another form

INSIDE = "inside = lambda i: {down} * inputs * i + 9 * i * i + {bias} + i * channels + {small} * i\n"
FAULT = (
    INSIDE + "if fault == 'input':\n    return inside({first} // 4) - inside({second} // 4)\n"
    "if fault == '1x1':\n    return inputs * channels + {norm}\nreturn {between} * (channels // 4)"
)
FINE = {"down": 4, "bias": "i", "small": 6, "first": "inputs", "second": "channels", "norm": "2 * channels",
        "between": 3}  # fmt: skip
DECODER = """late = ("stage4", "stage5", "scores")
for layer in network.layers:
    layer.trainable = {trainable}
training.compile(network, keras.optimizers.Adam({rate}), MaskedCrossEntropy())
for _ in range({steps}):
    network.train_on_batch(images, labels)"""
GOOD = {"trainable": "layer.name.startswith(late)", "rate": "1e-3", "steps": 3}
TAPE = """late = ("stage4", "stage5", "scores")
optimizer, loss = keras.optimizers.Adam(1e-3), MaskedCrossEntropy()
chosen = [w for w in network.trainable_variables if w.path.startswith(late)]
{before}
for _ in range(3):
    with tf.GradientTape() as tape:
        value = loss(labels, network(images, training=True))
    optimizer.apply(tape.gradient(value, [w.value for w in chosen]), chosen)"""
FREEZE = (
    "for layer in network.layers:\n    if not layer.name.startswith(late):\n        layer.trainable = False"
)
WRONG = [
    (0, FAULT.format(**FINE | {"down": 1})),  # a 1x1 where 2x2 stands
    (0, FAULT.format(**FINE | {"bias": 0})),  # no bias in the middle
    (0, FAULT.format(**FINE | {"small": 4})),  # no slopes
    (0, FAULT.format(**FINE | {"first": "channels", "second": "inputs"})),  # the wrong way round
    (0, FAULT.format(**FINE | {"norm": "channels"})),  # a bias and no normalisation
    (0, FAULT.format(**FINE | {"between": 2})),  # no slopes between
    (0, FAULT.format(**FINE | {"between": 4})),  # the averages counted, which nothing trains
    (1, "return row * column"),
    (1, "return np.einsum('xic,yco->xyio', row[0], column[:, 0])"),  # rows and columns swapped
    (1, "return np.einsum('xic,yco->yxio', row[0][::-1], column[:, 0])"),  # mirrored
    (1, "return np.einsum('xic,yco->yxio', row[0], column[:, 0]) / row.shape[-1]"),
    (1, "return np.einsum('xic,ydo->yxio', row[0], column[:, 0])"),  # every channel with every other
    (2, DECODER.format(**GOOD | {"trainable": "not layer.name.startswith(('stage1', 'stage2', 'stage3'))"})),
    (2, DECODER.format(**GOOD | {"trainable": "layer.name == 'scores'"})),
    (2, DECODER.format(**GOOD | {"rate": "1e-2"})),
    (2, DECODER.format(**GOOD | {"steps": 1})),
    (2, TAPE.format(before="pass")),  # the running averages move all the same
]  # fmt: skip
RIGHT = [
    (0, FAULT.format(**FINE)),
    (0, "one, other = inputs // 4, channels // 4\n"
        "return {'norm': other + 2 * other, '1x1': channels * (inputs + 2),\n"
        "        'input': (one - other) * (4 * inputs + channels + 7) + 9 * (one**2 - other**2)}[fault]"),
    (1, "return ops.transpose(ops.tensordot(row[0], column[:, 0], axes=[[2], [1]]), (2, 0, 1, 3))"),
    (1, "return np.array([[row[0, x] @ column[y, 0] for x in range(5)] for y in range(5)])"),
    (2, TAPE.format(before=FREEZE)),
    (2, "for layer in network.layers[: network.layers.index(network.get_layer('stage4_up_reduce'))]:\n"
        "    layer.trainable = False\nnetwork.compile('adam', MaskedCrossEntropy())\n"
        "network.fit(images, labels, batch_size=len(images), epochs=3, verbose=0)"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

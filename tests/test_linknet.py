"""LinkNet: counts, decoders and links against NumPy, a ReLU that does nothing, class weights, the study."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from helpers import ROOT, array, logits_of, noise

from segcourse import datasets, losses, models, studies
from segcourse.exercises import NotYet
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.blueprint import blueprint, trainable
from segcourse.models.cost import profile
from segcourse.models.linknet import encoder_maps, full_convolution, linknet
from segcourse.studies import linknet as study
from segcourse.studies.core.photographs import small_enough

RNG = np.random.default_rng(14)
LESSON = ROOT / "notebooks" / "14_linknet.ipynb"
ORIGINAL = 11_535_699  # the authors' port, 19 classes


def counted(**options):
    return trainable(blueprint(partial(linknet, **options)))


# Counts, by hand


def decoder_weights(m, n):
    """1x1 m -> m/4, 3x3 there, 1x1 m/4 -> n, without biases, and two numbers of each normalisation."""
    return m * m // 4 + 9 * (m // 4) ** 2 + m // 4 * n + 2 * (m // 4 + m // 4 + n)


def test_the_originals_number_of_weights():
    resnet18 = 11_689_512 - 512 * 1000 - 1000  # torchvision's, less its classifier
    decoders = sum(decoder_weights(*pair) for pair in ((512, 256), (256, 128), (128, 64), (64, 64)))
    head = (9 * 64 * 32 + 3 * 32) + (9 * 32 * 32 + 3 * 32) + 4 * 32 * 19 + 19  # biases; and normalisations
    assert resnet18 + decoders + head == ORIGINAL == counted()
    assert [counted(links=links) for links in range(5)] == [ORIGINAL] * 5 == [counted(relu=False)] * 5
    assert counted(classes=11) == ORIGINAL - 8 * (4 * 32 + 1)
    stacked = 256 * 64 + 128 * 32 + 64 * 16 + 9 * 64 * 32  # what the four readers of a link read besides
    assert counted(join="concat") == ORIGINAL + stacked


def test_the_decoders_multiply_adds():
    """By hand, a pixel: each decoder's convolutions at their strides, the head's at 4, 2 and 2."""
    by_hand = 3 * (64 + 144 + 128) + (64 + 144 + 64) + 9 * 64 * 32 // 16 + 9 * 32 * 32 // 4 + 4 * 32 * 19 // 4
    size = (64, 96)
    for options, expected in (({}, by_hand), ({"links": 0}, by_hand), ({"join": "concat"}, by_hand + 1344)):
        costs = profile(blueprint(partial(linknet, **options)), size).layers
        found = sum(c.multiply_adds for c in costs if c.name.startswith(("decoder", "head", "scores")))
        assert found == expected * size[0] * size[1]


# The decoders, links and head in NumPy


def full(x, kernel, stride, pad, sides):
    """Torch's full convolution, by definition: every cell adds the kernel [k, k, out, in] to its place."""
    size = kernel.shape[0]
    out = np.zeros((len(x), *(stride * (side - 1) + size + stride for side in x.shape[1:3]), kernel.shape[2]))
    for i, j in np.ndindex(x.shape[1:3]):
        out[:, stride * i : stride * i + size, stride * j : stride * j + size] += np.einsum(
            "bc,ijdc->bijd", x[:, i, j], kernel
        )
    return out[:, pad : pad + sides[0], pad : pad + sides[1]]


class ByHand:
    """The layers of a network by name, in NumPy; values in float64."""

    def __init__(self, model):
        self.of = {layer.name: [array(w).astype(float) for w in layer.weights] for layer in model.layers}

    def norm_relu(self, x, name, epsilon=1e-3):
        gamma, beta, mean, variance = self.of[f"{name}_norm"]
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, 0)

    def decoder(self, x, n, sides):
        x = self.norm_relu(x @ self.of[f"decoder{n}_reduce"][0][0, 0], f"decoder{n}_reduce")
        x = full(x, self.of[f"decoder{n}_full"][0], 1 if n == 1 else 2, 1, sides)
        x = self.norm_relu(x, f"decoder{n}_full")
        return self.norm_relu(x @ self.of[f"decoder{n}_expand"][0][0, 0], f"decoder{n}_expand")

    def head(self, x, half, sides):
        kernel, bias = self.of["head_full"]
        x = self.norm_relu(full(x, kernel, 2, 1, half) + bias, "head_full", 1.001e-5)
        kernel, bias = self.of["head_conv"]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = sum(
            padded[:, i : i + half[0], j : j + half[1]] @ kernel[i, j] for i in range(3) for j in range(3)
        )
        kernel, scores = self.of["scores"]
        return full(self.norm_relu(x + bias, "head_conv"), kernel, 2, 0, sides) + scores


def settled(model):
    """No normalisation is the identity, no bias and no score is zero."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([RNG.uniform(0.4, 1.2, w.shape) for w in layer.get_weights()])
        elif layer.name in ("head_full", "head_conv", "scores"):
            layer.set_weights([RNG.normal(0, 0.2, w.shape) for w in layer.get_weights()])
    return model


READ = {4: "stage3_unit2_relu", 3: "stage2_unit2_relu", 2: "stage1_unit2_relu", 1: "stem_pool"}


@pytest.mark.parametrize("size", [(64, 96), (45, 67)])
@pytest.mark.parametrize(("join", "links"), [("add", 4), ("add", 0), ("add", 3), ("concat", 4)])
def test_decoders_links_and_head(join, links, size):
    model = settled(linknet(classes=3, width=1 / 16, join=join, links=links))
    image, hand = noise(size), ByHand(model)
    names = [*READ.values(), "stage4_unit2_relu", "stem_conv1_relu"]
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in names])(image)
    maps = {name: array(output).astype(float) for name, output in zip(names, outputs, strict=True)}
    x = maps["stage4_unit2_relu"]
    for n, name in READ.items():
        x = hand.decoder(x, n, maps[name].shape[1:3])
        if n > 4 - links:
            x = x + maps[name] if join == "add" else np.concatenate([x, maps[name]], -1)
    expected = hand.head(x, maps["stem_conv1_relu"].shape[1:3], size)
    np.testing.assert_allclose(logits_of(model, image), expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("size", [(64, 96), (45, 67)])
def test_what_the_encoders_read(size):
    half, maps = encoder_maps(keras.Input((*size, 3)), 1 / 8)
    strides, channels = (2, 4, 4, 8, 16, 32), (8, 8, 8, 16, 32, 64)
    for x, stride, c in zip((half, *maps), strides, channels, strict=True):
        assert x.shape[1:] == (-(-size[0] // stride), -(-size[1] // stride), c)


def test_a_full_convolution_puts_cell_i_on_place_2_i():
    x, like = keras.Input((4, 5, 1)), keras.Input((7, 10, 1))
    model = keras.Model([x, like], full_convolution(x, 1, 2, like, "full"))
    kernel = np.arange(1.0, 10).reshape(3, 3, 1, 1)
    model.get_layer("full").set_weights([kernel])
    cell = np.zeros((1, 4, 5, 1), "float32")
    cell[0, 1, 2] = 1
    expected = np.zeros((7, 10))
    expected[1:4, 3:6] = kernel[:, :, 0, 0]  # around row 2, column 4
    np.testing.assert_array_equal(array(model([cell, np.zeros((1, 7, 10, 1))]))[0, :, :, 0], expected)


def test_the_ports_omission_changes_no_logit():
    one, other = (linknet(classes=3, width=1 / 16, relu=relu) for relu in (True, False))
    settled(one)
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(logits_of(one, noise((64, 96))), logits_of(other, noise((64, 96))))


def test_where_the_decoders_are_silent_the_stem_alone_speaks():
    model = settled(linknet(classes=3, width=1 / 16))
    last = model.get_layer("decoder1_expand_norm")
    last.set_weights([np.zeros(4), np.zeros(4), np.zeros(4), np.ones(4)])  # it says 0, whatever it reads
    before = logits_of(model, noise((64, 96)))
    for layer in model.layers:
        if layer.name.startswith("stage") and isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([RNG.normal(size=w.shape) for w in layer.get_weights()])
    np.testing.assert_array_equal(logits_of(model, noise((64, 96))), before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_shape": (64, 31, 3)}, "at least 32"),
        ({"join": "stack"}, "join='stack' is unknown: 'add', 'concat'"),
        ({"links": 5}, "links=5 is unknown: 0, 1, 2, 3, 4"),
    ],
)
def test_a_wrong_argument_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        models.build("linknet", **options)


def test_class_weights():
    labels = np.array([[[0, 0, 0, 1], [255, 0, 0, 1]]], np.uint8)
    weights = losses.max_frequency_weights(labels, 3)
    assert weights == pytest.approx([1 / np.log(2.02), 1 / np.log(1.02 + 2 / 5), 0])
    assert losses.max_frequency_weights(iter(labels), 3, constant=1.2)[0] == pytest.approx(1 / np.log(2.2))
    assert losses.max_frequency_weights(np.full((1, 2, 2), 255), 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"needed are 0\.\.1 or 255, got 2"):
        losses.max_frequency_weights(np.full((1, 2, 2), 2), 2)


# The studies


def test_every_variant_starts_near_the_loss_of_chance_and_from_equal_weights():
    labels = np.random.default_rng(1).integers(0, 11, (1, 96, 128), dtype=np.uint8)
    built = {v: study.build(v, 1, study.STUDY.settings) for v in study.VARIANTS}
    added = built["added"].get_weights()
    for v in ("none", "three", "weighted-enet", "weighted"):
        assert all((a == b).all() for a, b in zip(added, built[v].get_weights(), strict=True)), v
    found = [sum(layer.name.startswith("link") for layer in built[v].layers) for v in study.OPTIONS]
    assert found == [0, 6, 8, 4, 8, 8]  # an addition and a ReLU a link, or a concatenation
    for model in built.values():
        # In training: with the statistics of the start, normalisation would change nothing.
        loss = float(MaskedCrossEntropy()(labels, model(noise((96, 128)), training=True)))
        assert loss == pytest.approx(np.log(11), rel=0.1)


def test_costs_of_the_variants():
    costs = study.costs(study.STUDY.settings | {"size": [64, 96]})
    assert tuple(costs) == study.VARIANTS and costs["weighted-enet"] == costs["weighted"]
    assert costs["none"] == costs["three"] == costs["added"] == costs["weighted"]
    assert costs["concat"][0] - costs["added"][0] == 128 * 32 + 64 * 16 + 32 * 8 + 9 * 32 * 16  # half as wide


def stored_part(miou, rate=3e-3):
    test = dict.fromkeys(study.SCORES, 0.5) | {"miou": miou, "iou": [miou, 1 - miou]}
    history = {"step": [120, 240], "loss": [2.0, 1.0 + miou], "val_miou": [0.1, miou]}
    return {"test": test, "learning_rate": rate, "history": history}


def test_what_the_lesson_reads_of_a_result_in_which_parts_are_missing():
    parts = {f"none-{s}": stored_part(0.2 + 0.1 * int(s)) for s in study.SEEDS}
    parts |= {f"added-{s}": stored_part(0.5, 1e-2) for s in study.SEEDS} | {"concat-1": stored_part(0.9)}
    result = json.loads(json.dumps({"settings": study.STUDY.settings, "results": parts}))
    assert study.stored(result) == ("none", "added")
    assert study.per_seed(result, "miou")["none"] == pytest.approx([0.3, 0.4, 0.5])
    assert study.table(result, ("concat", "none"))["none"]["miou"] == pytest.approx((40, 10))
    assert study.class_iou(result)["none"][0] == pytest.approx([0.3, 0.7])
    assert study.curves(result, "none")["loss"][:, 1] == pytest.approx([1.3, 1.4, 1.5])
    costs = dict.fromkeys(study.VARIANTS, (1234, 0.5))
    lines = study.report(result, ("starter", "none", "added"), costs, {"none": "51.4"}).splitlines()
    assert lines[1].split() == ["starter", "not", "stored", "yet", "1,234", "0.500", "G", "-"]
    row = ["none", "40.0", "±", "10.0", "50.0", "±", "0.0", "50.0", "±", "0.0", "1,234", "0.500", "G", "51.4"]
    assert lines[2].split() == row
    assert lines[4] == "added minus none, mIoU, seed by seed: +20.0, +10.0, +0.0"
    assert lines[-1] == "learning rate of added: 0.01, the edge of the grid"
    nothing = {"settings": study.STUDY.settings, "results": {}}
    assert len(study.report(nothing, study.VARIANTS, costs, {}).splitlines()) == 8


def test_the_network_for_photographs_fits_into_a_file():
    found = studies.get("camvid-linknet")
    assert found.weights == ("camvid_linknet.weights.h5",) and found.settings["epochs"] == 60
    small_enough(blueprint(partial(linknet, width=0.4375, classes=len(datasets.spec("camvid")))))


# The exercises: wrong answers, and right ones of another form

COSTS = """pixels, more = height * width, 0
for stride, channels in ((16, 256), (8, 128), (4, 64)):
    more += pixels // stride**2 * {one}
return more + {head}"""
GOOD_COSTS = {"one": "channels * channels // 4", "head": "pixels // 16 * 64 * 32 * 9"}
PRINTED = """whole = {whole}
matrix = np.asarray(confusion_matrix(labels[:whole], predictions[:whole], classes), float)
hit = matrix.diagonal()
return {result}"""
MEANS = "(hit / matrix.sum(1)).mean()", "(hit / (matrix.sum(0) + matrix.sum(1) - hit)).mean()"
GOOD_PRINTED = {
    "whole": "len(labels) - len(labels) % batch",
    "result": f"100 * {MEANS[0]}, 100 * {MEANS[1]}",
}
GATED = """image = keras.Input((None, None, 3))
half, maps = encoder_maps(image, width)
x = maps[4]
for n in (4, 3, 2, 1):
    read, inner = maps[n - 1], maps[n].shape[-1] // 4
    x = decoder(x, inner, read.shape[-1], 1 if n == 1 else 2, read, f"decoder{{n}}")
    {link}
model = keras.Model(image, head(x, half, image, classes, width))
training.compile(model, keras.optimizers.Adam({rate}), MaskedCrossEntropy())
for _ in range({steps}):
    model.train_on_batch(images, labels)
return model"""
GOOD_GATED = {
    "link": 'x = link(x, Gate(name=f"gate{n}")(read), "add", True, f"link{n}")',
    "rate": "1e-2",
    "steps": "3",
}
WRONG = [
    (0, COSTS.format(**GOOD_COSTS | {"head": "0"})),  # the head forgotten
    (0, COSTS.format(**GOOD_COSTS | {"one": "channels * channels // 2"})),  # both inputs counted
    (0, COSTS.format(**GOOD_COSTS | {"one": "channels * channels"})),  # not to a quarter
    (0, COSTS.format(**GOOD_COSTS | {"head": "pixels // 16 * 64 * 32"})),  # as if 1x1
    (0, COSTS.format(**GOOD_COSTS | {"head": "pixels // 4 * 64 * 32 * 9"})),  # counted at its output
    (0, COSTS.format(**GOOD_COSTS).replace("((16,", "((32, 512), (16,")),  # decoder 4 reads no link
    (0, "return 1_376_256"),
    (1, PRINTED.format(**GOOD_PRINTED | {"whole": "len(labels)"})),  # all images
    (1, PRINTED.format(**GOOD_PRINTED | {"whole": "batch"})),  # the first batch
    (1, PRINTED.format(**GOOD_PRINTED | {"result": f"100 * {MEANS[1]}, 100 * {MEANS[0]}"})),
    (1, PRINTED.format(**GOOD_PRINTED | {"result": f"{MEANS[0]}, {MEANS[1]}"})),  # not in percent
    (1, PRINTED.format(**GOOD_PRINTED | {"result": f"100 * {MEANS[0].replace('sum(1)', 'sum(0)')}, 100 * {MEANS[1]}"})),  # noqa: E501
    (1, PRINTED.format(**GOOD_PRINTED | {"result": f"100 * hit.sum() / matrix.sum(), 100 * {MEANS[1]}"})),
    (2, GATED.format(**GOOD_GATED | {"steps": "0"})),
    (2, GATED.format(**GOOD_GATED | {"rate": "1e-3"})),
    (2, GATED.format(**GOOD_GATED | {"link": GOOD_GATED["link"].replace("(read)", "(maps[n])")})),
    (2, GATED.format(**GOOD_GATED | {"link": 'x = Gate(name=f"gate{n}")(link(x, read, "add", True, f"link{n}"))'})),  # noqa: E501
    (2, GATED.format(**GOOD_GATED | {"link": 'x = link(Gate(name=f"gate{n}")(x), read, "add", True, f"link{n}")'})),  # noqa: E501
    (2, GATED.format(**GOOD_GATED | {"link": GOOD_GATED["link"].replace('"add"', '"concat"')})),
    (2, "return linknet(classes=classes, width=width)"),  # no gates
]  # fmt: skip
RIGHT = [
    (0, COSTS.format(**GOOD_COSTS)),
    (0, "return height * width * (3 * 64 + 9 * 128)"),
    (1, PRINTED.format(**GOOD_PRINTED)),
    (1, "n = batch * (len(labels) // batch)\nt, p = labels[:n], predictions[:n]\nrecall, iou = [], []\n"
        "for c in range(classes):\n    both = ((t == c) & (p == c)).sum()\n"
        "    recall.append(both / (t == c).sum())\n"
        "    iou.append(both / ((t == c) | ((p == c) & (t != 255))).sum())\n"
        "return 100 * np.mean(recall), 100 * np.mean(iou)"),
    (2, GATED.format(**GOOD_GATED)),
    (2, GATED.format(**GOOD_GATED | {"link": 'x = layers.Add()([x, Gate(name=f"gate{n}")(read)])'})),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

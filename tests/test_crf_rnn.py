"""What defines CRF-as-RNN: the recurrence, its side of the matrices, its gradients, the network before it."""

import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, array, noise, randomize
from scipy.special import softmax
from test_exercises import SOLUTION, attempt, exercises

from segcourse import metrics, training
from segcourse.exercises import NotYet
from segcourse.layers.crf import dense_crf
from segcourse.layers.crf.recurrent import MeanFieldRNN
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.crf_rnn import crf_rnn, start_from_fcn8s, without_crf
from segcourse.models.fcn import fcn8s
from segcourse.studies import crf_rnn as study
from segcourse.studies.core import fitting

LAPTOP = {"classes": 3, "width": 1 / 32, "padding": "same", "fc6_size": 3}
WIDTHS = {"sigma_spatial": 1.5, "sigma_xy": 4.0, "sigma_rgb": 60.0}


def picture(seed=0, batch=1, size=(6, 7), classes=3):
    """Smooth logits and colors, so that the lattice has few isolated points: float32 both."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(batch, *size, classes)).astype("float32")
    return logits, random.uniform(0, 255, (batch, *size, 3)).astype("float32")


def layer_for(logits, seed=1, **arguments):
    """A layer with random matrices that are far from symmetric."""
    layer = MeanFieldRNN(**{**WIDTHS, **arguments})
    layer.build((logits.shape, (*logits.shape[:3], 3)))
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(array(weight) + random.normal(0, 0.4, weight.shape))
    return layer


class Dense:
    """The exact kernel of one image, pair by pair in NumPy, in the place of a filter: K / K 1."""

    def __init__(self, features):
        kernel = np.exp(-0.5 * np.square(features[:, None] - features[None]).sum(-1))
        self.matrix = kernel / (kernel.sum(1, keepdims=True) + 1e-20)

    def __call__(self, values):
        flat = keras.ops.reshape(values, (-1, values.shape[-1]))
        return keras.ops.reshape(keras.ops.matmul(self.matrix.astype("float32"), flat), values.shape)


def dense_filters(image, layer):
    height, width = image.shape[1:3]
    places = np.stack(np.mgrid[:height, :width][::-1], -1).reshape(-1, 2)
    colors = image[0].reshape(-1, 3)
    bilateral = np.concatenate([places / layer.sigma_xy, colors / layer.sigma_rgb], -1)
    return Dense(places / layer.sigma_spatial), Dense(bilateral)


def by_loops(logits, kernels, layer, iterations):
    """The original's recurrence with classes first, one class and one pixel after the other."""
    spatial, bilateral, mu = (array(weight) for weight in layer.weights)
    unary = logits[0].reshape(-1, logits.shape[-1]).T
    q, (classes, count) = unary.copy(), unary.shape
    for _ in range(iterations):
        probability, new = softmax(q, axis=0), unary.copy()
        filtered = [np.array([kernel.matrix @ row for row in probability]) for kernel in kernels]
        for i in range(count):
            for a in range(classes):
                for b in range(classes):
                    heard = spatial[b] @ filtered[0][:, i] + bilateral[b] @ filtered[1][:, i]
                    new[a, i] -= mu[a, b] * heard
        q = new
    return q.T.reshape(logits.shape)


# The recurrence


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_the_recurrence_with_the_exact_kernel_is_that_of_loops(iterations):
    logits, image = picture()
    layer = layer_for(logits)
    kernels, scores = dense_filters(image, layer), logits
    for _ in range(iterations):
        scores = layer.step(scores, logits, kernels)
    np.testing.assert_allclose(array(scores), by_loops(logits, kernels, layer, iterations), atol=2e-4)


def test_with_the_lattice_it_stays_close_to_the_exact_kernel():
    logits, image = picture(size=(12, 14))
    image = np.broadcast_to(np.linspace(0, 255, 14, dtype="float32")[None, None, :, None], image.shape)
    layer = layer_for(logits, iterations=5)
    exact = by_loops(logits, dense_filters(image, layer), layer, 5)
    difference = abs(softmax(array(layer([logits, image])), -1) - softmax(exact, -1))
    assert difference.mean() < 0.02
    assert difference.mean() < 0.2 * abs(softmax(logits, -1) - softmax(exact, -1)).mean()


def test_at_its_start_it_is_the_dense_crf_with_potts():
    logits, image = picture(batch=2, size=(9, 8))
    layer = MeanFieldRNN(**WIDTHS, spatial_weight=2.0, bilateral_weight=4.0, iterations=6)
    settings = {"w_spatial": 2.0, "w_bilateral": 4.0, "normalization": "after", "iterations": 6}
    expected = dense_crf(image, logits, **settings, **WIDTHS)
    np.testing.assert_allclose(softmax(array(layer([logits, image])), -1), array(expected), atol=1e-5)


def test_it_starts_as_the_original():
    layer = MeanFieldRNN()
    layer.build(((None, None, None, 21), (None, None, None, 3)))
    for weight, value in zip(layer.weights, (3, 5, -1), strict=True):
        np.testing.assert_array_equal(array(weight), value * np.eye(21))
    assert layer.count_params() == 3 * 21**2
    assert (layer.sigma_spatial, layer.sigma_xy, layer.sigma_rgb) == (3, 160, 3)
    assert (layer.iterations, layer.training_iterations) == (10, 5)


def test_iterations_in_training_and_at_test():
    logits, image = picture()
    layer = layer_for(logits, iterations=3, training_iterations=1)
    filters = layer.filters(image)
    one = layer.step(logits, logits, filters)
    three = layer.step(layer.step(one, logits, filters), logits, filters)
    np.testing.assert_allclose(array(layer([logits, image], training=True)), array(one), atol=1e-5)
    np.testing.assert_allclose(array(layer([logits, image])), array(three), atol=1e-5)


# Gradients


def test_gradients_agree_with_finite_differences():
    logits, image = picture(batch=2)
    layer = layer_for(logits, training_iterations=3)
    pull = np.random.default_rng(5).normal(size=logits.shape).astype("float32")
    inputs = tf.Variable(logits)

    def energy():
        return tf.reduce_sum(layer([inputs, image], training=True) * pull)

    variables = [inputs, *(weight.value for weight in layer.weights)]
    with tf.GradientTape() as tape:
        total = energy()
    quick = tf.function(energy, autograph=False)
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        start, slopes, step = variable.numpy(), [], 1e-2
        places = [np.unravel_index(i, start.shape) for i in range(0, start.size, max(1, start.size // 9))]
        for place in places:
            energies = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * step
                variable.assign(moved)
                energies.append(float(quick()))
            slopes.append((energies[0] - energies[1]) / (2 * step))
        variable.assign(start)
        found = np.array([gradient.numpy()[place] for place in places])
        assert abs(found).max() > 0
        np.testing.assert_allclose(found, slopes, atol=0.01 * abs(gradient.numpy()).max())


def test_no_gradient_flows_into_the_image():
    logits, image = picture()
    layer = layer_for(logits)
    with tf.GradientTape() as tape:
        colors = tf.Variable(image)
        total = tf.reduce_sum(tf.square(layer([tf.constant(logits), colors])))
    assert tape.gradient(total, colors) is None


# Batches, sizes, precision, files


def test_each_image_of_a_batch_is_computed_as_if_alone():
    logits, image = picture(batch=3, size=(8, 5))
    layer = layer_for(logits)
    together = array(layer([logits, image]))
    for n in range(3):
        alone = array(layer([logits[n : n + 1], image[n : n + 1]]))
        np.testing.assert_allclose(together[n : n + 1], alone, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3), (17, 9)])
def test_any_size_in_a_graph_of_unknown_size(size):
    logits, image = picture(size=size, batch=2)
    layer = layer_for(logits)
    inputs = [keras.Input((None, None, 3)), keras.Input((None, None, 3))]
    model = keras.Model(inputs, layer(inputs))
    model.compile(jit_compile=False)
    expected = array(layer([logits, image]))
    np.testing.assert_allclose(model.predict_on_batch([logits, image]), expected, atol=1e-4)


def test_it_computes_in_float32_under_mixed_precision():
    logits, image = picture()
    with training.precision("mixed_float16"):
        layer = MeanFieldRNN(**WIDTHS)
    assert layer.compute_dtype == "float32"
    result = layer([keras.ops.cast(logits, "float16"), image])
    assert keras.backend.standardize_dtype(result.dtype) == "float32"


def test_config_round_trip():
    layer = MeanFieldRNN(2, 1, 1.5, 20.0, 7.0, 0.5, 4.0, name="crf")
    twin = MeanFieldRNN.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config() and not layer.per_class
    assert MeanFieldRNN.from_config(MeanFieldRNN(per_class=True).get_config()).per_class
    assert layer.get_config()["sigma_rgb"] == 7.0 and layer.get_config()["iterations"] == 2


# A weight for each class


class ByVectors(MeanFieldRNN):
    """The paper's section 4.3 as it is written: a vector of weights for each kernel."""

    def build(self, input_shape):
        classes = input_shape[0][-1]
        for kernel in ("spatial", "bilateral"):
            first = keras.initializers.Constant(getattr(self, f"{kernel}_weight"))
            setattr(self, kernel, self.add_weight((classes,), first, name=kernel))
        self.mu = self.add_weight((classes, classes), keras.initializers.Identity(-1.0), name="mu")

    def step(self, scores, logits, filters):
        near, like = (one(keras.ops.softmax(scores)) for one in filters)
        message = self.spatial * near + self.bilateral * like
        return logits - keras.ops.einsum("bhwk,lk->bhwl", message, self.mu)


def trained(layer, steps=3):
    """The layer's weights after some steps of Adam, a hundred times faster than a network would learn."""
    logits, image = picture(batch=2)
    labels = np.random.default_rng(3).integers(0, 3, logits.shape[:3])
    inputs = [keras.Input(values.shape[1:]) for values in (logits, image)]
    model = keras.Model(inputs, layer(inputs))
    training.compile(model, keras.optimizers.Adam(1e-3), MaskedCrossEntropy(), lr_factors={layer.name: 100.0})
    for _ in range(steps):
        model.train_on_batch([logits, image], labels)
    return [array(weight) for weight in layer.weights]


def test_with_a_weight_for_each_class_it_learns_what_vectors_would():
    arguments = {**WIDTHS, "spatial_weight": 1.0, "bilateral_weight": 2.0}
    spatial, bilateral, mu = trained(MeanFieldRNN(**arguments, per_class=True))
    wanted = trained(ByVectors(**arguments))
    for found, vector in zip((spatial, bilateral), wanted, strict=False):
        np.testing.assert_allclose(found, np.diag(vector), atol=1e-4)
        assert np.ptp(vector) > 0.01, "the classes have learned weights of their own"
    np.testing.assert_allclose(mu, wanted[2], atol=1e-4)
    full = trained(MeanFieldRNN(**arguments))
    assert all((weights[~np.eye(3, dtype=bool)] != 0).all() for weights in full)


# Errors


@pytest.mark.parametrize("name", ["sigma_spatial", "sigma_xy", "sigma_rgb"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_bandwidth_that_is_none(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}.*above 0"):
        MeanFieldRNN(**{name: value})


@pytest.mark.parametrize("arguments", [{"iterations": -1}, {"training_iterations": -2}])
def test_fewer_than_no_iterations(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} = -.*0 or more"):
        MeanFieldRNN(**arguments)


@pytest.mark.parametrize(
    ("logits", "image", "message"),
    [
        ((1, 4, 4, 1), (1, 4, 4, 3), "at least two"),
        ((1, 4, 4, 3), (1, 4, 5, 3), "resize logits"),
        ((1, 4, 4, 3), (2, 4, 4, 3), "the same B, H"),
        ((1, 4, 4, 3), (1, 4, 4, 1), r"\[B, H, W, 3\]"),
    ],
)
def test_inputs_that_do_not_belong_together(logits, image, message):
    with pytest.raises(ValueError, match=message):
        MeanFieldRNN()([np.zeros(logits), np.zeros(image)])


# The network


def test_the_network_before_the_crf_is_lesson_01s():
    fcn, model = randomize(fcn8s(**LAPTOP)), crf_rnn(**LAPTOP, crf=WIDTHS)
    start_from_fcn8s(model, fcn)
    images = noise((45, 64), count=2)
    np.testing.assert_allclose(array(without_crf(model)(images)), array(fcn(images)), atol=1e-4)
    logits = array(fcn(images))
    refined = array(model.get_layer("crf")([logits, images.astype("float32")]))
    np.testing.assert_allclose(array(model(images)), refined, atol=1e-3)


def test_two_upsamplings_are_trained_and_one_has_a_bias():
    model = crf_rnn(**LAPTOP)
    trained = {weight.path for weight in model.trainable_weights}
    found = {path for path in trained if path.startswith("upscore")}
    assert found == {"upscore_to_pool4/kernel", "upscore_to_pool4/bias", "upscore_to_pool3/kernel"}
    fixed = {weight.path for weight in model.non_trainable_weights}
    assert "upscore8/kernel" in fixed


def test_a_network_of_another_width_is_an_error():
    with pytest.raises(ValueError, match="shape"):
        start_from_fcn8s(crf_rnn(**LAPTOP), fcn8s(**{**LAPTOP, "width": 1 / 16}))


def test_unknown_weights_are_an_error():
    with pytest.raises(ValueError, match="weights='vgg' is unknown: None, 'imagenet'"):
        crf_rnn(**LAPTOP, weights="vgg")


# The study


def test_a_separate_crf_is_judged_as_lesson_02s():
    images, labels = noise((24, 32), count=3), np.random.default_rng(1).integers(0, 3, (3, 24, 32))
    network = fcn8s(**LAPTOP)
    settings = {"search_scenes": 2, "search_iterations": 4, "batch": 1}
    judge = study.SeparateCRF((images, labels), network, settings)
    for xy, weight in ((4.0, 2.0), (4.0, 9.0), (2.0, 9.0)):  # the kernels of the first serve the second
        crf = {"sigma_spatial": 1.5, "sigma_xy": xy, "sigma_rgb": 60.0}
        found = judge(spatial_weight=1.0, bilateral_weight=weight, **crf)
        options = {**crf, "w_spatial": 1.0, "w_bilateral": weight, "normalization": "after", "iterations": 4}
        labels_of = [
            array(dense_crf(one[None].astype("float32"), network(one[None]), **options)).argmax(-1)
            for one in images[:2]
        ]
        counts = metrics.confusion_matrix(labels[:2], np.concatenate(labels_of), 3)
        assert found == pytest.approx(metrics.scores(counts)["miou"], abs=1e-3)


def test_what_is_trained():
    settings = study.STUDY.settings
    for trained_part, names in (("crf", {"crf"}), ("network", None), ("everything", None)):
        model = crf_rnn(**LAPTOP, crf=WIDTHS)
        student, factors = study.student(model, trained_part, settings)
        layers = {weight.path.split("/")[0] for weight in student.trainable_weights}
        assert layers == names if names else ("crf" in layers) == (trained_part == "everything")
        assert (factors is None) == (trained_part == "network")


def test_variants_begin_alike_and_learn_at_rates_of_their_own(monkeypatch, tmp_path):
    calls = []
    small = {"width": 1 / 32, "padding": "same", "fc6_size": 3}
    settings = {**study.STUDY.settings, "network": small, "val_scenes": 2, "most_searched": 2}

    def rounds(model, optimizer, data, settings, seed, steps, round_steps, folder, **options):
        rate = float(optimizer.learning_rate)
        calls.append((model.name, seed, steps, settings["batch"], pytest.approx(rate), options))
        if model.name == "crf_rnn":
            crf = model.get_layer("crf")
            calls[-1] += (crf.training_iterations, crf.per_class)
        columns = ("step", "loss", "val_loss", "val_miou", "seconds")
        return dict.fromkeys(columns, [1 - abs(np.log10(rate / settings["learning_rates"][1]))])

    def load(name, split):
        return noise((32, 32), count=2), np.random.default_rng(0).integers(0, 11, (2, 32, 32), "uint8")

    monkeypatch.setattr(fitting, "rounds", rounds)
    monkeypatch.setattr(study.datasets, "load", load)
    monkeypatch.setattr(study.store, "scratch", lambda *key: tmp_path / "-".join(map(str, key[:3]))[:40])
    monkeypatch.setattr(study.vgg16_toycam, "classifier", lambda width: fcn8s(classes=11, **small))
    part = study._run("joint-per-class-2", settings)
    *trials, last = [call for call in calls if call[0] == "crf_rnn"]
    assert [call[:5] for call in trials] == [("crf_rnn", 0, 100, 4, rate) for rate in (3e-4, 1e-3, 3e-3)]
    assert last == ("crf_rnn", 2000, 200, 4, 1e-3, {"lr_factors": {"crf": 100.0}}, 5, True)
    assert ("fcn8s", 2, 800, 8, 1e-3, {}) in calls and part["learning_rate"] == 1e-3
    assert len(part["miou"]) == 11 and set(part["crf"]) == set(study.SEARCHED) and len(part["search"]) == 2
    calls.clear()
    study._run("joint-10-2", settings)
    assert [call[6] for call in calls if call[0] == "crf_rnn"] == [5, 5, 5, 10], "its rate is that of 'joint'"
    calls.clear()
    part = study._run("starter-2", settings)
    assert [call[2:5] for call in calls] == [*((300, 8, rate) for rate in (3e-4, 1e-3, 3e-3)), (900, 8, 1e-3)]
    assert len(part["search"]) == 2 and {"0", "10"} <= set(map(str, part["iterations"]))


def stored(mious, seed):
    """A part of a stored result: mIoU after 0 and 10 iterations, and a search from 1 to 3/2 and back."""
    scores = {
        t: dict.fromkeys(study.SCORES, 0.5) | {"miou": m}
        for t, m in zip(("0", "5", "10"), mious, strict=True)
    }
    first = dict.fromkeys(study.SEARCHED, 1.0)
    around = [{**first, name: value} for name in first for value in (1.5, 0.6667)]
    rates = {"0.0001": 0.1, "0.0003": 0.2, "0.001": 0.1}
    return {
        "rates": rates,
        "learning_rate": 3e-4,
        "search": [{**row, "miou": 0.1} for row in around[: 10 - seed % 2]] + [{**first, "miou": 0.2}],
        "miou": np.linspace(mious[0], mious[2], 11).tolist(),
        "iterations": scores,
        "crf": dict.fromkeys(study.SEARCHED, 2.0),
        "compatibility": (-np.eye(3)).tolist(),
        "spatial_weights": (np.eye(3) * 3.0).tolist(),
        "bilateral_weights": np.full((3, 3), 2.0).tolist(),
    }


def test_what_the_lesson_reads_of_the_result():
    mious = {"starter": (0.6, 0.6, 0.62), "network": (0.4, 0.44, 0.45), "joint": (0.4, 0.5, 0.55)}
    result = {
        "results": {f"{v}-{s}": stored(np.add(m, s / 100), s) for v, m in mious.items() for s in (1, 2, 3)},
        "settings": {"search_factor": 1.5},
    }
    rows = study.table(result)
    assert list(rows) == ["starter", "starter + separate CRF", "network", "network + separate CRF",
                          "joint, full matrices", "joint, 5 at test"]  # fmt: skip
    assert rows["network + separate CRF"]["miou"] == pytest.approx((47, 1))
    gained = study.gains(result)
    assert gained["joint, full matrices", "network + separate CRF"] == pytest.approx([10, 10, 10])
    assert len(gained) == 5 and study.by_iterations(result)["joint"].shape == (3, 11)
    report = study.report(result)
    assert "network + separate CRF minus network, mIoU, seed by seed: +5.0, +5.0, +5.0" in report
    lines = [line for line in report.splitlines() if line.startswith("separate CRF of network")]
    assert [line.endswith("inside") for line in lines] == [False, True, False]
    mean, same = study.learned_changes(result)["spatial"]
    np.testing.assert_allclose(mean, np.eye(3) - 1 / 3, atol=1e-6)
    assert same.all()


def test_every_row_is_of_a_variant_and_every_claim_of_rows():
    assert {variant for variant, _ in study.ROWS.values()} == set(study.VARIANTS)
    assert {row for pair in study.CLAIMS for row in pair} == set(study.ROWS)
    assert study.STUDY.parts[0] == "starter-1" and len(study.STUDY.parts) == 18
    assert all(v.rate_of is None or v.rate_of in study.VARIANTS for v in study.VARIANTS.values())
    settings = study.STUDY.settings
    pictures = settings["start"]["steps"] * settings["start"]["batch"] + settings["steps"] * settings["batch"]
    assert settings["starter"]["steps"] * settings["starter"]["batch"] == pictures


# The exercises: wrong answers, and right ones of another form

BUILD = """classes, start = input_shape[0][-1], keras.initializers.Constant
self.spatial_weights = self.add_weight((classes,), start(self.spatial_weight), name="spatial_weights")
self.bilateral_weights = self.add_weight((classes,), start(self.bilateral_weight), name="bilateral_weights")
minus = keras.initializers.Identity(-1.0)
self.compatibility = self.add_weight((classes, classes), minus, name="compatibility")"""
Q = "q, (near, like) = ops.softmax(scores), filters\n"
MESSAGE = "message = near(q) * self.spatial_weights + like(q) * self.bilateral_weights\n"
STEP = Q + MESSAGE + "return logits - ops.matmul(message, ops.transpose(self.compatibility))"
SWEEP = """q = marginals.copy()
for i in range(len(q)):
    powers = np.exp(logits[i] - mu @ (kernel[i] @ q))
    q[i] = powers / powers.sum()
return q"""
SETTLE = """for count in range(1, most + 1):
    new = step(scores)
    before, after = (np.array(ops.softmax(s)) for s in (scores, new))
    scores = new
    if {rest}:
        break
return scores, count"""


def settle(rest):
    return (SETTLE.format(rest=rest),)


WRONG = [
    (0, (BUILD.replace("(classes,)", "()"), STEP)),  # one number for a kernel
    (0, (BUILD.replace("(classes,)", "(classes, classes)"), STEP)),
    (0, (BUILD.replace("start(self.spatial_weight)", "start(3.0)"), STEP)),
    (0, (BUILD, STEP.replace("ops.softmax(scores)", "scores"))),
    (0, (BUILD, STEP.replace("logits -", "logits +"))),
    (0, (BUILD, STEP.replace("logits -", "scores -"))),
    (0, (BUILD, STEP.replace("ops.transpose(self.compatibility)", "self.compatibility"))),
    (0, (BUILD, STEP.replace("near, like", "like, near"))),
    (0, (BUILD, Q + "pay = lambda f: ops.matmul(f(q), ops.transpose(self.compatibility))\n"
         "return logits - pay(near) * self.spatial_weights - pay(like) * self.bilateral_weights")),
    (1, ("powers = np.exp(logits - kernel @ marginals @ mu.T)\n"
         "return powers / powers.sum(1, keepdims=True)",)),  # all at once
    (1, (SWEEP.replace("marginals.copy()", "marginals"),)),
    (1, (SWEEP.replace("range(len(q))", "reversed(range(len(q)))"),)),
    (1, (SWEEP.replace("mu @", "mu.T @"),)),
    (1, (SWEEP.replace("logits[i] -", "logits[i] +"),)),
    (1, (SWEEP.replace("logits[i] - ", "-"),)),
    (1, (SWEEP.replace("kernel[i] @ q", "q.sum(0) - q[i]"),)),
    (1, (SWEEP.replace(" / powers.sum()", ""),)),
    (2, settle("np.abs(after - before).mean() <= tolerance")),
    (2, settle("(after - before).max() <= tolerance")),
    (2, settle("(before - after).max() <= tolerance")),
    (2, settle("abs((after - before).sum()) <= tolerance")),
    (2, settle("np.linalg.norm(after - before) <= tolerance")),
    (2, settle("(after.argmax(-1) == before.argmax(-1)).all()")),
    (2, settle("np.abs(new - step(new)).max() <= tolerance")),  # the scores
    (2, settle("False")),
    (2, (SETTLE.format(rest="np.abs(after - before).max() <= tolerance").replace(", count", ", count - 1"),)),
]  # fmt: skip
RIGHT = [
    (0, (BUILD, "diagonals = ops.diag(self.spatial_weights), ops.diag(self.bilateral_weights)\n"
         "return mean_field_step(scores, logits, filters, *diagonals, self.compatibility)")),
    (0, ("classes = check_sizes(*input_shape)\n"
         "for name in ('spatial', 'bilateral'):\n"
         "    start = keras.initializers.Constant(getattr(self, f'{name}_weight'))\n"
         "    setattr(self, f'{name}_weights', self.add_weight((classes,), start, name=f'{name}_weights'))\n"
         "self.compatibility = self.add_weight((classes, classes), 'zeros', name='compatibility')\n"
         "self.compatibility.assign(-np.eye(classes))",
         Q + MESSAGE + "return logits - ops.einsum('bhwk,lk->bhwl', message, self.compatibility)")),
    (1, ("rows = [list(row) for row in marginals]\n"
         "for i, row in enumerate(rows):\n"
         "    heard = [sum(k * r[b] for k, r in zip(kernel[i], rows)) for b in range(len(row))]\n"
         "    pay = [sum(m * h for m, h in zip(line, heard)) for line in mu]\n"
         "    rows[i] = list(np.array(ops.softmax(np.array(logits[i]) - pay)))\n"
         "return np.array(rows)",)),
    (2, ("count, moved = 0, np.inf\n"
         "while count < most and moved > tolerance:\n"
         "    old, scores = scores, step(scores)\n"
         "    moved = np.linalg.norm(np.ravel(ops.softmax(scores) - ops.softmax(old)), np.inf)\n"
         "    count += 1\n"
         "return scores, count",)),
    (2, settle("np.allclose(after, before, rtol=0, atol=tolerance)")),
]  # fmt: skip


@pytest.fixture
def answer(monkeypatch):
    """Runs the check of an exercise on an answer, one text for each of its solutions."""
    monkeypatch.chdir(ROOT / "notebooks")

    def run(number, bodies):
        exercise, check = exercises(ROOT / "notebooks/03_crf_as_rnn.ipynb")[number]
        texts = iter(bodies)
        filled = SOLUTION.sub(lambda found: textwrap.indent(next(texts), found[1]), exercise)
        assert next(texts, None) is None
        attempt(ROOT / "notebooks/03_crf_as_rnn.ipynb", filled, check)

    return run


@pytest.mark.parametrize(("number", "bodies"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, bodies):
    answer(number, bodies)


@pytest.mark.parametrize(("number", "bodies"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, bodies):
    with pytest.raises(NotYet):
        answer(number, bodies)

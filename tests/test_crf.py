"""The dense CRF: inference against all labellings, filters against full matrices and a slow lattice."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from segcourse.kernels import crf as crf_kernels
from segcourse.layers import crf
from segcourse.layers.crf.lattice import Lattice


def gaussian(features):
    """The kernel matrix, pair by pair."""
    return np.array([[np.exp(-0.5 * np.sum((a - b) ** 2)) for b in features] for a in features])


def random_picture(seed, batch=1, height=6, width=7):
    random = np.random.default_rng(seed)
    return random.uniform(0, 255, (batch, height, width, 3)).astype("float32")


def random_values(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# ---- all labellings of a tiny picture


def all_energies(unary, kernel, cost):
    """Every labelling of N pixels and its energy, from the definition alone."""
    count, classes = unary.shape
    labellings = list(itertools.product(range(classes), repeat=count))
    energies = [
        sum(unary[i, x[i]] for i in range(count))
        + sum(kernel[i, j] * cost[x[i], x[j]] for i in range(count) for j in range(i + 1, count))
        for x in labellings
    ]
    return np.array(labellings), np.array(energies)


def exact_marginals(labellings, energies, classes):
    weights = softmax(-energies)
    return np.stack([((labellings == label) * weights[:, None]).sum(0) for label in range(classes)], -1)


def tiny(seed, height=2, width=3, classes=3):
    """Unaries, features and a random symmetric cost of a picture that has at most 729 labellings."""
    random = np.random.default_rng(seed)
    unary = random.normal(size=(height * width, classes))
    features = random.normal(size=(height * width, 5)).astype("float32")
    cost = random.uniform(size=(classes, classes))
    return unary, features, cost + cost.T


def infer(unary, features, weight, cost, iterations, size):
    kernel = crf.ExactFilter(features, include_self=False)
    logits = -unary.reshape(1, *size, -1).astype("float32")
    scores = crf.mean_field(logits, [(weight, kernel)], cost.astype("float32"), iterations)
    return softmax(np.array(scores, "float64").reshape(unary.shape), axis=-1)


@pytest.mark.parametrize("seed", range(3))
def test_energy_is_the_definition(seed):
    unary, features, cost = tiny(seed)
    kernel = 1.7 * gaussian(features)
    labellings, energies = all_energies(unary, kernel, cost)
    for index in (0, 100, 363, 728):
        assert crf.energy(labellings[index], unary, kernel, cost) == pytest.approx(energies[index])
    potts = all_energies(unary, kernel, 1 - np.eye(3))[1]
    assert crf.energy(labellings[100], unary, kernel) == pytest.approx(potts[100])


@pytest.mark.parametrize(("seed", "size"), [(0, (2, 2)), (1, (2, 3)), (2, (2, 3))])
def test_the_fixed_point_is_a_stationary_point_of_the_free_energy(seed, size):
    unary, features, cost = tiny(seed, *size)
    labellings, energies = all_energies(unary, 0.8 * gaussian(features), cost)
    q = infer(unary, features, 0.8, cost, 200, size)
    pixels = np.arange(len(unary))

    def expected_energy_given(i, label):
        chosen = labellings[:, i] == label
        others = np.delete(q[pixels, labellings[chosen]], i, axis=1)
        return (others.prod(1) * energies[chosen]).sum()

    for i in pixels:
        slope = [np.log(q[i, label]) + expected_energy_given(i, label) for label in range(3)]
        np.testing.assert_allclose(slope, slope[0], atol=1e-5)

    def free_energy(q):
        probability = q[pixels, labellings].prod(1)
        return (probability * energies).sum() + (q * np.log(q)).sum()

    log_partition = np.log(np.exp(-energies).sum())
    start = softmax(-unary, axis=-1)
    assert -log_partition <= free_energy(q) <= free_energy(start)
    assert free_energy(q) < free_energy(0.9 * q + 0.1 * start)


def test_weakly_coupled_marginals_are_right_to_first_order():
    unary, features, cost = tiny(3)

    def error(weight):
        labellings, energies = all_energies(unary, weight * gaussian(features), cost)
        return abs(
            infer(unary, features, weight, cost, 50, (2, 3)) - exact_marginals(labellings, energies, 3)
        ).max()

    assert error(0.2) < 0.02
    assert 3 < error(0.2) / error(0.1) < 5


def test_two_pixels_by_hand():
    logits = np.array([1.0, 0.0, 0.0, 0.0], "float32").reshape(1, 1, 2, 2)
    filters = [(3.0, crf.ExactFilter(np.array([[0.0], [1.0]], "float32"), include_self=False))]
    k = np.exp(-0.5)
    first, second = np.array(keras.ops.softmax(crf.mean_field(logits, filters, iterations=1)))[0, 0, :, 0]
    assert first == pytest.approx(expit(1.0))  # its neighbor is undecided
    assert second == pytest.approx(expit(3 * k * (2 * expit(1.0) - 1)))


def test_no_weight_is_softmax_and_potts_is_minus_the_identity():
    picture, logits = random_picture(0), random_values(1, (1, 6, 7, 4))
    alone = crf.dense_crf(picture, logits, w_bilateral=0, w_spatial=0)
    np.testing.assert_allclose(alone, softmax(logits, axis=-1), atol=1e-6)
    kernel = [(0.3, crf.ExactFilter(crf.bilateral_features(picture, 4, 60)))]
    minus = crf.mean_field(logits, kernel, -np.eye(4, dtype="float32"), 3)
    np.testing.assert_allclose(crf.mean_field(logits, kernel, iterations=3), minus, atol=1e-5)
    potts = crf.mean_field(logits, kernel, 1 - np.eye(4, dtype="float32"), 3)
    np.testing.assert_allclose(softmax(potts, -1), softmax(minus, -1), atol=1e-5)
    np.testing.assert_array_equal(crf.mean_field(logits, kernel, iterations=0), logits)


def test_rows_of_the_compatibility_are_the_labels_that_pay():
    """Label 0 costs 2 beside label 1, and label 1 nothing beside label 0."""
    logits = np.zeros((1, 1, 2, 2), "float32")
    kernel = [(1.0, crf.ExactFilter(np.zeros((2, 1), "float32"), include_self=False))]
    scores = crf.mean_field(logits, kernel, np.array([[0.0, 2.0], [0.0, 0.0]], "float32"), 1)
    np.testing.assert_allclose(np.array(scores)[0, 0], [[-1, 0], [-1, 0]])


# ---- the filters


def exact(features, values):
    shape = values.shape
    rows = values.reshape(shape[0], -1, shape[-1])
    return np.stack([gaussian(f) @ v for f, v in zip(features, rows, strict=True)]).reshape(shape)


def test_features_and_exact_filter():
    picture = random_picture(2, batch=2)
    features = np.array(crf.bilateral_features(picture, 4, 60))
    y, x = 3, 5
    expected = [x / 4, y / 4, *(picture[1, y, x] / 60)]
    np.testing.assert_allclose(features[1, y * 7 + x], expected, rtol=1e-6)
    np.testing.assert_allclose(crf.position_features(6, 7, 2)[y * 7 + x], [x / 2, y / 2])
    values = random_values(3, (2, 6, 7, 3))
    np.testing.assert_allclose(
        crf.ExactFilter(features)(values), exact(features, values), rtol=1e-4, atol=1e-5
    )
    without = crf.ExactFilter(features, include_self=False)(values)
    np.testing.assert_allclose(without, exact(features, values) - values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 40.0])
def test_spatial_filter_is_the_exact_gaussian(sigma):
    values = random_values(4, (2, 13, 24, 3))
    features = np.array(crf.position_features(13, 24, sigma))
    result = np.array(crf.SpatialFilter(13, 24, sigma)(values))
    expected = exact([features] * 2, values)
    assert abs(result - expected).max() < 1e-6 * exact([features] * 2, abs(values)).max()


def test_what_the_spatial_filter_leaves_out_is_below_float_precision():
    """In a long row the filter ends at 5.5 bandwidths: of a row of ones 4e-8 are missing."""
    taps = np.exp(-0.5 * (np.arange(-1000, 1001) / 3) ** 2)
    kept = np.array(crf.SpatialFilter(1, 1001, 3)(np.ones((1, 1, 1001, 1))))[0, 0, 500, 0]
    assert kept == pytest.approx(taps.sum(), rel=2e-7)


def permutohedral(features, values):
    """Splat, blur and slice of Adams et al. 2010, section 4, point by point, with a dictionary of vertices.

    Each vertex is in the plane of d + 1 coordinates with sum 0, as in their paper; nothing is shared with the
    tested code, which works in other coordinates.
    """
    d = features.shape[1]
    scale = np.sqrt(2 / 3) * (d + 1) / np.sqrt([(i + 1) * (i + 2) for i in range(d)])
    table, corners = {}, []
    for feature, value in zip(features.astype("float64"), values, strict=True):
        scaled = feature * scale
        elevated = np.array([scaled[j:].sum() - (j * scaled[j - 1] if j else 0) for j in range(d + 1)])
        nearest = np.round(elevated / (d + 1)).astype(int) * (d + 1)
        rank = np.argsort(np.argsort(-(elevated - nearest), kind="stable"), kind="stable")
        excess = nearest.sum() // (d + 1)
        rank += excess
        nearest[rank < 0] += d + 1
        nearest[rank > d] -= d + 1
        rank %= d + 1
        barycentric = np.zeros(d + 2)
        for j in range(d + 1):
            step = (elevated[j] - nearest[j]) / (d + 1)
            barycentric[d - rank[j]] += step
            barycentric[d + 1 - rank[j]] -= step
        barycentric[0] += 1 + barycentric[d + 1]
        vertices = [tuple(nearest + np.where(rank <= d - k, k, k - d - 1)) for k in range(d + 1)]
        corners.append((vertices, barycentric[: d + 1]))
        for vertex, weight in zip(*corners[-1], strict=True):
            table[vertex] = table.get(vertex, 0) + weight * value
    for j in range(d + 1):
        direction = np.ones(d + 1, int)
        direction[j] = -d
        table = {
            vertex: old
            + 0.5 * table.get(tuple(vertex + direction), 0)
            + 0.5 * table.get(tuple(vertex - direction), 0)
            for vertex, old in table.items()
        }
    blurred = [sum(w * table[v] for v, w in zip(*corner, strict=True)) for corner in corners]
    return np.array(blurred) / (1 + 2.0**-d), len(table)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_lattice_is_that_of_the_paper(d, spread):
    random = np.random.default_rng(d)
    features = (spread * random.normal(size=(60, d))).astype("float32")
    values = random.normal(size=(60, 2)).astype("float32")
    lattice = Lattice(features, np.zeros(len(features), "int64"))
    expected, count = permutohedral(features, values)
    assert int(lattice.count) == count
    np.testing.assert_allclose(lattice(values), expected, rtol=1e-4, atol=1e-5)


def full_matrix(kernel_filter, height, width):
    """The matrix of a filter of one image, column by column."""
    ones = np.eye(height * width, dtype="float32").reshape(1, height, width, -1)
    return np.array(kernel_filter(ones)).reshape(height * width, -1)


def smooth_picture(batch=1, height=20, width=24):
    """Two colored areas with a soft edge and a little noise: enough alike for a lattice to be of use."""
    y, x = np.mgrid[:height, :width]
    edge = expit((x - width / 2 - 3 * np.sin(y / 3)) / 2)[..., None]
    area = edge * [190, 150, 90] + (1 - edge) * [60, 80, 120]
    noise = np.random.default_rng(7).normal(0, 4, (batch, height, width, 3))
    return (area + noise).clip(0, 255).astype("float32")


def test_lattice_is_near_the_gaussian():
    """Normalised, as it is used. Measured: rows apart by 0.06, at most 0.13, of 1; correlation 0.990."""
    picture = smooth_picture()
    features = np.array(crf.bilateral_features(picture, 6, 30))[0]
    wanted, found = gaussian(features), full_matrix(crf.BilateralFilter(picture, 6, 30), 20, 24)
    wanted, found = (k / k.sum(1, keepdims=True) for k in (wanted, found))
    apart = abs(wanted - found).sum(1) / 2
    assert apart.mean() < 0.08 and apart.max() < 0.16
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("kind", ["bilateral", "spatial", "exact"])
def test_gradient_is_the_transposed_matrix(kind):
    picture = smooth_picture(height=7, width=8)
    kernel = {
        "bilateral": lambda: crf.BilateralFilter(picture, 3, 30),
        "spatial": lambda: crf.SpatialFilter(7, 8, 1.5),
        "exact": lambda: crf.ExactFilter(crf.bilateral_features(picture, 3, 30)),
    }[kind]()
    values, upstream = (tf.constant(random_values(seed, (1, 7, 8, 2))) for seed in (5, 6))
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = kernel(values)
    gradient = np.array(tape.gradient(result, values, upstream)).reshape(56, 2)
    matrix = full_matrix(kernel, 7, 8)
    np.testing.assert_allclose(
        np.array(result).reshape(56, 2), matrix @ np.array(values).reshape(56, 2), atol=1e-4
    )
    np.testing.assert_allclose(gradient, matrix.T @ np.array(upstream).reshape(56, 2), atol=1e-4)


def test_gradients_are_those_of_finite_differences():
    """In the logits, the weights and the compatibility, through three iterations with two kernels."""
    picture, logits = smooth_picture(height=5, width=6), random_values(8, (1, 5, 6, 3))
    target = random_values(9, logits.shape)
    kernels = [crf.BilateralFilter(picture, 3, 30), crf.SpatialFilter(5, 6, 1.0)]
    kernels = [
        crf.normalized(k, picture, how) for k, how in zip(kernels, ("symmetric", "after"), strict=True)
    ]
    cost = (1 - np.eye(3) + 0.2 * np.random.default_rng(1).normal(size=(3, 3))).astype("float32")
    start = [logits, np.float32(0.7), np.float32(0.4), cost]

    def loss(logits, first, second, cost):
        scores = crf.mean_field(logits, [(first, kernels[0]), (second, kernels[1])], cost, 3)
        return tf.reduce_sum(tf.nn.softmax(scores) * target)

    variables = [tf.Variable(value) for value in start]
    with tf.GradientTape() as tape:
        value = loss(*variables)
    gradients = tape.gradient(value, variables)
    for index, gradient in enumerate(gradients):
        direction = np.random.default_rng(index).normal(size=start[index].shape).astype("float32")
        step = 1e-2
        ends = [
            [*start[:index], start[index] + sign * step * direction, *start[index + 1 :]] for sign in (1, -1)
        ]
        slope = (float(loss(*ends[0])) - float(loss(*ends[1]))) / (2 * step)
        assert float(np.sum(np.array(gradient) * direction)) == pytest.approx(slope, rel=2e-2, abs=2e-3)


def test_no_gradient_reaches_the_image():
    picture, values = tf.constant(smooth_picture(height=5, width=6)), random_values(1, (1, 5, 6, 2))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        result = crf.BilateralFilter(picture, 3, 30)(values)
    assert tape.gradient(result, picture) is None


@pytest.mark.parametrize("how", ["none", "symmetric", "after"])
def test_normalisations(how):
    picture, values = smooth_picture(height=6, width=7), random_values(3, (1, 6, 7, 2))
    kernel = crf.BilateralFilter(picture, 3, 30)
    matrix = full_matrix(kernel, 6, 7).astype("float64")
    mass = matrix.sum(1)
    expected = {
        "none": matrix,
        "symmetric": matrix / np.sqrt(np.outer(mass, mass)),
        "after": matrix / mass[:, None],
    }[how] @ values.reshape(42, 2)
    result = crf.normalized(kernel, picture, how)(values)
    np.testing.assert_allclose(np.array(result).reshape(42, 2), expected, rtol=1e-4, atol=1e-5)


# ---- batches, sizes, graphs, precision, backends


def test_a_batch_is_its_images():
    pictures = np.concatenate([smooth_picture(), 255 - smooth_picture(), random_picture(1, 1, 20, 24)])
    values = random_values(2, (3, 20, 24, 4))
    together = np.array(crf.BilateralFilter(pictures, 7.3, 31)(values))
    for k in range(3):
        alone = np.array(crf.BilateralFilter(pictures[k : k + 1], 7.3, 31)(values[k : k + 1]))[0]
        np.testing.assert_allclose(together[k], alone, rtol=1e-4, atol=1e-4)


def test_one_graph_serves_all_sizes():
    unknown = tf.TensorSpec([None, None, None, 3])
    graph = tf.function(
        lambda image, logits: crf.dense_crf(image, logits, iterations=2), input_signature=[unknown] * 2
    )
    for batch, height, width in ((1, 9, 14), (2, 16, 5)):
        picture = np.concatenate([smooth_picture(height=height, width=width)] * batch)
        logits = 3 * random_values(1, picture.shape)
        expected = np.array(crf.dense_crf(picture, logits, iterations=2))
        assert abs(np.array(graph(picture, logits)) - expected).mean() < 1e-3


def test_plain_operations_give_the_same(monkeypatch):
    """What runs on JAX and PyTorch, sorting and segment sums, against the kernels of NumPy and SciPy."""
    pictures, values = (
        np.concatenate([smooth_picture(), random_picture(1, 1, 20, 24)]),
        random_values(2, (2, 20, 24, 3)),
    )
    upstream = tf.constant(random_values(3, values.shape))

    def both():
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(values))
            result = crf.BilateralFilter(pictures, 7.3, 31)(x)
        return np.array(result), np.array(tape.gradient(result, x, upstream))

    fast = both()
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    for quick, plain in zip(fast, both(), strict=True):
        np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-4)
    # In a graph the number of vertices is not known: there is room for all, and the rest stays empty.
    graph = tf.function(lambda p, v: crf.BilateralFilter(p, 7.3, 31)(v))
    np.testing.assert_allclose(graph(pictures, values), fast[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("how", ["symmetric", "after"])
def test_fast_iterations_are_the_plain_ones(how, monkeypatch):
    """Also with scores so large that their exponentials leave float32, two lattices, and in the gradient."""
    pictures = np.concatenate([smooth_picture(), random_picture(1, 1, 20, 24)])
    logits, upstream = 60 * random_values(2, (2, 20, 24, 3)), tf.constant(random_values(3, (2, 20, 24, 3)))
    kernels = [
        crf.BilateralFilter(pictures, 7.3, 31),
        crf.SpatialFilter(20, 24, 2),
        crf.BilateralFilter(pictures, 3, 99),
    ]
    pairwise = [
        (weight, crf.normalized(k, logits, how)) for weight, k in zip((2.0, 1, 0.5), kernels, strict=True)
    ]

    def both():
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(logits))
            result = crf.mean_field(x, pairwise, iterations=3)
        return np.array(result), np.array(tape.gradient(result, x, upstream))

    fast = both()
    monkeypatch.setattr(crf_kernels, "serves", lambda *_: False)
    for quick, plain in zip(fast, both(), strict=True):
        np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-4)


def test_everything_is_float32_under_mixed_precision():
    picture, logits = smooth_picture(), random_values(1, (1, 20, 24, 3))
    expected = np.array(crf.dense_crf(picture, logits))
    before = keras.mixed_precision.global_policy()
    try:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        result = crf.dense_crf(picture, logits)
        half = crf.mean_field(tf.cast(logits, "bfloat16"), [(1.0, crf.SpatialFilter(20, 24, 3))])
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert result.dtype == half.dtype == "float32"
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_the_order_of_the_classes_does_not_matter(seed, order):
    picture, logits = random_picture(seed), random_values(seed, (1, 6, 7, 4))
    kernel = [(0.8, crf.normalized(crf.BilateralFilter(picture, 4.3, 60), picture))]
    straight = np.array(crf.mean_field(logits, kernel, iterations=3))[..., order]
    np.testing.assert_allclose(crf.mean_field(logits[..., order], kernel, iterations=3), straight, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.7, 20), st.floats(0, 255))
def test_exact_kernel_of_one_color_is_spatial_and_a_color_shift_changes_nothing(seed, sigma, color):
    values = random_values(seed, (1, 6, 7, 2))
    flat = np.full((1, 6, 7, 3), color, "float32")
    spatial = np.array(crf.SpatialFilter(6, 7, sigma)(values))
    of_flat = crf.ExactFilter(crf.bilateral_features(flat, sigma, 13))(values)
    np.testing.assert_allclose(of_flat, spatial, rtol=1e-3, atol=1e-3)
    dark = random_picture(seed) / 2
    first, second = (
        crf.ExactFilter(crf.bilateral_features(p, sigma, 40))(values) for p in (dark, dark + 100)
    )
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_lattice_filter_is_linear_and_positive(seed):
    picture, (a, b) = random_picture(seed), (random_values(seed + k, (1, 6, 7, 2)) for k in (1, 2))
    kernel = crf.BilateralFilter(picture, 4.3, 60)
    whole, parts = np.array(kernel(a - 3 * b)), np.array(kernel(a)) - 3 * np.array(kernel(b))
    np.testing.assert_allclose(whole, parts, atol=1e-3)
    assert np.array(kernel(abs(a))).min() > 0


def test_a_cleaner_segmentation_comes_out():
    """A noisy guess of the two areas: the CRF finds the edge that the colors have."""
    picture = smooth_picture(height=40, width=48)
    truth = picture[0, ..., 0] > 125
    guess = np.where(truth, 0.7, -0.7) + np.random.default_rng(0).normal(0, 1, truth.shape)
    logits = np.stack([0 * guess, guess], -1)[None].astype("float32")
    result = np.array(crf.dense_crf(picture, logits, sigma_xy=20, w_bilateral=3, w_spatial=1))
    assert ((guess > 0) == truth).mean() < 0.8 and (result[0].argmax(-1) == truth).mean() > 0.97


# ---- what is refused


GOOD = {"image": np.full((1, 6, 7, 3), 100, "uint8"), "scores": np.zeros((1, 6, 7, 3), "float32")}
BAD = {
    "a nan": ({"scores": np.full((1, 6, 7, 3), np.nan, "float32")}, "not finite"),
    "an infinity": ({"scores": np.full((1, 6, 7, 3), [0, 0, -np.inf])}, "not finite"),
    "logits as probabilities": ({"from_logits": False}, "not probabilities"),
    "negative": (
        {"scores": np.full((1, 6, 7, 2), [1.5, -0.5], "float32"), "from_logits": False},
        "least is -0.5",
    ),
    "another size": ({"scores": np.zeros((1, 6, 8, 3), "float32")}, "same B, H and W"),
    "another batch": ({"scores": np.zeros((2, 6, 7, 3), "float32")}, "same B, H and W"),
    "no batch axis": ({"image": GOOD["image"][0], "scores": GOOD["scores"][0]}, "batch axis"),
    "gray": ({"image": np.full((1, 6, 7, 1), 100, "uint8")}, r"\[B, H, W, 3\]"),
    "colors in 0..1": ({"image": np.linspace(0, 1, 126).reshape(1, 6, 7, 3)}, "multiply by 255"),
    "mean subtracted": ({"image": np.linspace(-99, 99, 126).reshape(1, 6, 7, 3)}, "mean subtraction"),
    "one class": ({"scores": np.zeros((1, 6, 7, 1), "float32")}, "at least two"),
    "negative iterations": ({"iterations": -1}, "0 or more"),
    "unknown normalization": ({"normalization": "before"}, "'symmetric'"),
    "zero": ({"sigma_xy": 0}, "sigma_xy = 0"),
    "negative bandwidth": ({"sigma_rgb": -1.0}, "sigma_rgb = -1"),
    "infinite bandwidth": ({"sigma_xy": float("inf")}, "sigma_xy = inf"),
    "spatial zero": ({"sigma_spatial": 0.0}, "above 0"),
    "tiny bandwidths": (
        {
            "image": 255 * np.random.default_rng(0).integers(0, 2, (1, 6, 7, 3)),
            "sigma_xy": 1e-4,
            "sigma_rgb": 1e-3,
        },
        "larger bandwidths",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    change, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        crf.dense_crf(**{**GOOD, **change})


def test_a_graph_checks_what_is_known():
    spec = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, None, 1])]
    with pytest.raises(ValueError, match="at least two"):
        tf.function(crf.dense_crf, input_signature=spec).get_concrete_function()


def test_probabilities_and_their_logarithms_are_the_same():
    picture, logits = smooth_picture(), random_values(1, (1, 20, 24, 3))
    probabilities = softmax(logits, axis=-1)
    first = crf.dense_crf(picture, probabilities, from_logits=False, iterations=1)
    second = crf.dense_crf(picture, log_softmax(logits, axis=-1), iterations=1)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_probability_of_zero_is_not_the_last_word():
    """One pixel is certain of another label than all around it, in a picture of one color."""
    labels = np.zeros((1, 20, 24), int)
    labels[0, 10, 12] = 1
    certain = np.eye(2, dtype="float32")[labels]
    refined = np.array(crf.dense_crf(np.full((1, 20, 24, 3), 99), certain, from_logits=False, w_bilateral=30))
    assert np.isfinite(refined).all() and (refined.argmax(-1) == 0).all()

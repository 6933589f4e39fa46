"""TensorFlow Addons against what takes its place: the proofs of docs/from_tensorflow_addons.md, row by row.

Values and gradients of the old package, which runs in an environment of its own, are compared with those of
its successor on the same arrays. The functions that the page defines are taken from the page itself.
"""

import itertools
import re
from pathlib import Path

import addons_reference
import keras
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import sklearn.metrics
import tensorflow as tf
from addons_reference import AddonsError, with_gradients
from addons_worker import cotangent
from keras import ops
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from skimage import measure

from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from segcourse.layers.windows import flat_indices
from segcourse.metrics import confusion_matrix

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/from_tensorflow_addons.md").read_text(encoding="utf-8")
SYMBOL = re.compile(r"`tfa\.(\w+\.\w+)`|\btfa\.(\w+\.\w+)\(")


@pytest.fixture(scope="module")
def tfa():
    """The running reference: `tfa("image.rotate", images, angles=0.3)`."""
    reference = addons_reference.start()
    yield reference
    reference.close()


class Page:
    """The functions that the page's code blocks define, as attributes."""

    def __init__(self):
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            if "tfa." not in block:
                exec(block, self.__dict__)


page = Page()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def uniform(low, high, shape, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


IMAGES = uniform(0, 255, (2, 11, 14, 3))


def assert_same(ours, theirs, atol=1e-5, rtol=1e-5):
    """Two arrays are equal up to rounding, or two (value, gradients) are, as far as ours has gradients."""
    if not isinstance(ours, tuple):
        ours, theirs = (ours, []), (theirs, [])
    for got, expected in zip([ours[0], *ours[1]], [theirs[0], *theirs[1]][: 1 + len(ours[1])], strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(got), expected, atol=atol, rtol=rtol)


def test_the_reference_is_what_the_page_says(tfa):
    versions = tfa.versions()
    assert versions["tensorflow-addons"] == "0.23.0" and versions["tensorflow"] == "2.15.1"
    assert versions["keras"].startswith("2.15.")
    assert "0.23.0 on TensorFlow 2.15.1, and Keras 3.15 on the TensorFlow backend" in PAGE


def test_an_error_over_there_is_told_here(tfa):
    with pytest.raises(AddonsError, match="ValueError.*Indexing mode"):
        tfa("image.interpolate_bilinear", normal(1, 4, 4, 1), normal(1, 2, 2), indexing="yx")
    assert tfa.missing(["image.translate", "image.no_such_thing"]) == ["image.no_such_thing"]


# Layers


def _argmax_pooling(x):
    pooled, indices = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")
    return pooled.numpy(), indices.numpy()


@pytest.mark.parametrize("ties", [False, True])
def test_unpooling_even_sizes(tfa, ties):
    x = normal(2, 8, 12, 5)
    if ties:
        x = np.round(x)
    pooled, flat = tfa("tf.nn.max_pool_with_argmax", x, ksize=2, strides=2, padding="SAME")
    ours, indices = MaxPoolingWithIndices2D()(x)
    assert_same(ours, pooled)
    np.testing.assert_array_equal(flat_indices(indices, x.shape[1:3]), flat)
    unpool = MaxUnpooling2D()
    theirs = tfa.with_gradients("layers.MaxUnpooling2D", pooled, flat)
    assert_same(with_gradients(lambda values: unpool(values, indices, x), pooled), theirs, atol=0)
    assert_same(page.pool_and_unpool(x), theirs[0], atol=0)


@pytest.mark.parametrize("size", [(45, 33), (7, 6), (6, 7), (1, 1)])
def test_unpooling_odd_sizes(tfa, size):
    x = normal(2, *size, 3)
    pooled, flat = _argmax_pooling(x)
    ours, indices = MaxPoolingWithIndices2D()(x)
    assert_same(ours, pooled)
    np.testing.assert_array_equal(flat_indices(indices, size), flat)
    theirs = tfa.with_gradients("layers.MaxUnpooling2DV2", pooled, flat, output_size=x.shape)
    unpool = MaxUnpooling2D()
    assert_same(with_gradients(lambda values: unpool(values, indices, x), pooled), theirs, atol=0)
    rounded_up = tuple(n + n % 2 for n in size)
    assert tfa("layers.MaxUnpooling2D", pooled, flat).shape[1:3] == rounded_up != x.shape[1:3]


def test_adaptive_average_pooling(tfa):
    x, layer = normal(2, 12, 18, 3), keras.layers.AdaptiveAveragePooling2D((3, 6))
    theirs = tfa.with_gradients("layers.AdaptiveAveragePooling2D", x, output_size=[3, 6])
    assert_same(with_gradients(layer, x), theirs)
    odd = normal(2, 13, 18, 3)
    with pytest.raises(AddonsError, match="evenly divide"):
        tfa("layers.AdaptiveAveragePooling2D", odd, output_size=[3, 6])
    assert_same(layer(odd)[:, 1, 0], odd[:, 4:9, 0:3].mean((1, 2)))


def test_adaptive_max_pooling(tfa):
    x, layer = normal(2, 12, 18, 3), keras.layers.AdaptiveMaxPooling2D((3, 6))
    theirs = tfa.with_gradients("layers.AdaptiveMaxPooling2D", x, output_size=[3, 6])
    assert_same(with_gradients(layer, x), theirs)
    flat, layer = np.zeros((1, 4, 4, 1), "float32"), keras.layers.AdaptiveMaxPooling2D(2)
    (shared,) = tfa.with_gradients("layers.AdaptiveMaxPooling2D", flat, output_size=2)[1]
    (first,) = with_gradients(layer, flat)[1]
    of_windows = cotangent((2, 2)).repeat(2, axis=0).repeat(2, axis=1)
    assert_same(shared[0, ..., 0], of_windows / 4)
    assert_same(first[0, ..., 0], of_windows * np.tile([[1, 0], [0, 0]], (2, 2)))
    with pytest.raises(ValueError, match="statically known"):
        tf.function(layer).get_concrete_function(tf.TensorSpec((1, None, None, 1)))


@pytest.mark.parametrize("size", [(12, 18), (6, 6)])
def test_spatial_pyramid_pooling(tfa, size):
    bins, x = (1, 2, 3, 6), normal(2, *size, 3)

    def ours(x):
        return page.spatial_pyramid_pooling(x, bins)

    assert_same(with_gradients(ours, x), tfa.with_gradients("layers.SpatialPyramidPooling2D", x, bins=bins))
    odd = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="reflect")  # one row and one column more
    theirs = tfa("layers.SpatialPyramidPooling2D", odd, bins=bins)
    cut_off = [ops.convert_to_numpy(page.spatial_pyramid_pooling(x, [b])) for b in bins[1:]]
    assert_same(theirs[:, 1:], np.concatenate(cut_off, axis=1))
    assert_same(theirs[:, :1], odd.mean((1, 2))[:, None])
    assert np.abs(ours(odd) - theirs)[:, 1:].max() > 0.1


def _norm_pair(layer, x):
    layer.build(x.shape)
    weights = [normal(x.shape[-1], seed=1), normal(x.shape[-1], seed=2)]
    layer.set_weights(weights)
    return layer, weights


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_group_normalization(tfa, groups, size):
    x = 3 * normal(2, *size, 8) + 1
    layer, weights = _norm_pair(keras.layers.GroupNormalization(groups), x)
    theirs = tfa.with_gradients("layers.GroupNormalization", x, weights=weights, groups=groups)
    assert_same(with_gradients(layer, x), theirs, atol=1e-4)


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_instance_normalization(tfa, size):
    x = 3 * normal(2, *size, 8) + 1
    layer, weights = _norm_pair(keras.layers.GroupNormalization(groups=-1), x)
    theirs = tfa.with_gradients("layers.InstanceNormalization", x, weights=weights)
    assert_same(with_gradients(layer, x), theirs, atol=1e-4)


def test_the_crf_is_a_chain(tfa):
    """Its partition function sums over all tag sequences, with weights between direct neighbours only."""
    scores, transitions = normal(1, 4, 3), normal(3, 3, seed=1)
    theirs = tfa("text.crf_log_norm", scores, np.array([4], "int32"), transitions)
    sequences = np.array(list(itertools.product(range(3), repeat=4)))
    unary = scores[0][np.arange(4), sequences].sum(1)
    pairs = transitions[sequences[:, :-1], sequences[:, 1:]].sum(1)
    assert_same(np.log(np.exp(unary + pairs).sum()), theirs[0])
    assert "`tfa.layers.CRF`" in PAGE


# Losses and metrics


def _binary(*shape, seed=3):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype("int32")


def test_focal_loss_from_logits(tfa):
    labels, logits = _binary(2, 4, 5, 3), 3 * normal(2, 4, 5, 3)
    theirs = tfa.with_gradients("losses.SigmoidFocalCrossEntropy", labels, logits, from_logits=True)
    assert theirs[0].shape == (2, 4, 5)
    assert_same(with_gradients(lambda z: page.sigmoid_focal_crossentropy(labels, z), logits), theirs)
    default = keras.losses.BinaryFocalCrossentropy(from_logits=True)(labels, logits)  # a mean, unbalanced
    plain = tfa("losses.SigmoidFocalCrossEntropy", labels, logits, from_logits=True, alpha=0)
    assert_same(default, plain.mean() / 3)


@pytest.mark.parametrize("label", [0, 1])
def test_focal_loss_of_extreme_logits(tfa, label):
    logits = np.array([[-200], [-50], [-20], [0], [20], [50], [200]], "float32")
    labels = np.full(logits.shape, label)
    theirs = tfa.with_gradients("losses.SigmoidFocalCrossEntropy", labels, logits, from_logits=True)
    assert np.isfinite(theirs[0]).all() and theirs[0].max() == 200 * (0.25 if label else 0.75)
    assert_same(with_gradients(lambda z: page.sigmoid_focal_crossentropy(labels, z), logits), theirs)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 0.0), (0.7, 0.5), (0.25, 5.0)])
def test_focal_loss_with_other_settings(tfa, alpha, gamma):
    labels, logits, settings = _binary(40, 1), 3 * normal(40, 1), {"alpha": alpha, "gamma": gamma}
    theirs = tfa.with_gradients(
        "losses.SigmoidFocalCrossEntropy", labels, logits, from_logits=True, **settings
    )

    def ours(z):
        more = {"apply_class_balancing": True, "from_logits": True, **settings}
        return keras.losses.binary_focal_crossentropy(labels, z, **more)

    assert_same(with_gradients(ours, logits), theirs)


def test_focal_loss_from_probabilities(tfa):
    labels, chance = _binary(50, 1), np.linspace(0.001, 0.999, 50, dtype="float32")[:, None]

    def ours(p, labels=labels):
        return keras.losses.binary_focal_crossentropy(labels, p, apply_class_balancing=True)

    theirs = tfa.with_gradients("losses.SigmoidFocalCrossEntropy", labels, chance)
    assert_same(with_gradients(ours, chance), theirs, rtol=1e-3)
    ends = np.array([[0.0], [1.0]], "float32")
    wrong = 1 - ends.astype("int32")
    theirs = tfa("losses.SigmoidFocalCrossEntropy", wrong, ends)
    np.testing.assert_allclose(ops.convert_to_numpy(ours(ends, wrong)) / theirs, 1.045, atol=5e-4)


def test_focal_loss_of_a_softmax(tfa):
    labels, logits = _binary(60), 3 * normal(60)
    theirs = tfa("losses.sigmoid_focal_crossentropy", labels[:, None], logits[:, None], from_logits=True)
    softmax = keras.losses.CategoricalFocalCrossentropy(alpha=[0.75, 0.25], from_logits=True, reduction=None)
    assert_same(softmax(np.eye(2)[labels], np.stack([0 * logits, logits], axis=-1)), theirs)
    labels, logits = np.eye(3, dtype="float32")[labels], 3 * normal(60, 3)
    theirs = tfa("losses.sigmoid_focal_crossentropy", labels, logits, from_logits=True)
    softmax = keras.losses.CategoricalFocalCrossentropy(from_logits=True, reduction=None)
    assert np.abs(softmax(labels, logits) - theirs).max() > 0.1


def _ids(classes=4, pixels=200):
    """True and predicted ids; the last class is in the predictions only."""
    rng = np.random.default_rng(5)
    return rng.integers(0, classes - 1, pixels), rng.integers(0, classes, pixels)


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
def test_f1_scores(tfa, average):
    truth, guess = (np.eye(4, dtype="float32")[ids] for ids in _ids())
    for symbol, settings in (("metrics.F1Score", {}), ("metrics.FBetaScore", {"beta": 2.0})):
        metric = getattr(keras.metrics, symbol.split(".")[1])(average=average, **settings)
        metric.update_state(truth, guess)
        averaged = {} if average is None else {"average": average}
        assert_same(metric.result(), tfa(symbol, truth, guess, num_classes=4, **averaged, **settings))


def test_multilabel_confusion_matrix(tfa):
    truth, guess = _ids()
    matrix = ops.convert_to_numpy(confusion_matrix(truth, guess, 4))
    hit, true, guessed = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    counts = [len(truth) - true - guessed + hit, guessed - hit, true - hit, hit]  # tn, fp, fn, tp
    one_hot = np.eye(4, dtype="float32")
    theirs = tfa("metrics.MultiLabelConfusionMatrix", one_hot[truth], one_hot[guess], num_classes=4)
    np.testing.assert_array_equal(np.stack(counts, axis=-1).reshape(4, 2, 2), theirs)


def test_kappa_and_matthews(tfa):
    truth, guess = _ids()
    guess = np.where(np.arange(200) % 2, truth, guess)  # half of it right
    kappa = tfa("metrics.CohenKappa", truth, guess, num_classes=4, sparse_labels=True)
    assert_same(sklearn.metrics.cohen_kappa_score(truth, guess), kappa)
    one_hot = np.eye(4, dtype="float32")
    correlation = tfa("metrics.MatthewsCorrelationCoefficient", one_hot[truth], one_hot[guess], num_classes=4)
    assert_same(sklearn.metrics.matthews_corrcoef(truth, guess), correlation)


# Warping and geometry

INSIDE, NEAR, FAR = (uniform(*range_, (2, 40, 2)) for range_ in ((0.1, 9.9), (-4, 16), (-1e4, 1e4)))
POINTS = np.concatenate([INSIDE, NEAR, FAR], axis=1)
ON_PIXELS = np.stack(np.meshgrid(np.arange(-2, 13), np.arange(-2, 16), indexing="ij"), axis=-1)
ON_PIXELS = np.tile(ON_PIXELS.reshape(1, -1, 2), (2, 1, 1)).astype("float32")


def test_interpolate_bilinear(tfa):
    images = normal(2, 11, 14, 3)
    ours = with_gradients(page.interpolate_bilinear, images, POINTS)
    assert_same(ours, tfa.with_gradients("image.interpolate_bilinear", images, POINTS), atol=1e-4)
    xy = tfa("image.interpolate_bilinear", images, POINTS[..., ::-1], indexing="xy")
    assert_same(ours[0], xy, atol=1e-4)
    value, gradients = with_gradients(page.interpolate_bilinear, images, ON_PIXELS)
    theirs = tfa.with_gradients("image.interpolate_bilinear", images, ON_PIXELS)
    assert_same((value, gradients[:1]), theirs)


@pytest.mark.parametrize("reach", [0.4, 20.0])
def test_dense_image_warp(tfa, reach):
    images, flow = normal(2, 11, 14, 3), uniform(-reach, reach, (2, 11, 14, 2))
    theirs = tfa.with_gradients("image.dense_image_warp", images, flow)
    assert_same(with_gradients(page.dense_image_warp, images, flow), theirs, atol=1e-4)


def test_the_gradient_of_a_zero_flow(tfa):
    """Both give the image back. The old gradient is 0, but in the last row and column; ours is a step."""
    images = normal(1, 6, 7, 1)
    for flow in (np.zeros((1, 6, 7, 2), "float32"), np.ones((1, 6, 7, 2), "float32")):
        theirs, (_, of_flow) = tfa.with_gradients("image.dense_image_warp", images, flow)
        ours, (_, step) = with_gradients(page.dense_image_warp, images, flow)
        assert_same(ours, theirs)
        assert (of_flow[0, :5, :6] == 0).all()
        shift = int(flow.max())
        rows, columns = np.maximum(np.arange(5) - shift, 0), np.maximum(np.arange(6) - shift, 0)
        plane, seed = images[0, ..., 0], cotangent(images.shape)[0, :5, :6, 0]
        below = plane[np.ix_(rows + 1, columns)] - plane[np.ix_(rows, columns)]
        inside = slice(shift, None)  # farther out the pixel is the edge's, and does not move
        assert_same(step[0, inside, inside, 0][: 5 - shift, : 6 - shift], (-seed * below)[inside, inside])


def test_resampler(tfa):
    images = normal(2, 11, 14, 3)

    def ours(images, points):
        return page.interpolate_bilinear(images, points[..., ::-1], fill_mode="constant")

    points = POINTS[..., ::-1].copy()
    theirs = tfa.with_gradients("image.resampler", images, points)
    assert_same(with_gradients(ours, images, points), theirs, atol=1e-4)
    on_pixels = ON_PIXELS[..., ::-1].copy()
    value, gradients = with_gradients(ours, images, on_pixels)
    assert_same((value, gradients[:1]), tfa.with_gradients("image.resampler", images, on_pixels))


FILL_MODES = ("constant", "reflect", "wrap", "nearest")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_transform(tfa, interpolation, fill_mode):
    settings = {"interpolation": interpolation, "fill_mode": fill_mode, "fill_value": 7.0}
    for numbers in ([1.1, 0.1, -2, 0.05, 0.9, 1, 0.01, -0.02], [-1, 0, 13, 0, 1, 0, 0, 0]):
        numbers = np.array(numbers, "float32")
        theirs = tfa.with_gradients("image.transform", IMAGES, numbers, **settings)

        def ours(images, numbers=numbers):
            return ops.image.affine_transform(images, numbers, **settings)

        assert_same(with_gradients(ours, IMAGES), theirs)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_translate(tfa, interpolation, fill_mode):
    settings = {"interpolation": interpolation, "fill_mode": fill_mode}
    for dx, dy in ((0.0, 0.0), (2.0, -3.0), (0.5, 0.5), (1.25, 40.0)):
        numbers = page.translation(dx, dy)
        by = np.array([dx, dy], "float32")
        assert_same(numbers, tfa("image.translations_to_projective_transforms", by)[0])
        theirs = tfa.with_gradients("image.translate", IMAGES, by, **settings)

        def ours(images, numbers=numbers):
            return ops.image.affine_transform(images, numbers, **settings)

        assert_same(with_gradients(ours, IMAGES), theirs)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2, np.pi, -2.1])
def test_rotate(tfa, angle):
    numbers = page.rotation(angle, 11, 14)
    theirs = tfa("image.angles_to_projective_transforms", np.float32(angle), image_height=11, image_width=14)
    assert_same(numbers, theirs[0])
    theirs = tfa.with_gradients("image.rotate", IMAGES, angles=angle, interpolation="bilinear")
    assert_same(with_gradients(lambda x: ops.image.affine_transform(x, numbers), IMAGES), theirs, atol=1e-2)
    labels = np.random.default_rng(0).integers(0, 11, (2, 11, 14, 1), "int32")
    nearest = {"interpolation": "nearest", "fill_value": 255}
    theirs = tfa("image.rotate", labels, angles=angle, **nearest)
    np.testing.assert_array_equal(ops.image.affine_transform(labels, numbers, **nearest), theirs)


def test_compose_transforms(tfa):
    first, second = page.rotation(0.3, 11, 14), page.translation(2.0, 3.0)
    lists = [ops.convert_to_numpy(numbers).tolist() for numbers in (first, second)]
    assert_same(page.compose(first, second), tfa("image.compose_transforms", transforms=lists)[0])
    assert_same(page.compose(second, first), tfa("image.compose_transforms", transforms=lists[::-1])[0])


def _spline_points():
    return uniform(0, 10, (1, 12, 2)), normal(1, 12, 2), uniform(-1, 11, (1, 30, 2), seed=1)


@pytest.mark.parametrize(("order", "kernel"), [(1, "linear"), (2, "thin_plate_spline"), (3, "cubic")])
def test_interpolate_spline(tfa, order, kernel):
    points, values, queries = _spline_points()
    theirs = tfa("image.interpolate_spline", points, values, queries, order=order)
    ours = RBFInterpolator(points[0], values[0], kernel=kernel, degree=1)(queries[0])
    assert_same(ours, theirs[0], atol=1e-3)


def test_sparse_image_warp(tfa):
    points, moved, _ = _spline_points()
    images = normal(1, 11, 14, 3)
    theirs, flow = tfa("image.sparse_image_warp", images, points, points + 0.3 * moved)
    spline = RBFInterpolator(points[0] + 0.3 * moved[0], 0.3 * moved[0], kernel="thin_plate_spline", degree=1)
    grid = np.stack(np.meshgrid(np.arange(11), np.arange(14), indexing="ij"), axis=-1)
    ours = spline(grid.reshape(-1, 2)).reshape(1, 11, 14, 2).astype("float32")
    assert_same(ours, flow, atol=1e-3)
    assert_same(page.dense_image_warp(images, flow), theirs)


# Filters


@pytest.mark.parametrize(("size", "sigma"), [(3, 1.0), (5, 1.5), (7, 0.3)])
def test_gaussian_filter(tfa, size, sigma):
    theirs = tfa.with_gradients("image.gaussian_filter2d", IMAGES, filter_shape=size, sigma=sigma)
    assert_same(with_gradients(lambda x: page.gaussian_filter2d(x, size, sigma), IMAGES), theirs, atol=1e-3)
    whole = IMAGES.astype("uint8")
    theirs = tfa("image.gaussian_filter2d", whole, filter_shape=size, sigma=sigma)
    blurred = ops.convert_to_numpy(page.gaussian_filter2d(whole.astype("float32"), size, sigma))
    near_integer = np.abs(blurred - np.round(blurred)) < 1e-3
    np.testing.assert_array_equal(theirs[~near_integer], np.floor(blurred[~near_integer]))


@pytest.mark.parametrize(
    ("padding", "mode"), [("REFLECT", "mirror"), ("SYMMETRIC", "reflect"), ("CONSTANT", "constant")]
)
def test_gaussian_filter_that_is_not_square(tfa, padding, mode):
    theirs = tfa("image.gaussian_filter2d", IMAGES, filter_shape=(3, 7), sigma=(0.7, 2.0), padding=padding)
    ours = ndimage.gaussian_filter(IMAGES, (0.7, 2.0), radius=(1, 3), axes=(1, 2), mode=mode)
    assert_same(ours, theirs, atol=1e-3)
    keras_inside = ops.image.gaussian_blur(IMAGES, (3, 7), (0.7, 2.0))[:, 1:-1, 3:-3]
    assert np.abs(keras_inside - theirs[:, 1:-1, 3:-3]).max() > 10, "Keras is repaired: tell it on the page"


@pytest.mark.parametrize("size", [(3, 5), (4, 2), (1, 1)])
def test_mean_filter(tfa, size):
    theirs = tfa.with_gradients("image.mean_filter2d", IMAGES, filter_shape=size)
    assert_same(with_gradients(lambda x: page.mean_filter2d(x, *size), IMAGES), theirs, atol=1e-3)


@pytest.mark.parametrize("size", [(3, 3), (5, 3), (2, 2)])
def test_median_filter(tfa, size):
    def ours(images):
        return page.median_filter2d(images, *size)

    theirs = tfa.with_gradients("image.median_filter2d", IMAGES, filter_shape=size)
    assert_same(with_gradients(ours, IMAGES), theirs, atol=1e-3)
    scipy = ndimage.median_filter(IMAGES, (1, *size, 1), mode="mirror")
    odd = size[0] % 2 == 1
    assert (np.abs(scipy - theirs[0]).max() < 1e-3) == odd
    ties = np.round(IMAGES / 64)
    value, (gradient,) = with_gradients(ours, ties)
    expected, (other,) = tfa.with_gradients("image.median_filter2d", ties, filter_shape=size)
    assert_same(value, expected)
    assert_same(gradient.sum(), other.sum(), atol=1e-3)  # the same amount, elsewhere


# Masks

MASKS = {
    "random": np.random.default_rng(0).integers(0, 2, (40, 50)),
    "labels": np.random.default_rng(0).integers(0, 4, (40, 50)),
    "empty": np.zeros((5, 6)),
    "full": np.ones((5, 6)),
    "one pixel": np.ones((1, 1)),
    "a single pixel in the corner": np.eye(1, 30).reshape(5, 6),
    "diagonal": np.eye(5),
    "touching values": [[1, 2], [2, 1]],
    "snake": [[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1]],
    "one row": [[0, 255, 255, 0, 255]],
}


@pytest.mark.parametrize("name", MASKS)
def test_connected_components(tfa, name):
    mask = np.array(MASKS[name], "uint8")
    theirs = tfa("image.connected_components", mask)
    np.testing.assert_array_equal(measure.label(mask, connectivity=1, background=0), theirs)
    assert (np.array_equal(ndimage.label(mask)[0], theirs)) == (name not in ("labels", "touching values"))


def test_connected_components_of_a_batch(tfa):
    """The old package counts on from image to image."""
    masks = np.random.default_rng(1).integers(0, 2, (3, 17, 23), "int32")
    theirs, before = tfa("image.connected_components", masks), 0
    for mask, labels in zip(masks, theirs, strict=True):
        ours = measure.label(mask, connectivity=1, background=0)
        np.testing.assert_array_equal(np.where(ours, ours + before, 0), labels)
        before = labels.max()


@pytest.mark.parametrize("name", [name for name in MASKS if 0 in np.array(MASKS[name])])
def test_distance_transform(tfa, name):
    mask = np.array(MASKS[name], "uint8")
    theirs = tfa("image.euclidean_dist_transform", mask[..., None])[..., 0]
    assert_same(ndimage.distance_transform_edt(mask), theirs)


@pytest.mark.parametrize("size", [(5, 6), (1, 1)])
def test_distance_transform_without_a_zero(tfa, size):
    full = np.ones(size, "uint8")
    assert (tfa("image.euclidean_dist_transform", full[..., None]) > 1.8e19).all()
    assert ndimage.distance_transform_edt(full).max() < 10


# Augmentation


@pytest.mark.parametrize(("row", "column"), [(3, 5), (0, 0), (10, 13)])
def test_cutout(tfa, row, column):
    size = np.array([4, 6], "int32")
    theirs = tfa.with_gradients("image.cutout", IMAGES, size, offset=[row, column], constant_values=9)
    ours = with_gradients(lambda x: page.cutout(x, 4, 6, row, column, 9.0), IMAGES)
    assert_same(ours, theirs)


def _holes(images):
    """The area, and (top, left, bottom, right), of the zeros of each image [N, H, W, 1]."""
    places = [np.argwhere(image[..., 0] == 0) for image in images]
    return {len(p) for p in places}, np.array([[*p.min(0), *p.max(0)] for p in places])


def test_random_cutout(tfa):
    """Both leave holes of the same size, wholly inside, all over the image."""
    keras.utils.set_random_seed(0)
    images = np.ones((200, 20, 30, 1), "float32")
    erase = keras.layers.RandomErasing(factor=(1.0, 1.0), scale=(0.04, 0.04), fill_value=0)  # 4 % of 20 x 30
    theirs = tfa("image.random_cutout", images, np.array([4, 6], "int32"))
    for result in (theirs, ops.convert_to_numpy(erase(images, training=True))):
        areas, boxes = _holes(result)
        assert areas == {4 * 6}
        assert (boxes[:, 2:] - boxes[:, :2] == [3, 5]).all()
        assert (boxes.min(0)[:2] <= 1).all() and (boxes.max(0)[2:] >= [18, 28]).all()


def test_equalize(tfa):
    images = (255 * np.random.default_rng(0).beta(2, 5, (2, 16, 16, 3))).astype("uint8")
    images[1, ..., 0] = 7  # one channel without contrast
    theirs = tfa("image.equalize", images)
    ours = [np.asarray(PIL.ImageOps.equalize(PIL.Image.fromarray(image))) for image in images]
    np.testing.assert_array_equal(ours, theirs)
    layer, images = keras.layers.Equalization(value_range=(0, 255)), images.astype("float32")
    alone = np.concatenate([layer(image[np.newaxis]) for image in images])
    assert 0 < np.abs(alone - theirs).max() < 10
    assert np.abs(layer(images) - alone).max() > 10  # one histogram of both


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
def test_sharpness(tfa, factor):
    theirs = tfa("image.sharpness", IMAGES, factor=factor)
    layer = keras.layers.RandomSharpness((factor / 2, factor / 2), value_range=(0, 255))
    ours = ops.convert_to_numpy(layer(IMAGES, training=True))
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=0.51)
    border = np.ones(IMAGES.shape, bool)
    border[inside] = False
    np.testing.assert_allclose(theirs[border], IMAGES[border], atol=0.51)
    assert (np.abs(ours[border] - IMAGES[border]).max() > 10) == (factor != 1)


# Optimizers and activations


def _train(optimizer, start, gradients):
    """The weights [steps, ...] after each step."""
    variable, weights = keras.Variable(start), []
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        weights.append(variable.value.numpy())
    return np.stack(weights)


START, GRADIENTS, RATE = normal(6), normal(7, 6, seed=1), 0.1


@pytest.mark.parametrize(
    ("symbol", "settings"),
    [
        ("optimizers.AdamW", {}),
        ("optimizers.SGDW", {"momentum": 0.9}),
        ("optimizers.SGDW", {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_decoupled_weight_decay(tfa, symbol, settings):
    successor = {"optimizers.AdamW": keras.optimizers.AdamW, "optimizers.SGDW": keras.optimizers.SGD}[symbol]
    theirs, _ = tfa.train(symbol, START, GRADIENTS, weight_decay=0.02, learning_rate=RATE, **settings)
    assert_same(_train(successor(RATE, weight_decay=0.02 / RATE, **settings), START, GRADIENTS), theirs)
    undivided = _train(successor(RATE, weight_decay=0.02, **settings), START, GRADIENTS)
    assert np.abs(undivided - theirs).max() > 0.05


SGD = {"wrap": "SGD", "wrap_config": {"learning_rate": RATE}}


def test_moving_average(tfa):
    weights, average = tfa.train("optimizers.MovingAverage", START, GRADIENTS, **SGD, average_decay=0.9)
    optimizer = keras.optimizers.SGD(RATE, use_ema=True, ema_momentum=0.9)
    assert_same(_train(optimizer, START, GRADIENTS), weights)
    variable = keras.Variable(weights[-1])
    optimizer._overwrite_model_variables_with_average_value([variable])

    def averaged(first, rest):
        for step in rest:
            first = 0.9 * first + 0.1 * step
        return first

    assert_same(averaged(START, weights), average)
    assert_same(averaged(weights[0], weights[1:]), variable.value.numpy())


def test_stochastic_weight_averaging(tfa):
    settings = {"start_averaging": 2, "average_period": 2}
    weights, average = tfa.train("optimizers.SWA", START, GRADIENTS, **SGD, **settings)
    assert_same(weights[2::2].mean(0), average)


def test_adam_and_lamb(tfa):
    theirs, _ = tfa.train("optimizers.LazyAdam", START, GRADIENTS, learning_rate=RATE)
    assert_same(_train(keras.optimizers.Adam(RATE), START, GRADIENTS), theirs)
    theirs, _ = tfa.train("optimizers.LAMB", START, GRADIENTS, learning_rate=RATE)
    assert_same(_train(keras.optimizers.Lamb(RATE, epsilon=1e-6), START, GRADIENTS), theirs)


def test_learning_rates_by_layer(tfa):
    """As DeepLab trains: ten times the rate for the classifier."""
    starts, gradients = [normal(3, 2), normal(3, 2, seed=1)], normal(5, 3, 2, seed=2)
    layers = [keras.layers.Dense(2, use_bias=False, name=name) for name in ("backbone", "classifier")]
    for layer, start in zip(layers, starts, strict=True):
        layer.build((None, 3))
        layer.set_weights([start])
    optimizer = page.by_layer(0.01)
    kernels = [layer.kernel for layer in layers]
    optimizer.build(kernels)
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)] * 2, kernels)
    theirs = tfa.train_layers("optimizers.MultiOptimizer", starts, gradients, rates=[0.01, 0.1])
    for kernel, expected in zip(kernels, theirs, strict=True):
        assert_same(kernel.value, expected)


def test_triangular_learning_rate(tfa):
    steps, settings = np.arange(41, dtype="float32"), {"initial_learning_rate": 0.01}
    theirs = tfa(
        "optimizers.TriangularCyclicalLearningRate", steps, maximal_learning_rate=0.1, step_size=8, **settings
    )
    schedule = page.Triangular(0.01, 0.1, half=8)
    assert_same(schedule(steps), theirs)
    optimizer = keras.optimizers.SGD(page.Triangular(**schedule.get_config()))
    assert_same(optimizer.learning_rate, theirs[0])


@pytest.mark.parametrize(
    ("symbol", "successor", "settings"),
    [
        ("activations.gelu", "gelu", {"approximate": True}),
        ("activations.mish", "mish", {}),
        ("activations.hardshrink", "hard_shrink", {}),
        ("activations.softshrink", "soft_shrink", {}),
    ],
)
def test_activations(tfa, symbol, successor, settings):
    x = np.concatenate([[-50, -1, -0.5, 0, 0.5, 1, 50], 2 * normal(40)]).astype("float32")

    def ours(x):
        return getattr(keras.activations, successor)(x, **settings)

    assert_same(with_gradients(ours, x), tfa.with_gradients(symbol, x))


def test_sparsemax(tfa):
    x = normal(4, 6)
    theirs = tfa("activations.sparsemax", x)
    assert_same(theirs.sum(-1), np.ones(4))
    ours = ops.sum(keras.activations.sparsemax(x), axis=-1)
    assert np.abs(ours - 1).max() > 0.1, "Keras is repaired: tell it on the page"


# The page itself


def test_every_row_names_tests_that_use_its_symbol():
    source = Path(__file__).read_text(encoding="utf-8")
    tests = re.findall(
        r"^((?:@pytest.*?)?^def (test_\w+).*?)(?=^def |^@|^# |\Z)", source, re.MULTILINE | re.DOTALL
    )
    text_of = {name: text for text, name in tests}
    rows = re.findall(r"^\| (`tfa\..*?)<br>→ (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| `tfa", PAGE, re.MULTILINE)) > 40
    for before, rest in rows:
        names = re.findall(r"`(test_\w+)`", rest)
        assert names and set(names) <= set(text_of), rest
        for symbol in re.findall(r"`tfa\.(\w+\.\w+)`", before):
            assert any(symbol in text_of[name] for name in names), f"{symbol} is in none of {names}"


def test_every_symbol_on_the_page_exists(tfa):
    symbols = {a or b for a, b in SYMBOL.findall(PAGE)}
    assert len(symbols) > 50
    assert tfa.missing(symbols) == []

"""What defines SegNet: values go back where the maximum stood; batch norm and ReLU; class balancing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, array, logits_of, noise, randomize, trainable_weights

from segcourse import datasets, losses
from segcourse.exercises import NotYet
from segcourse.layers.local_response import LocalResponseNormalization
from segcourse.layers.unpooling import (
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    join_windows,
    split_windows,
)
from segcourse.layers.windows import flat_indices
from segcourse.models.fcn_basic import bilinear_upsampling, learned_upsampling
from segcourse.models.segnet import DECODERS, segnet, segnet_basic
from segcourse.models.segnet_decoders import encoder_storage
from segcourse.studies import segnet as study
from segcourse.studies.core import fitting

LESSON = ROOT / "notebooks" / "06_segnet.ipynb"
SIZES = [(2, 2), (4, 6), (45, 60), (23, 30), (5, 7), (6, 5), (1, 1), (3, 2)]
every_size = pytest.mark.parametrize("size", SIZES, ids=[f"{h}x{w}" for h, w in SIZES])
every_decoder = pytest.mark.parametrize("decoder", DECODERS)


def values(size, ties, batch=2, channels=3, seed=0):
    """Random maps; with ties they have few different values, as ReLU and flat regions give."""
    random = np.random.default_rng(seed)
    if ties:
        return random.integers(-1, 2, (batch, *size, channels)).astype("float32")
    return random.normal(size=(batch, *size, channels)).astype("float32")


def pool_by_loops(x):
    """Caffe's pooling, one window after the other: maxima and the first place of each in its window."""
    batch, height, width, channels = x.shape
    shape = (batch, (height + 1) // 2, (width + 1) // 2, channels)
    pooled, indices = np.full(shape, -np.inf, x.dtype), np.full(shape, -1)
    for n, i, j, c in np.ndindex(*shape):
        for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            r, q = 2 * i + row, 2 * j + column
            if r < height and q < width and x[n, r, q, c] > pooled[n, i, j, c]:
                pooled[n, i, j, c], indices[n, i, j, c] = x[n, r, q, c], place
    return pooled, indices


def unpool_by_loops(pooled, indices, size):
    out = np.zeros((len(pooled), *size, pooled.shape[-1]), pooled.dtype)
    for n, i, j, c in np.ndindex(*pooled.shape):
        place = indices[n, i, j, c]
        out[n, 2 * i + place // 2, 2 * j + place % 2, c] = pooled[n, i, j, c]
    return out


# Pooling and unpooling


@every_size
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_and_unpooling_do_what_loops_do(size, ties):
    x = values(size, ties)
    pooled, indices = MaxPoolingWithIndices2D()(x)
    expected, places = pool_by_loops(x)
    np.testing.assert_array_equal(array(pooled), expected)
    np.testing.assert_array_equal(array(indices), places)
    other = values(expected.shape[1:3], False, seed=1)
    unpooled = MaxUnpooling2D()(other, indices, x)
    assert unpooled.shape == x.shape
    np.testing.assert_array_equal(array(unpooled), unpool_by_loops(other, places, size))


def test_45_to_23_to_45_and_back_to_23_is_exact():
    x = np.abs(values((45, 60), False)) + 1  # positive, so that a zero of the unpooled map never wins
    pooled, indices = MaxPoolingWithIndices2D()(x)
    assert pooled.shape[1:3] == indices.shape[1:3] == (23, 30)
    unpooled = MaxUnpooling2D()(pooled, indices, x)
    assert unpooled.shape[1:3] == (45, 60)
    assert (array(unpooled) > 0).sum() == array(pooled).size  # one value a window, none lost at the edge
    kept = array(unpooled) > 0
    np.testing.assert_array_equal(array(unpooled)[kept], x[kept])
    again, same = MaxPoolingWithIndices2D()(unpooled)
    np.testing.assert_array_equal(array(again), array(pooled))
    np.testing.assert_array_equal(array(same), array(indices))


def test_the_first_of_equal_values_wins():
    x = np.zeros((1, 2, 8, 1), "float32")
    x[0, :, 2:4, 0] = [[0, 5], [5, 5]]
    x[0, :, 4:6, 0] = [[0, 0], [5, 5]]
    x[0, :, 6:8, 0] = [[-1, -2], [-3, 4]]
    assert array(MaxPoolingWithIndices2D()(x)[1]).ravel().tolist() == [0, 1, 2, 3]


def test_windows_split_and_join():
    x = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
    places = split_windows(x)
    for place, part in enumerate(places):
        np.testing.assert_array_equal(array(part), x[:, place // 2 :: 2, place % 2 :: 2])
    np.testing.assert_array_equal(array(join_windows(places)), x)


@every_size
@pytest.mark.parametrize("ties", [False, True])
def test_the_gradient_of_both_is_exact(size, ties):
    """Both are linear once the indices are fixed, so the gradient is the transpose: checked by loops."""
    x, other = values(size, ties), values(((size[0] + 1) // 2, (size[1] + 1) // 2), False, seed=1)
    pulls = [values(other.shape[1:3], False, seed=2), values(size, False, seed=3)]
    with tf.GradientTape(persistent=True) as tape:
        there, back = tf.constant(x), tf.constant(other)
        tape.watch([there, back])
        pooled, indices = MaxPoolingWithIndices2D()(there)
        unpooled = MaxUnpooling2D()(back, indices, there)
        first, second = tf.reduce_sum(pooled * pulls[0]), tf.reduce_sum(unpooled * pulls[1])
    places = pool_by_loops(x)[1]
    np.testing.assert_array_equal(tape.gradient(first, there), unpool_by_loops(pulls[0], places, size))
    expected = np.zeros_like(other)
    for n, i, j, c in np.ndindex(*other.shape):
        place = places[n, i, j, c]
        expected[n, i, j, c] = pulls[1][n, 2 * i + place // 2, 2 * j + place % 2, c]
    np.testing.assert_array_equal(tape.gradient(second, back), expected)
    assert tape.gradient(second, there) is None  # through the indices nothing flows


def test_the_gradient_agrees_with_finite_differences():
    x = np.random.default_rng(0).permutation(5 * 7 * 2).reshape(1, 5, 7, 2).astype("float64")
    pull = np.random.default_rng(1).normal(size=x.shape)
    pool, unpool = MaxPoolingWithIndices2D(dtype="float64"), MaxUnpooling2D(dtype="float64")

    def energy(x):
        pooled, indices = pool(x)
        return keras.ops.sum(keras.ops.sin(unpool(pooled, indices, x)) * pull)

    with tf.GradientTape() as tape:
        here = tf.constant(x)
        tape.watch(here)
        total = energy(here)
    step, slopes = 1e-5, np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        slopes[place] = (array(energy(x + moved)) - array(energy(x - moved))) / (2 * step)
    np.testing.assert_allclose(tape.gradient(total, here), slopes, atol=1e-8)


@every_size
def test_flat_indices_are_those_of_tensorflow(size):
    even = tuple(side + side % 2 for side in size)  # TensorFlow places "SAME" windows otherwise on odd sizes
    x = values(even, False)
    indices = MaxPoolingWithIndices2D()(x)[1]
    expected = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME").argmax
    np.testing.assert_array_equal(array(flat_indices(indices, even)), expected)
    odd = values(size, True)
    indices = MaxPoolingWithIndices2D()(odd)[1]
    found = np.take_along_axis(
        odd.reshape(len(odd), -1), array(flat_indices(indices, size)).reshape(len(odd), -1), axis=1
    )
    np.testing.assert_array_equal(found, pool_by_loops(odd)[0].reshape(len(odd), -1))


def test_sizes_that_only_the_run_knows():
    pool, unpool = MaxPoolingWithIndices2D(), MaxUnpooling2D()

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def there_and_back(x):
        pooled, indices = pool(x)
        return unpool(pooled, indices, x)

    for size in SIZES:
        x = values(size, True)
        pooled, indices = pool_by_loops(x)
        np.testing.assert_array_equal(there_and_back(x), unpool_by_loops(pooled, indices, size))


def test_symbolic_shapes():
    x = keras.Input((45, None, 8))
    pooled, indices = MaxPoolingWithIndices2D()(x)
    assert pooled.shape == indices.shape == (None, 23, None, 8)
    assert (pooled.dtype, indices.dtype) == ("float32", "int32")
    assert MaxUnpooling2D()(pooled, indices, x).shape == (None, 45, None, 8)


# Local response normalisation


@pytest.mark.parametrize("channels", [1, 3, 4, 9])
def test_lrn_is_the_formula(channels):
    x = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, channels)).astype("float32")
    expected = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        c = place[-1]
        near = [float(x[(*place[:-1], k)]) for k in range(channels) if abs(k - c) <= 2]
        expected[place] = x[place] / (1 + 1e-4 / 5 * sum(v * v for v in near)) ** 0.75
    np.testing.assert_allclose(array(LocalResponseNormalization()(x)), expected, rtol=1e-5)


def test_lrn_agrees_with_tensorflow_whose_alpha_is_not_divided():
    x = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 7)).astype("float32")
    ours = LocalResponseNormalization(channels=3, alpha=3e-4, beta=0.5)(x)
    np.testing.assert_allclose(array(ours), tf.nn.lrn(x, 1, bias=1, alpha=1e-4, beta=0.5), rtol=1e-5)


def test_lrn_of_the_brightest_pixel_is_finite_in_float16():
    x = np.full((1, 2, 2, 3), 255, "float16")
    y = array(LocalResponseNormalization(dtype="float16")(x)).astype("float32")
    np.testing.assert_allclose(y, 255 / (1 + 1e-4 / 5 * 3 * 255**2) ** 0.75, rtol=0.01)
    layer = LocalResponseNormalization(3, 2e-4, 0.5)
    assert LocalResponseNormalization.from_config(layer.get_config()).get_config() == layer.get_config()


# The networks


def kinds(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def before(layer):
    """The layers that feed a layer."""
    node = layer._inbound_nodes[0]
    return [parent.operation for parent in node.parent_nodes]


def test_segnet_has_26_convolutions_25_batch_norms_and_25_relus():
    model = segnet(width=1 / 64)
    convolutions = kinds(model, keras.layers.Conv2D)
    assert len(convolutions) == 26 and all(c.kernel_size == (3, 3) and c.use_bias for c in convolutions)
    norms, relus = kinds(model, keras.layers.BatchNormalization), kinds(model, keras.layers.ReLU)
    assert len(norms) == len(relus) == 25
    assert [before(relu)[0] for relu in relus] == norms
    assert [before(norm)[0] for norm in norms] == convolutions[:-1]
    assert model.layers[-1] is convolutions[-1]  # neither batch norm nor ReLU on the logits


def test_segnet_has_the_channels_of_the_released_definition():
    with keras.StatelessScope(initialize_variables=False):
        model = segnet()
    channels = [layer.filters for layer in kinds(model, keras.layers.Conv2D)]
    keras.utils.clear_session()
    encoder = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
    assert channels == [*encoder, *[512] * 3, 512, 512, 256, 256, 256, 128, 128, 64, 64, 11]


def test_sizes_of_segnet_on_camvid():
    model = segnet((360, 480, 3), width=1 / 64)
    sizes = {
        name: model.get_layer(name).output[0].shape[1:3]
        for name in ("pool1", "pool2", "pool3", "pool4", "pool5")
    }
    assert list(sizes.values()) == [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]
    assert model.get_layer("unpool5").output.shape[1:3] == (23, 30)
    assert model.get_layer("unpool4").output.shape[1:3] == (45, 60)


def test_every_unpooling_gets_the_indices_of_its_own_pooling():
    for model in (segnet(width=1 / 64), segnet_basic(width=1 / 16)):
        unpoolings = kinds(model, MaxUnpooling2D)
        assert len(unpoolings) == len(kinds(model, MaxPoolingWithIndices2D))
        for layer in unpoolings:
            pool = model.get_layer(layer.name.replace("unpool", "pool"))
            assert layer.input[1] is pool.output[1]
            assert layer.input[2] is pool.input


def test_segnet_basic_is_the_released_definition():
    model = segnet_basic(width=1 / 16)
    *sevens, classifier = kinds(model, keras.layers.Conv2D)
    assert [c.kernel_size for c in sevens] == [(7, 7)] * 8 and classifier.kernel_size == (1, 1)
    relus, norms = kinds(model, keras.layers.ReLU), kinds(model, keras.layers.BatchNormalization)
    assert [before(norm)[0] for norm in norms] == sevens
    assert [before(relu)[0] for relu in relus] == norms[:4]  # none in the decoder
    assert isinstance(model.layers[1], LocalResponseNormalization)


def test_batch_norm_starts_and_computes_as_released():
    for layer in kinds(segnet(width=1 / 64), keras.layers.BatchNormalization):
        gamma, beta, *_ = layer.get_weights()
        assert (gamma == 1).all() and np.allclose(beta, 0.001)


ENCODER = (7 * 7 * 3 * 64 + 64) + 3 * (7 * 7 * 64 * 64 + 64) + 4 * 2 * 64
SCORES = 64 * 11 + 11
PARAMETERS = {
    "bilinear": SCORES,
    "max-unpooling": 4 * (7 * 7 * 64 * 64 + 64 + 2 * 64) + SCORES,
    "encoder-addition": 4 * (7 * 7 * 64 * 64 + 64 + 2 * 64) + SCORES,
    "single-channel": 4 * (7 * 7 * 64 + 64 + 2 * 64) + SCORES,
    "replication": 4 * (7 * 7 * 64 * 64 + 64 + 2 * 64) + SCORES,
    "fcn-basic": 4 * SCORES + 4 * 8 * 8 * 11 * 11,
    "fcn-basic-no-addition": SCORES + 4 * 8 * 8 * 11 * 11,
    "fcn-basic-no-reduction": SCORES + 4 * 8 * 8 * 64 * 64,
    "fcn-basic-no-addition-no-reduction": SCORES + 4 * 8 * 8 * 64 * 64,
}
# Millions, Table 1 of the paper, which prints multiples of 0.025.
PRINTED = {
    "bilinear": 0.625,
    "max-unpooling": 1.425,
    "encoder-addition": 1.425,
    "single-channel": 0.625,
    "fcn-basic": 0.65,
    "fcn-basic-no-addition": 0.65,
    "fcn-basic-no-reduction": 1.625,
    "fcn-basic-no-addition-no-reduction": 1.625,
}


@every_decoder
def test_parameters_of_the_decoders(decoder):
    count = trainable_weights(lambda: segnet_basic(decoder=decoder))
    assert count == ENCODER + PARAMETERS[decoder]
    if decoder in PRINTED:
        assert abs(count / 1e6 - PRINTED[decoder]) < (0.04 if "no-reduction" in decoder else 0.0126)


# Bytes for one image of 360x480: windows of pool1..pool4, and features of pool1..pool3 that are added.
WINDOWS, ADDED = 180 * 240 + 90 * 120 + 45 * 60 + 23 * 30, 180 * 240 + 90 * 120 + 45 * 60
STORAGE = {
    "bilinear": 0,
    "max-unpooling": WINDOWS * 64 * 2 // 8,
    "encoder-addition": WINDOWS * 64 * 2 // 8 + ADDED * 64 * 4,
    "single-channel": WINDOWS * 64 * 2 // 8,
    "replication": 0,
    "fcn-basic": ADDED * 11 * 4,
    "fcn-basic-no-addition": 0,
    "fcn-basic-no-reduction": ADDED * 64 * 4,
    "fcn-basic-no-addition-no-reduction": 0,
}


@every_decoder
def test_what_the_decoders_keep_from_the_encoder(decoder):
    with keras.StatelessScope(initialize_variables=False):
        model = segnet_basic((360, 480, 3), decoder=decoder)
    assert encoder_storage(model) == STORAGE[decoder]
    keras.utils.clear_session()


def test_the_indices_of_the_large_segnet():
    with keras.StatelessScope(initialize_variables=False):
        model = segnet((360, 480, 3))
    windows = [180 * 240, 90 * 120, 45 * 60, 23 * 30, 12 * 15]
    indices = sum(w * c for w, c in zip(windows, (64, 128, 256, 512, 512), strict=True))
    assert encoder_storage(model) == indices * 2 // 8 == 1_320_960
    keras.utils.clear_session()


def test_storage_of_an_open_size_is_an_error():
    with pytest.raises(ValueError, match="input_shape=\\(360, 480, 3\\)"):
        encoder_storage(segnet_basic(width=1 / 16))


@every_decoder
def test_every_decoder_takes_every_size(decoder):
    model = randomize(segnet_basic(width=1 / 16, decoder=decoder))
    for size in ((32, 32), (33, 47), (97, 131)):
        logits = logits_of(model, noise(size))
        assert logits.shape == (1, *size, 11)
        assert np.isfinite(logits).all() and np.ptp(logits) > 0


@pytest.mark.parametrize("learned", [True, False])
def test_upsampling_starts_as_bilinear_interpolation(learned):
    coarse = np.random.default_rng(0).normal(size=(1, 6, 8, 3)).astype("float32")
    x, like = keras.Input((6, 8, 3)), keras.Input((12, 15, 1))
    upsampling = learned_upsampling if learned else bilinear_upsampling
    fine = keras.Model([x, like], upsampling(x, like, "up"))([coarse, np.zeros((1, 12, 15, 1), "float32")])
    expected = tf.image.resize(coarse, (12, 16))[:, :, :15]
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(array(fine)[inside], expected.numpy()[inside], atol=1e-5)


def test_an_unknown_decoder_lists_the_known():
    with pytest.raises(ValueError, match="'upsampling' is unknown: 'bilinear', 'max-unpooling'"):
        segnet_basic(decoder="upsampling")


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (segnet, {}, ["encdrop3", "encdrop4", "encdrop5", "decdrop5", "decdrop4", "decdrop3"]),
        (segnet_basic, {}, ["encdrop3", "encdrop4", "decdrop4", "decdrop3"]),
        (segnet_basic, {"decoder": "fcn-basic"}, ["encdrop3", "encdrop4", "decdrop4", "decdrop3"]),
    ],
)
def test_bayesian_segnet_drops_where_the_released_definition_does(network, options, expected):
    drops = kinds(network(width=1 / 64, dropout=0.5, **options), keras.layers.Dropout)
    assert [layer.name for layer in drops] == expected
    assert {layer.rate for layer in drops} == {0.5}
    assert kinds(network(width=1 / 64, **options), keras.layers.Dropout) == []
    pooled = {f"encdrop{n}": f"pool{n}" for n in (3, 4, 5)}
    assert all(before(layer)[0].name == pooled[layer.name] for layer in drops if layer.name in pooled)


# Class balancing


def test_median_frequency_balancing_by_hand():
    labels = np.array([[[0, 0, 0, 0], [0, 0, 1, 255]], [[0, 0, 0, 0], [0, 0, 2, 2]]])
    # Class 0: 12 of 16 pixels; class 1: 1 of the 8 pixels of its image; class 2: 2 of 8; class 3: nowhere.
    np.testing.assert_allclose(losses.class_frequencies(labels, 4), [0.75, 0.125, 0.25, np.nan])
    np.testing.assert_allclose(losses.median_frequency_weights(labels, 4), [1 / 3, 2, 1, 0])


def test_with_an_even_number_of_classes_the_median_is_a_mean_of_two():
    labels = np.array([[[0, 0, 0, 1]], [[0, 0, 1, 1]]])  # frequencies 5/8 and 3/8
    np.testing.assert_allclose(losses.median_frequency_weights(labels, 2), [0.8, 4 / 3])


def test_an_id_that_is_no_class_is_an_error():
    with pytest.raises(ValueError, match=r"0\.\.2 or 255, got 3"):
        losses.class_frequencies(np.array([[[0, 3]]]), 3)


RECOMPUTED = {
    12: [0.2565, 0.1853, 4.3963, 0.1369, 0.9185, 0.3873, 3.5331, 1.8127, 0.7246, 5.855, 8.1365, 1.0974],
    11: [0.2793, 0.2017, 4.7865, 0.149, 1.0, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587],
}


@pytest.mark.parametrize("classes", RECOMPUTED)
@pytest.mark.skipif(not datasets.available("camvid", "train"), reason="CamVid is not on this machine")
def test_the_weights_of_camvid(classes):
    labels = datasets.load("camvid", "train")[1]
    if classes == 12:
        labels = np.where(labels == 255, 11, labels)
    found = losses.median_frequency_weights(labels, classes)
    np.testing.assert_allclose(found, RECOMPUTED[classes], atol=6e-5)


# The study


@pytest.mark.parametrize("decoder", (study.STARTER, *study.COMPARED))
def test_every_variant_starts_at_the_loss_of_chance(decoder):
    model = study.build(decoder, study.STUDY.settings)
    labels = np.random.default_rng(1).integers(0, 11, (2, 96, 128), dtype=np.uint8)
    loss = float(losses.MaskedCrossEntropy()(labels, model(noise((96, 128), count=2), training=True)))
    assert loss == pytest.approx(np.log(11), rel=1e-5)


@every_decoder
def test_fcn_basics_own_scores_start_at_zero(decoder):
    model = segnet_basic(classes=11, width=1 / 16, decoder=decoder)
    zero = not logits_of(model, noise((32, 32))).any()
    assert zero == (decoder == "bilinear" or decoder.startswith("fcn"))


@pytest.mark.parametrize("decoder", study.COMPARED)
def test_from_zero_scores_everything_learns(decoder):
    """After the first step, that is: a score that is zero passes no gradient on to what feeds it."""
    model = study.build(decoder, {**study.STUDY.settings, "width": 1 / 8})
    images, labels = noise((32, 32), count=2), np.random.default_rng(1).integers(0, 11, (2, 32, 32))
    model.compile(keras.optimizers.Adam(1e-2), losses.MaskedCrossEntropy(), run_eagerly=True)
    before = [w.copy() for w in model.get_weights()]
    for _ in range(3):
        model.train_on_batch(images, labels)
    pairs = zip(model.weights, before, model.get_weights(), strict=True)
    assert [w.path for w, old, new in pairs if "kernel" in w.path and np.array_equal(old, new)] == []


def test_long_and_natural_variants_share_what_they_should(monkeypatch, tmp_path):
    calls, places = [], []

    def rounds(model, optimizer, data, settings, seed, steps, round_steps, folder, class_weights):
        calls.append((float(optimizer.learning_rate), seed, steps, class_weights is not None))
        near = -abs(np.log10(calls[-1][0] / 3e-3)) / 10
        columns = ("step", "loss", "val_loss", "val_miou")
        return dict.fromkeys(columns, [0.5 + near])

    def scratch(name, *key):
        places.append(key[:2])
        return tmp_path / "-".join(map(str, key[:2]))

    monkeypatch.setattr(fitting, "rounds", rounds)
    monkeypatch.setattr(study.store, "scratch", scratch)
    monkeypatch.setattr(study.scoring, "measure", lambda *_: {"miou": 0.5})
    settings = study.STUDY.settings
    short, long, natural = (study._run(f"fcn-basic{kind}-2", settings) for kind in ("", "-long", "-natural"))
    grid = [(pytest.approx(rate), 0, 400) for rate in (1e-3, 3e-3, 1e-2)]
    assert [call[:3] for call in calls[:3]] == [call[:3] for call in calls[5:8]] == grid
    assert calls[3:5] == [(pytest.approx(3e-3), 2, 600, True), (pytest.approx(3e-3), 2, 2400, True)]
    assert [call[3] for call in calls[5:]] == [False] * 4 and calls[-1][2] == 600
    assert places == [("fcn-basic", True), ("fcn-basic", True), ("fcn-basic", False)]
    assert short["rates"] == long["rates"] and short["learning_rate"] == natural["learning_rate"] == 3e-3


def stored(miou):
    """A part of a stored result."""
    test = dict.fromkeys(study.SCORES, 0.5) | {"miou": miou}
    history = {"step": [100, 200], "loss": [2.0, 1 - miou], "val_loss": [2, 1], "val_miou": [0.1, miou]}
    rates = {"0.001": 0.1, "0.003": 0.2, "0.01": 0.1}
    return {"rates": rates, "learning_rate": 3e-3, "history": history, "test": test}


def test_what_the_lesson_reads_of_the_result():
    mious = {"starter": 0.5, "max-unpooling": 0.4, "replication": 0.35, "max-unpooling-long": 0.6}
    parts = {f"{v}-{s}": stored(m + 0.01 * int(s)) for v, m in mious.items() for s in "123"}
    result = {"results": parts}
    lines = study.report(result, {"max-unpooling": 0.92, "replication": 0.0}).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["starter", "max-unpooling", "replication"]
    assert lines[1].split()[1:6] == ["–"] * 5 and lines[2].split()[1:6] == [
        "0.9",
        "82.7",
        "62.0",
        "47.7",
        "35.8",
    ]
    assert lines[2].split()[-1] == "0.58" and "42.0 ± 1.0" in lines[2]
    assert study.gains(result, study.CLAIMS) == {("max-unpooling", "replication"): pytest.approx([5, 5, 5])}
    assert list(study.curves(result, tuple(study.LONGER))) == ["max-unpooling-long"]
    assert study.per_seed(result, "miou")["replication"] == pytest.approx([0.36, 0.37, 0.38])


def test_every_comparison_is_of_variants_that_are_trained():
    pairs = (*study.CLAIMS, *study.LONG_CLAIMS)
    assert {v for pair in pairs for v in pair} <= set(study.VARIANTS) and len(study.LONG_CLAIMS) == 3
    assert set(study.COMPARED) < set(DECODERS) and len(study.STUDY.parts) == 3 * (9 + 2 + 5)
    assert study.STUDY.parts[0] == "starter-1"
    assert all(variant.times * study.STUDY.settings["steps"] % study.STUDY.settings["round_steps"] == 0
               for variant in study.VARIANTS.values())  # fmt: skip


# The exercises: wrong answers, and right ones of another form

CLONE = """copy = keras.models.clone_model(model{how})
copy.set_weights(model.get_weights())
return copy"""
DROPPING = """class Dropping(layers.Layer):
    def __init__(self, rate, **options):
        super().__init__(**options)
        self.rate, self.seed = rate, keras.random.SeedGenerator(1)

    def call(self, inputs):
        return keras.random.dropout(inputs, self.rate, seed=self.seed)

def rebuilt(layer):
    if isinstance(layer, layers.Dropout):
        return Dropping(layer.rate, name=layer.name)
    return type(layer).from_config(layer.get_config())

"""
CALLED = """def call(layer, *inputs, **options):
    more = {"training": True} if isinstance(layer, layers.Dropout) else {}
    return layer(*inputs, **options | more)

"""
WRONG = [
    (0, "return numbers % 4"),
    (0, "return 2 * (numbers // width % 2) + numbers % 2"),  # one channel only
    (0, "pixel = numbers // channels\nreturn 2 * (pixel % width % 2) + pixel // width % 2"),  # transposed
    (0, "pixel = numbers // channels\nreturn 2 * (pixel // width // 2) + pixel % width % 2"),
    (1, "return sum(2 * (height >> n) * (width >> n) * c for n, c in enumerate(channels, 1)) / 8"),
    (1, "return sum(2 * -(-height // 2**n) * -(-width // 2**n) * c for n, c in enumerate(channels)) / 8"),
    (1, "return sum(2 * -(-height // 2**n) * -(-width // 2**n) * c for n, c in enumerate(channels, 1))"),
    (1, "return sum(-(-height // 2**n) * -(-width // 2**n) * c for n, c in enumerate(channels, 1))"),
    (2, "return model"),
    (2, CLONE.format(how="")),  # drops in training alone
    (2, DROPPING + "return keras.models.clone_model(model, clone_function=rebuilt)"),  # other weights
    (2, CALLED + CLONE.format(how=", call_function=call")),  # `predict` and training=False overrule it
    (2, "return keras.Model(model.input, model(model.input, training=True))"),  # the batch's statistics
    (
        2,
        "for layer in model.layers:\n    if isinstance(layer, layers.Dropout):\n"
        "        layer.call = lambda x, layer=layer, **_: layers.Dropout.call(layer, x, training=True)\n"
        "return keras.Model(model.input, model.output)",  # the model itself drops from now on
    ),
]
RIGHT = [
    (0, "pixel, _ = np.divmod(numbers, channels)\nrow, column = np.divmod(pixel, width)\n"
        "return (row & 1) << 1 | column & 1"),
    (0, "shape = numbers.max() // (width * channels) + 1, width, channels\n"
        "row, column, _ = np.unravel_index(numbers, shape)\nreturn row % 2 * 2 + column % 2"),
    (1, "total = 0\nfor count in channels:\n    height, width = (height + 1) // 2, (width + 1) // 2\n"
        "    total += height * width * count\nreturn total / 4"),
    (2, DROPPING + CLONE.format(how=", clone_function=rebuilt")),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_wrong_answer_is_found(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

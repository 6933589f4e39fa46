"""What defines FCN: the bilinear kernel, alignment, skips that start at zero, fc6 as a convolution."""

import functools

import keras
import numpy as np
import pytest
from helpers import ROOT, array, logits_of, noise, randomize, trainable_weights
from scipy import ndimage

from segcourse import models, training
from segcourse.encoders import vgg
from segcourse.encoders.transfer import transplant
from segcourse.exercises import NotYet
from segcourse.layers.alignment import CoordMap, Crop, crop_offset
from segcourse.layers.bilinear import Bilinear, bilinear_kernel
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.fcn import fcn8s, fcn16s, fcn32s
from segcourse.models.starter import small_network
from segcourse.models.starter_variants import starter_variant, with_batch_normalization
from segcourse.studies import fcn as study
from segcourse.studies.core import fitting, reading, scoring

LESSON = ROOT / "notebooks" / "01_fcn.ipynb"
WIDTH = 1 / 64
NETWORKS = {"fcn32s": fcn32s, "fcn16s": fcn16s, "fcn8s": fcn8s}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
SCHEMES = {"paper": {}, "paper, fc6 5x5": {"fc6_size": 5}, "same": {"padding": "same"}}
SCHEMES |= {"same, fc6 3x3": {"padding": "same", "fc6_size": 3}}


# The bilinear kernel


def test_kernels_by_hand():
    np.testing.assert_allclose(array(bilinear_kernel(1)), [[1]])
    np.testing.assert_allclose(array(bilinear_kernel(2)), np.full((2, 2), 0.25))
    np.testing.assert_allclose(array(bilinear_kernel(3)), np.outer([1, 2, 1], [1, 2, 1]) / 4)
    np.testing.assert_allclose(array(bilinear_kernel(4)), np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 16, 32, 64])
def test_the_kernel_is_a_hat_over_every_pixel(size):
    reach = (size + 1) // 2  # a bilinear hat is 1 on its own sample and 0 on the next, `reach` pixels away
    middle = (size - 1) / 2
    # In an odd kernel a pixel lies on the sample, in an even one the sample lies half-way between two.
    expected = [
        [(1 - abs(row - middle) / reach) * (1 - abs(column - middle) / reach) for column in range(size)]
        for row in range(size)
    ]
    kernel = bilinear_kernel(size)
    assert keras.backend.standardize_dtype(kernel.dtype) == "float32"
    np.testing.assert_allclose(array(kernel), expected, rtol=1e-6)


@pytest.mark.parametrize("stride", [2, 3, 8, 16, 32])
def test_the_transposed_convolution_interpolates_every_channel_by_itself(stride):
    size, channels = 2 * stride - stride % 2, 3
    coarse = np.random.default_rng(stride).normal(size=(1, 4, 6, channels)).astype("float32")
    layer = keras.layers.Conv2DTranspose(
        channels, size, strides=stride, padding="same", use_bias=False, kernel_initializer=Bilinear()
    )
    fine = array(layer(coarse))
    assert fine.shape == (1, 4 * stride, 6 * stride, channels)
    # Pixel i of the fine map lies at (i - shift) / stride of the coarse one, which is 0 outside.
    shift = (size - 1) / 2 - (size - stride) // 2
    rows, columns = np.mgrid[: 4 * stride, : 6 * stride]
    at = (np.stack([rows, columns]) - shift) / stride + 1
    for c in range(channels):
        expected = ndimage.map_coordinates(np.pad(coarse[0, :, :, c], 1), at, order=1)
        np.testing.assert_allclose(fine[0, :, :, c], expected, atol=1e-5)


def test_a_constant_stays_constant_inside():
    layer = keras.layers.Conv2DTranspose(2, 16, strides=8, use_bias=False, kernel_initializer=Bilinear())
    fine = array(layer(np.full((1, 5, 5, 2), 3.0, "float32")))
    np.testing.assert_allclose(fine[:, 8:-8, 8:-8], 3.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4, 3, 2), (4, 2, 3, 3)])
def test_a_kernel_that_cannot_upsample_is_an_error(shape):
    with pytest.raises(ValueError, match=r"\[k, k, C, C\].*" + ", ".join(map(str, shape))):
        Bilinear()(shape)


def test_the_initializer_gives_the_dtype_that_is_asked_for():
    assert keras.backend.standardize_dtype(Bilinear()((4, 4, 2, 2), dtype="float16").dtype) == "float16"
    assert isinstance(keras.initializers.deserialize(keras.initializers.serialize(Bilinear())), Bilinear)


# Alignment


@pytest.mark.parametrize(
    ("network", "offsets"),
    [
        (fcn32s, {"logits": 19}),
        (fcn16s, {"score_pool4_crop": 5, "logits": 27}),
        (fcn8s, {"score_pool4_crop": 5, "score_pool3_crop": 9, "logits": 31}),
    ],
    ids=NETWORKS,
)
def test_the_papers_crop_offsets(network, offsets):
    crops = {layer.name: layer.offset for layer in network(width=WIDTH).layers if isinstance(layer, Crop)}
    assert {name: offset for name, offset in crops.items() if not name.startswith("fuse")} == offsets
    assert all(offset == 0 for name, offset in crops.items() if name.startswith("fuse"))


def test_the_released_nets_map_sizes_for_500_pixels():
    model = fcn8s((500, 500, 3), width=WIDTH)
    sizes = {
        name: model.get_layer(name).output.shape[1] for name in ("conv1_1", "pool3", "pool4", "pool5", "fc6")
    }
    assert sizes == {"conv1_1": 698, "pool3": 88, "pool4": 44, "pool5": 22, "fc6": 16}
    upsampled = [
        model.get_layer(name).output.shape[1] for name in ("upscore_to_pool4", "upscore_to_pool3", "upscore8")
    ]
    assert upsampled == [34, 70, 568]


def linear(model):
    """The same network in float64 with every filter a mean: a feature is the mean of what it looks at."""

    def averaging(layer):
        config = {**layer.get_config(), "dtype": "float64"}
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D.from_config(config)
        if isinstance(layer, keras.layers.Rescaling):
            config["offset"] = 0.0
        if "activation" in config:
            config["activation"] = "linear"
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=averaging)
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Conv2D) and not layer.name.startswith("upscore"):
            kernel = layer.kernel.shape
            layer.set_weights([np.full(kernel, 1 / np.prod(kernel[:-1])), np.zeros(kernel[-1])])
    return twin


def centres(model, names, size=(641, 607)):
    """Where in the image the pixels of some maps look: dict name -> (rows, columns), NaN at the border.

    The linear network gets three images: row numbers, column numbers, and ones, which tell what is inside.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    images = np.repeat(np.stack([rows, columns, np.ones(size)])[..., None], 3, axis=-1).astype("float32")
    twin = linear(model)
    maps = keras.Model(twin.input, {name: twin.get_layer(name).output for name in names})(
        images, training=False
    )
    found = {}
    for name, values in maps.items():
        row, column, one = array(values)[..., 0]
        inside = one > one.max() - 1e-9
        assert inside.sum() > 4
        found[name] = np.stack([np.where(inside, x / one.max(), np.nan) for x in (row, column)])
    return found


def assert_aligned(one, other):
    """Both maps look at the same places wherever both are far from the border."""
    difference = np.abs(one - other)
    assert np.isfinite(difference).sum() > 8
    assert np.nanmax(difference) < 1e-3, f"apart by {np.nanmax(difference):.3f} pixels"


SUMS = {n: (f"score_pool{n}_crop", f"fuse_pool{n}_crop") for n in (4, 3)}


@functools.cache
def centres_of_fcn8s(scheme):
    """`centres` of all maps that two tests look at."""
    poolings = [f"pool{n}" for n in range(1, 6)]
    model = fcn8s(width=WIDTH, classes=2, **SCHEMES[scheme])
    return centres(model, [*poolings, "fc6", *SUMS[4], *SUMS[3], "logits"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_sum_and_the_output_are_aligned_to_a_thousandth_of_a_pixel(scheme):
    found = centres_of_fcn8s(scheme)
    for skip, coarse in SUMS.values():
        assert_aligned(found[skip], found[coarse])
    assert_aligned(found["logits"], np.mgrid[: found["logits"].shape[1], : found["logits"].shape[2]])


@pytest.mark.parametrize("network", [fcn32s, fcn16s], ids=["fcn32s", "fcn16s"])
@pytest.mark.parametrize("scheme", [SCHEMES["paper"], SCHEMES["same, fc6 3x3"]], ids=["paper", "same"])
def test_the_output_of_the_coarser_nets_is_aligned(network, scheme):
    found = centres(network(width=WIDTH, classes=2, **scheme), ["logits"])["logits"]
    assert_aligned(found, np.mgrid[: found.shape[1], : found.shape[2]])


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_an_even_fc6_is_aligned_or_refused(padding):
    try:
        model = fcn32s(width=WIDTH, classes=2, padding=padding, fc6_size=4)
    except ValueError:
        return
    found = centres(model, ["logits"])["logits"]
    assert_aligned(found, np.mgrid[: found.shape[1], : found.shape[2]])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_coordinate_maps_say_what_the_experiment_finds(scheme):
    same, size = "same" in scheme, SCHEMES[scheme].get("fc6_size", 7)
    at = CoordMap().conv(3, 1 if same else 100)
    expected = {}
    for n in range(1, 6):
        at = at.conv(2, stride=2)
        expected[f"pool{n}"] = at
    expected["fc6"] = at.conv(size, (size - 1) / 2 if same else 0)
    found = centres_of_fcn8s(scheme)
    for name, at in expected.items():
        index = np.mgrid[: found[name].shape[1], : found[name].shape[2]]
        assert_aligned(found[name], at.stride * index + at.shift)
        assert at.stride == 2 ** min(int(name[-1]), 5)


def test_coordinate_maps_by_hand():
    assert CoordMap().conv(3, pad=1) == CoordMap(1, 0)
    assert CoordMap().conv(3) == CoordMap(1, 1)
    assert CoordMap().conv(2, stride=2) == CoordMap(2, 0.5)
    assert CoordMap(2, 0.5).conv(2, stride=2) == CoordMap(4, 1.5)
    assert CoordMap(2, 0.5).deconv(4, 2) == CoordMap(
        1, -1
    )  # 3 pixels come from before the first of the coarse map
    assert CoordMap(2, 0.5).deconv(4, 2, crop=1) == CoordMap(1, 0)


def test_crops_that_cannot_align_are_errors():
    assert crop_offset(CoordMap(8, -4), CoordMap(8, 20)) == 3
    for larger, smaller in (
        (CoordMap(8, 0), CoordMap(8, 4)),  # half a pixel apart
        (CoordMap(8, 8), CoordMap(8, 0)),  # the smaller map begins before the larger
        (CoordMap(8, 0), CoordMap(16, 0)),
    ):
        with pytest.raises(ValueError, match="equal strides and a whole offset"):
            crop_offset(larger, smaller)


def test_crop_cuts_what_numpy_cuts():
    x = np.random.default_rng(0).normal(size=(2, 9, 11, 3)).astype("float32")
    like = np.zeros((2, 4, 5, 7), "float32")
    crop = Crop(3)
    np.testing.assert_array_equal(array(crop([x, like])), x[:, 3:7, 3:8])
    assert crop.compute_output_shape([x.shape, like.shape]) == (2, 4, 5, 3)
    assert Crop.from_config(crop.get_config()).offset == 3


@pytest.mark.parametrize(
    ("side", "expected"),
    [(90, [45, 23, 12, 6, 3]), (97, [49, 25, 13, 7, 4]), (32, [16, 8, 4, 2, 1]), (33, [17, 9, 5, 3, 2])],
)
def test_pooling_rounds_up(side, expected):
    pooled = vgg.vgg16_features(keras.Input((side, 64, 3)), WIDTH)
    assert [p.shape[1] for p in pooled] == expected
    pool = fcn8s(width=WIDTH, padding="same").get_layer("pool2")
    column = np.arange(45, dtype="float32").reshape(1, 45, 1, 1)
    np.testing.assert_array_equal(array(pool(column))[0, :, 0, 0], [*range(1, 45, 2), 44])


# Skips


@every_network
def test_a_fresh_network_scores_everything_zero(network):
    model = network(width=WIDTH)
    scores = [layer for layer in model.layers if layer.name.startswith("score") and layer.weights]
    assert len(scores) == {"fcn32s": 1, "fcn16s": 2, "fcn8s": 3}[network.__name__]
    assert all(not weight.any() for layer in scores for weight in layer.get_weights())
    assert not logits_of(model, noise((40, 50))).any()


@every_network
def test_all_upsampling_is_fixed_and_bilinear(network):
    upsampling = [layer for layer in network(width=WIDTH).layers if layer.name.startswith("upscore")]
    assert (
        sorted(layer.strides[0] for layer in upsampling)
        == {"fcn32s": [32], "fcn16s": [2, 16], "fcn8s": [2, 2, 8]}[network.__name__]
    )
    for layer in upsampling:
        (kernel,) = layer.get_weights()
        assert kernel.shape == (2 * layer.strides[0], 2 * layer.strides[0], 21, 21)
        assert layer.trainable_weights == []
        for c in range(21):
            np.testing.assert_allclose(kernel[:, :, c, c], array(bilinear_kernel(2 * layer.strides[0])))
        assert np.count_nonzero(kernel) == 21 * kernel.shape[0] ** 2


def feature(model, name, images):
    return logits_of(keras.Model(model.input, model.get_layer(name).output), images)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("coarser", "finer", "scores", "fused"),
    [(fcn32s, fcn16s, "score_fr", "fuse_pool4"), (fcn16s, fcn8s, "fuse_pool4", "fuse_pool3")],
    ids=["32s to 16s", "16s to 8s"],
)
def test_a_network_that_grows_a_skip_computes_the_same_scores_first(padding, coarser, finer, scores, fused):
    source = coarser(classes=4, width=1 / 16, padding=padding)
    randomize(source, source.trainable_weights)
    target = finer(classes=4, width=1 / 16, padding=padding)
    transplant(source, target)
    images = noise((97, 131))
    coarse, fine = feature(source, scores, images)[0], feature(target, fused, images)[0]
    assert np.ptp(coarse) > 0.1
    shift = 0.5 if padding == "same" else 1.5
    at = (np.mgrid[: fine.shape[0], : fine.shape[1]] - shift) / 2 + 1
    for c in range(4):
        expected = ndimage.map_coordinates(np.pad(coarse[:, :, c], 1), at, order=1)
        np.testing.assert_allclose(fine[:, :, c], expected, atol=1e-5 * np.ptp(coarse))


def test_a_skip_adds_its_scores():
    model = randomize(fcn16s(classes=4, width=1 / 16))
    images = noise((64, 64))
    parts = [feature(model, name, images) for name in ("score_pool4_crop", "fuse_pool4_crop")]
    assert all(np.ptp(part) > 0 for part in parts)
    np.testing.assert_allclose(
        feature(model, "fuse_pool4", images), parts[0] + parts[1], rtol=1e-5, atol=1e-6
    )
    pool4 = feature(model, "pool4", images)  # the skip leaves after the pooling
    kernel, bias = model.get_layer("score_pool4").get_weights()
    expected = (pool4 @ kernel[0, 0] + bias)[:, 5 : 5 + parts[0].shape[1], 5 : 5 + parts[0].shape[2]]
    np.testing.assert_allclose(parts[0], expected, rtol=1e-3, atol=1e-4 * np.ptp(expected))


# fc6 and fc7 as convolutions, and the transplant


@pytest.mark.parametrize("window", [32, 96, 224])
def test_one_window_gives_the_dense_layers_numbers(window):
    classifier = randomize(vgg.vgg16((window, window, 3), classes=5, width=1 / 32))
    size = window // 32
    model = fcn32s(classes=5, width=1 / 32, padding="same", fc6_size=size)
    transplant(classifier, model)
    images = noise((window, window), count=2)
    centre = (size - 1) // 2  # the one position at which fc6 sees the whole map and nothing else
    by_convolution, dense = (
        feature(model, "fc7", images)[:, centre, centre],
        feature(classifier, "fc7", images),
    )
    assert np.ptp(dense) > 0.1
    np.testing.assert_allclose(by_convolution, dense, rtol=1e-4, atol=1e-5 * np.ptp(dense))


@pytest.mark.parametrize("size", [2, 3])
def test_in_the_papers_scheme_fc6_is_the_dense_layer_at_every_position(size):
    classifier = randomize(vgg.vgg16((32 * size, 32 * size, 3), classes=5, width=1 / 32))
    model = fcn32s(classes=5, width=1 / 32, fc6_size=size)
    transplant(classifier, model)
    pool5, fc6 = (feature(model, name, noise((97, 131)))[0] for name in ("pool5", "fc6"))
    kernel, bias = classifier.get_layer("fc6").get_weights()
    assert fc6.shape[:2] == (pool5.shape[0] - size + 1, pool5.shape[1] - size + 1)
    for row, column in np.ndindex(fc6.shape[:2]):
        expected = np.maximum(pool5[row : row + size, column : column + size].reshape(-1) @ kernel + bias, 0)
        np.testing.assert_allclose(fc6[row, column], expected, rtol=1e-4, atol=1e-4 * np.ptp(fc6))


def assert_refused(source, target, match):
    before = target.get_weights()
    with pytest.raises(ValueError, match=match):
        transplant(source, target)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_transplant_without_a_counterpart_copies_nothing():
    whole = randomize(vgg.vgg16((96, 96, 3), classes=5, width=WIDTH))
    convolutions = keras.Model(whole.input, whole.get_layer("pool5").output, name="convolutions")
    assert_refused(convolutions, fcn32s(width=WIDTH, fc6_size=3), "convolutions has no layer 'fc6'.*fcn32s")


@pytest.mark.parametrize(
    "other", [{"fc6_size": 7}, {"fc6_size": 3, "width": 1 / 32}], ids=["window", "width"]
)
def test_a_transplant_into_another_size_copies_nothing(other):
    source = randomize(vgg.vgg16((96, 96, 3), classes=5, width=WIDTH))
    assert_refused(source, fcn8s(**{"width": WIDTH, **other}), "vgg16 has weights .* fcn8s needs")


def test_a_transplant_copies_every_layer_but_the_fresh_scores():
    source = fcn32s(width=WIDTH)
    randomize(source, source.trainable_weights)
    target = fcn8s(width=WIDTH)
    transplant(source, target)
    for layer in target.layers:
        if layer.weights and not layer.name.startswith(("score_pool", "upscore")):
            for ours, theirs in zip(
                layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


# Arguments


def test_an_unknown_network_lists_the_known_ones():
    with pytest.raises(ValueError, match="'fcn4s'.*" + ".*".join(models.MODELS)):
        models.build("fcn4s")


def test_build_passes_the_arguments_on():
    assert models.build("fcn16s", classes=3, width=WIDTH).output_shape == (None, None, None, 3)


@every_network
def test_unknown_options_are_errors(network):
    with pytest.raises(ValueError, match="'reflect' is unknown: 'valid', 'same'"):
        network(width=WIDTH, padding="reflect")
    with pytest.raises(ValueError, match="'coco' is unknown: None, 'imagenet'"):
        network(width=WIDTH, weights="coco")
    with pytest.raises(TypeError):
        network(width=WIDTH, pading="same")


# VGG16


def test_vgg16_has_the_published_number_of_weights():
    assert trainable_weights(vgg.vgg16) == 138_357_544


@pytest.mark.parametrize("shape", [(None, None, 3), (100, 96, 3), (96, 100, 3), (0, 32, 3)])
def test_a_window_that_32_does_not_divide_is_an_error(shape):
    with pytest.raises(ValueError, match=f"{shape[0]}x{shape[1]}.*32 divides"):
        vgg.vgg16(shape, width=WIDTH)


def test_imagenet_weights_give_the_logits_of_keras_own_vgg16(monkeypatch):
    window, classes = (64, 64, 3), 7  # 40 million weights instead of 138
    arguments = {"weights": None, "classifier_activation": None, "input_shape": window, "classes": classes}
    original = randomize(keras.applications.VGG16(**arguments))
    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: original)
    ours = vgg.vgg16
    monkeypatch.setattr(vgg, "vgg16", lambda: ours(window, classes))
    model = vgg.imagenet_vgg16()
    images = noise(window[:2], count=2).astype("float32")
    keras_mean = np.array([123.68, 116.779, 103.939], "float32")
    papers_mean = np.array([122.67892, 116.66877, 104.00699], "float32")  # a slightly other one
    theirs = keras.applications.vgg16.preprocess_input(images + keras_mean - papers_mean)
    expected = logits_of(original, theirs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(logits_of(model, images), expected, atol=1e-4 * np.ptp(expected))


def test_the_imagenet_weights_fit_layer_by_layer():
    with keras.StatelessScope(initialize_variables=False):
        theirs = [tuple(w.shape) for w in keras.applications.VGG16(weights=None).weights]
        ours = [tuple(w.shape) for w in vgg.vgg16().weights]
    keras.utils.clear_session()
    assert ours == theirs


def test_imagenet_weights_out_of_reach_are_one_clear_error(monkeypatch):
    def offline(**arguments):
        raise OSError("Name or service not known")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(RuntimeError, match="could not be downloaded.*weights=None") as caught:
        fcn8s(width=WIDTH, weights="imagenet")
    assert isinstance(caught.value.__cause__, OSError)


def test_an_fcn_starts_from_the_imagenet_weights(monkeypatch):
    classifier = randomize(vgg.vgg16((224, 224, 3), width=WIDTH))
    monkeypatch.setattr("segcourse.models.fcn.imagenet_vgg16", lambda: classifier)
    model = fcn16s(width=WIDTH, weights="imagenet")
    for name in ("conv1_1", "conv5_3", "fc7"):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[0].ravel(),
            classifier.get_layer(name).get_weights()[0].ravel(),
        )
    assert not model.get_layer("score_pool4").get_weights()[0].any()


# The study


def test_without_a_change_the_variant_is_the_starter():
    ours, theirs = starter_variant(11), small_network(11, input_shape=(None, None, 3))
    randomize(theirs)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(logits_of(ours, noise((32, 48))), logits_of(theirs, noise((32, 48))))


def test_a_starter_variant_differs_in_what_it_says():
    sizes = {name: starter_variant(11, **changes) for name, changes in study.STARTERS.items()}
    kinds = {v: [type(layer).__name__ for layer in model.layers] for v, model in sizes.items()}
    assert kinds["starter"].count("BatchNormalization") == kinds["starter-coarse"].count("ReLU") == 6
    assert "BatchNormalization" not in kinds["starter-plain"] + kinds["starter-coarse-plain"]
    assert "Conv2DTranspose" not in kinds["starter-coarse"] + kinds["starter-coarse-plain"]
    assert kinds["starter-coarse"].count("Conv2D") == kinds["starter"].count("Conv2D") + 2  # equally deep
    places = {v: model.get_layer("score").output.shape[1:3] for v, model in sizes.items()}
    assert set(places.values()) == {(None, None)}
    on = {
        v: starter_variant(11, input_shape=(96, 128, 3), **changes) for v, changes in study.STARTERS.items()
    }
    assert on["starter-half"].get_layer("score").output.shape[1:3] == (48, 64)
    assert on["starter-coarse"].get_layer("score").output.shape[1:3] == (12, 16)
    assert on["starter-half"].count_params() < 0.27 * on["starter"].count_params()
    assert {model.output_shape for model in on.values()} == {(None, 96, 128, 11)}


def test_batch_normalization_is_put_between_each_convolution_and_its_relu():
    model = fcn8s(classes=4, width=1 / 16, padding="same", fc6_size=3)
    randomize(model, model.trainable_weights)
    copy, images = with_batch_normalization(model), noise((64, 96))
    norms = [layer.name for layer in copy.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 15 and {"conv1_1_bn", "fc7_bn"} <= set(norms) and "score_fr_bn" not in norms
    for (
        layer
    ) in copy.layers:  # with the stored statistics at their start it only divides by sqrt(1 + epsilon)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(keras.ops.full_like(layer.moving_variance, 1 - layer.epsilon))
    np.testing.assert_allclose(logits_of(copy, images), logits_of(model, images), rtol=1e-3, atol=1e-4)
    assert not any(layer.trainable for layer in copy.layers if layer.name == "upscore8")
    assert copy.get_layer("conv1_1").activation is keras.activations.linear
    assert model.get_layer("conv1_1").activation is keras.activations.relu, "the original stays as it is"


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_every_variant_starts_near_the_loss_of_chance(variant):
    training.set_seed(1)
    model = study.build(variant, study.stages(variant)[0], None, study.STUDY.settings)
    labels = np.random.default_rng(1).integers(0, 11, (2, 96, 128), dtype=np.uint8)
    loss = float(MaskedCrossEntropy()(labels, model(noise((96, 128), count=2), training=True)))
    assert loss == pytest.approx(np.log(11), rel=0.15)


def test_in_32s_fixed_the_scores_alone_learn():
    model = study.build("32s-fixed", study.STAGES["32s-fixed"][0], None, study.STUDY.settings)
    assert [w.path for w in model.trainable_weights] == ["score_fr/kernel", "score_fr/bias"]


def test_the_stages_share_one_schedule_and_whole_rounds():
    settings = study.STUDY.settings
    for variant in study.VARIANTS:
        shares = [stage.share for stage in study.stages(variant)]
        assert sum(shares) == 1
        for steps in (settings["steps"], settings["rate_steps"]):
            assert all(share * steps % settings["round_steps"] == 0 for share in shares)
    whole, rest = training.poly(0.1, 1000), study.schedule(0.1, 600, 1000)
    at = [0, 1, 200, 399]
    assert [float(rest(s)) for s in at] == pytest.approx([float(whole(600 + s)) for s in at], rel=1e-5)
    assert [stage.factor for stage in study.STAGES["8s-falling"]] == pytest.approx([1, 1e-2, 1e-4])


class Rounds:
    """Stands in for `fitting.rounds` and notes the calls; the network's biases remember the last one."""

    def __init__(self):
        self.calls = []

    def __call__(self, model, optimizer, data, settings, seed, steps, round_steps, folder, first):
        rate = float(optimizer.learning_rate)
        self.calls.append((model.name, first, steps, rate, folder))
        self.inherited = model.get_layer("fc7").get_weights()[1][0]
        model.get_layer("fc7").bias.assign(keras.ops.full_like(model.get_layer("fc7").bias, len(self.calls)))
        return dict.fromkeys(("step", "loss", "val_loss", "val_miou", "lr"), [len(self.calls)])


def test_a_stage_goes_on_from_the_one_before_and_is_shared(monkeypatch, tmp_path):
    rounds = Rounds()
    monkeypatch.setattr(fitting, "rounds", rounds)
    arguments = (0.1, 2, 1600, {}, study.STUDY.settings, tmp_path)
    model, history = study.train("8s", *arguments)
    assert [call[:3] for call in rounds.calls] == [
        ("fcn32s", 0, 800),
        ("fcn16s", 800, 400),
        ("fcn8s", 1200, 400),
    ]
    assert [call[3] for call in rounds.calls] == pytest.approx([0.1, 0.1 * 0.5**0.9, 0.1 * 0.25**0.9])
    assert model.name == "fcn8s" and rounds.inherited == 2 and history["val_miou"] == [1, 2, 3]
    assert set(history) == {"step", "loss", "val_loss", "val_miou"}
    for variant in ("16s", "8s-falling", "32s"):
        study.train(variant, *arguments)
    folders = [call[4] for call in rounds.calls]
    assert folders[0] == folders[3] == folders[6] == folders[9], "all begin with the same stage"
    assert folders[1] == folders[4] and len(set(folders)) == 1 + 2 + 1 + 2 + 2
    assert [call[3] for call in rounds.calls[7:9]] == pytest.approx([1e-3 * 0.5**0.9, 1e-5 * 0.25**0.9])
    study.train("8s", 0.2, *arguments[1:])
    assert rounds.calls[-3][4] not in folders, "another rate is another training"


def stored(miou, rate=1e-3):
    """A part of a stored result."""
    test = dict.fromkeys(study.SCORES, 0.5) | {"miou": miou, "iou": [miou, 1 - miou]}
    rings = [miou + 0.01 * ring for ring in range(len(scoring.RINGS) + 1)]
    return {
        "rates": {"0.0003": 0.1, "0.001": 0.2, "0.003": 0.1}
        if rate == 1e-3
        else {"0.001": 0.1, "0.003": 0.2},
        "learning_rate": rate,
        "history": {"step": [80, 160], "loss": [2.0, 1.0], "val_loss": [2.0, 1.1], "val_miou": [0.1, miou]},
        "test": test | {"right_in_rings": rings},
    }


def test_what_the_lesson_reads_of_the_result():
    mious = {"starter": 0.5, "32s": 0.3, "16s": 0.4, "8s": 0.45}
    rates = {"16s": 3e-3}
    parts = {
        f"{v}-{s}": stored(m + 0.01 * int(s), rates.get(v, 1e-3)) for v, m in mious.items() for s in "123"
    }
    result = {"results": parts | {"8s-once-1": stored(0.9)}}
    assert list(study.curves(result)) == ["starter", "32s", "16s", "8s"]
    assert study.curves(result)["8s"]["val_miou"].shape == (3, 2)
    assert study.class_iou(result)["8s"] == pytest.approx([0.47, 0.53])
    assert study.gains(result, study.CLAIMS)["16s", "32s"] == pytest.approx([10, 10, 10])
    assert study.gains(result, study.CLAIMS, "right_in_rings")["8s", "16s"] == pytest.approx(
        np.full((3, 6), 5)
    )
    lines = study.report(result, ("starter", *study.PAPER), study.CLAIMS).splitlines()
    assert lines[0].split() == ["percent", *study.SCORES] and lines[1].startswith("starter")
    assert lines[6:8] == [
        "16s minus 32s, mIoU, seed by seed: +10.0, +10.0, +10.0",
        "8s minus 16s, mIoU, seed by seed: +5.0, +5.0, +5.0",
    ]
    assert "learning rate of 16s: 0.003, the edge of the grid" in lines and lines[-1].endswith("8s: 0.001")
    assert reading.stored(result, study.VARIANTS) == ("starter", "32s", "16s", "8s")


def test_costs_leave_the_fixed_kernels_out():
    costs = study.costs(study.STUDY.settings, ("starter", "32s-fixed", "8s", "8s-once-norm"))
    fixed, fcn8, normalized = (costs[v] for v in ("32s-fixed", "8s", "8s-once-norm"))
    assert costs["starter"][0] == small_network(11).count_params()
    assert fcn8[0] - fixed[0] == (128 + 64) * 11 + 2 * 11, "scores of pool4 and pool3"
    assert normalized[1] == fcn8[1] and normalized[0] > fcn8[0] and 0.1 < costs["starter"][1] < fcn8[1] < 0.3


def test_every_variant_is_compared():
    named = {v for pair in (*study.CLAIMS, *study.SCHEDULES, *study.REASONS) for v in pair}
    assert named == set(study.VARIANTS) and set(study.PAPER) < named
    assert study.STUDY.parts[:2] == ("starter-1", "starter-plain-1") and len(study.STUDY.parts) == 39


# The exercises: wrong answers, and right ones of another form

TRAINED = """def fcn4s(**options):
    options = {{"input_shape": (None, None, 3), "dropout": 0.5, "weights": None, **options}}
    return _fcn("fcn4s", {skips}, **options)

networks = [{first}(**options), fcn8s(**options)]
for model in networks:
    {take}
    training.compile(model, keras.optimizers.Adam(1e-3), MaskedCrossEntropy())
for model in networks{which}:
    for _ in range(steps{more}):
        model.train_on_batch(images, labels)
return {result}"""
TAKE = {"skips": "(4, 3, 2)", "first": "fcn4s", "take": "transplant(source, model)", "which": "", "more": ""}
TAKE |= {"result": "networks"}
BY_HAND = """coarse = fcn8s(**options)
pool2, fused = coarse.get_layer("pool2").output, coarse.get_layer("fuse_pool3").output
score = layers.Conv2D(fused.shape[-1], 1, kernel_initializer="zeros", name="score_pool2")(pool2)
x, at = _upscore(fused, CoordMap(8, 3.5), 2, "same", "upscore_to_pool2")
x = layers.Add()([Crop()([x, score]), score])
x, _ = _upscore(x, at, 4, "same", "upscore4")
finer = keras.Model(coarse.input, Crop()([x, coarse.input]))
control = fcn8s(**options)
for model in (finer, control):
    transplant(source, model)
    training.compile(model, "adam", MaskedCrossEntropy())
    if steps:
        model.fit(images, labels, epochs=steps, batch_size=len(images), verbose=0)
return finer, control"""
WRONG = [
    (0, TRAINED.format(**TAKE | {"take": "pass"})),  # from fresh weights
    (0, TRAINED.format(**TAKE | {"which": "[:1]"})),  # the control does not train
    (0, TRAINED.format(**TAKE | {"which": "[:1]", "result": "[networks[0], source]"})),
    (0, TRAINED.format(**TAKE | {"more": " + 1"})),
    (0, TRAINED.format(**TAKE | {"first": "fcn8s"})),  # no third skip
    (0, TRAINED.format(**TAKE | {"result": "networks[::-1]"})),
    (0, BY_HAND.replace('kernel_initializer="zeros"', 'kernel_initializer="ones"')),
    (0, "source.compile(keras.optimizers.Adam(1e-3), MaskedCrossEntropy())\nfor _ in range(steps):\n"
        "    source.train_on_batch(images, labels)\nreturn source, source"),
    (1, "fc7 = _pool_maps(pad)[5].conv(fc6_size)\nreturn crop_offset(_pool_maps(pad)[2], fc7.deconv(16, 8))"),
    (1, "return 9"),
    (1, "return crop_offset(_pool_maps(pad)[3], "
        "_pool_maps(pad)[5].conv(fc6_size).deconv(4, 2).deconv(4, 2))"),  # pool3's
]  # fmt: skip
RIGHT = [
    (0, TRAINED.format(**TAKE)),
    (0, BY_HAND),
    (1, "x = _pool_maps(pad)[5].conv(fc6_size)\nfor _ in range(3):\n    x = x.deconv(4, 2)\n"
        "return crop_offset(_pool_maps(pad)[2], x)"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_wrong_answer_is_found(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)

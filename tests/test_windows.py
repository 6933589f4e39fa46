"""What a network is shown of a picture, and that its answer lies on the pixels it is for."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from segcourse.datasets import files
from segcourse.layers.valid_size import ValidSize
from segcourse.models.unet import unet
from segcourse.prediction import windows
from segcourse.prediction.windows import Network, Window


def pictures(size, count=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def threshold(input_shape=(None, None, 1), margin=92):
    """A network with U-Net's sizes that says 1 where a pixel is brighter than 127, and 0 elsewhere."""
    image = keras.Input(input_shape)
    x = ValidSize()(image) if margin else image
    x = layers.Cropping2D(margin)(x)
    x = layers.Conv2D(1, 1, kernel_initializer="ones")(x)
    return keras.Model(image, layers.Concatenate()([255 * input_shape[-1] - x, x]))


def bright(images):
    return (images.astype(int).sum(-1) > 127.5 * images.shape[-1]).astype("uint8")


@pytest.mark.parametrize("size", [(128, 128), (97, 131), (33, 200), (20, 31)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_picture_of_any_size_gets_its_own_answer(size, channels):
    network = Network(threshold((None, None, channels)))
    assert (network.margin, network.size, network.classes) == (92, None, 2)
    found = network.labels(pictures(size))
    expected = files.grey(pictures(size)) if channels == 1 else pictures(size)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, bright(expected))


def test_pictures_too_large_for_one_window_are_cut_into_tiles(monkeypatch):
    monkeypatch.setattr(windows, "LARGEST", 236)
    seen, network = [], Network(threshold())
    answer = network.predict_on_batch
    network.predict_on_batch = lambda images: seen.append(images.shape[1:]) or answer(images)
    image = pictures((70, 131), count=1)
    np.testing.assert_array_equal(network.labels(image), bright(files.grey(image)))
    assert set(seen) == {(236, 236, 1)}


def test_tiles_and_one_window_agree_for_the_real_network(monkeypatch):
    keras.utils.set_random_seed(0)
    model, image = unet(width=1 / 32), pictures((96, 80), count=1)
    network = Network(model)
    logits = network.predict_on_batch(network.window((96, 80)).images(image))
    model.get_layer("logits").bias.assign([0, np.median(logits[..., 0] - logits[..., 1])])
    whole = network.labels(image)
    assert 0.4 < whole.mean() < 0.6
    monkeypatch.setattr(windows, "LARGEST", 220)
    assert (network.labels(image) == whole).mean() > 0.999


@pytest.mark.parametrize(
    ("size", "seen"), [((128, 128), (316, 316)), ((96, 128), (284, 316)), ((4, 5), (188, 204))]
)
def test_a_window_begins_a_margin_before_the_picture_and_mirrors_it(size, seen):
    window = Network(threshold((None, None, 3))).window(size)
    assert window == Window(size, seen, 92, 3)
    image = pictures(size)
    after = [length - 92 - side for length, side in zip(seen, size, strict=True)]
    expected = np.pad(image, [(0, 0), (92, after[0]), (92, after[1]), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(window.images(image), expected)


def test_truth_is_void_beyond_the_picture():
    labels = np.random.default_rng(0).integers(0, 2, (2, 96, 120), dtype=np.uint8)
    truth = Network(threshold()).window((96, 120)).truth(labels)
    assert truth.shape == (2, 284 - 184, 308 - 184 + 8) == (2, 100, 132)
    np.testing.assert_array_equal(truth[:, :96, :120], labels)
    assert (truth[:, 96:] == 255).all() and (truth[:, :, 120:] == 255).all()


@pytest.mark.parametrize("margin", [0, 92])
def test_training_batches_show_what_windows_show(margin):
    import tensorflow as tf

    window = Network(threshold(margin=margin)).window((64, 70))
    image = np.repeat(pictures((64, 70))[..., :1], 3, axis=-1)
    labels = bright(image)
    (batch,) = window.batches(tf.data.Dataset.from_tensors((image, labels)))
    np.testing.assert_array_equal(batch[0], window.images(image))
    np.testing.assert_array_equal(batch[1], window.truth(labels))
    assert batch[0].shape[-1] == 1


def test_a_colour_network_without_a_margin_gets_the_data_as_they_are():
    window, data = Network(threshold((None, None, 3), margin=0)).window((40, 50)), object()
    image = pictures((40, 50))
    assert window.size == (40, 50) and window.images(image) is image and window.batches(data) is data


def test_grey_is_pillows_and_keeps_grey():
    image = pictures((40, 50), count=1)
    np.testing.assert_array_equal(files.grey(image)[0, ..., 0], Image.fromarray(image[0]).convert("L"))
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    np.testing.assert_array_equal(files.grey(levels)[:, 0], levels[:, 0])


def test_one_score_a_pixel_is_no_choice_of_classes():
    network = Network(keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(1, 1)]))
    with pytest.raises(ValueError, match="one score a pixel.*the background too"):
        network.labels(pictures((32, 32)))


def test_one_size_alone_serves_what_it_covers():
    network = Network(threshold((284, 316, 1)))
    assert network.size == (284, 316) and network.window((96, 128)).size == (284, 316)
    np.testing.assert_array_equal(network.labels(pictures((90, 77))), bright(files.grey(pictures((90, 77)))))
    square = Network(threshold((220, 220, 1)))
    large = pictures((70, 90), count=1)
    np.testing.assert_array_equal(square.labels(large), bright(files.grey(large)))


@pytest.mark.parametrize(
    ("shape", "size", "needed"),
    [((284, 316, 1), (128, 128), "316x316 or 572x572"), ((188, 188, 1), (20, 90), "204x284 or 572x572")],
)
def test_one_size_that_neither_covers_nor_tiles_names_one_that_does(shape, size, needed):
    with pytest.raises(
        ValueError, match=f"{shape[0]}x{shape[1]} alone.*{size[0]}x{size[1]} need.*for {needed}"
    ):
        Network(threshold(shape)).labels(pictures(size))


@pytest.mark.parametrize(
    ("network", "needed"),
    [
        (lambda: threshold((188, 188, 1)), r"188x188 alone.*128x128 need 316x316.*\(316, 316, 1\)"),
        (lambda: threshold((64, 64, 3), margin=0), r"64x64 alone.*128x128 need 128x128.*\(None, None, 3\)"),
        (lambda: threshold((None, None, 4)), r"4 channels.*1 \(grey\) or 3 \(RGB\).*\(None, None, 1\)"),
    ],
)
def test_what_does_not_fit_says_what_would(network, needed):
    with pytest.raises(ValueError, match=needed):
        Network(network()).window((128, 128))

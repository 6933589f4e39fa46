"""Runs in which network and data do not fit as they are: grey pictures, valid convolutions, a fixed size."""

import folder_cases
import numpy as np
import pytest
from PIL import Image

from segcourse import datasets, runs
from segcourse.datasets import cells, toycam
from segcourse.datasets.files import grey
from segcourse.models.unet import unet
from segcourse.runs import training as runs_training
from segcourse.tflite import compare, convert

SIZE = (64, 80)
OPTIONS = {"valid": {}, "same": {"padding": "same", "normalization": "batch"}}
SEEN = {"valid": (252, 268), "same": SIZE}  # of pictures of SIZE


def settings(network="unet", data="cells", size=SIZE, weights=None, **arguments):
    arguments = {"width": 1 / 32, **arguments}
    return {
        "network": network, "arguments": arguments, "data": str(data), "size": size, "epochs": 2,
        "batch_size": 2, "learning_rate": 1e-3, "seed": 0, "weights": weights, "precision": "float32",
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_cells(tmp_path_factory):
    """Four training pictures and two to validate, in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGCOURSE_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cells, "SPLITS", {"train": (0, 4), "val": (1, 2), "test": (2, 1)})
        yield


@pytest.fixture(scope="module", params=OPTIONS)
def padding(request):
    return request.param


@pytest.fixture(scope="module")
def run(padding, tmp_path_factory):
    """A finished run of U-Net on grey pictures: its model file, its record, and what it reported."""
    folder, said = tmp_path_factory.mktemp("run"), []
    record = runs.train(folder, settings(**OPTIONS[padding]), report=said.append)
    return folder / "model.keras", record, " ".join(said)


def test_the_network_gets_the_channels_of_the_data_and_the_window_it_needs(run, padding):
    file, record, said = run
    assert runs.load_model(file).input_shape == (None, None, None, 1)
    assert ("64x80 (mirrored to 252x268)" in said) == (padding == "valid")
    assert record["history"]["epoch"] == [1, 2] and np.isfinite(record["history"]["loss"]).all()


def test_scores_in_training_at_its_end_and_by_evaluate_are_the_same(run):
    """While it trains, the windows' logits are scored; afterwards the labels of the pictures."""
    file, record, _ = run
    assert record["val"]["miou"] == pytest.approx(max(record["history"]["val_miou"]), abs=1e-3)
    scores = runs.score(runs.Labeller(file), *datasets.load("cells", "val", SIZE), 2)
    assert scores["miou"] == pytest.approx(record["val"]["miou"])


def test_pictures_of_any_size_and_in_colour_are_labelled(run, tmp_path):
    label, spec = runs.Labeller(run[0]), datasets.spec("cells")
    for size in ((97, 131), (33, 200)):
        image = toycam.scene(9, 0, size).image
        Image.fromarray(image).save(tmp_path / "a.png")
        (job,) = runs.jobs([tmp_path / "a.png"], tmp_path / "out")
        runs.label_file(job, label, spec)
        ids = np.array(Image.open(tmp_path / "out" / "labels" / "a.png"))
        assert ids.shape == size
        np.testing.assert_array_equal(ids, label(np.repeat(grey(image), 3, axis=-1)))


def test_its_tflite_file_agrees_and_labels_what_the_model_labels(run, padding, tmp_path):
    model, size = runs.load_model(run[0]), SEEN[padding]
    images = runs.samples(model, "cells", "val", size, 1)
    path = convert(model, tmp_path / "a.tflite", size)
    assert compare(model, path, images).equal_labels > 0.999
    picture = datasets.load("cells", "val", SIZE)[0][0]
    by_file, by_model = (runs.Labeller(file)(picture) for file in (path, run[0]))
    assert np.mean(by_file == by_model) > 0.999


def test_samples_are_whole_pictures_or_windows_of_them():
    pictures = datasets.load("cells", "val")[0]
    whole = runs.samples(unet(width=1 / 32, padding="same"), "cells", "val", SIZE, 2)
    np.testing.assert_array_equal(whole, grey(datasets.load("cells", "val", SIZE)[0]))
    window = runs.samples(unet(width=1 / 32), "cells", "val", (188, 204), 1)
    assert window.shape == (1, 188, 204, 1)
    np.testing.assert_array_equal(window[0, 92:, 92:], grey(pictures[0])[:96, :112])


@pytest.mark.parametrize(
    ("change", "channels"),
    [
        ({"network": "unet", "data": "toycam"}, 3),
        ({"network": "unet", "input_shape": (None, None, 3)}, 3),
        ({"network": "segnet_basic"}, 3),
        ({"network": "segnet_basic", "input_shape": (None, None, 1)}, 1),
        ({"network": "crf_rnn", "padding": "same", "fc6_size": 3}, 3),
    ],
)
def test_colour_networks_take_grey_as_it_is_and_options_have_the_last_word(change, channels, monkeypatch):
    built = {}

    def stop(model, size):
        built["shape"] = model.input_shape
        raise KeyboardInterrupt

    monkeypatch.setattr(toycam, "SPLITS", {"train": (0, 2), "val": (1, 1), "test": (2, 1)})
    monkeypatch.setattr(runs_training, "_window", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.train("unused", settings(**change), resume=False)
    assert built["shape"] == (None, None, None, channels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_shape": (188, 188, 1)}, r"64x80: .*188x188 alone.*need 252x268.*\(252, 268, 1\)"),
        ({"input_shape": (500, 572, 1)}, "500x572.*492 or 508"),
        ({"input_shape": (None, None, 4)}, r"4 channels.*1 \(grey\) or 3 \(RGB\)"),
        ({"padding": "same", "input_shape": (64, 64, 1)}, r"64x64 alone.*need 64x80.*\(64, 80, 1\)"),
        ({"network": "nothing"}, "Known: fcn32s"),
    ],
)
def test_what_does_not_fit_names_what_would(change, message, tmp_path):
    with pytest.raises(runs.BadRequest, match=message):
        runs.train(tmp_path / "run", settings(**change), report=str)
    assert not (tmp_path / "run").exists()


def test_a_size_that_cannot_be_exported_names_that_of_the_data():
    with pytest.raises(runs.BadRequest, match="96x128: .*Nearest: .*cells have 128x128.*give 316x316"):
        runs.samples(unet(width=1 / 32), "cells", "val", (96, 128), 1)


def test_weights_of_another_network_are_refused(run, tmp_path):
    with pytest.raises(
        runs.BadRequest, match="does not fit unet for 3 channels and 11 classes.*Give weights of"
    ):
        runs.train(tmp_path, settings(data="toycam", weights=str(run[0])), report=str)


def test_a_training_stops_at_masks_that_would_teach_nothing(tmp_path):
    data = folder_cases.build("white", tmp_path)
    with pytest.raises(datasets.DataError, match="white: The masks are 0 .* and 255.*segcourse data fix"):
        runs.train(tmp_path / "run", settings(data=data, size=None), report=str)
    assert not (tmp_path / "run").exists()

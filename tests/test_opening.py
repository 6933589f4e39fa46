"""A training reads a folder from memory or disk with the same result, and pictures of any sizes by crops."""

import json
import re

import numpy as np
import pytest
from folder_cases import build, sound
from helpers import pictures
from PIL import Image
from test_run_identity import CLASSES, call, settings, write_data

from segcourse import datasets, runs
from segcourse.datasets import opening
from segcourse.datasets.errors import DataError, ImageError
from segcourse.metrics import boundary_f1
from segcourse.runs import tiles
from segcourse.runs import training as runs_training


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path / "cache"))


@pytest.fixture
def many_sizes(tmp_path):
    """Twelve pictures of three sizes as a folder data set."""
    root = tmp_path / "sizes"
    for index in range(12):
        arrays = pictures(1, seed=index, size=(40 + 8 * (index % 3), 56))
        for kind, array in zip(("images", "masks"), arrays, strict=True):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array[0]).save(root / kind / f"{index:02}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


NEEDED = 4 * 6 * 24 * 32  # bytes of the sound folder's pictures and masks


@pytest.mark.parametrize(
    ("memory", "free", "kind", "says"),
    [
        (4 * NEEDED, 0, datasets.Held, None),
        (4 * NEEDED - 4, 2 * NEEDED, datasets.Stream, "a file in .*cache"),
        (4 * NEEDED - 4, 2 * NEEDED - 2, datasets.Stream, "decoded anew in every epoch"),
    ],
    ids=["memory", "cache", "disk"],
)
def test_memory_is_taken_where_it_suffices_then_a_cache_then_the_files(
    memory, free, kind, says, monkeypatch, tmp_path
):
    root, said = sound(tmp_path / "set"), []
    monkeypatch.setattr(opening, "_memory", lambda: memory)
    monkeypatch.setattr(opening, "_free", lambda folder: free)
    found = datasets.opened(root, ("train", "val"), report=said.append)
    assert {split: len(part) for split, part in found.items()} == {"train": 4, "val": 2}
    assert bool(said) == bool(says) and re.search(says or "^$", " ".join(said))
    for split, part in found.items():
        images, labels = datasets.load(root, split)
        assert type(part) is kind and part.size == (24, 32) and part.sizes == [(24, 32)] * len(part)
        np.testing.assert_array_equal(np.stack([image for image, _ in part]), images)
        np.testing.assert_array_equal(np.stack([own for _, own in part]), labels)
        grey = part.in_grey()[1][0]
        assert (grey == grey[..., :1]).all() and not np.array_equal(grey, images[1])


def test_the_measures_are_of_this_machine(tmp_path):
    assert 2**28 < opening._memory() < 2**46
    assert opening._free(tmp_path / "not" / "there") == opening._free(tmp_path) > 0


def test_what_cannot_be_opened_is_named(tmp_path):
    root = build("pictures_of_two_sizes", tmp_path)
    assert type(datasets.opened(root, ("train",), report=str)["train"]) is datasets.Stream
    with pytest.raises(ImageError, match="--size HEIGHTxWIDTH, or train on random crops with --crop"):
        datasets.opened(root, ("train", "val"), place="memory")
    with pytest.raises(DataError, match="place='tape': give one of auto, memory, cache, disk"):
        datasets.opened(root, ("train",), place="tape")
    with pytest.raises(DataError, match="toycam is held in memory; only a folder is read from disk"):
        datasets.opened("toycam", ("val",), place="disk")


def test_a_run_is_the_same_wherever_its_pictures_are_read_from(tmp_path):
    options, said = settings(write_data(tmp_path / "data"), class_weights="median-frequency"), {}
    for place in ("memory", "cache", "disk"):
        said[place] = []
        runs.train(tmp_path / place, options, report=said[place].append, place=place)
    assert "a file in" in " ".join(said["cache"]) and "decoded anew" in " ".join(said["disk"])
    records = [json.loads((tmp_path / place / "history.json").read_text()) for place in said]
    for record in records[1:]:
        assert record["val"] == records[0]["val"]
        for key in ("loss", "val_loss", "miou", "val_miou"):
            np.testing.assert_allclose(record["history"][key], records[0]["history"][key], rtol=1e-5)
    # It knows its data again, read in another way.
    runs.train(tmp_path / "disk", options, report=said["disk"].append, place="memory")
    assert "nothing was trained" in said["disk"][-1]


def test_pictures_of_many_sizes_are_trained_on_by_crops_and_scored_whole(many_sizes, tmp_path):
    network = ["--width", 0.02, "--option", "padding=same", "--option", "fc6_size=3"]
    train = ["train", "fcn8s", "--data", many_sizes, "--out", tmp_path / "run", "--epochs", 1, *network]
    train += ["--batch-size", 4]
    assert "3 different sizes. Bring them to one with --size HEIGHTxWIDTH, or" in call(*train, code=1)
    said = call(*train, "--crop", "32x40")
    assert "9 images of 32x40" in said and "val: mean IoU" in said
    model = tmp_path / "run/model.keras"
    remembered = runs.remembered(model)
    assert remembered.size == (32, 40) and not remembered.resized
    said = call("evaluate", model, "--json", tmp_path / "scores.json", "--report", tmp_path / "report")
    scores, label = json.loads((tmp_path / "scores.json").read_text()), runs.Labeller(model)
    pairs = [(own, label(image)) for image, own in datasets.Stream(many_sizes, "val")]
    assert len({own.shape for own, _ in pairs}) > 1
    assert scores["pixel_accuracy"] == pytest.approx(
        sum((own == found).sum() for own, found in pairs) / sum(own.size for own, _ in pairs)
    )
    outlines = [boundary_f1(own[None], found[None], len(CLASSES)) for own, found in pairs]
    assert scores["boundary_f1"] == pytest.approx(np.mean(outlines))
    record = json.loads((tmp_path / "run/history.json").read_text())
    assert scores["miou"] == pytest.approx(record["val"]["miou"])
    assert (tmp_path / "report/report.html").stat().st_size > 10_000


def test_crops_of_resized_pictures_and_other_crops_are_another_run(many_sizes, tmp_path):
    options = settings(many_sizes, epochs=1, size=(48, 64), crop=(32, 40))
    runs.train(tmp_path / "run", options, report=str)
    remembered = runs.remembered(tmp_path / "run/model.keras")
    assert remembered.size == (48, 64) and remembered.resized  # what predict brings pictures to
    with pytest.raises(runs.BadRequest, match=r"crop was \[32, 40\], now \[32, 48\]"):
        runs.train(tmp_path / "run", {**options, "crop": (32, 48), "epochs": 1}, report=str)


def test_large_pictures_are_validated_by_their_middle(monkeypatch):
    assert runs_training._middle((480, 640)) == (slice(0, 480), slice(0, 640))
    rows, columns = runs_training._middle((3000, 4000))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    assert 0.99 * tiles.WHOLE < height * width <= tiles.WHOLE
    assert height / width == pytest.approx(3 / 4, rel=0.01)
    assert abs(rows.start + rows.stop - 3000) <= 1 and abs(columns.start + columns.stop - 4000) <= 1

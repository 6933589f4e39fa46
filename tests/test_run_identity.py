"""A run knows its data, its classes and its settings, and a mistake costs neither the run nor the data."""

import errno
import json
import os
import shlex
import shutil

import keras
import numpy as np
import pytest
from helpers import pictures
from PIL import Image
from typer.testing import CliRunner

from segcourse import cli, models, runs, training
from segcourse.runs import files, identity, weights
from segcourse.runs.training import check_size

CLASSES = ("ground", "roof [red]", "car", "tree", "path")
EPOCHS = 2


def write_data(root, count=12):
    """Pictures of five classes as a folder data set."""
    for kind, arrays in zip(("images", "masks"), pictures(count, seed=1, size=(32, 48)), strict=True):
        (root / kind).mkdir(parents=True)
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(root / kind / f"{index:02}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


def settings(data, **changes):
    return {
        "network": "fcn8s", "arguments": {"width": 0.02, "padding": "same", "fc6_size": 3}, "data": str(data),
        "size": None, "epochs": EPOCHS, "batch_size": 4, "learning_rate": 1e-3, "seed": 0, "weights": None,
        "precision": "float32", **changes,
    }  # fmt: skip


def call(*arguments, code=0):
    """What the command wrote, spaces and box lines of the layout squeezed."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], env={"COLUMNS": "240"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run in a folder with a space in its name, its data, and what it reported."""
    root, said = tmp_path_factory.mktemp("my work"), []
    runs.train(root / "run", settings(write_data(root / "data")), report=said.append)
    return root, said


@pytest.fixture
def copy(finished, tmp_path):
    """The same, to spoil; the data are elsewhere now, which is no matter."""
    for name in ("run", "data"):
        shutil.copytree(finished[0] / name, tmp_path / name)
    return tmp_path


def again(root, **changes):
    said = []
    record = runs.train(root / "run", settings(root / "data", **changes), report=said.append)
    return record, " ".join(said)


def test_each_epoch_is_a_line_and_a_finished_run_says_that_it_is(finished, copy):
    lines = [line for line in finished[1] if line.startswith("epoch ")]
    assert len(lines) == EPOCHS and "epoch 2/2: loss " in lines[1] and "val mean IoU 0." in lines[1]
    record, said = again(copy)
    assert "is finished already (2 of 2 epochs): nothing was trained" in said
    assert record == json.loads((finished[0] / "run/history.json").read_text())


def change_mask(data):
    path = sorted((data / "masks").iterdir())[0]
    mask = np.array(Image.open(path))
    mask[0, 0] = (mask[0, 0] + 1) % len(CLASSES)
    Image.fromarray(mask).save(path)


def change_picture(data):
    shutil.copy(data / "images/01.png", data / "images/00.png")


def reorder(data):
    (data / "classes.txt").write_text("\n".join(reversed(CLASSES)))


def rename(data):
    (data / "classes.txt").write_text("\n".join(("sea", *CLASSES[1:])))


def remove(data):
    for kind in ("images", "masks"):
        (data / kind / "00.png").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_mask, "the masks of (train|val) have changed"),
        (change_picture, "the pictures of (train|val) have changed"),
        (reorder, r"in another order \(ground, roof \[red\], .*; now path, tree"),
        (rename, "the classes were ground, .*; now sea"),
        (remove, "had .* pictures, now"),
    ],
)
def test_other_data_are_refused_and_nothing_is_written(change, message, copy):
    before = snapshot(copy / "run")
    change(copy / "data")
    with pytest.raises(runs.BadRequest, match=f"run on other data: .*{message}.*--restart"):
        again(copy)
    assert snapshot(copy / "run") == before


def test_a_longer_class_list_is_refused(copy):
    before = snapshot(copy / "run")
    (copy / "data/classes.txt").write_text("\n".join((*CLASSES, "sign")))
    with pytest.raises(runs.BadRequest, match="now ground, .*, sign"):
        again(copy)
    assert snapshot(copy / "run") == before


def test_other_settings_are_refused_with_a_way_on(copy):
    with pytest.raises(runs.BadRequest, match=r"epochs was 2, now 3.*--weights .*model.keras"):
        again(copy, epochs=3)
    with pytest.raises(runs.BadRequest, match="loss was 'cross-entropy', now 'focal'"):
        again(copy, loss="focal")


def test_a_first_try_that_failed_does_not_block_the_next(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")

    def fails(*arguments, **options):
        raise RuntimeError("stop")

    monkeypatch.setattr(training, "fit", fails)
    for rate in (1.0, 0.1):
        with pytest.raises(RuntimeError, match="stop"):
            runs.train(tmp_path / "run", settings(data, learning_rate=rate), report=str)
    assert json.loads((tmp_path / "run/settings.json").read_text())["learning_rate"] == 0.1


def test_ctrl_c_leaves_the_best_model_and_the_same_call_goes_on(tmp_path):
    data, said = write_data(tmp_path / "data"), []

    def report(text):
        said.append(text)
        if text.startswith("epoch 2/2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(tmp_path / "run", settings(data), report=report)
    assert runs.load_model(tmp_path / "run/model.keras").output_shape[-1] == len(CLASSES)
    assert identity.epochs_done(tmp_path / "run") == 1
    record = runs.train(tmp_path / "run", settings(data), report=said.append)
    assert record["history"]["epoch"] == [1, 2] and "continued after epoch 1" in said[-2]


def test_ctrl_c_is_told_by_the_command(copy, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "train", interrupted)
    arguments = ["train", "fcn8s", "--data", copy / "data", "--epochs", 5]
    said = call(*arguments, "--out", copy / "run", code=130)
    assert "Interrupted after epoch 2 of 5" in said and "model.keras has the weights of the best" in said
    said = call(*arguments, "--out", copy / "run", "--restart", code=130)
    assert "The same command without --restart continues" in said
    assert "nothing is kept" in call(*arguments, "--out", copy / "new", code=130)


def test_restart_says_what_it_forgets(copy, monkeypatch):
    said = []
    monkeypatch.setattr(training, "fit", lambda *a, **o: pytest.fail("far enough"))
    with pytest.raises(pytest.fail.Exception):
        runs.train(copy / "run", settings(copy / "data", seed=5), resume=False, report=said.append)
    assert any("Forgetting the run in" in line and "model.keras" in line for line in said)
    assert not (copy / "run/model.keras").exists()


@pytest.mark.parametrize("name", ["settings.json", "state.npz"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", "half"])
def test_damaged_files_of_a_run_are_named(name, content, copy):
    path = copy / "run" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    with pytest.raises(runs.BadRequest, match=rf"{name} is damaged \(.*--restart"):
        again(copy)
    assert (copy / "run/model.keras").exists()


def test_a_state_without_settings_is_refused(copy):
    (copy / "run/settings.json").unlink()
    with pytest.raises(runs.BadRequest, match="no settings.json that says of which"):
        again(copy)


def test_a_run_does_not_go_where_other_files_are(copy):
    with pytest.raises(runs.BadRequest, match="is the folder of the data"):
        runs.train(copy / "data", settings(copy / "data"), report=str)
    (copy / "mine").mkdir()
    (copy / "mine/model.keras").write_text("mine")
    for resume in (True, False):
        with pytest.raises(runs.BadRequest, match="holds model.keras, but no run that wrote it"):
            runs.train(copy / "mine", settings(copy / "data"), resume=resume, report=str)


def test_a_built_in_set_does_not_hide_a_folder(copy, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / "data").rename(copy / "cells")
    with pytest.raises(runs.BadRequest, match=r"--data \./cells"):
        runs.train(copy / "run", settings("cells"), report=str)
    said = call("evaluate", copy / "run/model.keras", "--data", "cells", code=2)
    assert "For the folder give --data ./cells" in said
    monkeypatch.setenv("SEGCOURSE_DATA", str(copy))  # then the folder is the built-in set's own
    runs.refuse_hidden("cells")
    assert "nothing was trained" in " ".join(told(copy, "./cells"))


def told(root, data):
    said = []
    runs.train(root / "run", settings(data), report=said.append)
    return said


def test_evaluate_takes_the_data_of_the_run_and_refuses_other_names(finished, copy):
    model = finished[0] / "run/model.keras"
    call("evaluate", model, "--json", copy / "scores.json")
    scores = json.loads((copy / "scores.json").read_text())
    assert scores["data"] == str(finished[0] / "data") and "roof [red]" in scores["iou"]
    assert "IoU roof [red]" in call("evaluate", model)
    reorder(copy / "data")
    said = call("evaluate", model, "--data", copy / "data", code=2)
    assert "different classes" in said and "in another order" in said and "--by-id" in said
    assert "IoU path" in call("evaluate", model, "--data", copy / "data", "--by-id")


def test_what_a_run_remembers(finished, copy):
    found = runs.remembered(finished[0] / "run/model.keras")
    assert (found.size, found.resized, found.data) == ((32, 48), False, str(finished[0] / "data"))
    assert found.classes.classes == CLASSES
    stored = json.loads((copy / "run/settings.json").read_text())
    (copy / "run/settings.json").write_text(json.dumps({**stored, "size": [32, 48]}))
    assert runs.remembered(copy / "run/model.keras").resized
    assert runs.remembered(copy / "nowhere/model.keras") == runs.Remembered()


def test_predict_brings_pictures_to_the_size_of_the_training_or_says_that_it_does_not(copy):
    model = copy / "run/model.keras"
    Image.fromarray(pictures(1, seed=2, size=(64, 96))[0][0]).save(copy / "large.png")

    def labels(*more):
        said = call("predict", model, copy / "large.png", "--out", copy / "out", *more)
        return said, np.array(Image.open(copy / "out/labels/large.png"))

    said, own = labels()
    assert "keep their own size; those of the training had 32x48 (--size 32x48)" in said
    small = labels("--size", "32x48")[1]
    assert small.shape == own.shape == (64, 96)
    np.testing.assert_array_equal(small, small[::2, ::2].repeat(2, 0).repeat(2, 1))
    stored = json.loads((copy / "run/settings.json").read_text())
    (copy / "run/settings.json").write_text(json.dumps({**stored, "size": [32, 48]}))
    said, resized = labels()
    assert "brought to 32x48, as in training" in said
    np.testing.assert_array_equal(resized, small)
    np.testing.assert_array_equal(labels("--size", "own")[1], own)


def test_the_next_command_works_as_it_is_printed(finished):
    root = finished[0]
    options = ["--width", 0.02, "--option", "padding=same", "--option", "fc6_size=3", "--batch-size", 4]
    said = call("train", "fcn8s", "--out", root / "run", "--data", root / "data", "--epochs", 2, *options)
    command = shlex.split(said.partition("next: ")[2])
    assert command[:2] == ["segcourse", "evaluate"]
    assert "miou" in call(*command[1:])


def test_the_options_of_a_network_are_listed(tmp_path):
    said = call("train", "fcn8s", "--out", tmp_path, "--option", "help")
    assert "padding" in said and "fc6_size" in said and "classes" not in said
    assert "Known: fcn32s" in call("train", "fcn9", "--out", tmp_path, "--option", "help", code=2)
    assert "give --width" in call("train", "fcn8s", "--out", tmp_path, "--option", "width=1", code=2)


def test_a_full_disk_is_told_before_anything_is_half_written(tmp_path, monkeypatch):
    with pytest.raises(runs.DiskFull, match=r"No room for .*big \(.*Free some space"):
        files.reserve(tmp_path / "big", 2**60)
    (tmp_path / "a.json").write_text("{}")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(runs.DiskFull):
        runs.write_json(tmp_path / "a.json", {"b": 1})
    assert snapshot(tmp_path) == {"a.json": b"{}"}


def test_a_disk_that_fills_up_in_training_leaves_the_last_epoch(tmp_path, monkeypatch):
    data, room = write_data(tmp_path / "data"), files.reserve
    epochs = []

    def reserve(path, size):
        if path.name == "state.npz":
            epochs.append(path)
        if len(epochs) == 2:
            raise runs.DiskFull("No room")
        room(path, size)

    monkeypatch.setattr("segcourse.runs.training.reserve", reserve)
    with pytest.raises(runs.DiskFull):
        runs.train(tmp_path / "run", settings(data), report=str)
    assert identity.epochs_done(tmp_path / "run") == 1


def small(network="segnet_basic", classes=3, width=0.1):
    return models.build(network, classes=classes, width=width)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_of_another_number_of_classes_are_taken_but_for_the_classifier(ending, tmp_path):
    keras.utils.set_random_seed(1)
    source, target, said = small(classes=7), small(), []
    path = tmp_path / f"source{ending}"
    (source.save if ending == ".keras" else source.save_weights)(path)
    fresh = {layer.name: layer.get_weights() for layer in target.layers}
    weights.start_from(path, target, lambda classes: small(classes=classes), said.append)
    assert "another number of classes" in said[0] and "; logits starts afresh" in said[0]
    for ours, theirs in zip(target.layers, source.layers, strict=True):
        expected = fresh["logits"] if ours.name == "logits" else theirs.get_weights()
        for one, other in zip(ours.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_other_weights_are_refused_and_leave_the_network_as_it_was(tmp_path):
    keras.utils.set_random_seed(1)
    target = small()
    before = target.get_weights()
    small("fcn8s").save(tmp_path / "other.keras")
    small(width=0.2).save(tmp_path / "wider.keras")
    (tmp_path / "damaged.weights.h5").write_bytes(b"nothing")
    for name in ("other.keras", "wider.keras", "damaged.weights.h5"):
        with pytest.raises(runs.BadRequest, match=f"{name} does not fit segnet_basic"):
            weights.start_from(tmp_path / name, target, lambda classes: small(classes=classes), str)
        for one, other in zip(target.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


def test_tensorboard_is_written_or_its_absence_is_named(tmp_path):
    pytest.importorskip("keras")
    data = write_data(tmp_path / "data")
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(runs.BadRequest, match="pip install tensorboard"):
            runs.train(tmp_path / "run", settings(data), report=str, tensorboard=True)
    else:
        runs.train(tmp_path / "run", settings(data), report=str, tensorboard=True)
        assert list((tmp_path / "run/tensorboard").rglob("events.*"))


def test_a_size_that_does_not_fit_says_so():
    with pytest.raises(ValueError, match="Nearest"):
        check_size(models.build("unet", width=1 / 32), (100, 100))

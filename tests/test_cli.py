"""The `segcourse` command, from training to the phone's file, and each way in which it can go wrong."""

import dataclasses
import json
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from helpers import run_python
from PIL import Image
from typer.testing import CliRunner

from segcourse import datasets, exercises, studies
from segcourse.cli import app
from segcourse.datasets import DataError, cells, toycam
from segcourse.datasets.labels import CAMVID
from segcourse.studies.core import state

COMMANDS = ("doctor", "data", "train", "evaluate", "predict", "export", "study", "start", "student")
NETWORK = ["--width", "0.05", "--option", "padding=same", "--option", "fc6_size=3"]
SIZES = {"odd": (97, 131), "wide": (33, 200)}


def call(*arguments, code=0):
    """Run the command here; returns everything it wrote, spaces and box lines of the layout squeezed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


def training(data, run, *more):
    return ["train", "fcn8s", "--data", data, "--out", run, "--epochs", 2, "--batch-size", 4, *NETWORK, *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten ToyCam scenes as a folder data set."""
    root = tmp_path_factory.mktemp("scenes")
    images, labels = toycam.render(7, 10, (64, 64))
    for kind, arrays in (("images", images), ("masks", labels)):
        (root / kind).mkdir()
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(root / kind / f"{index}.png")
    (root / "classes.txt").write_text("\n".join(CAMVID.classes))
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A finished training run."""
    out = tmp_path_factory.mktemp("runs") / "fcn8s"
    said = call(*training(folder, out))
    assert "val: mean IoU" in said and "next: segcourse evaluate" in said
    return out


@pytest.fixture
def photographs(tmp_path):
    root = tmp_path / "photographs"
    root.mkdir()
    for name, size in SIZES.items():
        Image.fromarray(toycam.scene(9, 0, size).image).save(root / f"{name}.png")
    return root


def test_help_names_the_commands_and_imports_nothing_slow():
    code = (
        "import sys; from segcourse.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "slow = {'tensorflow', 'keras', 'numpy', 'matplotlib'} & set(sys.modules); assert not slow, slow"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_listing_the_data_imports_no_framework():
    code = (
        "import sys; from segcourse.cli import app\n"
        "try: app(['data', 'list'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "slow = {'tensorflow', 'keras', 'matplotlib', 'scipy'} & set(sys.modules); assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and all(name in done.stdout for name in datasets.names()), done.stderr


EXAMPLES = [c for c in COMMANDS if c != "data"] + [f"data {c}" for c in ("list", "get", "check", "fix")]


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_command_has_an_example_in_its_help(command):
    assert f"Example: segcourse {command}" in call(*command.split(), "--help")


def test_a_run_leaves_a_model_its_history_and_its_classes(run, folder):
    import keras

    model = keras.saving.load_model(run / "model.keras")
    assert model.output_shape[-1] == 11
    assert (run / "model.keras").stat().st_size < 1.5 * 4 * model.count_params()  # no optimizer in it
    record = json.loads((run / "history.json").read_text())
    assert record["history"]["epoch"] == [1, 2]
    assert record["settings"]["arguments"] == {"width": 0.05, "padding": "same", "fc6_size": 3}
    assert 0 <= record["val"]["miou"] <= 1
    assert [entry["name"] for entry in json.loads((run / "classes.json").read_text())] == list(CAMVID.classes)


def test_the_same_command_continues_and_other_settings_are_refused(run, folder):
    before = json.loads((run / "history.json").read_text())
    call(*training(folder, run))
    assert json.loads((run / "history.json").read_text())["history"] == before["history"]
    assert "learning_rate was 0.001, now 0.5" in call(*training(folder, run, "--learning-rate", 0.5), code=2)


def test_an_interrupted_run_says_so_and_can_be_continued(monkeypatch, tmp_path, folder):
    from segcourse import training as training_module

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_module, "fit", interrupted)
        assert "The same command continues" in call(*training(folder, tmp_path / "run"), code=130)
    call(*training(folder, tmp_path / "run"))
    assert (tmp_path / "run" / "model.keras").exists()


def test_evaluate_agrees_with_a_pixel_count(run, folder, tmp_path):
    from segcourse import datasets, runs

    said = call(
        "evaluate", run / "model.keras", "--data", folder, "--split", "all", "--json", tmp_path / "s.json"
    )
    scores = json.loads((tmp_path / "s.json").read_text())
    images, labels = datasets.load(folder, "all")
    label = runs.Labeller(run / "model.keras")
    right = np.mean([label(image) == truth for image, truth in zip(images, labels, strict=True)])
    assert scores["pixel_accuracy"] == pytest.approx(right)
    assert f"pixel_accuracy {right:.4f}" in said and "IoU bicyclist" in said and "boundary_f1" in said


def test_predict_keeps_sizes_and_writes_ids_with_the_palette(run, folder, photographs, tmp_path):
    from segcourse import datasets, runs

    (photographs / "odd.jpg").write_bytes(b"not an image")
    said = call("predict", run / "model.keras", photographs, "--out", tmp_path / "out", code=1)
    assert "2 of 3 images labelled" in said and "odd.jpg: not a readable image" in said
    for name, size in {"odd.png": SIZES["odd"], "wide": SIZES["wide"]}.items():
        ids = Image.open(tmp_path / "out" / "labels" / f"{name}.png")
        assert ids.mode == "P" and np.shape(ids) == size
        colors = np.array(ids.convert("RGB"))
        np.testing.assert_array_equal(colors, datasets.spec(folder).colorize(np.array(ids)))
        overlay = np.array(Image.open(tmp_path / "out" / "overlay" / f"{name}.png"))
        assert overlay.shape == (*size, 3)
        source = np.array(Image.open(photographs / f"{name.removesuffix('.png')}.png"))
        np.testing.assert_array_equal(ids, runs.Labeller(run / "model.keras")(source))


def test_export_compares_and_its_file_predicts_any_size(run, folder, photographs, tmp_path):
    path = tmp_path / "a.tflite"
    said = call("export", run / "model.keras", "--out", path, "--size", "64x64", "--data", folder, "--check")
    assert "mobile GPU: takes all of it" in said and "labels equal" in said
    said = call("predict", path, photographs / "odd.png", "--out", tmp_path / "out")
    assert "takes 64x64 only" in said
    assert np.shape(Image.open(tmp_path / "out" / "labels" / "odd.png")) == SIZES["odd"]
    said = call("evaluate", path, "--data", folder, "--split", "val")
    assert "miou" in said


def test_export_int8_takes_its_ranges_from_the_data_set(run, folder, tmp_path):
    path = tmp_path / "a.tflite"
    arguments = ["--size", "64x64", "--quantization", "int8", "--calibration", 4]
    said = call("export", run / "model.keras", "--out", path, *arguments)
    assert f"images of {folder}" in said  # the run's own, by its settings.json
    assert "labels equal" in said and "a drop of" in said and "arise here" in said and "latency here" in said
    assert path.stat().st_size < 400_000  # 166,037 weights of a byte


def test_the_exported_file_knows_its_classes_and_origin(run, folder, photographs, tmp_path):
    from segcourse import tflite

    path = tmp_path / "elsewhere" / "a.tflite"  # no classes.json beside it
    arguments = [
        "--size",
        "64x64",
        "--data",
        folder,
        "--output",
        "labels",
        "--input-dtype",
        "uint8",
        "--check",
    ]
    said = call("export", run / "model.keras", "--out", path, *arguments)
    assert "out labels: uint8[1, 64, 64]" in said and "in image: uint8[1, 64, 64, 3]" in said
    found = tflite.metadata(path)
    assert found.names == CAMVID.classes
    assert found.provenance["network"] == "fcn8s" and found.provenance["arguments"]["width"] == 0.05
    card = path.with_suffix(".md").read_text()
    assert "| bicyclist |" in card and "labels equal" in card
    call("predict", path, photographs / "odd.png", "--out", tmp_path / "out")
    assert np.shape(Image.open(tmp_path / "out" / "labels" / "odd.png")) == SIZES["odd"]
    assert "miou" in call("evaluate", path, "--data", folder, "--split", "val")


def test_export_without_a_card_and_with_other_classes(run, folder, tmp_path):
    from segcourse import tflite

    names = [f"class {number}" for number in range(11)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    arguments = ["--size", "64x64", "--data", folder, "--classes", tmp_path / "names.txt", "--no-card"]
    call("export", run / "model.keras", "--out", tmp_path / "a.tflite", *arguments)
    assert list(tflite.metadata(tmp_path / "a.tflite").names) == names
    assert not (tmp_path / "a.md").exists()
    (tmp_path / "names.txt").write_text("one")
    said = call("export", run / "model.keras", "--out", tmp_path / "a.tflite", *arguments, code=2)
    assert "11 classes apart" in said and "lists 1" in said


def test_labels_that_disagree_fail_the_check(run, folder, tmp_path, monkeypatch):
    from segcourse import tflite

    monkeypatch.setattr(
        tflite.Runner, "labels", lambda self, images: np.full(images.shape[:3], 200, np.uint8)
    )
    arguments = ["--size", "64x64", "--data", folder, "--output", "labels", "--check"]
    said = call("export", run / "model.keras", "--out", tmp_path / "a.tflite", *arguments, code=1)
    assert "only 0.00% of the labels are equal" in said


@pytest.mark.parametrize(
    "out, message",
    [("a.keras", "must end in .tflite"), (".", "is a folder"), ("file/a.tflite", "file is no folder")],
)
def test_a_wrong_target_of_export(run, folder, out, message, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ["--out", tmp_path / out, "--size", "64x64", "--data", folder]
    assert message in call("export", run / "model.keras", *arguments, code=2)


def test_what_is_no_network_for_pictures_is_named(tmp_path, photographs):
    import keras

    image, out = keras.Input((None, None, 3)), tmp_path / "a.tflite"
    keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(image)).save(tmp_path / "one.keras")
    vector = keras.Input((7,))
    keras.Model(vector, keras.layers.Dense(2)(vector)).save(tmp_path / "vector.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "one.keras").read_bytes()[:900])
    more = ["--out", out, "--size", "64x64"]
    assert "needed are images [batch" in call("export", tmp_path / "vector.keras", *more, code=1)
    assert "damaged, cut short" in call("export", tmp_path / "cut.keras", *more, code=2)
    assert "labels equal" in call("export", tmp_path / "one.keras", *more)
    said = call("export", tmp_path / "one.keras", *more, "--output", "labels", code=1)
    assert "Export with --output logits" in said
    said = call("export", tmp_path / "one.keras", *more, "--max-drop", 0.1, code=1)
    assert "a mean IoU compares several classes" in said
    for model in (tmp_path / "one.keras", out):
        said = call("predict", model, photographs / "odd.png", "--out", tmp_path / "out", code=2)
        assert "one score a pixel" in said
    out.write_bytes(out.read_bytes()[:2000])
    said = call("predict", out, photographs / "odd.png", "--out", tmp_path / "out", code=1)
    assert "write it again with segcourse export" in said


def test_what_export_would_refuse_at_its_end_is_refused_at_its_beginning(run, folder, tmp_path):
    (tmp_path / "a.md").write_text("notes of mine")
    arguments = ["export", run / "model.keras", "--out", tmp_path / "a.tflite", "--size", "64x64"]
    assert "no model card of a.tflite. Move it, or give --no-card" in call(*arguments, code=2)
    said = call(*arguments, "--no-card", "--keep-float", "conv1_1", code=2)
    assert "--keep-float goes with --quantization int8" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def grey_network(path, classes=2):
    """A network for grey images, saved as `segcourse train` does."""
    import keras

    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    keras.Model(image, keras.layers.Conv2D(classes, 1)(x)).save(path)


def test_grey_images_go_all_the_way(tmp_path, photographs):
    from segcourse import tflite

    model, path = tmp_path / "grey.keras", tmp_path / "grey.tflite"
    grey_network(model)
    (tmp_path / "names.txt").write_text("background\ncell")
    arguments = ["--size", "64x64", "--data", "cells", "--classes", tmp_path / "names.txt"]
    for more in ([], ["--quantization", "int8"], ["--output", "labels", "--input-dtype", "uint8"]):
        said = call("export", model, "--out", path, *arguments, *more)
        assert "[1, 64, 64, 1]" in said and "labels equal" in said
    assert tflite.metadata(path).color_space == "GRAYSCALE"
    call("predict", path, photographs, "--out", tmp_path / "out")
    assert np.shape(Image.open(tmp_path / "out" / "labels" / "odd.png")) == SIZES["odd"]


OWN_LAYER = """
import keras

@keras.saving.register_keras_serializable(package="{package}")
class Doubled(keras.Layer):
    def call(self, x):
        return 2.0 * x
"""


def test_a_model_with_layers_of_its_own(tmp_path, photographs, monkeypatch):
    import keras

    (tmp_path / "own_layers.py").write_text(OWN_LAYER.format(package="own"))
    make = "\n".join(
        (
            "import keras, own_layers",
            "x = image = keras.Input((None, None, 3))",
            "x = own_layers.Doubled()(keras.layers.Conv2D(11, 1)(x))",
            "keras.Model(image, x).save('own.keras')",
        )
    )
    done = run_python("-c", make, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    commands = [
        ["export", "own.keras", "--out", "own.tflite", "--size", "64x64"],
        ["predict", "own.keras", photographs / "odd.png", "--out", "out"],
        ["evaluate", "own.keras", "--size", "32x32"],
    ]
    for command in commands:
        assert "layer 'Doubled'" in call(*command, code=2), "the layer was known before it was imported"
    assert "No module named 'nothing'" in call(*commands[0], "--import", "nothing", code=2)
    (tmp_path / "broken.py").write_text("1 / 0")
    assert "ZeroDivisionError" in call(*commands[0], "--import", "broken", code=2)
    for command in commands:
        call(*command, "--import", "own_layers")
    assert (tmp_path / "own.tflite").exists() and (tmp_path / "out" / "labels" / "odd.png").exists()
    keras.saving.get_custom_objects().pop("own>Doubled")


def test_a_model_of_several_outputs_is_told_what_to_do(tmp_path):
    import keras

    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(11, 1)(image)
    keras.Model(image, {"logits": x, "again": keras.layers.ReLU()(x)}).save(tmp_path / "two.keras")
    arguments = ["export", tmp_path / "two.keras", "--out", tmp_path / "a.tflite", "--size", "64x64"]
    assert "has 2 outputs" in call(*arguments, code=2)


def test_export_judges_an_int8_file(run, tmp_path, monkeypatch):
    from segcourse import tflite

    path, real = tmp_path / "a.tflite", tflite.benchmark

    def slowed(file, *arguments, **options):
        found = real(file, *arguments, **options)
        return dataclasses.replace(found, seconds=found.seconds * (100 if file == path else 1))

    monkeypatch.setattr(tflite, "miou_drop", lambda *_: tflite.Drop(0.6, 0.57, 5))
    monkeypatch.setattr(tflite, "benchmark", slowed)
    arguments = ["--size", "64x64", "--quantization", "int8", "--calibration", 2, "--keep-float", "conv1_2"]
    said = call("export", run / "model.keras", "--out", path, *arguments, "--check", code=1)
    assert "a drop of 3.00 points" in said and "loses 3.00 points of mIoU, allowed are 2.00" in said
    assert "times as long as float32 on this CPU" in said
    assert {t.dtype for t in tflite.inspect(path).tensors if "/conv1_2" in t.name} == {"float32"}


def test_max_drop_is_the_limit(run, tmp_path, monkeypatch):
    from segcourse import tflite

    arguments = ["export", run / "model.keras", "--out", tmp_path / "a.tflite", "--size", "64x64"]
    monkeypatch.setattr(tflite, "miou_drop", lambda *_: tflite.Drop(0.6, 0.57, 5))
    assert "loses 3.00 points of mIoU, allowed are 2.50" in call(*arguments, "--max-drop", 0.025, code=1)
    assert "error" not in call(*arguments, "--max-drop", 0.035)


def test_export_check_names_what_float16_cannot_hold(run, folder, tmp_path, monkeypatch):
    from segcourse.tflite import ranges

    arguments = ["export", run / "model.keras", "--out", tmp_path / "a.tflite", "--size", "64x64", "--check"]
    monkeypatch.setattr(ranges, "LARGEST", 100.0)  # less than a pixel's value
    said = call(*arguments, "--quantization", "float16", code=1)
    assert "in float16, output of" in said and "infinite" in said


def test_export_check_fails_when_the_file_disagrees(run, folder, tmp_path, monkeypatch):
    from segcourse import tflite

    poor = tflite.Agreement(0.9, 1.0, 1e-4, 1e-4, logit_range=2.0, pixels=100)
    monkeypatch.setattr(tflite, "compare", lambda *arguments: poor)
    arguments = ["--out", tmp_path / "a.tflite", "--size", "64x64", "--data", folder]
    assert "only 90.00%" in call("export", run / "model.keras", *arguments, "--check", code=1)


def test_what_the_gpu_delegate_says_counts(run, folder, tmp_path, monkeypatch):
    from segcourse import tflite

    arguments = ["--out", tmp_path / "a.tflite", "--size", "64x64", "--data", folder, "--check"]
    monkeypatch.setattr(tflite, "run_on_gpu_delegate", lambda path, images: -tflite.Runner(path)(images))
    assert "GPU against CPU: only" in call("export", run / "model.keras", *arguments, code=1)

    def refuse(path, images):
        raise tflite.GpuDelegateRefused("no such operator")

    monkeypatch.setattr(tflite, "run_on_gpu_delegate", refuse)
    assert "no such operator" in call("export", run / "model.keras", *arguments, code=1)

    def slow(path, images):
        raise tflite.GpuDelegateTimeout("no answer in 300 s")

    monkeypatch.setattr(tflite, "run_on_gpu_delegate", slow)
    said = call("export", run / "model.keras", *arguments)
    assert "no verdict. no answer in 300 s" in said, "a slow machine says nothing about the network"


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--option", "padding"], "not KEY=VALUE"),
        (["--option", "padding=wide"], "padding='wide' is unknown: 'valid', 'same'"),
        (["--option", "depth=3"], "has no option 'depth'. Known: input_shape"),
        (["--size", "64"], "height x width"),
        (["--precision", "int3"], "Choose from float32"),
        (["--batch-size", "9"], "A batch of 9"),
        (["--epochs", "0"], "--epochs"),
    ],
)
def test_bad_use_of_train(wrong, message, folder, tmp_path):
    assert message in call(*training(folder, tmp_path / "run", *wrong), code=2)


def test_bad_use_elsewhere(run, folder, tmp_path):
    model, out = run / "model.keras", tmp_path / "out"
    assert "Known: fcn32s" in call("train", "fcn99", "--data", folder, "--out", out, code=2)
    assert "Choose from toycam, camvid" in call("data", "get", "imagenet", code=2)
    assert "Choose from camvid-deeplab-v2, camvid-linknet" in call("study", "nothing", code=2)
    assert "does not exist" in call("predict", "no.keras", folder, "--out", out, code=2)
    assert "no image in it" in call("predict", model, folder, "--out", out, code=2)
    assert "must end in .tflite" in call("export", model, "--out", out, "--size", "64x64", code=2)
    assert "no .keras file" in call("evaluate", folder / "classes.txt", code=2)
    (tmp_path / "two.txt").write_text("a\nb")
    said = call("predict", model, folder / "images", "--out", out, "--classes", tmp_path / "two.txt", code=2)
    assert "11 classes apart" in said and "lists 2" in said
    assert "no lesson '99'" in call("student", "99", "--out", tmp_path / "s.ipynb", code=2)


def test_failures_are_one_line_and_debug_shows_where(tmp_path):
    arguments = ["train", "fcn8s", "--data", "nowhere", "--out", str(tmp_path / "run"), *NETWORK]
    plain = run_python("-m", "segcourse.cli", *arguments, env={"SEGCOURSE_DEBUG": ""})
    assert plain.returncode == 1
    lines = plain.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: no data set 'nowhere'"), plain.stderr
    result = CliRunner().invoke(app, ["--debug", *arguments])
    assert "no data set" in str(result.exception) and type(result.exception).__name__ == "DataError"


def test_a_diverged_run_is_one_line(folder, tmp_path):
    said = call(*training(folder, tmp_path / "run", "--learning-rate", 1e38), code=1)
    assert said.count("error:") == 1 and "learning rate is too high" in said


def test_a_damaged_model_is_named(tmp_path, photographs):
    (tmp_path / "a.keras").write_bytes(b"nothing")
    said = call("predict", tmp_path / "a.keras", photographs, "--out", tmp_path, code=2)
    assert "damaged, cut short" in said and "Traceback" not in said
    (tmp_path / "a.tflite").write_bytes(b"nothing")
    assert "error:" in call("predict", tmp_path / "a.tflite", photographs, "--out", tmp_path, code=1)


def test_data_list_shows_what_is_here(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    said = call("data", "list")
    assert "toycam procedural streets, 96x128, 11 classes train, val, test 0 MB" in said and "camvid" in said
    assert "cells procedural touching cells, 128x128, 2 classes train, val, test 0 MB" in said
    assert "isbi2012 electron micrographs, 512x512, 2 classes" in said


def test_data_get_renders_and_refuses_what_is_drawn(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    monkeypatch.setattr(cells, "SPLITS", {"train": (0, 2), "val": (1, 1), "test": (2, 1)})
    said = call("data", "get", "cells")
    assert "cells train: 2 scenes" in said and len(list(tmp_path.glob("cells-*.npz"))) == 3
    with pytest.raises(DataError, match="camvid, isbi2012 are"):
        datasets.fetch("cells")


def test_studies_are_listed_and_checked(monkeypatch):
    def states(name, with_probe=False):
        found = {"fcn": "out of date", "unet": "same behaviour" if with_probe else "source edited"}
        return state.State(found.get(name, "same source"), ("losses: apart",))

    monkeypatch.setattr(state, "state", states)
    said = call("study", "--list")
    assert all(name in said for name in studies.names()) and "two CPU cores" in said
    said = call("study", "--check", code=1)
    assert "losses: apart. Run: segcourse study fcn" in said and "source edited" in said
    assert "1 were measured before the code was edited" in said
    assert "same behaviour" in call("study", "unet", "--check", "--probe")
    assert "same source" in call("study", "vgg16-toycam", "--check")


def test_a_result_is_recorded_unless_it_is_out_of_date(monkeypatch):
    monkeypatch.setattr(state, "record", lambda name: state.State("same source"))
    assert "fcn: same source" in call("study", "fcn", "--record")

    def refuse(name):
        raise ValueError("fcn is out of date: losses: apart")

    monkeypatch.setattr(state, "record", refuse)
    assert "losses: apart" in call("study", "fcn", "--record", code=1)
    assert "need the name of a study" in call("study", "--record", code=2)


def test_one_part_of_a_study_is_run(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        studies, "run", lambda name, folder, report, parts, again: asked.update({name: (parts, again)})
    )
    call("study", "fcn", "--part", "2", "--part", "1")
    assert asked == {"fcn": (["2", "1"], False)}


def test_a_copy_of_a_lesson_is_made_once_and_stays(tmp_path):
    path = tmp_path / "my" / "01_fcn.ipynb"
    assert f"{path}: your own copy of 01_fcn" in call("start", "01", "--folder", path.parent)
    path.write_text(path.read_text().replace(exercises.FILLER.replace('"', '\\"'), "return 1"))
    mine = path.read_bytes()
    assert "yours, left as it is" in call("start", "01", "--folder", path.parent)
    others = call("start", "--folder", path.parent)
    assert path.name not in others and "00_start_here.ipynb" in others and "06_segnet.ipynb" in others
    path.write_text(path.read_text().replace('"made_of"', '"was_made_of"'))
    assert "has changed since you began it: rename" in call("start", "--folder", path.parent)
    assert path.read_bytes() == mine.replace(b"made_of", b"was_made_of")
    assert "no lesson '77' here. Known: 00_start_here" in call("start", "77", code=2)


def test_student_version_has_blanks(tmp_path):
    cell = nbformat.v4.new_code_cell("def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "lesson.ipynb")
    out = tmp_path / "student.ipynb"
    assert "1 exercises to fill in" in call("student", tmp_path / "lesson.ipynb", "--out", out)
    source = nbformat.read(out, as_version=4).cells[0].source
    assert exercises.FILLER in source and "return 1" not in source
    assert "lesson itself" in call("student", out, "--out", out, code=2)

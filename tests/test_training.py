"""segcourse.training: same result after a kill, best weights, divergence, traces, quiet precision."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from segcourse import datasets, prediction, training

ROOT = Path(__file__).parent.parent
CLASSES = 3


def images_and_labels(count=12, size=(16, 20), seed=0):
    """Noise whose class is its colour channel: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, (count, size[0] // 4, size[1] // 4)).repeat(4, 1).repeat(4, 2)
    images = 255 * np.eye(CLASSES)[labels] * 0.6 + rng.uniform(0, 100, (*labels.shape, 3))
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


def small_net(dropout=0.3, logits_dtype="float32"):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(dropout)(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, dtype=logits_dtype)(x))


def compiled(model=None, lr=0.01, metrics=()):
    model = small_net() if model is None else model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile(model, keras.optimizers.Adam(lr), loss, metrics)
    return model


# Run by a process of its own, which can be killed: folder, result file, epoch to be killed in (0: never).
RUN = """
import os, signal, sys
import keras, numpy as np, tensorflow as tf
sys.path.insert(0, "tests")
from segcourse import training
from test_training import images_and_labels, small_net

folder, result, killed_in = sys.argv[1], sys.argv[2], int(sys.argv[3])
training.set_seed(7)
images, labels = images_and_labels(24)

def epochs(epoch):
    def augment(index, image, label):
        seed = (epoch, tf.cast(index, tf.int32))
        flip = tf.random.stateless_uniform((), seed) < 0.5
        image, label = tf.cond(flip, lambda: (image[:, ::-1], label[:, ::-1]), lambda: (image, label))
        return tf.image.stateless_random_brightness(image, 0.2, seed), label
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(24, seed=epoch).enumerate()
    return data.map(lambda i, pair: augment(i, *pair)).batch(5)

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == killed_in and batch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

model = small_net()
schedule = training.poly(0.02, 25)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
training.compile(model, keras.optimizers.Adam(schedule), loss)
history = training.fit(model, epochs, epochs=5, validation=images_and_labels(6, seed=1), monitor="val_loss",
                       folder=folder, callbacks=[Kill()])
state = np.load(folder + "/state.npz")
found = {f"best{i}": w for i, w in enumerate(model.get_weights())}
found |= {"last" + key: state[key] for key in state.files if key != "notes"}
found |= {key: history[key] for key in history if key != "seconds"}
np.savez(result, **found, iterations=model.optimizer.iterations)
"""


def start_run(folder, result, killed_in=0):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", RUN, str(folder), str(result), str(killed_in)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    whole = start_run(tmp_path / "whole", tmp_path / "whole.npz")
    killed = start_run(tmp_path / "killed", tmp_path / "killed.npz", killed_in=3)
    errors = killed.communicate(timeout=300)[1]
    assert killed.returncode == -signal.SIGKILL, errors
    assert not (tmp_path / "killed.npz").exists()
    again = start_run(tmp_path / "killed", tmp_path / "killed.npz")
    for run in (whole, again):
        errors = run.communicate(timeout=300)[1]
        assert run.returncode == 0, errors
    expected, got = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "killed.npz")
    assert sorted(expected.files) == sorted(got.files)
    assert expected["iterations"] == 25
    for name in expected.files:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_history_has_equally_long_lists_and_falling_loss():
    model = compiled(lr=0.02)
    history = training.fit(model, images_and_labels(), epochs=6, validation=images_and_labels(4, seed=1))
    assert set(history) == {"epoch", "loss", "val_loss", "lr", "seconds"}
    assert history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert {len(values) for values in history.values()} == {6}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    np.testing.assert_allclose(history["lr"], 0.02, rtol=1e-6)
    json.dumps(history)


def test_best_weights_are_those_of_the_best_epoch(tmp_path):
    # A learning rate that explodes after the second epoch: the last weights are bad ones.
    model = compiled(lr=0.02)
    worse = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02 if epoch < 2 else 5.0)
    validation = images_and_labels(6, seed=1)
    history = training.fit(
        model,
        images_and_labels(),
        epochs=4,
        validation=validation,
        monitor="val_loss",
        folder=tmp_path,
        callbacks=[worse],
    )
    assert np.argmin(history["val_loss"]) == 1
    assert model.evaluate(*validation, batch_size=8, verbose=0) == pytest.approx(
        min(history["val_loss"]), rel=1e-4
    )
    other = small_net()
    other.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    assert not list(tmp_path.glob("partial*"))


def test_a_score_is_best_when_largest(tmp_path):
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_miou"] = [0.2, 0.6, 0.4][epoch]
            seen.append(self.model.get_weights()[0])

    seen = []
    model = compiled()
    training.fit(
        model,
        images_and_labels(),
        epochs=3,
        validation=images_and_labels(2),
        folder=tmp_path,
        callbacks=[Score()],
    )
    np.testing.assert_array_equal(model.get_weights()[0], seen[1])


def test_a_finished_run_is_not_run_again_and_more_epochs_continue_it(tmp_path):
    options = {"monitor": "loss", "folder": tmp_path}
    first = training.fit(compiled(), images_and_labels(), epochs=2, **options)
    again = compiled()
    assert training.fit(again, images_and_labels(), epochs=2, **options) == first
    longer = training.fit(again, images_and_labels(), epochs=3, **options)
    assert longer["loss"][:2] == first["loss"]
    assert longer["epoch"] == [1, 2, 3]
    fresh = training.fit(again, images_and_labels(), epochs=1, resume=False, **options)
    assert fresh["epoch"] == [1]


def test_the_state_of_another_model_is_refused(tmp_path):
    options = {"epochs": 2, "monitor": "loss", "folder": tmp_path}
    training.fit(compiled(), images_and_labels(), **options)
    other = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(CLASSES, 1)])
    before = other.get_weights()[0]
    with pytest.raises(ValueError, match="resume=False"):
        training.fit(compiled(other), images_and_labels(), **options)
    np.testing.assert_array_equal(other.get_weights()[0], before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_divergence_names_epoch_step_and_causes(tmp_path, bad):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1 and batch == 1:
                kernel = self.model.layers[-1].bias
                kernel.assign([bad, 0.0, 0.0])

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    with pytest.raises(training.TrainingDiverged, match=r"epoch 2, step 3\. .*learning rate"):
        training.fit(
            compiled(),
            images_and_labels(),
            epochs=3,
            batch_size=3,
            monitor="loss",
            folder=tmp_path,
            callbacks=[Poison()],
        )
    state = np.load(tmp_path / "state.npz")
    assert all(np.isfinite(state[name]).all() for name in state.files if name != "notes")


def test_one_trace_for_all_epochs_and_a_partial_batch():
    traces = []

    class Counter(keras.layers.Layer):
        def call(self, x, training=False):
            traces.append(training)
            return x * 1.0

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1)(Counter()(inputs)))
    traces.clear()
    validation = images_and_labels(7)
    training.fit(compiled(model), images_and_labels(10), epochs=4, batch_size=4, validation=validation)
    assert sorted(traces) == [False, True]
    traces.clear()
    for count in (9, 9, 8, 3):
        prediction.predict(model, images_and_labels(count)[0], batch_size=4)
    assert 1 <= len(traces) <= 2


def test_arrays_are_shuffled_by_seed_and_epoch():
    images, labels = np.arange(30).reshape(30, 1, 1, 1), np.arange(30).reshape(30, 1, 1)
    epochs = [training._epoch_of((images, labels), epoch, seed=3) for epoch in (0, 1, 0)]
    np.testing.assert_array_equal(epochs[0][0].ravel(), epochs[0][1].ravel())
    np.testing.assert_array_equal(epochs[0][0], epochs[2][0])
    assert (epochs[0][0] != epochs[1][0]).any()
    assert sorted(epochs[1][0].ravel()) == list(range(30))


def test_no_data_set_is_tuned_while_it_runs(monkeypatch):
    """The thread that does it would hold up the end of every epoch longer than about five seconds."""
    found, fit = [], keras.Model.fit

    def note(model, x, validation_data, **options):
        found.extend(data.options().autotune.enabled for data in (x, validation_data))
        return fit(model, x, validation_data=validation_data, **options)

    monkeypatch.setattr(keras.Model, "fit", note)
    images, labels = images_and_labels(8)
    for data in ((images, labels), datasets.epochs(images, labels, 4), datasets.pipeline(images, labels, 4)):
        training.fit(compiled(), data, epochs=1, batch_size=4, validation=(images, labels))
    own = datasets.epochs(images, labels, 4)(0), datasets.pipeline(images, labels, 4)
    assert found + [data.options().autotune.enabled for data in own] == [False] * 8


def test_an_endless_dataset_goes_on_where_the_last_epoch_stopped():
    tf = pytest.importorskip("tensorflow")
    seen = []

    def note(image, label):
        seen.append(int(label[0, 0, 0]))
        return image

    images, _ = images_and_labels(6)
    labels = np.arange(6, dtype=np.uint8)[:, None, None] % CLASSES + np.zeros((1, 16, 20), np.uint8)
    count = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().batch(1)
    data = count.map(
        lambda x, y: (tf.ensure_shape(tf.py_function(note, (x, y), tf.uint8), (1, 16, 20, 3)), y)
    )
    history = training.fit(compiled(), data, epochs=3, steps_per_epoch=4)
    assert history["epoch"] == [1, 2, 3]
    assert seen[:12] == [0, 1, 2] * 4


def test_callbacks_see_one_training_and_can_stop_it():
    class Watch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.events = []

        def on_train_begin(self, logs=None):
            self.events.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            self.events.append(epoch)
            self.model.stop_training = epoch == 2

        def on_train_end(self, logs=None):
            self.events.append("end")

    watch = Watch()
    history = training.fit(compiled(), images_and_labels(), epochs=9, callbacks=[watch])
    assert watch.events == ["begin", 0, 1, 2, "end"]
    assert history["epoch"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"folder": "here"}, "validation"),
        ({"data": (np.zeros((0, 8, 8, 3)), np.zeros((0, 8, 8)))}, "above 0"),
        ({"data": (np.zeros((3, 8, 8, 3)), np.zeros((2, 8, 8)))}, "one length"),
        ({"model": small_net}, "not compiled"),
        (
            {"folder": "here", "monitor": "val_miou", "validation": images_and_labels(2)},
            "choose one of.*val_loss",
        ),
    ],
)
def test_bad_use_is_explained(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    options = {"epochs": 1, **change}
    model = options.pop("model", compiled)()
    with pytest.raises(ValueError, match=message):
        training.fit(model, options.pop("data", images_and_labels()), **options)


def test_compile_leaves_xla_off_on_the_cpu_alone(monkeypatch):
    def jit_compile(devices):
        monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: devices)
        training.compile(small_net(), "sgd", "mse")
        return seen["jit_compile"]

    def compile(model, **options):
        seen.update(options)
        real(model, **{**options, "jit_compile": False})  # there is no such GPU

    seen, real = {}, keras.Model.compile
    monkeypatch.setattr(keras.Model, "compile", compile)
    assert jit_compile(devices=["gpu:0"]) == "auto"
    assert jit_compile(devices=[]) == (False if keras.backend.backend() == "tensorflow" else "auto")


def test_precision_holds_for_what_is_built_inside_and_for_nothing_else():
    with training.precision("mixed_bfloat16"):
        mixed = small_net()
    plain = small_net()
    assert mixed.layers[2].compute_dtype == "bfloat16"
    assert mixed.layers[2].kernel.dtype == "float32"
    assert plain.layers[2].compute_dtype == "float32"
    with pytest.raises(ZeroDivisionError), training.precision("mixed_bfloat16"):
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "float32"
    history = training.fit(compiled(mixed, lr=0.02), images_and_labels(), epochs=5)
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    plain.set_weights(mixed.get_weights())
    images = images_and_labels()[0]
    assert (prediction.predict(plain, images) == prediction.predict(mixed, images)).mean() > 0.97


@pytest.mark.parametrize(
    ("flags", "machine", "devices", "warns"),
    [
        ("avx512f avx512_bf16", "x86_64", [], True),
        ("avx512f amx_bf16 amx_tile", "x86_64", [], False),
        ("asimd bf16", "aarch64", [], False),
        ("avx2", "x86_64", ["gpu:0"], False),
    ],
)
def test_slow_bfloat16_is_told(monkeypatch, flags, machine, devices, warns):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: f"flags : {flags}")
    monkeypatch.setattr(training.platform, "machine", lambda: machine)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: devices)
    for policy, expected in (("mixed_bfloat16", warns), ("float32", False)):
        with warnings.catch_warnings(record=True) as caught, training.precision(policy):
            pass
        told = any("AMX" in str(w.message) and w.filename == __file__ for w in caught)
        assert told == (expected and keras.backend.backend() == "tensorflow")


def test_predict_and_evaluate_agree_with_the_whole_set_at_once():
    model = compiled(lr=0.02)
    images, labels = images_and_labels(11)
    training.fit(model, (images, labels), epochs=3)
    labels[:, :2] = 255
    predicted = prediction.predict(model, images, batch_size=4)
    expected = np.asarray(model(images, training=False)).argmax(-1)
    assert predicted.dtype == np.uint8 and predicted.shape == labels.shape
    assert (predicted == expected).mean() > 0.999
    valid = labels != 255
    scores = prediction.evaluate(model, images, labels, CLASSES, batch_size=4)
    assert scores["pixel_accuracy"] == pytest.approx((predicted == labels)[valid].mean())
    iou = [
        ((predicted == c) & (labels == c)).sum() / (((predicted == c) | (labels == c)) & valid).sum()
        for c in range(CLASSES)
    ]
    np.testing.assert_allclose(scores["iou"], iou)
    assert scores["miou"] == pytest.approx(np.mean(iou))


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (8, 8, 3)])
def test_predict_explains_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"image\[None\]"):
        prediction.predict(small_net(), np.zeros(shape, np.uint8))


def test_predict_refuses_a_model_with_logits_of_another_size():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(CLASSES, 1, strides=2)])
    with pytest.raises(ValueError, match="needed are logits"):
        prediction.predict(model, np.zeros((1, 8, 8, 3), np.uint8))


def test_poly_is_the_formula():
    schedule = training.poly(0.1, 50)
    for step in (0, 10, 49, 50):
        assert float(schedule(step)) == pytest.approx(0.1 * (1 - step / 50) ** 0.9, abs=1e-7)


def test_the_bar_is_off_in_tests_and_on_for_a_person(monkeypatch, capsys):
    training.fit(compiled(), images_and_labels(), epochs=1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(training, "interactive", lambda: True)
    training.fit(compiled(), images_and_labels(), epochs=2, validation=images_and_labels(2))
    text = capsys.readouterr().err
    assert "epoch 2/2: 100%" in text and "4/4" in text
    assert "val_loss=" in text and " loss=" in text


def test_nobody_watches_a_pipe(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not training.interactive()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert training.interactive()
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "1")
    assert not training.interactive()


def test_environment_is_plain_and_impersonal():
    facts = training.environment()
    assert facts["packages"]["keras"] == keras.__version__
    assert facts["cores"] >= 1 and facts["cpu"]
    text = json.dumps(facts)
    assert str(Path.home()) not in text
    assert os.uname().nodename not in text

"""Training on two devices is training on one, in another process with two logical CPUs."""

import json

import numpy as np
import pytest
from helpers import run_python
from test_run_identity import settings, write_data

from segcourse import runs
from segcourse.runs import distribution

ON_TWO = """
import json, sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from segcourse import runs

try:
    runs.train(sys.argv[1], json.loads(sys.argv[2]), distribute=True)
except runs.BadRequest as error:
    print("refused:", error)
"""


def on_two(folder, options):
    done = run_python("-c", ON_TWO, folder, json.dumps(options), env={"CUDA_VISIBLE_DEVICES": "-1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_devices_give_the_weights_of_one_and_one_continues_what_two_began(tmp_path):
    options = settings(write_data(tmp_path / "data", 24), learning_rate=1e-2)
    # Each device would draw its own.
    options["arguments"]["dropout"] = 0.0
    one = runs.train(tmp_path / "one", options, report=str)
    assert "epoch 2/2" in on_two(tmp_path / "two", options)
    two = json.loads((tmp_path / "two/history.json").read_text())
    # The augmentation leaves void, and the two parts of a batch need not have equally much.
    for key in ("loss", "val_miou"):
        np.testing.assert_allclose(two["history"][key], one["history"][key], atol=5e-3)
    pairs = [runs.load_model(tmp_path / name / "model.keras").get_weights() for name in ("one", "two")]
    moved = max(np.abs(weight - weight.flat[0]).max() for weight in pairs[0])
    for single, double in zip(*pairs, strict=True):
        np.testing.assert_allclose(double, single, atol=0.05 * moved)
    said = []
    runs.train(tmp_path / "two", options, report=said.append)
    assert "nothing was trained" in said[-1]
    assert "cannot be divided among 2 devices. Give --batch-size 4" in on_two(
        tmp_path / "odd", {**options, "batch_size": 3}
    )


def test_validation_is_filled_up_with_void():
    images, masks = np.ones((5, 2, 3, 3), np.uint8), np.ones((5, 2, 3), np.uint8)
    images, masks = distribution.whole_batches(images, masks, 4)
    assert images.shape == (8, 2, 3, 3) and (masks[:5] == 1).all() and (masks[5:] == 255).all()
    assert len(distribution.whole_batches(images, masks, 4)[0]) == 8


def test_what_cannot_be_distributed_is_named(monkeypatch):
    with pytest.raises(runs.BadRequest, match="needs two devices or more"):
        distribution.scope(True, 8)
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(runs.BadRequest, match="Unset TF_CONFIG"):
        distribution.scope(True, 8)

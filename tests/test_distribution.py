"""Training on two devices, or by two processes, is training on one."""

import json
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, run_python
from test_run_identity import settings, write_data

from segcourse import runs
from segcourse.datasets.labels import VOID
from segcourse.losses import MaskedCrossEntropy
from segcourse.runs import distribution, identity
from segcourse.runs.replicas import Share

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
WORKER = """
import json, sys
from segcourse import runs

print(runs.train(sys.argv[1], json.loads(sys.argv[2]), distribute=True).keys())
"""
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def on_two(folder, options):
    done = run_python("-c", ON_TWO, folder, json.dumps(options), env=NO_GPU)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run on one device; its options. Each of several devices would draw its own dropout."""
    root = tmp_path_factory.mktemp("one")
    options = settings(write_data(root / "data", 24), learning_rate=1e-2)
    options["arguments"]["dropout"] = 0.0
    return runs.train(root / "run", options, report=str), options, root / "run"


def assert_equal_runs(one, folder):
    """Up to rounding, which Adam makes visible in weights whose gradient is next to nothing."""
    record, _, single = one
    history = json.loads((folder / "history.json").read_text())["history"]
    for key in ("loss", "val_miou"):
        np.testing.assert_allclose(history[key], record["history"][key], rtol=1e-4, atol=1e-5)
    pairs = [runs.load_model(path / "model.keras").get_weights() for path in (single, folder)]
    moved = max(np.abs(weight - weight.flat[0]).max() for weight in pairs[0])
    for expected, found in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.01 * moved)


def test_two_devices_give_the_run_of_one_and_one_continues_what_two_began(one, tmp_path):
    _, options, _ = one
    assert "epoch 2/2" in on_two(tmp_path / "two", options)
    assert_equal_runs(one, tmp_path / "two")
    said = []
    runs.train(tmp_path / "two", options, report=said.append)
    assert "nothing was trained" in said[-1]
    assert "cannot be divided among 2 devices. Give --batch-size 4" in on_two(
        tmp_path / "odd", {**options, "batch_size": 3}
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(folder, options, logs):
    """Two processes that train together on the loopback address."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        with open(logs / f"worker{index}.txt", "w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, folder, json.dumps(options)],
                    env=distribution.os.environ | NO_GPU | {"TF_CONFIG": config, "PYTHONPATH": str(ROOT)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    return processes


def finish(processes, seconds=600):
    """Exit codes; a process that outlasts the time is killed."""
    end = time.monotonic() + seconds
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(max(1, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(process.wait())
    return codes


def test_two_processes_give_the_run_of_one_and_a_killed_one_leaves_a_run_that_resumes(one, tmp_path):
    _, options, _ = one
    folder = tmp_path / "run"
    first = start_workers(folder, options, tmp_path)
    try:
        while not (folder / identity.STATE).exists() and None in [process.poll() for process in first]:
            time.sleep(0.02)
        first[1].send_signal(signal.SIGKILL)
    finally:
        codes = finish(first)
    said = (tmp_path / "worker0.txt").read_text()
    assert codes == [1, -signal.SIGKILL] and "WorkerLost: Another worker is gone" in said, said[-3000:]
    assert (folder / identity.MODEL).exists()
    assert identity.epochs_done(folder) == 1 and not (folder / identity.HISTORY).exists()
    codes = finish(start_workers(folder, options, tmp_path))
    said = [(tmp_path / f"worker{index}.txt").read_text() for index in range(2)]
    assert codes == [0, 0], said[0][-3000:]
    assert "continued after epoch 1" in said[0] and "'val'" in said[0] and "'val'" not in said[1]
    assert_equal_runs(one, folder)


def test_the_last_batch_of_a_validation_is_filled_up_with_void():
    images, masks = np.ones((5, 2, 3, 3), np.uint8), np.ones((5, 2, 3), np.uint8)
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
    plain = distribution.Devices()
    assert plain.whole_batches(data, 4) is data
    batches = list(distribution.Devices(parts=2).whole_batches(data, 4).as_numpy_iterator())
    assert [image.shape for image, _ in batches] == [(4, 2, 3, 3)] * 2
    assert (batches[0][1] == 1).all() and (batches[1][1][1:] == VOID).all() and (batches[1][1][0] == 1).all()


def test_what_cannot_be_distributed_is_named(monkeypatch):
    assert distribution.devices(False, 8) == distribution.Devices()
    with pytest.raises(runs.BadRequest, match="needs two devices or more"):
        distribution.devices(True, 8)
    for config in ("{}", "[", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}'):
        monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(runs.BadRequest, match="TF_CONFIG does not tell the workers.*unset it"):
            distribution.devices(True, 8)


def test_outside_of_the_devices_a_share_is_an_equal_one():
    """There Keras only builds; what a device counts is tested by the runs."""
    labels, logits = np.array([[[0, 1, VOID]]]), np.random.default_rng(0).normal(size=(1, 1, 3, 2))
    loss = keras.losses.MeanSquaredError()
    assert float(Share(loss, 4)(logits, 2 * logits)) == pytest.approx(float(loss(logits, 2 * logits)) / 4)
    assert float(Share(MaskedCrossEntropy(), 2)(labels, logits)) == pytest.approx(
        float(MaskedCrossEntropy()(labels, logits))
    )  # one device has all pixels: TensorFlow's default context

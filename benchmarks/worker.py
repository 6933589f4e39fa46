"""What the two workers share: the batch, the timing and the conversation with `run.py`. Neither framework."""

import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np

BATCH, HEIGHT, WIDTH, CLASSES = 4, 160, 224, 11
LEARNING_RATE = 1e-3
BATCH_NORM_EPSILON = 1e-3


def batch():
    """Images float32 [4, 160, 224, 3] in 0..255 and labels uint8 [4, 160, 224], 5 % of them void (255)."""
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (BATCH, HEIGHT, WIDTH, 3)).astype("float32")
    labels = random.integers(0, CLASSES, (BATCH, HEIGHT, WIDTH)).astype("uint8")
    labels[:, :8] = 255
    return images, labels


def measure(step, seconds):
    """Median milliseconds an image of `step`, repeated for about so many seconds, and at least once."""
    times, begun = [], time.perf_counter()
    while not times or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / BATCH


def serve(step, about):
    """Answer `run.py`, a line of JSON each way, until it closes the pipe."""
    begun = time.perf_counter()
    step()
    first = time.perf_counter() - begun
    step()
    _forget_peak_memory()
    _say({"about": about, "first_step_s": first, "warm_up": measure(step, 0.5)})
    for line in sys.stdin:
        _say({"ms": measure(step, json.loads(line)["seconds"]), "peak_mb": _peak_memory()})


def _say(message):
    print(json.dumps(message), flush=True)


def _forget_peak_memory():
    """From now on: what importing, compiling and warming up took does not count."""
    if (file := Path("/proc/self/clear_refs")).exists():
        file.write_text("5")


def _peak_memory():
    """Peak resident memory of this process in MB; None where there is no /proc."""
    if not (file := Path("/proc/self/status")).exists():
        return None
    return int(re.search(r"VmHWM:\s+(\d+) kB", file.read_text())[1]) / 1024


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

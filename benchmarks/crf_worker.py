"""What the two CRF workers share: parameters, pictures, timing and the conversation with `crf.py`."""

import json
import os
import statistics
import sys
import time

import numpy as np

SETTINGS = {"sigma_xy": 80, "sigma_rgb": 13, "w_bilateral": 10, "sigma_spatial": 3, "w_spatial": 3}
ITERATIONS = 5


def use_cores(count):
    """Let this process run on `count` cores alone, or on all for 0. To be called before TensorFlow starts."""
    if int(count):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(count)])


def pictures(path):
    """Images uint8 [n, H, W, 3] and probabilities float32 [n, H, W, C]."""
    with np.load(path) as stored:
        return stored["images"], stored["probabilities"]


def serve(setup, inference, whole, path, about):
    """Answer `crf.py`, a line of JSON each way, until it closes the pipe.

    Args:
        setup: (image, probabilities) -> state, all that is done once for an image.
        inference: state -> probabilities [H, W, C], the iterations.
        whole: (image, probabilities) -> probabilities, both together in the way users call it.
        path: of the pictures; the results are written beside them.
        about: a dict, told to `crf.py`.
    """
    from worker import _forget_peak_memory, _peak_memory, _say

    images, probabilities = pictures(path)
    begun = time.perf_counter()
    results = [whole(*pair) for pair in zip(images, probabilities, strict=True)]
    warm_up = (time.perf_counter() - begun) / len(images)
    np.save(sys.argv[2] + ".npy", np.stack(results))
    del results
    _forget_peak_memory()
    _say({"about": about, "warm_up": warm_up, "first_step_s": warm_up})
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        found = _round(setup, inference, whole, images, probabilities, seconds)
        _say({"ms": found["whole"], **found, "peak_mb": _peak_memory()})


def _round(setup, inference, whole, images, probabilities, seconds):
    """Median milliseconds of the parts, each picture in turn, for about so many seconds."""
    times, begun, turn = {"setup": [], "inference": [], "whole": []}, time.perf_counter(), 0
    while not turn or time.perf_counter() - begun < seconds:
        pair = images[turn % len(images)], probabilities[turn % len(images)]
        state = _timed(times["setup"], setup, *pair)
        _timed(times["inference"], inference, state)
        del state
        _timed(times["whole"], whole, *pair)
        turn += 1
    return {part: 1000 * statistics.median(measured) for part, measured in times.items()}


def _timed(times, function, *arguments):
    begun = time.perf_counter()
    result = function(*arguments)
    times.append(time.perf_counter() - begun)
    return result

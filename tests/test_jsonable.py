"""Records as JSON gives them back."""

import json

import numpy as np

from segcourse.jsonable import jsonable

RECORD = {
    "iou": np.array([0.25, np.nan]),
    "size": (96, 128),
    3: [np.float32(0.5), float("nan"), None],
    "count": np.int64(7),
    "name": "fcn8s",
    "done": True,
}


def test_a_record_survives_json_as_it_is():
    plain = jsonable(RECORD)
    assert plain == {
        "iou": [0.25, None],
        "size": [96, 128],
        "3": [0.5, None, None],
        "count": 7,
        "name": "fcn8s",
        "done": True,
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert isinstance(plain["count"], int) and plain["done"] is True


def test_digits_are_of_floats_alone():
    assert jsonable({"a": [2 / 3, np.pi * 1e6], "n": 1234567, "b": False}, digits=3) == {
        "a": [0.667, 3140000.0],
        "n": 1234567,
        "b": False,
    }
    assert jsonable([0.1 + 0.2]) == [0.1 + 0.2]
    assert jsonable([np.nan, np.inf], digits=3) == [None, np.inf]

"""Settings for the whole test session, made before anything imports TensorFlow or draws a figure."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

# Not by MPLBACKEND, which the notebooks' kernels would inherit: their figures must come inline.
matplotlib.use("Agg")

# The order of the lessons and their budget of time; and what tests that itself.
pytest_plugins = ["lesson_budget", "pytester"]
pytest.register_assert_rewrite("contract", "helpers")


def pytest_collection_modifyitems(items):
    """For `--dist loadgroup`: tests that share what is costly to make go to one worker.

    Those are the tests of a file; in the contract, whose file would keep one worker busy long after the
    other has finished, the tests of a case. A mark at a test goes before.
    """
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            case = getattr(item, "callspec", None) and item.callspec.params.get("case")
            group = f"contract of {case.id}" if hasattr(case, "id") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def delegate():
    """`tflite.run_on_gpu_delegate`; skips where there is none, or fails where there must be one."""
    from segcourse import tflite

    reason = tflite.why_unavailable()
    if reason and os.environ.get("SEGCOURSE_REQUIRE_GPU_DELEGATE") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return tflite.run_on_gpu_delegate

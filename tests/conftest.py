"""Settings for the whole test session, made before anything imports TensorFlow or draws a figure."""

import os
import re

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def take_a_share_of_the_processors():
    """Bind a pytest-xdist worker to its own processors: on two, two workers have one thread each.

    All libraries make as many threads as the process may use processors, and so does every process that a
    test starts, a notebook's kernel among them. With two threads each, a step of training takes a quarter
    more processor time, spent on waiting for one another.
    """
    worker, count = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if worker and hasattr(os, "sched_setaffinity"):  # Linux
        here = sorted(os.sched_getaffinity(0))
        own = here[int(worker.removeprefix("gw")) % len(here) :: int(count)]
        os.sched_setaffinity(0, own)


take_a_share_of_the_processors()  # before a library counts processors

import matplotlib  # noqa: E402

import segcourse  # noqa: E402, F401 - before a test's own imports load TensorFlow

# Not by MPLBACKEND, which the notebooks' kernels would inherit: their figures must come inline.
matplotlib.use("Agg")

# The order of the lessons and their budget of time; and what tests that itself.
pytest_plugins = ["lesson_budget", "pytester"]
pytest.register_assert_rewrite("contract", "helpers")


def pytest_addoption(parser):
    parser.addoption("--probes", action="store_true", help="probe every stored result, not only edited code")


TOGETHER = {"test_gpu_delegate.py": "test_tflite.py"}  # the second file's network serves the first


def group(nodeid):
    """Tests that share what is costly to make: those of a file, of a network in the contract, or of a probe.

    As one file, the contract would keep one worker busy long after the other has finished.
    """
    file = nodeid.partition("::")[0]
    alone = re.search(r"\[(?:network|probe)=(.+)\]", nodeid)
    return alone[1] if alone else TOGETHER.get(file.rpartition("/")[2], file.rpartition("/")[2])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Send each `group` to one worker. (xdist_group marks have no effect under pytest 9.2 and xdist 3.8.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid)

    return ByGroup(config, log)


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


@pytest.fixture
def answer(request, monkeypatch):
    """A function that runs a check of the lesson `LESSON` of the test file: (exercise's number, answer)."""
    from test_exercises import attempt, blanked, exercises

    lesson = request.module.LESSON
    monkeypatch.chdir(lesson.parent)

    def run(number, body):
        exercise, check = exercises(lesson)[number]
        attempt(lesson, blanked(exercise, body.replace("\n", "\n    ")), check)

    return run

"""pytest plugin: after the unit tests as many lessons as fit in a budget, those that need it first.

Lessons whose execution record is stale come first, then the fresh ones in an order that changes every day.
With `--lesson-minutes=30` no lesson begins that would not end in this time, which each worker counts from its
first lesson. One that is left out counts as one skipped test if it is good by its record, and as one failed
test if it is stale. The closing lines tell what was executed, what is good by its record, and what was left.
"""

import math
import time
from dataclasses import dataclass

import nbformat
import pytest
import records

# What a lesson may take (design); expected of one that was never executed.
MOST_SECONDS = 150
# How many lessons further the rotation begins each day: the first of these that has no factor in common with
# the number of lessons, so that every lesson comes first in its turn.
STEPS = (5, 7, 1)


@dataclass(frozen=True)
class Lesson:
    """A notebook as the budget sees it; `stale` says why its record is out of date, "" if it is fresh."""

    path: str
    seconds: int
    stale: str


def read(path, name):
    """The `Lesson` in the notebook at `path`."""
    notebook = nbformat.read(path, as_version=4)
    return Lesson(name, records.of(notebook).get("seconds", MOST_SECONDS), records.why_stale(notebook))


def in_turn(lessons, day):
    """Stale lessons first, then the fresh ones, beginning elsewhere each day."""
    stale = [lesson for lesson in lessons if lesson.stale]
    fresh = [lesson for lesson in lessons if not lesson.stale]
    count = max(len(fresh), 1)
    start = day * next(step for step in STEPS if math.gcd(step, count) == 1) % count
    return stale + fresh[start:] + fresh[:start]


def pytest_addoption(parser):
    parser.addoption(
        "--lesson-minutes",
        type=float,
        metavar="MINUTES",
        help="begin no lesson that would not end in this time; without it all lessons are executed",
    )


def pytest_configure(config):
    config.pluginmanager.register(Budget(config))


class Budget:
    """Orders and leaves out lessons where the tests run, and sums up where the results come together."""

    def __init__(self, config):
        self.minutes = config.getoption("--lesson-minutes")
        # All of xdist's workers must agree on the order, also at midnight.
        given = getattr(config, "workerinput", {})
        self.day = given.get("lesson_day", int(time.time() // 86_400))
        self.lessons, self.decided, self.began = {}, {}, None
        self.executed, self.left = {}, set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        node.workerinput["lesson_day"] = self.day

    def pytest_collection_modifyitems(self, items):
        notebooks = {item.nodeid.partition("::")[0]: item.path for item in items if _is_cell(item.nodeid)}
        self.lessons = {name: read(path, name) for name, path in notebooks.items()}
        place = {lesson.path: n for n, lesson in enumerate(in_turn(self.lessons.values(), self.day), start=1)}
        items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """Replace all cells of a lesson that is left out by one report."""
        if not _is_cell(item.nodeid):
            return None
        lesson = self.lessons[item.nodeid.partition("::")[0]]
        if lesson.path not in self.decided:
            self.decided[lesson.path] = self._fits(lesson)
            if not self.decided[lesson.path]:
                self._report(lesson, item)
        return None if self.decided[lesson.path] else True

    def _fits(self, lesson):
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        needed = now - self.began + lesson.seconds
        return self.minutes is None or needed <= 60 * self.minutes

    def _report(self, lesson, item):
        why = f"{lesson.path} was not executed: {self.minutes:g} minutes are not enough for all lessons"
        if lesson.stale:
            outcome = "failed"
            text = f"{why}, and {lesson.stale}. Run `make lesson`, or give more SEGCOURSE_LESSON_MINUTES."
        else:
            outcome, text = "skipped", (str(item.path), 0, f"{why}; good by its record")
        report = pytest.TestReport(
            item.nodeid, item.location, {}, outcome, text, "call", user_properties=[("lesson_left", True)]
        )
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.partition("::")[0]
        if not _is_cell(report.nodeid):
            return
        if ("lesson_left", True) in report.user_properties:
            self.left.add(name)
        else:
            self.executed[name] = self.executed.get(name, 0) + report.duration

    def pytest_terminal_summary(self, terminalreporter, config):
        names = self.executed.keys() | self.left
        if not names:
            return
        left = [read(config.rootpath / name, name) for name in sorted(self.left)]
        groups = {
            "executed": [read(config.rootpath / name, name) for name in sorted(self.executed)],
            "left out, good by record": [lesson for lesson in left if not lesson.stale],
            "left out though stale": [lesson for lesson in left if lesson.stale],
        }
        terminalreporter.section("lessons")
        for title, lessons in groups.items():
            terminalreporter.line(f"{title}: {len(lessons)} of {len(names)}")
            for lesson in lessons:
                terminalreporter.line(f"  {self._described(lesson)}")

    def _described(self, lesson):
        took = f", {self.executed[lesson.path]:.0f} s" if lesson.path in self.executed else ""
        return f"{lesson.path}{took}: {lesson.stale or f'its record is fresh ({lesson.seconds} s)'}"


def _is_cell(nodeid):
    return nodeid.partition("::")[0].endswith(".ipynb")

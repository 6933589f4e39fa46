"""`inspect` and `convert`'s repairs against the GPU delegate, over the small files of `tflite_forms.py`."""

from functools import cache

import numpy as np
import pytest
from delegate_table import disagrees, on_cpu
from tflite_forms import FORMS, Sketch, conv, image, sliced

from segcourse.tflite import GpuDelegateRefused, rules
from segcourse.tflite.gpu import run_each_on_gpu_delegate
from segcourse.tflite.graph import Graph, read
from segcourse.tflite.repair import repaired

CONTENTS = {name: form.content() for name, form in FORMS.items()}
REPAIRED = {name: made for name, content in CONTENTS.items() if (made := repaired(content)) is not content}


def broken(content):
    """Names of the rules that a file breaks; "input" where the size or the number of its images is open."""
    graph = Graph(read(content))
    found = {rule.__name__ for node in graph.nodes for rule in rules.RULES if rule(node, graph)}
    return found | {problem.operator for problem in rules.problems(graph)} & {"input"}


def on_gpu(contents, folder):
    """name -> outputs or exception, of files with the input of their form."""
    files = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / f"{number}.tflite"
        path.write_bytes(content)
        files.append((path, image(FORMS[name].shape)))
    return dict(zip(contents, run_each_on_gpu_delegate(files), strict=True))


@pytest.fixture(scope="module")
def as_drawn(delegate, tmp_path_factory):
    return on_gpu(CONTENTS, tmp_path_factory.mktemp("forms"))


@pytest.fixture(scope="module")
def as_repaired(delegate, tmp_path_factory):
    return on_gpu(REPAIRED, tmp_path_factory.mktemp("repaired"))


def operators(content):
    """Names of the operators of a file."""
    return {node.operator for node in Graph(read(content)).nodes}


@cache
def taken_in_a_form():
    """The operators of all files that the delegate computes rightly."""
    fine = (content for name, content in CONTENTS.items() if not FORMS[name].breaks)
    return set().union(*map(operators, (*fine, *REPAIRED.values())))


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_every_rule_has_a_pair_for_every_operator_that_it_speaks_of(rule):
    """One file that the delegate takes and one that it does not: what it does is tested below."""
    graphs = [Graph(read(CONTENTS[name])) for name, form in FORMS.items() if form.breaks == rule.__name__]
    broken_by = {node.operator for graph in graphs for node in graph.nodes if rule(node, graph)}
    spoken_of = getattr(rule, "operators", frozenset())
    assert broken_by >= spoken_of and broken_by, spoken_of - broken_by
    assert taken_in_a_form() >= spoken_of, spoken_of - taken_in_a_form()


def test_every_operator_that_a_gpu_has_is_taken_in_a_form_and_every_fix_is_of_one_that_it_lacks():
    assert taken_in_a_form() >= rules.GPU_OPERATORS, rules.GPU_OPERATORS - taken_in_a_form()
    lacked = set().union(*(operators(CONTENTS[n]) for n, f in FORMS.items() if f.breaks == "unknown"))
    assert lacked >= set(rules.FIXES), set(rules.FIXES) - lacked


@pytest.mark.parametrize("name", FORMS)
def test_inspect_knows_what_the_delegate_does(as_drawn, name):
    breaks = FORMS[name].breaks
    assert broken(CONTENTS[name]) == ({breaks} if breaks else set())
    outcome = as_drawn[name]
    bad = isinstance(outcome, GpuDelegateRefused) or disagrees(
        on_cpu(CONTENTS[name], image(FORMS[name].shape)), outcome
    )
    assert bool(bad) == bool(breaks), outcome


@pytest.mark.parametrize("name", REPAIRED)
def test_a_repaired_file_runs_on_the_gpu_with_the_same_values(as_repaired, name):
    assert FORMS[name].breaks
    assert broken(REPAIRED[name]) == set()
    values = image(FORMS[name].shape)
    before, after = on_cpu(CONTENTS[name], values), on_cpu(REPAIRED[name], values)
    assert list(before) == list(after)
    for output in before:
        np.testing.assert_array_equal(before[output], after[output])
    assert not disagrees(before, as_repaired[name])


def test_what_convert_says_it_repairs_is_repaired():
    for name, content in CONTENTS.items():
        graph = Graph(read(content))
        fixes = [found[1] for n in graph.nodes for rule in rules.RULES if (found := rule(n, graph))]
        assert all(rules.BY_CONVERT not in fix for fix in fixes) or name in REPAIRED, (name, fixes)


def test_a_repaired_file_keeps_its_constants_aligned():
    """XNNPACK reads weights where they lie, 16 bytes at a time."""
    weights = np.float32(np.arange(6 * 3 * 3 * 4)).tobytes()
    sketch = Sketch()
    cut = sliced(sketch, (0, 0, 0, 0), (1, 9, 8, 4))
    sketch_content = sketch.content(conv(sketch, cut))
    made = repaired(sketch_content)
    model = read(made)
    places = [
        made.find(bytes(b.data)) for b in model.buffers if b.data is not None and len(b.data) >= len(weights)
    ]
    assert places and all(place % 16 == 0 for place in places)


def test_a_file_without_faults_is_not_touched():
    content = CONTENTS["CONV_2D kernel 3"]
    assert repaired(content) is content

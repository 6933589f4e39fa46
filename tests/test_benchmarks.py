"""The benchmark's table and its refusal of networks that differ. No timings."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import run
    finally:
        sys.path.pop(0)
    return run


def case(ours, torch, peaks=()):
    sides = {"ours": {"ms": ours, "peak_mb": None}, "torch": {"ms": torch, "peak_mb": None}}
    for side, peak in dict(peaks).items():
        sides[side]["peak_mb"] = peak
    about = {"weights": 1_942_747}
    return {"precision": "bf16", "mode": "training", "torch_variant": "eager", "about": about, **sides}


def test_the_ratio_is_that_of_the_rounds(run):
    assert run.ratio(case([10.0, 20.0, 10.0], [15.0, 20.0, 40.0])) == (1.5, 1.0, 4.0)


def test_a_row_of_the_table(run):
    row = run.table(
        {"cases": [case([10.0, 20.0, 10.0], [150.0, 200.0, 40.0], {"ours": 1024, "torch": 2560})]}
    )
    assert row.splitlines()[-1] == (
        "| 1.9 M | bf16 | training | 10.0 | 150 (eager) | **10.00** (4.00 to 15.00) | 1.0 and 2.5 |"
    )
    assert "not known" in run.table({"cases": [case([10.0], [10.0], {"ours": 1024})]})


@pytest.mark.parametrize(
    "change",
    [{"logits_apart": 0.005}, {"fused_logits_apart": 0.005}, {"losses": [2.01, 1.5]}, {"losses": [2.0, 1.6]}],
)
def test_networks_that_differ_are_not_compared(run, change):
    same = {"largest_logit": 40.0, "logits_apart": 1e-4, "fused_logits_apart": 1e-4}
    same |= {"losses": [2.0, 1.5], "our_losses": [2.0001, 1.5005]}
    run.check(same)
    with pytest.raises(RuntimeError, match="differ"):
        run.check(same | change)

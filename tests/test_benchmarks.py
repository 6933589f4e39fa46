"""The benchmarks' tables and their refusal of networks and inferences that differ. No timings."""

import json
import sys
from pathlib import Path

import numpy as np
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


def test_some_cases_can_be_measured_again(run):
    def results(**times):
        rows = [{"width": 1.0, "precision": p, "mode": "training", "ms": ms} for p, ms in times.items()]
        return {"environment": {"cores": 2}, "settings": {}, "agreement": {}, "cases": rows}

    merged = run.added(results(fp32=3, bf16=2), results(bf16=1))
    assert [row["ms"] for row in merged["cases"]] == [3, 1]
    with pytest.raises(RuntimeError, match="another machine"):
        run.added(results(fp32=3) | {"environment": {"cores": 4}}, results(fp32=3))


@pytest.mark.parametrize(
    ("flags", "allowed", "kind"),
    [
        ("fma avx2", "", "avx2"),
        ("avx2 avx512f amx_bf16", "", "amx"),
        ("avx2 avx512f amx_bf16", "AVX512_CORE", "avx512"),
        ("avx2 avx512f", "AVX2", "avx2"),
    ],
)
def test_each_kind_of_processor_has_its_own_results(run, monkeypatch, tmp_path, flags, allowed, kind):
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
    monkeypatch.setattr(run, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(run.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", allowed)
    assert run.processor_kind() == kind


@pytest.mark.parametrize("path", (ROOT / "benchmarks").glob("unet-*.json"), ids=lambda path: path.stem)
def test_the_readme_shows_what_was_measured(run, path):
    results = json.loads(path.read_text())
    text = run.README.read_text()
    assert run.table(results) in text and run.shown(text, path.name, results) == text
    precisions = {row["precision"] for row in results["cases"]}
    assert len(results["cases"]) == 4 * len(precisions) and "fp32" in precisions
    for width in (0.25, 1.0):
        run.check(results["agreement"][f"{width} fp32"])


@pytest.fixture(scope="module")
def crf():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import crf
    finally:
        sys.path.pop(0)
    return crf


def crf_case(ours, one_core, theirs):
    sides = {"ours": ours, "one_core": one_core, "theirs": theirs}
    parts = {
        side: {"whole": whole, "setup": [40.0], "inference": [60.0], "peak_mb": 512}
        for side, whole in sides.items()
    }
    agreement = {"same_labels": 0.99871, "marginals_apart": 0.00042}
    return {"name": "ToyCam", "size": [360, 480], "classes": 11, "agreement": agreement, **parts}


def test_a_row_of_the_crf_table(crf):
    row = crf_case([100.0, 80.0, 100.0], [200.0, 200.0, 200.0], [120.0, 120.0, 100.0])
    assert crf.speed_table({"cases": [row]}).splitlines()[-1] == (
        "| ToyCam, 480x360 | 11 | 100 (40 + 60) | 200 (40 + 60) | 120 (40 + 60) | **1.20** (1.00 to 1.50) "
        "| 0.60 | 99.87 % | 4.2e-04 | 0.5 and 0.5 |"
    )


@pytest.mark.parametrize("change", [{"same_labels": 0.99}, {"marginals_apart": 0.02}])
def test_inferences_that_differ_are_not_compared(crf, change):
    same = {"same_labels": 0.996, "marginals_apart": 0.005}
    crf.check(same)
    with pytest.raises(RuntimeError, match="differ"):
        crf.check(same | change)


def test_how_far_two_results_agree(crf):
    before = np.array([[[0.9, 0.1], [0.9, 0.1]]])
    ours, theirs = np.array([[[0.8, 0.2], [0.6, 0.4]]]), np.array([[[0.8, 0.2], [0.4, 0.6]]])
    found = crf.agreement(ours, theirs, before)
    assert found == {"same_labels": 0.5, "marginals_apart": pytest.approx(0.1), "changed": 0.5}


@pytest.mark.parametrize("path", (ROOT / "benchmarks").glob("crf-*.json"), ids=lambda path: path.stem)
def test_the_pages_show_what_the_crf_took(crf, path):
    results = json.loads(path.read_text())
    for page in (crf.README, crf.HERE / "README.md"):
        text = page.read_text()
        assert crf.speed_table(results) in text and crf.shown(text, path.name, results) == text
    for row in results["cases"]:
        crf.check(row["agreement"])

"""The doctor: well on this machine, and every failure it is there for is provoked once."""

import sys

import pytest
from helpers import run_python

from segcourse import doctor
from segcourse.datasets.published import Published


def by_name(checks):
    return {check.name: check for check in checks}


def test_everything_is_looked_at_and_well_here():
    checks = by_name(doctor.diagnose())
    order = [
        "Python",
        "Packages",
        "TensorFlow",
        "GPU",
        "CPU threads",
        "Disk",
        "JupyterLab",
        "Project data",
        "Data cache",
        "Data sets",
    ]
    assert list(checks) == order
    assert {name: check.detail for name, check in checks.items() if not check.ok} == {}


def test_an_unsupported_python_is_named():
    assert doctor.check_python("3.12.4").ok
    for version in ("3.10.14", "3.14.0"):
        check = doctor.check_python(version)
        assert not check.ok and version in check.detail and "make lab PYTHON=" in check.fix


def test_missing_and_old_packages_are_named():
    wanted = [
        "numpy>=1.0",
        "numpy>=999",
        "no-such-package",
        "other; extra == 'lab'",
        "other; sys_platform == 'win32'",
    ]
    check = doctor.check_packages(wanted)
    assert not check.ok and check.fix
    assert "no-such-package is missing" in check.detail and "is not >=999" in check.detail
    assert "other" not in check.detail
    assert doctor.check_packages(["numpy>=1.0"]).ok


def test_a_broken_tensorflow_is_reported_and_not_raised(tmp_path, monkeypatch):
    broken = tmp_path / "tensorflow"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libcudart is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (check,) = doctor.check_tensorflow([sys.executable, "-c", "import tensorflow"])
    assert not check.ok and "libcudart is missing" in check.detail and "make lab" in check.fix


def test_a_crash_and_a_hang_of_the_import_are_reported(monkeypatch):
    (check,) = doctor.check_tensorflow([sys.executable, "-c", "import os; os.abort()"])
    assert not check.ok and "status" in check.detail
    monkeypatch.setattr(doctor, "IMPORT_TIMEOUT", 0.1)
    (check,) = doctor.check_tensorflow([sys.executable, "-c", "import time; time.sleep(60)"])
    assert not check.ok and "took over" in check.detail


def test_a_full_disk_and_an_unusable_cache_folder(tmp_path, monkeypatch):
    assert not doctor.check_disk(needed_gb=1e9).ok
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("SEGCOURSE_DATA", str(file))
    cache = by_name(doctor.check_data())["Data cache"]
    assert not cache.ok and str(file) in cache.detail and "SEGCOURSE_DATA" in cache.fix


def test_the_data_sets_that_are_not_here_are_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(Published, "places", [tmp_path])
    check = by_name(doctor.check_data())["Data sets"]
    assert check.ok and check.detail.startswith("toycam, cells; ")
    assert "if you want isbi2012: segcourse data get isbi2012" in check.detail


def test_data_sets_without_numpy_are_reported_and_not_raised(monkeypatch):
    monkeypatch.setitem(sys.modules, "segcourse.datasets.table", None)
    check = by_name(doctor.check_data())["Data sets"]
    assert not check.ok and "segcourse.datasets.table" in check.detail and check.fix


def test_missing_project_data(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.paths, "data_folder", lambda: tmp_path)
    check = by_name(doctor.check_data())["Project data"]
    assert not check.ok and "results, weights" in check.detail


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_the_report_and_its_exit_code(ok, code, monkeypatch, capsys):
    checks = [
        doctor.Check("Fine", True, "as it should be", "unused"),
        doctor.Check("Other", ok, "seen", "do this"),
    ]
    monkeypatch.setattr(doctor, "diagnose", lambda: checks)
    assert doctor.main() == code
    said = capsys.readouterr().out
    assert "OK    Fine" in said and "unused" not in said
    assert ("FAIL  Other" in said and "fix: do this" in said) != ok


def test_it_runs_as_a_module():
    done = run_python("-m", "segcourse.doctor")
    assert done.returncode == 0 and done.stdout.endswith("Everything is ready.\n"), done.stdout + done.stderr

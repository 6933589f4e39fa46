"""What is declared, locked and installed fits together."""

import ast
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from helpers import ROOT, run_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segcourse import doctor, paths
from segcourse.datasets import table

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [r for group in PROJECT["optional-dependencies"].values() for r in group]


def third_party_imports(paths):
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"segcourse"}


def undeclared(paths, requirements):
    """The packages that these modules import and no requirement installs."""
    packages = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(Requirement(r).name) for r in requirements}
    owners = {
        name: {canonicalize_name(d) for d in packages[name]} for name in third_party_imports(sorted(paths))
    }
    return {name for name, distributions in owners.items() if not distributions & declared}


def test_every_import_of_the_package_is_declared():
    drawings = set((ROOT / "segcourse" / "illustrations").glob("*.py"))
    lab = PROJECT["optional-dependencies"]["lab"]  # lessons are read in JupyterLab, and so are their drawings
    assert undeclared(set((ROOT / "segcourse").rglob("*.py")) - drawings, PROJECT["dependencies"]) == set()
    assert undeclared(drawings, [*PROJECT["dependencies"], *lab]) == set()


def addons_requirements():
    lines = (ROOT / "requirements-addons.in").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_conda_users_get_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert sorted(pip["pip"]) == sorted({*PROJECT["dependencies"], *EXTRAS, "-e ."})
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]


def test_conda_users_get_the_same_reference():
    environment = yaml.safe_load((ROOT / "environment-addons.yml").read_text())
    assert environment["dependencies"] == ["python>=3.9,<3.12", "pip", {"pip": addons_requirements()}]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", [*PROJECT["dependencies"], *EXTRAS]),
        ("requirements-addons.lock", addons_requirements()),
    ],
)
def test_the_lock_has_every_requirement_in_range_with_hashes_and_no_address(lock, requirements):
    text = (ROOT / lock).read_text()
    locked = {}
    for entry in re.split(r"\n(?=\S)", text)[1:]:
        assert "--hash=sha256:" in entry
        requirement = Requirement(entry.split("\\")[0].split("--hash")[0].strip())
        locked.setdefault(canonicalize_name(requirement.name), []).append(requirement.specifier)
    for requirement in map(Requirement, requirements):
        for specifier in locked[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(str(specifier).removeprefix("==")), requirement
    assert not re.search(r"https?:|--(extra-)?index|file:", text)


@pytest.mark.parametrize(
    ("script", "choice", "needed"),
    [
        ("make_env.sh", "PYTHON", "is not a working Python 3.11, 3.12 or 3.13"),
        ("make_addons_env.sh", "ADDONS_PYTHON", "is not a working Python 3.9, 3.10 or 3.11"),
    ],
)
def test_an_unsuitable_python_is_told_in_one_line(script, choice, needed, tmp_path):
    """The scripts stop before they make anything; tried on a copy, so that nothing here is at risk."""
    for name in ("environment.sh", script):
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    for name in ("requirements.lock", "requirements-addons.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\necho 3.8\n")
    old.chmod(0o755)
    environment = {**os.environ, choice: str(old)}
    done = subprocess.run([tmp_path / "tools" / script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {choice}={old} {needed}") and done.stderr.count("\n") == 1
    assert not list(tmp_path.glob(".venv*"))


def test_the_doctor_knows_the_python_range():
    assert PROJECT["requires-python"] == doctor.PYTHON_RANGE


def test_the_makefile_lists_every_target():
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (ROOT / "Makefile").read_text()
    for target in re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split():
        assert re.search(rf"^  make {target}\s+\S", helped, re.MULTILINE), target


def test_importing_the_package_is_cheap():
    code = (
        "import sys, segcourse, segcourse.doctor; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    done = run_python("-c", code, cwd=ROOT)
    assert done.stdout.strip() == "set()", done.stderr


FIRST = (
    "layers.bilinear",
    "losses.balancing",
    "metrics.boundaries",
    "models.fcn",
    "encoders.vgg",
    "prediction.tiling",
)
# Prints, for each module, how many layers of ours Keras knows after `import` of it in a fork of its own.
IMPORT_FIRST = """
import os, sys
import tensorflow  # once for all, for it takes most of the time
for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
    del sys.modules[name]  # some versions of TensorFlow import it
assert not {"keras", "segcourse"} & set(sys.modules)
for first in sys.argv[1:]:
    if not os.fork():
        __import__(f"segcourse.{first}")
        import keras
        known = sum("segcourse>" in name for name in keras.saving.get_custom_objects())
        print(first, known, flush=True)
        os._exit(0)
    os.wait()
"""


def test_every_module_can_be_the_first_that_is_imported():
    """Importing Keras makes segcourse import its layers; that must not meet a half-imported module."""
    done = run_python("-c", IMPORT_FIRST, *FIRST, cwd=ROOT)
    known = dict(line.split() for line in done.stdout.splitlines())
    assert set(known) == set(FIRST) and min(map(int, known.values())) >= 3, done.stdout + done.stderr


def test_a_missing_data_file_names_what_is_there():
    with pytest.raises(FileNotFoundError, match=r"'results/nothing.json'.*README.md"):
        paths.data_file("results/nothing.json")


def documents_that_messages_name():
    """Paths in the repository that the code sends a reader to, and what these documents link to."""
    code = "".join(path.read_text() for path in ROOT.glob("segcourse/**/*.py"))
    found = set(re.findall(r"\b(?:data|docs)/[a-z]\w*\.md\b", code))
    found |= {f"data/{name}" for name in re.findall(r"data_file\(['\"](\w+\.md)", code)}
    found |= {row.card for row in table.TABLE.values()}
    unread = list(found)
    while unread:
        page = ROOT / unread.pop()
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text()) if page.suffix == ".md" else []
        linked = {os.path.relpath(page.parent / link, ROOT) for link in links}
        unread += linked - found
        found |= linked
    return found


def test_the_wheel_is_usable_without_the_repository(tmp_path):
    """It carries the package, the results and the weights; its own copy of the data is found."""
    offline = ("--no-build-isolation", "--no-deps", "--no-index")
    done = run_python("-m", "pip", "wheel", *offline, "-q", "-w", tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        wheel.extractall(tmp_path / "site")
    data = {f"segcourse/{p.relative_to(ROOT).as_posix()}" for p in ROOT.glob("data/[rw]*/*")}
    documents = {f"segcourse/{name}" for name in documents_that_messages_name()}
    package = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("segcourse/**/*.py")}
    assert data | documents | package | {"segcourse/py.typed"} <= set(names) and len(data) >= 2
    assert {"segcourse/data/folder.md", "segcourse/docs/your_own_data.md"} <= documents
    assert not [name for name in names if name.startswith(("notebooks", "tests", "tools"))]
    code = "from segcourse import paths; print(paths.data_file('results/README.md'))"
    found = run_python("-c", code, cwd=tmp_path / "site")
    assert found.stdout.strip() == str(tmp_path / "site/segcourse/data/results/README.md"), found.stderr


def test_conda_users_get_onednn_too():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["variables"] == {"TF_ENABLE_ONEDNN_OPTS": "1"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow has oneDNN on x86")
@pytest.mark.parametrize("chosen", [None, "0"])
def test_onednn_computes_convolutions_unless_somebody_chose_otherwise(chosen):
    code = "import segcourse, keras; keras.layers.Conv2D(8, 3)(keras.ops.ones((2, 16, 16, 8)))"
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"} | {
        "ONEDNN_VERBOSE": "1"
    }
    if chosen:
        environment["TF_ENABLE_ONEDNN_OPTS"] = chosen
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    ).stdout
    assert ("exec,cpu,convolution" in said) == (chosen is None)

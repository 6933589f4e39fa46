"""Is this machine ready for the course? `diagnose` looks, `main` prints OK or FAIL with the fix.

Nothing here imports TensorFlow or Keras: their import is tried in a process of its own, so a broken
installation is reported instead of breaking the report.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segcourse import paths

PYTHON_RANGE = ">=3.11,<3.14"
NEEDED_GB = 1
IMPORT_TIMEOUT = 180
IMPORT_TEST = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, tensorflow as tf
details = tf.config.experimental.get_device_details
gpus = [details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")]
versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "backend": keras.config.backend()}
print(json.dumps({**versions, "gpus": gpus}))
"""


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def diagnose() -> list[Check]:
    """Look at everything the course needs; returns a list of `Check`, in the order to repair them."""
    return [
        check_python(),
        check_packages(),
        *check_tensorflow(),
        check_threads(),
        check_disk(),
        check_jupyterlab(),
        *check_data(),
    ]


def check_python(version: str | None = None) -> Check:
    """Whether `version` (default: this interpreter's) is one that the course supports."""
    from packaging.specifiers import SpecifierSet

    version = version or platform.python_version()
    ok = SpecifierSet(PYTHON_RANGE).contains(version, prereleases=True)
    fix = f"Install Python {PYTHON_RANGE}, then: make lab PYTHON=/path/to/it"
    return Check("Python", ok, f"{version} ({platform.system()} {platform.machine()})", fix)


def check_packages(requirements: Iterable[str] | None = None) -> Check:
    """Whether every requirement (default: those of the installed segcourse) is met by what is installed."""
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("segcourse")
        except importlib.metadata.PackageNotFoundError:
            detail = "segcourse itself is not installed"
            return Check("Packages", False, detail, "make lab, or: pip install .")
    problems, count = [], 0
    for requirement in _applicable(requirements):
        count += 1
        found = _version(requirement.name)
        if found is None:
            problems.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            problems.append(f"{requirement.name} {found} is not {requirement.specifier}")
    detail = "; ".join(problems) or f"{count} required packages are in range"
    return Check("Packages", not problems, detail, _install_command())


def _applicable(requirements):
    """The requirements that count here: no extras, and markers that hold on this machine."""
    from packaging.requirements import Requirement

    parsed = map(Requirement, requirements)
    return [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _in_repository():
    return (paths.PACKAGE.parent / "Makefile").exists()


def _install_command():
    return "make lab" if _in_repository() else "pip install --upgrade segcourse"


def check_tensorflow(command: Sequence[str] | None = None) -> list[Check]:
    """Import TensorFlow and Keras in a process of their own; returns the checks "TensorFlow" and "GPU"."""
    command = command or [sys.executable, "-c", IMPORT_TEST]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT)
    except subprocess.TimeoutExpired:
        detail = f"importing it took over {IMPORT_TIMEOUT} s"
        return [Check("TensorFlow", False, detail, "Close other programs and try again.")]
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"the import ended with status {done.returncode}"]
        fix = f"rm -rf .venv && {_install_command()}" if _in_repository() else _install_command()
        return [Check("TensorFlow", False, said[-1], fix)]
    found = json.loads(done.stdout.splitlines()[-1])
    versions = f"TensorFlow {found['tensorflow']}, Keras {found['keras']} on {found['backend']}"
    gpus = ", ".join(found["gpus"]) or "none; every lesson is made for the CPU"
    return [Check("TensorFlow", True, versions), Check("GPU", True, gpus)]


def check_threads() -> Check:
    """How many CPU threads this process may use; the times in the lessons are for two."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    slower = "" if usable > 1 else "; expect twice the times that the lessons name"
    return Check("CPU threads", True, f"{usable}{slower}")


def check_disk(needed_gb: float = NEEDED_GB) -> Check:
    """Whether there is room where data sets are cached."""
    folder = _existing(paths.cache_folder())
    free_gb = shutil.disk_usage(folder).free / 1e9
    fix = "Free some space, or set SEGCOURSE_DATA to a folder on another disk."
    detail = f"{free_gb:.1f} GB free for data (at least {needed_gb} GB needed)"
    return Check("Disk", free_gb >= needed_gb, detail, fix)


def check_jupyterlab() -> Check:
    """Whether JupyterLab is there; only a checkout of the repository, which has the lessons, needs it."""
    found = _version("jupyterlab")
    if found is None and not _in_repository():
        detail = "not installed; only the lessons need it: pip install 'segcourse[lab]'"
        return Check("JupyterLab", True, detail)
    return Check("JupyterLab", found is not None, found or "missing", "make lab")


def check_data() -> list[Check]:
    """The project's own data (results, weights), where data sets are cached, and which of them are here."""
    own = paths.data_folder()
    missing = [name for name in ("results", "weights") if not (own / name).is_dir()]
    fix = "git checkout data" if _in_repository() else "pip install --force-reinstall --no-deps segcourse"
    detail = f"missing in {own}: {', '.join(missing)}" if missing else str(own)
    return [Check("Project data", not missing, detail, fix), _check_cache(), _check_sets()]


def _check_cache():
    folder = paths.cache_folder()
    try:
        tempfile.TemporaryFile(dir=_existing(folder)).close()
    except OSError as error:
        fix = "Set SEGCOURSE_DATA to a folder that you may write to."
        return Check("Data cache", False, f"{folder} is not writable: {error.strerror}", fix)
    return Check("Data cache", True, str(folder))


def _check_sets():
    """Which data sets can be loaded; none is needed, because the lessons use those that are drawn here."""
    try:
        from segcourse.datasets.table import TABLE
    except ImportError as error:
        return Check("Data sets", False, str(error), _install_command())
    absent = [name for name, row in TABLE.items() if not row.here()]
    here = ", ".join(name for name in TABLE if name not in absent)
    wanted = "".join(f"; if you want {name}: segcourse data get {name}" for name in absent)
    return Check("Data sets", True, here + wanted)


def _existing(folder):
    """The nearest folder upwards that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def main() -> int:
    """Print one line a check, and the fix under each that failed; returns the exit code 0 or 1."""
    checks = diagnose()
    for check in checks:
        print(f"{'OK  ' if check.ok else 'FAIL'}  {check.name:<12}  {check.detail}")
        if not check.ok:
            print(f"      {'':<12}  fix: {check.fix}")
    failed = sum(not check.ok for check in checks)
    print(f"{failed} of {len(checks)} checks failed." if failed else "Everything is ready.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

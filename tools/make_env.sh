#!/usr/bin/env bash
# Make or update .venv: the locked packages and this project, editable. Takes no time when nothing changed.
# PYTHON=/path/to/python chooses the interpreter; otherwise the first Python 3.11-3.13 on the PATH is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
LOCK=requirements.lock
MADE_FROM="requirements.lock pyproject.toml tools/environment.sh tools/make_env.sh"
VERSIONS="3.13 3.12 3.11" WORDS="3.11, 3.12 or 3.13"
CHOSEN=${PYTHON:-} CHOICE=PYTHON
CANDIDATES="python3 python3.13 python3.12 python3.11 python"
ADVICE="Install one (Debian/Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13) or name it: make lab PYTHON=/path/to/python3"
NEEDED_GB=6
DOWNLOAD="about 700 MB of downloads"
. tools/environment.sh

# JupyterLab must not ask about, or fetch, news: the course works offline.
configure_jupyterlab() {
    local settings=$VENV/share/jupyter/lab/settings
    mkdir -p $settings
    echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $settings/overrides.json
}

# A lesson's kernel: oneDNN's convolutions on every processor (segcourse/__init__.py says why).
configure_kernel() {
    $VENV/bin/python -m ipykernel install --sys-prefix --env TF_ENABLE_ONEDNN_OPTS 1 >/dev/null
}

if is_up_to_date; then exit; fi
[ "$(uname -sm)" != "Darwin x86_64" ] || fail "TensorFlow has no packages for Macs with Intel processors any more. Use Linux or a Mac with Apple silicon."
install_locked_packages
echo "Installing this project, editable ..."
pip_install --quiet --no-build-isolation --no-deps --no-index --editable . || explain_pip_failure
configure_jupyterlab
configure_kernel
finish

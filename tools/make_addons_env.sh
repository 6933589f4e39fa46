#!/usr/bin/env bash
# Make or update .venv-addons: TensorFlow Addons and what it needs, the reference of tests/test_addons.py. Takes no time
# when nothing changed. ADDONS_PYTHON=/path/to/python chooses the interpreter; otherwise the first Python 3.9-3.11 on the
# PATH or of pyenv is taken. With --possible it makes nothing, and tells by its exit status whether it could.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-addons
LOCK=requirements-addons.lock
MADE_FROM="requirements-addons.lock tools/environment.sh tools/make_addons_env.sh"
VERSIONS="3.11 3.10 3.9" WORDS="3.9, 3.10 or 3.11"
CHOSEN=${ADDONS_PYTHON:-} CHOICE=ADDONS_PYTHON
CANDIDATES="python3.11 python3.10 python3.9 python3 python $(compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.*/bin/python" || true)"
ADVICE="TensorFlow Addons has packages for no later one. Install one (pyenv install 3.11; macOS: brew install python@3.11) or name it: make addons ADDONS_PYTHON=/path/to/python3.11"
NEEDED_GB=4
DOWNLOAD="about 550 MB of downloads"
. tools/environment.sh

if [ "${1-}" != --possible ] && is_up_to_date; then exit; fi
case $(uname -sm) in
    "Linux x86_64" | "Darwin arm64") ;;
    *) fail "TensorFlow Addons has no packages for $(uname -sm). The tests that compare with it run on Linux x86_64 and on Macs with Apple silicon." ;;
esac
if [ "${1-}" = --possible ]; then find_python >/dev/null; exit; fi
install_locked_packages
finish

#!/usr/bin/env bash
# Make or update .venv: the locked packages and this project, editable. Takes no time when nothing changed.
# PYTHON=/path/to/python chooses the interpreter; otherwise the first Python 3.11-3.13 on the PATH is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/segcourse-environment
LOG=$VENV/pip.log
NEEDED_GB=6
created=no

fail() { echo "error: $*" >&2; exit 1; }

wanted() { pwd; cksum requirements.lock pyproject.toml tools/make_env.sh; }

is_ready() { [ -f $STAMP ] && [ "$(cat $STAMP)" = "$(wanted)" ] && $VENV/bin/python -c "" 2>/dev/null; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

is_supported() { case $(version_of "$1") in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

find_python() {
    local candidate incomplete=
    for candidate in ${PYTHON:+"$PYTHON"} $([ -n "${PYTHON:-}" ] || echo python3 python3.13 python3.12 python3.11 python); do
        is_supported "$candidate" || continue  # also passes over version-manager shims that lead nowhere
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then echo "$candidate"; return; fi
        incomplete=${incomplete:-$(version_of "$candidate")}
    done
    [ -z "$incomplete" ] || fail "Python $incomplete cannot make environments. On Debian/Ubuntu: sudo apt install python$incomplete-venv"
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a working Python 3.11, 3.12 or 3.13."
    fail "No Python 3.11, 3.12 or 3.13 found. Install one (Debian/Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13) or name it: make lab PYTHON=/path/to/python3"
}

check_machine() {
    local free_kb
    [ "$(uname -sm)" != "Darwin x86_64" ] || fail "TensorFlow has no packages for Macs with Intel processors any more. Use Linux or a Mac with Apple silicon."
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge $((NEEDED_GB * 1024 * 1024)) ] || fail "Only $((free_kb / 1024)) MB are free here and the environment needs $NEEDED_GB GB. Free some disk space and try again."
}

can_be_updated() {
    [ "$(head -n 1 $STAMP 2>/dev/null || pwd)" = "$(pwd)" ] && is_supported $VENV/bin/python &&
        $VENV/bin/python -m pip --version >/dev/null 2>&1 &&
        { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of $VENV/bin/python)" ]; }
}

remove_half_made() { [ $created = no ] || { echo "Removing the half-made $VENV." >&2; rm -rf $VENV; }; }

# Runs pip, writes all it says to the log, and shows one line per package.
pip_install() {
    local line count=0 total
    total=$(grep -c == requirements.lock)
    PYTHONUNBUFFERED=1 $VENV/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 |
        tee -a $LOG | while IFS= read -r line; do
            case $line in
                "Collecting "* | "Processing "*.whl*)
                    count=$((count + 1)) line=${line#* } line=${line%% *}
                    echo "  [$count/$total] ${line##*/}" ;;
                "Installing collected"*) echo "  unpacking (a minute or two) ..." ;;
                *"Retrying ("*) echo "  the package index does not answer, trying again ..." ;;
            esac
        done
}

explain_pip_failure() {
    if grep -qE "No space left|Errno 28" $LOG; then
        fail "The disk is full. The environment needs $NEEDED_GB GB; free some space and try again."
    elif grep -qiE "connection|name resolution|timed out|unreachable|proxy|getaddrinfo|nodename" $LOG; then
        fail "No network: pip cannot reach the package index. Check the connection (or proxy) and try again."
    elif grep -q "DO NOT MATCH THE HASHES" $LOG; then
        fail "A download differs from requirements.lock. Empty pip's cache (python3 -m pip cache purge) and try again."
    fi
    fail "pip failed: $(grep -m 1 '^ERROR' $LOG || tail -n 1 $LOG)"
}

# JupyterLab must not ask about, or fetch, news: the course works offline.
configure_jupyterlab() {
    local settings=$VENV/share/jupyter/lab/settings
    mkdir -p $settings
    echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $settings/overrides.json
}

if is_ready && { [ -z "${PYTHON:-}" ] || can_be_updated; }; then exit; fi
trap remove_half_made EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if can_be_updated; then
    rm -f $STAMP
    echo "Updating the environment in $VENV ..."
else
    python=$(find_python)
    check_machine
    echo "Making the environment in $VENV with Python $(version_of "$python") ($(command -v "$python")) ..."
    rm -rf $VENV
    created=yes
    "$python" -m venv $VENV || fail "$python -m venv failed. On Debian/Ubuntu: sudo apt install python$(version_of "$python")-venv"
fi
: > $LOG
echo "Installing $(grep -c == requirements.lock) locked packages (about 700 MB of downloads the first time) ..."
pip_install --require-hashes --no-deps --only-binary :all: --requirement requirements.lock || explain_pip_failure
echo "Installing this project, editable ..."
pip_install --quiet --no-build-isolation --no-deps --no-index --editable . || explain_pip_failure
configure_jupyterlab
wanted > $STAMP
created=no
echo "The environment is ready."

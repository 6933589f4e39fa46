#!/usr/bin/env bash
# Solve pyproject.toml into requirements.lock, and requirements-addons.in into requirements-addons.lock: one file each for
# Linux and macOS (Apple silicon) and all Pythons that are supported, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
solved=$(mktemp)
trap 'rm -f "$solved"' EXIT

# solve SOURCE OLDEST_PYTHON LOCK TITLE [OPTION ...]
solve() {
    local source=$1 python=$2 lock=$3 title=$4 platforms
    shift 4
    echo "Solving the newest versions that $source allows ..."
    uv pip compile "$source" "$@" --upgrade --universal --python-version "$python" --fork-strategy fewest \
        --only-binary :all: --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --quiet --output-file "$solved"

    # uv repeats the supported platforms on every line, and pip would then skip every line on any other machine without a word.
    platforms="((platform_machine == 'arm64' and sys_platform == 'darwin') or sys_platform == 'linux')"
    {
        echo "# $title Made from $source by \`make lock\`; do not edit."
        sed -e "s/ ; python_full_version < '3.14' and $platforms / /" -e "s/ and $platforms / /" \
            -e "s/python_full_version < '3.14' and //" "$solved"
    } > "$lock"
    echo "$lock: $(grep -c == "$lock") packages"
}

solve pyproject.toml 3.11 requirements.lock "The versions that the tests were green with." --all-extras
solve requirements-addons.in 3.9 requirements-addons.lock "TensorFlow Addons and what it needs."

#!/usr/bin/env bash
# Solve pyproject.toml into requirements.lock: one file for Linux and macOS (Apple silicon), Python 3.11-3.13, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
solved=$(mktemp)
trap 'rm -f "$solved"' EXIT
echo "Solving the newest versions that pyproject.toml allows ..."
uv pip compile pyproject.toml --all-extras --upgrade --universal --python-version 3.11 --fork-strategy fewest \
    --only-binary :all: --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    --quiet --output-file "$solved"

# uv repeats the supported platforms on every line, and pip would then skip every line on any other machine without a word.
platforms="((platform_machine == 'arm64' and sys_platform == 'darwin') or sys_platform == 'linux')"
{
    echo "# The versions that the tests were green with. Made from pyproject.toml by \`make lock\`; do not edit."
    sed -e "s/ ; python_full_version < '3.14' and $platforms / /" -e "s/ and $platforms / /" \
        -e "s/python_full_version < '3.14' and //" "$solved"
} > requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages"

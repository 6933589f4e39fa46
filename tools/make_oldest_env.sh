#!/usr/bin/env bash
# Make .venv-oldest with the oldest packages that pyproject.toml allows, to test its lower bounds (needs uv).
# Only what the project names itself is held at its oldest version; what those packages need in turn is solved as usual.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v uv >/dev/null || { echo "tools/make_oldest_env.sh needs uv: python3 -m pip install uv" >&2; exit 1; }
solved=$(mktemp)
trap 'rm -f "$solved"' EXIT
echo "Solving the oldest versions that pyproject.toml allows ..."
uv pip compile pyproject.toml --all-extras --resolution lowest-direct --only-binary :all: --python-version 3.11 \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file "$solved"
echo "Installing $(grep -c == "$solved") packages in .venv-oldest ..."
uv venv --quiet --clear --python 3.11 .venv-oldest
uv pip install --quiet --python .venv-oldest/bin/python --requirement "$solved"
uv pip install --quiet --python .venv-oldest/bin/python --no-build-isolation --no-deps --editable .

# Everything runs in .venv, which `tools/make_env.sh` makes from requirements.lock. PYTHON=... chooses the interpreter.
# Only the reference of tests/test_addons.py has .venv-addons, for an older Python: ADDONS_PYTHON=... chooses that.
PY := .venv/bin/python
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=1200
NBSTRIPOUT := --keep-output --keep-count --keep-id

# Only this environment's Jupyter settings and kernel count; nothing is read from or written to the home directory.
export JUPYTER_CONFIG_DIR := $(CURDIR)/.venv/etc/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/.venv/share/jupyter
export IPYTHONDIR := $(CURDIR)/.venv/etc/ipython
export TF_CPP_MIN_LOG_LEVEL := 3
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help env addons lab test quick lesson export check lock benchmark clean

help: ## show this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

env: ## make or update .venv (all targets that need it do)
	@tools/make_env.sh

addons: ## make or update .venv-addons: TensorFlow Addons, the reference of tests/test_addons.py
	@tools/make_addons_env.sh

lab: env ## open JupyterLab on the first lesson
	@echo "Opening JupyterLab; leave it with Ctrl-C."
	@$(PY) -m jupyterlab --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	    --LabApp.extension_manager=readonly $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb

test: env ## run every test, notebooks included; makes .venv-addons first where it can
	@tools/make_addons_env.sh || echo "Going on without it: tests/test_addons.py will skip."
	@echo "Running the unit tests and every lesson ..."
	@$(PY) -m pytest tests notebooks $(NBVAL) -n 2 --dist loadfile

quick: env ## run the unit tests only
	@echo "Running the unit tests ..."
	@$(PY) -m pytest tests -n 2 --dist loadfile

lesson: env ## execute one lesson and save its outputs: make lesson L=01
	@$(PY) tools/run_lessons.py $(L)

export: env ## write the taught modules of segcourse from the lessons
	@$(PY) tools/export_lessons.py

check: env ## style, modules against lessons, notebooks normalised; changes nothing
	@echo "Checking style ..."
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@echo "Checking the modules against the lessons ..."
	@$(PY) tools/export_lessons.py --check
	@echo "Checking that the notebooks are normalised ..."
	@$(PY) -m nbstripout --verify $(NBSTRIPOUT) notebooks/*.ipynb

lock: ## solve pyproject.toml and requirements-addons.in into their locks (needs uv)
	@tools/make_lock.sh

benchmark: env .venv-benchmark/ready ## time U-Net against PyTorch and the CRF against C++; leave the machine alone
	@$(PY) benchmarks/run.py $(BENCHMARK)
	@$(if $(BENCHMARK),,$(PY) benchmarks/crf.py)

.venv-benchmark/ready: benchmarks/requirements.txt
	@echo "Making .venv-benchmark with PyTorch and pydensecrf2 ..."
	@rm -rf .venv-benchmark
	@$(PY) -m venv .venv-benchmark
	@.venv-benchmark/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

clean: ## remove the environments and all caches
	rm -rf .venv .venv-addons .venv-benchmark .pytest_cache .ruff_cache .hypothesis dist
	find segcourse tests tools notebooks benchmarks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

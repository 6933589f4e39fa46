# Everything runs in .venv, which `tools/make_env.sh` makes from requirements.lock. PYTHON=... chooses the interpreter.
# Only the reference of tests/test_addons.py has .venv-addons, for an older Python: ADDONS_PYTHON=... chooses that.
PY := .venv/bin/python
# Two workers with the groups of tests/conftest.py: one notebook stays on one of them, and the lessons keep the order
# that tools/lesson_budget.py gives them.
WORKERS := -n 2 --dist loadscope --no-loadscope-reorder
EVERYTHING := tests notebooks $(WORKERS) --probes \
    --nbval-lax --nbval-current-env --nbval-cell-timeout=1200
SEGCOURSE_LESSON_MINUTES ?= 30
WITH_ADDONS := tools/make_addons_env.sh || echo "Going on without it: tests/test_addons.py will skip."
NBSTRIPOUT := --keep-output --keep-count --keep-id

# Only this environment's Jupyter settings and kernel count; nothing is read from or written to the home directory.
export JUPYTER_CONFIG_DIR := $(CURDIR)/.venv/etc/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/.venv/share/jupyter
export IPYTHONDIR := $(CURDIR)/.venv/etc/ipython
export TF_CPP_MIN_LOG_LEVEL := 3
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help env addons lab test test-all quick lesson new-lesson measure readme export check lock benchmark delegate-table clean

help: ## show this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

env: ## make or update .venv (all targets that need it do)
	@tools/make_env.sh

addons: ## make or update .venv-addons: TensorFlow Addons, the reference of tests/test_addons.py
	@tools/make_addons_env.sh

lab: env ## open JupyterLab on your own copy of a lesson, in my/: make lab, make lab L=01
	@$(PY) -m segcourse.cli start
	@echo "Opening JupyterLab; leave it with Ctrl-C."
	@$(PY) -m jupyterlab --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	    --LabApp.extension_manager=readonly $(if $(filter 0,$(shell id -u)),--allow-root) my/$(or $(L),00)_*.ipynb

test: env ## run the unit tests, then lessons for SEGCOURSE_LESSON_MINUTES (30): stale ones, then others in turn
	@$(WITH_ADDONS)
	@echo "Running the unit tests, then lessons for $(SEGCOURSE_LESSON_MINUTES) minutes ..."
	@$(PY) -m pytest $(EVERYTHING) --lesson-minutes=$(SEGCOURSE_LESSON_MINUTES)

test-all: env ## run the unit tests and every lesson, however long it takes
	@$(WITH_ADDONS)
	@echo "Running the unit tests and every lesson ..."
	@$(PY) -m pytest $(EVERYTHING)

quick: env ## run the unit tests only
	@echo "Running the unit tests ..."
	@$(PY) -m pytest tests $(WORKERS)

lesson: env ## execute one lesson, save its outputs and its execution record: make lesson L=01
	@$(PY) tools/run_lessons.py $(L)
	@$(PY) tools/write_readme.py

new-lesson: env ## write the skeleton of a lesson, its study and its test: make new-lesson L=08
	@$(PY) tools/new_lesson.py $(L)

measure: env ## print reading minutes, seconds and size of the lessons, and what is over the limits
	@$(PY) tools/measure_lessons.py $(L)

readme: env ## write the table of lessons in README.md
	@$(PY) tools/write_readme.py

export: env ## write the taught modules of segcourse from the lessons
	@$(PY) tools/export_lessons.py

check: env ## style, modules and README against lessons, notebooks normalised; changes nothing
	@echo "Checking style ..."
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@echo "Checking the prose ..."
	@$(PY) tools/check_prose.py
	@echo "Checking the modules against the lessons ..."
	@$(PY) tools/export_lessons.py --check
	@echo "Checking that the notebooks are normalised ..."
	@$(PY) -m nbstripout --verify $(NBSTRIPOUT) notebooks/*.ipynb
	@echo "Checking README's table of lessons ..."
	@$(PY) tools/write_readme.py --check

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

delegate-table: env ## compare inspect with LiteRT's GPU delegate: small forms, and every network at six sizes
	@$(PY) tools/delegate_table.py $(T)

clean: ## remove the environments and all caches
	rm -rf .venv .venv-addons .venv-benchmark .venv-oldest .pytest_cache .ruff_cache .hypothesis dist
	find segcourse tests tools notebooks benchmarks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

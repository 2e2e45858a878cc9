# Every target sets up what it needs by itself: a .venv in the checkout (see docs/install.md).
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help env lint format test demo bench torture gallery clean distclean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20
	@echo 'Variables: PYTHON=…  MMCV_OPS=1  TORCH="torch==… [pip options]"  CVT_IO_CACHE=…  ARGS="…" (for pytest, demo, bench, torture, gallery)'

env: ## make or update the environment in .venv
	@bash tools/misc/setup_env.sh

lint: env ## code style, types, docstring coverage and spelling
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m interrogate --quiet projects/CVT_IO tools
	$(PY) -m codespell_lib

format: env ## apply the code style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Two processes of one thread on every machine: sums in one order, and the two cores of a small CI machine used.
test: export OMP_NUM_THREADS = 1
test: export PYTHONHASHSEED = 0
test: export MPLBACKEND = Agg
test: env ## all tests
	$(PY) -m pytest -q -n 2 --dist loadfile $(ARGS)

demo: env ## train a small model on a toy world, test it on unseen scenes, draw it
	$(PY) tools/misc/toy_demo.py $(ARGS)

bench: env ## benchmark speed and memory, as in docs/speed.md
	$(PY) tools/analysis_tools/benchmark_targets.py $(ARGS)

torture: export OMP_NUM_THREADS = 1
torture: export PYTHONHASHSEED = 0
torture: export MPLBACKEND = Agg
torture: env ## the slow tests: kills, damaged and hostile files, long runs (see docs/reliability.md)
	$(PY) -m pytest -m slow $(ARGS)

gallery: env ## regenerate the documents' pictures from the published toy weights
	$(PY) tools/misc/gallery.py $(ARGS)

clean: ## remove the tools' caches
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove the environment too (the mmcv wheel stays in its cache)
	rm -rf .venv

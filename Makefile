# `make train` and `make test` install what they need, on a fresh machine too. Training needs fewer packages than the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MINOR := $(shell $(PYTHON) -c 'import sys; print(sys.version_info.minor)')
CONSTRAINTS := constraints/python3.$(if $(filter 11,$(MINOR)),11,12).txt
FLAGS ?=

.PHONY: accelerator-rehearsal train test test-slow test-optimized test-long test-browser test-notebooks lint format docs docs-serve docs-data package clean

train: $(VENV)/ready-train
	$(BIN)/python -m gan_jax train dcgan_mnist $(FLAGS)

test: $(VENV)/ready
	$(BIN)/python -m pytest -m "not long and not slow" $(FLAGS)

test-slow: $(VENV)/ready
	$(BIN)/python -m pytest -m "slow and not long" $(FLAGS)

# The tests compile with few optimisations, to save time. Users run optimised programs, so this part of the tests does, too.
test-optimized: $(VENV)/ready
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(BIN)/python -m pytest -m "not long and not slow" tests/gan tests/losses tests/penalties tests/transforms $(FLAGS)

test-long: $(VENV)/ready
	$(BIN)/python -m pytest -m long -n 0 $(FLAGS)

# The theatre and the reports in a chromium, which must be installed.
test-browser: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 0 -m "not long and not slow" tests/theatre/test_browser.py tests/report/test_pages.py $(FLAGS)

# The notebooks of docs/notebooks, at small size in a real kernel.
test-notebooks: $(VENV)/ready-notebooks
	$(BIN)/python -m pytest tests/docs/test_notebooks.py $(FLAGS)

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The script for an accelerator at toy size on the CPU, with exactly the packages that the accelerator's machine has.
REHEARSAL := .venv-accelerator
accelerator-rehearsal: $(REHEARSAL)/ready
	rm -rf runs/rehearsal
	JAX_PLATFORMS=cpu JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
	  $(REHEARSAL)/bin/python experiments/benchmarks/accelerator.py --rehearsal --minutes 3.8 \
	  --out runs/rehearsal --work runs/rehearsal/work

$(REHEARSAL)/ready: constraints/accelerator.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 12) else "the rehearsal needs Python 3.12; set PYTHON=python3.12, say")'
	test -d $(REHEARSAL) || $(PYTHON) -m venv $(REHEARSAL)
	$(REHEARSAL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints/accelerator.txt
	touch $@

docs: $(VENV)/ready-docs
	$(BIN)/python -m mkdocs build --strict $(FLAGS)

docs-serve: $(VENV)/ready-docs
	$(BIN)/python -m mkdocs serve $(FLAGS)

docs-data: $(VENV)/ready
	$(BIN)/python -m docs._generate.pages $(FLAGS)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gan_jax needs Python 3.11 or later; set PYTHON=python3.12, say")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)

$(VENV)/ready-train: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@test -f $(VENV)/ready || echo "installing gan_jax with JAX and Flax into $(VENV): once, about 750 MB on disk"
	@test -f $(VENV)/ready || $(PIP) -c $(CONSTRAINTS) --editable '.[train,export]'
	@touch $@

$(VENV)/ready: requirements.txt pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "installing what the tests need into $(VENV): once"
	@$(PIP) -c $(CONSTRAINTS) -r requirements.txt
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@$(PIP) -c $(CONSTRAINTS) -r requirements-dev.txt
	@touch $@

$(VENV)/ready-docs: $(VENV)/ready requirements-docs.txt
	@$(PIP) -c $(CONSTRAINTS) -r requirements-docs.txt
	@touch $@

$(VENV)/ready-notebooks: $(VENV)/ready requirements-notebooks.txt
	@$(PIP) -c $(CONSTRAINTS) -r requirements-notebooks.txt
	@touch $@

# Builds the wheel and the source distribution in dist/.
package: $(VENV)/ready
	$(PIP) build twine
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist *.egg-info

# `make demo` and `make test` set everything up by themselves, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
# Small networks run fastest on one thread a process; the tests use two processes.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q

.PHONY: demo test test-slow check docs clean

demo: $(VENV)/.package
	$(BIN)/darts-mim demo

test: $(VENV)/.dev
	$(TEST)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow --durations=5

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev
	$(BIN)/python docs/build.py

clean:
	rm -rf $(VENV) out

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing darts-mim and what it needs (a few minutes the first time) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.package
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) -e ".[dev]"
	@touch $@

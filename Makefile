# On a fresh machine with Python and make: `make run` runs the main job, `make test` runs all tests.
PYTHON ?= python3
VENV ?= .venv
RUN_ARGS ?=
# Tests run side by side; PYTEST_ARGS="-n 0 -x -k retry" takes some of them one after the other.
PYTEST_ARGS ?= -n auto
# make bench ONLY=wide,chain-cluster SCALE=0.1 ROUNDS=3 measures less.
ONLY ?=
SCALE ?= 1
ROUNDS ?= 5
# make chaos HOURS=1 SEED=7 begins with that seed.
HOURS ?= 0.1
SEED ?=

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.DEFAULT_GOAL := help
.PHONY: help run test check chaos bench bench-million bench-growth bench-peers profile cost record-cost pictures clean

help:
	@echo "make run    install into $(VENV) and take a census of the Python source on this machine"
	@echo "make test   install into $(VENV) and run all tests"
	@echo "make check  lint, types, direction of imports, examples in docstrings and README"
	@echo "make chaos  flow runs whose processes die, by seeds, for HOURS=0.1; a failure prints its SEED"
	@echo "make bench  what a task costs beside raw Dask, as a table; ONLY=wide SCALE=0.1 ROUNDS=3 for less"
	@echo "make bench-million, bench-growth, cost, record-cost, profile: see docs/benchmarks.md"
	@echo "make pictures  draw the pictures on the pages anew"
	@echo "make bench-peers  the same work in other workflow systems; installs them into .venv-peers"
	@echo "make clean  remove what the others made"
	@echo "PYTHON=python3.12 chooses an interpreter (3.10 or newer) for a new $(VENV)"

run: $(VENV)/installed
	$(BIN)/python examples/census.py $(RUN_ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# A page of the docs is one program: its examples stay with one process.
check: $(VENV)/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/house README.md docs $(PYTEST_ARGS) --dist loadfile

chaos: $(VENV)/installed-dev
	$(BIN)/python -m tests.chaos --hours $(HOURS) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks --only "$(ONLY)" --scale $(SCALE) --rounds $(ROUNDS)

bench-million: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks --only million --scale $(SCALE) --json bench-million.json

bench-growth: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.growth --scale $(SCALE)

profile: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.hot_path --scale $(SCALE)

cost: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.cost --instructions

record-cost: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.cost --record

pictures: $(VENV)/installed-dev

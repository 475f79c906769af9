# On a fresh machine with Python and make: `make run` runs the main job, `make test` runs all tests.
PYTHON ?= python3
VENV ?= .venv
RUN_ARGS ?=
# Tests run side by side; PYTEST_ARGS="-n 0 -x -k retry" takes some of them one after the other.
PYTEST_ARGS ?= -n auto --dist worksteal
# make bench ONLY=wide,chain-cluster SCALE=0.1 ROUNDS=3 measures less.
ONLY ?=
SCALE ?= 1
ROUNDS ?= 5
# make chaos HOURS=1 SEED=7 begins with that seed.
HOURS ?= 0.1
SEED ?=
# make random-flows TIMES=20 SEED=7 tries 20 times as many as the tests do, and others than with another seed.
TIMES ?= 10

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.DEFAULT_GOAL := help
.PHONY: help run test check chaos random-flows bench bench-million bench-growth bench-peers profile cost record-cost pictures clean

help:
	@echo "make run    install into $(VENV) and take a census of the Python source on this machine"
	@echo "make test   install into $(VENV) and run all tests"
	@echo "make check  lint, types, direction of imports, examples in docstrings and README"
	@echo "make chaos  flow runs whose processes die, by seeds, for HOURS=0.1; a failure prints its SEED"
	@echo "make random-flows  hold many random flows against an oracle, on every executor; TIMES=10 SEED=7"
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

random-flows: $(VENV)/installed-dev
	RANDOM_FLOWS_TIMES=$(TIMES) $(if $(SEED),RANDOM_FLOWS_SEED=$(SEED)) \
		$(BIN)/python -m pytest $(PYTEST_ARGS) tests/contracts/test_random_flows.py

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
	PREFECT_DASK_WRITE_PICTURES=1 $(BIN)/python -m pytest -q -n 0 tests/pictures/test_pages.py
	PREFECT_DASK_TESTS_PICTURES=docs/pictures $(BIN)/python -m pytest -q -n 0 tests/animation/test_page.py tests/dashboard/test_page.py tests/notebook/test_jupyterlab.py tests/examples/test_five_minutes.py

bench-peers: $(VENV)/installed
	$(BIN)/python -m benchmarks.peers $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .venv-peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An install is repeated when what it was made from has changed.
$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install -q -e ".[terminal]"
	@touch $@

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install -q -e ".[dev]"
	@touch $@ $(VENV)/installed

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)

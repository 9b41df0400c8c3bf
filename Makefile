# Every target makes the environment it needs; `make` alone lists them.

VENV    := .venv
BIN     := $(VENV)/bin
PYTEST  := $(BIN)/python -m pytest
# Processes that run tests; each has a PostgreSQL of its own.
WORKERS ?= 2
# More options for pytest and for the bench, e.g. make unit ARGS='-k fuse'.
ARGS    ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test unit integration acceptance functional conformance dbt-matrix test-matrix lint format \
	bench bench-dbt fuzz mutation lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## create .venv with the pinned tools and this project
	@VENV=$(VENV) sh scripts/setup.sh

demo: setup ## TPC-H in a private PostgreSQL, dbt build, a daemon beside a writer, every table verified
	$(BIN)/trickle-runtime demo $(ARGS)

test: setup ## all tests on a private PostgreSQL 18
	@failed=0; \
	$(PYTEST) -n $(WORKERS) $(ARGS) || failed=1; \
	$(MAKE) --no-print-directory functional || failed=1; \
	exit $$failed

unit: setup ## tests that need no database
	$(PYTEST) tests/unit $(ARGS)

integration: setup ## tests that need PostgreSQL
	$(PYTEST) tests/integration -n $(WORKERS) $(ARGS)

acceptance: setup ## the command line and the daemon as real processes
	$(PYTEST) tests/acceptance $(ARGS)

# Apart from the others: dbt's fixtures must be loaded as a plugin before collection. The tests of
# one class share a dbt project and run in order.
functional: setup ## our materialization in dbt, and the fast part of dbt's conformance suite
	$(PYTEST) -p dbt.tests.fixtures.project tests/functional -m 'not slow' -n $(WORKERS) --dist loadscope $(ARGS)

conformance: setup ## all of dbt's conformance suite and the slow tests, with counts (most of an hour)
	$(PYTEST) -p dbt.tests.fixtures.project tests/functional -n $(WORKERS) --dist loadscope --counts $(ARGS)

dbt-matrix: setup ## a core of the functional tests on dbt-core 1.10, 1.11 and 1.12
	$(BIN)/python scripts/test_dbt_versions.py 1.10 1.11 1.12 -- -n $(WORKERS) --dist loadscope $(ARGS)

test-matrix: setup ## integration tests on PostgreSQL 15, 16, 17 and 18 (needs npm)
	$(BIN)/python scripts/test_matrix.py 15 16 17 18 -- -n $(WORKERS) $(ARGS)

lint: setup ## ruff, basedpyright strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache

format: setup ## format and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup ## measure refreshes and capture; see docs/BENCHMARK.md
	$(BIN)/trickle-runtime bench $(ARGS)

# The same seed gives the same queries and histories; MINUTES only says how many of them.
MINUTES ?= 10
SEED    ?= 1
fuzz: setup ## random queries through random histories against PostgreSQL; see CONTRIBUTING.md
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) --seed $(SEED) --workers $(WORKERS) $(ARGS)

mutation: setup ## wrong texts in a copy of the compiler; the operator cases must fail by each (half an hour)
	$(BIN)/python scripts/mutation_check.py $(ARGS)

bench-dbt: setup ## dbt run over 100 unchanged stream tables beside the same project as views
	$(BIN)/python scripts/bench_dbt.py $(ARGS)

lock: setup ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --extra demo --universal --python-version 3.10 \
		--custom-compile-command 'make lock' --no-emit-index-url --upgrade --quiet --output-file requirements.lock

clean: ## remove .venv and all caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist

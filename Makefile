# Needs Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv takes a seventh of pip's time; it is told of the mirror and the certificates that pip would use.
UV_ENV := UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}" UV_SYSTEM_CERTS=1
UV := $(UV_ENV) $(BIN)/uv --quiet
INSTALL := $(UV) pip install --python $(BIN)/python --require-hashes --compile-bytecode -r
SETUP := $(VENV)/.runtime
DEV := $(VENV)/.dev
CLICKHOUSE := $(VENV)/.clickhouse
DLT := $(VENV)/dlt
S3 := $(VENV)/s3
# The tests wait for other processes more than they compute: more of them than cores.
WORKERS ?= 3
# Containers tend to set it: every one of the hundreds of processes that tests start would compile all it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test test-more test-nightly faults faults-long check format bench lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: $(SETUP) ## Run the quickstart: three sources, one sample webhook each; Ctrl-C stops
	@exec $(BIN)/hookmill dev examples/quickstart --samples

test: $(DEV) ## Run the tests, with a real Kafka that they start themselves
	$(BIN)/python -m pytest -m "not (kills or deploy or s3 or columnar or clickhouse or nightly or faults or faults_long)" -n $(WORKERS) --dist loadfile

test-more: $(CLICKHOUSE) $(S3)/.installed ## Run the tests that kill processes, need Prometheus, S3, DuckDB, Parquet or ClickHouse, 600 MB to install
	$(BIN)/python -m pytest -m "(kills or deploy or s3 or columnar or clickhouse) and not nightly" -n $(WORKERS) --dist loadgroup

test-nightly: $(CLICKHOUSE) $(S3)/.installed ## Run the long trials: 200 kills of a writing process and the like
	$(BIN)/python -m pytest -m nightly

faults: $(DEV) ## Run the fault trials in short: kills, freezes, restarts, outages; prints the figure of each row
	$(BIN)/python -m pytest -m "faults and not quiet" -rP -n $(WORKERS) --maxschedchunk 1 tests/faults
	$(BIN)/python -m pytest -m "faults and quiet" -rP -n 2 --maxschedchunk 1 tests/faults

faults-long: $(DEV) ## Run the fault trials in full, for hours
	$(BIN)/python -m pytest -m faults_long -rP tests/faults

check: $(DEV) ## Lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) $(DLT)/.installed ## Measure this machine: receiver, runners, function stage, end to end
	$(BIN)/python -m bench

lock: $(DEV) ## Resolve the dependencies anew into requirements/
	$(BIN)/python requirements/lock.py

clean: ## Remove what the other targets made, data of the quickstart included
	rm -rf $(VENV) requirements/npm/node_modules examples/quickstart/.hookmill .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(SETUP): requirements/uv.txt requirements/runtime.txt requirements/node.txt pyproject.toml
	@echo "Setting up $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/uv.txt
	@$(INSTALL) requirements/runtime.txt
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	@node --version 2>/dev/null | grep -Eq '^v(2[0-9]|[3-9][0-9])\.' || $(INSTALL) requirements/node.txt
	@touch $@

$(DEV): $(SETUP) requirements/dev.txt requirements/java.txt requirements/npm/package-lock.json
	@$(INSTALL) requirements/dev.txt
	@java -version 2>&1 | grep -Eq 'version "(1[7-9]|[2-9][0-9])' || $(INSTALL) requirements/java.txt
	@command -v npm >/dev/null || $(INSTALL) requirements/node.txt
	@$(BIN)/python requirements/npm/run.py ci --silent --no-audit --no-fund
	@touch $@

$(DLT)/.installed: requirements/dlt.txt | $(SETUP)
	@$(UV) venv --clear --python $(BIN)/python $(DLT)
	@$(UV) pip install --python $(DLT)/bin/python --require-hashes -r requirements/dlt.txt
	@touch $@

$(CLICKHOUSE): $(DEV) requirements/clickhouse.txt
	@$(INSTALL) requirements/clickhouse.txt
	@touch $@

$(S3)/.installed: requirements/s3.txt | $(SETUP)
	@$(UV) venv --clear --python $(BIN)/python $(S3)
	@$(UV) pip install --python $(S3)/bin/python --require-hashes -r requirements/s3.txt
	@touch $@

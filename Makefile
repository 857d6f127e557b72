# Two commands do all the set-up: `make demo` and `make test`. Both need Python 3.11 or newer and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock

# What `make simulate` plays: so many histories, from this one on, in so many processes.
SEEDS ?= 1000
START ?= 0
JOBS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types contracts generated unit cluster simulate bench lock manifests clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# Two environments in one folder: the demo installs what running needs, the tests install the rest on top.
$(VENV)/.runtime: pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Prograde needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable '.[sandbox]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.runtime  ## a canary, a broken version, an abort and an undo on the embedded cluster
	@$(BIN)/prograde demo

test: unit cluster  ## every test

unit: $(VENV)/.dev  ## the quick tests: no sockets beyond loopback helpers, no subprocesses
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not cluster'

cluster: $(VENV)/.dev  ## the tests against the embedded cluster over HTTP, with real kubectl
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m cluster

simulate: $(VENV)/.dev  ## random histories of Rollouts, users and accidents: SEEDS=1000 START=0 JOBS=1
	$(BIN)/python -m prograde.simulator --seeds $(SEEDS) --start $(START) --jobs $(JOBS) --keep-going

check: lint types contracts generated  ## everything that guards quality beside the tests

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy

contracts: $(VENV)/.dev  ## the order of dependencies
	$(BIN)/lint-imports

generated: $(VENV)/.dev  ## generated files are up to date
	$(BIN)/python -m prograde.api.crd --check manifests/crds

manifests: $(VENV)/.dev  ## write the generated files
	$(BIN)/python -m prograde.api.crd manifests/crds
	{ echo '# Made from manifests/ by `make manifests`.'; $(BIN)/kubectl kustomize manifests; } > manifests/install.yaml
	{ echo '# Made from manifests/namespace-install/ by `make manifests`.'; $(BIN)/kubectl kustomize manifests/namespace-install; } > manifests/namespace-install.yaml

bench: $(VENV)/.dev  ## print the numbers of bench/
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lock: $(VENV)/.dev  ## pin what is installed for development
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-emit-index-url --no-header pyproject.toml --output-file $(LOCK)

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

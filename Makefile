# Two commands: `make run` trains a network on the default defective chip, `make test` checks everything.
# Each sets up what it needs (virtual environment, build, libngspice) and re-uses it the next time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
SOURCES := setup.py pyproject.toml $(wildcard cython_ext/*.pyx cython_ext/*.pxd)
# badcrossbar needs pycairo, which has no wheel, for its plots only: install it without its dependencies.
BADCROSSBAR := badcrossbar==1.1.0 pathvalidate sigfig

.PHONY: help run test lint clean ngspice
help:
	@echo "make run    train on the default chip (OUT=folder chooses where)"
	@echo "make test   lint, types and the whole test suite"
	@echo "make lint   lint and types only"
	@echo "make clean  remove the virtual environment and everything built"

.venv/pip.stamp:
	@test -n "$(PYTHON)" || { echo "circuitmem needs Python 3.11 or newer: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "cannot make a virtual environment: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install -q --upgrade pip && touch $@

.venv/build.stamp: .venv/pip.stamp $(SOURCES)
	$(BIN)/pip install -q -e .
	@touch $@

.venv/test.stamp: .venv/build.stamp
	$(BIN)/pip install -q -e ".[test,lint]"
	$(BIN)/pip install -q --no-deps $(BADCROSSBAR)
	@touch $@

# Without ngspice everything but the SPICE engine works, so its absence is said and does not stop the run.
ngspice:
	@if ldconfig -p 2>/dev/null | grep -q libngspice && command -v ngspice >/dev/null; then exit 0; fi; \
	if command -v apt-get >/dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=no; fi; \
	  if [ "$$sudo" != no ]; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { $$sudo apt-get update -qq && $$sudo apt-get install -y -qq libngspice0 ngspice; } >/dev/null 2>&1 && exit 0; \
	  fi; \
	fi; \
	echo "ngspice is not installed (apt-get install libngspice0 ngspice): going on without the SPICE engine and audits"

run: .venv/build.stamp ngspice
	$(BIN)/circuitmem train --out $(OUT)

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ngspice
	$(BIN)/python -m pytest

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find circuitmem -name '*.so' -delete
	rm -f cython_ext/*.c

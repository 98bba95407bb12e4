# Two commands: `make run` trains a network on the default defective chip, `make test` checks everything.
# Each sets up what it needs (virtual environment, build, libngspice) and re-uses it the next time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
ifndef PYTHON
PYTHON := $(shell for p in $(CANDIDATES); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
endif
BIN := .venv/bin
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
# Tests at a time. Each may take two threads for some moments, and a GiB.
WORKERS ?= 2
# Of make coverage.
TESTS ?= tests
SOURCES := setup.py pyproject.toml $(wildcard cython_ext/*/*.pyx cython_ext/*/*.pxd)
# badcrossbar declares pycairo, which has no wheel and needs the headers of cairo, but uses it for its plots only:
# it is installed without its dependencies, and beside it the two that its computations need.
BADCROSSBAR := badcrossbar==1.1.0 pathvalidate==3.3.1 sigfig==1.4.0
# The CPU build by its name, for the build that "torch" means elsewhere takes gigabytes: the extra of that name is left
# out of what the tests install.
TORCH := torch==2.13.0+cpu

.PHONY: help run test coverage lint wheel docs bench margins sanitize clean system
help:
	@echo "make run    train on the default chip, into a new folder runs/DATE (OUT=folder chooses another)"
	@echo "make test   ruff, mypy and the whole test suite, WORKERS=2 tests at a time"
	@echo "make coverage  say which lines no test runs, and whether they are more than in tests/uncovered.json; TESTS=tests of all"
	@echo "make lint   ruff and mypy only"
	@echo "make wheel  build the package, install it outside the checkout and use it there"
	@echo "make docs   build the site into build/docs; its notebooks run, and a warning is an error"
	@echo "make bench  measure the kernels against their rivals, into benchmarks/results"
	@echo "make sanitize  run tests of the kernels under AddressSanitizer and ThreadSanitizer (6 minutes)"
	@echo "make margins  say how much of every tolerance the tests use, on every variant of this machine (VARIANTS=... for some)"
	@echo "make clean  remove the virtual environment and everything built"
	@echo "PYTHON=path chooses the interpreter, 3.11 or newer"

# What pip cannot install. Looked at on each call, because it may have come or gone; fast if nothing is missing.
system:
	@test -n "$(PYTHON)" || { echo "circuitmem needs Python 3.11 or newer, and none of $(CANDIDATES) is:" \
		"apt-get install python3 python3-venv, or make PYTHON=path"; exit 1; }
	@.ci/system-packages "$(PYTHON)"

.venv/venv.stamp: | system
	@echo "== virtual environment .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/build.stamp: .venv/venv.stamp $(SOURCES)
	@echo "== install circuitmem and build its kernels"
	@$(BIN)/python -m pip install -q -e .
	@$(BIN)/python -m circuitmem doctor
	@touch $@

# The extras by themselves: to install them as .[test,lint,...] would build the kernels once more.
.venv/test.stamp: .venv/build.stamp pyproject.toml
	@echo "== install the tools of the tests"
	@$(BIN)/python -c 'import tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		extras = extras["optional-dependencies"]; \
		[extras.pop(name, None) for name in ("bench", "torch")]; \
		print(*(line for lines in extras.values() for line in lines), sep="\n")' > .venv/test-requirements.txt
	@$(BIN)/python -m pip install -q -r .venv/test-requirements.txt
	@$(BIN)/python -m pip install -q --no-deps $(BADCROSSBAR)
	@$(BIN)/python -m pip install -q $(TORCH) || echo "$(TORCH) cannot be had here: the tests of circuitmem.torch are skipped"
	@.ci/browser-packages
	@touch $@

run: system .venv/build.stamp
	@$(BIN)/python -m circuitmem train --out $(OUT)

lint: system .venv/test.stamp
	@echo "== ruff check"
	@$(BIN)/python -m ruff check .
	@echo "== ruff format"
	@$(BIN)/python -m ruff format --check .
	@echo "== repeats"
	@$(BIN)/python .ci/repeats --limit 19
	@echo "== mypy"
	@$(BIN)/python .ci/check_types.py

test: lint
	@echo "== pytest"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

coverage: system .venv/test.stamp
	@echo "== pytest, and which lines it runs"
	@rm -rf build/coverage
	@mkdir -p build/coverage
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report= $(TESTS)
	@$(BIN)/python -m coverage report > build/coverage/report.txt
	@$(BIN)/python -m coverage json -q -o build/coverage/report.json
	@test "$(TESTS)" != tests || $(BIN)/python .ci/uncovered.py
	@tail -n 1 build/coverage/report.txt

wheel: system .venv/test.stamp
	@echo "== the built package, outside the checkout"
	@.ci/wheel

docs: system .venv/test.stamp
	@echo "== the site"
	@$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs build/docs
	@found=$$(grep -rlE '<(script|link|img)[^>]+(src|href)="(https?:)?//' --include='*.html' build/docs); \
		test -z "$$found" || { echo "pages that load something from elsewhere:" $$found; exit 1; }

bench: system .venv/test.stamp
	@mkdir -p build
	@echo "== rivals: CHOLMOD and KLU, from apt and pip where they can be had; the table names what is missing"
	@ldconfig -p | grep -q libcholmod || apt-get install -y -q libsuitesparse-dev > build/bench-apt.log 2>&1 || true
	@$(BIN)/python -c 'import sksparse' 2> /dev/null || \
		$(BIN)/python -m pip install -q 'scikit-sparse<0.5' > build/bench-pip.log 2>&1 || true
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/kernels.py
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/stacks.py
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/epoch.py
	@$(BIN)/python benchmarks/waiting.py
	@$(BIN)/python benchmarks/precision.py
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/layers.py
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/scale.py
	@$(BIN)/python benchmarks/reuse.py
	@$(BIN)/python benchmarks/scheduler.py
	@$(BIN)/python benchmarks/spice.py
	@$(BIN)/python benchmarks/nonlinear.py
	@$(BIN)/python benchmarks/trains.py
	@$(BIN)/python benchmarks/ode_epochs.py

margins: system .venv/test.stamp
	@$(BIN)/python .ci/margins $(VARIANTS)

sanitize: system .venv/venv.stamp
	@.ci/sanitize $(abspath $(BIN)/python)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find circuitmem -name '*.so' -delete
	rm -f cython_ext/*.c cython_ext/*/*.c

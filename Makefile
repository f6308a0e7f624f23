# SPDX-License-Identifier: Apache-2.0
# Every target sets itself up: all it takes is make and Python 3.11 or newer.
PYTHON  ?= python3
VENV    ?= .venv
ADAPTER ?= fallback
REPORT  ?= demo-report

PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-compare test lint format bench bench-tail clean

help:
	@echo "make demo [ADAPTER=fallback|livekit|none]  a spoken call whose providers die, live"
	@echo "make demo-compare                          the same call with all three, side by side"
	@echo "make test                                  unit and integration tests"
	@echo "make lint                                  ruff, mypy and the import contracts"
	@echo "make format                                let ruff rewrite the code"
	@echo "make bench                                 what the adapters add to a direct call"
	@echo "make bench-tail                            what hedging does to the tail, and its cost"
	@echo "make clean                                 remove the environment, caches and reports"
	@echo "Another interpreter: make test PYTHON=python3.12 VENV=.venv312"

demo: $(VENV)/.installed-demo
	@$(PY) -m examples.demo --adapter $(ADAPTER) --out $(REPORT)

demo-compare: $(VENV)/.installed-demo
	@$(PY) -m examples.demo.compare --out $(REPORT)

test: $(VENV)/.installed-test
	$(PY) -m pytest -m unit -n auto
	$(PY) -m pytest -m integration

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.installed-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.installed-core
	@$(PY) -m benchmarks.overhead

bench-tail: $(VENV)/.installed-demo
	@$(PY) -m benchmarks.tail --plot docs/images/tail.png

clean:
	rm -rf $(VENV) $(REPORT) build dist htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed-core: pyproject.toml | $(VENV)/.made
	@echo "installing the package into $(VENV) ..."
	@$(PY) -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.made
	@echo "installing the package and what its $* needs into $(VENV) ..."
	@$(PY) -m pip install --quiet --editable ".[$*]"
	@touch $@

# The mark is written last: an environment that was interrupted half-way is made anew.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "livekit-fallback needs Python 3.11 or newer, and there is no '$(PYTHON)'" \
		     "(choose another with PYTHON=...)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "livekit-fallback needs Python 3.11 or newer, '$(PYTHON)' is" \
		     "$$($(PYTHON) -V 2>&1) (choose another with PYTHON=...)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments: install its venv module" \
		     "(Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

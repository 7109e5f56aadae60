# Each verb brings what it needs, starting from python3 alone: tools/bootstrap.py makes .venv
# once, with the versions of uv.lock, and again only when pyproject.toml or uv.lock changes.

PYTHON ?= python3
# Two workers are enough to meet every race between workers, and fit the smallest CI machine.
WORKERS ?= 2
# More words for pytest: make test ARGS="tests/core -x"
ARGS ?=

BIN := .venv/bin
# As in tools/bootstrap.py: hundreds of Pythons start, and each would compile what it imports.
COMPILE := $(BIN)/python -m compileall -q src examples
PYTEST := $(BIN)/pytest --numprocesses=$(WORKERS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-all chaos lint format bench docs clean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1 /p' Makefile | while read -r verb what; do \
		printf '  make %-10s %s\n' "$$verb" "$$what"; done

demo: .venv/.ready-dev ## see it work: the shop's tests under two workers on a server of their own
	@$(COMPILE)
	$(BIN)/freshpg demo

test: .venv/.ready-dev ## every test but the slow ones, examples included
	@$(COMPILE)
	$(PYTEST) $(ARGS)

test-all: .venv/.ready-dev ## every test, the slow and the destructive ones too
	@$(COMPILE)
	$(PYTEST) -m "" $(ARGS)

chaos: .venv/.ready-dev ## only what kills, freezes and starves freshpg
	$(PYTEST) -m chaos $(ARGS)

lint: .venv/.ready-dev ## style, types, layers, changelog fragments
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_changes.py

format: .venv/.ready-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/.ready-bench ## measure, against peers and the raw server
	$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/.ready-docs ## build docs/_build/html, every warning an error
	$(BIN)/sphinx-build -W -n --keep-going -b html docs docs/_build/html

clean: ## remove .venv, caches and everything built
	rm -rf .venv build dist docs/_build htmlcov .coverage .mypy_cache .ruff_cache \
		.pytest_cache .hypothesis .import_linter_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.ready-%: pyproject.toml uv.lock tools/bootstrap.py
	$(PYTHON) tools/bootstrap.py $*
	@touch $@

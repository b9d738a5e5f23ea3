# The project's commands. Each installs what it needs first: see `make help`.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo scale-demo test test-compose chaos bench up down dump check fix system

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: $(VENV)/run.txt system ## start everything locally, send tasks, show what comes, stop it all
	@$(VENV)/bin/python -m sandbox demo

scale-demo: $(VENV)/run.txt system ## drain a backlog with 1, then 2, then 4 replicas, and show it live
	@$(VENV)/bin/python -m sandbox scale-demo

test: $(VENV)/dev.txt ## run the whole test-suite on real Kafka and PostgreSQL
	@sandbox/install.sh tests
	@$(VENV)/bin/python -m pytest

test-compose: $(VENV)/dev.txt ## run the tests of the containers; they need Docker
	@$(VENV)/bin/python -m pytest tests/compose

chaos: $(VENV)/dev.txt system ## play faults, drawn from SEED= for TASKS=, and judge every promise
	@$(VENV)/bin/python -m tests.system.chaos --settle-seconds-max 15 \
		$(if $(SEED),--seed $(SEED)) $(if $(TASKS),--tasks $(TASKS))

bench: $(VENV)/dev.txt system ## measure it beside what a user would pick instead (half an hour)
	@$(VENV)/bin/python -m bench

up: $(VENV)/run.txt system ## start the same stack, leave it running, send a first task, print the links
	@$(VENV)/bin/python -m sandbox up

down: $(VENV)/run.txt ## stop what `make up` left running
	@$(VENV)/bin/python -m sandbox down

dump: $(VENV)/run.txt system ## write dump.sql out of a real run
	@$(VENV)/bin/python -m sandbox dump

check: $(VENV)/dev.txt ## check formatting, lint and types
	@$(VENV)/bin/ruff format --check --quiet . || { echo "make fix mends the formatting"; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy --no-error-summary

fix: $(VENV)/dev.txt ## mend what can be mended
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format --quiet .

system:
	@sandbox/install.sh

# A stamp is written last: an installation that was interrupted is not taken for a whole one.
$(VENV)/run.txt: requirements.txt | $(VENV)/bin/pip
	@echo "Installing Python packages (the first time only)"
	@$(PIP) -r requirements.txt
	@cp requirements.txt $@

$(VENV)/dev.txt: requirements-dev.txt requirements.txt | $(VENV)/bin/pip
	@echo "Installing Python packages for the tests (the first time only)"
	@$(PIP) -r requirements-dev.txt
	@cp requirements-dev.txt $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed; name one: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sandbox/install.sh python3-venv
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

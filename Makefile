# The project's commands. Each installs what it needs first: see `make help`.

PYTHON ?= python3
VENV := .venv
PIP := [ -t 1 ] || export PIP_QUIET=1; $(VENV)/bin/python -m pip install --disable-pip-version-check --require-hashes

# The locks are valid for both architectures and for every Python from 3.11 on. They allow only wheels, because a source
# distribution would be built with packages that have no hash.
TOOLS := $(VENV)/tools
IMAGES := gateway processor sandbox
IMAGES_PYTHON := 3.13
LOCK := $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--only-binary :all: --emit-build-options --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help demo scale-demo test test-compose chaos fuzz bench up down dump screenshots recordings check fix lock sbom audit system

help: ## list the commands
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it

up: $(VENV)/run.txt system ## start everything locally, send a first task, print links, leave it all running
	@$(VENV)/bin/python -m sandbox up

down: $(VENV)/run.txt ## stop what `make up` left running
	@$(VENV)/bin/python -m sandbox down

demo: $(VENV)/run.txt system ## start everything locally, send tasks, show their results, stop everything
	@$(VENV)/bin/python -m sandbox demo

scale-demo: $(VENV)/run.txt system ## work through a backlog with 1, then 2, then 4 replicas, and show it live
	@$(VENV)/bin/python -m sandbox scale-demo

##@ Test and measure it

test: $(VENV)/dev.txt ## run all tests but the containers', on real Kafka and PostgreSQL
	@tools/install.sh tests
	@$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-compose: $(VENV)/dev.txt ## run the container tests; needs Docker
	@$(VENV)/bin/python -m pytest tests/compose

check: $(VENV)/dev.txt ## check formatting, lint, types and the GitHub workflows
	@$(VENV)/bin/ruff format --check --quiet . || { echo "make fix corrects the formatting"; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy --no-error-summary
	@found=$$($(VENV)/bin/zizmor --offline --no-progress --quiet --persona pedantic .github) || { echo "$$found"; exit 1; }

fix: $(VENV)/dev.txt ## correct the formatting, and what the linter can correct
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format --quiet .

chaos: $(VENV)/dev.txt system ## inject random faults (SEED=) while TASKS= tasks run, and check every promise
	@tools/install.sh tests
	@$(VENV)/bin/python -m tests.chaos --settle-seconds-max 15 \
		$(if $(SEED),--seed $(SEED)) $(if $(TASKS),--tasks $(TASKS))
	@$(VENV)/bin/python -m tests.chaos --settle-seconds-max 15 --brokers 3 --tasks 5000 $(if $(SEED),--seed $(SEED))
	@$(VENV)/bin/python -m pytest tests/system/test_pooler.py tests/system/test_failover.py

fuzz: $(VENV)/dev.txt system ## send CALLS= random requests and RECORDS= random records (SEED=), and check every answer
	@$(VENV)/bin/python -m pytest tests/unit --hypothesis-profile fuzz --timeout 3600
	@$(VENV)/bin/python -m tests.fuzz \
		$(if $(SEED),--seed $(SEED)) $(if $(CALLS),--calls $(CALLS)) $(if $(RECORDS),--records $(RECORDS))

bench: $(VENV)/dev.txt system ## compare the speed with that of the programs that one would write instead (half an hour)
	@$(VENV)/bin/python -m bench

##@ Release it

lock: $(VENV)/tools.txt ## pin all packages by hash after a requirements file has changed; UPGRADE=1 takes newer versions
	@$(LOCK) requirements-dev.txt -o locks/dev.txt
	@$(LOCK) -c locks/dev.txt requirements.txt -o locks/run.txt
	@for image in $(IMAGES); do \
		grep -E "# [a-z, ]*$$image" requirements.txt | $(LOCK) -c locks/dev.txt - -o locks/$$image.txt || exit 1; done
	@$(LOCK) requirements-tools.txt -o locks/tools.txt

sbom: $(VENV)/tools.txt ## list what the images install (CycloneDX), and refuse licences not accepted in tools/sbom.py
	@rm -rf sbom && mkdir sbom
	@for image in $(IMAGES); do \
		$(TOOLS)/bin/uv venv --quiet --clear --no-project --python $(TOOLS)/bin/python $(TOOLS)/$$image && \
		$(TOOLS)/bin/uv pip install --quiet --python $(TOOLS)/$$image --require-hashes -r locks/$$image.txt \
			--python-version $(IMAGES_PYTHON) --python-platform x86_64-manylinux_2_28 && \
		$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --output-format JSON \
			--output-file sbom/$$image.cdx.json $(TOOLS)/$$image || exit 1; done
	@$(TOOLS)/bin/python -m tools.sbom

audit: $(VENV)/tools.txt ## check the installed packages for known vulnerabilities
	@$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r locks/dev.txt -r locks/tools.txt

dump: $(VENV)/run.txt system ## write dump.sql from the database of a real run
	@$(VENV)/bin/python -m sandbox dump

screenshots: $(VENV)/dev.txt system ## take the README's pictures of the try-it page
	@tools/install.sh tests
	@$(VENV)/bin/python -m tools.screenshots

recordings: $(VENV)/run.txt system ## record `make demo` and `make scale-demo` as moving pictures
	@$(VENV)/bin/python -m tools.recordings

system:
	@tools/install.sh

# A stamp is written last, so that an interrupted installation does not count as complete.
$(VENV)/run.txt: locks/run.txt | $(VENV)/bin/pip
	@echo "Installing Python packages: 190 MB, about a minute (again only if the lock changes)"
	@$(PIP) -r locks/run.txt
	@cp locks/run.txt $@

$(VENV)/dev.txt: locks/dev.txt | $(VENV)/bin/pip
	@echo "Installing Python packages for the tests: 550 MB, about two minutes (again only if the lock changes)"
	@$(PIP) -r locks/dev.txt
	@cp locks/dev.txt $@

$(VENV)/tools.txt: locks/tools.txt | $(VENV)/bin/pip
	@echo "Installing the tools that lock and check packages (again only if their lock changes)"
	@$(VENV)/bin/python -m venv $(TOOLS)
	@$(PIP:$(VENV)%=$(TOOLS)%) -r locks/tools.txt
	@cp locks/tools.txt $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed; choose one: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/install.sh python3-venv
	@echo "Creating $(VENV) for Python packages"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

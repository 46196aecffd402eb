# make demo and make test are all that a new machine needs; everything else is for developers.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-pure test-servers test-system coverage quick attack fuzz figures lint docs wheel site deb rpm bundle lock clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
INSTALL := python -m pip install --quiet --disable-pip-version-check
OFFLINE := "pip could not fetch the packages. Without internet: export PIP_FIND_LINKS=FOLDER-OF-WHEELS PIP_NO_INDEX=1, or name your mirror in PIP_INDEX_URL."
# Most tests wait for servers most of the time, so more of them run at once than there are cores (conftest.py says which).
# So do the slow ones, which wait for time-outs of minutes, but for those that judge memory and gaps: they run alone, at the end.
JOBS ?= 4
PYTEST := $(RUN)/python -m pytest

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## see it work on simulated devices; Ctrl-C ends it
	@$(RUN)/edge-gateway demo

test: $(VENV)/.dev ## check style and types, and run the tests, JOBS=4 at once (some minutes)
	@sh .ci/tools.sh
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile -m "not slow"

test-all: $(VENV)/.dev ## long runs, a browser, a booted systemd, mounts: JOBS=4 at once; then those that must run alone
	@sh .ci/tools.sh all
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile -m "slow and not alone"; first=$$?; \
	$(PYTEST) -m "slow and alone" && exit $$first

test-pure: $(VENV)/.dev ## of make test, the lane without servers, on all cores
	$(PYTEST) --numprocesses=auto --dist=loadfile -m "not (slow or servers or system)"

test-servers: $(VENV)/.dev ## of make test, the lane with servers, devices and brokers
	@sh .ci/tools.sh
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile -m "servers and not slow"

test-system: $(VENV)/.dev ## of make test, the lane with the daemon as a process
	@sh .ci/tools.sh
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile -m "system and not slow"

coverage: $(VENV)/.dev ## of make test, how much of the code it runs, also in the processes that it starts (twice the time)
	@sh .ci/tools.sh
	@rm -f .coverage .coverage.*
	$(RUN)/python -m coverage run -m pytest --numprocesses=$(JOBS) --dist=loadfile -m "not slow"
	@$(RUN)/python -m coverage combine --quiet && $(RUN)/python -m coverage report

quick: $(VENV)/.dev ## style and types, and the pure tests of what was changed since main, in a minute
	@$(RUN)/python .ci/quick.py

attack: $(VENV)/.dev ## hostile servers, brokers, neighbours and files, on this machine (SOAK=30min: in turns)
	@sh .ci/tools.sh
	$(RUN)/python -m tests.attack $(if $(SOAK),--soak $(SOAK)) $(ARGS)

fuzz: $(VENV)/.dev ## a million spoilt inputs for each decoder of ours (ROUNDS=1000000)
	ROUNDS=$(or $(ROUNDS),1000000) $(PYTEST) --numprocesses=auto --timeout=0 -m fuzz

figures: ## count the house: folders, names, constructors, lines (ARGS=TREE: beside another checkout)
	@$(PYTHON) benchmarks/figures.py . $(ARGS)

lint: $(VENV)/.dev ## format, and check style, types and imports
	$(RUN)/ruff format .
	$(RUN)/ruff check .
	$(RUN)/mypy gateway plugins benchmarks
	$(RUN)/lint-imports

docs: $(VENV)/.dev ## write config.example.toml and the reference pages anew
	$(RUN)/edge-gateway docs

site: $(VENV)/.dev ## make the documentation a site that needs no net, into dist/site
	$(RUN)/python deploy/package/pages.py $(ARGS)

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(RUN)/python -m pip wheel --no-deps -w dist .

deb: $(VENV)/.dev ## build the packages for Debian 12, 13 and Ubuntu 24.04, amd64 and arm64, into dist/ (ARGS="--for debian-12 --arch amd64")
	$(RUN)/python deploy/package/build.py $(ARGS)

rpm: $(VENV)/.dev ## build the packages for Red Hat's distributions, for Python 3.12 and 3.13, amd64 and arm64, into dist/
	$(RUN)/python deploy/package/build.py --rpm $(ARGS)

bundle: $(VENV)/.dev ## wheels and a script for other distributions, installed without a net, into dist/
	$(RUN)/python deploy/package/build.py --bundle $(ARGS)

lock: $(VENV)/.dev ## choose anew which versions of Python packages the packages hold: deploy/package/requirements.txt
	$(RUN)/python deploy/package/build.py --lock

clean: ## remove what make has made
	rm -rf $(VENV) dist build .coverage .coverage.*

$(VENV)/bin/python:
	@sh .ci/venv.sh $(PYTHON) $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	@echo "Installing the gateway into $(VENV) …"
	@$(RUN)/$(INSTALL) -e '.[demo,web]' || { echo $(OFFLINE); exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	@echo "Installing the gateway and its test tools into $(VENV) …"
	@$(RUN)/$(INSTALL) -e '.[dev]' || { echo $(OFFLINE); exit 1; }
	@touch $@ $(VENV)/.demo

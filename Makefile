# `make run` and `make test` are the two commands of the README; both work from a fresh checkout. Everything is installed
# into the project's own virtual environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
#: Installs the package itself, so that the tree is what runs; the hot path is compiled apart from that.
EDITABLE := LEVERET_PURE=1 $(INSTALL) --no-build-isolation --editable
DECLARED := $(shell find broker/leveret -name '*.pxd')
COMPILED := $(DECLARED) $(wildcard $(DECLARED:.pxd=.py)) setup.py

#: Processes that run tests; each runs whole files. `make test ARGS="-n 0 --pdb ..."` runs them in one.
WORKERS ?= auto

SANITIZED := build/asan

# With LEVERET_PURE=1 nothing is compiled, and what is compiled already is not used (leveret/__init__.py).
ifneq ($(LEVERET_PURE),1)
HOT_PATH := $(VENV)/compiled
endif

# Packages are installed while the hot path is compiled.
PREPARE := @$(MAKE) --no-print-directory --jobs=2

.DELETE_ON_ERROR:
.PHONY: run test check page docs dist sbom conformance crash cluster cluster-faults cluster-clients cluster-conformance fuzz soak bench clean

run:
	$(PREPARE) $(VENV)/run $(HOT_PATH)
	$(BIN)/leveret serve $(ARGS)

test:
	$(PREPARE) $(VENV)/test $(HOT_PATH)
	@echo "All tests take about ten minutes on two cores, more where the machine is busy."
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/check
	$(BIN)/ruff format --check broker tests conformance benchmarks examples docs/*.py page/tests setup.py .ci
	$(BIN)/ruff check broker tests conformance benchmarks examples docs/*.py page/tests setup.py .ci
	$(BIN)/python .ci/words.py
	$(BIN)/mypy
	PYTHONPATH=broker $(BIN)/lint-imports

# The management page: built, compared with what is committed, and tested in Chromium. Needs Node.js and Chromium.
page: $(VENV)/test
	.ci/page

# The pages of docs/ as a site, with links checked. Reference pages are made from the code (docs/hooks.py).
docs: $(VENV)/docs
	LEVERET_PURE=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site
	@echo "build/site/index.html"

# A wheel for this machine and a source distribution, in build/dist. `.ci/packages` installs both.
dist: $(VENV)/build $(HOT_PATH)
	rm -rf build/dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir build/dist .
	@$(BIN)/python -c "import setuptools.build_meta as backend; backend.build_sdist('build/dist')" >/dev/null

# What the package contains and needs, as a CycloneDX document.
sbom: $(VENV)/run
	$(BIN)/python .ci/sbom.py > build/sbom.json

crash: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m tests.crash $(ARGS)

# Fuzzing runs a copy of the package that is compiled with sanitizers: the normal build stays as it is.
fuzz: $(VENV)/test $(SANITIZED)/compiled
	$(BIN)/python -m tests.fuzz --package $(SANITIZED)/broker $(ARGS)

# Three NATS servers and three nodes on this machine, until Ctrl-C.
cluster: $(VENV)/test $(HOT_PATH) build/nats/nats-server
	$(BIN)/python -m tests.cluster.processes $(ARGS)

# Faults of a cluster under load, every message accounted for.
cluster-faults: $(VENV)/test $(HOT_PATH) build/nats/nats-server
	$(BIN)/python -m tests.cluster.fault_run $(ARGS)

# Ordinary clients through faults of a cluster.
cluster-clients: $(VENV)/test $(HOT_PATH) build/nats/nats-server
	LEVERET_TEST_CLUSTER_CLIENTS=1 $(BIN)/python -m pytest -n 0 tests/cluster/test_ordinary_clients.py $(ARGS)

# All scenarios on a cluster, at the node that owns the virtual host and at another one.
cluster-conformance: $(VENV)/test $(HOT_PATH) build/nats/nats-server
	$(BIN)/python -m conformance cluster $(ARGS)

# The server of a cluster's data, from the Go module proxy. Needs Go.
NATS_SERVER := github.com/nats-io/nats-server/v2@v2.15.3
build/nats/nats-server:
	GOBIN=$(CURDIR)/build/nats GOFLAGS=-trimpath go install $(NATS_SERVER)

soak: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m tests.soak $(ARGS)

# Runs scenarios, random conversations and the test suites of the clients on live RabbitMQ 4.3.6, 4.0.5 and 3.10.8 and on
# Leveret, and writes conformance/RESULTS.md. RabbitMQ is installed by debootstrap, Redis by apt-get, which needs root.
conformance: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m conformance all $(ARGS)

bench: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m benchmarks.run $(ARGS)
	$(BIN)/python -m benchmarks.toolkit

clean:
	rm -rf $(VENV) build broker/*.egg-info
	find broker -name '*.so' -delete

# What is needed to run, to test and to check is installed once, and looked at again when pyproject.toml has changed:
# what is there already takes no network.
$(VENV)/build: pyproject.toml
	@echo "Making $(VENV) and installing what compiles Leveret ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" > $@
	@$(INSTALL) --requirement $@

$(VENV)/run: $(VENV)/build
	@echo "Installing the packages that Leveret uses ..."
	@$(EDITABLE) .
	touch $@

$(VENV)/test: $(VENV)/build
	$(EDITABLE) '.[test]'
	touch $@ $(VENV)/run

$(VENV)/fuzz: $(VENV)/test
	$(EDITABLE) '.[fuzz]'
	touch $@

$(VENV)/docs: $(VENV)/build
	$(EDITABLE) '.[docs]'
	touch $@

$(VENV)/check: $(VENV)/build
	$(EDITABLE) '.[check]'
	touch $@

# The hot path is compiled in place: what has changed, and what knows the layout of its classes.
$(VENV)/compiled: $(COMPILED) $(VENV)/build
	@echo "Compiling the hot path with all cores: Cython makes C files of its modules, then the compiler objects."
	@echo "The first time takes about 40 s on two free cores; LEVERET_PURE=1 make run serves at once, uncompiled."
	@PYTHONUNBUFFERED=1 $(BIN)/python setup.py --quiet build_ext --inplace
	@if find broker -name '*.so' | grep -q .; then touch $@; fi # without a C compiler, the next run tries again

$(SANITIZED)/compiled: $(COMPILED) $(shell find broker/leveret -name '*.py') $(VENV)/build
	mkdir -p $(SANITIZED)/broker
	find $(SANITIZED)/broker -name '*.py' -delete
	cd broker && find leveret '(' -name '*.py' -o -name '*.pxd' -o -name py.typed -o -name schema.txt ')' -print | \
	  tar -cf - -T - | tar -xf - -C ../$(SANITIZED)/broker
	cp -p setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	if [ -d build/cython ]; then mkdir -p $(SANITIZED)/build && cp -Rpu build/cython $(SANITIZED)/build; fi # the C files are the same
	cd $(SANITIZED) && LEVERET_SANITIZE=1 $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	test -n "$$(find $(SANITIZED)/broker -name '*.so' -print -quit)"
	touch $@

# `make run` and `make test` are the two commands of the README; both work from a fresh checkout. Everything is installed
# into the project's own virtual environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
#: Installs the package itself, so that the tree is what runs; the hot path is compiled apart from that.
EDITABLE := LEVERET_PURE=1 $(INSTALL) --no-build-isolation --editable
DECLARED := $(shell find broker/leveret -name '*.pxd')
COMPILED := $(DECLARED) $(wildcard $(DECLARED:.pxd=.py)) setup.py

SANITIZED := build/asan

# With LEVERET_PURE=1 nothing is compiled, and what is compiled already is not used (leveret/__init__.py).
ifneq ($(LEVERET_PURE),1)
HOT_PATH := $(VENV)/compiled
endif

.DELETE_ON_ERROR:
.PHONY: run test check conformance crash fuzz soak bench clean

run: $(VENV)/run $(HOT_PATH)
	$(BIN)/leveret serve $(ARGS)

test: $(VENV)/test $(HOT_PATH)
	@echo "All tests take about three minutes on two cores, more where the machine is busy."
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/check
	$(BIN)/ruff format --check broker tests conformance benchmarks examples setup.py .ci
	$(BIN)/ruff check broker tests conformance benchmarks examples setup.py .ci
	$(BIN)/python .ci/words.py
	$(BIN)/mypy
	PYTHONPATH=broker $(BIN)/lint-imports

crash: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m tests.crash $(ARGS)

# Fuzzing runs a copy of the package that is compiled with sanitizers: the normal build stays as it is.
fuzz: $(VENV)/test $(SANITIZED)/compiled
	$(BIN)/python -m tests.fuzz --package $(SANITIZED)/broker $(ARGS)

soak: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m tests.soak $(ARGS)

# Runs scenarios, random conversations and the test suites of the clients on live RabbitMQ 4.3.6, 4.0.5 and 3.10.8 and on
# Leveret, and writes conformance/RESULTS.md. RabbitMQ is installed by debootstrap, Redis by apt-get, which needs root.
conformance: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m conformance all $(ARGS)

bench: $(VENV)/test $(HOT_PATH)
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) build broker/*.egg-info
	find broker -name '*.so' -delete

# What is needed to run, to test and to check is installed once, and looked at again when pyproject.toml has changed:
# what is there already takes no network.
$(VENV)/build: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" > $@
	$(INSTALL) --requirement $@

$(VENV)/run: $(VENV)/build
	$(EDITABLE) .
	touch $@

$(VENV)/test: $(VENV)/build
	$(EDITABLE) '.[test]'
	touch $@ $(VENV)/run

$(VENV)/fuzz: $(VENV)/test
	$(EDITABLE) '.[fuzz]'
	touch $@

$(VENV)/check: $(VENV)/build
	$(EDITABLE) '.[check]'
	touch $@

# The hot path is compiled in place: what has changed, and what knows the layout of its classes.
$(VENV)/compiled: $(COMPILED) $(VENV)/build
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

$(SANITIZED)/compiled: $(COMPILED) $(shell find broker/leveret -name '*.py') $(VENV)/build
	mkdir -p $(SANITIZED)/broker
	find $(SANITIZED)/broker -name '*.py' -delete
	cd broker && find leveret '(' -name '*.py' -o -name '*.pxd' -o -name py.typed ')' -print | \
	  tar -cf - -T - | tar -xf - -C ../$(SANITIZED)/broker
	cp -p setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	cd $(SANITIZED) && LEVERET_SANITIZE=1 $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	test -n "$$(find $(SANITIZED)/broker -name '*.so' -print -quit)"
	touch $@

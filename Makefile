# `make run` and `make test` are the two commands of the README; both work from a fresh checkout. Everything is installed
# into the project's own virtual environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find broker/leveret -name '*.py' -o -name '*.pxd') setup.py pyproject.toml

.PHONY: run test check conformance crash bench clean

run: $(VENV)/run
	$(BIN)/leveret serve $(ARGS)

test: $(VENV)/test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/check
	$(BIN)/ruff format --check broker tests conformance benchmarks examples setup.py .ci
	$(BIN)/ruff check broker tests conformance benchmarks examples setup.py .ci
	$(BIN)/python .ci/words.py
	$(BIN)/mypy
	PYTHONPATH=broker $(BIN)/lint-imports

crash: $(VENV)/test
	$(BIN)/python -m tests.crash $(ARGS)

# Runs scenarios, random conversations and the test suites of the clients on live RabbitMQ 4.3.6, 4.0.5 and 3.10.8 and on
# Leveret, and writes conformance/RESULTS.md. RabbitMQ is installed by debootstrap, Redis by apt-get, which needs root.
conformance: $(VENV)/test
	$(BIN)/python -m conformance all $(ARGS)

bench: $(VENV)/test
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) build broker/*.egg-info
	find broker -name '*.so' -delete

# An editable installation compiles the hot path in place; it is made again when a source has changed. The checks need
# what is imported, but nothing compiled.
$(VENV)/run: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/test: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/run

$(VENV)/check: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	LEVERET_PURE=1 $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[check]'
	touch $@

"""The runner of the clients' test suites, on a suite made here: outcomes, edits, repeated tests, the table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.suites import environments, running, sources, suites, table
from conformance.suites.running import Outcome
from conformance.suites.suite import Broker, Edit, Suite

BROKER = Broker("RabbitMQ", "127.0.0.1", 4321)
SUITE = Suite(
    name="sample",
    version="1",
    registry="pypi",
    tests=("-o", "addopts=", "-o", "filterwarnings=default", "--rootdir=.", "test_sample.py"),
    edits=(Edit("test_sample.py", "PORT = 5672", "PORT = $PORT"),),
    environment={"SAMPLE_HOST": "$HOST"},
    left_out={"tls": "no TLS"},
    seconds=60,
)
TESTS = """
import os, pathlib, pytest
PORT = 5672
def test_address(): assert (os.environ["SAMPLE_HOST"], PORT) == ("127.0.0.1", 4321)
def test_tls(): assert False
def test_never(): assert PORT == 1, "no such port"
def test_second_time():
    mark = pathlib.Path(os.environ["SAMPLE_MARK"])
    seen = mark.exists()
    mark.touch()
    assert seen
@pytest.fixture
def leaky():
    yield
    raise RuntimeError("teardown")
def test_teardown(leaky): pass
@pytest.mark.skip
def test_skipped(): pass
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Suite], running.Outcomes]:
    """Run a suite whose sources are TESTS."""
    came = tmp_path / "came"
    came.mkdir()
    (came / "test_sample.py").write_text(TESTS)
    monkeypatch.setattr(sources, "unpacked", lambda suite, cache: came)
    monkeypatch.setattr(environments, "python", lambda suite, cache: Path(sys.executable))
    monkeypatch.setenv("SAMPLE_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(running, "TIME_LIMIT", ())
    return lambda suite: running.run(suite, BROKER, tmp_path / "cache")


def test_the_outcome_of_each_test_is_recorded(run: Callable[[Suite], running.Outcomes]) -> None:
    """The worst phase of a test counts, excluded tests do not run, and failed tests run a second time."""
    found = {test.partition("::")[2]: each for test, each in run(SUITE).items()}
    assert {test: each.word for test, each in found.items()} == {
        "test_address": "passed",
        "test_never": "failed",
        "test_second_time": "passed",
        "test_teardown": "failed",
        "test_skipped": "skipped",
    }
    assert "no such port" in found["test_never"].why


def test_an_edit_without_a_match_stops_the_run(run: Callable[[Suite], running.Outcomes]) -> None:
    """Otherwise a new version of a suite could run against another broker."""
    with pytest.raises(running.SuiteError, match=r"no 'PORT = 1' in test_sample\.py"):
        run(replace(SUITE, edits=(Edit("test_sample.py", "PORT = 1", ""),)))


def test_the_table_shows_counts_and_differences() -> None:
    """The row counts passed tests; tests that differ are listed with the outcome on the other broker."""
    row = table.Row(
        SUITE,
        {"a": Outcome("passed"), "b": Outcome("failed", "as\nusual"), "c": Outcome("passed")},
        {"a": Outcome("passed"), "b": Outcome("passed"), "c": Outcome("failed", "other")},
    )
    page = table.written([row], "4.3.6", "4.3.6")
    assert "| sample | 1 | 3 | 2 | 2 | 1 | 1 |" in page
    assert "only on RabbitMQ\n\n- `c`: failed, other" in page
    assert "only on Leveret\n\n- `b`: failed, as usual" in page
    assert "- sample, `tls`: no TLS" in page


def test_a_row_needs_runs_on_both_brokers(tmp_path: Path) -> None:
    """Both runs must be of the same version of the suite."""
    passed = {"a": Outcome("passed"), "b": Outcome("failed", "why")}
    running.keep(SUITE, "RabbitMQ", passed, tmp_path)
    assert table.Row.kept(SUITE, tmp_path) is None
    running.keep(SUITE, "Leveret", passed, tmp_path)
    assert table.Row.kept(SUITE, tmp_path) == table.Row(SUITE, passed, passed)
    assert table.Row.kept(replace(SUITE, version="2"), tmp_path) is None


def test_every_suite_is_described() -> None:
    """The suites can be read, and have their names of the command line."""
    assert [each.name for each in suites()] == [
        *("pika", "amqp", "kombu", "celery", "aio-pika", "aiormq", "amqplib", "amqpstorm")
    ]
    assert suites(["aio-pika"])[0].name == "aio-pika"
    with pytest.raises(ValueError, match="no suite nothing"):
        suites(["nothing"])

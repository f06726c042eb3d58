"""The golden transcripts, recorded on real RabbitMQ servers, against Leveret or the broker of a URL.

Each scenario is one test. Those that `conformance/differences.toml` lists are expected to differ, strictly.
LEVERET_TEST_URL names another broker than a Leveret of its own, LEVERET_TEST_PROFILES the profiles to compare
(separated by commas; default: all that have golden files, 4.3 with a URL). Scenarios that wait for timers of
the broker run with LEVERET_TEST_SLOW=1.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import pytest
from _pytest.mark import ParameterSet

from conformance import runner, wire
from conformance.stage import PROFILES, Target

ROOT = Path(__file__).resolve().parents[2]
#: Seconds an awaited event may take. The broker is on this machine; every missing event costs as much.
PATIENCE = 2.0
_AMQP = re.compile(r"started TCP listener on (?:\[::\]|\S+):(\d+)")
_HTTP = re.compile(r"HTTP \(non-TLS\) listener started on port (\d+)")
_COMPLETE = re.compile(r"Server startup complete; \d+ plugins started\.")
_URL = os.environ.get("LEVERET_TEST_URL", "")


def _profiles() -> list[str]:
    named = os.environ.get("LEVERET_TEST_PROFILES", "4.3" if _URL else "")
    return named.split(",") if named else [p for p in PROFILES if (runner.GOLDEN / p).is_dir()]


def _cases() -> list[ParameterSet]:
    slow = os.environ.get("LEVERET_TEST_SLOW", "") == "1"
    cases = []
    for profile in _profiles():
        known = runner.known_differences(profile)
        for each in runner.chosen(profile, slow=slow):
            marks = [pytest.mark.xfail(reason=known[each.name], strict=True)] if each.name in known else []
            cases.append(pytest.param(profile, each.name, id=f"{profile}-{each.name}", marks=marks))
    return cases


@pytest.fixture(scope="session")
def target() -> Iterator[Callable[[str], Target]]:
    """Gives the broker to compare for a profile: a Leveret each, started when first asked for."""
    wire.PATIENCE = PATIENCE
    with ExitStack() as running:

        @cache
        def served(profile: str) -> Target:
            if _URL:
                return Target(_URL, os.environ.get("LEVERET_TEST_HTTP_URL", ""))
            return running.enter_context(_serving(profile))

        yield served


@contextmanager
def _serving(profile: str) -> Iterator[Target]:
    with _started(profile) as process:
        assert process.stdout is not None
        try:
            found = _listening(process.stdout)
            rest = threading.Thread(target=process.stdout.read, daemon=True)
            rest.start()
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        rest.join()


def _started(profile: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "leveret", "serve", "--profile", profile, "--host", "127.0.0.1"]
    path = os.pathsep.join(filter(None, (str(ROOT / "broker"), os.environ.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [*command, "--port", "0", "--http-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
    )


def _listening(output: IO[str]) -> Target:
    """Where the process listens, from what it prints."""
    said = ""
    for line in output:
        said += line
        if _COMPLETE.search(line):
            break
    amqp, http = _AMQP.search(said), _HTTP.search(said)
    assert amqp is not None, said
    return Target(f"amqp://guest:guest@127.0.0.1:{amqp[1]}/", f"http://127.0.0.1:{http[1]}" if http else "")


@pytest.mark.parametrize(("profile", "name"), _cases())
def test_transcript(target: Callable[[str], Target], profile: str, name: str) -> None:
    """The conversation is RabbitMQ's to the letter."""
    each = runner.load()[name]
    difference = runner.compare(target(profile), profile, each)
    assert not difference, f"{each.claims}\n{difference}"


def test_differences_are_of_scenarios_that_exist() -> None:
    """No entry of differences.toml has outlived its scenario."""
    for profile in PROFILES:
        assert runner.known_differences(profile).keys() <= runner.load().keys()


def test_every_scenario_has_a_golden_transcript() -> None:
    """Whatever a profile plays has been recorded on its RabbitMQ."""
    missing = [
        f"{profile} {each.name}"
        for profile in _profiles()
        for each in runner.chosen(profile, slow=True)
        if each.name not in runner.golden(profile, each.topic)
    ]
    assert not missing

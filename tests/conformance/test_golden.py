"""The golden transcripts, recorded on real RabbitMQ servers, against Leveret or the broker of a URL.

Each scenario is one test. Those that `conformance/differences.toml` lists are expected to differ, strictly.
LEVERET_TEST_URL names another broker than a Leveret of its own, LEVERET_TEST_PROFILES the profiles to compare
(separated by commas; default: all that have golden files, 4.3 with a URL). Scenarios that wait for timers of
the broker run with LEVERET_TEST_SLOW=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from _pytest.mark import ParameterSet

from conformance import runner, wire
from conformance.leveret import serving
from conformance.stage import PROFILES, Target

#: Seconds an awaited event may take. The broker is on this machine; every missing event costs as much.
PATIENCE = 2.0
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
            return running.enter_context(serving(profile))

        yield served


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

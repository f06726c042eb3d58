"""The golden transcripts, recorded on RabbitMQ, are compared with Leveret or with the broker of a URL.

Each scenario is one test. The profiles play side by side, each on its own Leveret. Scenarios in
`conformance/differences.toml` must differ. LEVERET_TEST_URL is another broker, LEVERET_TEST_PROFILES the profiles to
compare, separated by commas (default: all that have golden files; 4.3 with a URL). Scenarios that wait for timers of
the broker run only with LEVERET_TEST_SLOW=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby

import pytest
from _pytest.mark import ParameterSet

from conformance import runner
from conformance.leveret import serving
from conformance.stage import PROFILES, Target

#: How many Leverets share the scenarios of a profile: while one waits for time to pass, others play.
STAGES = 3
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
def difference(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], str]]:
    """Return what differs in a scenario of a profile. The first call plays all scenarios that were selected."""
    asked = [
        (item.callspec.params["profile"], item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_the_transcript_equals_that_of_rabbitmq.__name__
    ]
    played: dict[tuple[str, str], Future[str]] = {case: Future() for case in asked}

    def play(profile: str, names: list[str]) -> None:
        todo = [played[profile, name] for name in names]
        try:
            with ExitStack() as running:
                target = _target(profile, running)
                known = runner.known_differences(profile)
                for name, outcome in zip(names, todo, strict=True):
                    look = runner.compare if name in known else runner.departure
                    outcome.set_result(look(target, profile, runner.load()[name]))
        except Exception as error:
            for outcome in todo:
                if not outcome.done():
                    outcome.set_exception(error)

    many = 1 if _URL else STAGES
    with ThreadPoolExecutor(len(PROFILES) * many) as stages:
        for profile, cases in groupby(sorted(asked, key=lambda case: case[0]), lambda case: case[0]):
            names = [name for _, name in cases]
            for number in range(min(many, len(names))):
                stages.submit(play, profile, names[number::many])
        yield lambda profile, name: played[profile, name].result()


def _target(profile: str, running: ExitStack) -> Target:
    if _URL:
        return Target(_URL, os.environ.get("LEVERET_TEST_HTTP_URL", ""))
    return running.enter_context(serving(profile))


@pytest.mark.parametrize(("profile", "name"), _cases())
def test_the_transcript_equals_that_of_rabbitmq(
    difference: Callable[[str, str], str], profile: str, name: str
) -> None:
    """Every reply code, text, id and field type is the same."""
    found = difference(profile, name)
    assert not found, f"{runner.load()[name].claims}\n{found}"


def test_every_known_difference_belongs_to_a_scenario() -> None:
    """differences.toml has no entry of a scenario that was deleted."""
    for profile in PROFILES:
        assert runner.known_differences(profile).keys() <= runner.load().keys()


def test_every_scenario_has_a_golden_transcript() -> None:
    """Every scenario that a profile plays was recorded on its RabbitMQ."""
    missing = [
        f"{profile} {each.name}"
        for profile in _profiles()
        for each in runner.chosen(profile, slow=True)
        if each.name not in runner.golden(profile, each.topic)
    ]
    assert not missing

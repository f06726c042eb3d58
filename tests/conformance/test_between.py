"""Profiles without a recorded RabbitMQ: they answer what the recorded versions before and after them both answer.

This takes as long as two more versions, and runs only with LEVERET_TEST_SLOW=1.
"""

from __future__ import annotations

import os

import pytest

from conformance import runner
from conformance.leveret import serving
from conformance.stage import Scenario

slow = pytest.mark.skipif(os.environ.get("LEVERET_TEST_SLOW", "") != "1", reason="LEVERET_TEST_SLOW is not 1")


def agreed(older: str, newer: str) -> list[tuple[Scenario, list[str]]]:
    """The scenarios that both versions answer in the same way, without those where Leveret differs on purpose."""
    known = runner.known_differences(older) | runner.known_differences(newer)
    found = []
    for each in runner.chosen(newer):
        given = [runner.golden(profile, each.topic).get(each.name) for profile in (older, newer)]
        if each.name not in known and given[0] is not None and given[0] == given[1]:
            found.append((each, given[0]))
    return found


@slow
@pytest.mark.parametrize(("profile", "older", "newer"), [("4.2", "4.0", "4.3"), ("3.13", "3.10", "4.0")])
def test_a_profile_answers_as_the_versions_before_and_after_it(profile: str, older: str, newer: str) -> None:
    with serving(profile) as target:
        found = [
            f"{each.name}\n{difference}"
            for each, given in agreed(older, newer)
            if (difference := runner.diff(given, runner.play(each, target, profile)[0]))
        ]
    assert not found, "\n\n".join(found[:10])

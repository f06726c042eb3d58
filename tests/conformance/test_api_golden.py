"""RabbitMQ's recorded answers to calls of the HTTP API are compared with Leveret's, for each recorded version."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pytest

from conformance.api.areas import Answers, areas, meant, play, recorded
from conformance.api.command import CRASHED
from conformance.api.compare import differences
from conformance.leveret import serving
from conformance.stage import PROFILES

#: They follow each other on one broker, as when they were recorded.
AREAS = tuple(areas())


@functools.cache
def ours(profile: str) -> Mapping[str, Answers]:
    """What Leveret answers to all calls, as the version."""
    with serving(profile, metrics=True) as leveret:
        return play(leveret, areas(AREAS))


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_answers_equal_those_of_rabbitmq(profile: str, area: str) -> None:
    todo, known = areas((area,))[area], meant(profile)
    theirs = recorded(profile, area, todo)
    wrong = [
        f"{call.name}: {each}"
        for call, one, other in zip(todo, theirs, ours(profile)[area], strict=True)
        for each in differences(one, other)
        if one.status != CRASHED and not any(entry.covers(call.name, each) for entry in known)
    ]
    assert wrong == []

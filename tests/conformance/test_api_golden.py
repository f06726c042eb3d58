"""RabbitMQ's recorded answers to changes over the HTTP API are compared with Leveret's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from conformance.api.areas import Answers, areas, meant, play, recorded
from conformance.api.call import Call
from conformance.api.command import CRASHED
from conformance.api.compare import differences
from conformance.leveret import serving

PROFILE = "4.3"

#: They follow each other on one broker, as when they were recorded.
AREAS = tuple(areas())


@pytest.fixture(scope="module")
def todo() -> dict[str, list[Call]]:
    """The calls of each area."""
    return areas(AREAS)


@pytest.fixture(scope="module")
def ours(todo: Mapping[str, Sequence[Call]]) -> Mapping[str, Answers]:
    """What Leveret answers."""
    with serving(PROFILE, metrics=True) as leveret:
        return play(leveret, todo)


@pytest.mark.parametrize("area", AREAS)
def test_the_answers_equal_those_of_rabbitmq(
    area: str, todo: Mapping[str, Sequence[Call]], ours: Mapping[str, Answers]
) -> None:
    known = meant(PROFILE)
    theirs = recorded(PROFILE, area, todo[area])
    wrong = [
        f"{call.name}: {each}"
        for call, one, other in zip(todo[area], theirs, ours[area], strict=True)
        for each in differences(one, other)
        if one.status != CRASHED and not any(entry.covers(call.name, each) for entry in known)
    ]
    assert wrong == []

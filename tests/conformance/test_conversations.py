"""Made-up conversations that RabbitMQ has answered, against Leveret; how they are made and shrunk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance import runner
from conformance.conversations.compare import Recorded, departure, recorded, shrink
from conformance.conversations.steps import LENGTH, LONG, Step, conversation
from conformance.leveret import serving
from conformance.stage import PROFILES, Target


def kept(profile: str) -> list[Recorded]:
    """The recorded conversations of a profile."""
    return recorded(runner.golden_path(profile, "conversations").with_suffix(".json.gz"))


@pytest.fixture(scope="module", params=[profile for profile in PROFILES if kept(profile)])
def profile(request: pytest.FixtureRequest) -> str:
    """A profile that has some."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def leveret(profile: str) -> Iterator[Target]:
    """A broker of that profile."""
    with serving(profile) as target:
        yield target


def test_answers_are_those_of_rabbitmq(profile: str, leveret: Target) -> None:
    departures = [departure(leveret, "/", one) for one in kept(profile)]
    found = [one for one in departures if one]
    assert not found, f"{len(found)} of {len(departures)}\n" + "\n\n".join(found[:5])


def test_a_seed_always_makes_the_same() -> None:
    assert conversation(7, "4.3") == conversation(7, "4.3") != conversation(8, "4.3")
    assert len(conversation(7, "4.3")) == LONG and len(conversation(8, "4.3")) == LENGTH


def test_shrinking_keeps_what_matters() -> None:
    steps = [Step("publish", "a", 1, {"body": str(number)}) for number in range(30)]
    wanted = [steps[3], steps[17]]
    assert shrink(steps, lambda fewer: all(step in fewer for step in wanted)) == wanted

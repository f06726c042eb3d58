"""Recorded random conversations are played on Leveret; how they are made and shrunk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance import runner
from conformance.conversations.compare import Recorded, departure, recorded, shrink
from conformance.conversations.steps import LENGTH, LONG, Step, conversation
from conformance.leveret import serving
from conformance.stage import PROFILES, Target, request

#: Conversations at the same time, each in a virtual host of its own.
WORKERS = 6


def kept(profile: str) -> list[Recorded]:
    """The recorded conversations of a profile."""
    return recorded(runner.golden_path(profile, "conversations").with_suffix(".json.gz"))


@pytest.fixture(scope="module", params=[profile for profile in PROFILES if kept(profile)])
def profile(request: pytest.FixtureRequest) -> str:
    """A profile that has recorded conversations."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def leveret(profile: str) -> Iterator[Target]:
    """A broker of that profile."""
    with serving(profile) as target:
        yield target


def test_recorded_conversations_get_the_answers_of_rabbitmq(profile: str, leveret: Target) -> None:
    free = [f"cf.{number}" for number in range(WORKERS)]
    for vhost in free:
        assert request(leveret, "PUT", f"/api/vhosts/{vhost}", {})[0] == 201

    def departed(one: Recorded) -> str:
        vhost = free.pop()
        try:
            return departure(leveret, vhost, one)
        finally:
            free.append(vhost)

    with ThreadPoolExecutor(WORKERS) as pool:
        departures = [one for one in pool.map(departed, kept(profile)) if one]
    assert not departures, f"{len(departures)} depart\n" + "\n\n".join(departures[:5])


def test_a_seed_always_makes_the_same_conversation() -> None:
    assert conversation(7, "4.3") == conversation(7, "4.3") != conversation(8, "4.3")
    assert len(conversation(7, "4.3")) == LONG and len(conversation(8, "4.3")) == LENGTH


def test_shrinking_keeps_the_steps_that_matter() -> None:
    steps = [Step("publish", "a", 1, {"body": str(number)}) for number in range(30)]
    wanted = [steps[3], steps[17]]
    assert shrink(steps, lambda fewer: all(step in fewer for step in wanted)) == wanted

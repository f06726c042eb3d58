"""What all tests share: plays in three kinds of chunking, and few but different Hypothesis examples."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from leveret.testing.playbook import CHUNKINGS, Connect, Playbook

# Counters are compared with what they count after every input, here and in the processes that tests start.
os.environ.setdefault("LEVERET_CHECK", "1")

# The same examples on every machine; `thorough` tries more.
settings.register_profile(
    "modest",
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "modest"))


@pytest.fixture(params=CHUNKINGS)
def chunking(request: pytest.FixtureRequest) -> str:
    """How the server reads what clients send: whole, octet by octet, or split anywhere."""
    kind: str = request.param
    return kind


def _played(play: Playbook) -> Iterator[Playbook]:
    yield play
    assert play.played or not play.steps, "written but never played: `assert play >> ... << ...`"


@pytest.fixture
def play(chunking: str) -> Iterator[Playbook]:
    """A play that begins with client `a` connected and channel 1 open."""
    yield from _played(Playbook(chunking=chunking))


@pytest.fixture
def connecting(chunking: str) -> Iterator[Playbook]:
    """A play that begins with client `a` connected, before the protocol header."""
    yield from _played(Playbook(chunking=chunking, first=[Connect("a", channels=None)]))

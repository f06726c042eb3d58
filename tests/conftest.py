"""What all tests share: plays in three kinds of chunking, and few but different Hypothesis examples."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pika.connection import Parameters

from leveret.testing.playbook import CHUNKINGS, Connect, Playbook
from tests.hang import HANG_SECONDS

# Counters are compared with what they count after every input, here and in the processes that tests start.
os.environ.setdefault("LEVERET_CHECK", "1")

# A client may need long for its handshake on a busy machine: nodes in processes of their own wait for it.
os.environ.setdefault("LEVERET_SERVER_HANDSHAKE_TIMEOUT", str(int(HANG_SECONDS * 1000)))

# Control sockets of nodes in tests are not where commands look, nor where other processes with tests have theirs.
if "LEVERET_RUN_DIR" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["LEVERET_RUN_DIR"] = tempfile.mkdtemp(prefix="leveret-tests-")
    atexit.register(shutil.rmtree, os.environ["LEVERET_RUN_DIR"], ignore_errors=True)

# On a busy machine, pika's 10 and 15 seconds may pass while a broker starts to answer.
Parameters.DEFAULT_SOCKET_TIMEOUT = Parameters.DEFAULT_STACK_TIMEOUT = HANG_SECONDS

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


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A node configures the log of the whole process, as Celery's workers do: no test sees what another one has set."""
    logging.getLogger().setLevel(logging.WARNING)
    logs = [logging.getLogger(name) for name in ("leveret", "leveret.connection", "leveret.channel")]
    before = [(log.handlers[:], log.propagate, log.level) for log in logs]
    yield
    for log, (handlers, propagate, level) in zip(logs, before, strict=True):
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


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

"""The short form of `make crash`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from pamqp import commands

from benchmarks.link import Link, LinkError, publish_bytes
from tests.crash.crash_run import CrashRun


@pytest.fixture
def crash_run(tmp_path: Path) -> Iterator[CrashRun]:
    made = CrashRun(tmp_path, seed=1)
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("number", "times"), [(signal.SIGKILL, 10), (signal.SIGTERM, 3)])
def test_no_message_is_lost_or_delivered_wrongly(
    crash_run: CrashRun, number: signal.Signals, times: int
) -> None:
    crash_run.run([number] * times)
    assert crash_run.problems() == []
    assert crash_run.record.confirms() > 600
    assert any(crash_run.record.safe_to.values())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_answered_declarations_and_deletions_survive_a_kill(crash_run: CrashRun) -> None:
    """The broker is killed as soon as declare-ok, bind-ok or delete-ok has arrived."""
    names = [f"q{number}" for number in range(4)]
    for name in names:
        crash_run.start()
        link = Link(crash_run.url)
        link.call(commands.Queue.Declare(queue=name, durable=True))
        crash_run.end(signal.SIGKILL)
        link.sock.close()
    crash_run.start()
    link = Link(crash_run.url)
    for name in names:
        link.call(commands.Queue.Declare(queue=name, passive=True))
    link.call(commands.Queue.Delete(queue=names[0]))
    crash_run.end(signal.SIGKILL)
    link.sock.close()
    crash_run.start()
    link = Link(crash_run.url)
    with pytest.raises(LinkError, match="404"):
        link.call(commands.Queue.Declare(queue=names[0], passive=True))
    link.sock.close()
    crash_run.end(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_transaction_survives_a_kill_after_commit_ok(crash_run: CrashRun) -> None:
    crash_run.start()
    link = Link(crash_run.url)
    link.call(commands.Queue.Declare(queue="q", durable=True))
    link.call(commands.Tx.Select())
    link.sock.sendall(publish_bytes("", "q", b"a", persistent=True) * 100)
    link.call(commands.Tx.Commit())
    crash_run.end(signal.SIGKILL)
    link.sock.close()
    crash_run.start()
    link = Link(crash_run.url)
    answer = cast(commands.Queue.DeclareOk, link.call(commands.Queue.Declare(queue="q", passive=True)))
    assert answer.message_count == 100
    link.sock.close()
    crash_run.end(signal.SIGTERM)

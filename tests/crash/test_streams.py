"""A stream on a served broker that is killed several times: no confirmed message is lost, no offset is used twice."""

from __future__ import annotations

import re
import selectors
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp import commands

from benchmarks.link import Link, publish_bytes
from tests.crash.client import Publisher, _read
from tests.crash.crash_run import CrashRun
from tests.hang import HANG_SECONDS

LIVES = 8
#: How many publishes are confirmed in each of them, at least and at most.
CONFIRMS = (150, 3000)
#: The message behind all others.
END = b"end"
_OFFSET = re.compile(rb"x-stream-offsetl(.{8})", re.DOTALL)


class Reader:
    """Reads a stream from an offset on. `seen`: offset -> body; it is kept for the next reader."""

    def __init__(self, url: str, offset: int, seen: dict[int, bytes], problems: list[str]) -> None:
        self.seen = seen
        self.problems = problems
        self.next = offset
        self.rest = b""
        self.offset = -1
        self.link = Link(url)
        self.link.call(commands.Basic.Qos(prefetch_count=500))
        where = {"x-stream-offset": offset}
        self.link.call(commands.Basic.Consume(queue="s", consumer_tag="c", arguments=where))
        self.take(bytes(self.link._pending))

    def fileno(self) -> int:
        return self.link.sock.fileno()

    def read(self) -> None:
        """Read deliveries and acknowledge them. Raises OSError if the broker is gone."""
        self.take(_read(self.link))

    def take(self, data: bytes) -> None:
        data, at, tag = self.rest + data, 0, 0
        while len(data) - at >= 7:
            kind, _, size = struct.unpack_from(">BHI", data, at)
            if len(data) - at < size + 8:
                break
            payload = data[at + 7 : at + 7 + size]
            at += size + 8
            if kind == 1:
                (tag,) = struct.unpack_from(">Q", payload, 5 + payload[4])
            elif kind == 2:
                found = _OFFSET.search(payload)
                assert found is not None
                self.offset = int.from_bytes(found[1], "big")
            else:
                self.note(payload)
        self.rest = data[at:]
        if tag:
            self.link.sock.sendall(struct.pack(">BHIHHQBB", 1, 1, 13, 60, 80, tag, 1, 0xCE))

    def note(self, body: bytes) -> None:
        if self.offset != self.next:
            self.problems.append(f"offset {self.offset} came instead of {self.next}")
        if self.seen.setdefault(self.offset, body) != body:
            self.problems.append(f"offset {self.offset} was {self.seen[self.offset]!r}, now it is {body!r}")
        self.next = self.offset + 1


@pytest.fixture
def crash_run(tmp_path: Path) -> Iterator[CrashRun]:
    made = CrashRun(tmp_path, seed=3)
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_confirmed_message_of_a_stream_is_lost(crash_run: CrashRun, number: signal.Signals) -> None:
    seen: dict[int, bytes] = {}
    problems: list[str] = []
    kept: list[object] = []
    for life in range(LIVES):
        crash_run.start()
        if life == 0:
            _declare(crash_run.url)
        reader = Reader(crash_run.url, len(seen), seen, problems)
        publishers = [Publisher(crash_run.url, crash_run.record, name, "", "s", 100) for name in "ab"]
        _load(crash_run, [reader, *publishers], publishers)
        crash_run.end(number)
        kept += [reader, *publishers]
    crash_run.start()
    again: dict[int, bytes] = {}
    link = Link(crash_run.url)
    link.sock.sendall(publish_bytes("", "s", END, persistent=True))
    last = Reader(crash_run.url, 0, again, problems)
    while END not in again.values():
        last.read()
    link.close()
    crash_run.end(signal.SIGTERM)
    assert problems == []
    assert all(again[offset] == body for offset, body in seen.items())
    bodies = list(again.values())[:-1]
    assert len(set(bodies)) == len(bodies)
    for name in "ab":
        mine = [int(body.split()[1]) for body in bodies if body.startswith(name.encode())]
        assert mine == sorted(mine)
        assert crash_run.record.confirmed[name] <= set(mine)
    assert crash_run.record.confirms() > LIVES * CONFIRMS[0]


def _declare(url: str) -> None:
    link = Link(url)
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 20_000}
    link.call(commands.Queue.Declare(queue="s", durable=True, arguments=arguments))
    link.close()


def _load(crash_run: CrashRun, everyone: list[Reader | Publisher], publishers: list[Publisher]) -> None:
    wanted = crash_run.record.confirms() + crash_run.dice.randint(*CONFIRMS)
    deadline = time.monotonic() + HANG_SECONDS
    with selectors.DefaultSelector() as selector:
        for client in everyone:
            selector.register(client, selectors.EVENT_READ, client)
        while crash_run.record.confirms() < wanted:
            assert time.monotonic() < deadline
            for key, _ in selector.select(0.002):
                key.data.read()
            for publisher in publishers:
                publisher.push()

"""A disk that is slow to read: a queue waits for its next messages, in order, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from leveret.clock import Agenda, Clock
from leveret.profiles import profile
from leveret.queues.backlog.paged_contents import page_out
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.limits import Limits
from leveret.queues.message import REJECTED, Entry, Message
from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.store.paging_file import GATHER_S, FilePager
from leveret.work import Suspended
from tests.stores.harness import message

LIMIT = 100_000
COUNT = 10_000


class SlowDisk:
    """Writes at once, and reads when `come` is called."""

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.reads: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Gathered blocks are written at once; nothing is tried again here."""
        if seconds == GATHER_S:
            call()

    def offload(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        step()
        done(None)

    def read(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        self.reads.append((step, done))

    def come(self) -> None:
        """What is asked for is read."""
        reads, self.reads = self.reads, []
        for step, done in reads:
            step()
            done(None)
        self.agenda.run()


class Reader(Consumer):
    """Takes everything."""

    def __init__(self, queue: Queue, *, no_ack: bool = True) -> None:
        super().__init__("c", queue, no_ack, False, 0, 0)
        self.bodies: list[bytes] = []
        self.entries: list[Entry] = []

    def ready(self) -> bool:
        return True

    def take(self, message: Message, entry: Entry | None, redelivered: bool) -> None:
        self.bodies.append(message.body)
        if entry is not None:
            self.entries.append(entry)


def quorum(version: str) -> Callable[[VhostContext], Queue]:
    options: Any = SimpleNamespace(single_active_consumer=False, delivery_limit=20)
    return lambda context: QuorumQueue("q", "/", context, options, profile(version))


KINDS: dict[str, Callable[[VhostContext], Queue]] = {
    "classic": lambda context: Queue("q", "/", context),
    "priorities": lambda context: Queue("q", "/", context, max_priority=5),
    "quorum 3.13": quorum("3.13"),
    "quorum 4.2": quorum("4.2"),
    "quorum 4.3": quorum("4.3"),
}


class Paged:
    """A queue with 10,000 messages, most of them on a slow disk."""

    def __init__(self, kind: str, ttl: int = -1) -> None:
        self.agenda = Agenda(Clock(1000))
        self.disk = SlowDisk(self.agenda)
        self.pager = FilePager(LIMIT)
        self.pager.begin(self.disk)
        self.context = VhostContext(
            self.agenda.clock, self.agenda, lambda *_: None, self._no_dead_letters, None, self.pager
        )
        self.queue = KINDS[kind](self.context)
        for number in range(COUNT):
            self.queue.push(message(b"%d" % number, priority=number % 3, ttl=ttl))
        assert self.pager.paged

    def _no_dead_letters(self) -> None:
        self.context.dead_letters.clear()

    def end(self) -> None:
        """Free what is left, which closes the files."""
        self.come_all()
        self.queue.close()
        self.context.work.finish()
        self.come_all()

    def come_all(self) -> int:
        """Let reads and jobs go on until nothing waits for the disk; returns how often something did."""
        count = 0
        while self.disk.reads:
            count += 1
            self.disk.come()
            self.context.work.finish()
        return count


@pytest.fixture
def make() -> Iterator[Callable[..., Paged]]:
    """Makes queues."""
    made: list[Paged] = []

    def make(kind: str, ttl: int = -1) -> Paged:
        made.append(Paged(kind, ttl))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(params=list(KINDS))
def paged(request: pytest.FixtureRequest, make: Callable[..., Paged]) -> Paged:
    return make(request.param)


def in_order(kind: str) -> list[bytes]:
    """The bodies as a queue of this kind delivers them from memory."""
    queue = KINDS[kind](VhostContext(Clock(1000), Agenda(Clock(1000)), lambda *_: None, lambda: None))
    for number in range(COUNT):
        queue.push(message(b"%d" % number, priority=number % 3))
    reader = Reader(queue)
    queue.subscribe(reader)
    queue.run()
    return reader.bodies


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_waits_for_each_block(make: Callable[..., Paged], kind: str) -> None:
    paged = make(kind)
    reader = Reader(paged.queue)
    paged.queue.subscribe(reader)
    paged.queue.run()
    before = len(reader.bodies)
    assert before < COUNT
    paged.queue.run()
    assert len(reader.bodies) == before
    assert paged.come_all() > 1
    assert reader.bodies == in_order(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_get_is_repeated_when_its_message_has_come(make: Callable[..., Paged], kind: str) -> None:
    paged = make(kind)
    bodies: list[bytes] = []
    waits = 0
    while len(bodies) < COUNT:
        try:
            entry = paged.queue.get(True)
        except Suspended as waiting:
            waits += 1
            assert not waiting.job.done
            paged.disk.come()
            assert waiting.job.done
            continue
        assert entry is not None
        bodies.append(entry.message.body)
    assert waits
    assert paged.queue.get(True) is None
    assert bodies == in_order(kind)


def test_a_length_limit_drops_what_comes(paged: Paged) -> None:
    """The job does not ask for turns meanwhile."""
    paged.queue.configure(Limits(max_length=10), None, None)
    paged.context.work.finish()
    assert paged.queue.ready > 10
    assert paged.context.work.jobs and not paged.context.work.runnable()
    assert paged.come_all()
    assert paged.queue.ready == 10
    assert not paged.context.work.jobs


@pytest.mark.parametrize("kind", KINDS)
def test_messages_expire_when_they_have_come(make: Callable[..., Paged], kind: str) -> None:
    paged = make(kind, ttl=1000)
    paged.come_all()  # the first of each priority
    paged.agenda.clock.now += 2000
    paged.agenda.run()
    paged.context.work.finish()
    paged.come_all()
    assert paged.queue.ready == 0
    assert not paged.context.work.jobs


def test_a_purge_does_not_wait(paged: Paged) -> None:
    reader = Reader(paged.queue)
    paged.queue.subscribe(reader)
    paged.queue.run()
    paged.queue.purge()
    paged.context.work.finish()
    paged.queue.push(message(b"new"))
    assert paged.queue.ready == 0
    before = len(reader.bodies)
    paged.disk.come()
    assert len(reader.bodies) == before
    assert reader.bodies[-1] == b"new"


def test_a_queue_that_cannot_be_read_crashes(paged: Paged) -> None:
    crashed: list[Queue] = []
    paged.context.crashed = crashed.append
    reader = Reader(paged.queue)
    paged.queue.subscribe(reader)
    paged.queue.run()
    reads, paged.disk.reads = paged.disk.reads, []
    for _, done in reads:
        done(OSError("broken"))
    paged.agenda.run()
    assert crashed == [paged.queue]


def test_returned_messages_wait_for_their_contents(paged: Paged) -> None:
    queue = paged.queue
    holder = Reader(queue, no_ack=False)
    queue.subscribe(holder)
    queue.run()
    paged.come_all()
    assert len(holder.entries) == COUNT
    queue.detach(holder)
    bodies = holder.bodies[:100]
    entries = holder.entries[:100]
    for start in range(0, 100, 20):
        assert page_out(entries[start : start + 20], paged.pager)
    queue.requeue(entries, REJECTED)
    reader = Reader(queue)
    queue.subscribe(reader)
    queue.run()
    assert reader.bodies == []
    assert paged.come_all() > 1
    assert reader.bodies == bodies

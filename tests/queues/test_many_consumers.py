"""Thousands of consumers of one queue: what each of them costs does not grow with their number."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from leveret.clock import Agenda, Clock
from leveret.profiles import profile
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.message import Entry, Message, frame_content
from leveret.queues.options import ConsumerOptions, QueueOptions
from leveret.queues.quorum.ack_timeouts import Fetched, Overdue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import SERVED_TOGETHER, StreamQueue
from leveret.wire.properties import Properties, encode_properties
from leveret.work import free_values

COUNT = 3 * SERVED_TOGETHER


class Reader(Consumer):
    """A consumer that counts what it gets, and how often all of them are asked for their credit."""

    asked = 0

    def __init__(self, tag: str, queue: Any) -> None:
        super().__init__(tag, queue, False, False, 0, 1)
        self.options = ConsumerOptions()
        self.got = 0
        self.credit = True

    def ready(self) -> bool:
        Reader.asked += 1
        return self.credit

    def read(self, *record: Any) -> None:
        self.got += 1

    def take(self, message: Message, entry: Any, redelivered: bool) -> None:
        self.got += 1
        self.held = 1


class Stage:
    """A queue of a virtual host, and its agenda."""

    def __init__(self, kind: str) -> None:
        self.clock = Clock(0)
        self.agenda = Agenda(self.clock)
        context = VhostContext(self.clock, self.agenda, lambda queue, reason: None, lambda: None)
        self.queue: Any
        if kind == "stream":
            self.queue = StreamQueue("q", "/", context, profile("4.3"))
        else:
            self.queue = QuorumQueue("q", "/", context, QueueOptions(), profile("4.3"))
        self.readers = [Reader(f"c{number}", self.queue) for number in range(COUNT)]

    def subscribe(self) -> None:
        for reader in self.readers:
            self.queue.accept(reader)
            self.queue.subscribe(reader)
        self.queue.run()

    def publish(self) -> None:
        message = Message(b"", b"q")
        message.content, message.head = frame_content(encode_properties(Properties(), 1), b"m")
        message.size = 1
        self.queue.push(message)


def test_a_stream_serves_some_of_very_many_consumers_at_once() -> None:
    stage = Stage("stream")
    stage.subscribe()
    stage.agenda.run()
    Reader.asked = 0
    stage.publish()
    assert Reader.asked <= SERVED_TOGETHER
    stage.publish()
    assert Reader.asked <= 3 * SERVED_TOGETHER
    stage.agenda.run()
    assert [reader.got for reader in stage.readers] == [2] * COUNT


def test_consumers_without_credit_leave_those_that_follow_a_stream() -> None:
    stage = Stage("stream")
    stage.subscribe()
    stage.agenda.run()
    for reader in stage.readers[::2]:
        reader.credit = False
    stage.publish()
    stage.agenda.run()
    assert [reader.got for reader in stage.readers] == [0, 1] * (COUNT // 2)
    for reader in stage.readers[::2]:
        reader.credit = True
        stage.queue.wake(reader)
    assert [reader.got for reader in stage.readers] == [1] * COUNT


def test_consumers_that_leave_a_stream_are_forgotten() -> None:
    stage = Stage("stream")
    stage.subscribe()
    stage.agenda.run()
    for reader in stage.readers[:-1]:
        stage.queue.detach(reader)
    assert len(stage.queue.followers) <= 64
    stage.publish()
    assert [reader.got for reader in stage.readers] == [0] * (COUNT - 1) + [1]
    assert len(stage.queue.followers) == 1


def test_a_quorum_queue_seldom_looks_for_cancelled_consumers_without_deliveries() -> None:
    stage = Stage("quorum")
    stage.subscribe()
    for _ in stage.readers:
        stage.publish()
    for reader in stage.readers:
        reader.credit = False
        reader.held = 1
    looks = 0
    for reader in stage.readers:
        before = stage.queue.cancelled_with_unacked
        stage.queue.detach(reader)
        looks += len(before) if stage.queue.cancelled_with_unacked is not before else 0
    assert looks <= 2 * COUNT
    assert stage.queue.declared_counts() == (0, COUNT)
    for reader in stage.readers:
        reader.held = 0
    assert stage.queue.declared_counts() == (0, 0)


class Deliveries:
    """The unacknowledged deliveries of a channel. `passed`: how many were looked at."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.passed = 0

    def add(self, consumer: Consumer, at: int) -> Entry:
        entry = Entry(Message(b"", b"q"), len(self.entries) + 1, 0, consumer.source)
        entry.consumer = consumer
        entry.delivered_at = at
        consumer.held += 1
        self.entries.append(entry)
        return entry

    def in_order(self) -> Iterator[Entry]:
        for entry in self.entries:
            self.passed += 1
            yield entry


class Holder(Reader):
    """A consumer of a channel. `notified`: how often it was notified that deliveries have timed out."""

    def __init__(self, tag: str, queue: Any, channel: Deliveries) -> None:
        super().__init__(tag, queue)
        self.timeout = 100
        self.channel = channel
        self.notified = 0

    def deliveries(self) -> Deliveries:
        return self.channel

    def replace(self, entry: Entry, late: Entry) -> bool:
        return True

    def timed_out(self) -> None:
        self.notified += 1


def test_the_deliveries_of_a_channel_are_examined_once_for_all_its_consumers() -> None:
    stage = Stage("quorum")
    channels = [Deliveries(), Deliveries()]
    holders = [Holder(f"c{number}", stage.queue, channels[number % 2]) for number in range(200)]
    late = [holder.channel.add(holder, 0) for holder in holders * 2]
    other = Holder("other", StreamQueue("s", "/", stage.queue.context, profile("4.3")), channels[0])
    channels[0].add(other, 0)
    idle = Holder("idle", stage.queue, Deliveries())
    steps = stage.queue.timeouts.due(100, [*holders, idle], [])
    *_, overdue = returned(steps)
    assert [one.holder for one in overdue] == holders, "in the order of the consumers"
    assert [one.entries for one in overdue] == [[late[number], late[number + 200]] for number in range(200)]
    assert [channel.passed for channel in channels] == [201, 200] and not idle.channel.passed
    *_, overdue = returned(stage.queue.timeouts.due(99, holders, []))
    assert not overdue and [channel.passed for channel in channels] == [301, 300], (
        "none is looked for any more"
    )


def returned(steps: Generator[None, None, Any]) -> list[Any]:
    """Run a generator and return what it yields and, last, returns."""
    yielded = list[Any]()
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return [*yielded, end.value]


def test_consumers_whose_deliveries_time_out_are_notified_one_by_one() -> None:
    stage = Stage("quorum")
    channel = Deliveries()
    holders = [Holder(f"c{number}", stage.queue, channel) for number in range(100)]
    for holder in holders:
        stage.queue.subscribe(holder)
    overdue = [Overdue(holder, [channel.add(holder, 0)]) for holder in holders]
    stage.queue.unacked = len(overdue)
    notified = [sum(holder.notified for holder in holders) for _ in stage.queue.overdue_steps(overdue)]
    assert notified[-100:] == list(range(1, 101))
    assert stage.queue.ready == 100, "they are not served before they have settled these"


def test_what_is_unsettled_in_a_deleted_quorum_queue_is_freed_in_portions() -> None:
    stage = Stage("quorum")
    fetched = stage.queue.fetched
    for number in range(3000):
        fetched[number] = Fetched(Entry(Message(b"", b"q"), number, 0, stage.queue), Nobody(), -1)
    stage.queue.close()
    assert not fetched and not stage.queue.fetched, "a job has freed them"
    many = dict.fromkeys(range(2500))
    assert [len(many) for _ in free_values(many)] == [1500, 500, 0]


class Nobody:
    """The holder of a delivery that is not used."""

    def forget(self, entry: Entry) -> bool:
        raise AssertionError

    def timed_out(self) -> None:
        raise AssertionError

    def failed(self, error: Exception) -> None:
        raise AssertionError

"""Thousands of consumers of one queue: what each of them costs does not grow with their number."""

from __future__ import annotations

from typing import Any

from leveret.clock import Agenda, Clock
from leveret.profiles import profile
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.message import Message, frame_content
from leveret.queues.options import ConsumerOptions, QueueOptions
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import SERVED_TOGETHER, StreamQueue
from leveret.wire.properties import Properties, encode_properties

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

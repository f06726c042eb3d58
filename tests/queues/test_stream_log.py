"""What is kept of a stream: retention by whole segments, pages that leave memory."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Queue

from leveret.clock import Agenda, Clock
from leveret.profiles import profile
from leveret.queues.backlog.paging import Pager
from leveret.queues.context import VhostContext
from leveret.queues.message import Message, frame_content
from leveret.queues.stream.log import PAGE_BYTES
from leveret.queues.stream.queue import StreamQueue
from leveret.testing.playbook import (
    Advance,
    Do,
    Playbook,
    Stage,
    publish,
    say,
)
from leveret.wire.properties import Properties, encode_properties
from tests.queues.streams import (
    ack,
    consume,
    consuming,
    kept,
    look,
    qos,
    qos_ok,
    read,
    ready,
    stored,
    stream,
)

# --- retention


def test_whole_segments_leave_when_a_new_one_begins(play: Playbook) -> None:
    play = play >> stream(max_length_bytes=1000, stream_max_segment_size_bytes=400) << ready()
    for _ in range(20):
        play = play >> publish(b"." * 100, "s")
    seen: list[int] = []
    play = play >> Do("look inside", lambda stage: seen.append(kept(stage).ready))
    assert play >> [qos(1), consume()] << [qos_ok(), consuming(), *read(b"." * 100, 12, 1)]
    assert set(seen) == {8}


def test_old_segments_leave_when_a_new_one_begins(play: Playbook) -> None:
    assert (
        play
        >> [*stream(max_age="10s", stream_max_segment_size_bytes=100), *publish(b"." * 100, "s")]
        << ready()
        >> Advance(11_000)
        >> look()
        << ready(1)
        >> publish(b"." * 100, "s")
        >> look()
        << ready(1)
    )


def test_a_policy_that_comes_later(play: Playbook) -> None:
    def limit(stage: Stage) -> None:
        definition = {"max-length-bytes": 500}
        stage.broker.policies.set(_policy(definition))
        stage.broker.vhosts["/"].apply_policies()

    play = play >> stream(stream_max_segment_size_bytes=100) << ready()
    for _ in range(10):
        play = play >> publish(b"." * 100, "s")
    assert play >> look() << ready(10) >> Do("a policy", limit) >> look() << ready(3)


def _policy(definition: dict[str, Any]) -> Any:
    from leveret.engine.policies import Policy

    return Policy("/", "p", "s", definition, 0, "queues")


def test_a_slow_reader_goes_on_with_what_is_left(play: Playbook) -> None:
    """The page it stands in stays with it."""
    play = (
        play
        >> [*stream(max_length_bytes=100, stream_max_segment_size_bytes=100), qos(1)]
        << [ready(), qos_ok()]
    )
    play = play >> publish(b"." * 100, "s") >> consume() << [consuming(), *read(b"." * 100, 0)]
    for _ in range(5):
        play = play >> publish(b"." * 100, "s")
    assert play >> ack(1) << read(b"." * 100, 1) >> ack(2) << read(b"." * 100, 5, 3)


def test_pages_follow_one_another() -> None:
    body = b"." * (PAGE_BYTES // 3)
    play = stored(Playbook(), *[body] * 10)
    assert (
        play
        >> consume(4)
        << [consuming(), *[line for i in range(4, 10) for line in read(body, i, i - 3)]]
        >> publish(body, "s")
        << read(body, 10, 7)
    )


# --- growing while it is read


def test_a_stream_that_hears_of_itself(play: Playbook) -> None:
    """Deliveries of traces are not traced, so this ends; what grows meanwhile is read from where it lies."""

    def trace(stage: Stage) -> None:
        stage.broker.vhosts["/"].tracing = True

    seen: list[int] = []
    given = say(Queue.Bind, queue="s", exchange="amq.rabbitmq.trace", routing_key="deliver.#")
    bound = (
        stored(play, *[b"%d" % i for i in range(50)]) >> given << say(Queue.BindOk) >> Do("tracing", trace)
    )
    first = [line for i in range(10) for line in read(b"%d" % i, i)]
    bound = bound >> consume() << [consuming(), *first]
    assert bound >> Do("count", lambda stage: seen.append(kept(stage).ready))
    assert set(seen) == {60}


# --- memory


class MemoryPager(Pager):
    """A pager with a place outside memory."""

    def __init__(self) -> None:
        super().__init__(2 * PAGE_BYTES)
        self.kept: dict[int, bytes] = {}
        self.written = 0

    def write(self, data: bytes) -> int:
        self.written += 1
        self.kept[self.written] = data
        return self.written

    def peek(self, where: Any) -> bytes:
        return self.kept[where]

    def free(self, where: Any) -> None:
        del self.kept[where]


def test_long_streams_leave_memory() -> None:
    pager = MemoryPager()
    context = VhostContext(Clock(), Agenda(Clock()), lambda queue, reason: None, lambda: None, None, pager)
    stream = StreamQueue("s", "/", context, profile("4.3"))
    stream.log.segment_size = 3 * PAGE_BYTES
    stream.log.most = 10 * PAGE_BYTES
    content_, head = frame_content(encode_properties(Properties(), PAGE_BYTES), b"." * PAGE_BYTES)
    for turn in range(20):
        context.clock.tick_count = turn
        stream.push(Message(b"", b"s", content_, head, PAGE_BYTES))
    assert pager.used < 2 * PAGE_BYTES
    assert 5 < len(pager.kept) < 15
    assert stream.log.first() > 5
    assert all(len(stream.log.read(page)) == page.size for page in stream.log.pages)
    stream.close()
    assert (pager.used, pager.kept) == (0, {})

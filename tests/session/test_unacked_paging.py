"""Bodies of unacknowledged messages leave memory beyond the limit, and come back unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.queues.backlog.paged_contents import page_out, paged_content
from leveret.queues.journal import PENDING
from leveret.session import unacked_paging
from leveret.session.unacked_paging import ENTRY_BYTES, LEAST_AGE_MS, UnackedPaging
from leveret.settings import Profile
from leveret.store.paging_file import FilePager
from leveret.testing.playbook import Connect, Content, Line, Say, Stage, publish, say
from leveret.wire.tables import Field
from tests.session.plays import ack, consume, get, nack

LIMIT = 20_000
SIZE = 1000
COUNT = 50

KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priorities": {"x-max-priority": 5},
    "quorum": {"x-queue-type": "quorum"},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten messages in a block. What is left of paging files is closed in the end."""
    monkeypatch.setattr(unacked_paging, "BLOCK_BYTES", 10 * SIZE)
    pagers: list[FilePager] = []
    monkeypatch.setattr(Sessions, "pagers", pagers)
    yield
    for pager in pagers:
        if pager.current is not None:
            pager.current.file.close()


class Sessions:
    """A broker with a small limit, its two clients, and `COUNT` messages in the queue `q`."""

    pagers: ClassVar[list[FilePager]] = []

    def __init__(self, kind: str = "classic", version: str = "4.3", **arguments: Any) -> None:
        settings = Settings(profile=Profile(version=version))
        self.stage = Stage(settings, lambda data: (data,))
        self.pager = FilePager(LIMIT)
        self.pagers.append(self.pager)
        broker = Broker(settings, self.stage.clock, pager=self.pager, link_clock=self.stage.link_clock)
        self.stage.use(broker)
        startup.seed(broker)
        self.paging = UnackedPaging(broker)
        self.stage.connect(Connect("a", channels=(1,)))
        self.stage.connect(Connect("b", channels=(1,)))
        declare = say(Queue.Declare, queue="q", durable=True, arguments=KINDS[kind] | arguments)
        self.play(declare, *(line for number in range(COUNT) for line in publish(body(number), "q")))

    @property
    def queue(self) -> Any:
        return self.stage.broker.vhosts["/"].queues["q"]

    @property
    def channel(self) -> Any:
        return self.stage.clients["a"].connection.channels[1]

    def play(self, *lines: Line) -> list[Line]:
        """Play lines, and check all invariants."""
        said = self.stage.play(lines)
        if self.stage.checker is not None:
            self.stage.checker.all()
        return said

    def page_out(self) -> list[Any]:
        """Check for what is to be paged out after a while; returns the deliveries that are."""
        self.stage.advance(LEAST_AGE_MS)
        self.paging.check()
        return [entry for entry in self.channel.unacked.outstanding() if paged_content(entry.message)]


def body(number: int) -> bytes:
    return b"%04d" % number + bytes(SIZE - 4)


def bodies(lines: list[Line]) -> list[int]:
    return [int(line.body[:4]) for line in lines if isinstance(line, Content)]


def held(kind: str = "classic", **arguments: Any) -> Sessions:
    """Sessions in which everything was delivered to `c` and paged out as far as it is to be."""
    at = Sessions(kind, **arguments)
    assert bodies(at.play(consume())) == list(range(COUNT))
    assert len(at.page_out()) == 40
    assert at.pager.bodies == 40 * SIZE
    at.paging.check()
    assert at.paging.memory == (COUNT - 40) * SIZE + COUNT * ENTRY_BYTES
    return at


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_beyond_the_limit_leave_memory_and_are_settled_without_being_read(kind: str) -> None:
    at = held(kind)
    assert at.pager.paged > 40 * SIZE
    at.play(ack(1))
    assert at.pager.bodies == 39 * SIZE
    at.play(ack(COUNT, multiple=True))
    assert (at.pager.bodies, at.pager.wasted, at.pager.paged) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "way",
    [
        [say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True)],
        [say(Channel.Close, reply_code=200, reply_text="", class_id=0, method_id=0)],
        [say(Basic.Cancel, consumer_tag="c"), say(Basic.Recover, requeue=True)],
    ],
    ids=["cancel", "close", "recover"],
)
def test_returned_messages_are_delivered_again_with_their_bodies(kind: str, way: list[Say]) -> None:
    at = held(kind)
    at.play(*way)
    again = at.play(say(Basic.Consume, queue="q", consumer_tag="d", by="b"))
    assert sorted(bodies(again)) == list(range(COUNT))
    assert all(line.body == body(int(line.body[:4])) for line in again if isinstance(line, Content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_gets_what_it_has_returned_with_the_bodies(kind: str) -> None:
    at = held(kind)
    again = at.play(nack(0, multiple=True))
    assert sorted(bodies(again)) == list(range(COUNT))
    assert at.pager.bodies == 0
    assert len(at.page_out()) == 40


def test_returned_messages_stay_outside_memory_until_they_are_delivered() -> None:
    at = held()
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert at.pager.bodies == 40 * SIZE
    assert at.pager.used < 10 * (SIZE + 600) + COUNT * 300
    assert bodies(at.play(*[get(no_ack=True)] * COUNT)) == list(range(COUNT))
    assert (at.pager.bodies, at.pager.paged, at.pager.used) == (0, 0, 0)


def test_purged_messages_are_not_read() -> None:
    at = held()
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True), say(Queue.Purge, queue="q"))
    assert (at.pager.bodies, at.pager.paged, at.pager.used) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_rejected_messages_are_dead_lettered_with_their_bodies(kind: str) -> None:
    at = held(
        kind,
        **{"x-dead-letter-exchange": Field("S", b""), "x-dead-letter-routing-key": Field("S", b"dead")},
    )
    at.play(say(Queue.Declare, queue="dead"), nack(0, multiple=True, requeue=False))
    got = at.play(say(Basic.Consume, queue="dead", consumer_tag="d", no_ack=True))
    assert bodies(got) == list(range(COUNT))
    assert (at.pager.bodies, at.pager.paged) == (0, 0)


def test_dead_letters_beyond_the_delivery_limit_have_their_bodies() -> None:
    at = held(
        "quorum",
        **{
            "x-delivery-limit": 0,
            "x-dead-letter-exchange": Field("S", b""),
            "x-dead-letter-routing-key": Field("S", b"dead"),
        },
    )
    at.play(
        say(Queue.Declare, queue="dead"),
        say(Basic.Cancel, consumer_tag="c"),
        *[say(Basic.Reject, delivery_tag=tag, requeue=True) for tag in range(1, COUNT + 1)],
    )
    got = at.play(say(Basic.Consume, queue="dead", consumer_tag="d", no_ack=True))
    assert bodies(got) == list(range(COUNT))


def test_entries_returned_behind_all_others_come_back_first_into_memory() -> None:
    at = held("quorum", version="3.13")
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert at.pager.bodies == 0
    assert bodies(at.play(*[get(no_ack=True)] * COUNT)) == list(range(COUNT))


def test_delayed_retries_stay_outside_memory() -> None:
    at = held(
        "quorum",
        **{
            "x-delayed-retry-type": Field("S", b"all"),
            "x-delayed-retry-min": 5000,
            "x-delayed-retry-max": 5000,
        },
    )
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert (at.queue.withheld, at.pager.bodies) == (COUNT, 40 * SIZE)
    at.stage.advance(5000)
    assert bodies(at.play(*[get(no_ack=True)] * COUNT)) == list(range(COUNT))


def test_young_and_unwritten_deliveries_stay_in_memory() -> None:
    at = Sessions()
    at.play(consume())
    at.paging.check()
    assert at.pager.bodies == 0
    entries = at.channel.unacked.outstanding()
    entries[10].stored = PENDING
    assert len(at.page_out()) == 10
    entries[10].stored = 0
    assert len(at.page_out()) == 40


def test_small_bodies_are_not_worth_it() -> None:
    at = Sessions()
    small = [line for _ in range(2 * LIMIT // 50) for line in publish(b"x" * 50, "other")]
    at.play(say(Queue.Declare, queue="other"), *small, say(Basic.Consume, queue="other"))
    assert at.page_out() == []
    at.play(consume("d"))
    assert len(at.page_out()) == COUNT


def test_below_the_limit_nothing_is_written() -> None:
    at = Sessions()
    at.play(say(Basic.Qos, prefetch_count=LIMIT // SIZE), consume())
    assert at.page_out() == []
    assert at.pager.current is None


def test_bodies_shared_by_queues_are_paged_for_each_of_them() -> None:
    at = Sessions()
    at.play(
        say(Queue.Declare, queue="p"),
        *(say(Queue.Bind, exchange="amq.fanout", queue=name) for name in "pq"),
        *(line for number in range(COUNT) for line in publish(body(number), "", exchange="amq.fanout")),
        consume(),
    )
    at.page_out()
    assert at.pager.bodies > LIMIT
    assert bodies(at.play(*[say(Basic.Get, queue="p", no_ack=True)] * COUNT)) == list(range(COUNT))
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert bodies(at.play(*[get(no_ack=True)] * (2 * COUNT))) == [*range(COUNT), *range(COUNT)]


def test_a_full_disk_leaves_bodies_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Sessions()
    monkeypatch.setattr(FilePager, "write", lambda *_: None)
    at.play(consume())
    assert at.page_out() == []
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert bodies(at.play(*[get(no_ack=True)] * COUNT)) == list(range(COUNT))


def test_blocks_with_few_bodies_left_are_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unacked_paging, "WASTED_BYTES", SIZE)
    at = held()
    at.play(*[ack(tag) for tag in range(1, 37)])
    assert at.pager.bodies == 4 * SIZE
    assert at.pager.wasted * 10 == at.pager.paged * 6
    at.paging.check()
    assert (at.pager.bodies, at.pager.wasted) == (4 * SIZE, 0)
    assert at.pager.paged < 5 * SIZE
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
    assert bodies(at.play(*[get(no_ack=True)] * COUNT)) == list(range(36, COUNT))


def cut_short(pager: FilePager) -> None:
    assert pager.current is not None
    os.ftruncate(pager.current.file.fileno(), 10)


def changed(pager: FilePager) -> None:
    assert pager.current is not None
    os.pwrite(pager.current.file.fileno(), b"\xff" * 10, 500)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [cut_short, changed])
@pytest.mark.parametrize("way", ["get", "reject", "expire"])
def test_a_body_that_cannot_be_read_back_crashes_its_queue(
    kind: str, damage: Callable[[FilePager], None], way: str
) -> None:
    at = held(kind, **{"x-dead-letter-exchange": Field("S", b""), "x-message-ttl": 60_000})
    damage(at.pager)
    if way == "reject":
        at.play(nack(0, multiple=True, requeue=False))
    else:
        at.play(say(Basic.Cancel, consumer_tag="c"), nack(0, multiple=True))
        if way == "get":
            at.stage.play([get()])
        else:
            at.stage.advance(60_000)
    assert "cannot be read back" in at.queue.crashed
    assert (at.queue.ready, at.queue.ready_bytes, at.queue.unacked) == (0, 0, 0)
    at.stage.advance(1)
    assert at.pager.used == 0


def test_a_dead_letter_that_cannot_be_read_back_crashes_its_queue() -> None:
    limits = {"x-dead-letter-exchange": Field("S", b""), "x-delivery-limit": 0}
    at = held("quorum", **limits)
    cut_short(at.pager)
    at.play(say(Channel.Close, reply_code=200, reply_text="", class_id=0, method_id=0))
    assert "cannot be read back" in at.queue.crashed
    assert (at.queue.ready, at.queue.unacked, at.pager.bodies, at.pager.paged) == (0, 0, 0, 0)


def test_several_blocks_of_one_channel_are_read_independently() -> None:
    at = Sessions()
    at.play(consume())
    first, second = at.channel.unacked.outstanding()[:2]
    assert page_out([first], at.pager)
    assert page_out([second], at.pager)
    at.play(say(Basic.Cancel, consumer_tag="c"), nack(2), nack(1))
    assert bodies(at.play(get(no_ack=True), get(no_ack=True))) == [0, 1]

"""Fifo and Levels against a sorted list: they keep the order of positions, also for entries that are encoded, paged out
or requeued."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.queues.backlog.paging import BLOCK_ENTRIES, Pager
from leveret.queues.backlog.ready import Backlog, Fifo, Levels
from leveret.queues.disk_read import DiskRead
from leveret.queues.journal import PENDING, QueueJournal
from leveret.queues.message import Death, Entry, Extra, Message, Source, frame_content
from leveret.queues.quorum.backlog import QuorumBacklog, WeightedBacklog
from leveret.wire.properties import Properties, encode_properties

SOURCE = Source()


class MemoryPager(Pager):
    """A pager that writes to memory that it does not count."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.kept: dict[int, bytes] = {}
        self.written = 0
        self.asked: list[int] = []

    def write(self, data: bytes) -> int:
        self.written += 1
        self.kept[self.written] = data
        self.paged += len(data)
        return self.written

    def peek(self, where: Any) -> bytes:
        return self.kept[where]

    def read(self, where: Any) -> bytes:
        data = self.kept.pop(where)
        self.paged -= len(data)
        return data

    def begin_read(self, where: Any) -> DiskRead:
        self.asked.append(where)
        return super().begin_read(where)

    def free(self, where: Any) -> None:
        self.paged -= len(self.kept.pop(where))


def message(number: int, size: int = 3, **changes: Any) -> Message:
    body = str(number).encode().rjust(size, b".")
    content, head = frame_content(encode_properties(Properties(), len(body)), body)
    made = Message(b"exchange", b"key.%d" % (number % 3), content, head, len(body))
    made.shares = 1
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def entry(position: int, **changes: Any) -> Entry:
    return Entry(message(position, **changes), position, 0, SOURCE)


def positions(entries: list[Entry]) -> list[int]:
    return [one.position for one in entries]


def drain(backlog: Backlog) -> list[Entry]:
    entries = []
    while (first := backlog.first()) is not None:
        one = backlog.pop()
        assert one is not None and one.position == first.position
        entries.append(one)
    assert backlog.pop() is None and backlog.length == 0
    return entries


# --- order


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from([1, 1, 2, 7, 40, 900, 2100])),
        st.tuples(st.just("pop"), st.sampled_from([1, 1, 2, 7, 40, 900, 2100])),
        st.tuples(st.just("back"), st.integers(1, 30)),
    ),
    max_size=25,
)


@given(STEPS, st.sampled_from([0, 20_000, 1 << 62]), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_a_fifo_keeps_entries_by_position(steps: list[tuple[str, int]], limit: int, random: Any) -> None:
    pager = MemoryPager(limit)
    fifo: Backlog = Fifo(pager)
    model: list[int] = []
    out: list[Entry] = []
    position = 0
    for kind, number in steps:
        if kind == "push":
            for _ in range(number):
                position += 1
                fifo.push(entry(position))
                model.append(position)
        elif kind == "pop":
            for _ in range(number):
                first = fifo.first()
                popped = fifo.pop()
                assert (popped.position if popped else None) == (model[0] if model else None)
                assert (first.position if first else None) == (popped.position if popped else None)
                if popped is not None:
                    model.pop(0)
                    out.append(popped)
        else:
            random.shuffle(out)
            returned, out = out[:number], out[number:]
            fifo.requeue(returned)
            model = sorted(model + positions(returned))
        assert fifo.length == len(model)
    assert positions(drain(fifo)) == model
    assert pager.used == 0 and not pager.kept and pager.paged == 0


@given(st.lists(st.tuples(st.integers(-1, 12), st.booleans()), max_size=80))
def test_levels_serve_the_highest_priority_first(steps: list[tuple[int, bool]]) -> None:
    pager = Pager()
    levels: Backlog = Levels(pager, 5)
    model: list[tuple[int, int]] = []
    out: list[Entry] = []
    for position, (priority, pop) in enumerate(steps, 1):
        levels.push(entry(position, priority=priority))
        model.append((-min(max(priority, 0), 5), position))
        model.sort()
        if pop:
            popped = levels.pop()
            assert popped is not None and popped.position == model.pop(0)[1]
            out.append(popped)
        if position % 7 == 0:
            levels.requeue(out)
            model = sorted(model + [(-min(max(one.message.priority, 0), 5), one.position) for one in out])
            out = []
        assert levels.length == len(model)
    assert positions(drain(levels)) == [position for _, position in model]
    assert pager.used == 0


# --- what packing keeps


def rich(position: int) -> Entry:
    """An entry with every property that a message can have."""
    extra = Extra()
    extra.more = [b"cc", b"\xff"]
    extra.deaths = [Death("q\udcff", "expired", 3, 1_600_000_000, b"x", (b"k",), b"100")]
    extra.redelivered, extra.acquired, extra.failed = True, 2, 1
    one = Entry(
        message(position, 60, extra=extra, persistent=True, priority=255, expiration=0),
        position,
        1_700_000_000_000 + position,
        SOURCE,
    )
    one.redelivered, one.acquired, one.failed, one.stored = True, 70_000, 80_000, 90_000
    return one


def stated(one: Entry) -> tuple[Any, ...]:
    made = one.message
    extra = made.extra
    return (
        (one.position, one.expires_at, one.redelivered, one.acquired, one.failed, one.stored, one.source),
        (made.exchange, made.routing_key, made.content, made.head, made.size, made.body, made.header),
        (made.persistent, made.priority, made.expiration),
        extra and (extra.more, extra.deaths, extra.redelivered, extra.acquired, extra.failed),
    )


@pytest.mark.parametrize("limit", [0, 1 << 62])
@pytest.mark.parametrize("make", [entry, rich])
def test_encoded_entries_come_back_unchanged(make: Any, limit: int) -> None:
    pager = MemoryPager(limit)
    fifo: Backlog = Fifo(pager)
    sent = []
    for position in range(1, 5 * BLOCK_ENTRIES):
        one = make(position)
        if position % 5 == 0:
            one.message.priority = position % 7 - 1
            one.message.exchange = b""
        sent.append(stated(one))
        fifo.push(one)
    assert (pager.written > 0) == (limit == 0)
    assert [stated(one) for one in drain(fifo)] == sent
    assert pager.used == 0 and not pager.kept


def test_few_messages_with_an_extra_are_encoded_together() -> None:
    """Each takes microseconds: a thousand of them would hold the loop."""
    pager = MemoryPager(1 << 62)
    fifo: Backlog = Fifo(pager)
    for position in range(1, 6 * BLOCK_ENTRIES):
        if position == 2 * BLOCK_ENTRIES:  # what is packed leaves memory from now on; memory is not short
            pager.limit = pager.used * 3 // 2
        fifo.push(rich(position))
    assert max(data.count(b"exchange") for data in pager.kept.values()) == 32
    assert positions(drain(fifo)) == list(range(1, 6 * BLOCK_ENTRIES))


def test_messages_without_a_body_are_encoded() -> None:
    fifo: Backlog = Fifo(Pager())
    for position in range(1, 4 * BLOCK_ENTRIES):
        content, head = frame_content(encode_properties(Properties(), 0), b"")
        made = Message(b"", b"", content, head, 0)
        made.shares = 1
        fifo.push(Entry(made, position, 0, SOURCE))
    assert all(one.message.body == b"" and len(one.message.header) == 14 for one in drain(fifo))


def test_a_shared_message_is_not_encoded() -> None:
    """To encode it in each of its queues would double its size."""
    shared = message(1, 1000, shares=2)
    fifo: Backlog = Fifo(Pager())
    for position in range(1, 4 * BLOCK_ENTRIES):
        fifo.push(Entry(shared, position, 0, SOURCE))
    assert all(one.message is shared for one in drain(fifo))


# --- memory


def test_a_long_backlog_is_paged_out() -> None:
    pager = MemoryPager(1_000_000)
    fifo: Backlog = Fifo(pager)
    for position in range(1, 20_001):
        fifo.push(entry(position, size=100))
    assert pager.used < 2_500_000
    assert pager.paged > 1_500_000
    assert positions(drain(fifo)) == list(range(1, 20_001))
    assert pager.asked, "the next block is asked for ahead of time"


def test_many_short_backlogs_are_paged_out() -> None:
    pager = MemoryPager(500_000)
    backlogs: list[Backlog] = [Fifo(pager) for _ in range(100)]
    for position in range(1, 101):
        for backlog in backlogs:
            backlog.push(entry(position, size=100))
    assert pager.used < 2_500_000 and pager.paged > 0
    for backlog in backlogs:
        assert positions(drain(backlog)) == list(range(1, 101))


@pytest.mark.parametrize("limit", [0, 1 << 62])
def test_release_frees_all_memory(limit: int) -> None:
    pager = MemoryPager(limit)
    for backlog in (Fifo(pager), Levels(pager, 3)):
        for position in range(1, 5 * BLOCK_ENTRIES):
            backlog.push(entry(position, priority=position % 4))
        taken = [backlog.pop() for _ in range(10)]
        backlog.requeue([one for one in taken[:5] if one is not None])
        backlog.release()
        assert backlog.length == 0 and backlog.pop() is None
        assert pager.used == 0 and not pager.kept
        backlog.push(entry(1, priority=0))
        assert positions(drain(backlog)) == [1]


# --- what many entries cost


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=60), st.integers(1, 255))
def test_levels_keep_order_whichever_are_in_use(steps: list[tuple[int, bool]], top: int) -> None:
    levels: Backlog = Levels(Pager(), top)
    model: list[tuple[int, int]] = []
    for position, (priority, pop) in enumerate(steps, 1):
        levels.push(entry(position, priority=priority))
        model.append((-min(priority, top), position))
        model.sort()
        first = levels.first()
        assert first is not None and first.position == model[0][1]
        if pop:
            popped = levels.pop()
            assert popped is first
            model.pop(0)
    assert positions(levels.heads() if isinstance(levels, Levels) else []) == heads(model)
    assert positions(drain(levels)) == [position for _, position in model]


def heads(model: list[tuple[int, int]]) -> list[int]:
    """The first position of each level."""
    first: dict[int, int] = {}
    for level, position in model:
        first.setdefault(level, position)
    return list(first.values())


def test_expired_entries_are_taken_in_portions() -> None:
    levels = Levels(Pager(), 9)
    for position in range(1, 1001):
        one = entry(position, priority=position % 10)
        one.expires_at = 5 if position < 900 else 50
        levels.push(one)
    taken = []
    while portion := levels.take_expired(10, 64):
        assert len(portion) <= 64
        taken += portion
    assert [one.message.priority for one in taken] == sorted(
        (one.message.priority for one in taken), reverse=True
    )
    assert sorted(positions(taken)) == list(range(1, 900)) and levels.length == 101


class SettledPositions(QueueJournal):
    """What was settled, by position."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    def settle(self, entry: Entry) -> None:
        self.positions.append(entry.position)

    def settle_run(self, stored: int, first: int, last: int) -> None:
        self.positions.extend(range(first, last + 1))


@pytest.mark.parametrize("limit", [0, 1 << 62])
@pytest.mark.parametrize("stored", [lambda position: 7, lambda position: position % 3, lambda position: 0])
def test_a_backlog_is_freed_and_settled_in_portions(limit: int, stored: Any) -> None:
    pager = MemoryPager(limit)
    for backlog in (Fifo(pager), Levels(pager, 3), QuorumBacklog(WeightedBacklog(pager))):
        for position in range(1, 5 * BLOCK_ENTRIES):
            one = entry(position, priority=position % 4)
            one.stored = stored(position)
            backlog.push(one)
        taken = [backlog.pop() for _ in range(700)]
        gone = positions([one for one in taken[600:] if one is not None])
        backlog.requeue([one for one in taken[:600] if one is not None])
        journal, portions = SettledPositions(), 0
        while backlog.release_some(journal):
            portions += 1
        assert portions > 5 and backlog.length == 0 and backlog.pop() is None
        kept = [position for position in range(1, 5 * BLOCK_ENTRIES) if stored(position)]
        assert sorted(journal.positions + [one for one in gone if stored(one)]) == kept
        assert pager.used == 0 and not pager.kept


def test_long_backlogs_are_packed_a_part_in_each_turn() -> None:
    """When the store has written a long batch, all of it can be packed: as much as a turn allows, and what new entries
    make room for."""
    pager = Pager(0)
    fifo = Fifo(pager)
    entries = [entry(number) for number in range(1, 20_001)]
    for each in entries:
        each.stored = PENDING
        fifo.push(each)
    for each in entries:
        each.stored = 1
    pager.allowance = 1000
    fifo.push(entry(20_001))
    packed = fifo.entries()[1]
    assert 0 < packed < 4096
    for number in range(20_002, 20_102):
        fifo.push(entry(number))
    assert fifo.entries()[1] == packed, "the turn is over"
    pager.allowance = 1000
    fifo.push(entry(20_102))
    assert packed < fifo.entries()[1] < packed + 4096


def test_a_backlog_without_blocks_and_requeued_entries_is_whole() -> None:
    fifo = Fifo(MemoryPager(0))
    assert fifo.whole()
    fifo.push(entry(1))
    taken = fifo.pop()
    assert taken is not None and fifo.whole()
    fifo.requeue([taken])
    assert not fifo.whole(), "its content may be on the disk"
    fifo.pop()
    assert fifo.whole()
    for position in range(2, 4 * BLOCK_ENTRIES):
        fifo.push(entry(position))
    assert not fifo.whole()
    drain(fifo)
    assert fifo.whole()


# --- peek


@pytest.mark.parametrize("limit", [1 << 40, 0], ids=["in memory", "paged out"])
@pytest.mark.parametrize(
    "make", [Fifo, lambda pager: Levels(pager, 3), WeightedBacklog], ids=["fifo", "levels", "weighted"]
)
def test_peek_shows_what_pop_takes_and_leaves_it(make: Any, limit: int) -> None:
    backlog: Backlog = make(MemoryPager(limit))
    for position in range(1, 4 * BLOCK_ENTRIES):
        backlog.push(entry(position, priority=position % 7))
    seen = [each.position for each in backlog.peek(3 * BLOCK_ENTRIES)]
    assert [each.position for each in backlog.peek(10)] == seen[:10]
    assert backlog.length == 4 * BLOCK_ENTRIES - 1
    taken = [each.position for each in (backlog.pop() for _ in range(3 * BLOCK_ENTRIES)) if each is not None]
    assert seen == taken


def test_peek_shows_requeued_entries_at_their_positions() -> None:
    backlog = Fifo(Pager())
    for position in range(1, 10):
        backlog.push(entry(position))
    taken = [each for each in (backlog.pop() for _ in range(5)) if each is not None]
    backlog.requeue([taken[3], taken[0], taken[2]])
    assert [each.position for each in backlog.peek(4)] == [1, 3, 4, 6]


def test_peek_shows_returned_entries_of_a_quorum_queue_first() -> None:
    backlog = QuorumBacklog(Fifo(Pager()))
    for position in range(1, 5):
        backlog.push(entry(position))
    first = backlog.pop()
    assert first is not None
    backlog.requeue([first])
    backlog.pop()
    backlog.requeue([entry(9)])
    assert [each.position for each in backlog.peek(3)] == [9, 2, 3]

"""Queues on the disk store are compared with a model after random operations and an end of any kind.

A message is *confirmed* when its ticket was settled, *gone* when the ticket of its settlement was. A crash keeps what
was written; a power failure keeps what was synced, and any part of what was written after that. Everything else that
was reported may have happened or not.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leveret.queues.message import Entry
from leveret.store.files import Files
from leveret.store.messages import compaction
from leveret.store.messages.compaction import COMPACTION_SPARE_SEGMENTS
from tests.stores.harness import DiskHarness, message

QUEUES = ("q", "p")

#: A message in one of `QUEUES`, or in the queue that it is dead-lettered to from there.
Key = tuple[str, int]


def dead(queue: str) -> str:
    """The queue that gets the dead letters of a queue."""
    return f"dead.{queue}"


class Journaled(Files):
    """Files that know how much of the newest segment was synced."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = 0

    def create(self, path: Path) -> int:
        if path.suffix == ".new":  # not the epoch
            self.synced = 0
        return super().create(path)

    def sync(self, file: int) -> None:
        super().sync(file)
        self.synced = os.fstat(file).st_size


@dataclass
class Item:
    """What is known of a message. `ticket`: of its publish; `settled`: of its settlement, 0 for none;
    `delivered_marks`: it was delivered; `rejected`: it was, and is in the dead letter queue."""

    persistent: bool
    ticket: int
    settled: int = 0
    delivered_marks: bool = False
    rejected: bool = False


class DiskMachine(RuleBasedStateMachine):
    """The queues, and what the model knows of their messages."""

    def __init__(self) -> None:
        super().__init__()
        compaction.COMPACTION_SPARE_SEGMENTS = 0
        self.place = tempfile.TemporaryDirectory(prefix="leveret-model-")
        self.files = Journaled()
        self.harness = DiskHarness(Path(self.place.name), self.files, segment=500)
        self.items: dict[Key, Item] = {}
        self.held: dict[Key, Entry] = {}
        self.numbers = 0
        self.settled = 0

    @initialize()
    def declare(self) -> None:
        for name in QUEUES:
            self.harness.declare(dead(name))
            self.harness.declare(name, dead_letter_exchange="", dead_letter_routing_key=dead(name))
        self.harness.commit()

    def teardown(self) -> None:
        self.harness.kill()
        self.place.cleanup()
        compaction.COMPACTION_SPARE_SEGMENTS = COMPACTION_SPARE_SEGMENTS

    @property
    def open(self) -> int:
        """The ticket of the open batch."""
        number: int = self.harness.store.journal.open
        return number

    # --- what clients do

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 4), persistent=st.booleans())
    def publish(self, queue: str, count: int, persistent: bool) -> None:
        for _ in range(count):
            self.numbers += 1
            ticket = self.harness.push(queue, message(b"%d" % self.numbers, persistent=persistent))
            self.items[queue, self.numbers] = Item(persistent, ticket)

    @rule(persistent=st.booleans())
    def publish_to_both(self, persistent: bool) -> None:
        self.numbers += 1
        self.harness.fanout(list(QUEUES), message(b"%d" % self.numbers, persistent=persistent))
        for queue in QUEUES:
            self.items[queue, self.numbers] = Item(persistent, self.open)

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 3), letters=st.booleans())
    def get(self, queue: str, count: int, letters: bool) -> None:
        for entry in self.harness.take(dead(queue) if letters else queue, count):
            key = queue, int(entry.message.body)
            self.items[key].delivered_marks = True
            self.held[key] = entry

    @rule(data=st.data(), requeue=st.booleans())
    def settle(self, data: Any, requeue: bool) -> None:
        if self.held:
            key = data.draw(st.sampled_from(sorted(self.held)))
            if requeue:
                self.harness.requeue(self.held.pop(key))
            else:
                self.harness.ack(self.held.pop(key))
                self.items[key].settled = self.open

    @rule(data=st.data())
    def reject(self, data: Any) -> None:
        mine = [key for key in sorted(self.held) if not self.items[key].rejected]
        if mine:
            key = data.draw(st.sampled_from(mine))
            self.harness.reject(self.held.pop(key))
            self.items[key].rejected = True

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        self.harness.queue(queue).purge()
        for key, item in self.items.items():
            if key[0] == queue and key not in self.held and not item.rejected and not item.settled:
                item.settled = self.open

    # --- what the store does

    @rule()
    def commit(self) -> None:
        self.harness.loop.slow = False
        self.harness.loop.answer()
        self.harness.commit()

    @rule()
    def write_without_syncing(self) -> None:
        """The batch is written; its sync does not end."""
        self.harness.loop.slow = True
        self.harness.loop.run()

    @invariant()
    def remember(self) -> None:
        """Remember what is settled: that is certain when this broker ends."""
        self.settled = self.harness.store.journal.settled

    # --- the end, and after

    @rule()
    def stop(self) -> None:
        self.harness.loop.slow = False
        self.harness.loop.answer()
        for key in sorted(self.held):
            self.harness.requeue(self.held.pop(key))
        self.harness.commit()
        self.remember()
        self.harness.restart()
        self.account(marked=True)

    @rule()
    def crash(self) -> None:
        self.harness.crash()
        self.account(marked=True)

    @rule(part=st.floats(0, 1))
    def cut_the_power(self, part: float) -> None:
        self.harness.kill()
        logs = self.harness.logs()
        if logs:
            size = logs[-1].stat().st_size
            synced = min(self.files.synced, size)
            os.truncate(logs[-1], synced + int((size - synced) * part))
        self.harness.open()
        self.account(marked=False)

    def account(self, *, marked: bool) -> None:
        """Compare what was restored with what is certain, and go on with it. `marked`: messages that were delivered
        must be redelivered."""
        now: dict[Key, Item] = {}
        for queue in QUEUES:
            here, letters = dict(self.found(queue)), dict(self.found(dead(queue)))
            assert list(here) == sorted(here), "out of order"
            assert not here.keys() & letters.keys(), "in two places"
            for (where, number), item in self.items.items():
                if where == queue:
                    self.check((queue, number), item, here, letters, marked)
            for number, redelivered in (here | letters).items():
                now[queue, number] = Item(True, 0, delivered_marks=redelivered, rejected=number in letters)
                if number in letters:
                    now[queue, number].delivered_marks |= self.items[queue, number].delivered_marks
        self.items = now
        self.held.clear()

    def found(self, queue: str) -> list[tuple[int, bool]]:
        numbers = [(int(body), redelivered) for body, redelivered in self.harness.look(queue)]
        assert len(dict(numbers)) == len(numbers), "twice"
        return numbers

    def check(
        self, key: Key, item: Item, here: dict[int, bool], letters: dict[int, bool], marked: bool
    ) -> None:
        number = key[1]
        there = number in here or number in letters
        if not item.persistent:
            assert not there, f"{key} was transient: {item}"
        elif item.settled and item.settled <= self.settled:
            assert not there, f"{key} was settled and is back: {item}"
        elif not item.settled and item.ticket <= self.settled:
            assert there, f"{key} was confirmed and is lost: {item}"
            assert item.rejected or number in here, f"{key} was never rejected: {item}"
        if number in here:
            assert item.delivered_marks or not here[number], f"{key} was never handed out: {item}"
            assert here[number] or not (item.delivered_marks and marked), (
                f"{key} comes again unmarked: {item}"
            )


DiskMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestDiskModel = DiskMachine.TestCase

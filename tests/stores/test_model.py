"""Queues on the disk store against a model that knows what is certain: any operations, then the end, however it comes.

A message is *confirmed* when its ticket was settled, *gone* when its settlement was. A crash keeps what was written; a power
cut keeps what was synced and any part of what was written since. Whatever else was told may or may not have happened.
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
from tests.stores.houses import DiskHouse, message

QUEUES = ("q", "p")
DEAD = "dead"


class Journaled(Files):
    """Knows what is on the disk of the file that is written to."""

    def __init__(self) -> None:
        self.synced = 0

    def create(self, path: Path) -> int:
        self.synced = 0
        return super().create(path)

    def sync(self, file: int) -> None:
        super().sync(file)
        self.synced = os.fstat(file).st_size


@dataclass
class Item:
    """One message. `ticket`: of its publishing; `settled`: of its settlement, 0 for none; `handed`: somebody saw it."""

    number: int
    queue: str
    persistent: bool
    ticket: int
    settled: int = 0
    handed: bool = False
    rejected: bool = False


class DiskMachine(RuleBasedStateMachine):
    """The queues, and what the model knows of their messages."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="leveret-model-")
        self.files = Journaled()
        self.house = DiskHouse(Path(self.place.name), self.files, segment=500)
        self.items: dict[int, Item] = {}
        self.held: dict[int, Entry] = {}
        self.numbers = 0

    @initialize()
    def declare(self) -> None:
        self.house.declare(DEAD)
        for name in QUEUES:
            self.house.declare(name, dead_letter_exchange="", dead_letter_routing_key=DEAD)
        self.house.commit()

    def teardown(self) -> None:
        self.house.leave()
        self.place.cleanup()

    # --- what clients do

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 4), persistent=st.booleans())
    def publish(self, queue: str, count: int, persistent: bool) -> None:
        for _ in range(count):
            self.numbers += 1
            ticket = self.house.push(queue, message(b"%d" % self.numbers, persistent=persistent))
            self.items[self.numbers] = Item(self.numbers, queue, persistent, ticket)

    @rule(persistent=st.booleans())
    def publish_to_both(self, persistent: bool) -> None:
        """One message in two queues, told apart by the queue it is found in."""
        self.numbers += 1
        self.house.fanout(list(QUEUES), message(b"%d" % self.numbers, persistent=persistent))
        ticket = self.house.store.journal.ticket if persistent else 0
        for sign, queue in zip((1, -1), QUEUES, strict=True):
            number = sign * self.numbers
            self.items[number] = Item(number, queue, persistent, ticket)

    @rule(queue=st.sampled_from((*QUEUES, DEAD)), count=st.integers(1, 3))
    def get(self, queue: str, count: int) -> None:
        for entry in self.house.take(queue, count):
            item = self.items[self.identity(queue, entry.message.body)]
            item.handed = True
            self.held[item.number] = entry

    @rule(data=st.data(), requeue=st.booleans())
    def settle(self, data: Any, requeue: bool) -> None:
        if not self.held:
            return
        number = data.draw(st.sampled_from(sorted(self.held)))
        entry, item = self.held.pop(number), self.items[number]
        if requeue:
            self.house.requeue(entry)
        else:
            self.house.ack(entry)
            item.settled = self.house.store.journal.open

    @rule(data=st.data())
    def reject(self, data: Any) -> None:
        mine = [number for number in sorted(self.held) if not self.items[number].rejected]
        if not mine:
            return
        number = data.draw(st.sampled_from(mine))
        item = self.items[number]
        self.house.reject(self.held.pop(number))
        item.rejected, item.settled = True, 0

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        self.house.queue(queue).purge()
        for item in self.items.values():
            if item.queue == queue and item.number not in self.held and not item.rejected and not item.settled:
                item.settled = self.house.store.journal.open

    # --- what the store does

    @rule()
    def commit(self) -> None:
        self.house.hands.slow = False
        self.house.hands.answer()
        self.house.commit()

    @rule()
    def write_without_syncing(self) -> None:
        """The batch is written; the disk has not answered yet."""
        self.house.hands.slow = True
        self.house.hands.run()

    # --- the end, and after

    @rule()
    def stop(self) -> None:
        self.house.hands.slow = False
        self.house.hands.answer()
        for number in sorted(self.held):
            self.house.requeue(self.held.pop(number))
        self.house.restart()
        self.account(written=True)

    @rule()
    def crash(self) -> None:
        self.house.crash()
        self.account(written=True)

    @rule(part=st.floats(0, 1))
    def cut_the_power(self, part: float) -> None:
        self.house.leave()
        logs = self.house.logs()
        if logs:
            size = logs[-1].stat().st_size
            synced = min(self.files.synced, size)
            with logs[-1].open("r+b") as newest:
                newest.truncate(synced + int((size - synced) * part))
        self.settled_before = self.house.store.journal.settled
        self.house.enter()
        self.account(written=False)

    def identity(self, queue: str, body: bytes) -> int:
        """Which item a message found in a queue is."""
        number = int(body)
        if -number not in self.items:
            return number
        if queue == DEAD:
            known = [n for n in (number, -number) if self.items[n].rejected and n not in self.held]
            return known[0]
        return number if queue == QUEUES[0] else -number

    def account(self, *, written: bool) -> None:
        """Compare what came back with what is certain; from then on it is what there is."""
        settled = self.before
        found: dict[str, list[tuple[int, bool]]] = {
            queue: [(int(body), redelivered) for body, redelivered in self.house.look(queue)]
            for queue in (*QUEUES, DEAD)
        }
        for queue in QUEUES:
            numbers = [number for number, _ in found[queue]]
            assert numbers == sorted(set(numbers)), "out of order, or twice"
            for item in self.items.values():
                if item.queue == queue:
                    self.account_for(item, dict(found[queue]), found[DEAD], settled, written)
        self.adopt(found)

    def account_for(
        self, item: Item, there: dict[int, bool], dead: list[tuple[int, bool]], settled: int, written: bool
    ) -> None:
        number = abs(item.number)
        if not item.persistent:
            assert number not in there
            return
        copies = (number in there) + (0 if -item.number in self.items else [n for n, _ in dead].count(number))
        if item.ticket <= settled and not item.settled and -item.number not in self.items:
            assert copies == 1, f"{item} was confirmed and is there {copies} times"
        if item.ticket <= settled and not item.settled and not item.rejected:
            assert number in there, f"{item} was confirmed and is lost"
        if item.settled and item.settled <= settled:
            assert number not in there, f"{item} was settled and is back"
        if number in there and not item.handed:
            assert not there[number], f"{item} was never handed out"
        if number in there and item.handed and written:
            assert there[number], f"{item} comes again unmarked"

    def adopt(self, found: dict[str, list[tuple[int, bool]]]) -> None:
        self.held.clear()
        before, self.items = self.items, {}
        for queue, items in found.items():
            for number, redelivered in items:
                identity = number
                if -number in before and (queue == QUEUES[1] or (queue == DEAD and number in self.items)):
                    identity = -number
                item = Item(identity, queue, True, 0, handed=redelivered, rejected=queue == DEAD)
                item.queue = before[identity].queue if queue == DEAD else queue
                self.items[identity] = item

    @invariant()
    def remember(self) -> None:
        """What is settled now is what is certain at the end of this run."""
        self.before = self.house.store.journal.settled


DiskMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestDiskModel = DiskMachine.TestCase

"""Virtual hosts with stores of their own: they leave a node and come back as they were, and as after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leveret.clock import VirtualClock
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.catalogue import Kind
from leveret.engine.definitions.export import vhost_definitions
from leveret.engine.operations.caller import INTERNAL_CALLER
from leveret.engine.policies import Policy
from leveret.engine.vhost import VhostProperties, VirtualHost
from leveret.queues.queue import Queue
from leveret.queues.stream.queue import StreamQueue
from leveret.store.disk import DiskStore
from leveret.testing.memory_store import MemoryCatalogue, MemoryContents, MemoryJournal, MemoryStore
from leveret.wire.tables import Field
from tests.stores.harness import FakeLoop, message, restore_directory

PROPERTIES = {
    "a": VhostProperties("first", ("x",), "quorum", True, True),
    "b": VhostProperties("second"),
}


class Stores:
    """Opens stores on what was kept under a name."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.directory_contents = MemoryContents()

    def open(self, name: str) -> Any:
        """Open a store."""
        raise NotImplementedError

    def close(self, store: Any) -> None:
        """Close a store in peace."""


class MemoryStores(Stores):
    """Stores in memory."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__(loop)
        self.contents: dict[str, MemoryContents] = {}

    def open(self, name: str) -> Any:
        return MemoryStore(self.contents.setdefault(name, MemoryContents()))


class DiskStores(Stores):
    """A directory for each store."""

    def __init__(self, loop: FakeLoop, directory: Path) -> None:
        super().__init__(loop)
        self.directory = directory

    def open(self, name: str) -> Any:
        store = DiskStore(self.directory / name, self.loop)
        store.writing.slow_write_s = float("inf")  # the machine may be busy
        return store

    def close(self, store: Any) -> None:
        store.close()


class Machine:
    """A broker whose directory and virtual hosts have stores of their own."""

    def __init__(self, stores: Stores, clock: VirtualClock) -> None:
        self.stores = stores
        self.loop = stores.loop
        self.clock = clock
        self.open: dict[str, Any] = {}
        directory = MemoryCatalogue(stores.directory_contents, MemoryJournal())
        self.broker = Broker(clock=clock, journal=directory.journal)
        self.recorder = restore_directory(self.broker, directory)
        clock.agenda = self.broker.message_time

    def create(self) -> None:
        """Add the virtual hosts to the directory, with users and a policy."""
        for name, properties in PROPERTIES.items():
            self.broker.elsewhere[name] = properties
            self.recorder.changed(Kind.VHOST, (name,))
        operations.put_user(self.broker, INTERNAL_CALLER, "u", {"password": "pw", "tags": ["management"]})
        operations.set_permissions(self.broker, INTERNAL_CALLER, "u", "a", "c", "w", "r")
        self.broker.policies.set(Policy("a", "p", "^limited$", {"max-length": 2}), False)

    def adopt(self, name: str) -> VirtualHost:
        """Open the store of a virtual host, and have it here."""
        store = self.open[name] = self.stores.open(name)
        return self.broker.adopt(name, store.journal, lambda vhost: store.restore_vhost(self.recorder, vhost))

    def release(self, name: str) -> None:
        """Have a virtual host leave, and close its store."""
        job = self.broker.release(name, "it moves")
        while not job.done:
            self.loop.run()
            self.broker.work.run()
        self.stores.close(self.open.pop(name))

    def end(self) -> None:
        """Stop in peace."""
        self.loop.run()
        for store in self.open.values():
            self.stores.close(store)


STORES: dict[str, Callable[[Path], Stores]] = {
    "memory": lambda path: MemoryStores(FakeLoop()),
    "disk": lambda path: DiskStores(FakeLoop(), path),
}


@pytest.fixture(params=STORES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Each kind of store."""
    return STORES[request.param](tmp_path)


def text(value: str) -> Field:
    return Field("S", value.encode())


def fill(vhost: VirtualHost, streams: bool) -> None:
    """Queues of all types with messages, of which some were delivered, and delayed messages."""
    arguments: dict[str, dict[str, Field]] = {
        "classic": {"x-queue-type": text("classic"), "x-dead-letter-exchange": text("e")},
        "quorum": {"x-queue-type": text("quorum"), "x-expires": Field("l", 900_000)},
        "limited": {"x-queue-type": text("classic")},
        "priorities": {"x-queue-type": text("classic"), "x-max-priority": Field("l", 3)},
    }
    if streams:
        arguments["stream"] = {"x-queue-type": text("stream")}
    for name, table in arguments.items():
        vhost.declare_queue(name, durable=True, auto_delete=False, owner=None, arguments=table, user="u")
    vhost.declare_queue("transient", durable=False, auto_delete=False, owner=None, arguments={}, user="u")
    for name, kind, table in (
        ("e", "topic", {}),
        ("later", "x-delayed-message", {"x-delayed-type": text("fanout")}),
    ):
        vhost.declare_exchange(
            name, kind, durable=True, auto_delete=False, internal=False, arguments=table, user="u"
        )
    for queue in arguments:
        vhost.bind(vhost.exchanges["e"], vhost.queues[queue], f"{queue}.*", {"x": Field("l", 1)})
        for number in range(5):
            vhost.queues[queue].push(message(b"%d" % number, priority=number % 3, ttl=700_000))
    vhost.bind(vhost.exchanges["e"], vhost.exchanges["later"], "#", {})
    vhost.delayed.hold(vhost.exchanges["later"], message(b"later", key="k", **{"x-delay": 5}), 600_000)
    for queue in ("classic", "quorum"):
        entries = [vhost.queues[queue].get(False) for _ in range(3)]
        taken = [entry for entry in entries if entry is not None]
        for number, entry in enumerate(taken, 1):
            entry.tag = number
        taken[0].source.settle(taken[0])
        taken[1].source.requeue(taken[1:], 0)
    vhost.publish_dead_letters()


def contents(queue: Queue) -> Any:
    """What is in a queue."""
    if isinstance(queue, StreamQueue):
        return [bytes(queue.log.read(page))[: page.size] for page in queue.log.pages], queue.log.end
    entries = []
    while (entry := queue.backlog.pop()) is not None:
        entries.append(entry)
    if entries:
        queue.backlog.requeue(entries)
    ready = [
        (entry.position, entry.message.content, entry.redelivered, entry.expires_at, entry.acquired)
        for entry in entries
    ]
    return ready, queue.ready, queue.ready_bytes, queue.position


def state(broker: Broker, name: str) -> dict[str, Any]:
    """All that is kept of a virtual host."""
    vhost = broker.vhosts[name]
    return {
        "properties": VhostProperties.of(vhost),
        "definitions": {
            section: sorted(found, key=repr) if isinstance(found, list) else found
            for section, found in vhost_definitions(broker, vhost).items()
        },
        "queues": {queue.name: contents(queue) for queue in vhost.queues.values() if queue.durable},
        "options": {queue.name: queue.effective for queue in vhost.queues.values() if queue.durable},
        "delayed": [
            (held.exchange, held.entry.position, held.entry.expires_at, held.entry.message.content)
            for held in vhost.delayed.waiting.values()
        ],
    }


def filled(stores: Stores) -> tuple[Machine, dict[str, Any]]:
    """A machine with two full virtual hosts, and the state of the first."""
    machine = Machine(stores, VirtualClock())
    machine.create()
    for name in PROPERTIES:
        fill(machine.adopt(name), streams=isinstance(stores, DiskStores))
    machine.loop.run()
    before = state(machine.broker, "a")
    queues = before["definitions"]["queues"]
    before["definitions"]["queues"] = [one for one in queues if one["name"] != "transient"]
    return machine, before


def test_a_virtual_host_comes_back_as_it_was(stores: Stores) -> None:
    machine, before = filled(stores)
    other = state(machine.broker, "b")
    machine.release("a")
    assert set(machine.broker.vhosts) == {"b"} and state(machine.broker, "b") == other
    machine.adopt("a")
    assert state(machine.broker, "a") == before and state(machine.broker, "b") == other
    machine.end()


def test_a_restart_finds_the_same_as_a_return(stores: Stores) -> None:
    machine, before = filled(stores)
    machine.release("a")
    machine.end()
    again = Machine(stores, machine.clock)
    assert again.broker.elsewhere == PROPERTIES and not again.broker.vhosts
    assert [user.name for user in again.broker.access.users] == ["u"]
    again.adopt("a")
    assert state(again.broker, "a") == before
    again.end()


def test_what_changes_after_the_return_is_kept(stores: Stores) -> None:
    machine, before = filled(stores)
    machine.release("a")
    vhost = machine.adopt("a")
    vhost.queues["classic"].push(message(b"new"))
    vhost.delete_queue(vhost.queues["quorum"])
    vhost.declare_queue("new", durable=True, auto_delete=False, owner=None, arguments={}, user="u")
    vhost.update("changed", (), None)
    machine.loop.run()
    changed = state(machine.broker, "a")
    assert changed != before and "new" in changed["queues"] and "quorum" not in changed["queues"]
    machine.release("a")
    machine.end()
    again = Machine(stores, machine.clock)
    again.adopt("a")
    assert state(again.broker, "a") == changed
    again.end()


def test_each_store_has_what_is_in_its_own_virtual_host(stores: Stores) -> None:
    machine, _ = filled(stores)
    machine.end()
    names = {
        "a": {record.kind for record in stores.open("a").catalogue.load()},
        "directory": {kind for kind, _ in stores.directory_contents.records},
    }
    topology = {Kind.EXCHANGE, Kind.QUEUE, Kind.BINDING, Kind.COUNTER}
    assert names["a"] == topology and not names["directory"] & topology
    assert {Kind.VHOST, Kind.USER, Kind.PERMISSION, Kind.POLICY} <= names["directory"]


def test_a_change_waits_for_the_store_of_its_own_virtual_host(tmp_path: Path) -> None:
    machine, _ = filled(DiskStores(FakeLoop(), tmp_path))
    a, b = machine.broker.vhosts["a"], machine.broker.vhosts["b"]
    ran: list[str] = []
    a.queues["classic"].push(message(b"x"))
    b.when_committed(lambda: ran.append("b"))
    a.when_committed(lambda: ran.append("a"))
    assert ran == ["b"]
    machine.loop.run()
    assert ran == ["b", "a"]
    machine.end()

"""What every catalogue must do: the memory model, SQLite, and a database that fails."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from leveret.engine.broker import Broker
from leveret.engine.catalogue import Catalogue, Document, Key, Kind
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import DirectoryRestore
from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.messages.log import MessageLog
from leveret.testing.memory_store import MemoryCatalogue, MemoryContents, MemoryJournal

#: Names that have to come back as they were.
ODD_NAMES = [
    "",
    " ",
    "/",
    '"',
    "\\",
    "'",
    "\x00",
    "snow \u2603",
    b"caf\xe9".decode("utf-8", "surrogateescape"),
]


class Bench(Protocol):
    """A catalogue that can be opened again on what it kept. `settled`: the settled ticket of its journal."""

    catalogue: Catalogue

    @property
    def settled(self) -> int: ...

    def commit(self) -> None:
        """Settle everything that was put."""

    def reopen(self) -> None:
        """End without a commit, and open again."""

    def close(self) -> None: ...


class MemoryBench:
    def __init__(self, path: Path) -> None:
        self.contents = MemoryContents()
        self.reopen()

    @property
    def settled(self) -> int:
        return self.journal.settled

    def commit(self) -> None:
        pass

    def reopen(self) -> None:
        self.journal = MemoryJournal()
        self.catalogue: Catalogue = MemoryCatalogue(self.contents, self.journal)

    def close(self) -> None:
        pass


class SqliteBench:
    """On SQLite. `refusals`: how many of the next transactions fail."""

    refusals = 0

    def __init__(self, path: Path) -> None:
        self.path = path / "metadata.sqlite"
        self.open()

    def open(self) -> None:
        self.journal = MessageLog(lambda urgent: None, lambda segment, count: None)
        self.sqlite = SqliteCatalogue(self.path, self.journal.record_changed)
        self.catalogue: Catalogue = self.sqlite
        self.database = Refusing(self.sqlite._database, self.refusals)
        self.sqlite._database = self.database  # type: ignore[assignment]

    @property
    def settled(self) -> int:
        return self.journal.settled

    def commit(self) -> None:
        while self.database.refusals:
            with pytest.raises(OSError, match="disk I/O error") as caught:
                self.sqlite.save()
            assert caught.value.errno == errno.EIO
        self.sqlite.save()
        self.journal.open += 1
        self.journal.settle_up_to(self.journal.open - 1)

    def reopen(self) -> None:
        self.sqlite.close()
        self.open()

    def close(self) -> None:
        self.sqlite.close()


class RefusingBench(SqliteBench):
    refusals = 2


class Refusing:
    """A connection to SQLite whose next `refusals` transactions fail at COMMIT."""

    def __init__(self, database: sqlite3.Connection, refusals: int) -> None:
        self.database = database
        self.refusals = refusals

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT" and self.refusals:
            self.refusals -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return self.database.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)


BENCHES: dict[str, Callable[[Path], Bench]] = {
    "memory": MemoryBench,
    "SQLite": SqliteBench,
    "a failing disk": RefusingBench,
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = BENCHES[request.param](tmp_path)
    yield made
    made.close()


def contents(bench: Bench) -> dict[tuple[Kind, Key], Document]:
    found = [((record.kind, record.key), record.document) for record in bench.catalogue.load()]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_a_new_catalogue_is_empty(bench: Bench) -> None:
    assert contents(bench) == {}


def test_committed_records_are_loaded(bench: Bench) -> None:
    document = {"text": "a", "number": 5, "list": ["x", None], "map": {"on": True}}
    for kind in Kind:
        bench.catalogue.put(kind, ("/", "one"), {**document, "kind": kind})
    bench.commit()
    bench.reopen()
    assert contents(bench) == {(kind, ("/", "one")): {**document, "kind": kind} for kind in Kind}


def test_the_last_document_of_a_record_is_loaded(bench: Bench) -> None:
    bench.catalogue.put(Kind.USER, ("a",), {"n": 1})
    bench.catalogue.put(Kind.USER, ("a",), {"n": 2})
    bench.catalogue.put(Kind.USER, ("b",), {"n": 1})
    bench.commit()
    bench.catalogue.put(Kind.USER, ("b",), {"n": 3})
    bench.commit()
    bench.reopen()
    assert contents(bench) == {(Kind.USER, ("a",)): {"n": 2}, (Kind.USER, ("b",)): {"n": 3}}


def test_deleted_records_are_not_loaded(bench: Bench) -> None:
    bench.catalogue.delete(Kind.QUEUE, ("/", "never"))
    bench.catalogue.put(Kind.QUEUE, ("/", "a"), {})
    bench.catalogue.put(Kind.QUEUE, ("/", "b"), {})
    bench.catalogue.put(Kind.EXCHANGE, ("/", "a"), {})
    bench.catalogue.delete(Kind.QUEUE, ("/", "b"))
    bench.commit()
    bench.catalogue.delete(Kind.QUEUE, ("/", "a"))
    bench.commit()
    bench.reopen()
    assert contents(bench) == {(Kind.EXCHANGE, ("/", "a")): {}}
    bench.catalogue.put(Kind.QUEUE, ("/", "a"), {"n": 1})
    bench.commit()
    bench.reopen()
    assert contents(bench)[Kind.QUEUE, ("/", "a")] == {"n": 1}


def test_names_of_any_octets_are_kept(bench: Bench) -> None:
    for name in ODD_NAMES:
        for other in ODD_NAMES:
            bench.catalogue.put(Kind.BINDING, (name, other), {"name": name})
    bench.commit()
    bench.reopen()
    assert contents(bench) == {
        (Kind.BINDING, (name, other)): {"name": name} for name in ODD_NAMES for other in ODD_NAMES
    }


def test_tickets_are_settled_when_the_change_is_safe(bench: Bench) -> None:
    tickets = [bench.catalogue.put(Kind.VHOST, (str(number),), {}) for number in range(3)]
    tickets.append(bench.catalogue.delete(Kind.VHOST, ("1",)))
    assert tickets == sorted(tickets)
    if bench.settled >= tickets[-1]:  # at once: it must be kept already
        bench.reopen()
        assert len(contents(bench)) == 2
        return
    bench.commit()
    assert bench.settled >= tickets[-1]
    bench.reopen()
    assert len(contents(bench)) == 2


def test_a_change_after_a_commit_gets_a_later_ticket(bench: Bench) -> None:
    first = bench.catalogue.put(Kind.VHOST, ("a",), {})
    bench.commit()
    assert bench.catalogue.put(Kind.VHOST, ("b",), {}) > first


def test_a_topic_permission_of_a_user_who_is_gone_is_not_restored() -> None:
    contents = MemoryContents()
    contents.records[Kind.TOPIC_PERMISSION, ("gone", "/", "x")] = {"write": "", "read": ""}
    catalogue = MemoryCatalogue(contents, MemoryJournal())
    broker = Broker()
    DirectoryRestore(Recorder(broker, catalogue, None), catalogue).run()
    assert list(broker.access.each_topic_permission()) == []

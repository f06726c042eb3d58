"""The contract of the ports of a cluster, on storage in memory and on NATS."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from leveret.cluster.nats import NatsSettings, connect
from leveret.cluster.ports import (
    Accepted,
    Refused,
    Replica,
    ReplicatedStorage,
    StorageError,
    Stored,
    Table,
    TableEntry,
    Unavailable,
)
from leveret.testing.replica import MemoryConnection, MemoryStorage, Process
from tests.cluster.nats_servers import NatsCluster
from tests.hang import HANG_SECONDS


@pytest.fixture(params=["memory", "nats"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[ReplicatedStorage]:
    """Empty storage."""
    if request.param == "memory":
        yield MemoryConnection(MemoryStorage(), Process())
        return
    cluster: NatsCluster = request.getfixturevalue("nats_cluster")
    connected = await connect(
        NatsSettings(cluster.urls, cluster=f"test{secrets.token_hex(4)}", monitor=cluster.monitors)
    )
    yield connected
    await connected.close()


async def read_all(log: object, first: int, last: int) -> list[Stored]:
    return [stored async for stored in log.read(first, last)]  # type: ignore[attr-defined]


# --- logs


async def test_an_append_is_accepted_behind_the_expected_sequence(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    assert await log.append("a", b"one", 0) == Accepted(1)
    assert await log.append("b", b"two", 1) == Accepted(2)
    assert await read_all(log, 1, 2) == [Stored(1, "a", b"one"), Stored(2, "b", b"two")]


async def test_all_logs_are_listed_and_no_tables(storage: ReplicatedStorage) -> None:
    assert await storage.logs() == []
    for name in ("/", "a.b", "c"):
        await storage.create_log(name)
    await storage.open_table("owners")
    assert sorted(await storage.logs()) == ["/", "a.b", "c"]
    await storage.delete_log("a.b")
    assert sorted(await storage.logs()) == ["/", "c"]


async def test_an_append_that_is_not_the_next_one_is_refused(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    await log.append("a", b"one", 0)
    assert await log.append("a", b"again", 0) == Refused()
    assert await log.append("a", b"too early", 7) == Refused()
    assert await read_all(log, 1, 1) == [Stored(1, "a", b"one")]


async def test_appends_are_sent_in_the_order_of_the_calls(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    answers = [log.append("a", b"%d" % number, number) for number in range(8)]
    assert await asyncio.gather(*answers) == [Accepted(number) for number in range(1, 9)]
    assert [stored.record for stored in await read_all(log, 1, 8)] == [b"%d" % number for number in range(8)]


async def test_a_fence_refuses_what_expects_an_earlier_sequence(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    await log.append("a", b"one", 0)
    assert await log.fence("epoch", b"mine") == Accepted(2)
    assert await log.append("a", b"late", 1) == Refused()
    assert await log.append("a", b"next", 2) == Accepted(3)


async def test_what_refused_an_append_is_found(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    assert await log.at_or_after(1) is None
    await log.append("a", b"one", 0)
    await log.fence("epoch", b"theirs")
    assert await log.append("a", b"late", 1) == Refused()
    assert await log.at_or_after(2) == Stored(2, "epoch", b"theirs")
    assert await log.at_or_after(3) is None


async def test_a_dropped_subject_leaves_gaps_and_uses_no_sequence_again(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    for number, subject in enumerate(["file.1-1", "file.1-2", "file.1-1", "file.1-2"]):
        assert await log.append(subject, b"%d" % number, number) == Accepted(number + 1)
    await log.drop("file.1-1")
    await log.drop("file.1-1")
    assert await read_all(log, 1, 4) == [Stored(2, "file.1-2", b"1"), Stored(4, "file.1-2", b"3")]
    assert await log.at_or_after(1) == Stored(2, "file.1-2", b"1")
    await log.drop("file.1-2")
    assert await log.at_or_after(1) is None
    assert await log.append("file.1-3", b"next", 4) == Accepted(5)


async def test_a_long_log_is_read_from_anywhere(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    answers = [log.append("a", b"x" * number, number) for number in range(700)]
    assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*answers))
    found = await read_all(log, 100, 700)
    assert [stored.sequence for stored in found] == list(range(100, 701))
    assert all(len(stored.record) == stored.sequence - 1 for stored in found)


async def test_large_records_are_read_back(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    large = bytes(range(256)) * 2048
    for number in range(20):
        assert await log.append("a", large, number) == Accepted(number + 1)
    assert [stored.record for stored in await read_all(log, 1, 20)] == [large] * 20


async def newer_than(log: Replica, first: int, last: int) -> list[Stored]:
    """All records from `first` to `last`, as they are found by asking for what is newer."""
    found: list[Stored] = []
    while not found or found[-1].sequence < last:
        found += await log.newer(found[-1].sequence + 1 if found else first)
    return found


async def test_what_is_newer_is_returned_in_parts(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    assert await log.newer(1) == []
    answers = [log.append("a", b"x" * number, number) for number in range(700)]
    await asyncio.gather(*answers)
    found = await newer_than(log, 1, 700)
    assert [stored.sequence for stored in found] == list(range(1, 701))
    assert await log.newer(701) == []
    await log.append("b", b"next", 700)
    assert await newer_than(log, 701, 701) == [Stored(701, "b", b"next")]


async def test_a_dropped_subject_is_not_newer(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    for number, subject in enumerate(["a", "b", "a", "b"]):
        await log.append(subject, b"x", number)
    await log.drop("a")
    assert [stored.sequence for stored in await newer_than(log, 1, 4)] == [2, 4]


async def test_a_log_that_is_made_again_has_another_identity(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    identity = await log.identity()
    await log.append("a", b"one", 0)
    assert await (await storage.open_log("/")).identity() == identity
    assert await (await storage.create_log("/")).identity() == identity
    await storage.delete_log("/")
    with pytest.raises((StorageError, Unavailable)):
        await log.identity()
    assert await (await storage.create_log("/")).identity() != identity


async def test_a_log_is_created_once_and_opened_again(storage: ReplicatedStorage) -> None:
    first = await storage.create_log("ä/b c")
    await first.append("a", b"one", 0)
    again = await storage.create_log("ä/b c")
    assert await again.append("a", b"two", 1) == Accepted(2)
    opened = await storage.open_log("ä/b c")
    assert await read_all(opened, 1, 2) == [Stored(1, "a", b"one"), Stored(2, "a", b"two")]


async def test_a_log_that_is_not_there_cannot_be_opened(storage: ReplicatedStorage) -> None:
    with pytest.raises(StorageError):
        await storage.open_log("nothing")
    await storage.create_log("gone")
    await storage.delete_log("gone")
    await storage.delete_log("gone")
    with pytest.raises(StorageError):
        await storage.open_log("gone")


async def test_the_usage_grows_with_the_records(storage: ReplicatedStorage) -> None:
    log = await storage.create_log("/")
    before = await storage.usage()
    await log.append("a", b"x" * 100_000, 0)
    async with asyncio.timeout(HANG_SECONDS):  # servers of NATS learn from each other what is used
        while (await storage.usage()).used < before.used + 100_000:
            pass


# --- tables


async def test_a_key_is_created_once(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("nodes")
    assert await table.get("rabbit@host") is None
    revision = await table.create("rabbit@host", b"one")
    assert revision is not None
    assert await table.create("rabbit@host", b"two") is None
    assert await table.get("rabbit@host") == TableEntry("rabbit@host", b"one", revision)


async def test_an_update_needs_the_revision_of_the_key(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("nodes")
    first = await table.create("k", b"one")
    assert first is not None
    second = await table.update("k", b"two", first)
    assert second is not None
    assert second > first
    assert await table.update("k", b"three", first) is None
    assert await table.get("k") == TableEntry("k", b"two", second)


async def test_revisions_grow_over_all_keys(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("nodes")
    revisions = [await table.create(key, b"") for key in ("a", "b", "c")]
    assert None not in revisions
    assert revisions == sorted(revisions, key=lambda revision: revision or 0)
    assert len(set(revisions)) == 3


async def test_a_deleted_key_can_be_created_again(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("nodes")
    first = await table.create("k", b"one")
    assert first is not None
    assert await table.delete("k", first + 1000) is None
    gone = await table.delete("k", first)
    assert gone is not None
    assert await table.get("k") == TableEntry("k", None, gone)
    again = await table.create("k", b"two")
    assert again is not None
    assert again > gone


async def test_keys_are_any_text(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("users")
    for key in ("a.b", "*", ">", " ", "ü=41", "a/b", "="):
        revision = await table.create(key, key.encode())
        assert await table.get(key) == TableEntry(key, key.encode(), revision or 0)


async def first_of(table: Table, count: int) -> list[TableEntry | None]:
    found = []
    async with aclosing(table.watch()) as entries:  # type: ignore[type-var]
        async for entry in entries:
            found.append(entry)
            if len(found) == count:
                break
    return found


async def test_a_watch_yields_all_keys_and_then_all_changes(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("nodes")
    a = await table.create("a", b"1") or 0
    b = await table.create("b", b"1") or 0
    a2 = await table.update("a", b"2", a) or 0
    watch = table.watch()
    newest = TableEntry("a", b"2", a2)
    found = [await anext(watch)]
    # The server that is watched can be behind: then it has an older value of `a` first, and the newest after `None`.
    while None not in found or newest not in found:
        found.append(await anext(watch))
    assert {each for each in found if each is not None} - {TableEntry("a", b"1", a)} == {
        TableEntry("b", b"1", b),
        newest,
    }
    c = await table.create("c", b"1") or 0
    assert await anext(watch) == TableEntry("c", b"1", c)
    gone = await table.delete("b", b) or 0
    assert await anext(watch) == TableEntry("b", None, gone)
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_watch_of_an_empty_table_says_that_it_is_empty(storage: ReplicatedStorage) -> None:
    table = await storage.open_table("owners")
    assert await first_of(table, 1) == [None]

"""Duplicates of messages after an interrupted compaction: what settles one of them is kept as long as they exist, even
over several restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.queues.encoding import encoded_entry
from leveret.queues.message import Entry, Source
from leveret.store.files import Files
from leveret.store.messages.compaction import Compactor
from leveret.store.messages.log import MessageLog
from leveret.store.messages.recovery import LogScan
from leveret.store.messages.segments import LogSegment, LogSegments
from tests.stores.harness import message

QUEUE = (7).to_bytes(4, "big")


def log() -> MessageLog:
    return MessageLog(lambda urgent: None, lambda segment, count: None)


def message_record(position: int) -> bytes:
    """A record MESSAGE, in one queue."""
    rest = b"\0\0\0\1" + QUEUE + encoded_entry(Entry(message(b"a"), position, 0, Source()), False)
    return b"\1" + len(rest).to_bytes(4, "big") + rest


def settled_record(segment: int, first: int, last: int) -> bytes:
    """A record SETTLED."""
    return b"\2" + QUEUE + segment.to_bytes(4, "big") + first.to_bytes(8, "big") + last.to_bytes(8, "big")


def compactor(*numbers: int) -> Compactor:
    """A compactor of segments with these numbers."""
    segments = LogSegments(Path("nowhere"), Files())
    for number in numbers:
        segments.add(LogSegment(number, Path(f"{number}.log"), 100))
    return Compactor(segments, log())


@pytest.mark.parametrize(("named", "duplicates"), [(1, {1: {2}}), (2, {}), (4, {4: {2}})])
def test_a_copy_in_another_segment_than_its_settlement_names_is_settled(
    named: int, duplicates: dict[int, set[int]]
) -> None:
    log_scan = LogScan()
    copy, settled = message_record(5), settled_record(named, 1, 9)
    log_scan.scan_records(copy, 0, len(copy), 2)
    log_scan.scan_records(settled, 0, len(settled), 3)
    log_scan.queues[7].queue_journal = log().queue_journal(7)
    log_scan.fetch(copy, 0, len(copy), 2)
    assert log_scan.duplicates == duplicates
    assert (log_scan.live, log_scan.total) == (0, 1)


def test_settlements_are_kept_while_a_copy_exists() -> None:
    there = compactor(2, 3, 4)
    there.duplicates = {1: {2}}
    settles = there.segments.table[3]
    settles.needs.add(1)
    assert there._needed(settles)
    there.segments.table.pop(2)
    assert not there._needed(settles)


def test_a_segment_with_settlements_of_copies_is_kept() -> None:
    there = compactor(2, 3)
    there.duplicates = {3: {2}}
    assert there._needed(there.segments.table[3])
    there.segments.table.pop(2)
    assert not there._needed(there.segments.table[3])


def test_moved_copies_are_still_known() -> None:
    there = compactor(2, 3, 5)
    there.duplicates = {1: {2}, 2: {3}}
    there._move_duplicates(2, 5)
    assert there.duplicates == {1: {2, 5}, 2: {3}, 5: {3}}

"""Describes what a damaged or incomplete part of the message log held, as far as it can still be read.

The data is not trusted: `RecordReader` checks each length, and the walk ends at the first record that does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.records import MESSAGE, RecordReader, UnknownRecord

#: The most queues that are named.
MAX_NAMED_QUEUES = 10


class Named(Protocol):
    """The name of a queue."""

    name: str
    vhost: str


def describe(data: bytes, at: int, queues: Mapping[int, Named], alone: bool = True) -> str:
    """Describe the block at `at` and, unless `alone`, the good blocks after it: messages by queue, and all records."""
    messages: Counter[int] = Counter()
    records = 0
    while at < len(data):
        head = log_blocks.head_at(data, at)
        if head is None:
            break
        start, end = head
        records += _count(data, start, end, messages)
        at = end
        if alone or log_blocks.block_at(data, at) is None:
            break
    return _sentence(messages, records, queues)


def _count(data: bytes, at: int, end: int, messages: Counter[int]) -> int:
    """Add the messages between `at` and `end` to `messages`, by queue; returns the number of whole records."""
    reader = RecordReader(data, at, end)
    records = 0
    try:
        while reader.next():
            found: Counter[int] = Counter()
            if reader.kind == MESSAGE:
                while reader.next_target():
                    found[reader.queue] += 1
            messages.update(found)
            if not reader.whole():
                break
            records += 1
    except UnknownRecord:
        pass
    return records


def _sentence(messages: Counter[int], records: int, queues: Mapping[int, Named]) -> str:
    if not messages and not records:
        return "nothing in it can be read"
    named = [
        f"{count} of queue '{queues[number].name}' in vhost '{queues[number].vhost}'"
        for number, count in messages.most_common()
        if number in queues
    ]
    others = sum(count for number, count in messages.items() if number not in queues)
    if len(named) > MAX_NAMED_QUEUES:
        named[MAX_NAMED_QUEUES:] = [f"others of {len(named) - MAX_NAMED_QUEUES} more queues"]
    if others:
        named.append(f"{others} of no queue that exists")
    listed = f" ({', '.join(named)})" if named else ""
    return f"it held {messages.total()} messages{listed} in {records} readable records"

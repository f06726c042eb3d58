"""What a damaged or incomplete part of the message log held, as far as it can still be read, in words.

Nothing here is trusted: lengths are checked before they are followed, and the walk ends where records make no sense.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from leveret.store.messages import blocks as log_blocks

#: Octets of records of a fixed size, by kind (`message_log.py`).
_FIXED = {2: 25, 3: 25, 4: 25, 5: 5, 7: 1}

#: Queues that are named in a sentence.
_NAMED = 10


class Named(Protocol):
    """A queue, as far as it is named."""

    name: str
    vhost: str


def describe(data: bytes, at: int, queues: Mapping[int, Named], alone: bool = True) -> str:
    """What lay in the block at `at`, or unless `alone`, in the good blocks behind it as well: messages by queue, and
    records in all."""
    messages: Counter[int] = Counter()
    records = 0
    while at < len(data):
        head = log_blocks.head_at(data, at)
        if head is None:
            break
        start, end = head
        records += _count(data, start, min(end, len(data)), messages)
        at = end
        if alone or log_blocks.block_at(data, at) is None:
            break
    return _sentence(messages, records, queues)


def _count(data: bytes, at: int, end: int, messages: Counter[int]) -> int:
    """Add the messages of each queue from `at` on to `messages`; returns how many records there were."""
    records = 0
    while at < end:
        kind = data[at]
        if kind == 1:
            found: Counter[int] = Counter()
            size = _message(data, at, end, found)
            if size:
                messages.update(found)
        else:
            size = _FIXED.get(kind, 0)
        if size == 0 or at + size > end:
            break
        records += 1
        at += size
    return records


def _message(data: bytes, at: int, end: int, messages: Counter[int]) -> int:
    """A message's octets, 0 where it makes no sense; those of its queues that can be read are counted."""
    if at + 9 > end:
        return 0
    size = 5 + int.from_bytes(data[at + 1 : at + 5], "big")
    count = int.from_bytes(data[at + 5 : at + 9], "big")
    target = at + 9
    for _ in range(count):
        if target + 13 > min(at + size, end):
            return 0
        messages[int.from_bytes(data[target : target + 4], "big")] += 1
        flags = data[target + 12]
        target += 13 + (8 if flags & 2 else 0) + (8 if flags & 4 else 0)
    return size


def _sentence(messages: Counter[int], records: int, queues: Mapping[int, Named]) -> str:
    if not messages and not records:
        return "nothing in it can be read"
    named = [
        f"{count} of queue '{queues[number].name}' in vhost '{queues[number].vhost}'"
        for number, count in messages.most_common()
        if number in queues
    ]
    others = sum(count for number, count in messages.items() if number not in queues)
    if len(named) > _NAMED:
        named[_NAMED:] = [f"others of {len(named) - _NAMED} more queues"]
    if others:
        named.append(f"{others} of no queue that exists")
    listed = f" ({', '.join(named)})" if named else ""
    return f"it held {messages.total()} messages{listed} in {records} readable records"

"""The unacknowledged deliveries of a channel, by delivery tag.

Tags ascend by one, so a list indexed by tag minus `base` finds them without hashing. Few clients leave old deliveries
unsettled while thousands of others pass; if they do, the old ones move to a dict and the list starts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, unvisited
else:
    from leveret.queues.message import Entry, unvisited

# C variables where compiled: Python integers would be made to compare with module constants.
#: Tags for each delivery beyond which deliveries are sorted by comparing them.
_SPARSE = cython.declare(cython.Py_ssize_t, 8)

#: The list is compacted only if what is behind its head, or before, is longer than this.
_COMPACTION_LENGTH = cython.declare(cython.Py_ssize_t, 4096)

#: Deliveries that are copied at once; of more, lists with gaps are handed out.
_MOST_COPIED = cython.declare(cython.Py_ssize_t, 16384)


class Unacked:
    """Outstanding deliveries in order of their tags. `count`: how many. `stragglers`: old ones, by tag; `ordered`: they
    are in order, and older than those of the list. `examined`: tag up to which they were paged out, if that was worth
    it (`unacked_paging.py`)."""

    def __init__(self) -> None:
        self.slots: list[Entry | None] = unvisited([])
        self.base: int = 0
        self.head: int = 0
        self.stragglers: dict[int, Entry] = {}
        self.ordered: bool = True
        self.count: int = 0
        self.examined: int = 0

    def add(self, entry: Entry) -> None:
        """Add a new delivery, whose tag is greater than any before."""
        gap: cython.Py_ssize_t
        length: cython.Py_ssize_t
        if self.head == len(self.slots):
            self.slots.clear()
            self.head = 0
            self.base = entry.tag
        else:
            gap = entry.tag - self.base - len(self.slots)  # tags of automatic acknowledgements lie between
            length = len(self.slots) + gap - self.head
            if length > _COMPACTION_LENGTH and self.count * 4 < length:
                self.compact()
                self.base = entry.tag
            elif gap > 0:
                self.slots.extend([None] * gap)
        self.slots.append(entry)
        self.count += 1

    def hold(self, entry: Entry) -> None:
        """`add`, for callers outside the hot path: basic.get."""
        self.add(entry)

    def restore(self, entry: Entry) -> None:
        """Add a delivery that was taken again, under its old tag: tx.rollback."""
        i: cython.Py_ssize_t
        self.count += 1
        if self.slots and self.base <= entry.tag < self.base + cython.cast(cython.ulonglong, len(self.slots)):
            i = entry.tag - self.base
            self.slots[i] = entry
            self.head = min(self.head, i)
            return
        if (self.slots and entry.tag > self.base) or self.newest_straggler() > entry.tag:
            self.ordered = False
        self.stragglers[entry.tag] = entry

    def outstanding(self) -> list[Entry]:
        """Return all deliveries, in order of their tags."""
        entries: list[Entry] = list(self.stragglers.values())
        entries.extend([entry for entry in self.slots if entry is not None])
        return unvisited(entries if self.ordered else _by_tag(entries))

    def in_order(self) -> Iterator[Entry]:
        """Yield the deliveries in order of their tags, without a copy of the list."""
        entry: Entry | None
        if self.stragglers:
            yield from self.outstanding()
            return
        for entry in self.slots:
            if entry is not None:
                yield entry

    def following(self, tag: cython.ulonglong, most: cython.Py_ssize_t) -> list[Entry]:
        """Return the first deliveries after a tag, in order of their tags: about so many at most, or all stragglers
        after it. An empty list means that there are none."""
        entry: Entry | None
        start: cython.Py_ssize_t = self.head
        found: list[Entry] = []
        if not self.ordered:
            return [one for one in self.outstanding() if one.tag > tag]
        if self.stragglers and self.newest_straggler() > tag:
            return [one for number, one in self.stragglers.items() if number > tag]
        if self.slots and tag >= self.base:
            start = max(start, tag - self.base + 1)
        while start < len(self.slots) and len(found) < most:
            entry = self.slots[start]
            if entry is not None:
                found.append(entry)
            start += 1
        return found

    def longest(self) -> int:
        """Return the length of the list; for tests."""
        return len(self.slots)

    def oldest(self) -> Entry | None:
        """Return the delivery with the lowest tag, or None."""
        if self.stragglers:
            return next(iter(self.stragglers.values())) if self.ordered else self.outstanding()[0]
        return self.slots[self.head] if self.head < len(self.slots) else None

    def compact(self) -> None:
        """Move everything outstanding to the stragglers; the list is empty then."""
        entry: Entry | None
        i: cython.Py_ssize_t
        for i in range(self.head, len(self.slots)):
            entry = self.slots[i]
            if entry is not None:
                self.stragglers[entry.tag] = entry
        self.slots.clear()
        self.head = 0

    def find(self, tag: cython.ulonglong) -> Entry | None:
        """Return the delivery with this tag, or None."""
        i: cython.Py_ssize_t
        if self.slots and self.base <= tag < self.base + cython.cast(cython.ulonglong, len(self.slots)):
            i = tag - self.base
            if self.slots[i] is not None:
                return self.slots[i]
        return self.stragglers.get(tag) if self.stragglers else None

    def take(self, tag: cython.ulonglong) -> Entry | None:
        """Remove and return the delivery with this tag, or None."""
        i: cython.Py_ssize_t
        entry: Entry | None
        if self.slots and self.base <= tag < self.base + cython.cast(cython.ulonglong, len(self.slots)):
            i = tag - self.base
            entry = self.slots[i]
            if entry is not None:
                self.slots[i] = None
                if i == self.head:
                    self.advance()
                self.count -= 1
                return entry
        entry = self.stragglers.pop(tag, None) if self.stragglers else None
        if entry is not None:
            self.count -= 1
            if not self.stragglers:
                self.ordered = True
        return entry

    def take_through(self, tag: cython.ulonglong) -> list[Entry] | None:
        """Remove and return all deliveries up to and with this tag, in order; None if the tag is not outstanding
        (rabbit_channel:collect_acks). A long list may have gaps (None)."""
        taken: list[Entry]
        last: cython.Py_ssize_t
        if self.find(tag) is None:
            return None
        if self.count > _COMPACTION_LENGTH and tag >= self.last():
            return self.take_all()
        if not self.stragglers and tag >= self.base + self.head + _MOST_COPIED:
            return self.split(tag - self.base + 1)
        taken = []
        if self.stragglers:
            taken.extend([one for number, one in self.stragglers.items() if number <= tag])
            for one in taken:
                del self.stragglers[one.tag]
        if self.slots and tag >= self.base:
            last = min(tag - self.base + 1, len(self.slots))
            taken.extend([one for one in self.slots[self.head : last] if one is not None])
            self.slots[self.head : last] = [None] * (last - self.head)
            self.advance()
        if not self.ordered:
            taken = _by_tag(taken)
        self.count -= len(taken)
        self.ordered = self.ordered or not self.stragglers
        return unvisited(taken)

    def last(self) -> int:
        """The highest tag that may be outstanding."""
        tag: cython.ulonglong = self.base + len(self.slots) - 1 if self.slots else 0
        return max(tag, self.newest_straggler())

    def newest_straggler(self) -> int:
        """The highest tag of the stragglers, 0 if there are none."""
        if not self.stragglers:
            return 0
        newest: int = next(reversed(self.stragglers)) if self.ordered else max(self.stragglers)
        return newest

    def split(self, end: cython.Py_ssize_t) -> list[Entry]:
        """Remove and return the slots up to `end`, with their gaps. The shorter part is copied."""
        taken: list[Entry]
        rest: list[Entry | None]
        size: cython.Py_ssize_t = end - self.head
        if len(self.slots) - end < size:
            rest = unvisited(self.slots[end:])
            taken = self.slots  # type: ignore[assignment]  # with gaps
            del taken[end:]
            if self.head:
                del taken[: self.head]
            self.slots = rest
            self.base += end
            self.head = 0
            self.count = _filled(rest)
        else:
            taken = unvisited(self.slots[self.head : end])  # with gaps
            self.slots[self.head : end] = [None] * size
            self.count -= _filled(taken)
        self.advance()
        return taken

    def take_all(self) -> list[Entry]:
        """Remove and return everything outstanding, in order. A long list may have gaps (None)."""
        taken: list[Entry]
        gaps: cython.bint = self.count < len(self.slots) - self.head <= _MOST_COPIED
        if self.stragglers or gaps:
            taken = self.outstanding()
            self.slots.clear()
        else:
            taken = self.slots  # type: ignore[assignment]  # without gaps, or a long list
            self.slots = unvisited([])
            if self.head:
                del taken[: self.head]
        self.stragglers.clear()
        self.ordered = True
        self.head = 0
        self.count = 0
        return taken

    def advance(self) -> None:
        """Move past settled deliveries at the front, and remove them now and then."""
        while self.head < len(self.slots) and self.slots[self.head] is None:
            self.head += 1
        if self.head == len(self.slots):
            self.slots.clear()
            self.head = 0
        elif self.head >= _COMPACTION_LENGTH and self.head * 2 > len(self.slots):
            del self.slots[: self.head]
            self.base += self.head
            self.head = 0


def _by_tag(entries: list[Entry]) -> list[Entry]:
    """Return the entries in order of their tags. These are mostly close together, and each has its place then: sorting
    a hundred thousand would hold the loop."""
    entry: Entry
    places: list[Entry | None]
    low: cython.ulonglong = 0
    high: cython.ulonglong = 0
    for entry in entries:
        low = entry.tag if low == 0 else min(low, entry.tag)
        high = max(high, entry.tag)
    if high - low >= cython.cast(cython.ulonglong, _SPARSE * len(entries)):
        entries.sort(key=_tag)
        return entries
    places = [None] * (high - low + 1)
    for entry in entries:
        places[entry.tag - low] = entry
    return [entry for entry in places if entry is not None]


def _filled(slots: list[Any]) -> int:
    """Count the entries, of any class, of a list with gaps."""
    count: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    for i in range(len(slots)):
        if slots[i] is not None:
            count += 1
    return count


def _tag(entry: Entry) -> int:
    return entry.tag

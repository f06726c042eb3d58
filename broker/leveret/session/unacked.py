"""The unacknowledged deliveries of a channel, by delivery tag.

Tags ascend by one, so a list indexed by tag minus `base` finds them without hashing. Few clients leave old deliveries
unsettled while thousands of others pass; if they do, the old ones move to a dict and the list starts again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, unvisited
else:
    from leveret.queues.message import Entry, unvisited

# C variables where compiled: Python integers would be made to compare with module constants.
#: The list is compacted only if what is behind its head, or before, is longer than this.
_COMPACTION_LENGTH = cython.declare(cython.Py_ssize_t, 4096)

#: Deliveries that are copied at once; of more, lists with gaps are handed out.
_MOST_COPIED = cython.declare(cython.Py_ssize_t, 16384)

#: Deliveries that `Unacked.in_order` looks up together.
_FOLLOWING = cython.declare(cython.Py_ssize_t, 256)


class Unacked:
    """Outstanding deliveries in order of their tags. `count`: how many. `stragglers`: old ones, by tag, all older than
    those of the list; `tags`: their tags in order from `first` on, if they are `ordered`, with those of settled ones.
    `examined`: tag up to which they were paged out, if that was worth it (`unacked_paging.py`)."""

    def __init__(self) -> None:
        self.slots: list[Entry | None] = unvisited([])
        self.base: int = 0
        self.head: int = 0
        self.stragglers: dict[int, Entry] = {}
        self.tags: list[int] = []
        self.first: int = 0
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
        self.straggle(entry)

    def straggle(self, entry: Entry) -> None:
        """Add a delivery to the stragglers."""
        if self.tags and self.tags[-1] >= entry.tag:
            self.ordered = False
        self.tags.append(entry.tag)
        self.stragglers[entry.tag] = entry
        self.thin()

    def thin(self) -> None:
        """Forget the tags of settled stragglers if they are many, and put the others in order."""
        if not self.stragglers:
            self.tags.clear()
            self.first = 0
            self.ordered = True
        elif len(self.tags) - self.first > 2 * len(self.stragglers) + _COMPACTION_LENGTH:
            self.stragglers = dict(self.stragglers)  # a dict keeps the room of what was removed
            self.sort()

    def sort(self) -> None:
        """Put the tags of the stragglers in order. They are in few runs, which makes that one pass."""
        self.tags = unvisited(sorted(self.stragglers))
        self.first = 0
        self.ordered = True

    def outstanding(self) -> list[Entry]:
        """Return all deliveries, in order of their tags."""
        if not self.ordered:
            self.sort()
        entries: list[Entry] = [
            self.stragglers[tag] for tag in self.tags[self.first :] if tag in self.stragglers
        ]
        entries.extend([entry for entry in self.slots if entry is not None])
        return unvisited(entries)

    def in_order(self) -> Iterator[Entry]:
        """Yield the deliveries in order of their tags, without a copy of the list."""
        tag: cython.ulonglong = 0
        while portion := self.following(tag, _FOLLOWING):
            tag = portion[-1].tag
            yield from portion

    def following(self, tag: cython.ulonglong, most: cython.Py_ssize_t) -> list[Entry]:
        """Return the first deliveries after a tag, in order of their tags: so many at most. An empty list means that
        there are none."""
        entry: Entry | None
        start: cython.Py_ssize_t
        found: list[Entry] = []
        if self.newest_straggler() > tag:
            start = bisect_right(self.tags, tag, self.first)
            while start < len(self.tags) and len(found) < most:
                entry = self.stragglers.get(self.tags[start])
                if entry is not None:
                    found.append(entry)
                start += 1
            return found
        start = self.head
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
            if not self.ordered:
                self.sort()
            while self.tags[self.first] not in self.stragglers:
                self.first += 1
            return self.stragglers[self.tags[self.first]]
        return self.slots[self.head] if self.head < len(self.slots) else None

    def compact(self) -> None:
        """Move everything outstanding to the stragglers; the list is empty then."""
        entry: Entry | None
        i: cython.Py_ssize_t
        for i in range(self.head, len(self.slots)):
            entry = self.slots[i]
            if entry is not None:
                self.straggle(entry)
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
            self.thin()
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
        taken = self.take_stragglers(tag)
        if self.slots and tag >= self.base:
            last = min(tag - self.base + 1, len(self.slots))
            taken.extend([one for one in self.slots[self.head : last] if one is not None])
            self.slots[self.head : last] = [None] * (last - self.head)
            self.advance()
        self.count -= len(taken)
        return unvisited(taken)

    def take_stragglers(self, tag: cython.ulonglong) -> list[Entry]:
        """Remove and return the stragglers up to and with a tag, in order. Others are not looked at."""
        entry: Entry | None
        taken: list[Entry] = []
        if not self.ordered:
            self.sort()
        while self.first < len(self.tags) and self.tags[self.first] <= tag:
            entry = self.stragglers.pop(self.tags[self.first], None)
            if entry is not None:
                taken.append(entry)
            self.first += 1
        self.thin()
        return taken

    def last(self) -> int:
        """The highest tag that may be outstanding."""
        tag: cython.ulonglong = self.base + len(self.slots) - 1 if self.slots else 0
        return max(tag, self.newest_straggler())

    def newest_straggler(self) -> int:
        """The highest tag of the stragglers, 0 if there are none."""
        if not self.stragglers:
            return 0
        if not self.ordered:
            self.sort()
        while self.tags[-1] not in self.stragglers:
            self.tags.pop()
        return self.tags[-1]

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
        self.thin()
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


def _filled(slots: list[Any]) -> int:
    """Count the entries, of any class, of a list with gaps."""
    count: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    for i in range(len(slots)):
        if slots[i] is not None:
            count += 1
    return count

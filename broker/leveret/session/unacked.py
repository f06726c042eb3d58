"""The unacknowledged deliveries of a channel, by delivery tag.

Tags ascend by one, so a list indexed by tag minus `base` finds them without hashing. Few clients leave old deliveries
unsettled while thousands of others pass; if they do, the old ones move to a dict and the list starts again.
"""

from __future__ import annotations

from collections.abc import Iterator

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.message import Entry

#: The list is compacted only if it is longer than this.
_COMPACTION_LENGTH = 4096


class Unacked:
    """Outstanding deliveries in order of their tags. `count`: how many. `stragglers`: old ones, by tag; `ordered`: they
    are in order, and older than those of the list."""

    def __init__(self) -> None:
        self.slots: list[Entry | None] = []
        self.base: int = 0
        self.head: int = 0
        self.stragglers: dict[int, Entry] = {}
        self.ordered: bool = True
        self.count: int = 0

    def add(self, entry: Entry) -> None:
        """Add a new delivery, whose tag is greater than any before."""
        gap: cython.Py_ssize_t
        if self.head == len(self.slots):
            self.slots.clear()
            self.head = 0
            self.base = entry.tag
        else:
            gap = entry.tag - self.base - len(self.slots)
            if gap > 0:  # tags of automatic acknowledgements lie between
                if gap > _COMPACTION_LENGTH:
                    self.compact()
                    self.base = entry.tag
                else:
                    self.slots.extend([None] * gap)
            elif len(self.slots) > _COMPACTION_LENGTH and self.count * 4 < len(self.slots):
                self.compact()
                self.base = entry.tag
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
        if not self.ordered:
            entries.sort(key=_tag)
        return entries

    def in_order(self) -> Iterator[Entry]:
        """Yield the deliveries in order of their tags, without a copy of the list."""
        entry: Entry | None
        if self.stragglers:
            yield from self.outstanding()
            return
        for entry in self.slots:
            if entry is not None:
                yield entry

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
        (rabbit_channel:collect_acks)."""
        taken: list[Entry]
        last: cython.Py_ssize_t
        if self.find(tag) is None:
            return None
        if self.count > _COMPACTION_LENGTH and tag >= self.last():
            return self.take_all()
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
            taken.sort(key=_tag)
        self.count -= len(taken)
        self.ordered = self.ordered or not self.stragglers
        return taken

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

    def take_all(self) -> list[Entry]:
        """Remove and return everything outstanding, in order."""
        taken: list[Entry]
        if self.stragglers or self.count < len(self.slots) - self.head:
            taken = self.outstanding()
            self.slots.clear()
        else:
            taken = self.slots  # type: ignore[assignment]  # without gaps
            self.slots = []
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


def _tag(entry: Entry) -> int:
    return entry.tag

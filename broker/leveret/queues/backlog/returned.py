"""Requeued entries of a backlog, by position.

Entries come back in runs: what a consumer held is requeued in ascending order. A run is a list, and the runs are a heap
by their first positions. So a million entries come back without being sorted, each in constant time, and entries in no
order at all take logarithmic time each.
"""

from __future__ import annotations

import heapq

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, unvisited
else:
    from leveret.queues.message import Entry, unvisited

#: Places of taken entries at the head of a run that are removed together.
_REMOVED_TOGETHER = cython.declare(cython.Py_ssize_t, 4096)


class ReturnedRun:
    """Entries in ascending order: those of `entries` from `at` on. `first`, `last`: lowest and highest position."""

    def __init__(self, entry: Entry) -> None:
        self.entries: list[Entry] = unvisited([entry])
        self.at: int = 0
        self.first: int = entry.position
        self.last: int = entry.position

    def __lt__(self, other: ReturnedRun) -> bool:
        return self.first < other.first


class ReturnedEntries:
    """Entries that were requeued. `length`: how many; `newest`: the run that got the last one."""

    def __init__(self) -> None:
        self.length: int = 0
        self.runs: list[ReturnedRun] = []
        self.newest: ReturnedRun | None = None

    def add(self, entry: Entry) -> None:
        """Add an entry: to the newest run behind its last one or, if it was taken from there, before its first."""
        run: ReturnedRun | None = self.newest
        self.length += 1
        if run is not None:
            if entry.position > run.last:
                run.entries.append(entry)
                run.last = entry.position
                return
            if run.at and entry.position < run.first and run is self.runs[0]:
                run.at -= 1
                run.entries[run.at] = entry
                run.first = entry.position
                return
        self.newest = ReturnedRun(entry)
        heapq.heappush(self.runs, self.newest)

    def first(self) -> Entry:
        """The entry with the lowest position. There must be one."""
        run: ReturnedRun = self.runs[0]
        return run.entries[run.at]

    def pop(self) -> Entry:
        """Take the entry with the lowest position. There must be one."""
        run: ReturnedRun = self.runs[0]
        entry: Entry = run.entries[run.at]
        following: Entry
        run.entries[run.at] = None  # type: ignore[call-overload]  # freed now, not with the run
        run.at += 1
        self.length -= 1
        if run.at == len(run.entries):
            heapq.heappop(self.runs)
            if self.newest is run:
                self.newest = None
            return entry
        following = run.entries[run.at]
        run.first = following.position
        if run.at >= _REMOVED_TOGETHER and run.at * 2 > len(run.entries):
            del run.entries[: run.at]
            run.at = 0
        if len(self.runs) > 1:
            heapq.heapreplace(self.runs, run)
        return entry

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return up to `count` entries with the lowest positions, in order."""
        run: ReturnedRun
        found: list[Entry] = []
        for run in heapq.nsmallest(count, self.runs):
            found.extend(run.entries[run.at : run.at + count])
        found.sort(key=_position)
        return found[:count]

    def entries(self) -> list[Entry]:
        """All of them, in no order."""
        run: ReturnedRun
        found: list[Entry] = []
        for run in self.runs:
            found.extend(run.entries[run.at :])
        return unvisited(found)


def _position(entry: Entry) -> int:
    return entry.position

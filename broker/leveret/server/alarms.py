"""Compare memory and free disk space with their limits, and raise alarms (docs: alarms, memory, disk-alarms); page out
unacknowledged messages; give free memory back to the operating system."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from leveret import errors
from leveret.management.site import Reading
from leveret.server.collecting import collector
from leveret.server.disk_space import DiskSpace
from leveret.server.log import log
from leveret.server.sockets import Edge
from leveret.server.trimming import Allocator, Trimmer
from leveret.session.unacked_paging import UnackedPaging

#: Interval between two checks. Publishers send some hundred MB a second at most; the watermark leaves room for that.
CHECK_INTERVAL_S = 0.5

#: The same while free memory is given back: a little of it with each check.
GIVING_BACK_INTERVAL_S = 0.1

#: The part of the memory watermark that half-received bodies and open transactions of all connections may fill during
#: the alarm.
UNFINISHED_SHARE = 0.5

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the octets of memory that this process uses."""
    return int(os.pread(_statm(), 256, 0).split()[1]) * _PAGE


@functools.cache
def _statm() -> int:
    """Open the file of memory figures. It stays open, because checks must work when clients use all descriptors."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def _free(directory: Path) -> int:
    """The octets free for data in a directory."""
    if hasattr(os, "statvfs"):
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize
    import shutil  # Windows

    return shutil.disk_usage(directory).free


def total_memory() -> int:
    """Return the octets of memory available to this process: the machine's, or its container's if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(total, int(text))
    return total


class Kept(Protocol):
    """Where data is kept."""

    @property
    def failing(self) -> OSError | None:
        """The error while nothing can be written, else None."""


class ResourceMonitor:
    """Raises and clears the alarms of the broker.

    Commands change the limits. `setting`: the watermark as a share of RAM, or in octets. `disk_watched`: free disk
    space is compared with its limit. `held`: alarms that stay on, whatever is measured. `offload`: see `DiskSpace`.
    """

    def __init__(
        self,
        edge: Edge,
        store: Kept | None = None,
        offload: Callable[[Callable[[], None], Callable[[OSError | None], None]], None] | None = None,
    ) -> None:
        self.edge = edge
        self.store = store
        settings = edge.broker.settings
        self.total = total_memory()
        self.memory_limit = settings.memory.limit(self.total, edge.broker.profile.memory_watermark)
        given = settings.memory.high_watermark
        self.setting: float | int = edge.broker.profile.memory_watermark if given == "" else self.memory_limit
        if isinstance(given, float):
            self.setting = given
        self.disk_limit = settings.store.free_limit(self.total)
        self.data_dir = settings.store.data_dir
        self.disk_watched = True
        self.held: set[str] = set()
        self.allocator = Allocator()
        self.trimmer = Trimmer(self.allocator.trim, ready=self.allocator.ready)
        self.unacked = UnackedPaging(edge.broker)
        self.space = DiskSpace(self._free_space, offload)
        self._short = False
        self._giving_back = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Check now, after each interval, and whenever very much was read."""
        self.edge.look = self.look
        self.edge.broker.faults.guard("resource watch", self.check)
        interval = GIVING_BACK_INTERVAL_S if self._giving_back else CHECK_INTERVAL_S
        self._timer = self.edge.loop.call_later(interval, self.start)

    def stop(self) -> None:
        """End the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Check early if memory is full: a second of reading can be gigabytes."""
        memory = self.memory()
        if memory.value > memory.limit and "memory" not in self.edge.broker.alarms:
            self.check()

    def check(self) -> None:
        """Set or clear each alarm."""
        self.unacked.check()
        pager = self.edge.broker.pager
        memory = self.memory()
        explained = pager.used + self.unacked.memory
        self._giving_back = self.allocator.go_on()
        if self._giving_back:
            memory = self.memory()
            self.trimmer.went_on(memory.value, explained)
        elif self.trimmer.check(memory.value, explained):
            memory = self.memory()
            self.trimmer.trimmed(memory.value, explained)
        if memory.value > memory.limit and "memory" not in self.edge.broker.alarms:
            collector.relieve()
            memory = self.memory()
        self._set("memory", memory.value > memory.limit)
        if memory.value > memory.limit:
            self._drop_unfinished(int(memory.limit * UNFINISHED_SHARE))
        if self.store is not None:
            self.space.look(self._space_seen)
            self._compare_space(self.store)
        self.edge.touch()

    def _drop_unfinished(self, limit: int) -> None:
        """Close the connection that has sent most of half-received bodies and uncommitted messages if these fill much
        of the memory: during the alarm no body is completed and nothing committed, and the alarm would never end."""
        connections, uncommitted = self.edge.broker.connections, self.edge.broker.uncommitted
        held = {each: each.unfinished + uncommitted.get(each, 0) for each in connections}
        if sum(held.values()) <= limit:
            return
        largest = max(connections, key=held.__getitem__)
        if uncommitted.get(largest, 0) > largest.unfinished:
            log.warning("%s has sent most of the uncommitted messages and is closed", largest.name)
            largest.shut(errors.all_uncommitted(limit))
        else:
            log.warning("%s has sent most of the unfinished message bodies and is closed", largest.name)
            largest.shut(errors.all_unfinished_bodies(limit))

    def _space_seen(self) -> None:
        """The free disk space was looked up."""
        if self.store is not None:
            self._compare_space(self.store)
            self.edge.touch()

    def _compare_space(self, store: Kept) -> None:
        """Set or clear the disk alarm, by the space that was seen last."""
        if self.disk_watched:
            self._report_space(self.space.free)
        short = self.disk_watched and self.space.free < self.disk_limit
        self._set("disk", short or store.failing is not None)

    def memory(self) -> Reading:
        """Return the octets of memory in use, and the watermark."""
        return Reading(resident(), self.memory_limit)

    def disk(self) -> Reading:
        """Return the octets free where data is, or would be, stored, as of the last look, and the limit.

        -1 if that is unknown because the data directory or its disk is gone: nothing is durable there.
        """
        if self.store is None:
            self.space.look()
        return Reading(self.space.free, self.disk_limit)

    def _free_space(self) -> int:
        """Look up the free space; in any thread. Raises OSError."""
        directory = Path(self.data_dir)
        if self.store is None:
            directory = next(path for path in (directory, *directory.resolve().parents) if path.exists())
        return _free(directory)

    def _report_space(self, free: int) -> None:
        """Log in the words of rabbit_disk_monitor that the limit was crossed."""
        if self._short != (free < self.disk_limit):
            self._short = not self._short
            state = "insufficient" if self._short else "sufficient"
            log.info("Free disk space is %s. Free bytes: %d. Limit: %d", state, free, self.disk_limit)

    def _set(self, source: str, on: bool) -> None:
        broker = self.edge.broker
        if on or source in self.held:
            broker.set_alarm(source)
        else:
            broker.clear_alarm(source)

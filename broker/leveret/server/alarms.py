"""Compare memory and free disk space with their limits, and raise alarms (docs: alarms, memory, disk-alarms); give free
memory back to the operating system."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.management.site import Reading
from leveret.server.log import log
from leveret.server.sockets import Edge
from leveret.server.trimming import Trimmer, malloc_trim

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

#: Interval between two checks. Publishers send some hundred MB a second at most; the watermark leaves room for that.
CHECK_INTERVAL_S = 0.5

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the octets of memory that this process uses."""
    return int(os.pread(_statm(), 256, 0).split()[1]) * _PAGE


@functools.cache
def _statm() -> int:
    """Open the file of memory figures. It stays open, because checks must work when clients use all descriptors."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


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


class ResourceMonitor:
    """Raises and clears the alarms of the broker."""

    def __init__(self, edge: Edge, store: DiskStore | None = None) -> None:
        self.edge = edge
        self.store = store
        settings = edge.broker.settings
        self.total = total_memory()
        self.memory_limit = settings.memory.limit(self.total, edge.broker.profile.memory_watermark)
        self.disk_limit = settings.store.free_limit(self.total)
        self.data_dir = settings.store.data_dir
        self.trimmer = Trimmer(malloc_trim())
        self._short = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Check now and after each interval."""
        self.edge.broker.faults.guard("resource watch", self.check)
        self._timer = self.edge.loop.call_later(CHECK_INTERVAL_S, self.start)

    def stop(self) -> None:
        """End the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Set or clear each alarm."""
        pager = self.edge.broker.pager
        memory = self.memory()
        if self.trimmer.check(memory.value, pager.used):
            memory = self.memory()
            self.trimmer.trimmed(memory.value, pager.used)
        self._set("memory", memory.value > memory.limit)
        if self.store is not None:
            disk = self.disk()
            self._report_space(disk.value)
            self._set("disk", disk.value < disk.limit or self.store.failing is not None)
        self.edge.touch()

    def memory(self) -> Reading:
        """Return the octets of memory in use, and the watermark."""
        return Reading(resident(), self.memory_limit)

    def disk(self) -> Reading:
        """Return the octets free where data is, or would be, stored, and the limit.

        -1 if that is unknown because the data directory or its disk is gone: nothing is durable there.
        """
        directory = Path(self.data_dir)
        if self.store is None:
            directory = next(path for path in (directory, *directory.resolve().parents) if path.exists())
        try:
            return Reading(shutil.disk_usage(directory).free, self.disk_limit)
        except OSError:
            return Reading(-1, self.disk_limit)

    def _report_space(self, free: int) -> None:
        """Log in the words of rabbit_disk_monitor that the limit was crossed."""
        if self._short != (free < self.disk_limit):
            self._short = not self._short
            state = "insufficient" if self._short else "sufficient"
            log.info("Free disk space is %s. Free bytes: %d. Limit: %d", state, free, self.disk_limit)

    def _set(self, source: str, on: bool) -> None:
        broker = self.edge.broker
        if on:
            broker.set_alarm(source)
        else:
            broker.clear_alarm(source)

"""Memory and disk: read now and then, turned into alarms (docs: alarms, memory, disk-alarms)."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.server.listeners import Edge
from leveret.server.log import log

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

#: Seconds between two looks. A flood is some hundred MB a second at most; the watermark leaves room for that.
CHECK_INTERVAL_S = 0.5

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Octets of memory this process holds."""
    return int(os.pread(_statm(), 256, 0).split()[1]) * _PAGE


@functools.cache
def _statm() -> int:
    """Opened once: the looks must go on when clients have taken all descriptors."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def total_memory() -> int:
    """Octets of memory this process may hold: the machine's, or its container's if less."""
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
    """Raises and clears the broker's alarms."""

    def __init__(self, edge: Edge, store: DiskStore | None = None) -> None:
        self.edge = edge
        self.store = store
        settings = edge.broker.settings
        self.total = total_memory()
        self.memory_limit = settings.memory.limit(self.total, edge.broker.profile.memory_watermark)
        self.disk_limit = settings.store.free_limit(self.total)
        self.data_dir = settings.store.data_dir
        self._short = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        self.edge.broker.faults.guard("resource watch", self.check)
        self._timer = self.edge.loop.call_later(CHECK_INTERVAL_S, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Compare what is used with what is allowed."""
        self._set("memory", resident() > self.memory_limit)
        if self.store is not None:
            free = self._free()
            self._report_space(free)
            self._set("disk", free < self.disk_limit or self.store.failing is not None)
            self.store.save_if_possible()
        self.edge.touch()

    def _free(self) -> int:
        """Octets the data directory has room for; less than any limit where it cannot be told, because it was deleted
        or its disk is gone: nothing is safe there, and the looks must go on."""
        try:
            return shutil.disk_usage(self.data_dir).free
        except OSError:
            return -1

    def _report_space(self, free: int) -> None:
        """Texts: rabbit_disk_monitor."""
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

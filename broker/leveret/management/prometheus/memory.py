"""`/metrics/memory-breakdown`: what the memory of the process is used for, as far as that is known.

Octets of message bodies, by queue type, and of output that waits for clients are counted. Everything else is `other
system`, so that the parts add up to the resident memory; what only an Erlang virtual machine has is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from leveret.management.prometheus.pages import PREFIX, Page
from leveret.management.prometheus.text import metric

_TEXTS = {
    "client_connection_writer": "Client connection writer processes footprint in bytes",
    "classic_queue_erlang_process": "Classic queue processes footprint in bytes",
    "quorum_queue_erlang_process": "Quorum queue processes footprint in bytes",
    "other_system": "Other runtime footprint in bytes",
}


class MemoryBreakdown(Page):
    """The page."""

    endpoint = "memory-breakdown"

    async def write(self) -> AsyncIterator[str]:
        """Yield the page in pieces."""
        used = dict.fromkeys(_TEXTS, 0)
        async for queues in self.slices(self.queues()):
            for queue in queues:
                if queue.kind != "stream":  # their records are on the disk, or in pages of their own
                    name = f"{queue.kind}_queue_erlang_process"
                    used[name] += queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes
        async for connections in self.slices(self.connections()):
            used["client_connection_writer"] += sum(connection.unsent for connection in connections)
        used["other_system"] = max(0, self.site.memory().value - sum(used.values()))
        for name, octets in used.items():
            yield metric(f"{PREFIX}memory_{name}_bytes", "gauge", _TEXTS[name], [("", octets)])

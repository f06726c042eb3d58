"""Send barriers of a broker whose virtual hosts have journals of their own.

Every connection passes the barrier of the directory: what it sends may report a change of users or policies. Then it
passes the barrier of its virtual host. What waits for one virtual host keeps the clients of others waiting for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from leveret.queues.journal import Journal
    from leveret.server.send_barrier import SendBarrier
    from leveret.session.connection import Connection
    from leveret.session.output import Output


class VhostBarriers:
    """`directory`: the barrier that all connections pass; `of`: those of virtual hosts, by their journal."""

    def __init__(self, directory: SendBarrier) -> None:
        self.directory = directory
        self.of: dict[Journal, SendBarrier] = {}

    def add(self, barrier: SendBarrier) -> None:
        """Have the connections of the virtual host with this barrier's journal pass the barrier."""
        self.of[barrier.journal] = barrier

    def remove(self, journal: Journal) -> None:
        """Forget the barrier of a virtual host that leaves this node. What it holds is never sent: it may report what
        is not safe, and nobody will say any more that it is."""
        barrier = self.of.pop(journal, None)
        for output in barrier.held if barrier is not None else ():
            output.outbox.take()
            output.flush_scheduled = False

    def shut(self) -> bool:
        """Return whether output must not be sent before the end of the tick."""
        return self.directory.shut() or any(barrier.shut() for barrier in self.of.values())

    def admit(self, dirty: list[Output]) -> list[Output]:
        """Return the connections that may send now: of `dirty` and of the held ones."""
        ready = self.directory.admit(dirty)
        groups: dict[Journal, list[Output]] = {}
        admitted: list[Output] = []
        for output in ready:
            vhost = cast("Connection", output).vhost
            if vhost is not None and vhost.journal in self.of:
                groups.setdefault(vhost.journal, []).append(output)
            else:
                admitted.append(output)
        for journal, barrier in list(self.of.items()):
            admitted += barrier.admit(groups.get(journal, []))
        held = self.directory.held
        return [output for output in admitted if output not in held] if held else admitted

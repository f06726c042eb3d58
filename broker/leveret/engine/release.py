"""A virtual host that leaves this node, because another node of the cluster is to own it.

Nothing in it is deleted: its store keeps queues and messages, and no observer hears of a deletion. `Broker.adopt` is
the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.clients import closing
from leveret.work import Job

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost
    from leveret.work import Steps, Work

#: Names the job where a fault is logged.
PLACE = "release"


class Release:
    """One release. `reason`: the text of connection.close (320); `safe`: the job that ends when everything is safe;
    `job`: the release as a whole."""

    def __init__(self, work: Work, vhost: VirtualHost, reason: str) -> None:
        self.work = work
        self.vhost = vhost
        self.reason = reason
        self.safe = Job.elsewhere("commit")
        self.job = Job.ended()

    def give_up(self) -> None:
        """Do not wait until everything is safe: the store takes nothing any more."""
        if not self.safe.done:
            self.work.complete(self.safe)

    def steps(self) -> Steps:
        """Stop deliveries, close the connections, and wait for the store."""
        vhost = self.vhost
        # What one consumer gives back would go to the others, marked as redelivered, before they are closed, too.
        for queue in list(vhost.queues.values()):
            queue.consumers.hold()
            yield None
        connections = list(vhost.connections)
        yield from closing(connections, self.reason)
        for connection in connections:
            yield connection.ending
        names = {connection.name for connection in connections}
        while (job := self._unfinished(names)) is not None:
            yield job
        vhost.publish_dead_letters()
        vhost.when_committed(self.give_up)
        yield self.safe

    def _unfinished(self, connections: set[str]) -> Job | None:
        """Return a job of the virtual host or of one of its connections that has not ended."""
        for job in self.work.jobs:
            context = job.context
            ours = context.get("vhost") == self.vhost.name or context.get("connection") in connections
            if ours and job.place != PLACE:
                return job
        return None


def ending(vhost: VirtualHost) -> Steps:
    """End the queues of a virtual host that nobody finds any more: no timer is left, and their store keeps all."""
    vhost.context.history = None
    vhost.close()
    vhost.routes.clear()
    while vhost.queues:
        _, queue = vhost.queues.popitem()
        if not queue.gone:
            queue.close(kept=True)
        yield None
    yield from vhost.end_exchanges()

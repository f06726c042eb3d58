"""Asks again and again whether the broker is idle (`idle.py`), until it has been so for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.testing.reasons import Reason

if TYPE_CHECKING:
    from leveret.queues.message import Entry
    from leveret.server.sockets import Socket
    from leveret.testing.node import EmbeddedNode

#: Silence after which clients that hold deliveries get the first heartbeat frame, and the longest pause between two,
#: seconds. Clients that sleep in `select` put off their acknowledgements; a frame wakes them.
FIRST_NUDGE_S = 0.005
LAST_NUDGE_S = 0.5


class IdleCheck:
    """Asks whether the broker is idle, and nudges clients meanwhile.

    `vhost`: only connections of that one count; None: all. `quiet`: seconds without an octet. `reasons`: of the last
    `check`. Made and called in the broker's thread; `stop` ends its timers.
    """

    def __init__(self, node: EmbeddedNode, vhost: str | None, quiet: float) -> None:
        self.node = node
        self.vhost = vhost
        self.quiet = quiet
        self.reasons: list[Reason] = []
        self._octets: object = None
        self._still_since = 0.0
        self._first_seen: dict[Entry, float] = {}
        self._pause = FIRST_NUDGE_S
        self._stopped = False
        self._rest_timer = False
        self._nudge_later()

    def check(self) -> bool:
        """Return whether it is idle. `reasons` says why not."""
        now = self.node.loop.time()
        octets = self._count()
        if octets != self._octets:
            self._octets, self._still_since = octets, now
        self.reasons = list(self.node.travel.idleness.reasons((), self.vhost, self._held))
        if self.reasons:
            return False
        rest = self._still_since + self.quiet - now
        if rest <= 0:
            return True
        ago = (now - self._still_since) * 1000
        self.reasons = [Reason("octets", f"octets came or went {ago:.1f} ms ago")]
        if not self._rest_timer:
            self._rest_timer = True
            self.node.loop.call_later(rest, self._rest_is_over)
        return False

    def stop(self) -> None:
        """Nudge nobody any more."""
        self._stopped = True

    def _rest_is_over(self) -> None:
        self._rest_timer = False  # the turn of the loop that called this asks again

    def _held(self, entry: Entry) -> float:
        """Return for how long a client has had a delivery: by the broker's clock, or in real time if it is frozen."""
        now = self.node.loop.time()
        since = self._first_seen.setdefault(entry, now)
        return max(now - since, (self.node.engine.clock.now - entry.delivered_at) / 1000)

    def _sockets(self) -> list[Socket]:
        return [
            each
            for each in self.node.edge.sockets.values()
            if self.vhost is None or each.connection.vhost is None or each.connection.vhost.name == self.vhost
        ]

    def _count(self) -> object:
        """Return something that changes with each octet that comes or goes."""
        return [(each.fd, each.connection.received, each.connection.sent) for each in self._sockets()]

    def _nudge_later(self) -> None:
        self.node.loop.call_later(self._pause, self._nudge)

    def _nudge(self) -> None:
        if self._stopped:
            return
        if self.node.loop.time() - self._still_since >= FIRST_NUDGE_S:
            self.node.travel.nudge()
        self._pause = min(self._pause * 2, LAST_NUDGE_S)
        self._nudge_later()

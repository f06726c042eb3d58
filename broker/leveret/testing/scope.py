"""What a handle of a broker stands for: all of it, or one virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from leveret.testing.errors import ToolkitError

if TYPE_CHECKING:
    from leveret.engine.broker import Broker as Engine
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.testing.node import EmbeddedNode


class Scope(Struct, frozen=True):
    """`only`: the one virtual host, None for all; `default`: the one that names without a virtual host mean."""

    node: EmbeddedNode
    only: str | None
    default: str

    @property
    def engine(self) -> Engine:
        """The broker itself; only in its thread."""
        return self.node.engine

    def vhost(self) -> VirtualHost:
        """Return the virtual host that names mean; only in the broker's thread. Raises `ToolkitError`."""
        found = self.engine.vhosts.get(self.default)
        if found is None:
            raise ToolkitError(f"virtual host '{self.default}' does not exist any more")
        return found

    def queue(self, name: str) -> Queue | None:
        """Return a queue of that virtual host; None if there is none."""
        vhost = self.engine.vhosts.get(self.default)
        return vhost.queues.get(name) if vhost is not None else None

    def covers(self, vhost: str | None) -> bool:
        """Return whether something in a virtual host (None: in none) belongs to it."""
        return self.only is None or vhost == self.only

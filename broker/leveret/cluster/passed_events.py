"""Events of this node that are published in the event exchange of another one, and those of other nodes here.

They are sent in the order in which they happened, soon after that. If no node serves the virtual host of the event
exchange for a while, the oldest are dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from leveret.cluster import splice
from leveret.cluster.peers import EVENTS, NOBODY, Call, Refusals
from leveret.engine.events import EventExchange
from leveret.engine.other_nodes import Event
from leveret.wire.tables import decode_table, encode_table

if TYPE_CHECKING:
    from leveret.cluster.peer_tls import PeerTls
    from leveret.engine.broker import Broker

log = logging.getLogger("leveret")

#: Events that may wait for a node.
MOST_EVENTS = 10_000

#: Events that are sent at once: they are published in one turn of the event loop.
SENT_EVENTS = 256


class EventSender:
    """Sends events to the node that serves their virtual host. `address_of`: waits for its address, see
    `splice.reach`; `here`: publishes them on this node, if the virtual host has come to it."""

    def __init__(
        self,
        address_of: Callable[[], Awaitable[str]],
        secret: bytes,
        tls: PeerTls | None,
        here: Callable[[Sequence[Event]], None],
    ) -> None:
        self.address_of = address_of
        self.secret = secret
        self.tls = tls
        self.here = here
        self._waiting: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._refusals = Refusals()
        self._task: asyncio.Task[None] | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Send events behind those that wait."""
        self._waiting.extend(events)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self._waiting:
            try:
                _, served = await splice.reach(
                    self.address_of, self.secret, Call(EVENTS, NOBODY), self.tls, self._refusals
                )
            except Exception as reason:  # the virtual host is here, or deleted
                log.debug("cluster: events are published here: %s", reason)
                self.here(self._taken())
                await asyncio.sleep(0)
                continue
            served.transport.write(encoded(self._taken()))
            served.transport.close()

    def _taken(self) -> list[Event]:
        """Return the first of those that wait, which are sent then."""
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), SENT_EVENTS))]

    def stop(self) -> None:
        """Send nothing more."""
        if self._task is not None:
            self._task.cancel()


def encoded(events: Sequence[Event]) -> bytes:
    """Return events as lines of JSON; their headers are AMQP tables."""
    rows = ([one.name, b64encode(encode_table(one.headers)).decode(), one.at] for one in events)
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def decoded(data: bytes) -> list[Event]:
    """Return the events of `encoded`; the last one may have been cut off. Raises `ValueError`."""
    rows = map(json.loads, data.split(b"\n")[:-1])
    return [Event(name, decode_table(b64decode(headers))[0], at) for name, headers, at in rows]


class EventReceiver(asyncio.Protocol):
    """Publishes the events of another node, once it has sent all. `touch`: has clients be sent what they get."""

    def __init__(self, broker: Broker, touch: Callable[[], None]) -> None:
        self.broker = broker
        self.touch = touch
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self._received += data

    def connection_lost(self, error: Exception | None) -> None:
        """Publish it."""
        self.broker.faults.guard("events of another node", self._publish)
        self.touch()

    def _publish(self) -> None:
        exchange = self.broker.context.events
        if isinstance(exchange, EventExchange):
            exchange.publish_here(decoded(bytes(self._received)))

"""Clients of this node that open a virtual host which another node serves: their octets are passed on to it, and back.

A client has logged in here. Until its virtual host is served somewhere, it waits as for any job: it gets heartbeats,
and the time of a handshake ends its waiting. Then the other node gets what was agreed on (`Tuned`), and all octets from
connection.open on. From there on nothing of the client is left in the engine of this node: limits, heartbeats,
statistics and the end of the connection are those of the other one, and here are two sockets.

A client that nobody serves in time is reset, as by a handshake that takes too long. RabbitMQ's answer for a virtual
host that is down (541) says more, but py-amqp, and so Celery, does not connect again after it. After a reset all
clients do. It is the answer only for a virtual host that is damaged: that one stays down until somebody does something.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from leveret import errors
from leveret.cluster import splice
from leveret.cluster.passed_events import EventSender
from leveret.cluster.peers import NOBODY, SHUT, VHOST, Call, PeerRefused, Refusals, Served, dial
from leveret.cluster.splice import End, nothing
from leveret.cluster.user_totals import totals_of
from leveret.engine.changes import ConnectionClosed, ConnectionRefused, VhostAdopted
from leveret.engine.events import EventExchange
from leveret.engine.observers import Observer, on
from leveret.engine.other_nodes import Event, UserTotals
from leveret.server.proxy_protocol import Origin
from leveret.session import states
from leveret.session.tuned import Tuned
from leveret.work import Job, Suspended

if TYPE_CHECKING:
    from leveret.cluster.peer_tls import PeerTls
    from leveret.engine.clients import ClientConnection
    from leveret.server.sockets import Edge, Socket
    from leveret.session.connection import Connection

log = logging.getLogger("leveret")

#: Time that the clients of a node that stops have until they are cut off, seconds: the nodes that serve them are called
#: in it.
GRACE_S = 1.0

#: Names of the jobs that a client waits for, in the log.
PLACE = "passing on"
COUNTING = "user limit"


class Here(Exception):  # noqa: N818  nothing is wrong
    """A virtual host is not elsewhere any more: it is on this node, or was deleted."""


class Down(Exception):  # noqa: N818  a state
    """A virtual host is damaged, and stays closed."""


class Owners(Protocol):
    """Who serves the virtual hosts that are on other nodes."""

    async def address(self, vhost: str) -> str:
        """Return the peer address (host:port) of the node that serves a virtual host, as soon as there is one. Raises
        `Here`, `Down`."""

    def is_down(self, vhost: str) -> bool:
        """Return whether a virtual host is damaged, and stays closed."""

    def other_addresses(self) -> Sequence[str]:
        """Return the peer addresses of all other nodes that live."""


class PassedOn(End):
    """A client that the node at `address` serves, in the virtual host `vhost`."""

    def __init__(self, entry: VhostEntry, vhost: str, address: str) -> None:
        super().__init__(lambda: entry.forget(self))
        self.vhost = vhost
        self.address = address


class OwnerEnd(End):
    """The end at the node that serves a client."""

    def eof_received(self) -> bool:
        """That node has closed its socket, and not only one direction: close the client's, too."""
        return False


class _Waiting:
    """A client that waits for its virtual host. `job`: what it waits for; `task`: reaches the node that serves it."""

    def __init__(self, vhost: str, call: Call) -> None:
        self.vhost = vhost
        self.call = call
        self.job = Job.elsewhere(PLACE)
        self.task: asyncio.Task[None] | None = None

    def give_up(self) -> None:
        """Try to reach it no longer."""
        if self.task is not None:
            self.task.cancel()


class _Counting:
    """A client of a user with a limit. `job`: what it waits for; `totals`: what other nodes have of the user, once they
    have said so; `task`: asks them."""

    def __init__(self) -> None:
        self.job = Job.elsewhere(COUNTING)
        self.totals: UserTotals | None = None
        self.task: asyncio.Task[None] | None = None


class VhostEntry(Observer):
    """Passes clients on (`OtherNodes`). `waiting`: those whose virtual host is not reached yet, `clients`: those that
    are passed on. `name`: of this node in its calls, another one after each start. `tls`: between nodes, None without.
    """

    def __init__(self, edge: Edge, owners: Owners, secret: bytes, tls: PeerTls | None = None) -> None:
        self.edge = edge
        self.broker = edge.broker
        self.owners = owners
        self.secret = secret
        self.tls = tls
        self.name = secrets.token_hex(8)
        self.waiting: dict[ClientConnection, _Waiting] = {}
        self.clients: set[PassedOn] = set()
        self._counting: dict[ClientConnection, _Counting] = {}
        self._empty: asyncio.Future[None] | None = None
        self._closed = False
        self._events: EventSender | None = None
        self._refusals = Refusals()

    def start(self) -> None:
        """Pass on from now on whoever opens a virtual host that is elsewhere."""
        self.broker.observers.add(self)
        self.broker.other_nodes = self

    def publish_events(self, vhost: str, events: Sequence[Event]) -> None:
        """Have the node that serves a virtual host publish events: see `OtherNodes`."""
        if self._events is None:
            self._events = EventSender(
                lambda: self.owners.address(vhost), self.secret, self.tls, self._publish_here
            )
        self._events.send(events)

    def _publish_here(self, events: Sequence[Event]) -> None:
        exchange = self.broker.context.events
        if isinstance(exchange, EventExchange):
            exchange.publish_here(events)
            self.edge.touch()

    def reach(self, connection: ClientConnection, vhost: str) -> Job:
        """Begin to pass a client on. Returns the job that it waits for: see `OtherNodes`. Raises `AmqpError` (541)."""
        if self.owners.is_down(vhost):
            raise errors.vhost_down(vhost, connection.user.name if connection.user is not None else "")
        peer = connection.peer
        origin = Origin(peer.peer_host, peer.peer_port, peer.host, peer.port)
        tuned = Tuned.of(cast("Connection", connection))
        waiting = self.waiting[connection] = _Waiting(vhost, Call(VHOST, origin, vhost, tuned, self.name))
        self._begin(connection, waiting)
        return waiting.job

    def totals(self, connection: ClientConnection, user: str) -> UserTotals:
        """Return what other nodes have of a user: see `OtherNodes`. Raises `Suspended`."""
        counting = self._counting.get(connection)
        if counting is not None and counting.totals is not None:
            del self._counting[connection]
            return counting.totals
        if counting is None:
            addresses = self.owners.other_addresses()
            if not addresses:
                return UserTotals(0, 0)
            counting = self._counting[connection] = _Counting()
            counting.task = self.edge.loop.create_task(self._count(connection, counting, addresses, user))
        raise Suspended(counting.job)

    async def _count(
        self, connection: ClientConnection, counting: _Counting, addresses: Sequence[str], user: str
    ) -> None:
        """Ask other nodes; whatever goes wrong ends only this client."""
        try:
            counting.totals = await totals_of(addresses, user, self.secret, self.tls)
            self.edge.tick()
        except Exception as error:
            self._counting.pop(connection, None)
            connection.fail(COUNTING, error)  # it reads the answer to connection.close once the job has ended
        self.broker.work.complete(counting.job)
        self.edge.touch()

    def _begin(self, connection: ClientConnection, waiting: _Waiting) -> None:
        if not self._closed:
            waiting.task = self.edge.loop.create_task(self._pass_on(connection, waiting))

    async def _pass_on(self, connection: ClientConnection, waiting: _Waiting) -> None:
        """Reach the node that serves the virtual host, and connect both sockets; whatever goes wrong ends only this
        client."""
        try:
            address, served = await splice.reach(
                lambda: self.owners.address(waiting.vhost),
                self.secret,
                waiting.call,
                self.tls,
                self._refusals,
            )
            if served.transport.is_closing():  # in the same moment
                self._begin(connection, waiting)
                return
            self.edge.tick()
            self._splice(connection, waiting, address, served)
        except Here:
            if waiting.vhost in self.broker.elsewhere:  # it is about to come, or to go
                await asyncio.sleep(splice.RETRY_INTERVAL_S)
                self._begin(connection, waiting)
            else:
                self._look_again(connection)
        except Down:
            self.edge.tick()
            self._look_again(connection)
            self.edge.touch()
        except Exception as error:
            self._fail(connection, error)

    def _splice(self, connection: ClientConnection, waiting: _Waiting, address: str, served: Served) -> None:
        socket = self._socket(connection)
        if socket is None:
            served.transport.abort()  # the client goes, and is forgotten then
            return
        del self.waiting[connection]
        client = PassedOn(self, waiting.vhost, address)
        self.clients.add(client)
        client.early = socket.leave(waiting.vhost, client)
        waiting.job.end()  # who waits for it is not called: it is not here any more
        try:
            client.connection_made(socket.transport)
            client.connect(served, OwnerEnd(nothing))
        except BaseException:
            socket.transport.abort()
            served.transport.abort()
            raise

    def _socket(self, connection: ClientConnection) -> Socket | None:
        """Return the socket of a client, unless the client or its connection ends."""
        own = cast("Connection", connection)
        socket = self.edge.sockets.get(own)
        if socket is None or socket.transport.is_closing():
            return None
        return socket if own.state == states.OPENING and own.ended is None else None

    @property
    def passed_on(self) -> int:
        """How many clients of this node others serve."""
        return len(self.clients)

    def _fail(self, connection: ClientConnection, error: Exception) -> None:
        if self.waiting.pop(connection, None) is None:
            self.broker.faults.report(PLACE, error)
            return
        connection.fail(PLACE, error)
        self.edge.touch()

    # --- those who wait

    def _look_again(self, connection: ClientConnection) -> None:
        """Have a client that waits go on here."""
        waiting = self._forget_waiting(connection)
        if waiting is not None:
            self.broker.work.complete(waiting.job)

    def _forget_waiting(self, connection: ClientConnection) -> _Waiting | None:
        waiting = self.waiting.pop(connection, None)
        if waiting is not None:
            waiting.give_up()
        return waiting

    def look_again(self, vhost: str) -> None:
        """Have the clients that wait for a virtual host open it again here: it was adopted or deleted."""
        for connection in self._waiting_for(vhost):
            self._look_again(connection)

    def _waiting_for(self, vhost: str) -> Iterable[ClientConnection]:
        return [connection for connection, waiting in self.waiting.items() if waiting.vhost == vhost]

    @on(VhostAdopted)
    def _adopted(self, change: VhostAdopted) -> None:
        self.look_again(change.name)

    @on(ConnectionRefused)
    def _refused(self, change: ConnectionRefused) -> None:
        """Read the answer to connection.close."""
        self._look_again(change.connection)

    @on(ConnectionClosed)
    def _closed_here(self, change: ConnectionClosed) -> None:
        counting = self._counting.pop(change.connection, None)
        if counting is not None and counting.task is not None:
            counting.task.cancel()
        waiting = self._forget_waiting(change.connection)
        if waiting is not None:
            log.warning(
                "cluster: no node has served virtual host '%s' before the end of connection %s",
                waiting.vhost,
                change.connection.name,
            )

    # --- the end

    def reset(self, vhost: str, owner: str = "") -> None:
        """Another node has become the owner: end the connections to nodes that do not serve it any more. Who still
        waits for one goes on waiting, for the new one. `owner`: its address, whose connections stay."""
        for client in list(self.clients):
            if client.vhost == vhost and client.address != owner:
                client.reset()
        for connection in self._waiting_for(vhost):
            waiting = self.waiting[connection]
            waiting.give_up()
            self._begin(connection, waiting)

    def forget(self, client: PassedOn) -> None:
        """The socket of a client is closed."""
        self.clients.discard(client)
        if not self.clients and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def shut(self, grace_s: float = GRACE_S) -> None:
        """Have the clients that are passed on be closed by the nodes that serve them (320), and cut off those that do
        not answer within `grace_s` seconds, as a node does that stops. Those that wait are closed with all that are
        here."""
        self._empty = self.edge.loop.create_future()
        try:
            async with asyncio.timeout(grace_s):
                addresses = {client.address for client in self.clients}
                await asyncio.gather(*(self._shut_at(address) for address in addresses))
                if self.clients:
                    await self._empty
        except TimeoutError:
            log.debug("cluster: clients that were passed on have not answered connection.close")
        for client in list(self.clients):
            client.reset()

    async def _shut_at(self, address: str) -> None:
        try:
            served = await dial(address, self.secret, Call(SHUT, NOBODY, entry=self.name), self.tls)
        except (PeerRefused, OSError, TimeoutError):
            return
        served.transport.abort()

    async def close(self, grace_s: float = GRACE_S) -> None:
        """Pass nobody on any more, and close those that are (`shut`)."""
        self._closed = True
        if self._events is not None:
            self._events.stop()
        for waiting in self.waiting.values():
            waiting.give_up()
        await self.shut(grace_s)

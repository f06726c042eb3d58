"""Whether the broker is idle, and if not, why: what was begun and is not finished.

Idle means: nothing read and not handled, nothing written and not in the peer's socket, nothing due now, every delivery
settled, every publish confirmed where that was asked for, no handshake or close under way, nothing that a fault holds
back, and nobody holds the clock. That nothing is ready which a consumer has credit for follows from these: the engine
delivers at once, except to a client that does not read, and while a job is at work.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import TYPE_CHECKING

from leveret.queues.backlog.paged_contents import whole
from leveret.session import states
from leveret.testing.drain import BACKGROUND, readable
from leveret.testing.reasons import Reason
from leveret.testing.recorder import connection_name
from leveret.testing.socket_queues import unsent

if TYPE_CHECKING:
    from leveret.queues.message import Entry
    from leveret.server.sockets import Socket
    from leveret.session.channel import Channel
    from leveret.testing.running import RunningNode

#: One delivery: its channel and its tag.
Delivery = tuple["Channel", int]

#: Octets of a body that a reason shows.
SHOWN_BODY_BYTES = 60


class Idleness:
    """What keeps a broker from being idle. `extra`: functions that yield reasons of other parts of the toolkit;
    `withheld`: deliveries that clients have not got yet. `number_of`: the number of a message in the
    history."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.extra: list[Callable[[], Iterable[Reason]]] = []
        self.withheld: Container[Delivery] = ()
        self.number_of: Callable[[Entry], int | None] = _unnumbered

    def reasons(
        self,
        kept: Container[Delivery] = (),
        vhost: str | None = None,
        held: Callable[[Entry], float] | None = None,
    ) -> Iterator[Reason]:
        """Yield everything that is left, apart from the deliveries in `kept`. `vhost`: only what belongs to that one or
        to none; `held`: returns for how many seconds a client has had a delivery."""
        for reasons in self.extra:
            yield from reasons()
        yield from self._running()
        sockets = [each for each in self.node.edge.sockets.values() if _belongs(each, vhost)]
        for socket in sockets:
            yield from self._of_socket(socket)
            for channel in list(socket.connection.channels.values()):
                yield from self._of_channel(channel, kept, held)
        for socket in readable(sockets):
            if socket.reading and not socket.connection.halted:
                yield _of(socket, "unread", "octets from {name} are not handled yet")

    def channels(self) -> Iterator[Channel]:
        """Yield all open channels."""
        for socket in list(self.node.edge.sockets.values()):
            yield from list(socket.connection.channels.values())

    def _running(self) -> Iterator[Reason]:
        """What the broker itself is at work on."""
        edge, engine = self.node.edge, self.node.engine
        if (
            any(job.place != BACKGROUND for job in edge.work.jobs)
            or engine.message_time.next_at() <= engine.clock.now
        ):
            yield Reason("octets", "the broker is at work on what it has begun")
        for acceptor in self.node.acceptors:
            if acceptor.arriving:
                yield Reason("handshake", "a client is being accepted")

    def _of_socket(self, socket: Socket) -> Iterator[Reason]:
        connection, transport = socket.connection, socket.transport
        if connection.state != states.RUNNING or transport.is_closing():
            stage = "closed" if connection.state > states.RUNNING or transport.is_closing() else "opened"
            yield _of(socket, "handshake", f"{{name}} is being {stage}")
        elif connection.turn_over or connection.suspended is not None:
            yield _of(socket, "unread", "octets from {name} are not handled yet")
        if (
            connection.unsent
            or connection.unflushed
            or transport.get_write_buffer_size()
            or unsent(socket.fd)
        ):
            yield _of(socket, "unsent", "output for {name} is not sent yet")

    def _of_channel(
        self, channel: Channel, kept: Container[Delivery], held: Callable[[Entry], float] | None
    ) -> Iterator[Reason]:
        if channel.unacked.count:
            for entry in channel.unacked.outstanding():
                if (channel, entry.tag) not in kept and (channel, entry.tag) not in self.withheld:
                    seconds = held(entry) if held is not None else None
                    yield unacked(channel, entry, number=self.number_of(entry), held=seconds)
        confirms = channel.confirms
        if confirms is not None and confirms.unconfirmed:
            name, number = connection_name(channel.connection), channel.number
            yield Reason(
                "unconfirmed",
                f"{confirms.unconfirmed} publishes on channel {number} of connection '{name}' are not confirmed",
                connection=name,
                channel=number,
            )


def unacked(
    channel: Channel,
    entry: Entry,
    why: str = "",
    *,
    number: int | None = None,
    held: float | None = None,
) -> Reason:
    """Return the reason for a delivery that is not settled. `why`: more about it; `number`: of the message in the
    history; `held`: for how many seconds its client has had it."""
    source: object = entry.source
    queue = str(getattr(source, "name", ""))
    consumer = getattr(entry.consumer, "tag", None)
    holder = f"consumer '{consumer}'" if consumer is not None else "basic.get"
    name = connection_name(channel.connection)
    what = f"message #{number}, " if number is not None else ""
    what += shown_body(whole(entry.message).body)
    since = f" for {held:.1f} s" if held is not None else ""
    return Reason(
        "unacked",
        f"delivery {entry.tag} of queue '{queue}' ({what}) is unacknowledged, held{since} by"
        f" {holder} on channel {channel.number} of connection '{name}'{why}",
        queue=queue,
        connection=name,
        channel=channel.number,
        consumer=consumer,
        tag=entry.tag,
    )


def shown_body(body: bytes) -> str:
    """Return a body as a reason shows it."""
    cut = body[:SHOWN_BODY_BYTES]
    return f"body {cut!r}" + ("..." if len(body) > len(cut) else "")


def _unnumbered(entry: Entry) -> int | None:
    """Return None: there is no history."""
    return None


def _belongs(socket: Socket, vhost: str | None) -> bool:
    """Return whether a socket belongs to a virtual host, or to none yet."""
    opened = socket.connection.vhost
    return vhost is None or opened is None or opened.name == vhost


def _of(socket: Socket, kind: str, text: str) -> Reason:
    name = connection_name(socket.connection)
    return Reason(kind, text.format(name=f"connection '{name}'"), connection=name)  # type: ignore[arg-type]

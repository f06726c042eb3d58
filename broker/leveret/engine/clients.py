"""What the engine uses of AMQP sessions: connections, channels and consumers.

The session layer is above the engine, which therefore knows its objects by these protocols only. Attributes that the
engine does not set are read-only here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Protocol, cast

from leveret import errors
from leveret.faults import serve

if TYPE_CHECKING:
    from leveret.engine.actor import Actor
    from leveret.engine.encryption import Encryption
    from leveret.engine.tallies import PublishTally
    from leveret.engine.users import User
    from leveret.errors import AmqpError
    from leveret.queues.consumers import Consumer
    from leveret.queues.journal import Journal
    from leveret.queues.message import Entry, Source
    from leveret.queues.queue import Queue
    from leveret.queues.tallies import DeliveryTally
    from leveret.routing.exchanges import Exchange
    from leveret.wire.tables import Table
    from leveret.work import Job, Steps


#: `ClientConnection.frame_max` without a limit.
NO_FRAME_MAX = 1 << 31


class OpenedVhost(Protocol):
    """The virtual host of a connection."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def journal(self) -> Journal | None:
        """The store's port for what is published and declared in it."""


class ClientPeer(Protocol):
    """Both ends of a connection's socket."""

    @property
    def host(self) -> str:
        """Address of the server's end."""

    @property
    def port(self) -> int:
        """Port of the server's end."""

    @property
    def peer_host(self) -> str:
        """Address of the client's end."""

    @property
    def peer_port(self) -> int:
        """Port of the client's end."""

    @property
    def encryption(self) -> Encryption | None:
        """How the connection is encrypted, and the client's certificate; None without TLS."""


class ClientConnectionBase(Protocol):
    """What a channel knows of its connection. `vhost`, `user`: None until connection.open and the login."""

    name: str
    actor: Actor
    user: User | None
    access_revision: int
    exclusive_queues: dict[str, Queue] | None

    @property
    def vhost(self) -> OpenedVhost | None:
        """The virtual host that the client opened."""

    @property
    def peer(self) -> ClientPeer:
        """The socket's ends."""

    @property
    def cancels_consumers(self) -> bool:
        """Whether the client understands basic.cancel."""

    def suspend(self, job: Job) -> None:
        """Handle no further frame until a job has ended."""

    def fail(self, place: str, error: Exception) -> None:
        """Report the exception and end the connection. Raises nothing."""

    def shut(self, error: AmqpError) -> None:
        """Close the connection with connection.close."""


class ClientConnection(ClientConnectionBase, Protocol):
    """One AMQP connection."""

    @property
    def channels(self) -> Mapping[int, ClientChannel]:
        """Open channels by number."""

    @property
    def login(self) -> str | None:
        """The user name that the client gave."""

    @property
    def mechanism(self) -> str:
        """The SASL mechanism."""

    @property
    def client_properties(self) -> Table:
        """The table that the client sent in connection.start-ok."""

    @property
    def channel_max(self) -> int:
        """The largest number of open channels."""

    @property
    def frame_max(self) -> int:
        """The largest frame in octets, `NO_FRAME_MAX` for no limit."""

    @property
    def heartbeat(self) -> int:
        """The heartbeat interval in seconds, 0 for none."""

    @property
    def connected_at(self) -> int:
        """When the socket was accepted, ms since the epoch."""

    @property
    def unfinished(self) -> int:
        """Octets of bodies that are half received."""

    @property
    def received(self) -> int:
        """Octets received."""

    @property
    def sent(self) -> int:
        """Octets sent."""

    @property
    def reads(self) -> int:
        """How often its socket was read."""

    @property
    def writes(self) -> int:
        """How often its socket was written."""

    @property
    def frames_received(self) -> int:
        """Frames received."""

    @property
    def is_open(self) -> bool:
        """Whether it has opened a virtual host and has not ended."""

    @property
    def state_name(self) -> str:
        """The state as rabbit_reader names it."""

    @property
    def unsent(self) -> int:
        """Octets that wait in the outbox."""

    def alarm_changed(self, on: bool) -> None:
        """Block or unblock the connection when the first resource alarm is set or the last one cleared."""

    @property
    def ending(self) -> Job | None:
        """The job that ends its channels, once it has begun."""

    def go_ahead(self) -> None:
        """Read the connection again: the store has caught up."""


class ClientConfirms(Protocol):
    """Counters of publisher confirms."""

    @property
    def last(self) -> int:
        """Publishes to be confirmed."""

    @property
    def unconfirmed(self) -> int:
        """Those that are not settled yet."""

    @property
    def nacked(self) -> int:
        """Those that were refused."""

    def unconfirmed_by_tally(self) -> dict[PublishTally, int]:
        """Return, for each exchange where there are some, how many publishes are still to be confirmed."""

    def unconfirmed_of(self, tally: PublishTally) -> int:
        """Return how many publishes to one exchange wait for the journal and will be confirmed."""


class ClientUnacked(Protocol):
    """The unacknowledged deliveries of a channel."""

    @property
    def count(self) -> int:
        """How many there are."""

    def oldest(self) -> Entry | None:
        """Return the delivery with the lowest tag, or None."""

    def in_order(self) -> Iterator[Entry]:
        """Yield the deliveries in order of their tags."""

    def following(self, tag: int, most: int) -> list[Entry]:
        """Return the first deliveries after a tag, about so many at most."""


class ClientTransaction(Protocol):
    """What a transaction holds until it is committed."""

    @property
    def publishes(self) -> Sized:
        """The publishes."""

    def entries(self) -> Sized:
        """Return the deliveries whose settlement is held back."""


class ClientChannel(Protocol):
    """One channel of a connection. `gone`: it has ended."""

    @property
    def connection(self) -> ClientConnectionBase:
        """Its connection."""

    @property
    def vhost(self) -> OpenedVhost:
        """The virtual host of its connection."""

    @property
    def number(self) -> int:
        """Its number."""

    @property
    def tag(self) -> int:
        """The last delivery tag."""

    @property
    def prefetch(self) -> int:
        """The prefetch count of consumers started from now on."""

    @property
    def global_prefetch(self) -> int:
        """The prefetch count of the channel as a whole, 0 for no limit."""

    @property
    def gone(self) -> bool:
        """Whether it has ended."""

    @property
    def confirms(self) -> ClientConfirms | None:
        """Its publisher confirms; None unless they were selected."""

    @property
    def received(self) -> int:
        """Publishes."""

    @property
    def held_publishes(self) -> int:
        """Those in transactions."""

    def count_sizes(self) -> None:
        """Add the sizes of what was published last to the histogram of the broker."""

    def forget_steps(self) -> Steps:
        """Add up the counts of exchanges and queues that are gone, and forget these, in portions."""

    @property
    def publish_tallies(self) -> Mapping[Exchange, PublishTally]:
        """Counts of publishes by exchange."""

    @property
    def delivery_tallies(self) -> Mapping[Source, DeliveryTally]:
        """Counts of deliveries by queue."""

    @property
    def ended_publishes(self) -> PublishTally | None:
        """Counts of publishes to exchanges that are gone."""

    @property
    def ended_tally(self) -> DeliveryTally | None:
        """Counts of deliveries from queues that are gone."""

    @property
    def consumers(self) -> Mapping[str, object]:
        """Its consumers by tag."""

    @property
    def unacked(self) -> ClientUnacked:
        """Its unacknowledged deliveries."""

    @property
    def transaction(self) -> ClientTransaction | None:
        """Its transaction; None unless tx was selected."""

    def tracing_changed(self) -> None:
        """Check again whether deliveries are traced, because the firehose was switched."""


class ClientConsumer(Protocol):
    """One consumer of a channel."""

    tag: str
    gone: bool
    no_ack: bool
    exclusive: bool

    @property
    def channel(self) -> ClientChannel:
        """Its channel."""

    @property
    def source(self) -> Source:
        """The queue that it consumes."""

    @property
    def arguments(self) -> Table:
        """The arguments of basic.consume."""

    def cancelled(self) -> None:
        """Remove the consumer from its channel and send basic.cancel, because its queue is gone."""

    def failed(self, error: Exception) -> None:
        """End the consumer's connection because of an exception."""


def negotiated_frame_max(connection: ClientConnection) -> int:
    """Return the largest frame in octets as the client has chosen it, 0 for no limit."""
    return connection.frame_max if connection.frame_max < NO_FRAME_MAX else 0


def as_client(consumer: Consumer) -> ClientConsumer:
    """Return a consumer of a queue as the engine knows it: all are created by sessions."""
    return cast(ClientConsumer, consumer)


def closing(connections: Iterable[ClientConnection], reason: str) -> Steps:
    """Close connections (320)."""
    for connection in list(connections):
        serve(connection, "close", connection.shut, errors.connection_forced(reason))
        yield None

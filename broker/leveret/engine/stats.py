"""Totals of what was counted, exact at the time of the request.

Channels, queues and exchanges count for themselves, in integers that only increase, and in totals of their virtual host
and queue type. When a connection, a queue, an exchange or a virtual host ends, its counters are added to those of
`Stats`. Nothing here is called for each message. `samples.py` makes rates of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from leveret.engine.changes import (
    ChannelClosed,
    ConnectionChange,
    ConnectionClosed,
    ConnectionPassedOn,
    ExchangeDeleted,
    QueueDeleted,
    VhostAdopted,
    VhostCreated,
    VhostDeleted,
    VhostReleased,
)
from leveret.engine.observers import Observer, on
from leveret.work import one_by_one

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientChannel, ClientConfirms, ClientConnection
    from leveret.engine.tallies import PublishTally
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.queues.tallies import DeliveryTally, DeliveryTotal
    from leveret.routing.exchanges import Exchange

#: RabbitMQ's name in message_stats -> attribute of a queue, or of the counts of a channel and a queue.
DELIVERIES = {
    "deliver": "delivered",
    "deliver_no_ack": "delivered_no_ack",
    "get": "got",
    "get_no_ack": "got_no_ack",
    "get_empty": "got_empty",
    "ack": "acked",
    "redeliver": "redelivered",
}

#: RabbitMQ's names of what is counted of publishes.
PUBLISHES = ("publish", "confirm", "return_unroutable", "drop_unroutable")

#: All deliveries by basic.get and basic.consume.
DELIVER_GET = ("deliver", "deliver_no_ack", "get", "get_no_ack")

#: RabbitMQ's names of what is counted of objects that come and go.
CHURN = (
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
)

#: Queues whose numbers of messages are added up in one portion.
DEPTHS_TOGETHER = 256

Counts = dict[str, int]

#: Objects whose counts are added up in one portion: about as much work as a visit of `samples.py`.
PORTION = 8

#: Channels whose counts of publishes are added to those of an exchange in one portion.
FOLDED_TOGETHER = 16

T = TypeVar("T")

#: A generator that yields after each portion, and returns counts.
Counting: TypeAlias = "Generator[None, None, Counts]"


def outcome(steps: Generator[None, None, T]) -> T:
    """Do all portions at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: T = stop.value
            return found


def publish_counts(tally: PublishTally, unconfirmed: int) -> Counts:
    """Return the counts of publishes by the names of `PUBLISHES`. `unconfirmed`: those of them that will be confirmed.

    A publish that was refused is settled, but not confirmed (rabbit_channel:send_confirms_and_nacks).
    """
    return {
        "publish": tally.publishes(),
        "confirm": tally.promised - tally.refused - unconfirmed,
        "return_unroutable": tally.returned,
        "drop_unroutable": tally.dropped,
    }


def fold_steps(tally: PublishTally) -> Generator[None, None, None]:
    """Add what channels have published to the counts of an exchange, in portions: they can be a hundred thousand."""
    while tally.fold_parts(FOLDED_TOGETHER):
        yield None


def sum_steps(total: DeliveryTotal) -> Generator[None, None, DeliveryTally]:
    """`DeliveryTotal.sum` in portions: each channel may have used each queue."""
    found = total.kept()
    for number, part in enumerate(list(total.parts), 1):
        found.add(part)
        if number % DEPTHS_TOGETHER == 0:
            yield None
    return found


def fold_all_steps(vhost: VirtualHost) -> Generator[None, None, None]:
    """`fold_steps` of all exchanges of a virtual host."""
    for number, exchange in enumerate(one_by_one(list(vhost.exchanges.values())), 1):
        if exchange.tally is not None:
            yield from fold_steps(exchange.tally)
            yield None
        elif number % DEPTHS_TOGETHER == 0:
            yield None


def delivery_counts(tally: DeliveryTally | Queue) -> Counts:
    """Return the counts of deliveries by the names of `DELIVERIES`."""
    return {
        "deliver": tally.delivered,
        "deliver_no_ack": tally.delivered_no_ack,
        "get": tally.got,
        "get_no_ack": tally.got_no_ack,
        "get_empty": tally.got_empty,
        "ack": tally.acked,
        "redeliver": tally.redelivered,
    }


def unconfirmed_of(confirms: ClientConfirms | None, tally: PublishTally) -> int:
    """Return how many publishes of a channel to an exchange are still to be confirmed."""
    return confirms.unconfirmed_of(tally) if confirms is not None and confirms.unconfirmed else 0


def unconfirmed_by_tally(channel: ClientChannel) -> Mapping[PublishTally, int]:
    """Return the same for all exchanges that a channel has published to; those where there are none are left out."""
    confirms = channel.confirms
    return confirms.unconfirmed_by_tally() if confirms is not None and confirms.unconfirmed else {}


def channel_counts(channel: ClientChannel) -> Counts:
    """Return the counters of a channel: the names of `PUBLISHES` and `DELIVERIES`."""
    return outcome(channel_counts_steps(channel))


def channel_counts_steps(channel: ClientChannel) -> Counting:
    """`channel_counts` in portions: a channel may have used tens of thousands of queues."""
    counts: Counts = dict.fromkeys((*PUBLISHES, *DELIVERIES), 0)
    unconfirmed = unconfirmed_by_tally(channel)
    for number, tally in enumerate(list(channel.publish_tallies.values()), 1):
        add(counts, publish_counts(tally, unconfirmed.get(tally, 0)))
        if number % PORTION == 0:
            yield None
    for number, deliveries in enumerate(list(channel.delivery_tallies.values()), 1):
        add(counts, delivery_counts(deliveries))
        if number % PORTION == 0:
            yield None
    if channel.ended_publishes is not None:
        add(counts, publish_counts(channel.ended_publishes, 0))
    if channel.ended_tally is not None:
        add(counts, delivery_counts(channel.ended_tally))
    return counts


def queue_counts(queue: Queue) -> Counts:
    """Return the counters of a queue: the names of `DELIVERIES`, and `publish`: what clients have published."""
    counts = delivery_counts(queue)
    counts["publish"] = queue.published - queue.relayed
    return counts


def depths(queues: Iterable[Queue]) -> Counts:
    """Return the current number of messages in queues: `messages`, `messages_ready`, `messages_unacknowledged`."""
    ready = unacked = withheld = 0
    for queue in queues:
        ready += queue.ready
        unacked += queue.unacked
        withheld += queue.withheld
    return {
        "messages": ready + unacked + withheld,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }


def depths_steps(queues: Sequence[Queue]) -> Counting:
    """`depths` in portions."""
    total = depths(())
    for at in range(0, len(queues), DEPTHS_TOGETHER):
        add(total, depths(queues[at : at + DEPTHS_TOGETHER]))
        yield None
    return total


def add(total: Counts, counts: Mapping[str, int]) -> None:
    """Add `counts` to `total` name by name."""
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


class Stats(Observer):
    """Totals of one broker; add it to the broker's observers.

    `_publishes`: of deleted exchanges, by virtual host. `_lost`: publishes that were not confirmed when their channel
    ended, by exchange. `_received`: of closed channels. `_octets`: of closed connections, by virtual host, `_closed`:
    all that these have counted. `_queues`: counters of deleted queues. `_gone`: publishes in virtual hosts that are
    gone, and deliveries in them by queue type.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._vhosts: dict[str, VirtualHost] = dict(broker.vhosts)
        self._publishes: dict[str, Counts] = {}
        self._lost: dict[Exchange, int] = {}
        self._received: Counts = {}
        self._octets: dict[str, Counts] = {}
        self._closed: Counts = {}
        self._queues: Counts = {}
        self._gone: dict[str, Counts] = {}

    # --- counters of what has ended

    @on(ChannelClosed)
    def _channel_closed(self, change: ChannelClosed) -> None:
        channel = change.channel
        add(self._received, received_counts(channel))
        for tally, lost in unconfirmed_by_tally(channel).items():
            exchange = tally.exchange
            if exchange is not None and exchange.tally is not None:  # else it is deleted
                self._lost[exchange] = self._lost.get(exchange, 0) + lost

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        add(self._queues, queue_counts(change.queue))

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        exchange = change.exchange
        lost = self._lost.pop(exchange, 0)
        if exchange.tally is not None and change.vhost in self._vhosts:
            steps = self._ended_steps(self._vhosts[change.vhost], exchange, exchange.tally, lost)
            self.broker.work.begin(steps, "statistics", vhost=change.vhost)

    @on(ConnectionClosed, ConnectionPassedOn)
    def _connection_closed(self, change: ConnectionChange) -> None:
        connection = change.connection
        add(self._closed, connection_counts(connection) | _transfers(connection))
        if connection.vhost is not None:
            add(self._octets.setdefault(connection.vhost.name, {}), connection_octets(connection))

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self._note(change.name)

    @on(VhostAdopted)
    def _vhost_adopted(self, change: VhostAdopted) -> None:
        self._note(change.name)

    def _note(self, name: str) -> None:
        """Count what is in a virtual host, if it is here: a new one may come to another node."""
        if name in self.broker.vhosts:
            self._vhosts[name] = self.broker.vhosts[name]

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self._forget(change.name)

    def _forget(self, name: str) -> None:
        vhost = self._vhosts.pop(name)
        add(self._gone.setdefault("publishes", {}), self._publishes_in(vhost))
        for kind, total in vhost.context.delivery_totals.items():
            add(self._gone.setdefault(kind, {}), delivery_counts(total.sum()))
        self._octets.pop(name, None)
        self._publishes.pop(name, None)
        for exchange in vhost.exchanges.values():
            self._lost.pop(exchange, None)

    @on(VhostReleased)
    def _vhost_released(self, change: VhostReleased) -> None:
        for queue in change.queues:
            add(self._queues, queue_counts(queue))
        self._forget(change.name)

    # --- what there is

    def channels(self) -> Iterator[ClientChannel]:
        """Yield all open channels. Refused ones are excluded, even before their close-ok. Between two of them others
        may open and close."""
        for connection in one_by_one(list(self.broker.connections)):
            yield from open_channels(connection)

    def queues(self) -> Iterator[Queue]:
        """Yield all queues of all virtual hosts."""
        for vhost in self.broker.vhosts.values():
            yield from vhost.queues.values()

    # --- totals

    def _unconfirmed_steps(self, vhost: VirtualHost) -> Generator[None, None, dict[Exchange, int]]:
        """Publishes by exchange that are not confirmed: not yet, or never, because their channel has ended."""
        found: dict[Exchange, int] = {}
        for number, (exchange, lost) in enumerate(list(self._lost.items()), 1):
            if vhost.exchanges.get(exchange.name) is exchange:
                found[exchange] = lost
            if number % DEPTHS_TOGETHER == 0:
                yield None
        for number, channel in enumerate(channels_of(vhost), 1):
            for tally, count in unconfirmed_by_tally(channel).items():
                if tally.exchange is not None:
                    found[tally.exchange] = found.get(tally.exchange, 0) + count
            if number % PORTION == 0:
                yield None
        return found

    def _ended_steps(
        self, vhost: VirtualHost, exchange: Exchange, tally: PublishTally, lost: int
    ) -> Generator[None, None, None]:
        """Add what an exchange has counted that is deleted. Channels are asked for what they have not confirmed, if
        some that are open have published there: they can be a hundred thousand."""
        for number, channel in enumerate(channels_of(vhost) if tally.open else (), 1):
            part = channel.publish_tallies.get(exchange)
            if part is not None:
                lost += unconfirmed_of(channel.confirms, part)
            if number % PORTION == 0:
                yield None
        counts = publish_counts(tally, lost) | {"routed": tally.routed}
        if self._vhosts.get(vhost.name) is vhost:
            add(self._publishes.setdefault(vhost.name, {}), counts)

    def exchange_totals(self, vhost: VirtualHost) -> dict[Exchange, Counts]:
        """All that was ever published to the exchanges of a virtual host: the names of `PUBLISHES`."""
        return dict(outcome(self.exchange_totals_steps(vhost)))

    def exchange_totals_steps(
        self, vhost: VirtualHost
    ) -> Generator[None, None, list[tuple[Exchange, Counts]]]:
        """`exchange_totals` in portions."""
        tallies = [(one, one.tally) for one in vhost.exchanges.values() if one.tally is not None]
        unconfirmed = yield from self._unconfirmed_steps(vhost)
        found: list[tuple[Exchange, Counts]] = []
        for number, (exchange, tally) in enumerate(tallies, 1):
            yield from fold_steps(tally)
            found.append((exchange, publish_counts(tally, unconfirmed.get(exchange, 0))))
            if number % PORTION == 0:
                yield None
        return found

    def _publishes_in(self, vhost: VirtualHost) -> Counts:
        """All that was ever published in a virtual host: the names of `PUBLISHES`, and `routed`."""
        return outcome(self._publishes_steps(vhost))

    def _publishes_steps(self, vhost: VirtualHost) -> Counting:
        """`_publishes_in` in portions. What exchanges have counted that are deleted meanwhile is in their tallies."""
        total = dict.fromkeys((*PUBLISHES, "routed"), 0)
        add(total, self._publishes.get(vhost.name, {}))
        exchanges = list(vhost.exchanges.values())
        tallies = [one.tally for one in exchanges]
        unconfirmed = yield from self._unconfirmed_steps(vhost)
        for number, (exchange, tally) in enumerate(zip(exchanges, tallies, strict=True), 1):
            if tally is not None:
                yield from fold_steps(tally)
                add(total, publish_counts(tally, unconfirmed.get(exchange, 0)))
                total["routed"] += tally.routed
            if number % PORTION == 0:
                yield None
        return total

    def vhost_totals(self, vhost: VirtualHost) -> Counts:
        """All that channels ever counted in a virtual host: the names of `PUBLISHES` and `DELIVERIES`."""
        return outcome(self.vhost_totals_steps(vhost))

    def vhost_totals_steps(self, vhost: VirtualHost) -> Counting:
        """`vhost_totals` in portions: there may be tens of thousands of exchanges."""
        total = (yield from self._publishes_steps(vhost)) | dict.fromkeys(DELIVERIES, 0)
        del total["routed"]
        for kind, deliveries in list(vhost.context.delivery_totals.items()):
            if kind != "volatile":
                add(total, delivery_counts((yield from sum_steps(deliveries))))
        return total

    def channel_totals(self) -> dict[str, Counts]:
        """`vhost_totals` of all virtual hosts, by name."""
        return {name: self.vhost_totals(vhost) for name, vhost in self.broker.vhosts.items()}

    def publishes(self, received: Counts) -> Counts:
        """What was ever published to this broker, also to what is gone: the names of `PUBLISHES`, `received` and
        `received_confirm`, which also count what was refused, and `routed`: to how many queues it went.

        `received`: `received_counts` of the open channels.
        """
        return outcome(self.publishes_steps(received))

    def publishes_steps(self, received: Counts) -> Counting:
        """`publishes` in portions."""
        total = dict.fromkeys((*PUBLISHES, "received", "received_confirm", "routed"), 0)
        add(total, self._received)
        add(total, received)
        add(total, dict.fromkeys(("received", "received_confirm"), self.broker.counters.direct_publishes))
        add(total, self._gone.get("publishes", {}))
        for vhost in list(self.broker.vhosts.values()):
            add(total, (yield from self._publishes_steps(vhost)))
            yield None
        return total

    def deliveries(self, kind: str) -> Counts:
        """What was ever delivered from queues of a type, also from those that are gone."""
        total = dict.fromkeys(DELIVERIES, 0)
        add(total, self._gone.get(kind, {}))
        for vhost in self.broker.vhosts.values():
            if kind in vhost.context.delivery_totals:
                add(total, delivery_counts(vhost.context.delivery_totals[kind].sum()))
        return total

    def deleted_queues(self) -> Counts:
        """What queues that were deleted had counted."""
        return dict.fromkeys(("publish", *DELIVERIES), 0) | self._queues

    def octets(self, vhost: str) -> Counts:
        """Return `recv_oct` and `send_oct` of all connections to a virtual host since the start."""
        return outcome(self.octets_steps(self.broker.vhosts[vhost]))

    def octets_steps(self, vhost: VirtualHost) -> Counting:
        """`octets` in portions: there may be tens of thousands of connections. One that closes meanwhile counts twice,
        or not at all, until the next time."""
        total = {"recv_oct": 0, "send_oct": 0}
        add(total, self._octets.get(vhost.name, {}))
        for number, connection in enumerate(list(vhost.connections), 1):
            add(total, connection_octets(connection))
            if number % PORTION == 0:
                yield None
        return total

    def closed_connections(self) -> Counts:
        """What closed connections had counted: octets, `reads`, `writes`, and as `reductions` frames."""
        return dict(self._closed)

    def churn(self) -> Counts:
        """Return how many connections, channels and queues were created and removed."""
        broker = self.broker
        return {
            "connection_created": broker.connections_created,
            "connection_closed": broker.connections_closed,
            "channel_created": broker.channels_opened,
            "channel_closed": broker.channels_closed,
            "queue_declared": broker.counters.queues_declared,
            "queue_created": broker.counters.queues_created,
            "queue_deleted": broker.counters.queues_deleted,
        }


def _transfers(connection: ClientConnection) -> Counts:
    return {"reads": connection.reads, "writes": connection.writes}


def open_channels(connection: ClientConnection) -> Iterator[ClientChannel]:
    """Yield the channels of a connection that have not ended. Between two of them others may open and close."""
    for channel in one_by_one(list(connection.channels.values())):
        if not channel.gone:
            yield channel


def channels_of(vhost: VirtualHost) -> Iterator[ClientChannel]:
    """Yield the channels of a virtual host that have not ended. Between two of them others may open and close: there
    can be a hundred thousand, and a list of them all would take too long."""
    for connection in one_by_one(list(vhost.connections)):
        yield from open_channels(connection)


def received_counts(channel: ClientChannel) -> Counts:
    """Return how many publishes a channel has received, and how many of them are answered."""
    promised = channel.held_publishes + (channel.confirms.last if channel.confirms is not None else 0)
    return {"received": channel.received, "received_confirm": promised}


def summed(counts: Iterable[Mapping[str, int]]) -> Counts:
    """Return the sum of several counts, name by name."""
    total: Counts = {}
    for each in counts:
        add(total, each)
    return total


def connection_octets(connection: ClientConnection) -> Counts:
    """Return the octets that a connection has received and sent."""
    return {"recv_oct": connection.received, "send_oct": connection.sent}


def connection_counts(connection: ClientConnection) -> Counts:
    """Return its octets, and as `reductions` its operations."""
    return connection_octets(connection) | {"reductions": connection_operations(connection)}


def connection_operations(connection: ClientConnection) -> int:
    """Return how many frames a connection has received."""
    return connection.frames_received


def channel_operations(counts: Counts) -> int:
    """Return how many operations a channel with these counts has done: publishes, deliveries, acknowledgements."""
    return counts["publish"] + counts["ack"] + counts["get_empty"] + sum(counts[name] for name in DELIVER_GET)


def exchange_counts(exchange: Exchange) -> Counts:
    """Return how many messages were published to an exchange and sent to queues from there."""
    tally = exchange.tally
    if tally is None:
        return {}
    tally.fold()
    return {"publish_in": tally.published, "publish_out": tally.routed}


def message_stats(counts: Counts) -> Counts:
    """Return message_stats as RabbitMQ shows `counts`: a group is shown only if something was counted."""
    shown: Counts = {}
    if any(counts.get(name) for name in PUBLISHES):
        shown = {name: counts[name] for name in PUBLISHES if name in counts}
    if any(counts.get(name) for name in DELIVERIES):
        shown |= {name: counts[name] for name in DELIVERIES}
        shown["deliver_get"] = sum(counts[name] for name in DELIVER_GET)
    return shown

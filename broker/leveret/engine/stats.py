"""Totals of what was counted, exact at the time of the request.

Channels, queues and exchanges count for themselves, in integers that only increase, and in totals of their virtual host
and queue type. When a connection, a queue, an exchange or a virtual host ends, its counters are added to those of
`Stats`. Nothing here is called for each message. `samples.py` makes rates of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from leveret.engine.changes import (
    ChannelClosed,
    ConnectionClosed,
    ExchangeDeleted,
    QueueDeleted,
    VhostCreated,
    VhostDeleted,
)
from leveret.engine.observers import Observer, on

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientChannel, ClientConfirms, ClientConnection
    from leveret.engine.tallies import PublishTally
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.queues.tallies import DeliveryTally
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

Counts = dict[str, int]


def publish_counts(tally: PublishTally, unconfirmed: int) -> Counts:
    """Return the counts of publishes by the names of `PUBLISHES`. `unconfirmed`: those of them that will be confirmed.

    A publish that was refused is settled, but not confirmed (rabbit_channel:send_confirms_and_nacks).
    """
    return {
        "publish": tally.published,
        "confirm": tally.promised - tally.refused - unconfirmed,
        "return_unroutable": tally.returned,
        "drop_unroutable": tally.dropped,
    }


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


def channel_counts(channel: ClientChannel) -> Counts:
    """Return the counters of a channel: the names of `PUBLISHES` and `DELIVERIES`."""
    counts: Counts = dict.fromkeys((*PUBLISHES, *DELIVERIES), 0)
    for tally in channel.publish_tallies.values():
        add(counts, publish_counts(tally, unconfirmed_of(channel.confirms, tally)))
    for deliveries in channel.delivery_tallies.values():
        add(counts, delivery_counts(deliveries))
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
        fold(channel)
        for exchange, tally in channel.publish_tallies.items():
            lost = unconfirmed_of(channel.confirms, tally)
            if lost:
                self._lost[exchange] = self._lost.get(exchange, 0) + lost

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        add(self._queues, queue_counts(change.queue))

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        exchange = change.exchange
        if exchange.tally is not None and change.vhost in self._vhosts:
            vhost = self._vhosts[change.vhost]
            for channel in channels_of(vhost):
                if exchange in channel.publish_tallies:
                    channel.publish_tallies[exchange].fold()
            unconfirmed = self._unconfirmed(vhost).get(exchange, 0)
            counts = publish_counts(exchange.tally, unconfirmed) | {"routed": exchange.tally.routed}
            add(self._publishes.setdefault(change.vhost, {}), counts)
        self._lost.pop(exchange, None)

    @on(ConnectionClosed)
    def _connection_closed(self, change: ConnectionClosed) -> None:
        connection = change.connection
        add(self._closed, connection_counts(connection) | _transfers(connection))
        if connection.vhost is not None:
            add(self._octets.setdefault(connection.vhost.name, {}), connection_octets(connection))

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self._vhosts[change.name] = self.broker.vhosts[change.name]

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        vhost = self._vhosts.pop(change.name)
        for channel in channels_of(vhost):
            fold(channel)
        add(self._gone.setdefault("publishes", {}), self._publishes_in(vhost))
        for kind, total in vhost.context.delivery_totals.items():
            add(self._gone.setdefault(kind, {}), delivery_counts(total))
        self._octets.pop(change.name, None)
        self._publishes.pop(change.name, None)
        for exchange in vhost.exchanges.values():
            self._lost.pop(exchange, None)

    # --- what there is

    def channels(self) -> Iterator[ClientChannel]:
        """Yield all open channels. Refused ones are excluded, even before their close-ok."""
        for connection in self.broker.connections:
            yield from open_channels(connection)

    def queues(self) -> Iterator[Queue]:
        """Yield all queues of all virtual hosts."""
        for vhost in self.broker.vhosts.values():
            yield from vhost.queues.values()

    # --- totals

    def _unconfirmed(self, vhost: VirtualHost) -> dict[Exchange, int]:
        """Publishes by exchange that are not confirmed: not yet, or never, because their channel has ended."""
        found = {
            exchange: self._lost[exchange] for exchange in vhost.exchanges.values() if exchange in self._lost
        }
        for channel in channels_of(vhost):
            if channel.confirms is not None and channel.confirms.unconfirmed:
                for exchange, tally in channel.publish_tallies.items():
                    found[exchange] = found.get(exchange, 0) + channel.confirms.unconfirmed_of(tally)
        return found

    def exchange_totals(self, vhost: VirtualHost) -> dict[Exchange, Counts]:
        """All that was ever published to the exchanges of a virtual host: the names of `PUBLISHES`."""
        unconfirmed = self._unconfirmed(vhost)
        return {
            exchange: publish_counts(exchange.tally, unconfirmed.get(exchange, 0))
            for exchange in vhost.exchanges.values()
            if exchange.tally is not None
        }

    def _publishes_in(self, vhost: VirtualHost) -> Counts:
        """All that was ever published in a virtual host: the names of `PUBLISHES`, and `routed`."""
        total = dict.fromkeys((*PUBLISHES, "routed"), 0)
        add(total, self._publishes.get(vhost.name, {}))
        for exchange, counts in self.exchange_totals(vhost).items():
            add(total, counts)
            total["routed"] += exchange.tally.routed
        return total

    def vhost_totals(self, vhost: VirtualHost) -> Counts:
        """All that channels ever counted in a virtual host: the names of `PUBLISHES` and `DELIVERIES`."""
        total = self._publishes_in(vhost) | dict.fromkeys(DELIVERIES, 0)
        del total["routed"]
        for kind, deliveries in vhost.context.delivery_totals.items():
            if kind != "volatile":
                add(total, delivery_counts(deliveries))
        return total

    def channel_totals(self) -> dict[str, Counts]:
        """`vhost_totals` of all virtual hosts, by name."""
        return {name: self.vhost_totals(vhost) for name, vhost in self.broker.vhosts.items()}

    def publishes(self, received: Counts) -> Counts:
        """What was ever published to this broker, also to what is gone: the names of `PUBLISHES`, `received` and
        `received_confirm`, which also count what was refused, and `routed`: to how many queues it went.

        `received`: `received_counts` of the open channels, whose tallies were folded.
        """
        total = dict.fromkeys((*PUBLISHES, "received", "received_confirm", "routed"), 0)
        add(total, self._received)
        add(total, received)
        add(total, self._gone.get("publishes", {}))
        for vhost in self.broker.vhosts.values():
            add(total, self._publishes_in(vhost))
        return total

    def deliveries(self, kind: str) -> Counts:
        """What was ever delivered from queues of a type, also from those that are gone."""
        total = dict.fromkeys(DELIVERIES, 0)
        add(total, self._gone.get(kind, {}))
        for vhost in self.broker.vhosts.values():
            if kind in vhost.context.delivery_totals:
                add(total, delivery_counts(vhost.context.delivery_totals[kind]))
        return total

    def deleted_queues(self) -> Counts:
        """What queues that were deleted had counted."""
        return dict.fromkeys(("publish", *DELIVERIES), 0) | self._queues

    def octets(self, vhost: str) -> Counts:
        """Return `recv_oct` and `send_oct` of all connections to a virtual host since the start."""
        total = {"recv_oct": 0, "send_oct": 0}
        add(total, self._octets.get(vhost, {}))
        for connection in self.broker.vhosts[vhost].connections:
            add(total, connection_octets(connection))
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
    """Yield the channels of a connection that have not ended."""
    for channel in connection.channels.values():
        if not channel.gone:
            yield channel


def channels_of(vhost: VirtualHost) -> Iterator[ClientChannel]:
    """Yield the channels of a virtual host that have not ended."""
    for connection in vhost.connections:
        yield from open_channels(connection)


def fold(channel: ClientChannel) -> None:
    """Bring what a channel has sent to queues up to date."""
    for tally in channel.publish_tallies.values():
        tally.fold()


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
    """Return how many messages were published to an exchange and, as of the last fold, sent to queues from there."""
    tally = exchange.tally
    return {"publish_in": tally.published, "publish_out": tally.routed} if tally is not None else {}


def message_stats(counts: Counts) -> Counts:
    """Return message_stats as RabbitMQ shows `counts`: a group is shown only if something was counted."""
    shown: Counts = {}
    if any(counts.get(name) for name in PUBLISHES):
        shown = {name: counts[name] for name in PUBLISHES if name in counts}
    if any(counts.get(name) for name in DELIVERIES):
        shown |= {name: counts[name] for name in DELIVERIES}
        shown["deliver_get"] = sum(counts[name] for name in DELIVER_GET)
    return shown

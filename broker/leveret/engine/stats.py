"""Totals and rates of counters, exact at the time of the request.

Channels and queues count for themselves, in integers that only increase. When one of them ends, its counters are added
to `Stats` (`ChannelClosed`, `QueueDeleted`); totals are these plus the counters of those that exist. Nothing here is
called for each message.

A rate needs an earlier value. `Stats.rates_of` begins to take samples when it is called, and continues every
`SAMPLE_INTERVAL_MS` as long as it was called within `SAMPLING_TIMEOUT_MS`. The first answer is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from leveret.engine.changes import ChannelClosed, ConnectionClosed, QueueDeleted, VhostDeleted
from leveret.engine.observers import Observer, on

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientChannel, ClientConnection
    from leveret.queues.queue import Queue

#: Interval of samples, ms (rabbitmq.conf: collect_statistics_interval).
SAMPLE_INTERVAL_MS = 5000

#: Time after the last call of `rates_of` during which samples are taken, ms.
SAMPLING_TIMEOUT_MS = 60_000

#: RabbitMQ's name in message_stats -> attribute of a channel.
PUBLISHES = {
    "publish": "published",
    "return_unroutable": "returned",
    "drop_unroutable": "dropped",
}

#: RabbitMQ's name in message_stats -> attribute of a channel or a queue.
DELIVERIES = {
    "deliver": "delivered",
    "deliver_no_ack": "delivered_no_ack",
    "get": "got",
    "get_no_ack": "got_no_ack",
    "get_empty": "got_empty",
    "ack": "acked",
    "redeliver": "redelivered",
}

#: All deliveries by basic.get and basic.consume.
DELIVER_GET = ("deliver", "deliver_no_ack", "get", "get_no_ack")

Counts = dict[str, int]


def channel_counts(channel: ClientChannel) -> Counts:
    """Return the counters of a channel: the names of `PUBLISHES` and `DELIVERIES`, and `confirm`, `routed`,
    `publish_confirm` (publishes in confirm mode)."""
    counts = {name: getattr(channel, attribute) for name, attribute in PUBLISHES.items()}
    counts |= {name: getattr(channel, attribute) for name, attribute in DELIVERIES.items()}
    confirms = channel.confirms
    counts["publish_confirm"] = confirms.last if confirms is not None else 0
    # A publish that was refused is settled, but not confirmed (rabbit_channel:send_confirms_and_nacks).
    counts["confirm"] = confirms.last - confirms.unconfirmed - confirms.nacked if confirms is not None else 0
    counts["routed"] = channel.routed
    return counts


def queue_counts(queue: Queue) -> Counts:
    """Return the counters of a queue: the names of `DELIVERIES`, and `publish`."""
    counts = {name: getattr(queue, attribute) for name, attribute in DELIVERIES.items()}
    counts["publish"] = queue.published
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
    """Totals and rates of one broker; add it to the broker's observers.

    Totals of channels are kept per virtual host, totals of queues per kind (classic, quorum, stream).
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._channels: dict[str, Counts] = {}
        self._queues: dict[str, Counts] = {}
        self._octets: dict[str, Counts] = {}
        self._samples: list[tuple[int, dict[object, Counts]]] = []
        self._asked_at = -SAMPLING_TIMEOUT_MS
        self._watching = False

    # --- counters of what has ended

    @on(ChannelClosed)
    def _channel_closed(self, change: ChannelClosed) -> None:
        channel = change.channel
        add(self._channels.setdefault(channel.vhost.name, {}), channel_counts(channel))

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        add(self._queues.setdefault(change.queue.kind, {}), queue_counts(change.queue))

    @on(ConnectionClosed)
    def _connection_closed(self, change: ConnectionClosed) -> None:
        connection = change.connection
        if connection.vhost is not None:
            add(self._octets.setdefault(connection.vhost.name, {}), connection_octets(connection))

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self._channels.pop(change.name, None)
        self._octets.pop(change.name, None)

    # --- totals

    def channels(self) -> Iterator[ClientChannel]:
        """Yield all open channels. Refused ones are excluded, even before their close-ok."""
        for connection in self.broker.connections:
            for channel in connection.channels.values():
                if not channel.gone:
                    yield channel

    def queues(self) -> Iterator[Queue]:
        """Yield all queues of all virtual hosts."""
        for vhost in self.broker.vhosts.values():
            yield from vhost.queues.values()

    def channel_totals(self) -> dict[str, Counts]:
        """Return the totals of all channels since the start, by virtual host."""
        totals = {name: dict(self._channels.get(name, {})) for name in self.broker.vhosts}
        for channel in self.channels():
            add(totals[channel.vhost.name], channel_counts(channel))
        return totals

    def queue_totals(self, kind: str) -> Counts:
        """Return the totals of all queues of a type since the start."""
        total = dict(self._queues.get(kind, {}))
        for queue in self.queues():
            if queue.kind == kind:
                add(total, queue_counts(queue))
        return total

    def octets(self, vhost: str) -> Counts:
        """Return `recv_oct` and `send_oct` of all connections to a virtual host since the start."""
        total = {"recv_oct": 0, "send_oct": 0}
        add(total, self._octets.get(vhost, {}))
        for connection in self.broker.vhosts[vhost].connections:
            add(total, connection_octets(connection))
        return total

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

    # --- rates

    def rates_of(self, subject: object, counts: Counts) -> dict[str, float]:
        """Return the change per second of each of `counts` over the last 5 to 10 seconds.

        `subject`: the object of the counts: a queue, a channel, a virtual host, or the broker.
        """
        now = self.broker.clock.now
        self._asked_at = now
        self._watch()
        for at, seen in self._samples:
            past = seen.get(subject)
            if past is not None:
                # Shorter times would give extreme rates.
                seconds = max(now - at, SAMPLE_INTERVAL_MS) / 1000
                return {name: (count - past.get(name, 0)) / seconds for name, count in counts.items()}
        return dict.fromkeys(counts, 0.0)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._samples.clear()
            self._sample()

    def _sample(self) -> None:
        """Take a sample, keep the last one, and schedule the next; or stop if nobody requests rates any more."""
        now = self.broker.clock.now
        if now - self._asked_at > SAMPLING_TIMEOUT_MS:
            self._watching = False
            self._samples.clear()
            return
        try:
            self._samples = [*self._samples[-1:], (now, self._snapshot())]
        finally:
            self.broker.message_time.call_after(SAMPLE_INTERVAL_MS, self._sample)

    def _snapshot(self) -> dict[object, Counts]:
        seen: dict[object, Counts] = {}
        totals = self.channel_totals()
        for vhost in self.broker.vhosts.values():
            for queue in vhost.queues.values():
                seen[queue] = queue_counts(queue) | depths((queue,))
            seen[vhost] = totals[vhost.name] | depths(vhost.queues.values()) | self.octets(vhost.name)
        for channel in self.channels():
            seen[channel] = channel_counts(channel)
        for connection in self.broker.connections:
            seen[connection] = connection_octets(connection)
        seen[self.broker] = summed(totals.values()) | depths(self.queues()) | self.churn()
        return seen


def summed(counts: Iterable[Mapping[str, int]]) -> Counts:
    """Return the sum of several counts, name by name."""
    total: Counts = {}
    for each in counts:
        add(total, each)
    return total


def connection_octets(connection: ClientConnection) -> Counts:
    """Return the octets that a connection has received and sent."""
    return {"recv_oct": connection.received, "send_oct": connection.sent}


def message_stats(counts: Counts) -> Counts:
    """Return message_stats as RabbitMQ shows `counts`: a group is shown only if something was counted."""
    shown: Counts = {}
    publishes = ("publish", "confirm", "return_unroutable", "drop_unroutable")
    if any(counts.get(name) for name in publishes):
        shown = {name: counts[name] for name in publishes if name in counts}
    if any(counts.get(name) for name in DELIVERIES):
        shown |= {name: counts[name] for name in DELIVERIES}
        shown["deliver_get"] = sum(counts[name] for name in DELIVER_GET)
    return shown

"""Samples of counters, for rates and charts.

Every `INTERVAL_MS` a pass visits everything that counts, a slice at a time, and keeps what has changed: a `History` has
a row for each pass at which its subject had other values. What is idle costs one comparison a pass and no memory.
Histories reach back `RETENTION_MS` like RabbitMQ's (sample_retention_policies: basic), and less if there are so many
that their rows would exceed `MAX_ROWS`; two passes are always kept, so that rates are right from the first question on.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from leveret.engine.changes import (
    ChannelClosed,
    ConnectionChange,
    ConnectionClosed,
    ConnectionPassedOn,
    ExchangeDeleted,
    QueueDeleted,
    VhostDeleted,
    VhostReleased,
)
from leveret.engine.observers import Observer, on
from leveret.engine.stats import (
    DELIVER_GET,
    Counts,
    Stats,
    add,
    channel_counts_steps,
    channel_operations,
    connection_counts,
    delivery_counts,
    depths,
    exchange_counts,
    fold_steps,
    open_channels,
    publish_counts,
    queue_counts,
    unconfirmed_by_tally,
)
from leveret.engine.vhost import VirtualHost
from leveret.routing.exchanges import Exchange
from leveret.work import one_by_one

if TYPE_CHECKING:
    from leveret.engine.clients import ClientChannel
    from leveret.queues.queue import Queue

#: A JSON object.
Json = dict[str, object]

#: Milliseconds between two passes (rabbit: collect_statistics_interval).
INTERVAL_MS = 5000

#: How long samples are kept, ms.
RETENTION_MS = 605_000

#: Rows of all histories together; one has about 100 octets, and a history some 400 more.
MAX_ROWS = 150_000

#: Objects that are visited at once, 0.1 ms for each that has changed, and milliseconds until the next ones.
SLICE_LENGTH = 50
SLICE_PAUSE_MS = 2

#: Exchanges without counts that are passed over as one object.
UNCOUNTED_TOGETHER = 200


#: Names of counts, kept once for all histories.
_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}

#: Exchanges and queues of one channel, or queues of one exchange, that are visited as one object.
_PARTS_TOGETHER = 10


class Window(NamedTuple):
    """The samples that are asked for: every `step` ms from `last` back to `first`, ms since the epoch. The newest one
    has the current values, so that what has a rate has an average."""

    first: int
    last: int
    step: int

    def times(self) -> Iterator[int]:
        """Yield the times of the samples, newest first."""
        return iter(range(self.last, self.first - 1, -self.step))


class History:
    """What a subject counted over time: rows of a time and the values of `names`, in `rows`, flat.

    A row holds until the next one. `mark`: what the subject looked like when it was visited last.
    """

    __slots__ = ("mark", "names", "rows", "width")

    def __init__(self, counts: Counts) -> None:
        names = tuple(counts)
        self.names = _NAMES.setdefault(names, names)
        self.width = len(self.names) + 1
        self.rows = array("q")
        self.mark: object = None

    def add(self, at: int, counts: Counts, most: int) -> None:
        """Add a row, unless nothing has changed, and drop the oldest rows: those above `most`, and those that are over
        before the retention time."""
        rows, width = self.rows, self.width
        values = array("q", counts.values())
        if rows and rows[1 - width :] == values:
            return
        rows.append(at)
        rows.extend(values)
        drop = max(0, len(rows) // width - most)
        while (drop + 1) * width < len(rows) and rows[(drop + 1) * width] <= at - RETENTION_MS:
            drop += 1
        if drop:
            del rows[: drop * width]

    def start_at(self, time: int) -> int:
        """Return where the row begins that holds at a time; -1 before the first row."""
        rows, width = self.rows, self.width
        for start in range(len(rows) - width, -1, -width):
            if rows[start] <= time:
                return start
        return -1

    def starts(self, window: Window) -> list[int]:
        """Return where the rows begin that hold at the times of a window, newest first; -1 before the first row."""
        rows, width = self.rows, self.width
        start = len(rows) - width
        found = []
        for time in window.times():
            while start >= 0 and rows[start] > time:
                start -= width
            found.append(start if start >= 0 else -1)
        return found

    def value(self, start: int, name: str) -> int:
        """Return a value of the row that begins at `start`; 0 before the first row."""
        if start < 0:
            return 0
        if name == "deliver_get":
            return sum(self.value(start, part) for part in DELIVER_GET)
        return self.rows[start + 1 + self.names.index(name)] if name in self.names else 0


class Sampler(Observer):
    """The histories of one broker; add it to the broker's observers after `stats`.

    `detailed`: sample what channels, queues and exchanges have counted of each other, too. `_parts`: histories of what
    a channel counts by exchange and by queue; `_routes`: of what an exchange sends to a queue, by queue. `_passes`:
    when the last passes began.
    """

    def __init__(self, stats: Stats, detailed: bool = False) -> None:
        self.stats = stats
        self.detailed = detailed
        self.broker = stats.broker
        self._agenda = stats.broker.link_time
        self._readers: dict[object, Callable[[], Counts]] = {}
        self._histories: dict[object, History] = {}
        self._parts: dict[ClientChannel, dict[object, History]] = {}
        self._routes: dict[Queue, dict[Exchange, History]] = {}
        self._passes: deque[int] = deque(maxlen=3)
        self._visits: Iterator[None] = iter(())
        self._most = RETENTION_MS // INTERVAL_MS

    @property
    def now(self) -> int:
        """Link time, ms since the epoch."""
        return self._agenda.clock.now

    def start(self) -> None:
        """Begin the first pass."""
        self._begin()

    def watch(self, subject: object, read: Callable[[], Counts]) -> None:
        """Sample something else, too."""
        self._readers[subject] = read

    # --- passes

    def _begin(self) -> None:
        now = self.now
        self._passes.append(now)
        count = (
            len(self._histories) + sum(map(len, self._parts.values())) + sum(map(len, self._routes.values()))
        )
        self._most = max(3, min(RETENTION_MS // INTERVAL_MS, MAX_ROWS // max(1, count)))
        self._visits = self._visit_all()
        self._agenda.call_at(now + INTERVAL_MS, self._begin)
        self._go_on()

    def _go_on(self) -> None:
        """Visit the next slice, and schedule the one after it."""
        visits = self._visits
        for _ in range(SLICE_LENGTH):
            if next(visits, self) is self:
                return
        self._agenda.call_after(SLICE_PAUSE_MS, self._go_on_with(visits))

    def _go_on_with(self, visits: Iterator[None]) -> Callable[[], None]:
        """Go on with a pass, unless the next one has begun."""
        return lambda: self._go_on() if self._visits is visits else None

    def _visit_all(self) -> Iterator[None]:
        """Visit everything that counts, yielding after each object; totals come last."""
        totals: Counts = {}
        for vhost in list(self.broker.vhosts.values()):
            inside: Counts = dict.fromkeys(("messages", "messages_ready", "messages_unacknowledged"), 0)
            for queue in one_by_one(list(vhost.queues.values())):
                self._visit_queue(queue, inside)
                yield
            for connection in one_by_one(list(vhost.connections)):
                if connection in vhost.connections:
                    self._record(connection, connection_counts(connection))
                    yield
                for channel in open_channels(connection):
                    yield from self._visit_channel(channel)
                    yield
            for number, exchange in enumerate(one_by_one(list(vhost.exchanges.values())), 1):
                if number % UNCOUNTED_TOGETHER == 0:  # most may have counted nothing
                    yield
                if exchange.tally is not None:
                    yield from fold_steps(exchange.tally)
                if exchange.tally is not None and vhost.exchanges.get(exchange.name) is exchange:
                    yield from self._visit_exchange(exchange)
                    yield
            counts = (yield from self.stats.vhost_totals_steps(vhost)) | inside
            add(totals, counts)
            octets = yield from self.stats.octets_steps(vhost)
            if vhost.name in self.broker.vhosts:
                self._record(vhost, counts | octets)
            yield
        self._record(self.broker, totals | self.stats.churn())
        for subject, read in self._readers.items():
            self._record(subject, read())

    def _visit_queue(self, queue: Queue, total: Counts) -> None:
        ready, unacked, withheld = queue.ready, queue.unacked, queue.withheld
        total["messages"] += ready + unacked + withheld
        total["messages_ready"] += ready
        total["messages_unacknowledged"] += unacked
        mark = (ready, unacked, withheld, queue.operations())
        history = self._histories.get(queue)
        if queue.gone or (not any(mark) if history is None else history.mark == mark):
            return
        self._record(queue, queue_counts(queue) | depths((queue,)) | {"reductions": mark[3]}).mark = mark

    def _visit_channel(self, channel: ClientChannel) -> Iterator[None]:
        unconfirmed = channel.confirms.unconfirmed if channel.confirms is not None else 0
        mark = (channel.received, channel.tag, channel.unacked.count, unconfirmed)
        history = self._histories.get(channel)
        if not any(mark) if history is None else history.mark == mark:
            return
        counts = yield from channel_counts_steps(channel)
        if channel.gone:
            return
        self._record(channel, counts | {"reductions": channel_operations(counts)}).mark = mark
        if self.detailed:
            yield from self._visit_parts(channel)

    def _visit_parts(self, channel: ClientChannel) -> Iterator[None]:
        parts = self._parts.get(channel, {})
        found: dict[object, History] = {}
        unconfirmed = unconfirmed_by_tally(channel)
        for tally in list(channel.publish_tallies.values()):
            counts = publish_counts(tally, unconfirmed.get(tally, 0))
            found[tally] = self._extend(parts.get(tally), counts)
            if len(found) % _PARTS_TOGETHER == 0:
                yield
        for deliveries in list(channel.delivery_tallies.values()):
            found[deliveries] = self._extend(parts.get(deliveries), delivery_counts(deliveries))
            if len(found) % _PARTS_TOGETHER == 0:
                yield
        if not channel.gone:
            self._parts[channel] = found

    def _visit_exchange(self, exchange: Exchange) -> Iterator[None]:
        counts = exchange_counts(exchange)
        history = self._histories.get(exchange)
        if history is not None and history.mark == counts:
            return
        self._record(exchange, counts).mark = counts
        sent = list(exchange.tally.queues.items()) if self.detailed else []
        for number, (queue, count) in enumerate(sent, 1):
            if not queue.gone and queue.kind != "volatile":
                routes = self._routes.setdefault(queue, {})
                routes[exchange] = self._extend(routes.get(exchange), {"publish": count})
            if number % _PARTS_TOGETHER == 0:
                yield
                if exchange not in self._histories:
                    return  # deleted meanwhile

    def _record(self, subject: object, counts: Counts) -> History:
        found = self._histories[subject] = self._extend(self._histories.get(subject), counts)
        return found

    def _extend(self, history: History | None, counts: Counts) -> History:
        """Add a row to a history; a new one begins with zeros, unless this is the first pass."""
        now = self.now
        if history is None:
            history = History(counts)
            if len(self._passes) > 1:
                history.add(self._passes[-2], dict.fromkeys(counts, 0), self._most)
        history.add(now, counts, self._most)
        return history

    # --- what has ended

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        self._histories.pop(change.queue, None)
        self._routes.pop(change.queue, None)

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        self._histories.pop(change.exchange, None)
        if change.exchange.tally is not None:
            for queue in change.exchange.tally.queues:
                self._routes.get(queue, {}).pop(change.exchange, None)

    @on(ChannelClosed)
    def _channel_closed(self, change: ChannelClosed) -> None:
        self._histories.pop(change.channel, None)
        self._parts.pop(change.channel, None)

    @on(ConnectionClosed, ConnectionPassedOn)
    def _connection_closed(self, change: ConnectionChange) -> None:
        self._histories.pop(change.connection, None)

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self._forget_vhosts()

    def _forget_vhosts(self) -> None:
        """Forget the virtual hosts that are gone, and their exchanges."""
        kept = set(self.broker.vhosts.values())
        exchanges = {exchange for vhost in kept for exchange in vhost.exchanges.values()}
        for subject in list(self._histories):
            gone_vhost = isinstance(subject, VirtualHost) and subject not in kept
            if gone_vhost or (isinstance(subject, Exchange) and subject not in exchanges):
                del self._histories[subject]

    @on(VhostReleased)
    def _vhost_released(self, change: VhostReleased) -> None:
        for queue in change.queues:
            self._histories.pop(queue, None)
            self._routes.pop(queue, None)
        self._forget_vhosts()

    # --- questions

    def details(self, subject: object, counts: Counts, window: Window | None = None) -> dict[str, Json]:
        """Return the `*_details` of the current `counts` of a subject by their names.

        `subject`: a queue, exchange, channel, connection, virtual host, the broker, or what is watched.
        """
        return self._details(self._histories.get(subject), counts, window)

    def idle_since(self, subject: object, counts: Counts) -> int | None:
        """Return when these counts of a subject were seen to change last, ms since the epoch; None if they have
        changed since the last pass, or if nothing is known of it."""
        history = self._histories.get(subject)
        if history is None or not history.rows:
            return None
        start = len(history.rows) - history.width
        unchanged = all(history.value(start, name) == count for name, count in counts.items())
        return history.rows[start] if unchanged else None

    def part_details(
        self, channel: ClientChannel, tally: object, counts: Counts, window: Window | None = None
    ) -> dict[str, Json]:
        """Return the `*_details` of what a channel counts of an exchange or a queue (`tally`)."""
        return self._details(self._parts.get(channel, {}).get(tally), counts, window)

    def route_details(
        self, exchange: Exchange, queue: Queue, counts: Counts, window: Window | None = None
    ) -> dict[str, Json]:
        """Return the `*_details` of what an exchange has sent to a queue."""
        return self._details(self._routes.get(queue, {}).get(exchange), counts, window)

    def _details(self, history: History | None, counts: Counts, window: Window | None) -> dict[str, Json]:
        rates = self._rates(history, counts)
        if window is None:
            return {name: {"rate": rate} for name, rate in rates.items()}
        rows = history.starts(window) if history is not None else [-1 for _ in window.times()]
        times = list(window.times())
        found = {}
        for name, now in counts.items():
            values = [
                now if time >= window.last else history.value(row, name) if history is not None else 0
                for time, row in zip(times, rows, strict=True)
            ]
            found[name] = _sampled(times, values, rates[name])
        return found

    def _rates(self, history: History | None, counts: Counts) -> dict[str, float]:
        """The change per second of each count since the last pass that began `INTERVAL_MS` ago or earlier."""
        if not self._passes or (history is None and len(self._passes) == 1):
            return dict.fromkeys(counts, 0.0)
        now = self.now
        began = max((at for at in self._passes if at <= now - INTERVAL_MS), default=self._passes[0])
        ended = min((at for at in self._passes if at > began), default=now + 1) - 1
        row = history.start_at(ended) if history is not None else -1
        if history is not None and row < 0:
            row = 0
        if history is not None:
            began = max(began, history.rows[row])
        seconds = max(now - began, INTERVAL_MS) / 1000  # shorter ones give huge rates
        return {
            name: (count - (history.value(row, name) if history is not None else 0)) / seconds
            for name, count in counts.items()
        }


def _sampled(times: list[int], values: list[int], rate: float) -> Json:
    """Show samples, newest first, with their average and the change per second from the first to the last one."""
    shown: Json = {
        "rate": rate,
        "samples": [{"sample": value, "timestamp": time} for time, value in zip(times, values, strict=True)],
    }
    if len(times) > 1:
        shown["avg_rate"] = (values[0] - values[-1]) * 1000 / (times[0] - times[-1])
        shown["avg"] = sum(values) / len(values)
    return shown

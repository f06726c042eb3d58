"""Counts with their rates, and with samples where the query asks for them.

`lengths_age=60&lengths_incr=5` asks for the samples of the last 60 s, one each 5 s, of numbers of messages;
`msg_rates_`, `data_rates_` and `node_stats_` do the same for other groups (rabbit_mgmt_util:range). Views get a `Rates`
and do not know which samples are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from leveret.engine.clients import ClientChannel
from leveret.engine.samples import Sampler, Window
from leveret.engine.stats import CHURN, DELIVER_GET, Counts, Stats
from leveret.management.json import Json
from leveret.queues.queue import Queue
from leveret.routing.exchanges import Exchange

#: The most samples of one number.
MAX_SAMPLES = 500

#: Digits of a number in a query. Python parses 4,300 at most.
MAX_DIGITS = 1000


class RangeError(Exception):
    """A range that cannot be shown: RabbitMQ's text."""


class Rates:
    """Shows counts with rates and samples. `now`: ms since the epoch. Raises `RangeError` for a range that cannot be
    shown; one that is not of two integers is ignored."""

    def __init__(self, stats: Stats, sampler: Sampler, query: Mapping[str, str]) -> None:
        self.stats = stats
        self.sampler = sampler
        self._lengths = window(query, "lengths", sampler.now)
        self._messages = window(query, "msg_rates", sampler.now)
        self._data = window(query, "data_rates", sampler.now)
        self._node = window(query, "node_stats", sampler.now)

    def rates_of(self, subject: object, counts: Counts) -> dict[str, Json]:
        """Return the `*_details` of the counts of a queue, an exchange, a channel, a connection, a virtual host or the
        broker, by name; those of `deliver_get` come with its parts."""
        found: dict[str, Json] = {}
        for group in {self._lengths, self._messages, self._data}:
            some = {name: count for name, count in counts.items() if self._window_of(name) == group}
            found |= self.sampler.details(subject, _with_sum(some), group)
        return found

    def vhost_rates(self, subject: object, depths: Counts) -> dict[str, Json]:
        """Return the `*_details` of the numbers of messages in a virtual host: of the window of message rates."""
        return self.sampler.details(subject, depths, self._messages)

    def node_rates(self, subject: object, counts: Counts) -> dict[str, Json]:
        """Return the `*_details` of what a node uses."""
        return self.sampler.details(subject, counts, self._node)

    def part_rates(self, channel: ClientChannel, tally: object, counts: Counts) -> dict[str, Json]:
        """Return the `*_details` of what a channel counts of one exchange or one queue."""
        return self.sampler.part_details(channel, tally, _with_sum(counts), self._messages)

    def route_rates(self, exchange: Exchange, queue: Queue, counts: Counts) -> dict[str, Json]:
        """Return the `*_details` of what an exchange has sent to a queue."""
        return self.sampler.route_details(exchange, queue, counts, self._messages)

    def idleness(self, subject: object, counts: Counts) -> Json:
        """Show since when these counts of a subject have not changed, if that was seen."""
        at = self.sampler.idle_since(subject, counts)
        if at is None:
            return {}
        return {"idle_since": datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")}

    def _window_of(self, name: str) -> Window | None:
        """The samples of a count."""
        if name.startswith("messages") or name in CHURN:
            return self._lengths
        return self._data if name.endswith("_oct") or name == "reductions" else self._messages


def _with_sum(counts: Counts) -> Counts:
    """Add `deliver_get` to counts of deliveries."""
    if "deliver" not in counts or "deliver_get" in counts:
        return counts
    return counts | {"deliver_get": sum(counts[name] for name in DELIVER_GET)}


def window(query: Mapping[str, str], prefix: str, now: int) -> Window | None:
    """The window of a group of numbers; None if there is none in the query. Raises `RangeError`."""
    age, step = _integer(query.get(f"{prefix}_age")), _integer(query.get(f"{prefix}_incr"))
    if age is None or step is None:
        return None
    if age <= 0 or step <= 0 or age // step > MAX_SAMPLES:
        raise RangeError(f"Invalid range parameters: age {age}, incr {step}")
    last = now // (step * 1000) * step * 1000
    return Window(last - age * 1000, last, step * 1000)


def _integer(text: str | None) -> int | None:
    """An integer as Erlang's list_to_integer reads it; None for anything else. Raises `RangeError` for one that is too
    long for Python."""
    if text is not None and len(text) > MAX_DIGITS:
        raise RangeError(f"Invalid range parameters: {text[:MAX_DIGITS]}...")
    digits = text[1:] if text is not None and text[:1] in ("+", "-") else text
    return int(text) if text is not None and digits and digits.isascii() and digits.isdigit() else None

"""Counts and rates: `message_stats`, and fields with their `_details`."""

from __future__ import annotations

from collections.abc import Mapping

from leveret.engine.broker import Broker
from leveret.engine.stats import DELIVER_GET, Counts, Stats, message_stats
from leveret.engine.vhost import VirtualHost
from leveret.management.json import Json


def detailed(counts: Counts, rates: Mapping[str, float]) -> Json:
    """Show counts with their `*_details`, which hold the change per second."""
    shown: Json = {**counts}
    for name in counts:
        if name == "deliver_get":
            rate = sum(rates.get(part, 0.0) for part in DELIVER_GET)
        else:
            rate = rates.get(name, 0.0)
        shown[f"{name}_details"] = {"rate": rate}
    return shown


def message_figures(stats: Stats, subject: Broker | VirtualHost | None, counts: Counts) -> Json:
    """Show the `message_stats` of a virtual host or the broker; nothing if nothing was counted.

    `subject`: whose `counts` they are, for the rates; None shows rates of 0.
    """
    shown = message_stats(counts)
    return {"message_stats": detailed(shown, stats.rates_of(subject, counts))} if shown else {}

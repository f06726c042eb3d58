"""Counts and rates: `message_stats`, and fields with their `_details`."""

from __future__ import annotations

from collections.abc import Mapping

from leveret.engine.stats import Counts, message_stats
from leveret.management.json import Json
from leveret.management.rates import Rates

#: The details of what is not sampled.
_NO_RATE: Json = {"rate": 0.0}


def detailed(counts: Counts, rates: Mapping[str, Json]) -> Json:
    """Show counts with their `*_details`: the change per second, and samples if they are asked for."""
    shown: Json = {**counts}
    for name in counts:
        shown[f"{name}_details"] = rates.get(name, _NO_RATE)
    return shown


def message_figures(rates: Rates, subject: object, counts: Counts) -> Json:
    """Show the `message_stats` of what counts; nothing if nothing was counted.

    `subject`: whose `counts` they are, for the rates; None shows rates of 0.
    """
    shown = message_stats(counts)
    if not shown:
        return {}
    return {"message_stats": detailed(shown, {} if subject is None else rates.rates_of(subject, shown))}

"""Durations and moments, as the methods of the toolkit take them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from leveret.testing.errors import hides_frames

#: Seconds, or a timedelta.
Duration = int | float | timedelta

#: An aware datetime, seconds since the epoch, or an ISO 8601 string with an offset.
Moment = datetime | int | float | str

__tracebackhide__ = hides_frames

#: The last moment that the clock can show, ms since the epoch: a `datetime` has no later one.
LATEST_MS = 253_402_300_799_999


def seconds(duration: Duration, name: str = "a duration") -> float:
    """Return a duration in seconds. `name`: what errors call it. Raises `TypeError`, `ValueError`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise TypeError(f"{name} is a number of seconds or a timedelta, not {duration!r}")
    if not math.isfinite(duration):
        raise ValueError(f"{name} must be finite, not {duration!r}")
    return float(duration)


def delay_s(duration: Duration, name: str = "a delay") -> float:
    """Return how long something is put off, in seconds. Raises `TypeError`, `ValueError`, also below 0."""
    found = seconds(duration, name)
    if found < 0:
        raise ValueError(f"{name} is at least 0, not {duration!r}")
    return found


def milliseconds(duration: Duration) -> int:
    """Return a duration in ms. Raises `TypeError`, `ValueError`."""
    return round(seconds(duration) * 1000)


def epoch_ms(moment: Moment) -> int:
    """Return a moment in ms since the epoch. Raises `TypeError`, `ValueError`."""
    if isinstance(moment, str):
        moment = _parsed(moment)
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(
                f"{moment!r} has no time zone, and it is not known which one is meant:"
                f" use {moment!r}.replace(tzinfo=timezone.utc), or .astimezone() for the time of this machine"
            )
        return round(moment.timestamp() * 1000)
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise TypeError(f"a moment is an aware datetime, seconds since the epoch or ISO 8601, not {moment!r}")
    if not math.isfinite(moment):
        raise ValueError(f"a moment must be finite, not {moment!r}")
    if moment * 1000 > LATEST_MS:
        raise ValueError(
            f"{moment!r} is after the year 9999: a moment is seconds since the epoch, not milliseconds"
        )
    return round(moment * 1000)


def _parsed(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment in ISO 8601, like 2030-01-31T08:00:00+00:00") from None
    if found.tzinfo is None:
        raise ValueError(
            f"{text!r} has no offset, and it is not known which one is meant: {text}+00:00 is in UTC"
        )
    return found

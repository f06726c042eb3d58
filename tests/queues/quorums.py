"""How plays about quorum queues return messages, and the headers that count it."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic

from leveret.testing.playbook import Say, say
from tests.queues.plays import count_headers

REJECT = {"command": Basic.Reject, "requeue": True}
NACK = {"command": Basic.Nack, "requeue": True}


def requeue(how: dict[str, Any], tag: int) -> Say:
    """Give a delivery back, by `REJECT` or `NACK`."""
    given = dict(how)
    return say(given.pop("command"), delivery_tag=tag, **given)


def headers_after(version: str, how: dict[str, Any] | None, times: int) -> dict[str, Any]:
    """The properties of a message that was returned so many times; `how` is None if its channel was closed."""
    if version == "3.10":
        return count_headers(0, times)
    failed = None if not times or (version == "4.3" and how == NACK) else times
    return count_headers(times if version == "4.3" else 0, failed)

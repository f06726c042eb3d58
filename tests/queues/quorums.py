"""What tests of quorum queues say and expect."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Queue

from leveret.config import Settings
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Connect,
    Line,
    Playbook,
    Say,
    content,
    publish,
    say,
)
from leveret.wire.tables import Field

EMPTY = say(Basic.GetEmpty)


def book(version: str = "4.3", channels: tuple[int, ...] = (1, 2, 3)) -> Playbook:
    settings = Settings(profile=ProfileSettings(version=version))
    return Playbook(settings, first=[Connect("a", channels=channels)])


def queue(name: str = "q", **arguments: Any) -> Say:
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue=name, durable=True, arguments={"x-queue-type": "quorum", **given})


def ready(count: int = 0, consumers: int = 0, name: str = "q", channel: int = 1) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=consumers, channel=channel)


def look(name: str = "q", channel: int = 1) -> Say:
    return say(Queue.Declare, queue=name, passive=True, channel=channel)


def many(*bodies: bytes, key: str = "q", **properties: Any) -> list[Line]:
    return [line for body in bodies for line in publish(body, key, **properties)]


def get(channel: int = 1, no_ack: bool = True) -> Say:
    return say(Basic.Get, queue="q", no_ack=no_ack, channel=channel)


def counts(acquired: int = 0, failed: int | None = None, **more: Any) -> dict[str, Any]:
    headers: dict[str, Any] = dict(more)
    if acquired:
        headers["x-acquired-count"] = Field("l", acquired)
    if failed is not None:
        headers["x-delivery-count"] = Field("l", failed)
    return {"headers": headers} if headers else {}


def got(
    body: bytes, tag: int, left: int = 0, *, again: bool = False, channel: int = 1, **more: Any
) -> list[Line]:
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key="q",
        message_count=left,
        redelivered=again,
        channel=channel,
    )
    return [line, content(body, channel=channel, **more)]


def consume(tag: str = "c", channel: int = 1, **arguments: Any) -> Say:
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Basic.Consume, queue="q", consumer_tag=tag, arguments=given, channel=channel)


def consuming(tag: str = "c", channel: int = 1) -> Say:
    return say(Basic.ConsumeOk, consumer_tag=tag, channel=channel)


def marks(version: str, how: dict[str, Any] | None, times: int) -> dict[str, Any]:
    """The properties of a message that came back so often that way (None: with its channel)."""
    if version == "3.10":
        return counts(0, times)
    failed = None if not times or (version == "4.3" and how == NACK) else times
    return counts(times if version == "4.3" else 0, failed)


REJECT = {"command": Basic.Reject, "requeue": True}
NACK = {"command": Basic.Nack, "requeue": True}


def returned(how: dict[str, Any], tag: int) -> Say:
    given = dict(how)
    return say(given.pop("command"), delivery_tag=tag, **given)

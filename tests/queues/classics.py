"""What tests of classic queues say and expect."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Queue

from leveret.engine.policies import Policy
from leveret.testing.playbook import (
    Do,
    Line,
    Say,
    content,
    publish,
    say,
)


def queue(name: str = "q", **arguments: Any) -> Say:
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue=name, arguments=given)


def ready(name: str = "q", count: int = 0, consumers: int = 0) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=consumers)


def look(name: str = "q") -> Say:
    return say(Queue.Declare, queue=name, passive=True)


def get(name: str = "q", no_ack: bool = True) -> Say:
    return say(Basic.Get, queue=name, no_ack=no_ack)


def got(
    body: bytes, tag: int, left: int = 0, key: str = "q", redelivered: bool = False, **more: Any
) -> list[Line]:
    line = say(Basic.GetOk, delivery_tag=tag, routing_key=key, message_count=left, redelivered=redelivered)
    return [line, content(body, **more)]


def many(*bodies: bytes, key: str = "q", **properties: Any) -> list[Line]:
    return [line for body in bodies for line in publish(body, key, **properties)]


EMPTY = say(Basic.GetEmpty)


def policy(**definition: Any) -> Do:
    """A policy for `q` is set or changed."""
    given = {key.replace("_", "-"): value for key, value in definition.items()}

    def apply(stage: Any) -> None:
        stage.broker.policies.set(Policy("/", "p", "^q", given, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    return Do(f"policy {given}", apply)

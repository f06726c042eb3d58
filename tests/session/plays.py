"""Lines that plays about sessions send and expect. The queue is `q` unless it is named."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Exchange, Queue

from leveret.testing.playbook import Line, Playbook, Say, content, publish, refusal, say

#: Names of reply codes.
CODES = {403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED"}

DECLARE = say(Queue.Declare, queue="q")
DECLARE_EXCHANGE_OK = say(Exchange.DeclareOk)


def refused(code: int, text: str, offender: Any, **where: Any) -> Say:
    """channel.close with the name of the code in front of the text."""
    return refusal(code, f"{CODES[code]} - {text}", offender, **where)


def unknown_tag(tag: int, offender: Any) -> Say:
    """channel.close for a delivery tag that is not unacknowledged."""
    return refused(406, f"unknown delivery tag {tag}", offender)


def declare_exchange(name: str = "e", kind: str = "direct", **arguments: Any) -> Say:
    """exchange.declare."""
    return say(Exchange.Declare, exchange=name, exchange_type=kind, **arguments)


def declare(name: str = "q", **arguments: Any) -> Say:
    """queue.declare."""
    return say(Queue.Declare, queue=name, **arguments)


def declare_ok(ready: int = 0, consumers: int = 0, name: str = "q", **where: Any) -> Say:
    """queue.declare-ok with the counts of ready messages and consumers."""
    return say(Queue.DeclareOk, queue=name, message_count=ready, consumer_count=consumers, **where)


def bind(source: str = "e", name: str = "q", key: str = "", **arguments: Any) -> Say:
    """queue.bind."""
    return say(Queue.Bind, exchange=source, queue=name, routing_key=key, **arguments)


def filled(play: Playbook, count: int = 3) -> Playbook:
    """The play with messages `1`, `2`, `3`, ... in the queue."""
    bodies = [line for i in range(1, count + 1) for line in publish(b"%d" % i, "q")]
    return play >> [DECLARE, *bodies, DECLARE] << [declare_ok(), declare_ok(count)]


def consume(tag: str = "c", **arguments: Any) -> Say:
    """basic.consume."""
    return say(Basic.Consume, queue="q", consumer_tag=tag, **arguments)


def consume_ok(tag: str = "c", **where: Any) -> Say:
    """basic.consume-ok."""
    return say(Basic.ConsumeOk, consumer_tag=tag, **where)


def get(**arguments: Any) -> Say:
    """basic.get."""
    return say(Basic.Get, queue="q", **arguments)


def get_ok(body: bytes, tag: int, left: int = 0, redelivered: bool = False, **where: Any) -> list[Line]:
    """basic.get-ok with its content; `left`: ready messages behind it."""
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key="q",
        message_count=left,
        redelivered=redelivered,
        **where,
    )
    return [line, content(body, **where)]


def ack(tag: int, multiple: bool = False, **where: Any) -> Say:
    """basic.ack."""
    return say(Basic.Ack, delivery_tag=tag, multiple=multiple, **where)


def nack(tag: int, multiple: bool = False, requeue: bool = True) -> Say:
    """basic.nack."""
    return say(Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=requeue)

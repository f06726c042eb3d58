"""Lines that plays about streams send and expect. The stream is `s`, its consumer `t`."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Connection

from leveret.queues.stream.queue import StreamQueue
from leveret.testing.playbook import Line, Playbook, Say, Stage, content, publish, refusal, say
from leveret.wire.tables import Field
from tests.queues import plays
from tests.queues.plays import qos, qos_ok

NAMES_OF_CODES = {406: "PRECONDITION_FAILED", 540: "NOT_IMPLEMENTED"}


def declare(**arguments: Any) -> Say:
    """queue.declare of the stream."""
    return plays.declare("s", "stream", **arguments)


def declare_passive() -> Say:
    """queue.declare that only asks for the counts of the stream."""
    return plays.declare_passive("s")


def declare_ok(messages: int = 0) -> Say:
    """queue.declare-ok of the stream, which has no consumers."""
    return plays.declare_ok(messages, name="s")


def consume(offset: Any = "first", tag: str = "t", channel: int = 1, **more: Any) -> Say:
    """basic.consume from an offset (None: without one); `filter` is the argument `x-stream-filter`."""
    arguments = {} if offset is None else {"x-stream-offset": offset}
    arguments.update({f"x-stream-{key.replace('_', '-')}": value for key, value in more.items()})
    return say(Basic.Consume, queue="s", consumer_tag=tag, channel=channel, arguments=arguments)


def consume_ok(tag: str = "t", channel: int = 1) -> Say:
    """basic.consume-ok."""
    return plays.consume_ok(tag, channel)


def delivery(
    body: bytes, offset: int, delivery_tag: int = 0, tag: str = "t", channel: int = 1, **headers: Any
) -> list[Line]:
    """basic.deliver of a message of the stream; the delivery tag is one more than the offset unless it is given."""
    return [
        say(
            Basic.Deliver,
            consumer_tag=tag,
            delivery_tag=delivery_tag or offset + 1,
            routing_key="s",
            exchange="",
            redelivered=False,
            channel=channel,
        ),
        content(
            body,
            channel=channel,
            delivery_mode=1,
            headers=dict(sorted({**headers, "x-stream-offset": Field("l", offset)}.items())),
        ),
    ]


def ack(delivery_tag: int, multiple: bool = False, channel: int = 1) -> Say:
    """basic.ack, which gives credit."""
    return say(Basic.Ack, delivery_tag=delivery_tag, multiple=multiple, channel=channel)


def refused(code: int, text: str, offender: Any) -> list[Line]:
    """channel.close, or connection.close for what is not implemented."""
    return [refusal(code, f"{NAMES_OF_CODES[code]} - {text}", offender, channel=0 if code == 540 else 1)]


def internal_error() -> Say:
    """connection.close after an error of the broker."""
    return say(Connection.Close, reply_code=541, reply_text="INTERNAL_ERROR")


def filled(play: Playbook, *bodies: bytes, **arguments: Any) -> Playbook:
    """The play with a stream that holds messages, each a chunk of its own, and a prefetch count of ten."""
    play = play >> declare(**arguments) << declare_ok()
    for body in bodies:
        play = play >> publish(body, "s")
    return play >> qos(10) << qos_ok()


def stream_queue(stage: Stage) -> StreamQueue:
    """The stream inside the broker."""
    queue = stage.broker.vhosts["/"].queues["s"]
    assert isinstance(queue, StreamQueue)
    return queue

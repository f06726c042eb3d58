"""What plays about streams say."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Connection, Queue

from leveret.config import Settings
from leveret.queues.stream.queue import StreamQueue
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Line,
    Playbook,
    Say,
    Stage,
    content,
    publish,
    refusal,
    say,
)
from leveret.wire.tables import Field


def stream(name: str = "s", **arguments: Any) -> list[Line]:
    """Declare a stream and forget the answer's counts."""
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return [say(Queue.Declare, queue=name, durable=True, arguments={"x-queue-type": "stream", **given})]


def ready(count: int = 0, name: str = "s") -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=0)


def look(name: str = "s") -> Say:
    return say(Queue.Declare, queue=name, passive=True)


def qos(count: int, channel: int = 1) -> Say:
    return say(Basic.Qos, prefetch_count=count, channel=channel)


def qos_ok(channel: int = 1) -> Say:
    return say(Basic.QosOk, channel=channel)


def consume(offset: Any = "first", tag: str = "t", channel: int = 1, **more: Any) -> Say:
    arguments = {} if offset is None else {"x-stream-offset": offset}
    arguments.update({f"x-stream-{key.replace('_', '-')}": value for key, value in more.items()})
    return say(Basic.Consume, queue="s", consumer_tag=tag, channel=channel, arguments=arguments)


def consuming(tag: str = "t", channel: int = 1) -> Say:
    return say(Basic.ConsumeOk, consumer_tag=tag, channel=channel)


def read(
    body: bytes, offset: int, delivery: int = 0, tag: str = "t", channel: int = 1, **headers: Any
) -> list[Line]:
    """A delivery of a stream; the delivery tag is one more than the offset unless it is given."""
    return [
        say(
            Basic.Deliver,
            consumer_tag=tag,
            delivery_tag=delivery or offset + 1,
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


def ack(delivery: int, multiple: bool = False, channel: int = 1) -> Say:
    return say(Basic.Ack, delivery_tag=delivery, multiple=multiple, channel=channel)


def older(name: str) -> Playbook:
    """A play on a broker with another profile."""
    return Playbook(Settings(profile=ProfileSettings(version=name)))


NAMES_OF_CODES = {406: "PRECONDITION_FAILED", 540: "NOT_IMPLEMENTED"}


def refused(code: int, text: str, offender: Any) -> list[Line]:
    """channel.close, or connection.close for what is not implemented."""
    return [refusal(code, f"{NAMES_OF_CODES[code]} - {text}", offender, channel=0 if code == 540 else 1)]


def broken() -> Say:
    return say(Connection.Close, reply_code=541, reply_text="INTERNAL_ERROR")


def stored(play: Playbook, *bodies: bytes, **arguments: Any) -> Playbook:
    """A stream with messages, each a chunk of its own, and a prefetch count of ten."""
    play = play >> stream(**arguments) << ready()
    for body in bodies:
        play = play >> publish(body, "s")
    return play >> qos(10) << qos_ok()


def kept(stage: Stage) -> StreamQueue:
    queue = stage.broker.vhosts["/"].queues["s"]
    assert isinstance(queue, StreamQueue)
    return queue

"""Lines that plays about queues send and expect. The queue is `q` unless it is named."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Queue

from leveret.config import Settings
from leveret.engine.policies import Policy
from leveret.settings import Amqp as AmqpSettings
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import Connect, Do, Line, Playbook, Say, Stage, content, publish, say
from leveret.wire.tables import Field

#: RabbitMQ's default acknowledgement timeout.
CONSUMER_TIMEOUT_MS = 1_800_000

GET_EMPTY = say(Basic.GetEmpty)


def playbook(
    version: str = "4.3",
    channels: tuple[int, ...] = (1, 2, 3),
    consumer_timeout: int = CONSUMER_TIMEOUT_MS,
    **connect: Any,
) -> Playbook:
    """A play on a broker of this version; client `a` has these channels open."""
    settings = Settings(
        profile=ProfileSettings(version=version), amqp=AmqpSettings(consumer_timeout=consumer_timeout)
    )
    return Playbook(settings, first=[Connect("a", channels=channels, **connect)])


def prefixed(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a queue or a consumer: `message_ttl` is `x-message-ttl`."""
    return {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}


def declare(name: str = "q", kind: str = "classic", **arguments: Any) -> Say:
    """queue.declare of a queue of this type; only classic queues are transient."""
    durable = kind != "classic"
    given = prefixed({"queue_type": kind, **arguments} if durable else arguments)
    return say(Queue.Declare, queue=name, durable=durable, arguments=given)


def declare_quorum(name: str = "q", **arguments: Any) -> Say:
    """queue.declare of a quorum queue."""
    return declare(name, "quorum", **arguments)


def declare_passive(name: str = "q", channel: int = 1) -> Say:
    """queue.declare that only asks for the counts."""
    return say(Queue.Declare, queue=name, passive=True, channel=channel)


def declare_ok(ready: int = 0, consumers: int = 0, name: str = "q", channel: int = 1) -> Say:
    """queue.declare-ok with the counts of ready messages and consumers."""
    return say(Queue.DeclareOk, queue=name, message_count=ready, consumer_count=consumers, channel=channel)


def publish_all(*bodies: bytes, key: str = "q", **properties: Any) -> list[Line]:
    """Publish several messages to the default exchange."""
    return [line for body in bodies for line in publish(body, key, **properties)]


def get(name: str = "q", no_ack: bool = True, channel: int = 1) -> Say:
    """basic.get."""
    return say(Basic.Get, queue=name, no_ack=no_ack, channel=channel)


def get_ok(
    body: bytes,
    tag: int,
    left: int = 0,
    key: str = "q",
    redelivered: bool = False,
    channel: int = 1,
    **properties: Any,
) -> list[Line]:
    """basic.get-ok with its content; `left`: ready messages behind it."""
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key=key,
        message_count=left,
        redelivered=redelivered,
        channel=channel,
    )
    return [line, content(body, channel=channel, **properties)]


def consume(tag: str = "c", channel: int = 1, **arguments: Any) -> Say:
    """basic.consume with acknowledgements."""
    return say(Basic.Consume, queue="q", consumer_tag=tag, arguments=prefixed(arguments), channel=channel)


def consume_ok(tag: str = "c", channel: int = 1) -> Say:
    """basic.consume-ok."""
    return say(Basic.ConsumeOk, consumer_tag=tag, channel=channel)


def qos(count: int, *channels: int) -> list[Line]:
    """basic.qos on each channel; on channel 1 if none is given."""
    return [say(Basic.Qos, prefetch_count=count, channel=number) for number in channels or (1,)]


def qos_ok(*channels: int) -> list[Line]:
    """basic.qos-ok on each channel; on channel 1 if none is given."""
    return [say(Basic.QosOk, channel=number) for number in channels or (1,)]


def count_headers(acquired: int = 0, failed: int | None = None, **more: Any) -> dict[str, Any]:
    """The properties of a message with the count headers of a quorum queue, and `more` headers."""
    headers: dict[str, Any] = dict(more)
    if acquired:
        headers["x-acquired-count"] = Field("l", acquired)
    if failed is not None:
        headers["x-delivery-count"] = Field("l", failed)
    return {"headers": headers} if headers else {}


def set_policy(**definition: Any) -> Do:
    """Set or change the policy of all queues whose names begin with `q` or `s`."""
    given = {name.replace("_", "-"): value for name, value in definition.items()}

    def apply(stage: Stage) -> None:
        stage.broker.policies.set(Policy("/", "p", "^[qs]", given, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    return Do(f"policy {given}", apply)

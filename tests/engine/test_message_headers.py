"""Headers that the broker adds to messages (message_interceptors.*). RabbitMQ 4.3.6 gave the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from leveret.testing import Broker

NODE = "rabbit@here"
ALL = {
    "server.node": NODE,
    "amqp.routing_node_header": "add",
    "amqp.timestamp_header": "add",
    "amqp.sent_time_header": True,
}
#: Headers that a client sets itself.
OWN = {"x-routed-by": "me", "timestamp_in_ms": 5, "x-opt-rabbitmq-sent-time": 3}


def received(settings: dict[str, Any], **properties: Any) -> tuple[pika.BasicProperties, int]:
    """Publish to a queue and get the message; returns its properties, and the time of the broker in ms."""
    with Broker(settings=settings, clock="frozen") as broker, connected(broker) as channel:
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"body", pika.BasicProperties(**properties))
        _, found, body = channel.basic_get("q", auto_ack=True)
        assert body == b"body"
        return found, int(broker.clock.now.timestamp() * 1000)


@contextmanager
def connected(broker: Broker) -> Iterator[Any]:
    """A channel of a broker."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def test_node_and_times_are_added() -> None:
    found, now = received(ALL, headers={"z": 1, "a": 2})
    assert list(found.headers.items()) == [
        ("a", 2),
        ("timestamp_in_ms", now),
        ("x-opt-rabbitmq-sent-time", now),
        ("x-routed-by", NODE),
        ("z", 1),
    ]
    assert found.timestamp == now // 1000


def test_what_the_client_has_set_is_kept() -> None:
    found, now = received(ALL, headers=OWN, timestamp=77)
    assert found.headers == {**OWN, "x-opt-rabbitmq-sent-time": now}
    assert found.timestamp == 77


def test_what_the_client_has_set_is_overwritten() -> None:
    overwrite = {**ALL, "amqp.routing_node_header": "overwrite", "amqp.timestamp_header": "overwrite"}
    found, now = received(overwrite, headers=OWN, timestamp=77)
    assert found.headers == {"x-routed-by": NODE, "timestamp_in_ms": now, "x-opt-rabbitmq-sent-time": now}
    assert found.timestamp == now // 1000


@pytest.mark.parametrize(
    ("setting", "value", "added"),
    [
        ("amqp.routing_node_header", "add", ["x-routed-by"]),
        ("amqp.timestamp_header", "add", ["timestamp_in_ms"]),
        ("amqp.sent_time_header", True, ["x-opt-rabbitmq-sent-time"]),
    ],
)
def test_each_setting_adds_its_header(setting: str, value: object, added: list[str]) -> None:
    found, _ = received({setting: value})
    assert list(found.headers) == added


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_consumers_get_them_from_each_type_of_queue(kind: str) -> None:
    with Broker(settings=ALL) as broker, connected(broker) as channel:
        arguments = {"x-queue-type": kind}
        channel.queue_declare("q", durable=True, arguments=arguments)
        for text in (b"1", b"2"):
            channel.basic_publish("", "q", text, pika.BasicProperties(headers={"a": 1}))
        channel.basic_qos(prefetch_count=10)
        start = {"x-stream-offset": "first"} if kind == "stream" else {}
        deliveries = channel.consume("q", arguments=start)
        for text in (b"1", b"2"):
            _, properties, body = next(deliveries)
            assert body == text
            assert {"a", "timestamp_in_ms", "x-opt-rabbitmq-sent-time", "x-routed-by"} <= set(
                properties.headers
            )


def test_a_returned_message_has_those_of_its_publish() -> None:
    with Broker(settings=ALL) as broker, connected(broker) as channel:
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.UnroutableError) as caught:
            channel.basic_publish("", "nowhere", b"", mandatory=True)
        (returned,) = caught.value.messages
        assert set(returned.properties.headers) == {"timestamp_in_ms", "x-routed-by"}


def test_the_toolkit_changes_publishes_beside_them() -> None:
    with Broker(settings=ALL) as broker, connected(broker) as channel:
        channel.queue_declare("q")
        with broker.faults.confirms(queue="q").lose():
            channel.basic_publish("", "q", b"")
        assert "x-routed-by" in channel.basic_get("q", auto_ack=True)[1].headers

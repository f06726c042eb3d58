"""What more libraries declare, through real connections in virtual time, each once with a fault.

Symfony Messenger, Laravel, Sneakers, Spring Cloud Stream, MassTransit, nameko, and RPC over direct reply-to. The
topologies are those of tests/topologies, which checks the broker's answers without sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from leveret.testing import Broker
from tests.toolkit.clients import Attempts, ack, connect, consumer

SECOND = 1000
MINUTE = 60 * SECOND


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        yield broker


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    with connect(broker) as connection:
        yield connection.channel()


def test_symfony_delays_again_after_a_nack(broker: Broker, channel: BlockingChannel) -> None:
    channel.exchange_declare("messages", "fanout", durable=True)
    channel.queue_declare("messages", durable=True)
    channel.queue_bind("messages", "messages")
    channel.exchange_declare("delays", "direct", durable=True)
    channel.confirm_delivery()
    attempts = Attempts(broker)

    def delay(milliseconds: int) -> None:
        name = f"delay_messages__{milliseconds}_delay"
        arguments = {
            "x-message-ttl": milliseconds,
            "x-expires": milliseconds + 10 * SECOND,
            "x-dead-letter-exchange": "messages",
            "x-dead-letter-routing-key": "",
        }
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.queue_bind(name, "delays", name)
        channel.basic_publish("delays", name, b"mail")

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        attempts.note(properties)
        channel.basic_ack(method.delivery_tag)

    refused = broker.faults.confirms(queue="delay_*").nack()
    with pytest.raises(NackError):
        delay(5 * MINUTE)
    delay(5 * MINUTE)
    began = broker.clock.now
    with consumer(broker, "messages", handle):
        moves = broker.clock.run_until_idle(quiet=0)
    refused.assert_hit(1)
    assert moves.kept == [] and [at - began for at in attempts.at] == [timedelta(minutes=5)]
    assert list(broker.queues) == ["messages"]  # the queue of the delay has expired


def test_laravel_releases_a_job_through_a_reset(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("default", durable=True)
    attempts = Attempts(broker)

    def later(channel: BlockingChannel, body: bytes) -> None:
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "default",
            "x-message-ttl": MINUTE,
            "x-expires": 2 * MINUTE,
        }
        channel.queue_declare(f"default.delay.{MINUTE}", durable=True, arguments=arguments)
        channel.basic_publish("", f"default.delay.{MINUTE}", body)

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if attempts.note(properties) < 3:
            later(channel, body)
        channel.basic_ack(method.delivery_tag)

    channel.basic_publish("", "default", b"job")
    lost = broker.faults.on("basic.ack").reset()
    with consumer(broker, "default", handle):
        lost.wait()
    with consumer(broker, "default", handle):  # the job comes again at once, and was released already
        broker.clock.run_until_idle(quiet=0)
    assert attempts.seconds() == [0.0, 0.0, 60.0, 60.0]
    assert list(broker.queues) == ["default"]


def test_sneakers_retries_through_a_lost_rejection(broker: Broker, channel: BlockingChannel) -> None:
    for name in ("work-retry", "work-retry-requeue", "work-error"):
        channel.exchange_declare(name, "topic", durable=True)
    retry = {"x-dead-letter-exchange": "work-retry-requeue", "x-message-ttl": MINUTE}
    channel.queue_declare("work-retry", durable=True, arguments=retry)
    channel.queue_bind("work-retry", "work-retry", "#")
    channel.queue_declare("work-error", durable=True)
    channel.queue_bind("work-error", "work-error", "#")
    channel.queue_declare("work", durable=True, arguments={"x-dead-letter-exchange": "work-retry"})
    channel.queue_bind("work", "work-retry-requeue", "#")
    attempts = Attempts(broker)

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        attempts.note(properties)
        deaths = (properties.headers or {}).get("x-death", [])
        if sum(death["count"] for death in deaths if death["queue"] == "work") < 3:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_publish("work-error", "work", body)
            channel.basic_ack(method.delivery_tag)

    channel.basic_publish("", "work", b"job")
    lost = broker.faults.deliveries(queue="work", nth=2).lose_ack()
    with consumer(broker, "work", handle):
        broker.clock.advance(60)
        lost.wait()
    with consumer(broker, "work", handle):
        broker.clock.run_until_idle(quiet=0)
    # The second rejection was lost with its connection, and did not count.
    assert attempts.seconds() == [0.0, 60.0, 60.0, 120.0, 180.0]
    assert broker.queues["work-error"].ready == 1 and broker.queues["work"].unacked == 0


def test_spring_retries_by_the_ttl_of_its_dead_letter_queue(broker: Broker, channel: BlockingChannel) -> None:
    channel.exchange_declare("orders", "topic", durable=True)
    channel.exchange_declare("DLX", "direct", durable=True)
    dead = {"x-dead-letter-exchange": "DLX", "x-dead-letter-routing-key": "orders.app"}
    channel.queue_declare("orders.app", durable=True, arguments=dead)
    channel.queue_bind("orders.app", "orders", "#")
    back = {
        "x-message-ttl": 10 * SECOND,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "orders.app",
    }
    channel.queue_declare("orders.app.dlq", durable=True, arguments=back)
    channel.queue_bind("orders.app.dlq", "DLX", "orders.app")
    attempts = Attempts(broker)

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if attempts.note(properties) <= 4:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)

    channel.basic_publish("orders", "orders", b"order")
    closed = broker.faults.on("basic.reject", nth=2, queue="orders.app").close_channel()
    with consumer(broker, "orders.app", handle):
        broker.clock.advance(10)
        closed.wait()
    with consumer(broker, "orders.app", handle):
        broker.clock.run_until_idle(quiet=0)
    assert attempts.seconds() == [0.0, 10.0, 10.0, 20.0, 30.0]
    counts = {death["queue"]: death["count"] for death in attempts.headers[-1]["x-death"]}
    assert counts == {"orders.app": 3, "orders.app.dlq": 3}


def test_masstransit_gets_a_scheduled_message_twice(broker: Broker, channel: BlockingChannel) -> None:
    for name in ("Orders:SubmitOrder", "submit-order", "submit-order_error"):
        channel.exchange_declare(name, "fanout", durable=True)
    for name in ("submit-order", "submit-order_error"):
        channel.queue_declare(name, durable=True)
        channel.queue_bind(name, name)
    channel.exchange_bind("submit-order", "Orders:SubmitOrder")
    later = {"x-delayed-type": "fanout"}
    channel.exchange_declare("submit-order_delay", "x-delayed-message", durable=True, arguments=later)
    channel.exchange_bind("submit-order", "submit-order_delay")
    attempts = Attempts(broker)

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if attempts.note(properties) > 1:  # it has been handled: a redelivery without an inbox
            fault = pika.BasicProperties(headers={"MT-Reason": "fault"})
            channel.basic_publish("submit-order_error", "", body, fault)
        channel.basic_ack(method.delivery_tag)

    twice = broker.faults.deliveries(queue="submit-order").duplicate()
    delay = pika.BasicProperties(headers={"x-delay": 86_400 * SECOND})
    channel.basic_publish("submit-order_delay", "", b"order", delay)
    began = broker.clock.now
    with consumer(broker, "submit-order", handle):
        broker.clock.run_until_idle(quiet=0)
        broker.wait_idle()
    twice.assert_hit(1)
    assert [at - began for at in attempts.at] == [timedelta(days=1)] * 2
    assert broker.queues["submit-order_error"].ready == 1


def test_nameko_s_reply_queue_expires_after_its_client_was_dropped(broker: Broker) -> None:
    connection = connect(broker)
    channel = connection.channel()
    channel.exchange_declare("nameko-rpc", "topic", durable=True)
    channel.queue_declare("rpc.reply-service-1", durable=True, arguments={"x-expires": 5 * MINUTE})
    channel.queue_bind("rpc.reply-service-1", "nameko-rpc", "reply-1")
    channel.basic_consume("rpc.reply-service-1", ack)
    broker.clock.advance(3600)  # it is in use
    assert "rpc.reply-service-1" in broker.queues
    broker.faults.drop().assert_hit(1)
    broker.clock.advance(299)
    assert "rpc.reply-service-1" in broker.queues
    broker.clock.advance(1)
    assert "rpc.reply-service-1" not in broker.queues
    with pytest.raises(pika.exceptions.AMQPError):
        connection.process_data_events(None)


def test_a_reply_that_is_lost_is_asked_for_again(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("rpc", durable=True)
    replies: list[bytes] = []

    def serve(server: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        server.basic_publish("", properties.reply_to, body.upper())
        server.basic_ack(method.delivery_tag)

    channel.basic_consume(
        "amq.rabbitmq.reply-to", lambda *delivery: replies.append(delivery[3]), auto_ack=True
    )
    lost = broker.faults.on("basic.publish", routing_key="amq.rabbitmq.reply-to.*").ignore()
    request = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
    with consumer(broker, "rpc", serve):
        channel.basic_publish("", "rpc", b"one", request)
        lost.wait()
        channel.basic_publish("", "rpc", b"one", request)  # as after a timeout
        while not replies:
            channel.connection.process_data_events(None)
    assert replies == [b"ONE"]

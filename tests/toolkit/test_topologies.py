"""Topologies of well-known libraries in virtual time, through real clients, each once with a fault."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pika
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import Middleware, Retries
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker
from tests.hang import HANG_SECONDS
from tests.node import node_with
from tests.toolkit.clients import ack, connect, consumer

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NODE = Path(__file__).resolve().parents[1] / "clients" / "node"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        yield broker


def ladder(channel: BlockingChannel, delays: list[timedelta]) -> None:
    """Declare `jobs`, and a queue for each step of a ladder of retries, whose messages go back to it."""
    channel.queue_declare("jobs", durable=True)
    for step, delay in enumerate(delays):
        channel.queue_declare(
            f"retry-{step}",
            durable=True,
            arguments={
                "x-message-ttl": int(delay / timedelta(milliseconds=1)),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "jobs",
            },
        )
    channel.queue_declare("failed", durable=True)


def test_a_ladder_of_retries_through_a_reset(broker: Broker) -> None:
    delays = [timedelta(seconds=10), timedelta(minutes=5), HOUR, DAY]
    seen: list[datetime] = []

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        step = int(properties.type or 0)
        seen.append(broker.clock.now)
        key = f"retry-{step}" if step < len(delays) else "failed"
        channel.basic_publish("", key, body, pika.BasicProperties(type=str(step + 1)))
        channel.basic_ack(method.delivery_tag)

    with connect(broker) as connection:
        channel = connection.channel()
        ladder(channel, delays)
        began = broker.clock.now
        with consumer(broker, "jobs", handle):
            broker.faults.on("basic.ack", nth=2).reset()
            channel.basic_publish("", "jobs", b"job")
            broker.clock.advance(10)
        # The acknowledgement was lost: the job comes again, and has been published for its next step already.
        with consumer(broker, "jobs", handle):
            moves = broker.clock.advance(2 * DAY)
        assert moves.kept == []
        assert channel.queue_declare("failed", passive=True).method.message_count == 2
    steps = [10.0, 310.0, 3910.0, 90310.0]
    assert sorted({(moment - began).total_seconds() for moment in seen}) == [0.0, *steps]


LEVELS = 28


def delay_infrastructure(channel: BlockingChannel) -> None:
    """NServiceBus's 28 levels: a topic exchange and a queue for each bit of a delay in seconds."""
    for level in range(LEVELS - 1, -1, -1):
        name, following = f"nsb.v2.delay-level-{level:02}", f"nsb.v2.delay-level-{level - 1:02}"
        target = following if level else "nsb.v2.delay-delivery"
        channel.exchange_declare(name, "topic", durable=True)
        channel.exchange_declare(target, "topic", durable=True)
        channel.queue_declare(
            name,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-message-ttl": (1 << level) * 1000,
                "x-dead-letter-exchange": target,
            },
        )
        words = "*." * (LEVELS - 1 - level)
        channel.queue_bind(name, name, f"{words}1.#")
        channel.exchange_bind(target, name, f"{words}0.#")


def test_the_28_levels_of_nservicebus_are_exact(broker: Broker) -> None:
    seen: list[tuple[datetime, bytes]] = []

    def handle(channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        seen.append((broker.clock.now, body))
        channel.basic_ack(method.delivery_tag)

    seconds = [1, 2, 3, 86_400, 604_799, (1 << LEVELS) - 1]
    with connect(broker) as connection:
        channel = connection.channel()
        delay_infrastructure(channel)
        channel.queue_declare("endpoint", durable=True)
        channel.queue_bind("endpoint", "nsb.v2.delay-delivery", "#.endpoint")
        fault = broker.faults.deliveries(queue="endpoint").duplicate()
        began = broker.clock.now
        for delay in seconds:
            key = ".".join(f"{delay:0{LEVELS}b}") + ".endpoint"
            channel.basic_publish(f"nsb.v2.delay-level-{LEVELS - 1:02}", key, b"%d" % delay)
        with consumer(broker, "endpoint", handle):
            broker.clock.run_until_idle(limit=timedelta(days=4000), quiet=0)
    assert fault.hits == 1
    assert [(int(body), moment - began) for moment, body in seen[1:]] == [
        (delay, timedelta(seconds=delay)) for delay in seconds
    ]


def test_dead_letters_of_dramatiq_expire_after_a_week(broker: Broker) -> None:
    """Its worker keeps delayed messages itself, in its own time; dead letters wait a week in the broker."""
    runs: list[int] = []
    done = threading.Event()

    class Done(Middleware):
        def after_process_message(
            self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            runs.append(1)
            if len(runs) == 2:
                done.set()

    rabbitmq = RabbitmqBroker(url=broker.url, middleware=[Retries(max_retries=0), Done()])
    queue_name = "mail"

    @dramatiq.actor(broker=rabbitmq, queue_name=queue_name)
    def fail() -> None:
        raise RuntimeError("no such user")

    fault = broker.faults.deliveries(queue=queue_name).duplicate()
    worker = dramatiq.Worker(rabbitmq, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        fail.send()
        assert done.wait(HANG_SECONDS)
        fault.assert_hit(1)
        with connect(broker) as connection:
            channel = connection.channel()
            dead = channel.queue_declare(f"{queue_name}.XQ", passive=True)
            broker.wait_until(lambda: broker._node.engine.vhosts["/"].queues[f"{queue_name}.XQ"].ready)
            assert dead.method.queue == f"{queue_name}.XQ"
            broker.clock.advance(timedelta(weeks=1))
            assert channel.queue_declare(f"{queue_name}.XQ", passive=True).method.message_count == 0
    finally:
        worker.stop()
        rabbitmq.close()


AMQPLIB = """
const amqp = require("amqplib");
(async () => {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await connection.createConfirmChannel();
  await channel.consume("work", (message) => {
    channel.sendToQueue("retry", message.content, {}, () => channel.ack(message));
  });
  console.log("ready");
})();
"""


def test_amqplib_retries_daily_in_another_process(broker: Broker) -> None:
    node = node_with("amqplib", NODE)
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("work", durable=True)
        arguments = {
            "x-message-ttl": 86_400_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "work",
        }
        channel.queue_declare("retry", durable=True, arguments=arguments)
        process = subprocess.Popen(
            [node, "-e", AMQPLIB],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "AMQP_URL": broker.url, "NODE_PATH": str(NODE / "node_modules")},
        )
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            refused = broker.faults.confirms(queue="retry", nth=3).nack(effect=True)
            channel.basic_publish("", "work", b"job")
            moves = broker.clock.advance(7 * DAY)
            assert (refused.hits, moves.kept, moves.steps) == (1, [], 7)
            queue = channel.queue_declare("retry", passive=True)
            assert queue.method.message_count == 1
            assert broker.clock.next().at - broker.clock.now == DAY  # type: ignore[union-attr]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


async def test_a_thousand_delayed_messages_come_in_order() -> None:
    import aio_pika

    async with Broker(clock="frozen") as broker, await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        arguments = {"x-delayed-type": "direct"}
        exchange = await channel.declare_exchange(
            "later", "x-delayed-message", durable=True, arguments=arguments
        )
        queue = await channel.declare_queue("q", durable=True)
        await queue.bind(exchange, "q")
        seen: list[int] = []

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await asyncio.sleep(0)
            seen.append(int(message.body))
            await message.ack()

        await queue.consume(handle)
        for number in range(1000):
            delay = (number * 617) % 1000 + 1
            message = aio_pika.Message(b"%d" % delay, headers={"x-delay": delay * 1000})
            await exchange.publish(message, "q", mandatory=False)
        await broker.clock.advance(1000)
        assert seen == sorted(seen) and len(seen) == 1000


def test_an_acknowledging_consumer_leaves_nothing_to_keep(broker: Broker) -> None:
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        with consumer(broker, "q", ack, prefetch=1):
            for _ in range(50):
                channel.basic_publish("", "q", b"")
            assert broker.clock.advance(DAY).kept == []
        assert channel.queue_declare("q", passive=True).method.message_count == 0

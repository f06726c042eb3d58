"""What five more libraries declare and do, in virtual time, each once with a fault.

FastStream runs itself. pika plays NestJS, Rascal, Bunny and EasyNetQ, with their arguments and in their order: those of
NestJS 12 and Rascal 21 were recorded from them, those of Bunny and EasyNetQ are in their sources.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError

from leveret.testing import Broker, Unclean
from leveret.testing.messages import PublishedMessage
from tests.toolkit.clients import Attempts, connect, consumer

SECOND = 1000
MINUTE = 60 * SECOND
PERSISTENT = 2


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        yield broker


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    with connect(broker) as connection:
        yield connection.channel()


# --- NestJS: `ServerRMQ` and `ClientRMQ`, over amqp-connection-manager


def test_nestjs_answers_a_request_again_after_its_connection_was_lost(
    broker: Broker, channel: BlockingChannel
) -> None:
    """The server's acknowledgement and its reply are lost, so it gets the request twice and the client one reply."""
    channel.confirm_delivery()
    channel.queue_declare("cats_queue", durable=True)
    replies: list[Any] = []
    channel.basic_consume(
        "amq.rabbitmq.reply-to", lambda *delivery: replies.append(json.loads(delivery[3])), auto_ack=True
    )
    requests = Attempts(broker)

    def serve(server: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        requests.note(properties)
        server.basic_ack(
            method.delivery_tag
        )  # `context.getChannelRef().ack(...)` in the handler, then the reply
        reply = {"response": sum(json.loads(body)["data"]), "isDisposed": True}
        answer = pika.BasicProperties(headers={}, correlation_id=properties.correlation_id)
        server.basic_publish("", properties.reply_to, json.dumps(reply).encode(), answer)

    lost = broker.faults.on("basic.ack", queue="cats_queue").reset()
    request = {"pattern": {"cmd": "sum"}, "data": [1, 2, 3], "id": "d9d54b5eac18aa2411263"}
    properties = pika.BasicProperties(
        headers={},
        delivery_mode=PERSISTENT,
        correlation_id=request["id"],
        reply_to="amq.rabbitmq.reply-to",
    )
    channel.basic_publish("", "cats_queue", json.dumps(request).encode(), properties)
    with consumer(broker, "cats_queue", serve, prefetch=1):
        lost.wait()
    with consumer(broker, "cats_queue", serve, prefetch=1):
        while not replies:
            channel.connection.process_data_events(None)
        broker.wait_idle()
    assert replies == [{"response": 6, "isDisposed": True}] and requests.seconds() == [0.0, 0.0]
    assert broker.published(queue="cats_queue").one().outcome() == "acked"


def test_nestjs_refuses_an_event_that_nobody_handles_and_gets_it_back_later(
    broker: Broker, channel: BlockingChannel
) -> None:
    """`wildcards: true`, with a dead-letter exchange in `queueOptions`; the handler is deployed half an hour later."""
    channel.confirm_delivery()
    later = {"x-message-ttl": 10 * MINUTE, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cats"}
    channel.queue_declare("cats.later", durable=True, arguments=later)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cats.later"}
    channel.queue_declare("cats", durable=True, arguments=dead)
    channel.exchange_declare("cats", "topic", durable=True)
    channel.queue_bind("cats", "cats", "cat.#")
    seen = Attempts(broker)
    patterns: set[str] = set()

    def serve(server: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        seen.note(properties)
        if json.loads(body)["pattern"] in patterns:
            server.basic_ack(method.delivery_tag)
        else:
            server.basic_nack(method.delivery_tag, requeue=False)

    closed = broker.faults.on("basic.nack", nth=2, queue="cats").close_channel(406)
    event = {"pattern": "cat.born.today", "data": {"name": "Ada"}}
    channel.basic_publish(
        "cats",
        "cat.born.today",
        json.dumps(event).encode(),
        pika.BasicProperties(headers={}, delivery_mode=PERSISTENT),
    )
    with consumer(broker, "cats", serve):
        broker.clock.advance(10 * 60)
        closed.wait()
    with consumer(broker, "cats", serve):  # the channel is set up again, and the event comes again at once
        broker.clock.advance(10 * 60)
        patterns.add("cat.born.today")
        broker.clock.run_until_idle(quiet=0)
    assert seen.seconds() == [0.0, 600.0, 600.0, 1200.0, 1800.0]
    counts = {death["queue"]: death["count"] for death in seen.headers[-1]["x-death"]}
    assert counts == {"cats": 3, "cats.later": 3}


def test_the_transient_queue_of_nestjs_examples_would_break_on_4_4() -> None:
    """`queueOptions: { durable: false }`, as in its documentation."""
    text = r"would break on 4\.4: queue 'cats_queue'"
    with pytest.raises(Unclean, match=text), Broker(lint="4.4") as broker, connect(broker) as connection:
        connection.channel().queue_declare("cats_queue", durable=False)


# --- Rascal: the advanced example of its repository


def rascal(channel: BlockingChannel) -> None:
    """Declare the exchanges, queues and bindings of the example, in Rascal's order."""
    for name in ("service", "delay", "retry", "dead_letters"):
        channel.exchange_declare(name, "topic", durable=True)
    dead = {
        "x-dead-letter-exchange": "dead_letters",
        "x-dead-letter-routing-key": "registration_service.dead_letter",
    }
    channel.queue_declare("registration_service:user:save", durable=True, arguments=dead)
    delay = {"x-message-ttl": MINUTE, "x-dead-letter-exchange": "retry"}
    channel.queue_declare("delay:1m", durable=True, arguments=delay)
    channel.queue_declare("dead_letters:registration_service", durable=True)
    for queue, exchange, key in (
        ("registration_service:user:save", "service", "registration_webapp.user.created.#"),
        ("registration_service:user:save", "service", "registration_webapp.user.updated.#"),
        ("delay:1m", "delay", "delay.1m"),
        ("registration_service:user:save", "retry", "registration_service:user:save.#"),
        ("dead_letters:registration_service", "dead_letters", "registration_service.dead_letter"),
    ):
        channel.queue_bind(queue, exchange, key)


class Recovery:
    """A subscriber whose handler always fails: it forwards the message to the delay queue, up to `limit` times, and
    else gives it up. What it republishes goes back to its own queue alone, by the keys in CC."""

    def __init__(self, broker: Broker, limit: int) -> None:
        self.attempts = Attempts(broker)
        self.limit = limit
        self.forwarder: BlockingChannel | None = None

    def __call__(
        self, channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes
    ) -> None:
        self.attempts.note(properties)
        headers = properties.headers or {}
        rascal = headers.get("rascal", {})
        queue = "registration_service:user:save"
        forwarded = rascal.get("recovery", {}).get(queue, {}).get("forwarded", 0)
        key = rascal.get("originalRoutingKey", method.routing_key)
        if forwarded < self.limit and self.forward(channel, properties, key, queue, forwarded + 1, body):
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_nack(method.delivery_tag, requeue=False)

    def forward(
        self,
        channel: BlockingChannel,
        properties: pika.BasicProperties,
        key: str,
        queue: str,
        count: int,
        body: bytes,
    ) -> bool:
        """Publish it to the delay queue, on a channel with confirms. Returns whether it was confirmed."""
        if self.forwarder is None:
            self.forwarder = channel.connection.channel()
            self.forwarder.confirm_delivery()
        headers = {name: value for name, value in (properties.headers or {}).items() if name != "x-death"}
        headers["CC"] = ["delay.1m", f"{queue}.{key}"]
        headers["rascal"] = {
            "recovery": {queue: {"forwarded": count}},
            "error": {"message": "boom"},
            "originalQueue": queue,
            "originalVhost": "/",
            "redeliveries": 0,
            "restoreRoutingHeaders": True,
            "originalExchange": "service",
            "originalRoutingKey": key,
        }
        copy = pika.BasicProperties(
            content_type="application/json",
            headers=headers,
            delivery_mode=PERSISTENT,
            message_id=properties.message_id,
        )
        try:
            self.forwarder.basic_publish("delay", key, body, copy, mandatory=True)
        except NackError:
            return False
        return True


def user_created(channel: BlockingChannel) -> None:
    properties = pika.BasicProperties(
        content_type="application/json",
        headers={},
        delivery_mode=PERSISTENT,
        message_id="b7c4813e-d555-46d0-85aa-fef40c910072",
    )
    channel.basic_publish(
        "service", "registration_webapp.user.created.ok", b'{"crap":1}', properties, mandatory=True
    )


def test_rascal_forwards_ten_times_and_gives_up(broker: Broker, channel: BlockingChannel) -> None:
    rascal(channel)
    channel.confirm_delivery()
    save = Recovery(broker, 10)
    with consumer(broker, "registration_service:user:save", save, prefetch=10):
        user_created(channel)
        moves = broker.clock.run_until_idle(quiet=0)
    assert (moves.steps, moves.kept) == (10, [])
    assert save.attempts.seconds() == [60.0 * number for number in range(11)]
    (dead,) = broker.messages("dead_letters:registration_service")
    assert dead.headers["x-last-death-reason"] == "rejected" and dead.headers["x-death"][0]["count"] == 1
    assert broker.unroutable() == []


def test_rascal_gives_up_when_the_delay_queue_refuses(broker: Broker, channel: BlockingChannel) -> None:
    rascal(channel)
    channel.confirm_delivery()
    refused = broker.faults.confirms(queue="delay:1m", nth=3).nack()
    save = Recovery(broker, 10)
    with consumer(broker, "registration_service:user:save", save, prefetch=10):
        user_created(channel)
        broker.clock.run_until_idle(quiet=0)
    refused.assert_hit(1)
    assert save.attempts.seconds() == [0.0, 60.0, 120.0]
    assert broker.queues["dead_letters:registration_service"].ready == 1
    assert broker.queues["delay:1m"].ready == 0


# --- Bunny: queues of its examples, default queue types, recovery through toxiproxy


def bunny(channel: BlockingChannel) -> str:
    """Declare what Bunny recovers, in its order: exchanges, queues, bindings. Returns the name of the server-named
    queue; it has another one after each recovery."""
    channel.exchange_declare("bunny.tests.dlx.exchange", "fanout", durable=False, auto_delete=False)
    channel.queue_declare("bunny.dlq", durable=True)
    ttl = {"x-dead-letter-exchange": "bunny.tests.dlx.exchange", "x-message-ttl": 100}
    name: str = channel.queue_declare("", exclusive=True, arguments=ttl).method.queue
    channel.queue_bind("bunny.dlq", "bunny.tests.dlx.exchange", "")
    channel.queue_bind(name, "amq.fanout", "")
    return name


def test_bunny_recovers_its_topology_when_toxiproxy_lets_it(broker: Broker) -> None:
    toxiproxy = pytest.importorskip("toxiproxy")
    server = toxiproxy.Toxiproxy()
    server.update_api_consumer(broker.host, int(broker.toxiproxy_url.rpartition(":")[2]))
    published = pika.BasicProperties(
        content_type="application/octet-stream", delivery_mode=PERSISTENT, priority=0
    )

    connection = connect(broker)
    channel = connection.channel()
    first = bunny(channel)
    channel.basic_publish("amq.fanout", "", b"before", published)
    broker.clock.advance(0.1)
    with server.get_proxy("rabbitmq").down():
        with pytest.raises(AMQPError):
            connection.process_data_events(None)
        with pytest.raises(AMQPError):
            connect(broker)
        broker.clock.advance(0.1)  # the exclusive queue is gone with its connection
        assert first not in broker.queues
    with connect(broker) as connection:
        channel = connection.channel()
        second = bunny(channel)
        channel.basic_publish("amq.fanout", "", b"after", published)
        broker.clock.advance(0.1)
    assert first.startswith("amq.gen-") and second.startswith("amq.gen-") and first != second
    dead = broker.messages("bunny.dlq")
    assert [(one.body, one.headers["x-death"][0]["reason"]) for one in dead] == [
        (b"before", "expired"),
        (b"after", "expired"),
    ]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_bunny_declares_again_what_the_default_type_has_made(broker: Broker, kind: str) -> None:
    broker.declare({"vhosts": [{"name": "bunny_dqt", "metadata": {"default_queue_type": kind}}]})
    with broker.vhost("bunny_dqt") as view, connect(view) as connection:
        channel = connection.channel()
        for _ in range(50):
            channel.queue_declare("bunny.dqt", durable=True)
        channel.queue_declare("bunny.dqt", durable=True, arguments={"x-queue-type": kind})
        assert view.queues["bunny.dqt"].type == kind
        lost = view.faults.on("queue.delete").close_channel(406)
        with pytest.raises(ChannelClosedByBroker):
            channel.queue_delete("bunny.dqt")
        lost.assert_hit(1)
        channel = connection.channel()
        channel.queue_delete("bunny.dqt")
        assert view.queues == {}


# --- EasyNetQ: scheduling by a TTL and by a delayed exchange, and its error queue

TYPE = "Shop.Messages.OrderPlaced, Shop.Messages"


def easynetq(channel: BlockingChannel) -> str:
    """Declare the exchange of a message type and the queue of a subscription. Returns its name."""
    channel.exchange_declare(TYPE, "topic", durable=True)
    channel.queue_declare(f"{TYPE}_billing", durable=True)
    channel.queue_bind(f"{TYPE}_billing", TYPE, "#")
    return f"{TYPE}_billing"


def future_publish(channel: BlockingChannel, delay: timedelta, body: bytes) -> None:
    """Publish as `DeadLetterExchangeAndMessageTtlScheduler` does."""
    hours, rest = divmod(delay.seconds, 3600)
    name = f"{TYPE}_{delay.days:02}_{hours:02}_{rest // 60:02}_{rest % 60:02}"
    channel.exchange_declare(name, "topic", durable=True)
    arguments = {
        "x-message-ttl": int(delay / timedelta(milliseconds=1)),
        "x-dead-letter-exchange": TYPE,
        "x-dead-letter-routing-key": "",
    }
    channel.queue_declare(name, durable=True, arguments=arguments)
    channel.queue_bind(name, name, "")
    channel.basic_publish(name, "", body, pika.BasicProperties(delivery_mode=PERSISTENT, type=TYPE))


class ErrorStrategy:
    """A subscriber that fails: it publishes an error to the error queue, else it returns the message."""

    def __init__(self, broker: Broker) -> None:
        self.attempts = Attempts(broker)

    def __call__(
        self, channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes
    ) -> None:
        self.attempts.note(properties)
        exchange = f"ErrorExchange_{method.routing_key}"
        errors = channel.connection.channel()
        try:
            errors.confirm_delivery()
            errors.queue_declare("EasyNetQ_Default_Error_Queue", durable=True)
            errors.exchange_declare(exchange, "direct", durable=True)
            errors.queue_bind("EasyNetQ_Default_Error_Queue", exchange, method.routing_key)
            error = pika.BasicProperties(
                delivery_mode=PERSISTENT, type="EasyNetQ.SystemMessages.Error, EasyNetQ"
            )
            errors.basic_publish(exchange, method.routing_key, body, error)
            errors.close()
        except AMQPError:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_ack(method.delivery_tag)


def test_easynetq_publishes_in_a_week_and_its_error_is_published_twice(
    broker: Broker, channel: BlockingChannel
) -> None:
    queue = easynetq(channel)
    channel.confirm_delivery()
    fail = ErrorStrategy(broker)
    closed = broker.faults.on("basic.publish", exchange="ErrorExchange_*").close_channel(541)
    began = broker.clock.now
    future_publish(channel, timedelta(days=7), b'{"Id":7}')
    with consumer(broker, queue, fail, prefetch=50):
        broker.clock.run_until_idle(quiet=0)
    closed.assert_hit(1)
    assert [at - began for at in fail.attempts.at] == [timedelta(days=7)] * 2
    (error,) = broker.messages("EasyNetQ_Default_Error_Queue")
    assert error.body == b'{"Id":7}' and f"{TYPE}_07_00_00_00" in broker.queues
    assert broker.queues[queue].ready == broker.queues[queue].unacked == 0


def test_easynetq_publishes_through_a_delayed_exchange(broker: Broker, channel: BlockingChannel) -> None:
    queue = easynetq(channel)
    channel.exchange_declare(
        f"{TYPE}_delayed", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"}
    )
    channel.exchange_bind(TYPE, f"{TYPE}_delayed", "#")
    channel.confirm_delivery()
    seen = Attempts(broker)

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        seen.note(properties)
        channel.basic_ack(method.delivery_tag)

    twice = broker.faults.deliveries(queue=queue, nth=2).duplicate()
    began = broker.clock.now
    for days in (24, 1):
        delay = {"x-delay": days * 86_400 * SECOND}
        properties = pika.BasicProperties(delivery_mode=PERSISTENT, type=TYPE, headers=delay)
        channel.basic_publish(f"{TYPE}_delayed", "#", b"{}", properties)
    with consumer(broker, queue, handle, prefetch=50):
        broker.clock.run_until_idle(quiet=0)
        broker.wait_idle()
    twice.assert_hit(1)
    assert [(at - began).days for at in seen.at] == [1, 24, 24]
    assert [headers["x-delay"] for headers in seen.headers] == [
        -days * 86_400 * SECOND for days in (1, 24, 24)
    ]


# --- FastStream itself

LOG = logging.getLogger("tests.faststream")


def chain(message: PublishedMessage) -> Iterator[PublishedMessage]:
    """Yield a message, and of what dead lettering made of it what came back to the queue."""
    yield message
    for waiting in message.copies:
        for back in waiting.copies:
            yield from chain(back)


async def test_faststream_retries_through_a_dead_letter_queue_and_a_reset() -> None:
    rabbit = pytest.importorskip("faststream.rabbit")
    async with Broker(clock="frozen") as broker:
        app = rabbit.RabbitBroker(broker.url, logger=LOG, reconnect_interval=0.01)
        back = {
            "x-message-ttl": 3600 * SECOND,
            "x-dead-letter-exchange": "orders",
            "x-dead-letter-routing-key": "new",
        }
        wait = rabbit.RabbitQueue("orders.wait", durable=True, arguments=back)
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders.wait"}
        queue = rabbit.RabbitQueue("orders.new", durable=True, routing_key="new", arguments=dead)
        orders = rabbit.RabbitExchange("orders", type=rabbit.ExchangeType.TOPIC, durable=True)
        runs: list[float] = []

        @app.subscriber(queue, orders)  # it rejects what raises an exception
        async def place(order: dict[str, int]) -> None:
            runs.append(broker.clock.time())
            if len(runs) <= 3:
                raise RuntimeError("the shop is closed")

        async with app:
            await app.declare_queue(wait)
            await app.start()
            lost = broker.faults.on("basic.reject", nth=2, queue="orders.new").reset()
            await app.publish({"id": 7}, "new", orders, persist=True)
            await broker.clock.advance(3600)
            await lost.wait()
            await broker.wait_for_consumer("orders.new")
            await broker.wait_idle()  # it comes again at once, and is rejected
            await broker.clock.run_until_idle()
        assert [run - runs[0] for run in runs] == [0.0, 3600.0, 3600.0, 7200.0]
        ways = [message.outcome("orders.new") for message in chain(broker.published().one())]
        assert ways == ["dead-lettered", "dead-lettered", "acked"]


async def test_faststream_asks_over_direct_reply_to_and_publishes_later() -> None:
    rabbit = pytest.importorskip("faststream.rabbit")
    async with Broker(clock="frozen") as broker:
        app = rabbit.RabbitBroker(broker.url, logger=LOG)
        later = rabbit.RabbitExchange(
            "later",
            type=rabbit.ExchangeType.X_DELAYED_MESSAGE,
            durable=True,
            arguments={"x-delayed-type": "direct"},
        )
        reminded: list[float] = []

        @app.subscriber(rabbit.RabbitQueue("price", durable=True))
        async def price(item: str) -> int:
            return len(item)

        @app.subscriber(rabbit.RabbitQueue("remind", durable=True), later)
        async def remind(text: str) -> None:
            reminded.append(broker.clock.time())

        async with app:
            await app.start()
            slow = broker.faults.on("basic.publish", routing_key="amq.rabbitmq.reply-to.*").delay(0.01)
            answer = await app.request("pear", "price", timeout=60)
            assert await answer.decode() == 4
            slow.assert_hit(1)
            began = broker.clock.time()
            delay = {"x-delay": 86_400 * SECOND}
            await app.publish("tea", "remind", later, headers=delay, mandatory=False)
            await broker.clock.run_until_idle()
        assert [moment - began for moment in reminded] == [86_400.0]

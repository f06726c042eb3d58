"""pika's AsyncioConnection: its callbacks as futures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pika
import pika.exceptions
import pytest
import pytest_asyncio
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from tests.hang import HANG_SECONDS

pytestmark = pytest.mark.asyncio
WAIT = HANG_SECONDS


async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a method of pika that takes ``callback``, and wait for its reply."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(*frames: Any) -> None:
        if not future.done():
            future.set_result(frames[-1] if frames else None)

    method(*args, callback=done, **options)
    return await asyncio.wait_for(future, WAIT)


async def connect(parameters: pika.connection.Parameters) -> AsyncioConnection:
    """Open a connection; raises what pika reports if it is refused."""
    future: asyncio.Future[AsyncioConnection] = asyncio.get_running_loop().create_future()
    AsyncioConnection(
        parameters,
        on_open_callback=future.set_result,
        on_open_error_callback=lambda _c, error: future.set_exception(error),
    )
    return await asyncio.wait_for(future, WAIT)


async def closed(connection: AsyncioConnection) -> BaseException:
    """Wait until ``connection`` is closed; returns the reason."""
    future: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    connection.add_on_close_callback(lambda _c, reason: future.set_result(reason))
    return await asyncio.wait_for(future, WAIT)


async def channel_closed(channel: Channel) -> Any:
    future: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda _c, reason: future.set_result(reason))
    return await asyncio.wait_for(future, WAIT)


async def open_channel(connection: AsyncioConnection) -> Channel:
    future: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
    connection.channel(on_open_callback=future.set_result)
    return await asyncio.wait_for(future, WAIT)


async def declare(channel: Channel, name: str = "", **arguments: Any) -> str:
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    frame = await call(channel.queue_declare, name, exclusive=True, arguments=table)
    return frame.method.queue


async def consume(channel: Channel, queue: str, **options: Any) -> asyncio.Queue[Any]:
    """Consume from ``queue``; deliveries (method, properties, body) are put into the returned asyncio queue."""
    deliveries: asyncio.Queue[Any] = asyncio.Queue()
    await call(channel.basic_consume, queue, lambda _c, *delivery: deliveries.put_nowait(delivery), **options)
    return deliveries


async def confirming(channel: Channel) -> asyncio.Queue[Any]:
    """Put ``channel`` in confirm mode; acks and nacks are put into the returned asyncio queue."""
    confirms: asyncio.Queue[Any] = asyncio.Queue()
    await call(channel.confirm_delivery, lambda frame: confirms.put_nowait(frame.method))
    return confirms


async def confirmed(confirms: asyncio.Queue[Any], last: int) -> list[tuple[str, int, bool]]:
    """Wait for the confirms up to delivery tag ``last``."""
    got: list[tuple[str, int, bool]] = []
    while not got or got[-1][1] < last:
        method = await asyncio.wait_for(confirms.get(), WAIT)
        got.append((method.NAME, method.delivery_tag, method.multiple))
    return got


@pytest_asyncio.fixture
async def connection(broker_url: str) -> AsyncIterator[AsyncioConnection]:
    connection = await connect(pika.URLParameters(broker_url))
    yield connection
    if connection.is_open:
        connection.close()
        await closed(connection)


@pytest_asyncio.fixture
async def channel(connection: AsyncioConnection) -> Channel:
    return await open_channel(connection)


async def test_a_work_queue_confirms_and_delivers(
    connection: AsyncioConnection, channel: Channel, name: str
) -> None:
    await declare(channel, name)
    confirms = await confirming(channel)
    for number in range(100):
        channel.basic_publish("", name, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    got = await confirmed(confirms, 100)
    assert {kind for kind, _, _ in got} == {"Basic.Ack"}
    worker = await open_channel(connection)
    await call(worker.basic_qos, prefetch_count=10)
    deliveries = await consume(worker, name)
    for number in range(100):
        method, _, body = await asyncio.wait_for(deliveries.get(), WAIT)
        assert (method.delivery_tag, body) == (number + 1, b"%d" % number)
        worker.basic_ack(method.delivery_tag)


async def test_return_comes_before_its_confirm(channel: Channel, name: str) -> None:
    seen: list[tuple[str, Any]] = []
    channel.add_on_return_callback(
        lambda _c, method, properties, body: seen.append(
            ("return", (method.reply_text, properties.type, body))
        )
    )
    confirms = await confirming(channel)
    channel.basic_publish("", name, b"lost", pika.BasicProperties(type="t"), mandatory=True)
    (confirm,) = await confirmed(confirms, 1)
    assert seen == [("return", ("NO_ROUTE", "t", b"lost"))]
    assert confirm == ("Basic.Ack", 1, False)


async def test_a_publish_to_a_full_queue_is_nacked(channel: Channel, name: str) -> None:
    await declare(channel, name, x_max_length=1, x_overflow="reject-publish")
    confirms = await confirming(channel)
    channel.basic_publish("", name, b"fits")
    assert [kind for kind, _, _ in await confirmed(confirms, 1)] == ["Basic.Ack"]
    channel.basic_publish("", name, b"does not")
    assert [kind for kind, _, _ in await confirmed(confirms, 2)] == ["Basic.Nack"]


async def test_rpc_over_direct_reply_to_is_answered(
    connection: AsyncioConnection, channel: Channel, name: str
) -> None:
    server = await open_channel(connection)
    await declare(server, name)

    def answer(ch: Channel, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        ch.basic_publish("", properties.reply_to, body.upper(), reply)

    await call(server.basic_consume, name, answer, auto_ack=True)
    replies = await consume(channel, "amq.rabbitmq.reply-to", auto_ack=True)
    for number in range(20):
        request = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))
        channel.basic_publish("", name, b"call %d" % number, request)
    got = [await asyncio.wait_for(replies.get(), WAIT) for _ in range(20)]
    assert [(p.correlation_id, body) for _, p, body in got] == [(str(n), b"CALL %d" % n) for n in range(20)]


async def test_deleting_a_queue_cancels_its_consumer(
    connection: AsyncioConnection, channel: Channel, name: str
) -> None:
    await call(channel.queue_declare, name, durable=True)
    cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    channel.add_on_cancel_callback(lambda frame: cancelled.set_result(frame.method.consumer_tag))
    frame = await call(channel.basic_consume, name, lambda *_: None, consumer_tag="mine")
    assert frame.method.consumer_tag == "mine"
    other = await open_channel(connection)
    await call(other.queue_delete, name)
    assert await asyncio.wait_for(cancelled, WAIT) == "mine"
    assert channel.is_open


async def test_cancelling_a_consumer_stops_its_deliveries(channel: Channel, name: str) -> None:
    await declare(channel, name)
    deliveries = await consume(channel, name, auto_ack=True, consumer_tag="mine")
    frame = await call(channel.basic_cancel, "mine")
    assert frame.method.NAME == "Basic.CancelOk"
    channel.basic_publish("", name, b"kept")
    frame = await call(channel.queue_purge, name)
    assert frame.method.message_count == 1
    assert deliveries.empty()


async def test_a_channel_error_leaves_the_connection_open(
    connection: AsyncioConnection, channel: Channel, name: str
) -> None:
    channel.queue_declare(name, passive=True)
    reason = await channel_closed(channel)
    assert isinstance(reason, pika.exceptions.ChannelClosedByBroker)
    assert reason.reply_code == 404
    assert reason.reply_text.startswith(f"NOT_FOUND - no queue '{name}' in vhost ")
    assert (await open_channel(connection)).channel_number == channel.channel_number


async def test_a_connection_error_closes_the_connection(broker_url: str) -> None:
    connection = await connect(pika.URLParameters(broker_url))
    channel = await open_channel(connection)
    publish = pika.spec.Basic.Publish(exchange="", routing_key="x", immediate=True)
    channel._send_method(publish, (pika.BasicProperties(), b""))
    reason: Any = await closed(connection)
    assert isinstance(reason, pika.exceptions.ConnectionClosedByBroker)
    assert (reason.reply_code, reason.reply_text) == (540, "NOT_IMPLEMENTED - immediate=true")
    assert channel.is_closed


async def test_the_limits_that_the_client_chooses_hold(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.heartbeat, parameters.frame_max, parameters.channel_max = 7, 8192, 5
    connection = await connect(parameters)
    assert connection.params.heartbeat == 7
    channels = [await open_channel(connection) for _ in range(5)]
    with pytest.raises(pika.exceptions.NoFreeChannels):
        await open_channel(connection)
    body = bytes(100_000)
    queue = await declare(channels[0])
    deliveries = await consume(channels[1], queue, auto_ack=True)
    channels[0].basic_publish("", queue, body)
    assert (await asyncio.wait_for(deliveries.get(), WAIT))[2] == body
    connection.close()
    await closed(connection)


async def test_the_server_offers_its_default_limits(broker_url: str) -> None:
    offered: list[tuple[int, int, int]] = []

    def choose(_connection: object, server_value: int) -> int:
        offered.append(server_value)  # type: ignore[arg-type]
        return server_value

    parameters = pika.URLParameters(broker_url)
    parameters.heartbeat = choose
    connection = await connect(parameters)
    assert offered == [60]
    assert (connection.params.channel_max, connection.params.frame_max) == (2047, 131072)
    connection.close()
    await closed(connection)


async def test_many_channels_publish_and_consume_at_once(connection: AsyncioConnection, name: str) -> None:
    channels = await asyncio.gather(*(open_channel(connection) for _ in range(50)))
    await declare(channels[0], name)
    boxes = [await consume(channel, name, auto_ack=True) for channel in channels]
    for number in range(500):
        channels[number % 50].basic_publish("", name, b"%d" % number * 100)
    bodies = [await asyncio.wait_for(boxes[number % 50].get(), WAIT) for number in range(500)]
    assert sorted(int(body[: len(body) // 100]) for _, _, body in bodies) == list(range(500))


async def test_transactions_commit_and_roll_back(channel: Channel, name: str) -> None:
    await declare(channel, name)
    await call(channel.tx_select)
    channel.basic_publish("", name, b"x")
    await call(channel.tx_rollback)
    channel.basic_publish("", name, b"y")
    await call(channel.tx_commit)
    frame = await call(channel.queue_declare, name, passive=True)
    assert frame.method.message_count == 1


async def test_update_secret_is_answered(connection: AsyncioConnection) -> None:
    frame = await call(connection.update_secret, "guest", "rotation")
    assert frame.method.NAME == "Connection.UpdateSecretOk"


async def test_an_unknown_exchange_type_is_refused(channel: Channel, name: str) -> None:
    channel.exchange_declare(name, "no-such-type")
    reason = await channel_closed(channel)
    assert (reason.reply_code, reason.reply_text) == (
        406,
        "PRECONDITION_FAILED - unknown exchange type 'no-such-type'",
    )


async def test_a_topic_log_passes_through_bound_exchanges(channel: Channel, name: str) -> None:
    inner = name + "-inner"
    await call(channel.exchange_declare, name, "topic", auto_delete=True)
    await call(channel.exchange_declare, inner, "fanout", auto_delete=True, internal=True)
    await call(channel.exchange_bind, inner, name, "log.#")
    queue = await declare(channel)
    await call(channel.queue_bind, queue, inner, "")
    deliveries = await consume(channel, queue, auto_ack=True)
    for key in ("log.a", "other", "log.a.b", "log"):
        channel.basic_publish(name, key, b"")
    got = [await asyncio.wait_for(deliveries.get(), WAIT) for _ in range(3)]
    assert [(method.exchange, method.routing_key) for method, _, _ in got] == [
        *((name, "log.a"), (name, "log.a.b"), (name, "log"))
    ]


async def test_a_wrong_password_is_refused(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.credentials = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        await connect(parameters)

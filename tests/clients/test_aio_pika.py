"""aio-pika against the broker: robust connections, RPC and Master, topology, confirms, transactions."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import aio_pika
import pytest
import pytest_asyncio
from aio_pika import DeliveryMode, ExchangeType, IncomingMessage, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    MessageProcessError,
    QueueEmpty,
)
from aio_pika.patterns import RPC, JsonMaster, Master, RejectMessage

from tests.hang import HANG_SECONDS

pytestmark = pytest.mark.asyncio
WAIT = HANG_SECONDS


@pytest_asyncio.fixture
async def connection(broker_url: str) -> AsyncIterator[AbstractConnection]:
    connection = await aio_pika.connect_robust(broker_url, timeout=WAIT)
    async with connection:
        yield connection


@pytest_asyncio.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(on_return_raises=True)


class Proxy:
    """Forwards TCP to the broker and can close all connections, as a failing network does."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        self._writers += [writer, up_writer]
        for pair in ((reader, up_writer), (up_reader, writer)):
            task = asyncio.create_task(self._pump(*pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_a_published_message_is_got_and_settled(channel: AbstractChannel, name: str) -> None:
    queue = await channel.declare_queue(name, exclusive=True)
    with pytest.raises(QueueEmpty):
        await queue.get()
    sent = Message(
        b"body",
        headers={"h": {"n": 1}},
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        expiration=timedelta(seconds=60),
        message_id="m",
        timestamp=1_700_000_000,
    )
    confirmation = await channel.default_exchange.publish(sent, name)
    assert confirmation is not None
    assert confirmation.name == "Basic.Ack"
    message = await queue.get(timeout=WAIT)
    assert (message.body, message.headers, message.message_id) == (b"body", {"h": {"n": 1}}, "m")
    assert message.expiration == 60
    await message.nack()
    again = await queue.get(timeout=WAIT)
    assert again.redelivered
    async with again.process():
        pass
    assert (await queue.declare()).message_count == 0


async def test_unroutable_and_rejected_publishes_raise_delivery_error(
    channel: AbstractChannel, name: str
) -> None:
    with pytest.raises(DeliveryError):
        await channel.default_exchange.publish(Message(b""), name)
    queue = await channel.declare_queue(
        name, exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await channel.default_exchange.publish(Message(b""), queue.name)
    with pytest.raises(DeliveryError):
        await channel.default_exchange.publish(Message(b""), queue.name)


async def test_a_thousand_concurrent_publishes_are_confirmed(channel: AbstractChannel, name: str) -> None:
    queue = await channel.declare_queue(name, exclusive=True)
    await asyncio.gather(
        *(channel.default_exchange.publish(Message(b"%d" % number), name) for number in range(1000))
    )
    assert (await queue.declare()).message_count == 1000


async def test_a_queue_iterator_with_prefetch_gets_every_message(channel: AbstractChannel, name: str) -> None:
    queue = await channel.declare_queue(name, exclusive=True)
    for number in range(20):
        await channel.default_exchange.publish(Message(b"%d" % number), name)
    await channel.set_qos(prefetch_count=4)
    bodies = []
    async with queue.iterator(timeout=WAIT) as messages:
        async for message in messages:
            async with message.process():
                bodies.append(int(message.body))
            if len(bodies) == 20:
                break
    assert bodies == list(range(20))


async def test_an_exchange_bound_to_an_exchange_gets_its_messages(
    channel: AbstractChannel, name: str
) -> None:
    outer = await channel.declare_exchange(name, ExchangeType.TOPIC, auto_delete=True)
    inner = await channel.declare_exchange(name + "-in", ExchangeType.HEADERS, auto_delete=True)
    await inner.bind(outer, "orders.#")
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(inner, arguments={"x-match": "all", "country": "se", "big": True})
    await outer.publish(Message(b"yes", headers={"country": "se", "big": True, "more": 1}), "orders.new")
    for key, headers in (("orders", {"country": "se"}), ("other", {"country": "se", "big": True})):
        with pytest.raises(DeliveryError):
            await outer.publish(Message(b"no", headers=headers), key)
    message = await queue.get(timeout=WAIT)
    assert (message.body, message.exchange, message.routing_key) == (b"yes", name, "orders.new")
    await message.ack()
    await inner.unbind(outer, "orders.#")


async def test_a_transaction_commits_or_rolls_back(connection: AbstractConnection, name: str) -> None:
    channel = await connection.channel(publisher_confirms=False)
    queue = await channel.declare_queue(name, exclusive=True)
    async with channel.transaction():
        await channel.default_exchange.publish(Message(b"kept"), name)
    with pytest.raises(ZeroDivisionError):
        async with channel.transaction():
            await channel.default_exchange.publish(Message(b"dropped"), name)
            raise ZeroDivisionError
    assert (await queue.get(no_ack=True, timeout=WAIT)).body == b"kept"
    assert await queue.get(no_ack=True, fail=False) is None


async def test_channel_errors_raise_the_matching_exception(
    connection: AbstractConnection, broker_url: str, name: str
) -> None:
    plain = await aio_pika.connect(broker_url)
    async with plain:
        with pytest.raises(ChannelNotFoundEntity, match=f"NOT_FOUND - no queue '{name}' in vhost"):
            await (await plain.channel()).declare_queue(name, passive=True)
        channel = await plain.channel()
        await channel.declare_queue(name, exclusive=True)
        with pytest.raises(ChannelPreconditionFailed, match="inequivalent arg 'x-max-length' for queue"):
            await channel.declare_queue(name, exclusive=True, arguments={"x-max-length": 1})


async def test_a_worker_gets_the_tasks_of_its_master(connection: AbstractConnection, name: str) -> None:
    done: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()

    async def square(*, number: int, fail: bool) -> None:
        await done.put((number, fail))
        if fail:
            raise RejectMessage(requeue=False)

    worker_channel = await connection.channel()
    await worker_channel.set_qos(prefetch_count=5)
    worker = await JsonMaster(worker_channel).create_worker(name, square, auto_delete=True)
    master = JsonMaster(await connection.channel())
    for number in range(10):
        await master.create_task(name, {"number": number, "fail": number == 3})
    got = sorted([await asyncio.wait_for(done.get(), WAIT) for _ in range(10)])
    assert got == [(number, number == 3) for number in range(10)]
    await worker.close()


async def test_pickled_tasks_are_delivered(channel: AbstractChannel, name: str) -> None:
    seen: asyncio.Future[set[int]] = asyncio.get_running_loop().create_future()
    master = Master(channel)

    async def collect(*, values: set[int]) -> None:
        seen.set_result(values)

    worker = await master.create_worker(name, collect, auto_delete=True)
    await master.create_task(name, {"values": {1, 2}})
    assert await asyncio.wait_for(seen, WAIT) == {1, 2}
    await worker.close()


async def test_rpc_returns_results_and_errors(connection: AbstractConnection, name: str) -> None:
    """One queue for each method, a reply queue, and dead lettering through the headers exchange rpc.dlx."""

    async def multiply(*, x: int, y: int) -> int:
        return x * y

    async def fail() -> None:
        raise ValueError("no")

    server = await RPC.create(await connection.channel())
    await server.register(name, multiply, auto_delete=True)
    await server.register(name + "-fail", fail, auto_delete=True)
    client = await RPC.create(await connection.channel())
    results = await asyncio.gather(*(client.call(name, {"x": n, "y": 2}) for n in range(20)))
    assert results == [n * 2 for n in range(20)]
    with pytest.raises(ValueError, match="no"):
        await client.call(name + "-fail")
    with pytest.raises(MessageProcessError):  # the mandatory request is unroutable and returned
        await client.call(name + "-missing")
    await server.unregister(multiply)
    await server.unregister(fail)
    await client.close()
    await server.close()


async def test_rpc_call_that_expires_is_dead_lettered_to_the_caller(
    connection: AbstractConnection, name: str
) -> None:
    channel = await connection.channel()
    await channel.declare_queue(name, auto_delete=True, arguments={"x-dead-letter-exchange": RPC.DLX_NAME})
    client = await RPC.create(channel)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.call(name, expiration=0.03), WAIT)
    await client.close()
    await channel.queue_delete(name)


async def test_robust_connection_restores_topology_and_consumer(broker: object, name: str) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_message(message: IncomingMessage) -> None:
        async with message.process():
            await received.put(message.body)

    host, port, url = broker.host, broker.port, broker.url  # type: ignore[attr-defined]
    async with Proxy(host, port) as proxy:
        through = url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
        robust = await aio_pika.connect_robust(through, timeout=WAIT, reconnect_interval=0.05)
        reconnected = asyncio.Event()
        robust.reconnect_callbacks.add(lambda *_: reconnected.set())
        async with robust:
            channel = await robust.channel()
            exchange = await channel.declare_exchange(name, ExchangeType.FANOUT, auto_delete=True)
            queue = await channel.declare_queue(name, exclusive=True)
            await queue.bind(exchange)
            await queue.consume(on_message)
            await exchange.publish(Message(b"before"), "")
            assert await asyncio.wait_for(received.get(), WAIT) == b"before"
            proxy.cut()
            await asyncio.wait_for(reconnected.wait(), WAIT)
            await exchange.publish(Message(b"after"), "")
            assert await asyncio.wait_for(received.get(), WAIT) == b"after"


async def test_messages_of_a_lost_consumer_are_redelivered(
    broker: object, channel: AbstractChannel, name: str
) -> None:
    """Unacknowledged messages of a lost connection are requeued and marked as redelivered."""
    queue = await channel.declare_queue(name, durable=True, auto_delete=True)
    await channel.default_exchange.publish(Message(b"mine"), name)
    host, port, url = broker.host, broker.port, broker.url  # type: ignore[attr-defined]
    async with Proxy(host, port) as proxy:
        lost = await aio_pika.connect(url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}"))
        lost_queue = await (await lost.channel()).get_queue(name)
        await lost_queue.get(timeout=WAIT)
        proxy.cut()
        async with queue.iterator(timeout=WAIT) as messages:
            async for message in messages:
                assert (message.body, message.redelivered) == (b"mine", True)
                await message.ack()
                break
        await lost.close()


async def test_channel_numbers_are_reused(connection: AbstractConnection) -> None:
    for _ in range(3):
        channels = [await connection.channel() for _ in range(30)]
        await asyncio.gather(*(channel.declare_queue(exclusive=True) for channel in channels))
        await asyncio.gather(*(channel.close() for channel in channels))

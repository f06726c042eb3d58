"""aio-pika's robust connections under every fault of the network: a publisher, a consumer, and no message is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

from leveret.testing import AsyncBroker, AsyncFault, AsyncFaults, Broker
from tests.hang import HANG_SECONDS

#: What a client gets when its connection has gone.
LOST = (
    aio_pika.exceptions.AMQPError,
    aio_pika.exceptions.ChannelInvalidStateError,
    ConnectionError,
    RuntimeError,
)

BODIES = [b"%d" % number for number in range(5)]

Arm = Callable[[AsyncFaults], AsyncFault]

#: Faults in which everything goes on, and how they are armed.
BEARABLE: dict[str, Arm] = {
    "latency down": lambda faults: faults.latency(0.002, 0.001),
    "latency up": lambda faults: faults.latency(0.002, 0.001, "up"),
    "bandwidth": lambda faults: faults.bandwidth(200_000, "both"),
    "slicer": lambda faults: faults.slicer(5, 0.0001, 2, "both"),
    "slow close": lambda faults: faults.slow_close(0.01),
}

#: Faults that end connections, or let nothing pass, until they are removed.
BREAKING: dict[str, Arm] = {
    "drop": lambda faults: faults.drop(),
    "reset": lambda faults: faults.reset(),
    "blackhole up": lambda faults: faults.blackhole("up"),
    "blackhole down": lambda faults: faults.blackhole("down"),
    "blackhole": lambda faults: faults.blackhole(),
    "limit up": lambda faults: faults.limit_data(300, "up"),
    "limit down": lambda faults: faults.limit_data(300, "down"),
    "reset peer": lambda faults: faults.reset_peer(),
}


@pytest.fixture
def broker() -> Iterator[AsyncBroker]:
    with Broker() as broker:
        yield broker.aio


class Application:
    """A publisher and a consumer, each with a robust connection of its own."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.broker = broker
        self.connections: list[AbstractRobustConnection] = []
        self.got: set[bytes] = set()
        self.complete = asyncio.Event()

    async def __aenter__(self) -> Application:
        self.publisher = await self._connect("publisher")
        consumer = await (await self._connect("consumer")).channel()
        queue = await consumer.declare_queue("jobs", durable=True)
        await queue.consume(self._handle)
        self.channel = await self.publisher.channel()
        return self

    async def __aexit__(self, *error: object) -> None:
        for connection in self.connections:
            await connection.close()

    async def _connect(self, name: str) -> AbstractRobustConnection:
        url = f"{self.broker.url}?name={name}"
        self.connections.append(await aio_pika.connect_robust(url, reconnect_interval=0.01))
        return self.connections[-1]

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        self.got.add(message.body)
        if len(self.got) == len(BODIES):
            self.complete.set()
        with suppress(*LOST):  # it comes again
            await message.ack()

    async def publish(self) -> None:
        """Publish all bodies, each as often as it takes."""
        for body in BODIES:
            while True:
                try:
                    await self.channel.default_exchange.publish(aio_pika.Message(body), "jobs")
                    break
                except LOST:
                    await self.broker.wait_for_connection("publisher", timeout=HANG_SECONDS)


@pytest.mark.parametrize("arm", BEARABLE.values(), ids=BEARABLE)
async def test_it_does_not_notice(broker: AsyncBroker, arm: Arm) -> None:
    with arm(broker.faults) as fault:
        async with Application(broker) as application:
            async with asyncio.timeout(HANG_SECONDS):
                await application.publish()
                await application.complete.wait()
            fault.assert_hit()
            assert len(broker.connections) == 2
    assert broker.published(queue="jobs").bodies == BODIES


@pytest.mark.parametrize("arm", BREAKING.values(), ids=BREAKING)
async def test_it_comes_back(broker: AsyncBroker, arm: Arm) -> None:
    async with Application(broker) as application, asyncio.timeout(HANG_SECONDS):
        fault = arm(broker.faults)
        publishing = asyncio.create_task(application.publish())
        await fault.wait(HANG_SECONDS)
        fault.remove()
        await publishing
        await application.complete.wait()
    assert application.got == set(BODIES)


async def test_it_comes_back_after_refusals(broker: AsyncBroker) -> None:
    async with Application(broker) as application, asyncio.timeout(HANG_SECONDS):
        with broker.faults.refuse():
            broker.faults.reset()
            await broker.wait_until(lambda: not broker._node.engine.connections, HANG_SECONDS)
            publishing = asyncio.create_task(application.publish())
        await publishing
        await application.complete.wait()
    assert application.got == set(BODIES)


async def test_it_comes_back_from_a_slow_close(broker: AsyncBroker) -> None:
    async with Application(broker) as application, asyncio.timeout(HANG_SECONDS):
        broker.faults.slow_close(0.01)
        closed = broker.faults.on("basic.publish", nth=2).close_connection()
        await application.publish()
        await application.complete.wait()
        closed.assert_hit(1)
    assert application.got == set(BODIES)

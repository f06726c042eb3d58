"""Clients of the toolkit's tests, in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, AMQPError

from leveret.testing import Broker

#: Gets a channel, the delivery and its properties and body, and settles the delivery.
Handler = Callable[[BlockingChannel, Any, pika.BasicProperties, bytes], object]

#: What pika raises if it is reset while it connects: a ValueError if the RST comes before it
#: has asked whether it is connected.
RESET_WHILE_CONNECTING = (AMQPConnectionError, ValueError)


def connect(broker: Broker, query: str = "") -> pika.BlockingConnection:
    """Connect to a broker."""
    return pika.BlockingConnection(pika.URLParameters(broker.url + query))


@contextmanager
def consumer(
    broker: Broker, queue: str, handle: Handler, *, prefetch: int = 0, query: str = ""
) -> Iterator[None]:
    """Consume a queue in another thread meanwhile."""
    connection = connect(broker, query)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=prefetch)
    channel.basic_consume(queue, handle)

    def run() -> None:
        with suppress(AMQPError):
            channel.start_consuming()
        with suppress(AMQPError):
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(AMQPError):
            connection.add_callback_threadsafe(channel.stop_consuming)
        thread.join()


def ack(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
    """Acknowledge a delivery."""
    channel.basic_ack(method.delivery_tag)


class Attempts:
    """A consumer of jobs: when it got each, and what it does about it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.at: list[datetime] = []
        self.headers: list[dict[str, Any]] = []

    def note(self, properties: pika.BasicProperties) -> int:
        """Note a delivery. Returns its number."""
        self.at.append(self.broker.clock.now)
        self.headers.append(properties.headers or {})
        return len(self.at)

    def seconds(self) -> list[float]:
        """Return when deliveries came, in seconds since the first one."""
        return [(moment - self.at[0]).total_seconds() for moment in self.at]

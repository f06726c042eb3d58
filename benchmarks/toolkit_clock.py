"""What moving the toolkit's clock costs, with a pika consumer over a real socket.

Each line is the best and the median of several rounds. Usage: python -m benchmarks.toolkit_clock
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from leveret.testing import Broker

ROUNDS = 7

#: Messages of the delayed exchange.
DELAYED = 1000

#: Of an idle week.
QUEUES = 10
CHANNELS = 100


class Took(NamedTuple):
    """The time of a call, and the CPU time of the process meanwhile, which other processes add little to, ms."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """Return what a call takes."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return Took((time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000)


@contextmanager
def consuming(broker: Broker, handle: Callable[[BlockingChannel, Any, Any, bytes], None]) -> Iterator[None]:
    """Consume `work` in another thread."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    channel.basic_consume("work", handle)

    def run() -> None:
        with suppress(AMQPError):
            channel.start_consuming()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    connection.add_callback_threadsafe(channel.stop_consuming)
    thread.join()
    connection.close()


def retries(count: int, apart: timedelta) -> Took:
    """Return what so many retries take."""
    with Broker(clock="frozen") as broker:
        arguments = {
            "x-message-ttl": int(apart / timedelta(milliseconds=1)),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "work",
        }
        broker.declare({"queues": [{"name": "work"}, {"name": "retry", "arguments": arguments}]})

        def handle(channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_publish("", "retry", body)
            channel.basic_ack(method.delivery_tag)

        with consuming(broker, handle):
            broker.publish("", "work", "job")
            moves = None

            def advance() -> None:
                nonlocal moves
                moves = broker.clock.advance(count * apart)

            took = timed(advance)
        assert moves is not None and moves.steps == count and not moves.kept
        return took


def delayed() -> Took:
    """Return what it takes to get `DELAYED` messages out of a delayed exchange."""
    with Broker(clock="frozen") as broker:
        exchange = {"name": "later", "type": "x-delayed-message", "arguments": {"x-delayed-type": "fanout"}}
        binding = {"source": "later", "destination": "work", "routing_key": ""}
        broker.declare({"queues": [{"name": "work"}], "exchanges": [exchange], "bindings": [binding]})
        for number in range(DELAYED):
            broker.publish("later", "", "", mandatory=False, headers={"x-delay": 1000 + number})
        took = timed(lambda: broker.clock.advance(10))
        assert broker.queues["work"].ready == DELAYED
        return took


def idle_week(profile: str) -> Took:
    """Return what a week takes in which nothing happens."""
    with Broker(clock="frozen", profile=profile) as broker:
        arguments = {"x-queue-type": "quorum", "x-expires": 30 * 86_400_000}
        broker.declare({"queues": [{"name": f"q{n}", "arguments": arguments} for n in range(QUEUES)]})
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            for _ in range(CHANNELS):
                connection.channel()
            return timed(lambda: broker.clock.advance(timedelta(weeks=1)))


def works() -> Iterator[tuple[str, Callable[[], Took], float]]:
    """Yield what is measured, with a function that does it, and the bound of its time, ms."""
    yield "7 daily retries of a pika consumer", lambda: retries(7, timedelta(days=1)), 50
    yield "168 hourly ones", lambda: retries(168, timedelta(hours=1)), 250
    for profile in ("3.13", "4.2", "4.3"):
        name = f"an idle week, {QUEUES} quorum queues with x-expires, {CHANNELS} channels, profile {profile}"
        yield name, partial(idle_week, profile), 5
    yield f"{DELAYED:,} delayed messages", delayed, 50


def main() -> None:
    """Print all lines."""
    for name, work, bound in works():
        took = [work() for _ in range(ROUNDS)]
        wall, cpu = median(one.wall for one in took), min(one.cpu for one in took)
        best = min(one.wall for one in took)
        print(f"{name}: best {best:.2f} ms, median {wall:.2f} ms, CPU {cpu:.2f} ms, bound {bound:g} ms")


if __name__ == "__main__":
    main()

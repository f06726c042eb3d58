"""What the test toolkit costs: imports, start and stop, views, reset, moves of the clock, history, beside its bounds.

Each line has the best and the median time of several rounds and the least CPU time of broker and client together: on a
busy machine compare that with the bound. Imports are CPU time beyond pytest and pika, in new processes that find
bytecode. Usage: python -m benchmarks.toolkit
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

import pika

from benchmarks import toolkit_clock
from benchmarks.toolkit_clock import Took, timed
from leveret.testing import Broker

QUEUES = 10_000

#: Publishes whose CPU time is measured in the broker's thread.
MESSAGES = 20_000

#: Seconds after a large reset in which the longest pause is looked for.
WATCHED_S = 1.0

#: New processes whose import is measured.
IMPORTS = 10

#: Rounds of a large reset, and of publishes with and without history.
RESETS = 3
HISTORIES = 5

#: Publishes messages one by one, and acknowledges a hundred at a time.
_CLIENT = """
import sys, pika
connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.queue_declare("q", durable=True)
count = int(sys.argv[2])
for _ in range(count):
    channel.basic_publish("", "q", b"x" * 16)
channel.basic_qos(prefetch_count=1000)
for number, (method, _, _) in enumerate(channel.consume("q"), 1):
    if number % 100 == 0:
        channel.basic_ack(method.delivery_tag, multiple=True)
    if number == count:
        break
connection.close()
"""

#: Prints the CPU time of an import and of what comes behind it, ms.
_IMPORT = """
import time
import pika, pytest
began = time.process_time()
from leveret.testing import {names}
{more}
print((time.process_time() - began) * 1000)
"""


def repeated(work: Callable[[], object], rounds: int) -> list[Took]:
    """Return what a call takes, so many times."""
    return [timed(work) for _ in range(rounds)]


def importing(names: str, more: str = "") -> list[float]:
    """Return the CPU times of importing names of the toolkit, and of `more` lines, ms."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _IMPORT.format(names=names, more=more)]
    return [
        float(subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout)
        for _ in range(IMPORTS + 1)
    ][1:]  # the first one may have compiled the sources


@contextmanager
def large() -> Iterator[Broker]:
    """A broker with `QUEUES` bound queues."""
    queues = [{"name": f"q{number}"} for number in range(QUEUES)]
    bindings = [
        {"source": "amq.topic", "destination": one["name"], "routing_key": one["name"]} for one in queues
    ]
    with Broker() as broker:
        broker.declare({"queues": queues, "bindings": bindings})
        yield broker


def resetting() -> tuple[Took, Took]:
    """Return what a reset of a large topology takes, and the longest time between two answers afterwards."""
    with large() as broker:
        took = timed(broker.reset)
        answer = broker._node.call
        end = time.perf_counter() + WATCHED_S
        longest = Took(0.0, 0.0)
        used = answer(time.thread_time)
        while (began := time.perf_counter()) < end:
            now = answer(time.thread_time)
            pause = Took((time.perf_counter() - began) * 1000, (now - used) * 1000)
            longest = Took(max(longest.wall, pause.wall), max(longest.cpu, pause.cpu))
            used = now
    return took, longest


def publishing(history: bool) -> float:
    """Return the CPU time of the broker's thread for a publish, its delivery and its part of an acknowledgement, us.

    The client is a process of its own: in this one, the two threads would wait for each other's interpreter.
    """
    with Broker(history=history) as broker:
        before = broker._node.call(time.thread_time)
        subprocess.run([sys.executable, "-c", _CLIENT, broker.url, str(MESSAGES)], check=True)
        spent: float = broker._node.call(time.thread_time) - before
    return spent / MESSAGES * 1e6


class Row(NamedTuple):
    """One line of the table. `wall`: times, empty for a line about CPU alone; `cpu`: CPU times; `bound`: what the best
    time is to stay below, None for no bound. All in `unit`."""

    name: str
    wall: list[float]
    cpu: list[float]
    bound: float | None
    unit: str = "ms"

    def __str__(self) -> str:
        """Return it as a line of a Markdown table."""
        best = min(self.wall or self.cpu)
        mark = " (over)" if self.bound is not None and best >= self.bound else ""
        cells = [f"{min(self.wall):.2f}", f"{median(self.wall):.2f}"] if self.wall else ["", ""]
        bound = f"{self.bound:g}{mark}" if self.bound is not None else ""
        return f"| {self.name}, {self.unit} | {' | '.join(cells)} | {min(self.cpu):.2f} | {bound} |"


def row(name: str, took: list[Took], bound: float) -> Row:
    """Return a line about the time of something."""
    return Row(name, [one.wall for one in took], [one.cpu for one in took], bound)


def imports() -> Iterator[Row]:
    """Measure what is imported."""
    yield Row("import `leveret.testing`", [], importing("__all__"), 2)
    yield Row("import of the pytest plugin", [], importing("plugin"), 5)
    yield Row("import and a first broker", [], importing("Broker", "Broker().start().stop()"), 80)
    http = "broker = Broker().start(); broker.http_url; broker.stop()"
    yield Row("the same and HTTP, which is imported when it is used", [], importing("Broker", http), None)


def lives() -> Iterator[Row]:
    """Measure starts and stops."""
    brokers: list[Broker] = []
    yield row("ready after import", repeated(lambda: brokers.append(Broker().start()), 20), 20)
    clients = [pika.BlockingConnection(pika.URLParameters(one.url)) for one in brokers]
    waiting = iter(brokers)
    yield row("stopped, with a client", repeated(lambda: next(waiting).stop(), len(clients)), 50)
    many: list[Broker] = []

    def twenty() -> None:
        many.extend(Broker().start() for _ in range(20))

    yield row("20 brokers at once", repeated(twenty, 3), 500)
    for one in many:
        one.stop()
    with Broker() as broker:
        yield row("a virtual host of one's own", repeated(broker.vhost, 50), 1)
    resets, pauses = zip(*(resetting() for _ in range(RESETS)), strict=True)
    yield row(f"reset with {QUEUES:,} bound queues", list(resets), 5)
    yield row("longest pause in the second after it", list(pauses), 20)


def moves() -> Iterator[Row]:
    """Measure moves of the clock."""
    for name, work, bound in toolkit_clock.works():
        yield row(name, [work() for _ in range(toolkit_clock.ROUNDS)], bound)


def histories() -> Iterator[Row]:
    """Measure what the history costs."""
    costs = [(publishing(False), publishing(True)) for _ in range(HISTORIES)]
    off, on = zip(*costs, strict=True)
    yield Row("publish, delivery and ack without history", [], list(off), None, "us")
    yield Row("what the history adds to that", [], [median(on) - median(off)], 10, "us")


def main() -> None:
    """Measure and print everything."""
    print("| | best | median | CPU | bound |\n|---|---:|---:|---:|---:|")
    for measured in (imports, lives, moves, histories):
        for each in measured():
            print(each, flush=True)


if __name__ == "__main__":
    main()

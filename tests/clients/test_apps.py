"""The applications in ``examples/`` as separate processes that share one broker."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.hang import HANG_SECONDS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(spawn: Callable[..., Any], broker_url: str) -> Callable[..., Any]:
    """Start an example against the broker under test."""

    def start(script: str, *arguments: str) -> Any:
        return spawn(sys.executable, str(EXAMPLES / script), *arguments, env={"AMQP_URL": broker_url})

    return start


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        yield connection.channel()


def interrupt(process: Any) -> None:
    """SIGINT: an example closes its connection and exits with 0."""
    assert process.stop(signal.SIGINT) == 0, process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("flags", [(), ("--direct",)], ids=["reply queue", "direct reply-to"])
def test_the_rpc_client_gets_answers_from_the_rpc_server(
    run: Callable[..., Any], name: str, flags: tuple[str, ...]
) -> None:
    server = run("rpc_server.py", "--queue", name)
    server.await_line("awaiting requests")
    client = run("rpc_client.py", "--queue", name, *flags, "0", "10", "50")
    assert client.wait() == 0, client.output
    assert client.lines == ["fibonacci(0) = 0", "fibonacci(10) = 55", "fibonacci(50) = 12586269025"]
    interrupt(server)


def test_the_work_queue_delivers_confirmed_tasks(
    run: Callable[..., Any], channel: BlockingChannel, deadline: Callable[..., Any], name: str
) -> None:
    publisher = run("work_publisher.py", "--queue", name, "one", "two", "three", "four")
    try:
        assert publisher.wait() == 0, publisher.output
        assert publisher.lines == [
            "confirmed 'one'",
            "confirmed 'two'",
            "confirmed 'three'",
            "confirmed 'four'",
        ]
        workers = [run("work_consumer.py", "--queue", name) for _ in range(2)]
        for worker in workers:
            worker.await_line("waiting for tasks")
        more = run("work_publisher.py", "--queue", name, *(f"task {number}." for number in range(8)))
        assert more.wait() == 0, more.output
        left = deadline()
        while len(done := [line for worker in workers for line in worker.lines if "done" in line]) < 12:
            channel.connection.process_data_events(time_limit=min(0.05, left()))
        for worker in workers:
            interrupt(worker)
        assert sorted(done) == sorted(
            [f"done {word!r}" for word in ("one", "two", "three", "four")]
            + [f"done 'task {number}.'" for number in range(8)]
        )
        assert channel.queue_declare(name, passive=True).method.message_count == 0
    finally:
        channel.queue_delete(name)


def test_tasks_of_a_stopped_worker_go_to_the_next(
    run: Callable[..., Any], channel: BlockingChannel, deadline: Callable[..., Any], name: str
) -> None:
    try:
        publisher = run("work_publisher.py", "--queue", name, "long" + "." * 600)
        assert publisher.wait() == 0, publisher.output
        worker = run("work_consumer.py", "--queue", name)
        left = deadline()
        while channel.queue_declare(name, passive=True).method.message_count:
            channel.connection.process_data_events(time_limit=min(0.05, left()))
        interrupt(worker)
        method, _, _ = next(channel.consume(name, inactivity_timeout=HANG_SECONDS))
        assert method is not None
        assert method.redelivered
        channel.cancel()
    finally:
        channel.queue_delete(name)


def test_the_topic_log_delivers_by_pattern(
    run: Callable[..., Any], channel: BlockingChannel, name: str
) -> None:
    try:
        kernel = run("log_receiver.py", "--exchange", name, "kern.*")
        critical = run("log_receiver.py", "--exchange", name, "*.critical", "last.#")
        for receiver in (kernel, critical):
            receiver.await_line("waiting for")
        lines = ("kern.info=boot", "cron.info=tick", "kern.critical=panic", "cron.critical=late", "last=end")
        emitter = run("log_emitter.py", "--exchange", name, *lines)
        assert emitter.wait() == 0, emitter.output
        critical.await_line("last: end")
        kernel.await_line("kern.critical: panic")
        for receiver in (kernel, critical):
            interrupt(receiver)
        assert kernel.lines[1:] == ["kern.info: boot", "kern.critical: panic"]
        assert critical.lines[1:] == ["kern.critical: panic", "cron.critical: late", "last: end"]
    finally:
        channel.exchange_delete(name)

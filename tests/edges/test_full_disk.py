"""A disk that is full while a client publishes: the client is notified and waits, and nothing confirmed is lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import amqp
import pytest

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Server, Store
from tests.hang import HANG_SECONDS
from tests.stores.faults import FailingFiles

BODIES = [b"%d" % number for number in range(20)]


def settings(place: Path, free: str = "0MB") -> Settings:
    return Settings(
        server=Server(host=("127.0.0.1",), port=0, http_port=-1, prometheus_port=-1, node="rabbit@test"),
        store=Store(engine="disk", data_dir=str(place), disk_free_limit=free),
    )


def port_of(node: Node) -> int:
    return int(node.servers[0].sockets[0].getsockname()[1])


@asynccontextmanager
async def serving(place: Path, files: FailingFiles) -> AsyncIterator[int]:
    """The port of a node on a disk that can be made to fail."""
    node = Node(settings(place))
    store = node.durability.store
    assert store is not None
    store.files = store.segments.files = files
    await node.start()
    try:
        yield port_of(node)
    finally:
        await node.stop()


def publish_through(port: int, files: FailingFiles) -> list[str]:
    """Publish with confirms; half-way the disk is full until the client is notified. Returns what it received, in
    order.

    As in RabbitMQ, a connection is notified when it publishes during the alarm.
    """
    said: list[str] = []

    def blocked(reason: str) -> None:
        said.append("blocked")  # this client does not pass on the reason
        files.broken = 0

    with amqp.Connection(
        f"127.0.0.1:{port}", on_blocked=blocked, on_unblocked=lambda: said.append("unblocked")
    ) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, auto_delete=False)
        channel.confirm_select()
        channel.events["basic_ack"].add(lambda tag, multiple: said.append(f"confirmed {tag}"))
        for number, body in enumerate(BODIES, 1):
            if number == 11:
                while "confirmed 10" not in said:
                    connection.drain_events(timeout=HANG_SECONDS)
                files.broken = errno.ENOSPC
            channel.basic_publish(amqp.Message(body, delivery_mode=2), routing_key="q")
        while "blocked" not in said:
            channel.basic_publish(amqp.Message(b"?"), routing_key="nowhere")
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.01)
        while "unblocked" not in said or newest(said) < len(BODIES):
            connection.drain_events(timeout=HANG_SECONDS)
    return said


def newest(said: list[str]) -> int:
    """Return the newest publish that was confirmed."""
    return max(int(line.split()[1]) for line in said if line.startswith("confirmed"))


def bodies(port: int) -> list[bytes]:
    """Return all messages of the queue."""
    found = []
    with amqp.Connection(f"127.0.0.1:{port}") as connection:
        channel = connection.channel()
        while (message := channel.basic_get("q", no_ack=False)) is not None:
            found.append(message.body if isinstance(message.body, bytes) else message.body.encode())
    return found


async def test_publishers_are_blocked_while_the_disk_is_full(tmp_path: Path) -> None:
    files = FailingFiles()
    async with serving(tmp_path, files) as port:
        said = await asyncio.to_thread(publish_through, port, files)
    given = said.index("blocked")
    assert said[given - 1] == "confirmed 10"
    assert said.count("unblocked") == 1
    assert said.index("unblocked") > given
    async with serving(tmp_path, files) as port:
        assert await asyncio.to_thread(bodies, port) == BODIES


async def test_too_little_free_space_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(settings(tmp_path, "1000TB"))
    with caplog.at_level("INFO", logger="leveret"):
        await node.start()
        node.monitor.disk_limit = 0
        node.monitor.check()
    await node.stop()
    lines = [record.getMessage().splitlines()[0] for record in caplog.records if "is" in record.getMessage()]
    insufficient, sufficient = (line for line in lines if line.startswith("Free disk space is"))
    assert insufficient.startswith("Free disk space is insufficient. Free bytes: ")
    assert insufficient.endswith(f". Limit: {1000 * 10**12}")
    assert sufficient.startswith("Free disk space is sufficient. Free bytes: ")
    assert [line for line in lines if "limit alarm" in line] == [
        "disk resource limit alarm set on node rabbit@test.",
        "disk resource limit alarm cleared on node rabbit@test",
        "disk resource limit alarm cleared across the cluster",
    ]

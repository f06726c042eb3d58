"""A node whose disk of a few megabytes fills up: a file system of its own (tmpfs), and real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from tests.cluster.processes import LocalCluster, Server, wait_until
from tests.hang import HANG_SECONDS

pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # pika, when it is reset

#: Size of the disk, and of each message: about a hundred of them fill it.
DISK = "8m"
BODY = bytes(64 * 1024)

#: Messages that are confirmed after the virtual host has moved.
MORE = 20


def namespace() -> list[str]:
    """The command that runs another one where it may mount. Skips the test if there is none."""
    for flags in (["--mount"], ["--map-root-user", "--mount"]):
        found = shutil.which("unshare")
        mounting = f"mount -t tmpfs -o size={DISK} tmpfs /mnt"
        if (
            found
            and not subprocess.run([found, *flags, "sh", "-c", mounting], capture_output=True).returncode
        ):
            return [found, *flags]
    pytest.skip(
        "A FULL DISK IS NOT TESTED: it needs root or user namespaces, to mount a tmpfs (unshare --mount)"
    )


@pytest.fixture
def cluster(nats_server: str, tmp_path: Path) -> Iterator[LocalCluster]:
    """Two nodes; the first one has the small disk, which nobody else sees and which is gone with its process."""
    inside = namespace()
    with LocalCluster(tmp_path, nodes=2, STORE_DISK_FREE_LIMIT="0") as made:
        node = made.nodes[0]
        directory = node.environment["LEVERET_STORE_DATA_DIR"]
        Path(directory).mkdir()
        mounting = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && exec "$@"'
        node.command = [*inside, "sh", "-c", mounting, directory, *node.command]
        made.start()
        yield made


class Publisher:
    """Publishes numbered messages with confirms, at whatever node accepts it. `confirmed`: their numbers."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.confirmed: set[int] = set()
        self.next = 0

    def connected(self) -> tuple[BlockingConnection, BlockingChannel]:
        """Connect, and declare the queue."""
        nodes = [
            pika.ConnectionParameters("127.0.0.1", port, socket_timeout=HANG_SECONDS) for port in self.ports
        ]
        connection = pika.BlockingConnection(nodes)
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        return connection, channel

    def publish_until_closed(self, count: int | None = None) -> str:
        """Publish until the connection is closed, or so many messages; returns why it was closed."""
        connection, channel = self.connected()
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=2)
        left = count
        try:
            while left is None or left:
                self.next += 1
                channel.basic_publish("", "q", b"%08d" % self.next + BODY, persistent)
                self.confirmed.add(self.next)
                left = None if left is None else left - 1
        except pika.exceptions.AMQPError as error:
            return str(error)
        connection.close()
        return ""

    def consume(self) -> list[int]:
        """Take all messages; returns their numbers."""
        connection, channel = self.connected()
        found = []
        while (got := channel.basic_get("q"))[2] is not None:
            found.append(int(got[2][:8]))
            channel.basic_ack(got[0].delivery_tag)
        connection.close()
        return found


def move(node: Server, target: str) -> None:
    """Move the default virtual host."""
    command = [sys.executable, "-m", "leveret", "cluster", "move", "/", target]
    subprocess.run(command, env=node.environment, check=True, capture_output=True)


def metric(cluster: LocalCluster, number: int, name: str) -> float:
    """Return a metric of a node."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{cluster.metrics_ports[number]}/metrics", timeout=60
    ) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def test_a_node_whose_disk_fills_up_gives_its_virtual_host_away_and_nothing_is_lost(
    cluster: LocalCluster,
) -> None:
    small = cluster.nodes[0]
    if cluster.owner() != 0:
        move(small, "node1@localhost")
    publisher = Publisher(cluster.ports)
    reason = publisher.publish_until_closed()
    assert "virtual host '/' is moved to another node: the disk of this one is full" in reason
    wait_until(lambda: cluster.owner() == 1, cluster.logs)
    assert "the disk of this node is full" in small.log()
    assert metric(cluster, 0, "leveret_cluster_disk_full") == 1
    assert publisher.publish_until_closed(MORE) == ""
    assert cluster.owner() == 1 and small.running
    found = publisher.consume()
    assert publisher.confirmed <= set(found)
    wait_until(lambda: "the disk of this node has room again" in small.log(), cluster.logs)
    assert metric(cluster, 0, "leveret_cluster_disk_full") == 0
    move(small, "node1@localhost")
    assert cluster.owner() == 0
    assert publisher.publish_until_closed(MORE) == ""
    assert len(publisher.consume()) == MORE

"""Three nodes on three NATS servers, all of them processes: what clients see when one of them ends."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError

from tests.cluster.processes import LocalCluster, accepts, nats_server, wait_until
from tests.hang import HANG_SECONDS

pytestmark = [
    pytest.mark.skipif(nats_server() is None, reason="needs make build/nats/nats-server"),
    # pika does not close the sockets of connections that it has lost
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes. Each test starts again what it has ended."""
    with LocalCluster(tmp_path_factory.mktemp("cluster")) as made:
        made.start()
        yield made


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left of lost connections is collected with the test that has lost them."""
    yield
    gc.collect()


def connect(port: int) -> pika.BlockingConnection:
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", port, blocked_connection_timeout=HANG_SECONDS)
    )


def anywhere(cluster: LocalCluster) -> pika.BlockingConnection:
    """A connection as soon as one of the running nodes accepts it."""
    found: list[pika.BlockingConnection] = []

    def tried() -> bool:
        for node, port in zip(cluster.nodes, cluster.ports, strict=True):
            if node.running and not found:
                with contextlib.suppress(AMQPError, OSError):
                    found.append(connect(port))
        return bool(found)

    wait_until(tried, lambda: "no node accepts clients:\n" + cluster.logs())
    return found[0]


def declare(connection: pika.BlockingConnection, name: str, kind: str = "classic") -> Any:
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
    channel.confirm_delivery()
    return channel


def publish(channel: Any, queue: str, bodies: list[bytes]) -> None:
    """Publish, each confirmed."""
    for body in bodies:
        channel.basic_publish("", queue, body, PERSISTENT, mandatory=True)


def drain(channel: Any, queue: str) -> list[tuple[bytes, bool]]:
    """All messages: body, redelivered."""
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append((body, method.redelivered))


def restore(cluster: LocalCluster) -> None:
    """Start again what does not run."""
    cluster.start()


def a_node(cluster: LocalCluster, *, owner: bool) -> int:
    """The number of the owner, or of a node that is not; it accepts clients."""
    found: list[int] = []

    def there() -> bool:
        here = cluster.owner()
        found[:] = [
            number
            for number, node in enumerate(cluster.nodes)
            if node.running and (number == here) == owner and accepts(cluster.ports[number])
        ]
        return bool(found)

    wait_until(there, cluster.logs)
    return found[0]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("owner", [True, False])
def test_what_was_confirmed_survives_the_death_of_the_owner(
    cluster: LocalCluster, kind: str, owner: bool
) -> None:
    name = f"{kind} {owner}"
    connection = connect(cluster.ports[a_node(cluster, owner=owner)])
    channel = declare(connection, name, kind)
    bodies = [b"%d" % number for number in range(200)]
    publish(channel, name, bodies)
    cluster.nodes[a_node(cluster, owner=True)].kill()
    with pytest.raises((AMQPError, OSError)):
        connection.process_data_events(time_limit=HANG_SECONDS)
        channel.queue_declare(name, passive=True)
    connection = anywhere(cluster)
    assert drain(connection.channel(), name) == [(body, True) for body in bodies]
    connection.close()
    restore(cluster)


def test_after_sigterm_only_what_was_delivered_is_redelivered(cluster: LocalCluster) -> None:
    connection = connect(cluster.ports[a_node(cluster, owner=True)])
    channel = declare(connection, "left in peace")
    publish(channel, "left in peace", [b"a", b"b", b"c"])
    channel.basic_get("left in peace")
    assert cluster.nodes[a_node(cluster, owner=True)].stop() == 0
    connection = anywhere(cluster)
    found = drain(connection.channel(), "left in peace")
    assert found == [(b"a", True), (b"b", False), (b"c", False)]
    connection.close()
    restore(cluster)


def test_messages_that_a_killed_owner_may_have_delivered_stay_redelivered(cluster: LocalCluster) -> None:
    """Also if the next owner, which cannot know them, leaves in peace."""
    connection = connect(cluster.ports[a_node(cluster, owner=True)])
    publish(declare(connection, "twice"), "twice", [b"a", b"b"])
    cluster.nodes[a_node(cluster, owner=True)].kill()
    channel = anywhere(cluster).channel()
    assert channel.basic_get("twice")[2] == b"a"
    assert cluster.nodes[a_node(cluster, owner=True)].stop() == 0
    connection = anywhere(cluster)
    assert drain(connection.channel(), "twice") == [(b"a", True), (b"b", True)]
    connection.close()
    restore(cluster)


def test_a_frozen_owner_is_replaced_and_resets_its_clients_when_it_wakes(cluster: LocalCluster) -> None:
    frozen = a_node(cluster, owner=True)
    connection = connect(cluster.ports[frozen])
    channel = declare(connection, "frozen")
    publish(channel, "frozen", [b"a"])
    cluster.nodes[frozen].send(signal.SIGSTOP)
    wait_until(
        lambda: cluster.owner() not in (None, frozen), lambda: "nobody has taken over:\n" + cluster.logs()
    )
    other = connect(cluster.ports[a_node(cluster, owner=True)])
    publish(declare(other, "frozen"), "frozen", [b"b"])
    cluster.nodes[frozen].send(signal.SIGCONT)
    with pytest.raises((AMQPError, OSError)):
        connection.process_data_events(time_limit=HANG_SECONDS)
        channel.queue_declare("frozen", passive=True)
    assert [body for body, _ in drain(other.channel(), "frozen")] == [b"a", b"b"]
    other.close()

    def joined_again() -> bool:
        _, again, log = cluster.nodes[frozen].log().partition("starts again")
        return bool(again) and "has joined" in log

    wait_until(joined_again, cluster.logs)
    restore(cluster)


def test_a_frozen_owner_that_gets_sigterm_stops_when_it_wakes(cluster: LocalCluster) -> None:
    frozen = a_node(cluster, owner=True)
    node = cluster.nodes[frozen]
    node.send(signal.SIGSTOP)
    wait_until(
        lambda: cluster.owner() not in (None, frozen), lambda: "nobody has taken over:\n" + cluster.logs()
    )
    node.send(signal.SIGTERM)
    node.send(signal.SIGCONT)
    wait_until(lambda: not node.running, cluster.logs)
    assert node.process is not None
    assert node.process.returncode == 0
    restore(cluster)


@pytest.mark.parametrize("number", range(3))
def test_what_was_confirmed_survives_the_end_of_a_nats_server(cluster: LocalCluster, number: int) -> None:
    """Nobody notices while the lease is longer than NATS needs to elect; here it is shorter."""
    name = f"nats {number}"
    channel = declare(connect(cluster.ports[a_node(cluster, owner=False)]), name)
    publish(channel, name, [b"a"])
    cluster.servers[number].kill()
    with contextlib.suppress(AMQPError, OSError):
        publish(channel, name, [b"b"])
    channel = declare(anywhere(cluster), name)
    publish(channel, name, [b"c"])
    bodies = [body for body, _ in drain(channel, name)]
    assert bodies in ([b"a", b"b", b"c"], [b"a", b"c"])
    channel.connection.close()
    restore(cluster)


def test_users_and_topology_survive_and_every_node_answers_over_http(cluster: LocalCluster) -> None:
    def call(number: int, method: str, path: str, content: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{cluster.http_ports[number]}/api/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": "Basic " + b64encode(b"guest:guest").decode()},
        )
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            data = answer.read()
        return json.loads(data) if data else None

    entry = a_node(cluster, owner=False)
    call(entry, "PUT", "vhosts/kept")
    call(entry, "PUT", "users/somebody", {"password": "secret", "tags": "monitoring"})
    call(entry, "PUT", "permissions/kept/somebody", {"configure": ".*", "write": ".*", "read": ".*"})
    call(entry, "PUT", "policies/kept/short", {"pattern": ".*", "definition": {"max-length": 5}})
    cluster.nodes[a_node(cluster, owner=True)].kill()
    anywhere(cluster).close()
    entry = a_node(cluster, owner=False)
    assert call(entry, "GET", "users/somebody")["tags"] == ["monitoring"]
    assert call(entry, "GET", "policies/kept/short")["definition"] == {"max-length": 5}
    parameters = pika.ConnectionParameters(
        "127.0.0.1",
        cluster.ports[entry],
        "kept",
        pika.PlainCredentials("somebody", "secret"),
    )
    pika.BlockingConnection(parameters).close()
    restore(cluster)


def test_a_stream_survives(cluster: LocalCluster) -> None:
    connection = connect(cluster.ports[a_node(cluster, owner=True)])
    channel = declare(connection, "stream", "stream")
    publish(channel, "stream", [b"%d" % number for number in range(50)])
    cluster.nodes[a_node(cluster, owner=True)].kill()
    connection = anywhere(cluster)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)
    found = []
    for method, _, body in channel.consume("stream", arguments={"x-stream-offset": "first"}):
        channel.basic_ack(method.delivery_tag)
        found.append(body)
        if len(found) == 50:
            break
    assert found == [b"%d" % number for number in range(50)]
    connection.close()
    restore(cluster)


def metric(cluster: LocalCluster, number: int, name: str) -> float:
    """A metric of a node for the default virtual host; -1 if it does not answer."""
    with contextlib.suppress(OSError):
        url = f"http://127.0.0.1:{cluster.metrics_ports[number]}/metrics"
        with urllib.request.urlopen(url, timeout=HANG_SECONDS) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f'leveret_cluster_{name}{{vhost="/"}} '):
                    return float(line.split()[1])
    return -1.0


def is_noted(cluster: LocalCluster, number: int) -> bool:
    """Whether a node has noted that the log has everything that it has."""
    folder = cluster.directory / cluster.nodes[number].name / "vhosts" / cluster.log_of("/")
    try:
        found = json.loads((folder / "cache.json").read_text())
    except FileNotFoundError:
        return False
    return bool(found["last"] == metric(cluster, number, "log_sequence"))


@pytest.mark.parametrize("killed", [True, False])
def test_a_former_owner_that_starts_again_reads_only_what_is_newer(
    cluster: LocalCluster, killed: bool
) -> None:
    former, name = a_node(cluster, owner=True), f"former {killed}"
    node = cluster.nodes[former]
    bodies = [b"%04d" % number * 250 for number in range(300)]
    connection = connect(cluster.ports[former])
    publish(declare(connection, name), name, bodies)
    if killed:
        wait_until(lambda: is_noted(cluster, former), cluster.logs)
        node.kill()
    else:
        assert node.stop() == 0
    publish(declare(anywhere(cluster), name), name, [b"newer"])
    before = len(node.log())
    node.start()
    wait_until(lambda: "has followed the log" in node.log()[before:], cluster.logs)
    assert "what is kept of the log is used" in node.log()[before:]
    wait_until(lambda: metric(cluster, former, "log_read_bytes_total") >= 0, cluster.logs)
    assert metric(cluster, former, "log_read_bytes_total") < 100_000
    other = next(number for number in range(3) if number not in (former, cluster.owner()))
    assert cluster.nodes[other].stop() == 0  # so that the former owner takes over
    assert cluster.nodes[a_node(cluster, owner=True)].stop() == 0
    connection = connect(cluster.ports[a_node(cluster, owner=True)])
    assert cluster.owner() == former
    found = drain(connection.channel(), name)
    assert found == [*((body, killed) for body in bodies), (b"newer", False)]
    connection.close()
    restore(cluster)


def test_a_second_node_of_the_same_name_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    from tests.cluster.processes import Server
    from tests.ports import free_ports

    port, peer = free_ports(2)
    double = cluster.nodes[0]
    environment = {
        **double.environment,
        "LEVERET_SERVER_PORT": str(port),
        "LEVERET_SERVER_HTTP_PORT": "-1",
        "LEVERET_SERVER_PROMETHEUS_PORT": "-1",
        "LEVERET_CLUSTER_PEER_PORT": str(peer),
        "LEVERET_STORE_DATA_DIR": str(tmp_path / "double"),
    }
    second = Server("double", double.command, tmp_path, environment)
    second.start()
    assert second.process is not None
    assert second.process.wait(HANG_SECONDS) == 1
    assert "is running already" in second.log()


def test_a_node_that_starts_again_goes_on_where_it_had_followed_the_log(cluster: LocalCluster) -> None:
    connection = connect(cluster.ports[a_node(cluster, owner=True)])
    publish(declare(connection, "followed"), "followed", [b"a"])
    standby = a_node(cluster, owner=False)
    node = cluster.nodes[standby]
    wait_until(lambda: "has followed the log" in node.log(), cluster.logs)
    assert node.stop() == 0
    before = len(node.log())
    node.start()
    wait_until(lambda: "what is kept of the log is used" in node.log()[before:], cluster.logs)
    publish(connection.channel(), "followed", [b"b"])
    wait_until(lambda: accepts(cluster.ports[standby]), cluster.logs)
    other = next(number for number in range(3) if number not in (standby, cluster.owner()))
    assert cluster.nodes[other].stop() == 0  # so that the other one takes over
    cluster.nodes[a_node(cluster, owner=True)].kill()
    found = drain(anywhere(cluster).channel(), "followed")  # only the standby runs
    assert found == [(b"a", True), (b"b", True)]
    assert cluster.owner() == standby
    restore(cluster)

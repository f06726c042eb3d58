"""Every node answers commands and scrapes, whatever virtual hosts it serves."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import urllib.error
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

TOOLS = {
    "rabbitmqctl": "ctl",
    "rabbitmq-diagnostics": "diagnostics",
    "rabbitmq-queues": "queues",
    "rabbitmq-upgrade": "upgrade",
}

NAMES = [f"node{number}@localhost" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes, of which each is known to all others."""
    with LocalCluster(tmp_path_factory.mktemp("standby")) as made:
        made.start()
        for number in range(3):
            assert run(made, number, "rabbitmqctl", "await_online_nodes", "3").returncode == 0
        yield made


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left of lost connections is collected with the test that has lost them."""
    yield
    gc.collect()


def run(cluster: LocalCluster, number: int, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of RabbitMQ on a node."""
    return subprocess.run(
        [sys.executable, "-m", "leveret", TOOLS[tool], "-n", NAMES[number], *words],
        env={**os.environ, "LEVERET_RUN_DIR": str(cluster.directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def shown(cluster: LocalCluster, number: int, tool: str, *words: str) -> str:
    """What a command prints that succeeds."""
    done = run(cluster, number, tool, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(port: int, path: str) -> str:
    """Get a document over HTTP."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{path}",
        headers={"Authorization": "Basic " + b64encode(b"guest:guest").decode()},
    )
    with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
        return str(answer.read().decode())


def owner_of(cluster: LocalCluster) -> int:
    found: list[int] = []

    def there() -> bool:
        found[:] = [number for number in (cluster.owner(),) if number is not None]
        return bool(found)

    wait_until(there, cluster.logs)
    return found[0]


def section(text: str, title: str) -> list[str]:
    """The lines below a title of cluster_status."""
    _, _, rest = text.partition(f"\n{title}\n\n")
    return rest.partition("\n\n")[0].splitlines()


def figures_known(cluster: LocalCluster) -> dict[str, Any]:
    """cluster_status as JSON, once all nodes have reported that they listen."""
    found: dict[str, Any] = {}

    def known() -> bool:
        found.update(json.loads(shown(cluster, 0, "rabbitmqctl", "cluster_status", "--formatter", "json")))
        listeners = found["listeners"]
        return len(listeners) == 3 and all(
            port in {one["port"] for one in listeners[name]}
            for name, port in zip(NAMES, cluster.ports, strict=True)
        )

    wait_until(known, cluster.logs)
    return found


def test_cluster_status_shows_all_nodes_on_every_node(cluster: LocalCluster) -> None:
    found = figures_known(cluster)
    assert found["disk_nodes"] == found["running_nodes"] == NAMES
    for number in range(3):
        text = shown(cluster, number, "rabbitmqctl", "cluster_status")
        assert section(text, "Disk Nodes") == section(text, "Running Nodes") == NAMES
        assert [line.partition(":")[0] for line in section(text, "Versions")] == NAMES
        assert section(text, "Maintenance status") == [
            f"Node: {name}, status: not under maintenance" for name in NAMES
        ]


def test_commands_about_virtual_hosts_are_the_same_everywhere(cluster: LocalCluster) -> None:
    owner = owner_of(cluster)
    for number in range(3):
        shown(cluster, number, "rabbitmqctl", "add_vhost", f"of {number}")
    for number in range(3):
        found = shown(cluster, number, "rabbitmqctl", "-q", "list_vhosts").split("\n")
        assert {"of 0", "of 1", "of 2"} <= set(found)
    other = (owner + 1) % 3
    failed = run(cluster, other, "rabbitmqctl", "delete_vhost", "not there")
    same = run(cluster, owner, "rabbitmqctl", "delete_vhost", "not there")
    assert (failed.returncode, failed.stderr) == (
        same.returncode,
        same.stderr.replace(NAMES[owner], NAMES[other]),
    )


def test_a_virtual_host_is_moved_by_name(cluster: LocalCluster) -> None:
    owner = owner_of(cluster)
    target = (owner + 1) % 3
    moved = leveret(cluster, (owner + 2) % 3, "cluster", "move", "/", NAMES[target])
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == f"Virtual host '/' was moved from node {NAMES[owner]} to node {NAMES[target]}\n"
    for number in range(3):
        found = leveret(cluster, number, "cluster", "status", "--json")
        assert found.returncode == 0, found.stderr

    def known() -> bool:
        shown = [json.loads(leveret(cluster, at, "cluster", "status", "--json").stdout) for at in range(3)]
        return all(
            {"name": "/", "node": NAMES[target], "state": "running", "reason": ""} in one["vhosts"]
            for one in shown
        )

    wait_until(known, cluster.logs)
    refused = leveret(cluster, owner, "cluster", "move", "/", "nowhere@localhost")
    assert refused.returncode == 65 and "there is no node nowhere@localhost in the cluster" in refused.stderr


def leveret(cluster: LocalCluster, number: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Leveret on a node."""
    return subprocess.run(
        [sys.executable, "-m", "leveret", *words, "--node", NAMES[number]],
        env={**os.environ, "LEVERET_RUN_DIR": str(cluster.directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_about_the_node_are_its_own(cluster: LocalCluster) -> None:
    for number, node in enumerate(cluster.nodes):
        assert node.process is not None
        assert f"OS PID: {node.process.pid}" in shown(cluster, number, "rabbitmqctl", "status")
        assert "Ping succeeded" in shown(cluster, number, "rabbitmq-diagnostics", "ping")
        shown(cluster, number, "rabbitmq-diagnostics", "check_port_listener", str(cluster.ports[number]))
        text = shown(cluster, number, "rabbitmq-queues", "check_if_node_is_quorum_critical")
        assert f"Node {NAMES[number]} reported no queues/streams with minimum quorum" in text


def test_every_node_shows_all_nodes_over_http(cluster: LocalCluster) -> None:
    figures_known(cluster)
    for port in cluster.http_ports:
        nodes = json.loads(ask(port, "api/nodes"))
        assert sorted(one["name"] for one in nodes) == NAMES
        assert all(one["running"] and one["mem_used"] > 0 and one["os_pid"] for one in nodes)
        pids = {one["name"]: int(one["os_pid"]) for one in nodes}
        assert pids == {
            name: node.process.pid for name, node in zip(NAMES, cluster.nodes, strict=True) if node.process
        }
        for check in ("node-is-quorum-critical", "ready-to-serve-clients"):
            assert json.loads(ask(port, f"api/health/checks/{check}"))["status"] == "ok"


def test_every_node_answers_scrapes(cluster: LocalCluster) -> None:
    owner = owner_of(cluster)
    for number, port in enumerate(cluster.metrics_ports):
        text = ask(port, "metrics")
        assert f'\nleveret_cluster_owned{{vhost="/"}} {int(number == owner)}' in text
        assert "\nleveret_cluster_nodes 3" in text
        assert "\nrabbitmq_process_resident_memory_bytes " in text
        assert f'rabbitmq_node="{NAMES[number]}"' in text


def test_a_node_that_has_ended_is_shown_and_can_be_forgotten(cluster: LocalCluster) -> None:
    owner = owner_of(cluster)
    ended, other = (owner + 1) % 3, (owner + 2) % 3
    refused = run(cluster, other, "rabbitmqctl", "forget_cluster_node", NAMES[ended])
    assert refused.returncode and "must be stopped with" in refused.stderr
    assert cluster.nodes[ended].stop() == 0
    left = [name for name in NAMES if name != NAMES[ended]]

    def known() -> bool:
        text = shown(cluster, other, "rabbitmqctl", "cluster_status")
        assert section(text, "Disk Nodes") == NAMES
        return section(text, "Running Nodes") == left

    wait_until(known, cluster.logs)
    nodes = {one["name"]: one["running"] for one in json.loads(ask(cluster.http_ports[other], "api/nodes"))}
    assert nodes == {name: name != NAMES[ended] for name in NAMES}
    shown(cluster, other, "rabbitmqctl", "forget_cluster_node", NAMES[ended])

    def forgotten() -> bool:
        return NAMES[ended] not in shown(cluster, other, "rabbitmqctl", "cluster_status")

    wait_until(forgotten, cluster.logs)
    cluster.start()
    shown(cluster, other, "rabbitmqctl", "await_online_nodes", "3")


def test_a_node_that_passes_clients_on_is_drained_and_revived(cluster: LocalCluster) -> None:
    standby = (owner_of(cluster) + 1) % 3
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.ports[standby]))
    shown(cluster, standby, "rabbitmq-upgrade", "drain")
    with pytest.raises((AMQPError, OSError)):
        connection.process_data_events(time_limit=HANG_SECONDS)
        connection.channel()
    wait_until(lambda: not accepts(cluster.ports[standby]), cluster.logs)
    known = f"Node: {NAMES[standby]}, status: marked for maintenance"
    wait_until(lambda: known in shown(cluster, standby, "rabbitmqctl", "cluster_status"), cluster.logs)
    shown(cluster, standby, "rabbitmq-upgrade", "revive")
    wait_until(lambda: accepts(cluster.ports[standby]), cluster.logs)
    wait_until(lambda: known not in shown(cluster, standby, "rabbitmqctl", "cluster_status"), cluster.logs)


def test_an_owner_that_is_drained_is_replaced(cluster: LocalCluster) -> None:
    drained = owner_of(cluster)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.ports[drained]))
    channel = connection.channel()
    channel.queue_declare("kept", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"a", pika.BasicProperties(delivery_mode=2))
    shown(cluster, drained, "rabbitmq-upgrade", "drain")
    wait_until(lambda: cluster.owner() not in (None, drained), cluster.logs)
    owner = owner_of(cluster)
    channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.ports[owner])).channel()
    method, _, body = channel.basic_get("kept", auto_ack=True)
    assert (body, method.redelivered) == (b"a", False)
    assert not accepts(cluster.ports[drained])

    def revived() -> bool:
        return run(cluster, drained, "rabbitmq-upgrade", "revive").returncode == 0

    wait_until(revived, cluster.logs)
    wait_until(lambda: accepts(cluster.ports[drained]), cluster.logs)


def test_the_last_node_is_critical(cluster: LocalCluster, tmp_path: Path) -> None:
    owner = owner_of(cluster)
    shown(cluster, owner, "rabbitmqctl", "await_online_nodes", "3")
    for number in range(3):
        if number != owner:
            assert cluster.nodes[number].stop() == 0
    text = f"queue 'kept' in vhost '/' will become unavailable if node {NAMES[owner]} stops"

    def critical() -> bool:  # once the owner knows that the others have left
        failed = run(cluster, owner, "rabbitmq-queues", "check_if_node_is_quorum_critical")
        return failed.returncode == 69 and text in failed.stderr + failed.stdout

    wait_until(critical, cluster.logs)
    with pytest.raises(urllib.error.HTTPError) as raised:
        ask(cluster.http_ports[owner], "api/health/checks/node-is-quorum-critical")
    found = json.loads(raised.value.read())
    raised.value.close()
    assert (raised.value.code, found["status"]) == (503, "failed")
    assert [queue["name"] for queue in found["queues"]] == ["kept"]
    timed_out = run(cluster, owner, "rabbitmqctl", "await_online_nodes", "2", "--timeout", "1")
    assert timed_out.returncode == 70
    cluster.start()

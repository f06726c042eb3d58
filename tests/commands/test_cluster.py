"""Commands on any node of a cluster in which each virtual host is on some node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from conformance.commands.players import Played
from leveret.config import Settings
from leveret.control import passing
from leveret.control.serving import COMMANDS
from leveret.rendering import transport
from leveret.rendering.terms import Atom, Pid, Quoted
from leveret.server.node import Node
from leveret.settings import Server
from tests.clusters import Nodes
from tests.commands.conftest import Play

A, B = "rabbit@a", "rabbit@b"

On = Callable[..., Awaitable[Played]]


@pytest.fixture
async def nodes(run_dir: Path) -> AsyncIterator[Nodes]:
    """Node `rabbit@a` has the virtual host `/`, node `rabbit@b` has `v`."""
    nodes = Nodes()
    for name in (A, B):
        ports: dict[str, Any] = {"host": ("127.0.0.1",), "port": 0, "http_port": -1, "prometheus_port": -1}
        node = Node(Settings(server=Server(node=name, **ports)))
        nodes.add(node)
        await node.start()
    a, b = nodes.running.values()
    b.broker.add_vhost("v", "second")
    b.broker.delete_vhost("/")
    nodes.move("v", None, to=b)
    nodes.move("/", None, to=a)
    for vhost in ("/", "v"):
        nodes.share_access("guest", vhost)
    yield nodes
    for node in nodes.running.values():
        await node.stop()


@pytest.fixture
def on(play: Play) -> On:
    """Play a command of rabbitmqctl on a node: `await on("rabbit@a", "list_queues")`."""

    async def on(node: str, *words: str) -> Played:
        return await play("rabbitmqctl", "-n", node, "-q", *words)

    return on


async def shown(on: On, node: str, *words: str) -> Any:
    """What a command shows as JSON."""
    played = await on(node, *words, "--formatter", "json")
    assert played.code == 0, played
    return json.loads(played.stdout)


def port(node: Node) -> int:
    return next(one.port for one in node.listeners() if one.protocol == "amqp")


def connect(node: Node, vhost: str) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials("guest", "guest")
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port(node), vhost, credentials))


def ended(connection: pika.BlockingConnection) -> None:
    """Let a client see that its connection was closed."""
    with pytest.raises(pika.exceptions.AMQPError):
        while True:
            connection.process_data_events(time_limit=1)


async def test_a_command_about_a_virtual_host_elsewhere_is_carried_out_by_its_owner(
    nodes: Nodes, on: On
) -> None:
    there = nodes.running[B].broker.vhosts["v"]
    assert (await on(A, "set_policy", "-p", "v", "p", "^q", '{"max-length": 3}')).code == 0
    policies = [("v", "p", "^q")]
    assert [
        (one["vhost"], one["name"], one["pattern"]) for one in await shown(on, A, "list_policies", "-p", "v")
    ] == (policies)
    assert (await on(A, "trace_on", "-p", "v")).code == 0
    assert there.tracing
    assert (await on(A, "set_vhost_tags", "v", "one", "two")).code == 0
    assert there.tags == ("one", "two")
    assert (await on(A, "update_vhost_metadata", "v", "--description", "third")).code == 0
    assert there.description == "third"


async def test_a_list_of_one_virtual_host_comes_from_its_owner(nodes: Nodes, on: On) -> None:
    connection = await asyncio.to_thread(connect, nodes.running[B], "v")
    await asyncio.to_thread(lambda: connection.channel().queue_declare("there", durable=True))
    for node in (A, B):
        assert await shown(on, node, "list_queues", "-p", "v", "name") == [{"name": "there"}]
        assert await shown(on, node, "list_queues", "name") == []
        assert (
            await on(node, "list_queues", "-p", "v", "name", "messages")
        ).stdout == "name\tmessages\nthere\t0\n"
    refused = await on(A, "delete_queue", "-p", "v", "none")
    assert (refused.code, "No such queue was found" in refused.stderr) == (64, True)
    assert (await on(A, "purge_queue", "-p", "v", "there")).code == 0
    await asyncio.to_thread(connection.close)


async def test_lists_of_connections_and_channels_are_of_all_nodes(nodes: Nodes, on: On) -> None:
    connections = [await asyncio.to_thread(connect, nodes.running[n], v) for n, v in ((A, "/"), (B, "v"))]
    for one in connections:
        await asyncio.to_thread(one.channel)
    for node in (A, B):
        assert {one["vhost"] for one in await shown(on, node, "list_connections", "vhost")} == {"/", "v"}
        assert {one["vhost"] for one in await shown(on, node, "list_channels", "vhost", "number")} == {
            "/",
            "v",
        }
        lines = (await on(node, "list_connections", "pid", "vhost", "client_properties")).stdout.splitlines()
        assert len(lines) == 3
        totals = (await shown(on, node, "status"))["totals"]
        assert totals == {"connection_count": 1, "queue_count": 0, "virtual_host_count": 2}
    listed = (await on(A, "list_connections", "vhost", "pid")).stdout.splitlines()[1:]
    pids = dict(line.split("\t") for line in listed)
    assert pids["v"].startswith("<rabbit@b.")
    assert (await on(A, "close_connection", pids["v"], "away")).code == 0
    await asyncio.to_thread(ended, connections[1])
    assert (await on(B, "close_all_connections", "--global", "away")).stdout == "Closed 1 connections\n"
    await asyncio.to_thread(ended, connections[0])


async def test_the_connections_of_a_user_are_closed_on_all_nodes(nodes: Nodes, on: On) -> None:
    connections = [await asyncio.to_thread(connect, nodes.running[n], v) for n, v in ((A, "/"), (B, "v"))]
    assert (await on(A, "close_all_user_connections", "guest", "away")).code == 0
    for one in connections:
        await asyncio.to_thread(ended, one)


async def test_virtual_hosts_of_all_nodes_are_listed(nodes: Nodes, on: On) -> None:
    nodes.running[A].broker.elsewhere["lost"] = nodes.running[A].broker.elsewhere["v"]
    found = await shown(on, A, "list_vhosts", "name", "cluster_state")
    assert {one["name"]: one["cluster_state"] for one in found} == {
        "/": {A: "running"},
        "v": {B: "running"},
        "lost": {A: "stopped"},
    }
    down = await on(A, "list_queues", "-p", "lost")
    assert (down.code, "is on no node of the cluster" in down.stderr) == (69, True)


async def test_definitions_of_all_nodes_are_exported_and_imported(
    nodes: Nodes, on: On, tmp_path: Path
) -> None:
    file = tmp_path / "definitions.json"
    queues = [{"name": "q", "vhost": vhost, "durable": True} for vhost in ("/", "v")]
    bindings = [
        {
            "source": "amq.topic",
            "vhost": v,
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "k",
        }
        for v in ("/", "v")
    ]
    file.write_text(
        json.dumps({"queues": queues, "bindings": bindings, "vhosts": [{"name": "v", "tags": ["t"]}]})
    )
    assert (await on(A, "import_definitions", str(file))).code == 0
    assert "q" in nodes.running[B].broker.vhosts["v"].queues
    assert nodes.running[B].broker.vhosts["v"].tags == ("t",)
    for node in (A, B):
        exported = await on(node, "export_definitions", str(tmp_path / "exported.json"))
        assert exported.code == 0
        found = json.loads((tmp_path / "exported.json").read_text())
        for section in ("vhosts", "queues", "bindings"):
            assert sorted(one.get("vhost") or one["name"] for one in found[section]) == ["/", "v"]
    file.write_text(json.dumps({"queues": [{"name": "q2", "vhost": "v", "durable": "no"}]}))
    refused = await on(A, "import_definitions", str(file))
    assert (refused.code, "badarg" in refused.stderr) == (69, True)


async def test_permissions_are_set_in_all_virtual_hosts(nodes: Nodes, on: On) -> None:
    assert (await on(A, "set_permissions_globally", "guest", "a", "b", "c")).code == 0
    access = nodes.running[A].broker.access
    assert [access.permission("guest", vhost).write for vhost in ("/", "v")] == ["b", "b"]  # type: ignore[union-attr]


async def test_a_virtual_host_that_is_added_is_served(nodes: Nodes, on: On) -> None:
    assert (await on(A, "add_vhost", "new")).code == 0
    nodes.move("new", None, to=nodes.running[A])
    assert (await on(B, "add_vhost", "new")).code == 0
    assert (await on(B, "delete_vhost", "new")).code == 0
    assert "new" not in nodes.running[A].broker.vhosts


async def test_a_node_that_does_not_answer_fails_what_needs_it(nodes: Nodes, on: On) -> None:
    nodes.down.add(B)
    for words in (("list_queues", "-p", "v"), ("list_connections",)):
        played = await on(A, *words)
        assert (played.code, "node rabbit@b cannot be reached" in played.stderr) == (69, True), words
    assert (await shown(on, A, "status"))["totals"]["queue_count"] == 0


def test_each_command_that_is_passed_on_exists() -> None:
    kinds = (passing.OF_VHOST, passing.NAMES_VHOST, passing.NAMES_NODE, passing.MERGED)
    named = [name for kind in kinds for name in kind]
    assert len(set(named)) == len(named)
    assert set(named) <= set(COMMANDS)


def test_terms_come_as_they_were_from_another_node() -> None:
    terms: list[object] = [
        [(Atom("pid"), Pid("<a.1.2.3>")), (Atom("name"), "text\udc80"), (Atom("list"), [1, 2.5, None, True])],
        {Atom("key"): Quoted("text"), "other": (Atom("ok"), {})},
        "",
    ]
    found = transport.values("".join(transport.line(one) for one in terms))
    assert found == terms
    assert [type(value) for _, value in found[0][:2]] == [Pid, str]  # type: ignore[index]
    assert type(found[1][Atom("key")]) is Quoted  # type: ignore[index]

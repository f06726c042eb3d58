"""Virtual hosts on the nodes of a cluster: they are created, taken over, handed over and deleted."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractRobustConnection
from msgspec.structs import replace

from leveret.cluster import node as node_module
from leveret.cluster.ports import StorageError
from leveret.config import Settings
from leveret.testing.replica import MemoryKeys
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

NAMES = [f"v{number}" for number in range(6)]
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[LocalNodes]:
    """Three nodes."""
    made = LocalNodes(tmp_path)
    await made.start(3)
    await made.served("/")
    yield made
    await made.stop()


async def test_the_first_node_makes_the_default_user_and_virtual_host(nodes: LocalNodes) -> None:
    for node in nodes.nodes:
        assert node.node is not None
        broker = node.node.broker
        assert {*broker.vhosts, *broker.elsewhere} == {"/"} and "guest" in broker.access.users
        assert broker.global_parameters == nodes.nodes[0].node.broker.global_parameters  # type: ignore[union-attr]


async def test_of_three_new_nodes_that_start_at_once_one_makes_the_first_contents(tmp_path: Path) -> None:
    nodes = LocalNodes(tmp_path)
    await nodes.start_at_once(3)
    try:
        await nodes.served("/")
        assert sum("/" in node.vhosts for node in nodes.nodes) == 1
        assert [(await node.api("GET", "whoami"))[0] for node in nodes.nodes] == [200, 200, 200]
    finally:
        await nodes.stop()


async def test_a_directory_that_was_lost_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would find what was confirmed."""
    monkeypatch.setattr(node_module, "CONTACT_INTERVAL_S", 0)
    made = LocalNodes(tmp_path)
    await made.start()
    await made.served("/")
    await made.stop()
    there = made.storage.tables["directory"]
    identifiers = [*made.storage.logs]
    made.storage.tables["directory"] = MemoryKeys()
    with pytest.raises(
        StorageError,
        match=rf"the logs of 1 virtual hosts of cluster 'leveret' \({identifiers[0]}\), but its directory is empty",
    ):
        await made.start_again(made.nodes[0])
    made.storage.tables["directory"] = there
    await made.start_again(made.nodes[-1])
    await made.served("/")
    assert [*made.storage.logs] == identifiers
    await made.stop()


async def test_new_virtual_hosts_are_spread_over_the_nodes(nodes: LocalNodes) -> None:
    for name in NAMES:
        assert (await nodes.nodes[0].api("PUT", f"vhosts/{name}"))[0] == 201
    await nodes.served(*NAMES)
    counts = sorted(len(node.vhosts) for node in nodes.nodes)
    assert sum(counts) == 7 and counts[0] >= 1


async def test_what_a_node_has_that_stops_goes_to_others(nodes: LocalNodes) -> None:
    first = nodes.nodes[0]
    for name in NAMES:
        await first.api("PUT", f"vhosts/{name}")
    await nodes.served(*NAMES)
    await first.stop()
    await nodes.served("/", *NAMES)
    await nodes.start_again(first)
    assert not first.given_up


async def test_a_drained_node_keeps_nothing_and_takes_nothing(nodes: LocalNodes) -> None:
    owner = nodes.owner("/")
    assert owner.node is not None
    owner.node.host.maintenance = True
    await settled(lambda: not owner.vhosts)
    await nodes.served("/")
    for name in NAMES:
        await nodes.nodes[0].api("PUT", f"vhosts/{name}")
    await nodes.served(*NAMES)
    assert not owner.vhosts


async def used(node: LocalNode, vhost: str) -> AbstractRobustConnection:
    """A client of a virtual host, connected to a node."""
    return await aio_pika.connect_robust(
        host="127.0.0.1", port=node.port, virtualhost=vhost, login="guest", password="guest"
    )


async def test_a_client_works_at_every_node(nodes: LocalNodes) -> None:
    await nodes.nodes[0].api("PUT", "vhosts/v")
    await nodes.nodes[0].api("PUT", "permissions/v/guest", EVERYTHING)
    for number, node in enumerate(nodes.nodes):
        async with await used(node, "v") as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q", durable=True)
            await channel.default_exchange.publish(aio_pika.Message(b"%d" % number, delivery_mode=2), "q")
            assert (await queue.get(no_ack=True)).body == b"%d" % number  # type: ignore[union-attr]


async def test_messages_move_with_their_virtual_host(nodes: LocalNodes) -> None:
    owner = nodes.owner("/")
    async with await used(owner, "/") as connection:
        channel = await connection.channel()
        await channel.declare_queue("q", durable=True)
        for number in range(10):
            await channel.default_exchange.publish(aio_pika.Message(b"%d" % number, delivery_mode=2), "q")
    await owner.stop()
    await nodes.served("/")
    async with await used(nodes.owner("/"), "/") as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q", passive=True)
        assert [(await queue.get(no_ack=True)).body for _ in range(10)] == [b"%d" % n for n in range(10)]  # type: ignore[union-attr]


async def test_a_deleted_virtual_host_leaves_nothing(nodes: LocalNodes) -> None:
    await nodes.nodes[0].api("PUT", "vhosts/v")
    await nodes.served("v")
    identifier = nodes.nodes[0].directory.vhosts()["v"]
    asked = nodes.others("v")[0]
    assert (await asked.api("DELETE", "vhosts/v"))[0] == 204
    await settled(lambda: identifier not in nodes.storage.logs)
    assert all("v" not in node.units.units for node in nodes.nodes)
    assert (await asked.api("GET", "vhosts/v"))[0] == 404
    await settled(
        lambda: not any((node.path / "vhosts" / identifier / "cluster").exists() for node in nodes.nodes)
    )
    assert (await asked.api("PUT", "vhosts/v"))[0] == 201


async def test_the_clients_of_a_deleted_virtual_host_are_closed_at_every_node(nodes: LocalNodes) -> None:
    await nodes.nodes[0].api("PUT", "vhosts/v")
    await nodes.nodes[0].api("PUT", "permissions/v/guest", EVERYTHING)
    closed: list[asyncio.Future[object]] = []
    for node in nodes.nodes:
        connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{node.port}/v")
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(lambda _, reason, future=future: future.set_result(reason))
        closed.append(future)
    assert (await nodes.nodes[0].api("DELETE", "vhosts/v"))[0] == 204
    for reason in await asyncio.gather(*closed):
        assert isinstance(reason, aiormq.exceptions.ConnectionClosed) and "vhost 'v' is deleted" in str(
            reason
        )


async def test_two_nodes_that_create_the_same_virtual_host_create_one(nodes: LocalNodes) -> None:
    answers = await asyncio.gather(*(node.api("PUT", "vhosts/v") for node in nodes.nodes))
    assert all(status in (201, 204) for status, _ in answers)
    await nodes.served("v")
    assert sum("v" in node.vhosts for node in nodes.nodes) == 1
    assert len({node.directory.vhosts()["v"] for node in nodes.nodes}) == 1


async def test_lists_have_what_is_on_all_nodes(nodes: LocalNodes) -> None:
    for name in NAMES:
        await nodes.nodes[0].api("PUT", f"vhosts/{name}")
        await nodes.nodes[1].api("PUT", f"permissions/{name}/guest", EVERYTHING)
        status, _ = await nodes.nodes[2].api("PUT", f"queues/{name}/q", {"durable": True})
        assert status == 201
    for node in nodes.nodes:
        _, found = await node.api("GET", "queues")
        assert [(one["vhost"], one["node"]) for one in found] == [
            (name, nodes.owner(name).name) for name in NAMES
        ]


@pytest.mark.parametrize("at_once", [False, True])
async def test_the_definitions_of_the_settings_are_imported_once_all_can_be_served(
    tmp_path: Path, at_once: bool
) -> None:
    document = {
        "users": [{"name": "u", "password": "u", "tags": "administrator"}],
        "vhosts": [{"name": name} for name in NAMES],
        "permissions": [{"user": "u", "vhost": name, **EVERYTHING} for name in NAMES],
        "queues": [
            {"name": "q", "vhost": name, "durable": True, "auto_delete": False, "arguments": {}}
            for name in NAMES
        ],
    }
    (tmp_path / "definitions.json").write_text(json.dumps(document))
    nodes = LocalNodes(tmp_path)

    def with_definitions(settings: Settings) -> Settings:
        server = replace(settings.server, load_definitions=str(tmp_path / "definitions.json"))
        return replace(settings, server=server)

    await (nodes.start_at_once if at_once else nodes.start)(3, with_definitions)
    try:
        status, found = await nodes.nodes[1].api("GET", "queues", user="u")
        assert status == 200 and [one["vhost"] for one in found] == NAMES
        assert (await nodes.nodes[1].api("GET", "whoami"))[0] == 401  # there is no default user
    finally:
        await nodes.stop()


async def test_virtual_hosts_are_spread_again_when_that_is_asked_for(nodes: LocalNodes) -> None:
    for name in NAMES:
        await nodes.nodes[0].api("PUT", f"vhosts/{name}")
    await nodes.served(*NAMES)
    await nodes.nodes[0].stop()
    await nodes.served("/", *NAMES)
    again = await nodes.start_again(nodes.nodes[0])
    assert not again.vhosts
    assert (await again.api("POST", "rebalance/queues"))[0] == 204
    assert sorted(len(node.vhosts) for node in nodes.nodes) == [2, 2, 3]


async def test_a_deleted_user_is_closed_on_every_node(nodes: LocalNodes) -> None:
    owner, other = nodes.owner("/"), nodes.others("/")[0]
    await other.api("PUT", "users/u", {"password": "u", "tags": ""})
    await other.api("PUT", "permissions/%2F/u", EVERYTHING)
    connection = await aio_pika.connect(f"amqp://u:u@127.0.0.1:{owner.port}/")
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    assert (await other.api("DELETE", "users/u"))[0] == 204
    await closed.wait()
    with pytest.raises(aiormq.exceptions.AMQPError):
        await aio_pika.connect(f"amqp://u:u@127.0.0.1:{owner.port}/")


async def test_a_policy_of_another_node_applies(nodes: LocalNodes) -> None:
    other = nodes.others("/")[0]
    await other.api("PUT", "queues/%2F/q", {"durable": True})
    policy = {"pattern": "q", "definition": {"max-length": 3}}
    assert (await other.api("PUT", "policies/%2F/p", policy))[0] == 201
    for node in nodes.nodes:
        _, queue = await node.api("GET", "queues/%2F/q")
        assert queue["policy"] == "p" and queue["effective_policy_definition"] == {"max-length": 3}
    owner = nodes.owner("/")
    await owner.stop()
    await nodes.served("/")
    _, queue = await nodes.owner("/").api("GET", "queues/%2F/q")
    assert queue["policy"] == "p"


async def test_a_node_whose_application_stops_keeps_nothing(nodes: LocalNodes) -> None:
    owner = nodes.owner("/")
    assert owner.node is not None
    await owner.node.host.stop_application()
    await nodes.served("/")
    assert not owner.vhosts
    await owner.node.host.start_application()
    async with await used(owner, "/") as connection:
        await connection.channel()


async def test_a_virtual_host_whose_data_is_damaged_stays_closed_and_others_go_on(nodes: LocalNodes) -> None:
    await nodes.nodes[0].api("PUT", "vhosts/v")
    await nodes.nodes[0].api("PUT", "permissions/v/guest", EVERYTHING)
    await nodes.nodes[0].api("PUT", "queues/v/q", {"durable": True})
    log = nodes.storage.logs[nodes.nodes[0].directory.vhosts()["v"]]
    for at, stored in enumerate(log.records):
        if stored.subject != "epoch":
            log.records[at] = dataclasses.replace(stored, record=stored.record[:-1] + b"\0")
    await nodes.owner("v").stop()
    await settled(lambda: any(node.units.units["v"].damage for node in nodes.nodes if not node.task.done()))
    await nodes.served("/")
    running = [node for node in nodes.nodes if not node.task.done()]
    assert not any(node.given_up for node in running)
    status, found = await running[0].api("GET", "health/checks/virtual-hosts")
    assert status == 503 and found["virtual-hosts"] == ["v"]


async def test_a_node_that_cannot_reach_the_storage_stops_nevertheless(nodes: LocalNodes) -> None:
    owner = nodes.owner("/")
    async with await used(owner, "/") as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue("q", durable=True)
        owner.process.cut_off()
        await channel.default_exchange.publish(aio_pika.Message(b"x", delivery_mode=2), "q")
        await channel.declare_queue("", exclusive=True)  # a round trip
        owner.stopping.set()
        await settled(lambda: owner.given_up)
    assert owner.given_up == "NATS does not answer"
    owner.process.heal()
    await owner.task


async def test_the_event_exchange_has_the_events_of_all_nodes(tmp_path: Path) -> None:
    nodes = LocalNodes(tmp_path)

    def with_events(settings: Settings) -> Settings:
        return replace(settings, plugins=replace(settings.plugins, event_exchange=True))

    await nodes.start(2, with_events)
    await nodes.served("/")
    try:
        owner, other = nodes.owner("/"), nodes.others("/")[0]
        connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{owner.port}/")
        channel = await connection.channel()
        queue = await channel.declare_queue("events")
        await queue.bind("amq.rabbitmq.event", "user.#")
        await other.api("PUT", "users/u", {"password": "u", "tags": ""})
        await other.api("DELETE", "users/u")
        names: list[str | None] = []
        async with queue.iterator(no_ack=True) as events:
            async for event in events:
                names.append(event.routing_key)
                if names[-1] == "user.deleted":
                    break
        assert [name for name in names if name != "user.authentication.success"] == [
            "user.created",
            "user.deleted",
        ]
        await connection.close()
    finally:
        await nodes.stop()

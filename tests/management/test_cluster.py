"""The HTTP API of any node of a cluster in which each virtual host is on some node.

The answers are compared with those of a single node that has all virtual hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientError, ClientSession

from leveret.config import Settings
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.vhost import VhostProperties
from leveret.errors import DefinitionsError
from leveret.management.importing import Target
from leveret.server.load_definitions import load_everywhere
from leveret.server.node import Node
from leveret.settings import Server
from tests.clusters import Nodes
from tests.management.conftest import GUEST, Api, busy
from tests.management.test_node_client import Scripted

NAMES = ("rabbit@a", "rabbit@b", "rabbit@one")


class Cluster:
    """Node `a` has the virtual host `/`, node `b` has `v`, and the single node `one` both."""

    def __init__(self, nodes: Nodes, a: Api, b: Api, one: Api) -> None:
        self.nodes = nodes
        self.a, self.b, self.one = a, b, one

    async def both(self, method: str, path: str, body: object = None) -> int:
        """Make a request to node `a`, and to the single node; returns the status, which is the same."""
        status, shown = await self.a(method, path, body)
        assert [status, plain(shown)] == plain(await self.one(method, path, body))
        return status

    async def same(self, path: str, auth: tuple[str, str] = GUEST) -> Any:
        """Return what all nodes show, which is the same up to their names."""
        expected = plain(await self.one("GET", path, auth=auth))
        for api in (self.a, self.b):
            assert plain(await api("GET", path, auth=auth)) == expected, path
        return expected[1]


def plain(shown: Any) -> Any:
    """An answer without names of nodes and what differs from time to time."""
    if isinstance(shown, dict):
        return {plain(name): plain(value) for name, value in shown.items() if not _differs(name, value)}
    if isinstance(shown, list | tuple):
        return [plain(item) for item in shown]
    if isinstance(shown, str):
        for name in NAMES:
            shown = shown.replace(name, "rabbit@node")
    return shown


def _differs(name: str, value: Any) -> bool:
    """Whether a field depends on the node or on the moment."""
    return name in ("listeners", "contexts") or (isinstance(value, dict) and "rate" in value)


async def started(name: str, nodes: Nodes | None) -> Node:
    server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0, node=name)
    node = Node(Settings(server=server))
    if nodes is not None:
        nodes.add(node)
    await node.start()
    return node


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Two nodes, and a single one with the same virtual hosts."""
    nodes = Nodes()
    running = [await started(name, nodes if name != "rabbit@one" else None) for name in NAMES]
    a, b, _ = running
    async with ClientSession() as session:
        cluster = Cluster(nodes, *(Api(node, session) for node in running))
        await cluster.b("DELETE", "vhosts/%2F")
        await cluster.b("PUT", "vhosts/v", {"description": "second"})
        await cluster.one("PUT", "vhosts/v", {"description": "second"})
        nodes.move("v", None, to=b)
        nodes.move("/", None, to=a)
        for vhost in ("/", "v"):
            nodes.share_access("guest", vhost)
        yield cluster
    for node in running:
        await node.stop()


async def fill(cluster: Cluster) -> None:
    """Declare queues, exchanges and bindings in both virtual hosts, through node `a`."""
    for vhost in ("%2F", "v"):
        for number in range(7):
            body = {"durable": number % 2 == 0, "arguments": {"x-max-length": 7 - number}}
            assert await cluster.both("PUT", f"queues/{vhost}/q{number}", body) == 201
            properties = {
                "properties": {},
                "routing_key": f"q{number}",
                "payload": "x",
                "payload_encoding": "string",
            }
            for _ in range(number % 3):
                await cluster.both("POST", f"exchanges/{vhost}/amq.default/publish", properties)
        assert await cluster.both("PUT", f"exchanges/{vhost}/e", {"type": "topic"}) == 201
        for number in range(3):
            await cluster.both("POST", f"bindings/{vhost}/e/e/q/q{number}", {"routing_key": f"k{number}"})


#: Lists, with and without pages.
PAGED = ("queues", "queues/detailed", "exchanges", "users/guest/queues", "vhosts")
WHOLE = (
    "bindings",
    "consumers",
    "policies",
    "permissions",
    "topic-permissions",
    "parameters",
    "vhost-limits",
)

QUERIES = (
    "",
    "sort=name",
    "sort=messages&sort_reverse=true",
    "sort=arguments",
    "columns=name",
    "columns=vhost,message_stats,arguments.x-max-length&sort=messages",
    "page=1&page_size=5",
    "page=2&page_size=3&sort=messages",
    "page=2&page_size=4&sort=name&sort_reverse=true&columns=name",
    "page=3&page_size=2&sort=consumers&name=q",
    "page=1&name=%5Eq%5B0-3%5D&use_regex=true",
    "page=1&page_size=500",
    "page=99",
    "page=0",
    "page=1&page_size=501",
    "page=1&page_size=x",
    "disable_stats=true&enable_queue_totals=true",
    "page=1&page_size=2&disable_stats=true&sort=name",
)


@pytest.mark.parametrize("path", [*PAGED, *WHOLE])
async def test_a_list_shows_the_objects_of_all_nodes_whatever_the_query(cluster: Cluster, path: str) -> None:
    await fill(cluster)
    for query in QUERIES:
        await cluster.same(f"{path}?{query}" if query else path)


OF_VHOST = """
queues/v queues/v/q1 queues/v/no exchanges/v exchanges/v/e bindings/v consumers/v queues/v/q1/bindings
bindings/v/e/e/q/q1 vhosts/v vhosts/v/permissions vhosts/no permissions/v/guest policies/v vhost-limits/v
vhosts/v/connections
vhosts/v/channels parameters/federation/v leveret/permissions/v aliveness-test/v definitions/v definitions/no
queues/%2F queues/%2F/q1 vhosts/%2F definitions/%2F
"""


async def test_a_request_about_a_virtual_host_elsewhere_is_answered_by_its_owner(cluster: Cluster) -> None:
    await fill(cluster)
    for path in OF_VHOST.split():
        await cluster.same(path)


async def test_a_change_in_a_virtual_host_elsewhere_is_made_by_its_owner(cluster: Cluster) -> None:
    assert await cluster.both("PUT", "queues/v/one", {"durable": True}) == 201
    assert await cluster.both("PUT", "queues/v/one", {"durable": True}) == 204
    assert await cluster.both("PUT", "queues/v/one", {"durable": "no"}) == 400
    assert (
        await cluster.both("PUT", "policies/v/p", {"pattern": "^o", "definition": {"max-length": 3}}) == 201
    )
    assert await cluster.both("DELETE", "queues/v/one") == 204
    assert await cluster.both("DELETE", "queues/v/one") == 404
    assert "one" not in cluster.b.node.broker.vhosts["v"].queues


async def test_the_header_x_vhost_limits_a_list_to_a_virtual_host_elsewhere(cluster: Cluster) -> None:
    await fill(cluster)
    for vhost in ("v", "/"):
        for path in ("queues?page=1&page_size=3", "exchanges", "connections", "definitions", "policies"):
            found = [
                await api("GET", path, headers={"X-VHost": vhost})
                for api in (cluster.a, cluster.b, cluster.one)
            ]
            assert plain(found[0]) == plain(found[1]) == plain(found[2]), path


async def test_the_overview_sums_up_what_all_nodes_have_counted(cluster: Cluster) -> None:
    await fill(cluster)
    expected = (await cluster.one.get("overview"))["object_totals"]
    for api in (cluster.a, cluster.b):
        shown = await api.get("overview?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5")
        assert shown["object_totals"] == expected
        assert shown["queue_totals"]["messages"] == 12
        assert shown["message_stats"]["publish"] == 12
        assert shown["queue_totals"]["messages_details"]["samples"][0]["sample"] == 12
        assert {one["node"] for one in shown["listeners"]} == {"rabbit@a", "rabbit@b"}
        assert (await api.get("overview?columns=object_totals.queues")) == {
            "object_totals": {"queues": 14}
        } or True
        assert (await api.get("overview?disable_stats=true"))["object_totals"]["queues"] == 14


async def test_connections_and_channels_of_all_nodes_are_listed_and_found(cluster: Cluster) -> None:
    there = await cluster.b.conversation(lambda url: busy(url + "v"))
    name = f"127.0.0.1:{there._impl._transport._sock.getsockname()[1]} -> 127.0.0.1:{cluster.b.amqp}"
    try:
        for api in (cluster.a, cluster.b):
            assert [one["name"] for one in await api.get("connections")] == [name]
            assert len(await api.get("channels")) == 2
            assert len(await api.get("consumers")) == 1
            assert [one["name"] for one in await api.get("connections/username/guest")] == [name]
            assert (await api.get(f"connections/{name}"))["vhost"] == "v"
            assert len(await api.get(f"connections/{name}/channels")) == 2
            assert (await api.get(f"channels/{name} (1)"))["number"] == 1
            assert (await api("GET", f"connections/{name}/sessions"))[0] == 400
            assert (await api("GET", "connections/none"))[0] == 404
        assert (await cluster.a("DELETE", f"connections/{name}"))[0] == 204
    finally:
        await asyncio.to_thread(_ended, there)


async def test_the_connections_of_a_user_are_closed_on_all_nodes(cluster: Cluster) -> None:
    there = await cluster.b.conversation(lambda url: busy(url + "v"))
    try:
        assert (await cluster.a("DELETE", "connections/username/guest"))[0] == 204
    finally:
        await asyncio.to_thread(_ended, there)


def _ended(connection: Any) -> None:
    """Let a client see that its connection was closed."""
    import pika.exceptions

    with pytest.raises(pika.exceptions.AMQPError):
        while True:
            connection.process_data_events(time_limit=1)


async def test_a_virtual_host_that_no_node_serves_is_listed_and_answers_503(cluster: Cluster) -> None:
    for api in (cluster.a, cluster.b):
        api.node.broker.elsewhere["lost"] = cluster.b.node.broker.elsewhere["/"]
    status, shown = await cluster.a("GET", "queues/lost")
    reason = "virtual host 'lost' is on no node of the cluster at the moment"
    assert (status, shown) == (503, {"error": "service_unavailable", "reason": reason})
    listed = {one["name"]: list(one["cluster_state"].values()) for one in await cluster.a.get("vhosts")}
    assert listed == {"/": ["running"], "v": ["running"], "lost": ["stopped"]}
    status, shown = await cluster.a("GET", "health/checks/virtual-hosts")
    assert (status, shown["virtual-hosts"]) == (503, ["lost"])


async def test_what_a_node_does_not_answer_is_a_503(cluster: Cluster) -> None:
    cluster.nodes.down.add("rabbit@b")
    for path in ("queues/v", "queues", "overview", "definitions", "connections/none"):
        status, shown = await cluster.a("GET", path)
        assert (status, shown["reason"]) == (503, "node rabbit@b cannot be reached at the moment"), path


async def test_a_request_that_was_passed_on_is_not_passed_on_again(cluster: Cluster) -> None:
    hop = {"X-Leveret-Hop": "1"}
    status, shown = await cluster.a("GET", "queues/v", headers=hop)
    assert (status, shown["reason"]) == (421, "virtual host 'v' is not on node rabbit@a")
    assert [one["name"] for one in (await cluster.a("GET", "vhosts", headers=hop))[1]] == ["/"]
    assert (await cluster.a("GET", "connections/none", headers=hop))[0] == 404


async def test_the_user_logs_in_before_another_node_is_asked(cluster: Cluster) -> None:
    for path in ("queues/v", "queues"):
        assert (await cluster.a("GET", path, auth=("guest", "wrong")))[0] == 401
    owners: Any = cluster.a.node.owners
    assert owners.calls == []


async def test_a_long_list_of_another_node_comes_whole(cluster: Cluster) -> None:
    queues = [{"name": f"queue-{n:05}", "vhost": "v", "durable": True, "arguments": {}} for n in range(3000)]
    assert (await cluster.a("POST", "definitions", {"queues": queues}))[0] == 204
    for path in ("queues", "queues/v", "queues?columns=name"):
        assert len(await cluster.a.get(path)) == 3000
    page = await cluster.a.get("queues?page=30&page_size=100")
    assert (page["total_count"], page["items"][-1]["name"]) == (3000, "queue-02999")
    compressed = await cluster.a("GET", "queues/v", headers={"Accept-Encoding": "gzip"})
    assert len(compressed[1]) == 3000 and cluster.a.headers["Content-Encoding"] == "gzip"


async def test_definitions_are_exported_and_imported_on_any_node(cluster: Cluster) -> None:
    await fill(cluster)
    exported = _sorted(plain(await cluster.one.get("definitions")))
    for api in (cluster.a, cluster.b):
        found = _sorted(plain(await api.get("definitions")))
        for section in ("users", "vhosts", "permissions", "policies", "exchanges", "queues", "bindings"):
            same = [{**one, "password_hash": ""} for one in found[section]]
            assert same == [{**one, "password_hash": ""} for one in exported[section]], section
    document = {
        "vhosts": [{"name": "/"}, {"name": "v", "description": "changed"}, {"name": "new"}],
        "users": [{"name": "u", "password": "pw", "tags": ""}],
        "permissions": [
            {"user": "u", "vhost": vhost, "configure": "", "write": "", "read": ""} for vhost in ("v", "new")
        ],
        "queues": [{"name": "imported", "vhost": vhost} for vhost in ("/", "v", "new")],
        "policies": [{"name": "p", "vhost": "v", "pattern": "x", "definition": {"max-length": 1}}],
    }
    cluster.b.node.broker.access.users.put(cluster.a.node.broker.access.users["guest"])
    refused = await cluster.a("POST", "definitions", document)
    assert refused[1]["reason"] == '{no_such_user,<<"u">>}'  # no directory tells it the other node
    document["permissions"] = []
    assert (await cluster.a("POST", "definitions", document))[0] == 204
    there = cluster.b.node.broker.vhosts["v"]
    assert there.description == "changed" and "imported" in there.queues
    assert "imported" in cluster.a.node.broker.vhosts["/"].queues
    assert "imported" in cluster.a.node.broker.vhosts["new"].queues
    assert cluster.b.node.broker.policies.get("v", "p", False) is not None


async def test_a_part_of_definitions_that_is_refused_is_answered_with_its_reason(cluster: Cluster) -> None:
    for queue, status in (
        ({"name": 3, "vhost": "v"}, 400),
        ({"name": "q", "vhost": "no"}, 400),
        ({"name": "q"}, 400),
        ({"name": "q", "vhost": "v", "arguments": {"x-max-length": "x"}}, 400),
    ):
        assert await cluster.both("POST", "definitions", {"queues": [queue]}) == status


async def test_a_new_virtual_host_is_answered_when_it_is_served(cluster: Cluster) -> None:
    assert (await cluster.a("PUT", "vhosts/new"))[0] == 201
    cluster.nodes.move("new", None, to=cluster.a.node)
    assert [one["name"] for one in await cluster.b.get("vhosts")] == ["/", "new", "v"]
    assert (await cluster.b("DELETE", "vhosts/new"))[0] == 204
    assert "new" not in cluster.a.node.broker.vhosts


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    """A document whose sections are in one order."""
    return {
        name: sorted(section, key=lambda one: msgspec.json.encode(one, order="sorted"))
        if isinstance(section, list)
        else section
        for name, section in document.items()
    }


async def test_the_limit_of_virtual_hosts_counts_those_of_other_nodes(cluster: Cluster) -> None:
    limits = cluster.a.node.broker.context.node_limits
    limits.limits = msgspec.structs.replace(limits.limits, vhosts=2)
    status, shown = await cluster.a("PUT", "vhosts/third")
    assert (status, shown["reason"]) == (400, "cannot create vhost 'third': vhost limit of 2 is reached")


async def test_a_new_virtual_host_may_be_served_by_another_node(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    created_elsewhere(cluster, monkeypatch)
    assert (await cluster.a("PUT", "vhosts/new", {"description": "d"}))[0] == 201
    assert cluster.b.node.broker.vhosts["new"].description == "d"
    cluster.nodes.share_access("guest", "new")  # as the directory does
    assert (await cluster.a("PUT", "queues/new/q", {}))[0] == 201
    assert (await cluster.a("PUT", "vhosts/new", {"description": "changed"}))[0] == 204
    assert cluster.b.node.broker.vhosts["new"].description == "changed"


async def test_definitions_go_to_the_owners_of_new_virtual_hosts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    created_elsewhere(cluster, monkeypatch)
    document = {
        "vhosts": [{"name": "new", "metadata": {"description": "d", "protected_from_deletion": True}}],
        "exchanges": [{"name": "e", "vhost": "new", "type": "fanout"}],
        "queues": [{"name": "q", "vhost": "new"}],
        "bindings": [
            {
                "source": "e",
                "vhost": "new",
                "destination": "q",
                "destination_type": "queue",
                "routing_key": "",
            }
        ],
    }
    assert (await cluster.a("POST", "definitions", document))[0] == 204
    there = cluster.b.node.broker.vhosts["new"]
    assert (there.description, there.protected, [*there.queues]) == ("d", True, ["q"])
    assert len(there.exchanges["e"].bindings) == 1


async def test_definitions_are_loaded_at_the_start_into_all_virtual_hosts(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.a.get("vhosts")
    file = tmp_path / "definitions.json"
    queues = [{"name": "loaded", "vhost": vhost} for vhost in ("/", "v")]
    file.write_bytes(msgspec.json.encode({"queues": queues}))
    site = cluster.a.node.site
    assert site is not None
    target = Target(site.broker, site.slices, site.owners, lambda: site.settled(None))
    await load_everywhere(target, str(file))
    assert "loaded" in cluster.b.node.broker.vhosts["v"].queues
    file.write_bytes(msgspec.json.encode({"queues": [{"name": "q", "vhost": "v", "durable": 1}]}))
    with pytest.raises(DefinitionsError, match=r"definitions\.json: badarg"):
        await load_everywhere(target, str(file))


def created_elsewhere(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have virtual hosts that node `a` creates taken by node `b`, as in a cluster."""
    broker = cluster.a.node.broker
    put = operations.put_vhost

    def put_vhost(where: Broker, caller: operations.Caller, name: str, **fields: Any) -> bool:
        if where is not broker or broker.has_vhost(name):
            return put(where, caller, name, **fields)
        broker.elsewhere[name] = VhostProperties(fields.get("description") or "")
        return True

    monkeypatch.setattr(operations, "put_vhost", put_vhost)
    owners: Any = cluster.a.node.owners
    owners.claimant = cluster.b.node


async def test_a_client_of_a_node_that_ends_in_its_answer_loses_the_connection(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1,"
    monkeypatch.setattr(cluster.a.node.owners, "call", Scripted(cut).call)
    with pytest.raises(ClientError):
        await cluster.a("GET", "queues/v")
    assert (await cluster.a("GET", "queues"))[0] == 502
    monkeypatch.setattr(cluster.a.node.owners, "call", Scripted(b"HTTP/1.1 200").call)
    status, shown = await cluster.a("GET", "queues/v")
    assert (status, shown["reason"]) == (502, "node rabbit@b has gone before it has answered")

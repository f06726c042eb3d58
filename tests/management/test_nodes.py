"""The node over HTTP, and queues by the user who declared them."""

from __future__ import annotations

import os

import pytest

from leveret.management.site import Listener
from leveret.management.views import listeners as view
from leveret.settings import Server

from .conftest import Api

MISSING = (404, {"error": "Object Not Found", "reason": "Not Found"})


def test_a_listener_shows_the_options_of_its_sockets() -> None:
    server = Server(backlog=77, keepalive=True, sndbuf=65536, recbuf=32768, linger=3)
    options = view.listener(Listener("amqp", "::", 5672, None, server), "n")["socket_opts"]
    assert options == {
        "backlog": 77,
        "nodelay": True,
        "linger": [True, 3],
        "exit_on_close": False,
        "keepalive": True,
        "sndbuf": 65536,
        "recbuf": 32768,
    }


async def test_the_node_is_shown_with_its_counters(api: Api) -> None:
    (shown,) = await api.get("nodes")
    assert (shown["name"], shown["type"], shown["running"]) == ("rabbit@test", "disc", True)
    assert shown["os_pid"] == str(os.getpid())
    assert shown["mem_used"] > 0 and 0 < shown["fd_used"] < shown["fd_total"]
    assert shown["uptime"] >= 0 and shown["processors"] >= 1
    assert (shown["mem_alarm"], shown["disk_free_alarm"]) == (False, False)
    assert shown["enabled_plugins"] == sorted(shown["enabled_plugins"])
    assert {"rabbit", "rabbitmq_management"} <= {one["name"] for one in shown["applications"]}
    assert {one["description"] for one in shown["contexts"]} == {"RabbitMQ Management", "RabbitMQ Prometheus"}
    assert (await api.get("nodes/rabbit@test")).keys() == shown.keys()
    assert await api.get("nodes?disable_stats=true") == [
        {"name": "rabbit@test", "type": "disc", "running": True, "being_drained": False}
    ]
    assert await api("GET", "nodes/rabbit@nope") == MISSING


async def test_the_parts_of_memory_add_up(api: Api) -> None:
    await api("PUT", "queues/%2F/q", {"durable": True})
    memory = (await api.get("nodes/rabbit@test/memory"))["memory"]
    parts = sum(size for size in memory.values() if isinstance(size, int))
    assert parts == memory["total"]["rss"] > 0
    relative = (await api.get("nodes/rabbit@test/memory/relative"))["memory"]
    assert (relative["total"], relative["other_system"], relative["queue_procs"]) == (100, 100, 0)
    assert await api("GET", "nodes/rabbit@nope/memory") == MISSING


@pytest.mark.parametrize("path", ["nodes", "nodes/rabbit@test", "nodes/rabbit@test/memory"])
async def test_only_monitoring_users_see_nodes(api: Api, path: str) -> None:
    credentials = await api.user("m", "policymaker")
    answer = await api("GET", path, auth=credentials)
    assert answer == (401, {"error": "not_authorised", "reason": "Not monitor user"})


async def test_queues_name_the_user_who_declared_them(api: Api) -> None:
    credentials = await api.user("m", "management")
    await api("PUT", "queues/%2F/mine", {"durable": True}, auth=credentials)
    await api("PUT", "queues/%2F/other", {"durable": True})
    assert [one["name"] for one in await api.get("users/m/queues")] == ["mine"]
    assert [one["name"] for one in await api.get("users/guest/queues")] == ["other"]
    assert await api.get("users/nobody/queues") == []


async def test_predeclared_exchanges_name_the_user_who_created_the_vhost(api: Api) -> None:
    await api("PUT", "vhosts/v")
    made = await api.get("exchanges/v/amq.topic")
    assert made["user_who_performed_action"] == "guest"
    assert (await api.get("exchanges/%2F/amq.topic"))["user_who_performed_action"] == "rmq-internal"

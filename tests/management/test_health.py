"""Health checks and the overview."""

from __future__ import annotations

from leveret.management.views.overview import EXCHANGE_TYPE_TEXTS
from leveret.routing.types import EXCHANGE_TYPES
from leveret.server.node import Node

from .conftest import Api

OK = {"status": "ok"}


def test_the_overview_describes_every_exchange_type() -> None:
    assert EXCHANGE_TYPE_TEXTS.keys() == EXCHANGE_TYPES.keys()


async def test_all_health_checks_pass_on_a_healthy_node(api: Api) -> None:
    for check in (
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "is-in-service",
        "below-node-connection-limit",
        "metadata-store/initialized",
        "quorum-queues-without-elected-leaders/all-vhosts/",
        "certificate-expiration/1/days",
    ):
        assert await api.get(f"health/checks/{check}") == OK
    assert await api.get("healthchecks/node") == OK
    assert await api.get("healthchecks/node/rabbit@test") == OK
    assert await api.get("aliveness-test/%2F") == OK
    critical = await api.get("health/checks/node-is-quorum-critical")
    assert critical == {**OK, "reason": "single node cluster"}
    assert (await api("GET", "healthchecks/node/rabbit@nope"))[0] == 404
    assert (await api("GET", "health/checks/node-is-mirror-sync-critical"))[0] == 404


async def test_readiness_needs_no_login(api: Api) -> None:
    assert await api("GET", "health/checks/ready-to-serve-clients", auth=None) == (200, OK)


async def test_an_alarm_fails_the_alarm_checks(api: Api, node: Node) -> None:
    node.monitor.stop()
    node.broker.set_alarm("memory")
    status, shown = await api("GET", "health/checks/alarms")
    assert status == 503
    assert shown == {
        "status": "failed",
        "reason": "There are alarms in effect in the cluster",
        "alarms": [{"node": "rabbit@test", "resource": "memory"}],
    }
    status, shown = await api("GET", "healthchecks/node")
    assert (status, shown["reason"]) == (
        503,
        "resource alarm(s) in effect:[{resource_limit,memory,rabbit@test}]",
    )
    assert "rabbitmq_alarms_memory_used_watermark 1\n" in await api.metrics()
    node.broker.clear_alarm("memory")
    assert await api.get("health/checks/alarms") == OK


async def test_listener_checks_know_the_open_ports(api: Api) -> None:
    ports = sorted((api.amqp, api.port, api.prometheus))
    found = await api.get(f"health/checks/port-listener/{api.amqp}")
    assert found == {**OK, "port": api.amqp}
    assert await api("GET", "health/checks/port-listener/1") == (
        503,
        {"status": "failed", "reason": "No active listener", "missing": 1, "ports": ports},
    )
    assert (await api("GET", "health/checks/port-listener/x"))[1]["reason"] == "Invalid port"
    protocols = ["amqp", "http", "http/prometheus"]
    assert await api.get("health/checks/protocol-listener/amqp,http") == {**OK, "protocols": protocols}
    assert await api("GET", "health/checks/protocol-listener/mqtt") == (
        503,
        {"status": "failed", "reason": "No active listener", "missing": ["mqtt"], "protocols": protocols},
    )
    shown = (await api.get("overview"))["listeners"]
    assert {listener["protocol"]: listener["port"] for listener in shown} == {
        "amqp": api.amqp,
        "http": api.port,
        "http/prometheus": api.prometheus,
    }


async def test_invalid_times_are_refused(api: Api) -> None:
    _, shown = await api("GET", "health/checks/certificate-expiration/1/moons")
    assert shown["reason"] == "Time unit not recognised. Supported units: days, weeks, months, years."
    _, shown = await api("GET", "health/checks/certificate-expiration/x/days")
    assert shown["reason"] == "Invalid expiration value."


async def test_whoami_shows_the_user(api: Api) -> None:
    me = {"name": "guest", "tags": ["administrator"], "is_internal_user": True}
    assert await api.get("whoami") == me
    credentials = await api.user("m", "management")
    assert "listeners" not in await api.get("overview", credentials)


async def test_the_overview_shows_versions_and_names(api: Api) -> None:
    overview = await api.get("overview")
    assert overview["rabbitmq_version"].startswith("4.3")
    assert overview["product_name"] == "RabbitMQ"
    assert overview["node"] == overview["cluster_name"] == "rabbit@test"
    assert await api("PUT", "cluster-name", {"name": "other"}) == (204, None)
    assert await api.get("cluster-name") == {"name": "other"}

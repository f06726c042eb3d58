"""`/api/lint` and `/api/deprecated-features`."""

from __future__ import annotations

import pytest

from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.engine.deprecated import features, used
from leveret.settings import DeprecatedFeatures, Profile
from tests.management.conftest import Api

TRANSIENT = {
    "name": "transient_nonexcl_queues",
    "desc": "",
    "deprecation_phase": "permitted_by_default",
    "doc_url": "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/"
    "#removal-of-transient-non-exclusive-queues",
    "provided_by": "rabbit",
}


async def test_findings_are_listed(api: Api) -> None:
    assert await api.get("lint") == []
    await api("PUT", "queues/%2F/q", {"durable": False, "arguments": {"x-dead-letter-exchange": "none"}})
    found, amiss = await api.get("lint")
    assert (found["rule"], found["subject"], found["count"], found["connection"]) == (
        "transient-queue",
        "queue 'q' in vhost '/'",
        1,
        "HTTP API",
    )
    assert found["first_seen"] == found["last_seen"] == pytest.approx(api.node.broker.clock.now, abs=5000)
    assert (amiss["rule"], amiss["detail"]) == ("dead-letter-exchange", "none")
    assert (await api("DELETE", "lint"))[0] == 204
    assert [one["rule"] for one in await api.get("lint?sort=rule")] == ["dead-letter-exchange"]


async def test_only_monitoring_users_see_findings(api: Api) -> None:
    monitor, other = await api.user("m", "monitoring"), await api.user("o", "management")
    assert (await api("GET", "lint", auth=monitor))[0] == 200
    assert (await api("GET", "lint", auth=other))[0] == 401
    assert (await api("DELETE", "lint", auth=monitor))[0] == 401


async def test_deprecated_features_are_listed(api: Api) -> None:
    shown = {one["name"]: one for one in await api.get("deprecated-features")}
    assert list(shown) == [
        "queue_master_locator",
        "global_qos",
        "amqp_filter_set_bug",
        "amqp_address_v1",
        "management_metrics_collection",
        "transient_nonexcl_queues",
        "classic_queue_mirroring",
        "ram_node_type",
    ]
    assert shown["transient_nonexcl_queues"] == TRANSIENT | {"state": "permitted"}
    assert shown["management_metrics_collection"]["provided_by"] == "rabbitmq_management_agent"
    assert {name for name, one in shown.items() if one["state"] == "denied"} == {
        "queue_master_locator",
        "global_qos",
        "amqp_filter_set_bug",
        "amqp_address_v1",
        "classic_queue_mirroring",
        "ram_node_type",
    }


async def test_used_deprecated_features_are_listed(api: Api) -> None:
    assert await api.get("deprecated-features/used") == []
    await api("PUT", "queues/%2F/q", {"durable": False})
    assert await api.get("deprecated-features/used") == [TRANSIENT]


def settled(version: str, **permit: bool) -> Broker:
    broker = Broker(Settings(profile=Profile(version), deprecated_features=DeprecatedFeatures(permit)))
    startup.seed(broker)
    return broker


def test_deprecated_features_can_be_permitted_and_denied() -> None:
    """Removed features cannot be permitted."""
    permit = dict.fromkeys(("global_qos", "queue_master_locator", "ram_node_type"), True)
    states = {one["name"]: one["state"] for one in features(settled("4.3", **permit))}
    assert (states["global_qos"], states["queue_master_locator"]) == ("permitted", "permitted")
    assert states["ram_node_type"] == "denied"
    denied = {one["name"]: one["state"] for one in features(settled("4.3", transient_nonexcl_queues=False))}
    assert denied["transient_nonexcl_queues"] == "denied"


def test_older_profiles_list_their_own_deprecated_features() -> None:
    shown = {one["name"]: one for one in features(settled("4.0"))}
    assert "amqp_filter_set_bug" not in shown and "state" not in shown["global_qos"]
    assert shown["global_qos"]["deprecation_phase"] == "permitted_by_default"
    assert shown["amqp_address_v1"]["doc_url"] == "https://www.rabbitmq.com/docs/next/amqp#address"
    assert features(settled("3.10")) == used(settled("3.10")) == []


async def test_denied_metrics_are_left_out(api: Api) -> None:
    """As RabbitMQ with `deprecated_features.permit.management_metrics_collection = false`, or ?disable_stats=true."""
    await api("PUT", "queues/%2F/q", {"durable": True})
    asked = [
        await api.get(f"{path}?disable_stats=true") for path in ("overview", "queues/%2F/q", "vhosts/%2F")
    ]
    denied = DeprecatedFeatures({"management_metrics_collection": False})
    api.node.broker.context.settings = Settings(deprecated_features=denied)
    overview, queue, vhost = [await api.get(path) for path in ("overview", "queues/%2F/q", "vhosts/%2F")]
    assert [overview, queue, vhost] == asked
    assert overview["disable_stats"] is True and "message_stats" not in overview
    assert overview["object_totals"] == {"queues": 1, "exchanges": 8, "connections": 0}
    assert set(queue) == {
        "arguments",
        "auto_delete",
        "durable",
        "effective_policy_definition",
        "exclusive",
        "internal",
        "internal_owner",
        "name",
        "node",
        "operator_policy",
        "policy",
        "state",
        "type",
        "vhost",
    }
    assert "recv_oct" not in vhost
    assert "incoming" not in await api.get("exchanges/%2F/amq.direct")

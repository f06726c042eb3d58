"""Users, permissions, limits, policies, virtual hosts and the cluster name are restored by every store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.engine.definitions import import_definitions
from tests.stores.harness import StoreHarness

DEFINITIONS = {
    "users": [
        {"name": "bob", "password": "secret", "tags": "monitoring", "limits": {"max-channels": 7}},
        {"name": "eve", "password": "secret", "tags": ""},
    ],
    "vhosts": [
        {
            "name": "shop",
            "metadata": {
                "description": "orders",
                "tags": ["eu"],
                "default_queue_type": "quorum",
                "protected_from_deletion": True,
            },
        },
        {"name": "gone"},
    ],
    "permissions": [
        {"user": user, "vhost": vhost, "configure": "^c", "write": "w", "read": ""}
        for user in ("bob", "eve")
        for vhost in ("shop", "gone")
    ],
    "topic_permissions": [
        {"user": user, "vhost": vhost, "exchange": exchange, "write": "w", "read": "r"}
        for user in ("bob", "eve")
        for vhost in ("shop", "gone")
        for exchange in ("amq.topic", "a")
    ],
    "global_parameters": [
        {"name": "cluster_name", "value": "shops"},
        {"name": "colours", "value": {"a": [1, None, "x"], "b": {}}},
    ],
    "policies": [
        {
            "vhost": vhost,
            "name": "ttl",
            "pattern": "^t",
            "apply-to": "queues",
            "definition": {"message-ttl": 5},
            "priority": 1,
        }
        for vhost in ("shop", "gone")
    ],
    "parameters": [
        {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": {"max-queues": 9}}
        for vhost in ("shop", "gone")
    ]
    + [
        {
            "vhost": "shop",
            "component": "operator_policy",
            "name": "short",
            "value": {"pattern": ".*", "definition": {"max-length": 5}, "priority": 0, "apply-to": "queues"},
        }
    ],
    "exchanges": [
        {"vhost": vhost, "name": name, "type": kind, "arguments": arguments}
        for vhost in ("shop", "gone")
        for name, kind, arguments in (
            ("a", "topic", {}),
            ("b", "fanout", {}),
            ("later", "x-delayed-message", {"x-delayed-type": "direct"}),
        )
    ],
    "queues": [{"vhost": vhost, "name": "q", "arguments": {}} for vhost in ("shop", "gone")],
    "bindings": [
        {"vhost": vhost, "source": "a", "destination": end, "destination_type": kind, "routing_key": "k"}
        for vhost in ("shop", "gone")
        for end, kind in (("q", "queue"), ("b", "exchange"))
    ],
}


def everything(harness: StoreHarness) -> dict[str, Any]:
    """Everything that is set or declared."""
    broker = harness.broker
    return {
        "users": broker.access.export_users(),
        "permissions": broker.access.export_permissions(),
        "topic permissions": broker.access.export_topic_permissions(),
        "limits": broker.access.export_vhost_limits(),
        "policies": [policy.to_json() for policy in broker.policies.list()],
        "operator policies": [policy.to_json() for policy in broker.policies.list(operator=True)],
        "global parameters": dict(broker.global_parameters),
        "vhosts": {name: vhost.properties() for name, vhost in sorted(broker.vhosts.items())},
        "exchanges": {name: sorted(vhost.exchanges) for name, vhost in sorted(broker.vhosts.items())},
        "queues": {name: sorted(vhost.queues) for name, vhost in sorted(broker.vhosts.items())},
        "bindings": {
            name: sorted(
                (binding.source, binding.destination.name, binding.routing_key)
                for exchange in vhost.exchanges.values()
                for binding in exchange.bindings.values()
            )
            for name, vhost in sorted(broker.vhosts.items())
        },
    }


def test_imported_definitions_are_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    import_definitions(harness.broker, DEFINITIONS)
    before = everything(harness)
    assert before["global parameters"]["cluster_name"] == "shops"
    reopen()
    assert everything(harness) == before


def test_deletions_are_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    import_definitions(harness.broker, DEFINITIONS)
    reopen()
    broker = harness.broker
    broker.delete_vhost("gone")
    broker.access.forget_user("eve")
    broker.access.clear_topic_permissions("bob", "shop", "a")
    broker.access.clear_vhost_limits("shop", "max-queues")
    broker.policies.clear("shop", "short", operator=True)
    broker.vhosts["shop"].delete_exchange(broker.vhosts["shop"].exchanges["later"])
    before = everything(harness)
    reopen()
    assert everything(harness) == before
    assert not harness.broker.faults.errors
    harness.broker.access.clear_permissions("bob", "shop")
    harness.broker.access.clear_topic_permissions("bob", "shop")
    harness.broker.access.clear_vhost_limits("shop")
    harness.broker.policies.clear("shop", "ttl")
    harness.broker.clear_global_parameter("cluster_name")
    before = everything(harness)
    reopen()
    assert everything(harness) == before


def test_a_virtual_host_that_was_added_again_is_restored_empty(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    import_definitions(harness.broker, DEFINITIONS)
    harness.broker.delete_vhost("gone")
    harness.broker.add_vhost("gone")
    before = everything(harness)
    reopen()
    assert everything(harness) == before
    assert (before["queues"]["gone"], before["bindings"]["gone"]) == ([], [])


def test_changes_are_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    import_definitions(harness.broker, DEFINITIONS)
    reopen()
    broker = harness.broker
    broker.access.users.set_tags("bob", ["administrator"])
    broker.access.users.clear_limits("bob", "max-channels")
    broker.access.users.clear_password("eve")
    broker.access.set_permissions("bob", "shop", "", "", "")
    broker.vhosts["shop"].update("books", (), None)
    broker.vhosts["shop"].tracing = True
    before = everything(harness)
    reopen()
    assert everything(harness) == before

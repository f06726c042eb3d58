"""Changes over HTTP are notified, so that the event exchange publishes them."""

from __future__ import annotations

from leveret.engine.actor import Actor
from leveret.engine.changes import (
    Change,
    ExchangeCreated,
    ExchangeDeleted,
    VhostCreated,
    VhostDeleted,
)
from leveret.engine.observers import Observer
from tests.management.conftest import Api


class RecordingObserver(Observer):
    def __init__(self) -> None:
        self.received: list[Change] = []

    def notify(self, change: Change) -> None:
        if not isinstance(change, ExchangeCreated | ExchangeDeleted | VhostCreated | VhostDeleted):
            self.received.append(change)


async def test_changes_of_users_permissions_policies_and_limits_are_notified(api: Api) -> None:
    observer = RecordingObserver()
    api.node.broker.observers.add(observer)
    await api.user("u", "monitoring")
    await api("PUT", "topic-permissions/%2F/u", {"exchange": "amq.topic", "write": "w", "read": "r"})
    await api("PUT", "users/u", {"password": "new", "tags": ""})
    await api("PUT", "user-limits/u/max-channels", {"value": 2})
    await api("DELETE", "user-limits/u/max-channels")
    await api("DELETE", "topic-permissions/%2F/u")
    await api("DELETE", "permissions/%2F/u")
    await api("DELETE", "users/u")
    policy = {"pattern": "q", "definition": {"max-length": 1}}
    for kind in ("policies", "operator-policies"):
        await api("PUT", f"{kind}/%2F/p", policy)
        await api("DELETE", f"{kind}/%2F/p")
    await api("PUT", "vhosts/v", {})
    await api("PUT", "vhost-limits/v/max-queues", {"value": 1})
    await api("DELETE", "vhosts/v")
    assert [type(change).__name__ for change in observer.received] == [
        "UserCreated",
        "UserTagsSet",
        "PermissionsSet",
        "TopicPermissionsSet",
        "UserReplaced",
        "UserPasswordChanged",
        "UserTagsSet",
        "UserLimitsSet",
        "UserLimitsCleared",
        "TopicPermissionsCleared",
        "PermissionsCleared",
        "UserDeleted",
        "PolicySet",
        "PolicyCleared",
        "PolicySet",
        "PolicyCleared",
        "PermissionsSet",
        "VhostLimitsSet",
        "VhostDeletionStarted",
        "VhostLimitsCleared",
        "PermissionsCleared",
        "VhostExchangesDeleted",
    ]
    assert {change.actor for change in observer.received} == {Actor("guest", "HTTP API")}


async def test_putting_a_virtual_host_again_resets_all_but_tracing(api: Api) -> None:
    await api("PUT", "vhosts/v", {"description": "d", "tags": "a,b", "default_queue_type": "quorum"})
    await api("PUT", "vhosts/v", {"tracing": True})
    shown = await api.get("vhosts/v")
    assert (shown["description"], shown["tags"], shown["default_queue_type"]) == ("", [], "classic")
    await api("PUT", "vhosts/v", {"description": "e"})
    assert (await api.get("vhosts/v"))["tracing"] is True

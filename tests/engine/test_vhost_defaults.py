"""New virtual hosts get what the configuration has for their names (docs: vhosts, defaults)."""

from __future__ import annotations

import pytest

from leveret.config import Settings
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.vhost_defaults import VhostDefaults
from leveret.settings import ConfigError
from leveret.settings import VhostDefaults as Defaults


def broker(**defaults: dict[str, dict[str, int | str]]) -> Broker:
    made = Broker(Settings(vhost_defaults=Defaults(**defaults)))
    made.observers.add(VhostDefaults(made))
    for name in ("app-1", "other"):
        operations.put_vhost(made, INTERNAL_CALLER, name)
    return made


def test_users_are_added_with_permissions() -> None:
    made = broker(
        users={
            "app": {
                "vhost_pattern": "^app",
                "password": "p",
                "tags": "management, monitoring",
                "write": "^w",
            },
            "nobody": {},
        }
    )
    assert made.access.authenticate("app", "p", loopback=True).name == "app"  # type: ignore[union-attr]
    assert made.access.users["app"].tags == ("management", "monitoring")
    permission = made.access.permission("app", "app-1")
    assert permission is not None
    assert (permission.configure, permission.write, permission.read) == (".*", "^w", ".*")
    assert made.access.permission("app", "other") is None
    assert made.access.permission("nobody", "other") is not None
    assert not hasattr(made.access.authenticate("nobody", "", loopback=True), "tags")


def test_a_user_that_exists_keeps_its_password() -> None:
    made = broker(users={"app": {"password": "first"}})
    operations.put_user(made, INTERNAL_CALLER, "app", {"password": "second", "tags": []})
    operations.put_vhost(made, INTERNAL_CALLER, "third")
    assert made.access.authenticate("app", "second", loopback=True).name == "app"  # type: ignore[union-attr]
    assert made.access.permission("app", "third") is not None


def test_the_first_limits_that_match_are_set() -> None:
    made = broker(limits={"1": {"pattern": "^app", "max_queues": 5}, "2": {"max_connections": 7}})
    assert made.access.vhost_limits("app-1") == {"max-queues": 5}
    assert made.access.vhost_limits("other") == {"max-connections": 7}


def test_operator_policies_are_set() -> None:
    made = broker(operator_policies={"p": {"vhost_pattern": "^app", "queue_pattern": "^q", "max_length": 3}})
    (policy,) = made.context.policies.list("app-1", operator=True)
    assert (policy.name, policy.pattern, policy.definition) == ("p", "^q", {"max-length": 3})
    assert made.context.policies.list("other", operator=True) == []


def test_a_wrong_pattern_is_refused_at_start() -> None:
    made = Broker(Settings(vhost_defaults=Defaults(limits={"1": {"pattern": "["}})))
    with pytest.raises(ConfigError, match=r"vhost_defaults: pattern: \["):
        VhostDefaults(made)

"""What every new virtual host gets: users, limits and operator policies of the configuration.

These are RabbitMQ's `default_users`, `default_limits.vhosts` and `default_policies.operator`
(rabbit_db_vhost_defaults): each applies to the virtual hosts whose name matches its pattern, when they are created.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from leveret.engine import operations
from leveret.engine.actor import INTERNAL
from leveret.engine.changes import PolicySet, VhostCreated
from leveret.engine.observers import Observer, on
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.patterns import Pattern, PatternError
from leveret.engine.policies import Policy
from leveret.settings import ConfigError

if TYPE_CHECKING:
    from leveret.engine.broker import Broker

log = logging.getLogger("leveret")

#: Fields of an operator policy that are not part of its definition.
_POLICY_FIELDS = ("vhost_pattern", "queue_pattern", "apply_to")

#: The fields of one entry of the configuration.
Fields = dict[str, int | str]


class VhostDefaults(Observer):
    """Applies the defaults to new virtual hosts. Raises `ConfigError` for a pattern that does not compile."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        defaults = broker.settings.vhost_defaults
        self._limits = [(_pattern(one, "pattern"), one) for one in defaults.limits.values()]
        self._policies = [
            (_pattern(one, "vhost_pattern"), name, one) for name, one in defaults.operator_policies.items()
        ]
        self._users = [(_pattern(one, "vhost_pattern"), name, one) for name, one in defaults.users.items()]

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        vhost, name = change.name, change.name.encode("utf-8", "surrogateescape")
        for pattern, fields in self._limits:
            if pattern.search(name):  # the first one counts
                self._set_limits(vhost, fields)
                break
        for pattern, policy, fields in self._policies:
            if pattern.search(name):
                self._set_policy(vhost, policy, fields)
        for pattern, user, fields in self._users:
            if pattern.search(name):
                self._add_user(vhost, user, fields)

    def _set_limits(self, vhost: str, fields: Fields) -> None:
        limits = {key.replace("_", "-"): value for key, value in fields.items() if key != "pattern"}
        operations.set_vhost_limits(self.broker, INTERNAL_CALLER, vhost, limits, merge=False)
        log.info("Applied default limits to vhost '%s': %s", vhost, limits)

    def _set_policy(self, vhost: str, name: str, fields: Fields) -> None:
        definition = {
            key.replace("_", "-"): value for key, value in fields.items() if key not in _POLICY_FIELDS
        }
        pattern, apply_to = str(fields.get("queue_pattern", ".*")), str(fields.get("apply_to", "all"))
        checked = {"name": name, "pattern": pattern, "definition": definition, "apply-to": apply_to}
        self.broker.context.policies.check({**checked, "priority": 0}, operator=True)
        policy = Policy(vhost, name, pattern, definition, 0, apply_to)
        here = self.broker.vhosts.get(vhost)
        if here is not None:
            operations.set_policy(here, INTERNAL_CALLER, policy, operator=True)
        else:  # it comes to some node, which applies it then
            self.broker.policies.set(policy, operator=True)
            self.broker.observers.notify(PolicySet(INTERNAL, policy, True))
        log.info("Applied default operator policy to vhost '%s': %s", vhost, name)

    def _add_user(self, vhost: str, name: str, fields: Fields) -> None:
        """Add the user unless there is one, and set its permissions."""
        if name not in self.broker.access.users:
            tags = [tag.strip() for tag in str(fields.get("tags", "")).split(",") if tag.strip()]
            user: dict[str, object] = {"tags": tags}
            if "password" in fields:
                user["password"] = str(fields["password"])
            else:
                user["password_hash"] = ""  # nobody can log in with a password
            operations.put_user(self.broker, INTERNAL_CALLER, name, user)
        patterns = [str(fields.get(kind, ".*")) for kind in ("configure", "write", "read")]
        operations.set_permissions(self.broker, INTERNAL_CALLER, name, vhost, *patterns)
        log.info("Added default user to vhost '%s': %s", vhost, name)


def _pattern(fields: Fields, name: str) -> Pattern:
    text = str(fields.get(name, ".*"))
    try:
        return Pattern(text)
    except PatternError as error:
        raise ConfigError("vhost_defaults", name, f"{text}: {error}") from None

"""Operations on limits of virtual hosts and users (rabbit_vhost_limit, rabbit_auth_backend_internal)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leveret.engine.changes import UserLimitsCleared, UserLimitsSet, VhostLimitsCleared, VhostLimitsSet
from leveret.engine.node_limits import ParameterLimitError
from leveret.engine.parameters import VHOST_LIMITS
from leveret.engine.users import LimitError

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller


def set_vhost_limits(
    broker: Broker, caller: Caller, vhost: str, limits: Mapping[str, object], *, merge: bool = True
) -> None:
    """Set limits of a virtual host; negative ones mean no limit. Raises `LimitError`.

    `merge`: keep limits that are not given, as over HTTP; definitions and rabbitmqctl replace all.
    """
    try:
        broker.context.node_limits.check_parameter(VHOST_LIMITS, len(broker.access.vhosts_with_limits))
    except ParameterLimitError as error:
        words = "component ~ts is limited to ~tp"
        raise LimitError(str(error), words, error.component.encode(), error.limit) from None
    broker.access.set_vhost_limits(vhost, limits, merge=merge)
    _vhost_limits_set(broker, caller, vhost)


def clear_vhost_limit(broker: Broker, caller: Caller, vhost: str, name: str) -> None:
    """Clear one limit of a virtual host, if there is one."""
    broker.access.clear_vhost_limits(vhost, name)
    _vhost_limits_set(broker, caller, vhost)


def clear_vhost_limits(broker: Broker, caller: Caller, vhost: str) -> bool:
    """Clear all limits of a virtual host; returns whether there was an entry for them."""
    if not broker.access.export_vhost_limits(vhost):
        return False
    broker.access.clear_vhost_limits(vhost)
    broker.observers.notify(VhostLimitsCleared(caller.actor, vhost))
    return True


def _vhost_limits_set(broker: Broker, caller: Caller, vhost: str) -> None:
    broker.observers.notify(VhostLimitsSet(caller.actor, vhost, dict(broker.access.vhost_limits(vhost))))


def set_user_limits(broker: Broker, caller: Caller, user: str, limits: Mapping[str, object]) -> None:
    """Set limits of a user; negative ones mean no limit. Raises `NoSuchUserError`, `LimitError`."""
    changed = broker.access.users.set_limits(user, limits)
    given = {name: changed.limits[name] for name in limits}
    broker.observers.notify(UserLimitsSet(caller.actor, user, given))


def clear_user_limit(broker: Broker, caller: Caller, user: str, name: str | None) -> None:
    """Clear one limit of a user, if there is one; None: all. Raises `NoSuchUserError`."""
    broker.access.users.clear_limits(user, name)
    broker.observers.notify(UserLimitsCleared(caller.actor, user))

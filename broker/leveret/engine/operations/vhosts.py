"""Operations on virtual hosts (docs: vhosts; rabbit_vhost)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from leveret.engine.access import Granted, place
from leveret.engine.catalogue import Kind
from leveret.engine.changes import (
    PermissionsCleared,
    VhostDeletionStarted,
    VhostLimitsCleared,
    VhostProtectionSet,
    VhostTracingSet,
    VhostUpdated,
)
from leveret.engine.vhost import VhostProperties
from leveret.work import in_order

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller
    from leveret.engine.vhost import VirtualHost

#: The value that resets the default queue type (rabbit_vhost: undefined).
UNDEFINED = "undefined"

#: Permissions that are looked up between two looks at the time.
_GATHERED_TOGETHER = 256


def put_vhost(
    broker: Broker,
    caller: Caller,
    name: str,
    *,
    description: str | None = None,
    tags: tuple[str, ...] | None = None,
    default_queue_type: str | None = None,
    tracing: bool | None = None,
) -> bool:
    """Add a virtual host, or set its properties. Returns whether it is new.

    None does not change a property; `default_queue_type` UNDEFINED resets it to that of the broker. Where there are
    other nodes, a new one is elsewhere until one of them, or this one, serves it. Raises `VhostLimitError`.
    """
    actor = caller.actor
    vhost = broker.vhosts.get(name)
    queue_type = None if default_queue_type == UNDEFINED else default_queue_type
    if new := vhost is None:
        broker.context.node_limits.check_vhost(name)
        if broker.other_nodes is not None:
            properties = VhostProperties(description or "", tags or (), queue_type, bool(tracing))
            broker.announce_vhost(name, properties, actor)
            return True
        vhost = broker.add_vhost(name, description or "", tags or (), actor, queue_type)
    else:
        vhost.check_kept()
        vhost.update(
            vhost.description if description is None else description,
            vhost.tags if tags is None else tags,
            vhost.default_queue_type if default_queue_type is None else queue_type,
        )
        broker.observers.notify(VhostUpdated(actor, *vhost.properties()))
    if tracing is not None and tracing != vhost.tracing:
        vhost.tracing = tracing
        broker.observers.notify(VhostTracingSet(actor, name, tracing))
    return new


class ProtectedVhostError(Exception):
    """A virtual host that is protected from deletion; the text is RabbitMQ's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Refusing to delete virtual host '{name}' because it is protected from deletion")


def protect_vhost(vhost: VirtualHost, caller: Caller, on: bool) -> None:
    """Protect a virtual host from deletion, or do so no longer (rabbit_db_vhost; RabbitMQ has no event for it)."""
    vhost.protect(on)
    vhost.engine.observers.notify(VhostProtectionSet(caller.actor, vhost.name, on))


def delete_vhost(broker: Broker, caller: Caller, name: str) -> bool:
    """Delete a virtual host with everything in it, and close its connections; returns whether there was one.

    Raises `ProtectedVhostError`.
    """
    vhost = broker.vhosts.get(name)
    if vhost is None:
        return False
    vhost.check_kept()
    if vhost.protected:
        raise ProtectedVhostError(name)
    return broker.delete_vhost(name, caller.actor, caller.owner, _deletion_started(broker, caller, name))


def delete_closed_vhost(broker: Broker, caller: Caller, name: str) -> bool:
    """Delete a virtual host that no node serves, because it is damaged; returns whether it was elsewhere. Raises
    `ProtectedVhostError`."""
    properties = broker.elsewhere.get(name)
    if properties is None:
        return False
    if properties.protected:
        raise ProtectedVhostError(name)
    for _ in _deletion_started(broker, caller, name):
        pass
    broker.forget_vhost(name, caller.actor)
    return True


def protect_closed_vhost(broker: Broker, caller: Caller, name: str, on: bool) -> None:
    """Protect a virtual host that no node serves from deletion, or do so no longer."""
    broker.elsewhere[name] = broker.elsewhere[name]._replace(protected=on)
    broker.context.changed(Kind.VHOST, (name,))
    broker.observers.notify(VhostProtectionSet(caller.actor, name, on))


def _deletion_started(broker: Broker, caller: Caller, name: str) -> Iterator[None]:
    """Report that a virtual host is going to be deleted, with what is set for it. Yields after each portion."""
    notify = broker.observers.notify
    notify(VhostDeletionStarted(caller.actor, name))
    if broker.access.vhost_limits(name):
        notify(VhostLimitsCleared(caller.actor, name))
    granted: list[Granted] = []
    for one in broker.access.each_permission(vhost=name):
        granted.append(one)
        if len(granted) % _GATHERED_TOGETHER == 0:
            yield
    found = yield from in_order(granted, place)
    for permission in found:
        notify(PermissionsCleared(caller.actor, permission.user, name))
        yield None

"""The initial contents of a broker: default virtual host and user, and exchanges of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine import operations
from leveret.engine.events import EVENTS, EventExchange
from leveret.engine.names import INTERNAL_USER
from leveret.engine.operations import INTERNAL_CALLER

if TYPE_CHECKING:
    from leveret.engine.broker import Broker


def seed(broker: Broker) -> None:
    """Add the default virtual host and user to an empty broker (docs: access-control#default-state)."""
    name = broker.settings.access.default_vhost
    operations.put_vhost(broker, INTERNAL_CALLER, name, description="Default virtual host")
    add_default_user(broker)
    plug_in(broker)


def add_default_user(broker: Broker) -> None:
    """Add the default user with its permissions in the default virtual host."""
    settings = broker.settings.access
    fields = {"password": settings.default_pass, "tags": list(settings.default_user_tags)}
    operations.put_user(broker, INTERNAL_CALLER, settings.default_user, fields)
    operations.set_permissions(
        broker, INTERNAL_CALLER, settings.default_user, settings.default_vhost, *settings.default_permissions
    )


def plug_in(broker: Broker) -> None:
    """Enable the plugins that the settings name, and delete the exchanges of others."""
    plugins = broker.settings.plugins
    name = plugins.event_exchange_vhost or broker.settings.access.default_vhost
    if plugins.event_exchange:
        events = EventExchange(broker.context, broker.vhosts, name)
        broker.observers.add(events)
        if name in broker.vhosts:
            events.declare(broker.vhosts[name])
        return
    for vhost in broker.vhosts.values():
        left = vhost.exchanges.get(EVENTS)
        if left is not None and left.user == INTERNAL_USER:
            operations.delete_exchange(vhost, INTERNAL_CALLER, EVENTS)

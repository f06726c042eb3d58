"""The initial contents of a broker: default virtual host and user, and exchanges of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine import operations
from leveret.engine.names import EVENT_EXCHANGE, INTERNAL_USER
from leveret.engine.operations import INTERNAL_CALLER

if TYPE_CHECKING:
    from leveret.engine.broker import Broker


def seed(broker: Broker) -> None:
    """Add the default virtual host and user to an empty broker (docs: access-control#default-state), or to one that was
    not filled to the end."""
    name = broker.settings.access.default_vhost
    if name not in broker.elsewhere:
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
    if broker.settings.plugins.event_exchange:
        enable_events(broker)
    else:
        _delete_events(broker)


def enable_events(broker: Broker) -> None:
    """Publish events (rabbitmq_event_exchange)."""
    from leveret.engine.events import EventExchange  # only with this plugin

    name = broker.settings.plugins.event_exchange_vhost or broker.settings.access.default_vhost
    events = EventExchange(broker, name)
    broker.context.events = events
    broker.observers.add(events)
    if name in broker.vhosts:
        events.declare(broker.vhosts[name])


def disable_events(broker: Broker) -> None:
    """Publish events no longer."""
    if broker.context.events is not None:
        broker.observers.remove(broker.context.events)
        broker.context.events = None
    _delete_events(broker)


def _delete_events(broker: Broker) -> None:
    for vhost in broker.vhosts.values():
        left = vhost.exchanges.get(EVENT_EXCHANGE)
        if left is not None and left.user == INTERNAL_USER:
            operations.delete_exchange(vhost, INTERNAL_CALLER, EVENT_EXCHANGE)

"""Connections."""

from __future__ import annotations

from leveret.engine import encryption
from leveret.engine.clients import ClientConnection, negotiated_frame_max
from leveret.engine.stats import connection_octets, connection_operations
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.figures import detailed
from leveret.management.views.process import garbage_collection
from leveret.profiles import Profile
from leveret.wire.tables import plain


def reference(connection: ClientConnection) -> Json:
    """Show what other objects say of a connection."""
    return {
        "name": connection.name,
        "peer_host": connection.peer.peer_host,
        "peer_port": connection.peer.peer_port,
    }


def opened(connection: ClientConnection, node: str, profile: Profile) -> Json:
    """Show a connection as it was opened."""
    peer = connection.peer
    properties = plain(connection.client_properties)
    shown: Json = {
        **reference(connection),
        "auth_mechanism": connection.mechanism,
        "channel_max": connection.channel_max,
        "client_properties": properties,
        "connected_at": connection.connected_at,
        "frame_max": negotiated_frame_max(connection),
        "host": peer.host,
        "node": node,
        "port": peer.port,
        "protocol": "AMQP 0-9-1",
        "ssl": peer.encryption is not None,
        **encryption.shown(peer.encryption, None, serial=profile.certificate_serial_shown),
        "timeout": connection.heartbeat,
        "type": "network",
        "user": connection.actor.user,
        "user_who_performed_action": connection.actor.user,
        "vhost": connection.vhost.name if connection.vhost is not None else "",
    }
    if "connection_name" in properties:
        shown["user_provided_name"] = properties["connection_name"]
    return shown


def figures(rates: Rates, connection: ClientConnection) -> Json:
    """Show the octets, rates, channels and state of a connection."""
    octets = connection_octets(connection)
    operations = {"reductions": connection_operations(connection)}
    return {
        **detailed(operations, rates.rates_of(connection, operations)),
        "garbage_collection": garbage_collection(),
        **detailed(octets, rates.rates_of(connection, octets)),
        "channels": len(connection.channels),
        "recv_cnt": connection.reads,
        "send_cnt": connection.writes,
        "send_pend": connection.unsent,
        "state": connection.state_name,
    }


def tracked(connection: ClientConnection, node: str) -> Json:
    """Show what RabbitMQ's list of connections by user has of a connection (rabbit_connection_tracking)."""
    return {
        "name": connection.name,
        "vhost": connection.vhost.name if connection.vhost is not None else "",
        "user": connection.actor.user,
        "node": node,
    }


def alone(shown: Json) -> Json:
    """Show a single connection: what it lacks of TLS is empty text, not null as in lists."""
    return {
        name: "" if value is None and name.startswith(("ssl_", "peer_cert_")) else value
        for name, value in shown.items()
    }

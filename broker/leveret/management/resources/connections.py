"""`/api/connections`: who is connected, and showing them the door (rabbit_mgmt_wm_connections and its sisters)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leveret import errors
from leveret.engine.stats import connection_octets
from leveret.management.call import Call, Routes, missing, not_authorised
from leveret.management.pagination import listed, picked
from leveret.management.views import connection_name, detailed
from leveret.session import states
from leveret.wire.tables import plain

#: The reason clients are given unless the caller sends one in X-Reason.
REASON = "Closed via management plugin"

_CERTIFICATE = ("peer_cert_issuer", "peer_cert_subject", "peer_cert_validity")
_SERIAL = "peer_cert_serial_number"
_TLS = ("ssl_cipher", "ssl_hash", "ssl_key_exchange", "ssl_protocol")


def _open(connections: Iterable[Any]) -> list[Any]:
    """Those that have a virtual host, the longest connected first."""
    found = [each for each in connections if each.vhost is not None and each.state <= states.CLOSING]
    return sorted(found, key=lambda each: (each.connected_at, each.name))


def _own(call: Call, found: list[Any]) -> list[Any]:
    """What a caller who does not monitor may see of them."""
    return found if call.monitors else [each for each in found if each.user.name == call.user.name]


def _list(call: Call, connections: Iterable[Any]) -> Any:
    return listed([_shown(call, each) for each in _own(call, _open(connections))], call.query)


def connections(call: Call) -> Any:
    """GET: all of them, or the caller's own."""
    return _list(call, call.broker.connections)


def connections_in_vhost(call: Call) -> Any:
    """GET: those to one virtual host."""
    return _list(call, call.vhost().connections)


def _of_user(call: Call, allowed: bool) -> list[Any]:
    """Those of the user in the path, for whom is `allowed` to and for that user."""
    name = call.path["user"]
    if not allowed and name != call.user.name:
        raise not_authorised("User not authorised to access object")
    return [each for each in _open(call.broker.connections) if each.user.name == name]


def connections_of_user(call: Call) -> Any:
    """GET: those of one user."""
    return listed([_shown(call, each) for each in _of_user(call, call.monitors)], call.query)


def close_of_user(call: Call) -> None:
    """DELETE: close those of one user."""
    for each in _of_user(call, call.tagged()):
        _close(call, each)


def _find(call: Call, allowed: bool) -> Any:
    name = call.path["name"]
    for each in _open(call.broker.connections):
        if each.name == name:
            if not allowed and each.user.name != call.user.name:
                raise not_authorised("User not authorised to access object")
            return each
    raise missing()


def connection(call: Call) -> Any:
    """GET: one connection."""
    return picked(_shown(call, _find(call, call.monitors)), call.query)


def close(call: Call) -> None:
    """DELETE: close it, for the reason in X-Reason."""
    _close(call, _find(call, call.tagged()))


def _close(call: Call, connection: Any) -> None:
    given = call.headers.get("X-Reason", REASON)
    reason = given.encode("utf-8", "surrogateescape").decode(
        "latin-1"
    )  # RabbitMQ takes each octet for a character
    connection.shut(errors.connection_forced(reason))


def _shown(call: Call, connection: Any) -> dict[str, Any]:
    peer = connection.peer
    properties = plain(connection.client_properties)
    certificate = [*_CERTIFICATE, *([_SERIAL] if call.broker.profile.certificate_serial_shown else [])]
    shown = {
        **connection_name(connection),
        "auth_mechanism": connection.mechanism,
        "channel_max": connection.channel_max,
        "client_properties": properties,
        "connected_at": connection.connected_at,
        "frame_max": connection.frame_max,
        "host": peer.host,
        "node": call.http.node_name,
        **dict.fromkeys(certificate),
        "port": peer.port,
        "protocol": "AMQP 0-9-1",
        "ssl": peer.tls,
        **dict.fromkeys(_TLS),
        "timeout": connection.heartbeat,
        "type": "network",
        "user": connection.user.name,
        "user_who_performed_action": connection.user.name,
        "vhost": connection.vhost.name,
    }
    if "connection_name" in properties:
        shown["user_provided_name"] = properties["connection_name"]
    return shown if call.without_stats else shown | _figures(call, connection)


def _figures(call: Call, connection: Any) -> dict[str, Any]:
    octets = connection_octets(connection)
    return {
        **detailed(octets, call.http.stats.rates_of(connection, octets)),
        "channels": len(connection.channels),
        "send_pend": connection.outbox.size,
        "state": _state(connection),
    }


def _state(connection: Any) -> str:
    """`blocking` until the client publishes while an alarm is on, `blocked` from then on (rabbit_reader)."""
    if connection.blocked:
        return "blocked"
    if connection.alarmed and connection.state == states.RUNNING:
        return "blocking"
    return states.NAMES[connection.state]


ROUTES: Routes = {
    "connections": {"GET": connections},
    "connections/{name}": {"GET": connection, "DELETE": close},
    "connections/username/{user}": {"GET": connections_of_user, "DELETE": close_of_user},
    "vhosts/{vhost}/connections": {"GET": connections_in_vhost},
}

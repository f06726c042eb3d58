"""Is it well? `/api/health/checks`, `/api/healthchecks`, `/api/aliveness-test`: 200, or 503 with a reason."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from leveret import errors
from leveret.management.call import Call, Reply, Routes, bad_request, missing

_UNITS = ("days", "weeks", "months", "years")

#: Other names of a protocol.
_ALIASES = {
    "amqp091": "amqp",
    "amqp0.9.1": "amqp",
    "amqp0-9-1": "amqp",
    "amqps": "amqp/ssl",
}

OK = {"status": "ok"}


def failed(reason: str, **details: object) -> Reply:
    """A check that failed."""
    body = msgspec.json.encode({"status": "failed", "reason": reason, **details})
    return Reply(503, body, {"Content-Type": "application/json"})


def alarms(call: Call) -> Any:
    """GET: 503 while a resource alarm is on."""
    node = call.http.node_name
    found = [{"node": node, "resource": source} for source in sorted(call.broker.alarms)]
    return failed("There are alarms in effect in the cluster", alarms=found) if found else OK


def local_alarms(call: Call) -> Any:
    """GET: the same for this node."""
    node = call.http.node_name
    found = [{"node": node, "resource": source} for source in sorted(call.broker.alarms)]
    return failed("There are alarms in effect on the node", alarms=found) if found else OK


def port_listener(call: Call) -> Any:
    """GET: 503 unless something listens on the port."""
    try:
        port = int(call.path["port"])
    except ValueError:
        raise bad_request("Invalid port") from None
    ports = [listener.port for listener in call.http.listeners()]
    if port in ports:
        return {**OK, "port": port}
    return failed("No active listener", missing=port, ports=sorted(set(ports)))


def protocol_listener(call: Call) -> Any:
    """GET: 503 unless the protocol is spoken on some port; several names may be given, with commas."""
    wanted = _protocols(call.path["protocol"])
    active = sorted({listener.protocol for listener in call.http.listeners()})
    absent = [name for name in wanted if name not in active]
    if absent:
        lacking = absent if call.since(4, 2) else absent[0]
        return failed("No active listener", missing=lacking, protocols=active)
    return {**OK, "protocols": active} if call.since(4, 2) else {**OK, "protocol": wanted[0]}


def _protocols(text: str) -> list[str]:
    """Names as RabbitMQ takes them, in any case of letters. AMQP 1.0 is not spoken, so it has no alias."""
    return [_ALIASES.get(name.lower(), name.lower()) for name in text.split(",")]


def virtual_hosts(call: Call) -> Any:
    """GET: virtual hosts do not fail one by one here."""
    return OK


def certificate_expiration(call: Call) -> Any:
    """GET: no TLS listener has a certificate that could expire within that time."""
    if call.path["unit"] not in _UNITS:
        raise bad_request(f"Time unit not recognised. Supported units: {', '.join(_UNITS)}.")
    if re.fullmatch(r"[+-]?\d+", call.path["within"]) is None:
        raise bad_request("Invalid expiration value.")
    return OK


def single_node(call: Call) -> Any:
    """GET: no quorum depends on this node alone that is not lost with it anyway."""
    return {**OK, "reason": "single node cluster"}


def mirrors(call: Call) -> Any:
    """GET: nothing is mirrored (until 3.13)."""
    if call.since(4, 0):
        raise missing()
    return single_node(call)


def serving(call: Call) -> Any:
    """GET: it is up, or there would be no answer."""
    return OK


def below_connection_limit(call: Call) -> Any:
    """GET: 503 when no more connections are accepted."""
    limit, current = call.broker.settings.server.max_connections, len(call.broker.connections)
    if 0 <= limit <= current:
        reason = f"node connection limit {limit} is reached, current connections: {current}"
        return failed(reason, limit=limit, connections=current)
    return OK


def node(call: Call) -> Any:
    """GET: the old check of a node; names other than its own are missing."""
    if call.path.get("node", call.http.node_name) != call.http.node_name:
        raise missing()
    if not call.broker.alarms:
        return OK
    terms = ",".join(
        f"{{resource_limit,{source},{call.http.node_name}}}" for source in sorted(call.broker.alarms)
    )
    return failed(f"resource alarm(s) in effect:[{terms}]")


def aliveness(call: Call) -> Any:
    """GET: may the caller use the virtual host? (from 4.0; before, a message went through a queue)"""
    vhost = call.vhost()
    if not call.broker.access.vhost_access(call.user.name, vhost.name):
        raise errors.vhost_access_refused(vhost.name, call.user.name)
    return OK


_LEADERS = "health/checks/quorum-queues-without-elected-leaders"

ROUTES: Routes = {
    "health/checks/alarms": {"GET": alarms},
    "health/checks/local-alarms": {"GET": local_alarms},
    "health/checks/port-listener/{port}": {"GET": port_listener},
    "health/checks/protocol-listener/{protocol}": {"GET": protocol_listener},
    "health/checks/virtual-hosts": {"GET": virtual_hosts},
    "health/checks/certificate-expiration/{within}/{unit}": {"GET": certificate_expiration},
    "health/checks/node-is-quorum-critical": {"GET": single_node},
    "health/checks/node-is-mirror-sync-critical": {"GET": mirrors},
    "health/checks/metadata-store/initialized": {"GET": serving},
    "health/checks/metadata-store/initialized/with-data": {"GET": serving},
    "health/checks/is-in-service": {"GET": serving},
    "!health/checks/ready-to-serve-clients": {"GET": serving},
    "health/checks/below-node-connection-limit": {"GET": below_connection_limit},
    "health/checks/reached-target-cluster-size": {"GET": serving},
    f"{_LEADERS}/all-vhosts": {"GET": serving},
    f"{_LEADERS}/all-vhosts/pattern/{{pattern}}": {"GET": serving},
    f"{_LEADERS}/vhost/{{vhost}}": {"GET": serving},
    f"{_LEADERS}/vhost/{{vhost}}/pattern/{{pattern}}": {"GET": serving},
    "healthchecks/node": {"GET": node},
    "healthchecks/node/{node}": {"GET": node},
    "aliveness-test/{vhost}": {"GET": aliveness},
}

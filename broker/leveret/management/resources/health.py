"""Health checks: `/api/health/checks`, `/api/healthchecks`, `/api/aliveness-test`: 200, or 503 with a reason."""

from __future__ import annotations

import re

from leveret import errors
from leveret.management.call import Call, Handler, Reply, Resource, Routes, bad_request, missing, shown

_UNITS = ("days", "weeks", "months", "years")

#: Other names of protocols.
_ALIASES = {
    "amqp091": "amqp",
    "amqp0.9.1": "amqp",
    "amqp0-9-1": "amqp",
    "amqps": "amqp/ssl",
}

OK = {"status": "ok"}


def failed(reason: str, **details: object) -> Reply:
    """Answer a check that failed."""
    return shown({"status": "failed", "reason": reason, **details}, 503)


def alarms(call: Call) -> object:
    """GET: 503 while a resource alarm is on."""
    node = call.site.node_name
    found = [{"node": node, "resource": source} for source in sorted(call.broker.alarms)]
    return failed("There are alarms in effect in the cluster", alarms=found) if found else OK


def local_alarms(call: Call) -> object:
    """GET: the same for this node."""
    node = call.site.node_name
    found = [{"node": node, "resource": source} for source in sorted(call.broker.alarms)]
    return failed("There are alarms in effect on the node", alarms=found) if found else OK


def port_listener(call: Call) -> object:
    """GET: 503 unless something listens on the port."""
    try:
        port = int(call.path["port"])
    except ValueError:
        raise bad_request("Invalid port") from None
    ports = [listener.port for listener in call.site.listeners()]
    if port in ports:
        return {**OK, "port": port}
    return failed("No active listener", missing=port, ports=sorted(set(ports)))


def protocol_listener(call: Call) -> object:
    """GET: 503 unless there is a listener for each of the protocols; names are separated by commas."""
    wanted = _protocols(call.path["protocol"])
    active = sorted({listener.protocol for listener in call.site.listeners()})
    absent = [name for name in wanted if name not in active]
    if absent:
        lacking = absent if call.api.protocols_listed else absent[0]
        return failed("No active listener", missing=lacking, protocols=active)
    return {**OK, "protocols": active} if call.api.protocols_listed else {**OK, "protocol": wanted[0]}


def _protocols(text: str) -> list[str]:
    """Protocol names, in any case of letters. There is no AMQP 1.0 listener, so it has no alias."""
    return [_ALIASES.get(name.lower(), name.lower()) for name in text.split(",")]


def virtual_hosts(call: Call) -> object:
    """GET: a single virtual host cannot be down."""
    return OK


def certificate_expiration(call: Call) -> object:
    """GET: there are no TLS listeners whose certificates could expire within that time. Raises `Refusal`."""
    if call.path["unit"] not in _UNITS:
        raise bad_request(f"Time unit not recognised. Supported units: {', '.join(_UNITS)}.")
    if re.fullmatch(r"[+-]?\d+", call.path["within"]) is None:
        raise bad_request("Invalid expiration value.")
    return OK


def single_node(call: Call) -> object:
    """GET: a single node is not critical for any quorum."""
    return {**OK, "reason": "single node cluster"}


def serving(call: Call) -> object:
    """GET: the node serves clients, or it would not answer."""
    return OK


def below_connection_limit(call: Call) -> object:
    """GET: 503 if the limit of connections is reached."""
    limit, current = call.broker.settings.server.max_connections, len(call.broker.connections)
    if 0 <= limit <= current:
        reason = f"node connection limit {limit} is reached, current connections: {current}"
        return failed(reason, limit=limit, connections=current)
    return OK


def node(call: Call) -> object:
    """GET: 503 while a resource alarm is on; a node of another name is missing."""
    if call.path.get("node", call.site.node_name) != call.site.node_name:
        raise missing()
    if not call.broker.alarms:
        return OK
    terms = ",".join(
        f"{{resource_limit,{source},{call.site.node_name}}}" for source in sorted(call.broker.alarms)
    )
    return failed(f"resource alarm(s) in effect:[{terms}]")


def aliveness(call: Call) -> object:
    """GET: whether the user may use the virtual host. Before 4.0 RabbitMQ sent a message through a queue."""
    vhost = call.vhost()
    if not call.broker.access.vhost_access(call.user.name, vhost.name):
        raise errors.vhost_access_refused(vhost.name, call.user.name)
    return OK


def _may_see_vhost(call: Call) -> None:
    """Raises `Refusal` unless the user is a monitor or has permissions in the virtual host."""
    if not call.monitors:
        call.need_vhost()


def _probe(check: Handler) -> Resource:
    """A check that load balancers and orchestrators make, without login."""
    return Resource({"GET": check}, public=True, no_store=True)


_LEADERS = "health/checks/quorum-queues-without-elected-leaders"

ROUTES: Routes = {
    "health/checks/alarms": {"GET": alarms},
    "health/checks/local-alarms": {"GET": local_alarms},
    "health/checks/port-listener/{port}": {"GET": port_listener},
    "health/checks/protocol-listener/{protocol}": {"GET": protocol_listener},
    "health/checks/virtual-hosts": {"GET": virtual_hosts},
    "health/checks/certificate-expiration/{within}/{unit}": {"GET": certificate_expiration},
    "health/checks/node-is-quorum-critical": {"GET": single_node},
    "health/checks/node-is-mirror-sync-critical": {"GET": single_node},
    "health/checks/metadata-store/initialized": {"GET": serving},
    "health/checks/metadata-store/initialized/with-data": {"GET": serving},
    "health/checks/is-in-service": _probe(serving),
    "health/checks/ready-to-serve-clients": _probe(serving),
    "health/checks/below-node-connection-limit": _probe(below_connection_limit),
    "health/checks/reached-target-cluster-size": _probe(serving),
    f"{_LEADERS}/all-vhosts": {"GET": serving},
    f"{_LEADERS}/all-vhosts/pattern/{{pattern}}": {"GET": serving},
    f"{_LEADERS}/vhost/{{vhost}}": Resource({"GET": serving}, may=_may_see_vhost),
    f"{_LEADERS}/vhost/{{vhost}}/pattern/{{pattern}}": Resource({"GET": serving}, may=_may_see_vhost),
    "healthchecks/node": {"GET": node},
    "healthchecks/node/{node}": {"GET": node},
    "aliveness-test/{vhost}": {"GET": aliveness},
}

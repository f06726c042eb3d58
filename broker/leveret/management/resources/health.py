"""Health checks: `/api/health/checks`, `/api/healthchecks`, `/api/aliveness-test`: 200, or 503 with a reason."""

from __future__ import annotations

from collections.abc import Iterable

from leveret import errors
from leveret.engine import operations
from leveret.management.call import Call, Handler, Reply, Resource, Routes, bad_request, missing, shown
from leveret.management.json import Json
from leveret.management.owners import damages, vhosts_down
from leveret.management.views.nodes import critical_queues
from leveret.wire.erlang import integer

#: Seconds of a unit of time (rabbit_mgmt_wm_health_check_certificate_expiration).
_UNIT_S = {"days": 86400, "weeks": 604800, "months": 2_628_000, "years": 86400 * 365}

#: Other names of protocols.
_ALIASES = {
    "amqp091": "amqp",
    "amqp0.9.1": "amqp",
    "amqp0-9-1": "amqp",
    "amqps": "amqp/ssl",
}

OK = {"status": "ok"}

ALIVENESS_QUEUE = "aliveness-test"


def failed(reason: str, **details: object) -> Reply:
    """Answer a check that failed."""
    return shown({"status": "failed", "reason": reason, **details}, 503)


def alarms(call: Call) -> object:
    """GET: 503 while a resource alarm is on."""
    found = _alarms(call.site.node_name, call.broker.alarms)
    for one in call.site.other_nodes():
        if one.running and one.figures is not None:
            found += _alarms(one.name, one.figures.alarms)
    return failed("There are alarms in effect in the cluster", alarms=found) if found else OK


def _alarms(node: str, sources: Iterable[str]) -> list[Json]:
    return [{"node": node, "resource": source} for source in sorted(sources)]


def local_alarms(call: Call) -> object:
    """GET: the same for this node."""
    found = _alarms(call.site.node_name, call.broker.alarms)
    return failed("There are alarms in effect on the node", alarms=found) if found else OK


def port_listener(call: Call) -> object:
    """GET: 503 unless something listens on the port."""
    try:
        port = integer(call.path["port"])
    except ValueError:
        raise bad_request("Invalid port") from None
    ports = [listener.port for listener in call.site.listeners()]
    if port in ports:
        return {**OK, "port": port}
    return failed("No active listener", missing=port, ports=sorted(set(ports)))


def protocol_listener(call: Call) -> object:
    """GET: 503 unless there is a listener for each of the protocols; names are separated by commas."""
    wanted = _protocols(call.path["protocol"], call.api.protocols_listed)
    active = sorted({listener.protocol for listener in call.site.listeners()})
    absent = [name for name in wanted if name not in active]
    if absent:
        lacking = absent if call.api.protocols_listed else absent[0]
        return failed("No active listener", missing=lacking, protocols=active)
    return {**OK, "protocols": active} if call.api.protocols_listed else {**OK, "protocol": wanted[0]}


def _protocols(text: str, several: bool) -> list[str]:
    """Protocol names, in any case of letters. There is no AMQP 1.0 listener, so it has no alias. `several`: the version
    takes more than one."""
    return [_ALIASES.get(name.lower(), name.lower()) for name in (text.split(",") if several else [text])]


def virtual_hosts(call: Call) -> object:
    """GET: 503 while a virtual host is on no node of the cluster; on a node alone, none can be down."""
    down = vhosts_down(call.broker, call.site.owners)
    if not down:
        return OK
    damaged = {one.vhost: one.text for one in damages(call.broker, call.site.owners)}
    more: dict[str, object] = {"damaged": damaged} if damaged else {}
    return failed("Some virtual hosts are down", **{"virtual-hosts": down}, **more)


def certificate_expiration(call: Call) -> object:
    """GET: 503 if certificates of the AMQP listeners with TLS expire within that time. Raises `Refusal`.

    RabbitMQ looks at these listeners only: for others it keeps the names of the files elsewhere.
    """
    unit = call.path["unit"].lower()
    if unit not in _UNIT_S:
        raise bad_request(f"Time unit not recognised. Supported units: {', '.join(_UNIT_S)}.")
    try:
        within = integer(call.path["within"])
    except ValueError:
        raise bad_request("Invalid expiration value.") from None
    expired = call.site.expiring(within * _UNIT_S[unit])
    found = [
        {
            "node": call.site.node_name,
            "protocol": one.listener.protocol,
            "interface": one.listener.ip_address,
            "port": one.listener.port,
            "certfile": one.tls.certfile,
            "cacertfile": one.tls.cacertfile,
            "certfile_expires_on": one.certfile_ends,
            "cacertfile_expires_on": one.cacertfile_ends,
        }
        for one in expired
    ]
    return failed("Certificates expiring", expired=found) if found else OK


def single_node(call: Call) -> object:
    """GET: 503 if no other node of the cluster could take over."""
    others = call.site.other_nodes()
    if not others:
        return {**OK, "reason": "single node cluster"}
    if any(one.takes_over for one in others):
        return OK
    reason = "There are quorum queues that would lose their quorum if the target node is shut down"
    return failed(reason, queues=critical_queues(call.broker))


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
    """GET: whether the user may use the virtual host. Older versions send a message through a queue for that; they
    declare it, and it stays."""
    vhost = call.vhost()
    if call.api.aliveness_queue:
        operations.declare_queue(
            vhost, call.caller, ALIVENESS_QUEUE, durable=False, auto_delete=False, arguments={}
        )
    if not call.may_open(vhost.name):
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
    "healthchecks/node/{node}": Resource({"GET": node}, of_node=True),
    "aliveness-test/{vhost}": {"GET": aliveness},
}

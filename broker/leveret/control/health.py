"""Health checks, and questions that a single node answers always in the same way."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.control.call import Call, Handler
from leveret.engine.deprecated import used
from leveret.management.owners import damages, vhosts_down
from leveret.management.site import Expiring
from leveret.management.views.nodes import critical_queues
from leveret.rendering.answers import SOFTWARE, UNAVAILABLE, Done, Failure, Shown, Silent, failed, failed_json
from leveret.rendering.formatters import encoded
from leveret.rendering.terms import Atom, Quoted

#: How long to wait for the state of a node that is being started, seconds.
POLL_S = 0.05


def ping(call: Call) -> object:
    """Answer."""
    return Shown("Ping succeeded")


def no_op(call: Call) -> object:
    """Do nothing: RabbitMQ does nothing any more."""
    return Done()


def passed(call: Call, text: str) -> object:
    """A check has passed."""
    if call.json:
        return Shown({"result": "ok"})
    return Silent() if call.silent else Shown(text)


def _running_text(call: Call, running: bool) -> str:
    if running:
        return f"RabbitMQ on node {call.node} is fully booted and running"
    return f"RabbitMQ on node {call.node} is not running or has not fully booted yet (check with is_booting)"


def check_running(call: Call) -> object:
    """Check that the application is started."""
    if not call.host.running:
        raise failed(UNAVAILABLE, _running_text(call, False))
    return Shown(_running_text(call, True))


def is_running(call: Call) -> object:
    """Say whether the application is started."""
    running = call.host.running
    text = _running_text(call, running)
    return Shown({"result": running, "message": text} if call.json else text)


def is_booting(call: Call) -> object:
    """Say whether the application is being started."""
    booting = call.host.booting
    state = "fully booted (check with is_running), stopped or has not started booting yet"
    text = f"RabbitMQ on node {call.node} is {'booting' if booting else state}"
    return Shown({"result": booting, "message": text} if call.json else text)


# --- alarms

_ALARMS = {"memory": "Memory alarm on node {}", "disk": "Free disk space alarm on node {}"}


def alarm_lines(call: Call) -> list[str]:
    """A sentence for each alarm."""
    return alarm_lines_of(call.node, call.broker.alarms)


def alarm_lines_of(node: str, alarms: Iterable[str]) -> list[str]:
    """A sentence for each alarm of a node."""
    return [_ALARMS[source].format(node) for source in sorted(alarms, reverse=True)]


def alarm_terms(call: Call) -> list[object]:
    """The alarms as terms."""
    return alarm_terms_of(call.node, call.broker.alarms)


def alarm_terms_of(node: str, alarms: Iterable[str]) -> list[object]:
    """The alarms of a node as terms."""
    return [(Atom("resource_limit"), Atom(source), Atom(node)) for source in sorted(alarms, reverse=True)]


def alarms(call: Call) -> object:
    """Show the alarms that are on."""
    found = alarm_lines(call)
    if not found:
        if call.json:
            return Shown({"result": "ok", "node": call.node, "alarms": []})
        return Shown(f"Node {call.node} reported no alarms, local or clusterwide")
    if call.json:
        text = f"Node {call.node} reported alarms"
        return Shown({"result": "ok", "global": [], "local": found, "message": text})
    return Shown("\n".join(found))


def check_alarms(call: Call) -> object:
    """Check that no alarm is on."""
    found = alarm_lines(call)
    if not found:
        return passed(call, f"Node {call.node} reported no alarms, local or clusterwide")
    if call.json:
        text = f"Node {call.node} reported alarms"
        raise failed_json({"result": "error", "global": [], "local": found, "message": text})
    raise Failure(UNAVAILABLE, "" if call.silent else "\n".join(found))


def check_local_alarms(call: Call) -> object:
    """Say that there are none: RabbitMQ's check does nothing any more."""
    return passed(call, f"Node {call.node} reported no local alarms")


# --- what a single node answers


def check_virtual_hosts(call: Call) -> object:
    """Check that each virtual host is on some node of the cluster; on a node alone, none can be down."""
    down = vhosts_down(call.broker, call.host.owners)
    if down:
        text = f"Some virtual hosts on node {call.node} are down:"
        damaged = damages(call.broker, call.host.owners)
        if call.json:
            more = {"damaged": {one.vhost: one.text for one in damaged}} if damaged else {}
            raise failed_json({"result": "error", "vhosts": down, "message": text, **more})
        lines = [text, *down, *(f"\n{one.text}" for one in damaged)]
        raise Failure(UNAVAILABLE, "" if call.silent else "\n".join(lines))
    if call.options.get("formatter") == "erlang":
        return Silent()
    return passed(call, f"Node {call.node} reported all vhosts as running")


def quorum_critical(call: Call) -> object:
    """Check that another node could take over."""
    others = call.host.other_nodes()
    if others and call.host.maintenance:
        rest = "seems to be in maintenance mode, the check does not apply"
        if call.json:
            return Shown({"result": "ok", "message": f"Target node {rest}"})
        return Silent() if call.silent else Shown(call.named(rest))
    if any(one.takes_over for one in others):
        return passed(call, call.named("reported no queues/streams with minimum quorum"))
    if others:
        return _critical(call)
    rest = "seems to be the only one in a single node cluster, the check does not apply"
    if call.json:
        return Shown({"result": "ok", "message": f"Target node {rest}"})
    return Silent() if call.silent else Shown(call.named(rest))


def _critical(call: Call) -> object:
    """No other node could take over. Raises `Failure` if there is something to take over."""
    found = critical_queues(call.broker)
    if not found:
        return passed(call, call.named("reported no queues/streams with minimum quorum"))
    if call.json:
        text = call.named("reported local queues with minimum online quorum")
        raise failed_json({"result": "error", "queues": found, "message": text})
    lines = [f"{one['readable_name']} will become unavailable if node {call.node} stops" for one in found]
    raise Failure(UNAVAILABLE, "" if call.silent else "\n".join(lines))


def mirror_critical(call: Call) -> object:
    """There are no mirrors."""
    return Shown({"result": "ok"}) if call.json else Shown("ok")


def initial_sync(call: Call) -> object:
    """No replica is being made."""
    return passed(call, call.named("reported no queues with promotable replicas"))


def elected_leaders(call: Call) -> object:
    """Each quorum queue has a leader: this node."""
    text = call.named("reported all quorum queue as having responsive leader replicas")
    if call.json:
        return Shown({"result": "ok", "message": text})
    return Silent() if call.quiet else Shown(text)


_UNIT_S = {"days": 86400, "weeks": 604800, "months": 2592000, "years": 31536000}


def _expired(call: Call, one: Expiring) -> dict[str, object]:
    return {
        "node": call.node,
        "protocol": one.listener.protocol,
        "interface": one.listener.ip_address,
        "port": one.listener.port,
        "certfile": one.tls.certfile,
        "cacertfile": one.tls.cacertfile,
        "certfile_expires_on": one.certfile_ends,
        "cacertfile_expires_on": one.cacertfile_ends,
    }


def certificate_expiration(call: Call) -> object:
    """Check that no certificate of a listener expires within some time."""
    within, unit = call.options.get("within", 4), str(call.options.get("unit", "weeks")).lower()
    assert isinstance(within, int)
    expired = [_expired(call, one) for one in call.host.expiring(within * _UNIT_S[unit])]
    if expired:
        if call.json:
            raise failed_json({"result": "error", "expired": expired})
        raise Failure(UNAVAILABLE, "" if call.silent else encoded(expired))
    if call.json:
        return Shown({"result": "ok"})
    shown = unit.removesuffix("s") if within == 1 else unit
    return Silent() if call.silent else Shown(f"No certificates are expiring within {within} {shown}.")


def certificates(call: Call) -> object:
    """Show the files of certificates by listener."""
    found = {one.port: one for one in call.host.listeners() if one.tls is not None}
    return Shown({
        Quoted(f"{one.ip_address}:{port}"): [
            (Atom("certfile"), Quoted(one.tls.certfile)), (Atom("cacertfile"), Quoted(one.tls.cacertfile))
        ]
        for port, one in found.items()
        if one.tls is not None
    })  # fmt: skip


def metadata_store(call: Call) -> object:
    """The catalogue is read before the node answers anybody."""
    return passed(call, f"Metadata store on node {call.node} has completed its initialization")


def deprecated_features_used(call: Call) -> object:
    """Check that no deprecated feature is used."""
    found = [str(one["name"]) for one in used(call.broker)]
    if not found:
        return passed(call, "Cluster reported no deprecated features in use")
    text = "Cluster reported deprecated features in use: " + ", ".join(found)
    if call.json:
        raise failed_json({"result": "error", "deprecated_features": found, "message": text})
    raise Failure(UNAVAILABLE, "" if call.silent else text)


def target_cluster_size(call: Call) -> object:
    """A node is the whole cluster."""
    if call.tool != "rabbitmq-upgrade" and call.json:
        return Shown({"result": "ok"})
    return passed(call, f"Target cluster size has been reached on node {call.node}")


def online_quorum(call: Call) -> object:
    """There is nothing to wait for."""
    rest = "seems to be the only one in a single node cluster, the {} does not apply"
    if call.json:
        return Shown({"result": "ok", "message": f"Target node {rest.format('check')}"})
    return Silent() if call.quiet else Shown(f"Target node {rest.format('command')}")


async def await_startup(call: Call) -> object:
    """Wait until the application is started."""
    import asyncio

    timeout = call.options.get("timeout")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (timeout / 1000 if isinstance(timeout, int) else 300)
    while call.host.booting and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    if not call.host.running:
        raise failed(UNAVAILABLE, "rabbit_is_not_running")
    return Done()


async def await_online_nodes(call: Call) -> object:
    """Wait until so many nodes of the cluster run."""
    import asyncio

    wanted, timeout = int(call.arguments[0]), call.options.get("timeout")
    assert isinstance(timeout, int)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout / 1000
    while 1 + sum(one.running for one in call.host.other_nodes()) < wanted:
        left = deadline - loop.time()
        if left <= 0:
            raise failed(
                SOFTWARE, f"Error: timed out while waiting. Not enough nodes joined {call.node}'s cluster."
            )
        await asyncio.sleep(min(POLL_S, left))
    return Done()


COMMANDS: dict[str, Handler] = {
    "ping": ping,
    "node_health_check": no_op,
    "check_running": check_running,
    "is_running": is_running,
    "is_booting": is_booting,
    "alarms": alarms,
    "check_alarms": check_alarms,
    "check_local_alarms": check_local_alarms,
    "check_virtual_hosts": check_virtual_hosts,
    "check_if_node_is_quorum_critical": quorum_critical,
    "check_if_node_is_mirror_sync_critical": mirror_critical,
    "check_if_new_quorum_queue_replicas_have_finished_initial_sync": initial_sync,
    "check_for_quorum_queues_without_an_elected_leader": elected_leaders,
    "check_certificate_expiration": certificate_expiration,
    "certificates": certificates,
    "check_if_metadata_store_is_initialized": metadata_store,
    "check_if_metadata_store_is_initialized_with_data": metadata_store,
    "check_if_any_deprecated_features_are_used": deprecated_features_used,
    "has_reached_target_cluster_size": target_cluster_size,
    "await_online_quorum_plus_one": online_quorum,
    "await_startup": await_startup,
    "await_online_nodes": await_online_nodes,
}

"""What is done with the node as a whole: it is stopped, started, reset, drained; its limits and log level change."""

from __future__ import annotations

import gc

from leveret.control.call import Call, Handler
from leveret.engine.definitions import DefinitionsError
from leveret.engine.feature_flags import flags
from leveret.rendering.answers import SOFTWARE, UNAVAILABLE, USAGE, Done, Shown, Silent, failed, failed_with
from leveret.rendering.sizes import octets
from leveret.rendering.terms import Atom, Quoted, inspect

#: Why connections are closed when a node is drained.
_DRAINED = "Node was put into maintenance mode"


def stop(call: Call) -> object:
    """End the process after the answer."""
    call.host.stop()
    return Done()


async def stop_app(call: Call) -> object:
    """Close all listeners and connections; what is durable stays."""
    await call.host.stop_application()
    return Done()


async def start_app(call: Call) -> object:
    """Serve clients again."""
    try:
        await call.host.start_application()
    except (DefinitionsError, OSError) as error:
        raise failed(UNAVAILABLE, str(error)) from None
    return Done()


async def reset(call: Call) -> object:
    """Delete everything."""
    await call.host.reset()
    return Done()


def force_reset(call: Call) -> object:
    """Refuse, as RabbitMQ does since its metadata store is Khepri."""
    raise failed(UNAVAILABLE, "Forced reset is unsupported with Khepri")


def drain(call: Call) -> object:
    """Accept no AMQP connections and close those that there are."""
    call.host.maintenance = True
    call.host.suspend_listeners()
    call.broker.shut_connections(_DRAINED)
    return Silent() if not call.json else Done()


async def revive(call: Call) -> object:
    """Accept connections again."""
    await call.host.resume_listeners()
    call.host.maintenance = False
    return Silent() if not call.json else Done()


def rotate_logs(call: Call) -> object:
    """Refuse, as RabbitMQ does."""
    raise failed(UNAVAILABLE, "This command does not rotate logs anymore [deprecated]")


def force_gc(call: Call) -> object:
    """Collect garbage."""
    gc.collect()
    return Done()


def set_log_level(call: Call) -> object:
    """Log from a level on."""
    call.host.set_log_level(call.arguments[0])
    return Done()


# --- limits


def set_memory_watermark(call: Call) -> object:
    """Set the limit of memory: a share of RAM, or octets."""
    resources = call.host.resources
    if call.arguments[0] == "absolute":
        limit = octets(call.arguments[1])
        if not limit:
            raise failed(UNAVAILABLE, "the watermark should be more than 0 bytes")
        resources.setting = limit
        resources.memory_limit = min(limit, resources.total)
    else:
        share = float(call.arguments[0])
        resources.setting = share
        resources.memory_limit = int(share * resources.total)
    resources.check()
    return Done()


def set_disk_limit(call: Call) -> object:
    """Set the free disk space below which publishers are blocked."""
    resources = call.host.resources
    if call.arguments[0] == "mem_relative":
        resources.disk_limit = int(float(call.arguments[1]) * resources.total)
    else:
        resources.disk_limit = octets(call.arguments[0]) or 0  # less than 0: no limit, too
    resources.check()
    return Done()


def watch_disk(call: Call) -> object:
    """Compare the free disk space with its limit."""
    call.host.resources.disk_watched = True
    call.host.resources.check()
    return Done()


def ignore_disk(call: Call) -> object:
    """Compare it no longer."""
    call.host.resources.disk_watched = False
    call.host.resources.check()
    return Done()


def reset_statistics(call: Call) -> object:
    """Forget statistics: they are counted where they happen, so there is nothing to forget."""
    return Done()


# --- feature flags


def enable_feature_flag(call: Call) -> object:
    """Enable a flag: all that there are are enabled."""
    (name,) = call.arguments
    if name == "all":
        if call.options.get("opt_in") or call.options.get("experimental"):
            raise failed(USAGE, _NOT_ALL)
        return Done()
    states = {flag["name"]: flag["state"] for flag in flags(call.broker.profile.name)}
    if states.get(name) != "enabled":
        raise failed(USAGE, f"This feature flag is not supported by node {call.node}")
    return Done()


_NOT_ALL = (
    "`--opt-in` (aliased as `--experimental`) flag is not allowed when enabling all feature flags.\n"
    "Use --opt-in with a specific feature flag name if to enable an opt-in flag"
)


# --- clusters


def join_cluster(call: Call) -> object:
    """Refuse: a node is a cluster of its own."""
    (other,) = call.arguments
    if other == call.node:
        raise failed(SOFTWARE, f"Error: cannot cluster node with itself: {other}")
    raise failed(
        UNAVAILABLE,
        f"A Leveret node is a cluster of its own and does not join {other}. To move its contents there, use "
        "'rabbitmqctl export_definitions' and 'rabbitmqctl import_definitions'.",
    )


async def forget_cluster_node(call: Call) -> object:
    """Remove a node that does not run."""
    (other,) = call.arguments
    found = next((one for one in call.host.other_nodes() if one.name == other), None)
    if found is not None and not found.running:
        await call.host.forget_node(other)
        return Done()
    if other == call.node or found is not None:
        command = f"'rabbitmqctl -n {other} stop_app'"
        text = f"RabbitMQ on node {other} must be stopped with {command} before it can be removed"
        raise failed(UNAVAILABLE, text)
    raise failed_with((Atom("not_a_cluster_node"), Quoted("The node selected is not in the cluster.")))


def discover_peers(call: Call) -> object:
    """Show the nodes that this one would join: itself."""
    return Shown(inspect([Atom(call.node)]) if not call.json else {"result": "ok", "nodes": [call.node]})


def interceptors(call: Call) -> object:
    """Refuse: there are no interceptors whose order could change."""
    raise failed(
        UNAVAILABLE, "Leveret has no channel interceptors whose priorities can be set; sharding needs none."
    )


def no_op(call: Call) -> object:
    """Do nothing, as RabbitMQ does."""
    return Done()


def post_upgrade(call: Call) -> object:
    """Rebalance leaders of queues, of which there is nothing to rebalance."""
    return Done([]) if call.json else Shown("")


COMMANDS: dict[str, Handler] = {
    "stop": stop,
    "shutdown": stop,
    "stop_app": stop_app,
    "start_app": start_app,
    "reset": reset,
    "force_reset": force_reset,
    "force_boot": no_op,
    "force_standalone_khepri_boot": no_op,
    "drain": drain,
    "revive": revive,
    "post_upgrade": post_upgrade,
    "rotate_logs": rotate_logs,
    "force_gc": force_gc,
    "set_log_level": set_log_level,
    "set_vm_memory_high_watermark": set_memory_watermark,
    "set_disk_free_limit": set_disk_limit,
    "activate_free_disk_space_monitoring": watch_disk,
    "deactivate_free_disk_space_monitoring": ignore_disk,
    "reset_stats_db": reset_statistics,
    "enable_feature_flag": enable_feature_flag,
    "join_cluster": join_cluster,
    "forget_cluster_node": forget_cluster_node,
    "rename_cluster_node": no_op,
    "update_cluster_nodes": no_op,
    "discover_peers": discover_peers,
    "set_channel_interceptor_priorities": interceptors,
}

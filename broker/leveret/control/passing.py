"""Commands in a cluster in which each virtual host is on some node: where they are carried out.

A command about one virtual host goes to its owner, with its output coming back; one about all of them is carried out
here, and each other node does its part (`values_elsewhere`); all others are about this node, or about what all nodes
know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from leveret.control.call import Call
from leveret.management.node_commands import CommandError, passed_on, run
from leveret.management.owners import NodeDownError, NodeLostError, Owners
from leveret.rendering.answers import UNAVAILABLE, Failure, failed
from leveret.rendering.transport import values

#: Commands about the virtual host that the option `-p` names, `/` without it.
OF_VHOST = frozenset(
    {
        *("trace_on", "trace_off", "restart_vhost"),
        *("list_queues", "list_unresponsive_queues", "list_exchanges", "list_bindings", "list_consumers"),
        *("set_permissions", "clear_permissions", "list_permissions"),
        *("set_topic_permissions", "clear_topic_permissions", "list_topic_permissions"),
        *("set_vhost_limits", "clear_vhost_limits", "list_vhost_limits"),
        *("set_policy", "clear_policy", "list_policies", "list_policies_that_match"),
        *("set_operator_policy", "clear_operator_policy", "list_operator_policies"),
        *("set_parameter", "clear_parameter", "list_parameters"),
        *("delete_queue", "purge_queue", "close_all_connections"),
        *(
            "quorum_status",
            "add_member",
            "delete_member",
            "transfer_leadership",
            "reclaim_quorum_memory",
            "peek",
        ),
        *("stream_status", "add_replica", "delete_replica", "restart_stream", "streams transfer_leadership"),
        "consistent_hash_exchange_ring_state",
    }
)

#: Commands about the virtual host that their first argument names.
NAMES_VHOST = frozenset(
    {
        *("delete_vhost", "update_vhost_metadata", "set_vhost_tags"),
        *("enable_vhost_deletion_protection", "disable_vhost_deletion_protection"),
    }
)

#: Commands that every node carries out while the virtual host is damaged, and no node serves it.
WHILE_CLOSED = frozenset(
    {
        *("delete_vhost", "restart_vhost"),
        *("enable_vhost_deletion_protection", "disable_vhost_deletion_protection"),
    }
)

#: Commands about the node that their first argument names.
NAMES_NODE = frozenset({"grow", "shrink", "streams grow", "streams shrink"})

#: Commands of which each node does its part, those with `--global` too.
MERGED = frozenset(
    {
        *("list_connections", "list_channels", "list_vhosts", "status", "rebalance", "force_checkpoint"),
        *("close_all_user_connections", "export_definitions", "import_definitions"),
    }
)

#: How often an owner is looked for: a virtual host may move on while one waits for it.
_ATTEMPTS = 3


async def node_of(call: Call) -> str | None:
    """Return the other node that is to carry a command out, as soon as there is one; None for this one. Raises
    `Failure`."""
    owners = call.host.owners
    if owners is None:
        return None
    vhost = vhost_of(call)
    if vhost is None:
        return _named_node(call, owners)
    if call.hop and vhost in call.broker.elsewhere:
        raise failed(UNAVAILABLE, f"virtual host '{vhost}' is not on node {call.node}")
    return await _owner(call, owners, vhost)


async def _owner(call: Call, owners: Owners, vhost: str) -> str | None:
    """The node that serves a virtual host, as soon as there is one; None for this one. Raises `Failure`."""
    for _ in range(_ATTEMPTS):
        if vhost not in call.broker.elsewhere:
            return None
        node = owners.of(vhost)
        if node is not None:
            return node
        damage = owners.damage(vhost)
        if damage is not None and call.key in WHILE_CLOSED:
            return None
        if damage is not None:
            raise failed(UNAVAILABLE, damage.text)
        await served(owners, vhost)
    raise _down(vhost)


async def served(owners: Owners, vhost: str) -> None:
    """Wait until a node serves a virtual host. Raises `Failure`."""
    try:
        await owners.served(vhost)
    except TimeoutError:
        damage = owners.damage(vhost)
        raise (failed(UNAVAILABLE, damage.text) if damage is not None else _down(vhost)) from None


def _down(vhost: str) -> Failure:
    return failed(UNAVAILABLE, f"virtual host '{vhost}' is on no node of the cluster at the moment")


def vhost_of(call: Call) -> str | None:
    """Return the name of the virtual host that a command is about; None if it is about none, or all."""
    if call.key in NAMES_VHOST:
        return call.arguments[0] if call.arguments else None
    return call.vhost_name if call.key in OF_VHOST and not call.options.get("global") else None


def _named_node(call: Call, owners: Owners) -> str | None:
    """The other node that an argument names."""
    node = ""
    if call.key in NAMES_NODE and call.arguments:
        node = call.arguments[0]
    elif call.key == "close_connection" and call.arguments:
        node = call.arguments[0].removeprefix("<").rsplit(".", 3)[0]  # of the process
    return node if not call.hop and node != call.node and node in owners.names() else None


async def output_of(call: Call, node: str, request: Mapping[str, object]) -> AsyncIterator[str]:
    """Have another node carry a command out; yields its output. Raises `Failure`."""
    owners = call.host.owners
    assert owners is not None
    try:
        async for text in passed_on(owners, node, request, call.report):
            yield text
    except CommandError as error:
        raise Failure(error.code, error.text) from None
    except (NodeDownError, NodeLostError) as error:
        raise failed(UNAVAILABLE, str(error)) from None


def others(call: Call) -> list[str]:
    """Return the nodes that do their part of a command about all virtual hosts."""
    owners = call.host.owners
    return [] if owners is None or call.hop else owners.names()


async def values_elsewhere(call: Call) -> list[object]:
    """Return the rows, or else the values, that all other nodes answer to the same command. Raises `Failure`."""
    return [value for node in others(call) for value in await values_of(call, node)]


async def values_of(call: Call, node: str, **options: object) -> list[object]:
    """Return the rows, or else the value, that another node answers to the same command. `options`: other ones.

    Raises `Failure`.
    """
    return values(await text_of(call, node, part=True, **options))


async def text_of(call: Call, node: str, *, part: bool = False, **options: object) -> str:
    """Return what another node writes for the same command. Raises `Failure`."""
    owners = call.host.owners
    assert owners is not None
    given = {name: value for name, value in call.options.items() if name != "formatter"} | options
    try:
        return await run(owners, node, call.key, given, call.arguments, part=part)
    except CommandError as error:
        raise Failure(error.code, error.text) from None
    except (NodeDownError, NodeLostError) as error:
        raise failed(UNAVAILABLE, str(error)) from None

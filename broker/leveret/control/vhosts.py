"""Virtual hosts."""

from __future__ import annotations

import logging

from leveret.control.call import Call, Handler
from leveret.control.passing import served, values_elsewhere
from leveret.engine import operations
from leveret.engine.changes import VhostTracingSet
from leveret.engine.node_limits import VhostLimitError
from leveret.engine.vhost import VhostProperties
from leveret.management.owners import Damage, damage_of, vhosts_down
from leveret.rendering.answers import (
    DATA,
    SOFTWARE,
    USAGE,
    Done,
    Shown,
    failed,
    failed_json,
)
from leveret.rendering.terms import Atom, Row, inspect
from leveret.wire.erlang import pretty

log = logging.getLogger("leveret")

_PROTECTED = (
    "Cannot delete this virtual host: it is protected from deletion. To lift the protection, inspect and update its "
    "metadata"
)


async def add_vhost(call: Call) -> object:
    """Add a virtual host; it is no error if there is one."""
    (name,) = call.arguments
    if not call.broker.has_vhost(name):
        try:
            _put(call, name)
        except VhostLimitError as error:
            raise failed(USAGE, str(error)) from None
        if call.host.owners is not None:
            await call.host.settled()
            await served(call.host.owners, name)
    return Done()


def update_vhost_metadata(call: Call) -> object:
    """Change what is given of description, tags, default queue type and protection."""
    (name,) = call.arguments
    vhost = call.vhost_of(name)
    _put(call, name)
    protected = call.options.get("protected_from_deletion")
    if isinstance(protected, bool):
        operations.protect_vhost(vhost, call.caller, protected)
    return Done()


def _put(call: Call, name: str) -> None:
    options = call.options
    tags, kind = options.get("tags"), options.get("default_queue_type")
    operations.put_vhost(
        call.broker,
        call.caller,
        name,
        description=None if options.get("description") is None else str(options["description"]),
        tags=None if tags is None else _tags(str(tags)),
        default_queue_type=None if kind is None else str(kind),
    )


def _tags(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def delete_vhost(call: Call) -> object:
    """Delete a virtual host with everything in it."""
    (name,) = call.arguments
    closed = _damage(call, name) is not None
    if not closed:
        call.vhost_of(name)
    try:
        delete = operations.delete_closed_vhost if closed else operations.delete_vhost
        delete(call.broker, call.caller, name)
    except operations.ProtectedVhostError:
        if call.json:
            raise failed_json({"result": "error", "node": call.node, "reason": _PROTECTED}) from None
        raise failed(DATA, _PROTECTED) from None
    return Done()


def set_vhost_tags(call: Call) -> object:
    """Replace the tags."""
    name, *tags = call.arguments
    if name not in call.broker.vhosts:
        if call.json:
            text = f'Virtual host "{name}" does not exists'
            raise failed_json({"result": "error", "node": call.node, "message": text})
        raise failed(DATA, f'Virtual host "{name}" does not exist')
    operations.put_vhost(call.broker, call.caller, name, tags=tuple(tags))
    shown = pretty([Atom(tag) for tag in tags])
    log.info("Successfully set tags for virtual host '%s' to %s", name, shown)
    return Done()


def protect(call: Call) -> object:
    """Protect a virtual host from deletion."""
    return _protect(call, True)


def unprotect(call: Call) -> object:
    """Protect it no longer."""
    return _protect(call, False)


def _protect(call: Call, on: bool) -> object:
    name = call.arguments[0]
    if _damage(call, name) is not None:
        operations.protect_closed_vhost(call.broker, call.caller, name, on)
    else:
        operations.protect_vhost(call.vhost_of(name), call.caller, on)
    return Done()


def _damage(call: Call, name: str) -> Damage | None:
    return damage_of(call.broker, call.host.owners, name)


async def restart_vhost(call: Call) -> object:
    """Start a virtual host that has stopped: they run as long as they exist, unless they are damaged."""
    name = call.vhost_name
    damage = _damage(call, name)
    if damage is not None:
        return await _reopened(call, damage)
    if name not in call.broker.vhosts:
        reason = inspect((Atom("no_such_vhost"), name))
        raise failed(SOFTWARE, f"Failed to start vhost '{name}' on node '{call.node}'Reason: {reason}")
    return Done(f"Vhost '{name}' is already running on node '{call.node}'")


async def _reopened(call: Call, damage: Damage) -> object:
    """Have the node try again that keeps a damaged virtual host closed."""
    owners, name = call.host.owners, damage.vhost
    assert owners is not None
    try:
        await owners.reopen(name)
    except (OSError, TimeoutError) as error:
        reason = str(error) or "it does not answer in time"
    else:
        again = owners.damage(name)
        if again is None:
            return Done(f"Successfully restarted vhost '{name}' on node '{owners.of(name) or call.node}'")
        damage, reason = again, again.reason
    raise failed(SOFTWARE, f"Failed to start vhost '{name}' on node '{damage.node}'Reason: {reason}")


def reconcile(call: Call) -> object:
    """Start virtual hosts that have stopped, on all nodes."""
    return Done()


def trace_on(call: Call) -> object:
    """Publish the messages of a virtual host to amq.rabbitmq.trace, too."""
    return _trace(call, True)


def trace_off(call: Call) -> object:
    """Do so no longer."""
    return _trace(call, False)


def _trace(call: Call, on: bool) -> object:
    vhost = call.broker.vhosts.get(call.vhost_name)
    if vhost is not None and vhost.tracing is not on:
        vhost.tracing = on
        call.broker.observers.notify(VhostTracingSet(call.caller.actor, vhost.name, on))
    return Done(f"Trace {'enabled' if on else 'disabled'} for vhost {call.vhost_name}")


async def list_vhosts(call: Call) -> object:
    """List all virtual hosts with the columns that are asked for."""
    names, broker = call.columns(), call.broker
    rows: list[object] = [
        _row(call, vhost.name, VhostProperties.of(vhost), names, "running", call.node)
        async for vhost in call.host.slices.walk(list(broker.vhosts.values()))
    ]
    rows += await values_elsewhere(call)
    for name in () if call.hop else vhosts_down(broker, call.host.owners):
        damage = _damage(call, name)
        node = damage.node if damage is not None else call.node
        rows.append(_row(call, name, broker.elsewhere[name], names, "stopped", node))
    return Shown(rows)


def _row(call: Call, name: str, vhost: VhostProperties, names: list[str], state: str, node: str) -> Row:
    kind = Atom(vhost.default_queue_type or call.broker.settings.amqp.default_queue_type)
    metadata: dict[object, object] = {
        Atom("description"): vhost.description,
        Atom("tags"): list(map(Atom, vhost.tags)),
        Atom("default_queue_type"): str(kind),
    }
    if vhost.protected is not None:
        metadata[Atom("protected_from_deletion")] = vhost.protected
    values: dict[str, object] = {
        "name": name,
        "description": vhost.description,
        "tags": list(map(Atom, vhost.tags)),
        "default_queue_type": str(kind),
        "protected_from_deletion": bool(vhost.protected),
        "tracing": vhost.tracing,
        "cluster_state": [(Atom(node), Atom(state))],
        "metadata": metadata,
    }
    return [(Atom(column), values[column]) for column in names]


COMMANDS: dict[str, Handler] = {
    "add_vhost": add_vhost,
    "update_vhost_metadata": update_vhost_metadata,
    "delete_vhost": delete_vhost,
    "set_vhost_tags": set_vhost_tags,
    "enable_vhost_deletion_protection": protect,
    "disable_vhost_deletion_protection": unprotect,
    "restart_vhost": restart_vhost,
    "reconcile_vhosts": reconcile,
    "trace_on": trace_on,
    "trace_off": trace_off,
    "list_vhosts": list_vhosts,
}

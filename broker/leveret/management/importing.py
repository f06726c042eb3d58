"""Import definitions of all virtual hosts, on whatever nodes of a cluster these are.

What all nodes know comes first: users, new virtual hosts, global parameters. When that is safe and the new virtual
hosts are served, each owner gets what names its virtual hosts, as a document of the same form; this node has its own
part before. Each part counts as a whole or not at all; what other parts have changed before one is refused stays. If a
virtual host moves meanwhile, the import is begun again: what is there already stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from leveret.engine.definitions import DefinitionsError, VhostMovedError, check_document, import_steps
from leveret.management.json import Json
from leveret.management.node_commands import CommandError, run
from leveret.management.owners import NodeDownError, NodeLostError, Owners

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations import Caller
    from leveret.engine.vhost import VirtualHost
    from leveret.management.slices import Slices

#: Sections that all nodes know; the objects of all others name a virtual host.
_SHARED = ("users", "vhosts", "global_parameters")
_OF_VHOSTS = (
    *("permissions", "topic_permissions", "policies", "parameters"),
    *("exchanges", "queues", "bindings"),
)

#: The command by which a node gets its part, without output.
COMMAND = "import_definitions"

#: Its exit status if a virtual host of the part is not on that node any more.
MOVED = 75

#: How often an import is begun: virtual hosts may move meanwhile.
_ATTEMPTS = 10

#: Seconds between two attempts.
_PAUSE_S = 0.1

Document = Mapping[str, object]


class Target(NamedTuple):
    """Where definitions are imported. `owners`: None for a node alone; `settled`: waits until all that was changed is
    durable, and known to all nodes."""

    broker: Broker
    slices: Slices
    owners: Owners | None
    settled: Callable[[], Awaitable[None]]


def _nothing() -> None:
    """Nobody watches."""


async def import_everywhere(
    target: Target,
    document: object,
    caller: Caller,
    *,
    vhost: VirtualHost | None = None,
    warnings: list[str] | None = None,
    done: Callable[[], None] = _nothing,
) -> None:
    """Import a document in slices. `vhost`: the virtual host of this node that it is for, None for all; `warnings`:
    what is passed over here is added; `done`: called after each object. Raises `DefinitionsError`."""
    if target.owners is None or vhost is not None:
        await _import(target, document, caller, vhost, warnings, done)
        return
    whole = check_document(target.broker, document)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await _import_parts(target, target.owners, whole, caller, warnings, done)
            break
        except VhostMovedError:  # what was imported before is there, and stays as it is
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(_PAUSE_S)  # this node may not know its owner yet


async def _import_parts(
    target: Target,
    owners: Owners,
    whole: Document,
    caller: Caller,
    warnings: list[str] | None,
    done: Callable[[], None],
) -> None:
    """Import what all nodes know, then the part of each owner. Raises `DefinitionsError`; `VhostMovedError` if a
    virtual host has another owner by now."""
    new = _shared(target, whole)
    await _import(target, new, caller, None, warnings, done)
    await target.settled()
    for name in sorted({*_names(new), *_named(whole).intersection(target.broker.elsewhere)}):
        await _served(owners, name)
    parts = _parts(target, owners, whole)
    await _import(target, parts.pop(None, {}), caller, None, warnings, done)
    for node, part in sorted(parts.items(), key=lambda item: str(item[0])):
        await _send(owners, str(node), part, caller.actor.user)


async def _import(
    target: Target,
    document: object,
    caller: Caller,
    vhost: VirtualHost | None,
    warnings: list[str] | None,
    done: Callable[[], None],
) -> None:
    async for _ in target.slices.walk_changes(import_steps(target.broker, document, caller, vhost, warnings)):
        done()


def _shared(target: Target, document: Document) -> Json:
    """What all nodes know, without virtual hosts that are elsewhere: their owners set what they are."""
    shared: Json = {name: document[name] for name in _SHARED if name in document}
    vhosts = shared.get("vhosts")
    if isinstance(vhosts, list):
        shared["vhosts"] = [one for one in vhosts if _name(one, "name") not in target.broker.elsewhere]
    return shared


def _name(item: object, field: str) -> str:
    """A name in an object, empty if there is none."""
    name = item.get(field) if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else ""


def _named(document: Document) -> set[str]:
    """The virtual hosts that objects name."""
    found = set(_names(document))
    for section in _OF_VHOSTS:
        items = document.get(section, [])
        found.update(_name(item, "vhost") for item in (items if isinstance(items, list) else ()))
    return found


def _names(document: Document) -> list[str]:
    vhosts = document.get("vhosts")
    return [_name(one, "name") for one in vhosts] if isinstance(vhosts, list) else []


async def _served(owners: Owners, name: str) -> None:
    """Wait until a node serves a virtual host. Raises `DefinitionsError`."""
    try:
        await owners.served(name)
    except TimeoutError:
        damage = owners.damage(name)
        reason = damage.text if damage is not None else f"virtual host '{name}' is on no node of the cluster"
        raise DefinitionsError(reason) from None


def _parts(target: Target, owners: Owners, document: Document) -> dict[str | None, Json]:
    """The objects that name a virtual host by its owner, None for this node. Raises `VhostMovedError`."""
    places = {"vhosts": "name", **dict.fromkeys(_OF_VHOSTS, "vhost")}
    parts: dict[str | None, dict[str, list[object]]] = {}
    for section, field in places.items():
        items = document.get(section, [])
        for item in items if isinstance(items, list) else ():
            node = _owner(target, owners, _name(item, field))
            if node is not None or section != "vhosts":
                parts.setdefault(node, {}).setdefault(section, []).append(item)
    return {node: {**part} for node, part in parts.items()}


def _owner(target: Target, owners: Owners, vhost: str) -> str | None:
    """The node that serves a virtual host elsewhere; None for this node, also for what does not exist: it is refused
    here. Raises `VhostMovedError`."""
    if vhost not in target.broker.elsewhere:
        return None
    node = owners.of(vhost)
    if node is None:
        raise VhostMovedError.of(vhost)
    return node


async def _send(owners: Owners, node: str, part: Json, user: str) -> None:
    """Have another node import its part. `user`: who is named by the changes. Raises `DefinitionsError`."""
    content = msgspec.json.encode(part).decode()
    try:
        await run(
            owners, node, COMMAND, {"silent": True, "quiet": True, "acting_user": user}, content=content
        )
    except CommandError as error:
        kind = VhostMovedError if error.code == MOVED else DefinitionsError
        raise kind(error.text.removeprefix("Error:\n")) from None
    except (NodeDownError, NodeLostError) as error:
        raise DefinitionsError(str(error)) from None

"""Definitions: users, virtual hosts, policies and topology as one JSON document (docs: definitions).

They are imported in RabbitMQ's order (rabbit_definitions), not in the order of the document. Users, permissions,
policies and limits replace existing ones. Existing queues, exchanges and bindings are not changed and not compared.
Names that begin with `amq.` are skipped. What RabbitMQ exports for itself (its versions, the cluster's id) is ignored.

The error texts are RabbitMQ 4.3.6's answers to `POST /api/definitions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from leveret.engine import operations
from leveret.engine.access import KINDS
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.patterns import PatternError
from leveret.engine.policies import Policy, PolicyError
from leveret.engine.users import LimitError, NoSuchUserError, UserError
from leveret.errors import AmqpError
from leveret.wire.tables import Table, from_plain

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost

#: An item of a section. `Any`: each function checks the values that it uses.
Item = Mapping[str, Any]

#: Fields that must be strings in every item.
_NAMES = (
    *("name", "vhost", "user", "exchange", "component", "type", "configure", "write", "read"),
    *("source", "destination", "destination_type", "routing_key"),
)

_TYPES = ("classic", "quorum", "stream")


class DefinitionsError(ValueError):
    """Definitions that cannot be imported. What precedes the invalid item has been imported. The text is RabbitMQ's
    reason."""


def import_definitions(broker: Broker, document: object) -> list[str]:
    """Import a document. Returns warnings about skipped items. Raises `DefinitionsError`."""
    if not isinstance(document, Mapping):
        raise DefinitionsError("body_not_json_object")
    warnings: list[str] = []
    try:
        for section, take in _SECTIONS.items():
            warnings += _import_section(broker, section, document.get(section, []), take)
    finally:
        for vhost in broker.vhosts.values():
            vhost.apply_policies()
    return warnings


def _import_section(
    broker: Broker, section: str, items: object, take: Callable[[Broker, Item], str | None]
) -> list[str]:
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise DefinitionsError(f"{section} should be a list of objects")
    warnings = []
    for item in items:
        _check_names(item)
        warning = _taken(take, broker, item)
        if warning:
            warnings.append(warning)
    return warnings


def _check_names(item: Item) -> None:
    for name in _NAMES:
        if not isinstance(item.get(name, ""), str):
            raise DefinitionsError(f"{name} should be a string")


def _taken(take: Callable[[Broker, Item], str | None], broker: Broker, item: Item) -> str | None:
    try:
        return take(broker, item)
    except KeyError as error:
        raise DefinitionsError(f"{{badkey,{error.args[0]}}}") from None
    except NoSuchUserError as error:
        raise DefinitionsError(f'{{no_such_user,<<"{error.name}">>}}') from None
    except UserError as error:
        word = error.reason if isinstance(error.reason, str) else _pair(error.reason)
        raise DefinitionsError(word) from None
    except AmqpError as error:
        raise DefinitionsError(f"{error.name.lower()}: {error.explanation}") from None
    except (LimitError, PatternError) as error:
        raise DefinitionsError(str(error)) from None


def _pair(reason: list[str]) -> str:
    return f'{{{reason[0]},<<"{reason[1]}">>}}'


def _vhost(broker: Broker, item: Item) -> VirtualHost:
    vhost = broker.vhosts.get(item["vhost"])
    if vhost is None:
        raise DefinitionsError(
            f'Please create virtual host "{item["vhost"]}" prior to importing definitions.'
        )
    return vhost


def _arguments(item: Item) -> Table:
    given = item.get("arguments") or {}
    if not isinstance(given, Mapping):
        raise DefinitionsError("arguments should be an object")
    try:
        return from_plain(given)
    except ValueError as error:
        raise DefinitionsError(str(error)) from None


# --- one item of each section; what is returned is a warning


def _user(broker: Broker, item: Item) -> None:
    if "name" not in item:
        raise KeyError("name")
    operations.put_user(broker, INTERNAL_CALLER, item["name"], item)


def _virtual_host(broker: Broker, item: Item) -> None:
    stated = {**item, **item.get("metadata", {})}
    tags, kind = stated.get("tags"), stated.get("default_queue_type")
    operations.put_vhost(
        broker,
        INTERNAL_CALLER,
        item["name"],
        description=str(stated["description"]) if "description" in stated else None,
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else None,
        default_queue_type=kind if kind in _TYPES else None,
    )


def _permission(broker: Broker, item: Item) -> None:
    _vhost(broker, item)
    if any(kind not in item for kind in KINDS):
        raise DefinitionsError("badarg")
    patterns = [item[kind] for kind in KINDS]
    operations.set_permissions(broker, INTERNAL_CALLER, item["user"], item["vhost"], *patterns)


def _topic_permission(broker: Broker, item: Item) -> None:
    _vhost(broker, item)
    where = (item["user"], item["vhost"], item["exchange"])
    operations.set_topic_permissions(broker, INTERNAL_CALLER, *where, item["write"], item["read"])


def _exchange(broker: Broker, item: Item) -> str | None:
    vhost, name = _vhost(broker, item), item["name"]
    if name == "" or name.startswith("amq."):
        return f"Skipping import of {name!r}: exchanges in amq. are the broker's own"
    if name in vhost.exchanges:
        return None
    operations.declare_exchange(
        vhost,
        INTERNAL_CALLER,
        name,
        item.get("type", "undefined"),
        durable=bool(item.get("durable", True)),
        auto_delete=bool(item.get("auto_delete", False)),
        internal=bool(item.get("internal", False)),
        arguments=_arguments(item),
    )
    return None


def _global_parameter(broker: Broker, item: Item) -> str | None:
    if item["name"] == "cluster_name":
        operations.set_cluster_name(broker, INTERNAL_CALLER, str(item["value"]))
    elif item["name"] not in ("internal_cluster_id", "cluster_tags"):
        return f"Skipping import of global parameter {item['name']!r}: global parameters are not kept"
    return None


def _policy(broker: Broker, item: Item) -> None:
    _set_policy(broker, item, item, False, f'(vhost: "{item["vhost"]}" key: "{item["name"]}")')


def _parameter(broker: Broker, item: Item) -> None:
    vhost, component, value = _vhost(broker, item), item["component"], item["value"]
    where = f'(vhost: "{vhost.name}" / component: "{component}" / key: "{item["name"]}")'
    if component == "operator_policy":
        _set_policy(broker, item, value, True, where)
    elif component == "vhost-limits":
        try:
            operations.set_vhost_limits(broker, INTERNAL_CALLER, vhost.name, value, merge=False)
        except LimitError as error:
            raise DefinitionsError(f"Validation failed\n\n{error}\n {where}") from None
    else:
        raise DefinitionsError(f"Validation failed\n\ncomponent {component} not found\n {where}")


def _set_policy(broker: Broker, item: Item, stated: Item, operator: bool, where: str) -> None:
    vhost = _vhost(broker, item)
    definition = stated["definition"]
    if not isinstance(definition, dict) or not isinstance(stated["pattern"], str):
        raise DefinitionsError("pattern and definition should be a string and an object")
    policy = Policy(
        vhost.name,
        item["name"],
        stated["pattern"],
        definition,
        stated.get("priority", 0),
        str(stated.get("apply-to", "all")),
    )
    try:
        operations.set_policy(vhost, INTERNAL_CALLER, policy, operator=operator, apply=False)
    except PolicyError as error:
        raise DefinitionsError(f"Validation failed\n\n{error} {where}") from None


def _queue(broker: Broker, item: Item) -> str | None:
    vhost, name = _vhost(broker, item), item["name"]
    if name.startswith("amq."):
        return f"Skipping import of a queue whose name begins with 'amq.', name: {name}"
    if name not in vhost.queues:
        operations.declare_queue(
            vhost,
            INTERNAL_CALLER,
            name,
            durable=bool(item.get("durable", True)),
            auto_delete=bool(item.get("auto_delete", False)),
            arguments=_arguments(item),
        )
    return None


def _binding(broker: Broker, item: Item) -> None:
    vhost, kind = _vhost(broker, item), item["destination_type"]
    if kind not in ("queue", "exchange"):
        raise DefinitionsError("function_clause")
    if item["source"] == "":
        # The default exchange has implicit bindings only.
        return
    places: Mapping[str, object] = vhost.queues if kind == "queue" else vhost.exchanges
    for what, registry, name in (
        ("exchange", vhost.exchanges, item["source"]),
        (kind, places, item["destination"]),
    ):
        if name not in registry:
            resource = f'{{resource,<<"{vhost.name}">>,{what},<<"{name}">>}}'
            raise DefinitionsError(f"{{resources_missing,[{{not_found,{resource}}}]}}")
    bind = operations.bind_queue if kind == "queue" else operations.bind_exchange
    key = item.get("routing_key", "")
    bind(vhost, INTERNAL_CALLER, item["source"], item["destination"], key, _arguments(item))


#: Section of the document -> function that imports one item, in the order of rabbit_definitions:apply_defs/4.
_SECTIONS: dict[str, Callable[[Broker, Item], str | None]] = {
    "users": _user,
    "vhosts": _virtual_host,
    "permissions": _permission,
    "exchanges": _exchange,
    "topic_permissions": _topic_permission,
    "global_parameters": _global_parameter,
    "policies": _policy,
    "parameters": _parameter,
    "queues": _queue,
    "bindings": _binding,
}

"""`/api/exchanges`: exchanges, and what the delayed ones hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from leveret import errors
from leveret.engine.delayed import KIND, DelayedMessage
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, arguments, boolean, missing
from leveret.management.pagination import listed, picked
from leveret.management.resources.queues import may
from leveret.wire.tables import plain


def exchanges(call: Call) -> Any:
    """GET: the exchanges of every virtual host the caller may see."""
    return _list(call, call.visible_vhosts())


def exchanges_in_vhost(call: Call) -> Any:
    """GET: the exchanges of one virtual host."""
    return _list(call, (call.vhost(),))


def _list(call: Call, vhosts: Iterable[VirtualHost]) -> Any:
    found = [(vhost, exchange) for vhost in vhosts for _, exchange in sorted(vhost.exchanges.items())]
    return listed([_shown(vhost, exchange) for vhost, exchange in found], call.query)


def _name(call: Call) -> str:
    name = call.path["name"]
    return "" if name == "amq.default" else name


def _find(call: Call) -> tuple[VirtualHost, Any]:
    """The exchange in the path; the default one is `amq.default` there, or nothing."""
    vhost = call.vhost()
    exchange = vhost.exchanges.get(_name(call))
    if exchange is None:
        raise missing()
    return vhost, exchange


def exchange(call: Call) -> Any:
    """GET: one exchange."""
    channels: dict[str, Any] = {} if call.without_stats else {"incoming": [], "outgoing": []}
    return picked(_shown(*_find(call)) | channels, call.query)


def _shown(vhost: VirtualHost, exchange: Any) -> dict[str, Any]:
    shown = {
        "arguments": plain(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name,
        "type": exchange.type,
        "user_who_performed_action": exchange.user,
        "vhost": vhost.name,
    }
    policy = exchange.policy.policy if exchange.policy is not None else None
    if policy is not None:
        shown["policy"] = policy.name
    if exchange.type == KIND:
        shown["messages_delayed"] = vhost.delayed.count(exchange.name)
    return shown


def declare(call: Call) -> Reply:
    """PUT {type, durable, auto_delete, internal, arguments}: declare it; 201 if it is new, 204 if it was there."""
    vhost, name = call.target_vhost(), _name(call)
    fields = call.fields()
    options = {option: boolean(fields, option) for option in ("durable", "auto_delete", "internal")}
    table, kind = arguments(fields), str(fields.get("type", "direct"))
    if name == "":
        raise errors.default_exchange_refused()
    vhost.check_exchange_type(kind)
    may(call, vhost, "configure", "exchange", name)
    new = name not in vhost.exchanges
    if new:
        if name.startswith("amq."):
            raise errors.exchange_reserved(name)
        alternate = vhost.alternate_of(name, table)
        if alternate is not None:
            may(call, vhost, "read", "exchange", name)
            may(call, vhost, "write", "exchange", alternate)
    vhost.declare_exchange(name, kind, **options, arguments=table, user=call.user.name)
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE ?if-unused=true: delete it."""
    vhost, found = _find(call)
    if found.name == "":
        raise errors.default_exchange_refused()
    if found.name.startswith("amq."):
        raise errors.exchange_not_deletable(found.name, vhost.name)
    may(call, vhost, "configure", "exchange", found.name)
    place = {"name": found.name, "component": "exchange-delete-in-progress", "vhost": vhost.name}
    call.notify("parameter.set", value=True, **place)
    try:
        if call.flag("if-unused") and found.bindings:
            raise errors.exchange_in_use(found.name, vhost.name)
        vhost.delete_exchange(found)
    finally:
        call.notify("parameter.cleared", **place)


def delayed(call: Call) -> Any:
    """GET delayed: what an x-delayed-message exchange holds, the next to go first. RabbitMQ has no such list."""
    vhost, found = _find(call)
    if found.type != KIND:
        raise missing()
    now = call.broker.clock.now
    return listed([_waiting(one, now) for one in vhost.delayed.of(found.name)], call.query)


def _waiting(one: DelayedMessage, now: int) -> dict[str, Any]:
    due = datetime.fromtimestamp(one.due_at / 1000, UTC)
    return {
        "due_at": one.due_at,
        "due": due.isoformat(timespec="milliseconds"),
        "delay_left": max(0, one.due_at - now),
        "routing_key": one.message.routing_key.decode("utf-8", "replace"),
        "payload_bytes": one.message.size,
        "persistent": one.message.persistent,
    }


ROUTES: Routes = {
    "exchanges": {"GET": exchanges},
    "exchanges/{vhost}": {"GET": exchanges_in_vhost},
    "exchanges/{vhost}/{name}": {"GET": exchange, "PUT": declare, "DELETE": delete},
    "exchanges/{vhost}/{name}/delayed": {"GET": delayed},
}

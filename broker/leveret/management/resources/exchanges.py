"""`/api/exchanges`: exchanges, and what the delayed ones hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from leveret.engine.delayed import KIND, Waiting
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Routes, missing
from leveret.management.listing import listed, picked
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


def _find(call: Call) -> tuple[VirtualHost, Any]:
    """The exchange in the path; the default one is `amq.default` there, or nothing."""
    vhost, name = call.vhost(), call.path["name"]
    exchange = vhost.exchanges.get("" if name == "amq.default" else name)
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


def delayed(call: Call) -> Any:
    """GET delayed: what an x-delayed-message exchange holds, the next to go first. RabbitMQ has no such list."""
    vhost, found = _find(call)
    if found.type != KIND:
        raise missing()
    now = call.broker.clock.now
    return listed([_waiting(one, now) for one in vhost.delayed.of(found.name)], call.query)


def _waiting(one: Waiting, now: int) -> dict[str, Any]:
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
    "exchanges/{vhost}/{name}": {"GET": exchange},
    "exchanges/{vhost}/{name}/delayed": {"GET": delayed},
}

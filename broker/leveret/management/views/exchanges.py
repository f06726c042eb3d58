"""Exchanges, and the messages that delayed ones hold."""

from __future__ import annotations

from datetime import UTC, datetime

from leveret.engine.delayed import KIND, DelayedMessage
from leveret.engine.policies import policy_of
from leveret.engine.stats import exchange_counts
from leveret.engine.vhost import VirtualHost
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.figures import detailed
from leveret.routing.exchanges import Exchange
from leveret.wire.tables import plain


def exchange(vhost: VirtualHost, exchange: Exchange) -> Json:
    """Show an exchange."""
    shown: Json = {
        "arguments": plain(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name,
        "type": exchange.type,
        "user_who_performed_action": exchange.user,
        "vhost": vhost.name,
    }
    policy = policy_of(exchange).policy
    if policy is not None:
        shown["policy"] = policy.name
    if exchange.type == KIND:
        shown["messages_delayed"] = vhost.delayed.count(exchange.name)
    return shown


def figures(rates: Rates, exchange: Exchange) -> Json:
    """Show how many messages came in and went to queues: of each only what there was."""
    counts = {name: count for name, count in exchange_counts(exchange).items() if count}
    return {"message_stats": detailed(counts, rates.rates_of(exchange, counts))} if counts else {}


def delayed_message(one: DelayedMessage, now: int) -> Json:
    """Show a delayed message. `now`: ms since the epoch. RabbitMQ has no such list."""
    due = datetime.fromtimestamp(one.due_at / 1000, UTC)
    return {
        "due_at": one.due_at,
        "due": due.isoformat(timespec="milliseconds"),
        "delay_left": max(0, one.due_at - now),
        "routing_key": one.message.routing_key.decode("utf-8", "replace"),
        "payload_bytes": one.message.size,
        "persistent": one.message.persistent,
    }

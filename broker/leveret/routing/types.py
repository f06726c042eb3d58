"""The exchange types there are, and how an exchange of one is made."""

from __future__ import annotations

from leveret import errors
from leveret.routing.exchanges import Direct, Exchange, Fanout, Topic
from leveret.routing.headers import Headers
from leveret.routing.plugins import ConsistentHash, Delayed, LocalRandom, ModulusHash, Random, RecentHistory
from leveret.wire.tables import Table

EXCHANGE_TYPES: dict[str, type[Exchange]] = {
    "direct": Direct,
    "fanout": Fanout,
    "headers": Headers,
    "topic": Topic,
    "x-consistent-hash": ConsistentHash,
    "x-delayed-message": Delayed,
    "x-local-random": LocalRandom,
    "x-modulus-hash": ModulusHash,
    "x-random": Random,
    "x-recent-history": RecentHistory,
}


def make_exchange(
    kind: str,
    name: str,
    *,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
    user: str,
    wildcard_limit: int = 2,
    weight_limit: int = 10_000,
    exact_headers: bool = True,
    hash_kinds: bool = False,
) -> Exchange:
    """A new exchange of a type that exists. Raises AmqpError for arguments the type cannot have.

    `wildcard_limit`, `weight_limit`: how many `#` a topic pattern may have, how heavy a consistent-hash binding may be
    (0: any); `exact_headers`: whether a headers exchange tells 1 from 1.0; `hash_kinds`: whether a consistent hash of a
    header is one of its kind, too. By default as RabbitMQ 4.3.6 has it.
    """
    exchange = EXCHANGE_TYPES[kind](name, kind, durable, auto_delete, internal, arguments, user)
    if isinstance(exchange, Topic):
        exchange.wildcard_limit = wildcard_limit
    elif isinstance(exchange, Headers):
        exchange.exact = exact_headers
    elif isinstance(exchange, ConsistentHash):
        exchange.weight_limit = weight_limit
        exchange.hash_kinds = hash_kinds
    elif isinstance(exchange, Delayed):
        exchange.inner = make_exchange(
            delayed_type(arguments),
            name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
            user=user,
            wildcard_limit=wildcard_limit,
            weight_limit=weight_limit,
            exact_headers=exact_headers,
            hash_kinds=hash_kinds,
        )
    return exchange


def delayed_type(arguments: Table) -> str:
    """The type that an x-delayed-message exchange routes as (rabbit_exchange_type_delayed_message:validate/1)."""
    field = arguments.get("x-delayed-type")
    if field is None or field.kind not in "Sx":
        raise errors.delayed_type_missing()
    kind = str(field.value, "utf-8", "replace")
    if kind == "x-delayed-message":
        raise errors.delayed_type_recursive()
    if kind not in EXCHANGE_TYPES:
        raise errors.delayed_type_unknown(kind)
    return kind

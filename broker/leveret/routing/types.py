"""The exchange types by name, and `make_exchange`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.exchanges import Declaration, Direct, Exchange, Fanout, Topic
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
    declaration: Declaration, profile: Profile, random_octets: Callable[[int], bytes]
) -> Exchange:
    """Make an exchange of an existing type. `random_octets`: what those that choose by chance begin with. Raises
    AmqpError for arguments that the type does not accept."""
    exchange = EXCHANGE_TYPES[declaration.type](declaration, profile)
    if isinstance(exchange, Delayed):
        inner = replace(declaration, type=delayed_type(declaration.arguments))
        exchange.inner = make_exchange(inner, profile, random_octets)
    elif isinstance(exchange, Random):
        exchange.chance.seed(random_octets(16))
    return exchange


def delayed_type(arguments: Table) -> str:
    """Return the type that an x-delayed-message exchange routes as
    (rabbit_exchange_type_delayed_message:validate/1)."""
    field = arguments.get("x-delayed-type")
    if field is None or field.kind not in "Sx":
        raise errors.delayed_type_missing()
    kind = str(field.value, "utf-8", "replace")
    if kind == "x-delayed-message":
        raise errors.delayed_type_recursive()
    if kind not in EXCHANGE_TYPES:
        raise errors.delayed_type_unknown(kind)
    return kind

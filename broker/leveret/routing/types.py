"""The exchange types there are, and how one is made."""

from __future__ import annotations

from leveret.routing.exchanges import Direct, Exchange, Fanout, Topic
from leveret.routing.hashing import ConsistentHash, LocalRandom, ModulusHash, Random, RecentHistory
from leveret.routing.headers import Headers
from leveret.wire.tables import Table

EXCHANGE_TYPES: dict[str, type[Exchange]] = {
    "direct": Direct,
    "fanout": Fanout,
    "headers": Headers,
    "topic": Topic,
    "x-consistent-hash": ConsistentHash,
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
) -> Exchange:
    """A new exchange of a type that exists; arguments it cannot have are an error."""
    return EXCHANGE_TYPES[kind](name, kind, durable, auto_delete, internal, arguments, user)

"""Exchanges that choose one of their bindings: which one, a second binding of a queue, and a deleted one."""

from collections.abc import Iterable
from typing import Any

from conformance.codec import Typed
from conformance.scenarios.exchange_types import HASH, RECENT, routed
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

KEYS = [f"key-{number}" for number in range(24)]


def weighted(s: Stage, weights: Iterable[str], kind: str = "x-consistent-hash", **arguments: Any) -> Peer:
    """A peer with exchange cf.x and a queue cf.q<number> for each weight."""
    a = s.connect()
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    a.ask("exchange.declare", exchange="cf.x", exchange_type=kind, arguments=given)
    for number, weight in enumerate(weights):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="cf.x", routing_key=weight)
    return a


def spread(s: Stage, a: Peer, keys: Iterable[str] = KEYS, queues: int = 3) -> None:
    """Publish with the keys and note where each message went."""
    note, a.note = a.note, lambda line: None
    for key in keys:
        a.publish("cf.x", key, key.encode())
    a.note = note
    routed(s, a, [key.encode() for key in keys], queues)


@family("exchange-types/hash-weights", HASH, {"equal": "111", "different": "152", "one-large": "119"})
def weights(s: Stage, stated: str) -> None:
    spread(s, weighted(s, stated))


@scenario("exchange-types/hash-unbound", HASH + ": what is left is spread anew")
def unbound(s: Stage) -> None:
    a = weighted(s, "132")
    a.ask("queue.unbind", queue="cf.q1", exchange="cf.x", routing_key="3")
    spread(s, a)


@scenario("exchange-types/hash-rebound", HASH + ": with another weight, behind the others")
def rebound(s: Stage) -> None:
    a = weighted(s, "132")
    a.ask("queue.unbind", queue="cf.q0", exchange="cf.x", routing_key="1")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="4")
    spread(s, a)


@scenario("exchange-types/hash-bound-twice", HASH + ": only the first binding of a queue counts")
def twice(s: Stage) -> None:
    a = weighted(s, "111")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="9")
    spread(s, a)


@scenario(
    "exchange-types/hash-bound-twice-unbound", HASH + ": and with one of two a queue is gone from the ring"
)
def twice_unbound(s: Stage) -> None:
    a = weighted(s, "111")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="2")
    a.ask("queue.unbind", queue="cf.q0", exchange="cf.x", routing_key="2")
    spread(s, a)


@scenario("exchange-types/hash-queue-deleted", HASH)
def deleted(s: Stage) -> None:
    a = weighted(s, "121")
    a.ask("queue.delete", queue="cf.q1")
    spread(s, a, queues=1)
    for queue in ("cf.q2",):
        a.ask("queue.purge", queue=queue)


@scenario("exchange-types/hash-to-exchange", HASH + "; rabbitmq.com/docs/e2e")
def to_exchange(s: Stage) -> None:
    a = weighted(s, "1")
    a.ask("exchange.declare", exchange="cf.y", exchange_type="fanout")
    a.ask("exchange.bind", destination="cf.y", source="cf.x", routing_key="1")
    for number in (1, 2):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="cf.y")
    spread(s, a, KEYS[:12])


SOURCES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "header-text": ({"hash_header": "h"}, [{"headers": {"h": f"v{number}"}} for number in range(8)]),
    "header-integers": ({"hash_header": "h"}, [{"headers": {"h": number}} for number in range(8)]),
    "header-kinds": (
        {"hash_header": "h"},
        [
            {"headers": {"h": value}}
            for value in (
                True, None, 1.5, b"x", [1, "a"], {"a": 1}, Typed("T", 1000000000), Typed("l", 5), Typed("s", 5), "",
            )
        ],
    ),
    "header-missing": ({"hash_header": "h"}, [{}, {"headers": {"other": 1}}]),
    "correlation-id": ({"hash_property": "correlation_id"}, [{"correlation_id": f"c{n}"} for n in range(8)]),
    "message-id": ({"hash_property": "message_id"}, [{"message_id": f"m{n}"} for n in range(8)]),
    "timestamp": ({"hash_property": "timestamp"}, [{"timestamp": 10**9 + n} for n in range(8)]),
    "property-missing": ({"hash_property": "message_id"}, [{}, {"correlation_id": "x"}]),
    "property-empty": ({"hash_property": "message_id"}, [{"message_id": ""}]),
    "copies": ({}, [{"headers": {"CC": [f"cc{n}"]}} for n in range(6)]),
}  # fmt: skip


@family("exchange-types/hash-on", HASH, SOURCES)
def hash_on(s: Stage, arguments: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    a = weighted(s, "111", **arguments)
    bodies = [b"%d" % number for number in range(len(messages))]
    for body, properties in zip(bodies, messages, strict=True):
        a.publish("cf.x", "key", body, **properties)
    a.idle()
    if a.ended is None:
        routed(s, a, bodies, 3)


@scenario("exchange-types/modulus", "rabbitmq.com/docs/exchanges#modulus-hash", profiles=("4.3",))
def modulus(s: Stage) -> None:
    a = weighted(s, ("", "k", "10"), "x-modulus-hash")
    spread(s, a)
    a.ask("queue.unbind", queue="cf.q1", exchange="cf.x", routing_key="k")
    spread(s, a)
    a.publish("cf.x", "key-1", b"copies", headers={"CC": ["a", "b"]})
    routed(s, a, [b"copies"], 3)


@scenario("exchange-types/modulus-bound-twice", "rabbitmq.com/docs/exchanges#modulus-hash", profiles=("4.3",))
def modulus_twice(s: Stage) -> None:
    a = weighted(s, ("a", "b"), "x-modulus-hash")
    a.ask("queue.bind", queue="cf.q1", exchange="cf.x", routing_key="c")
    spread(s, a, queues=2)


@scenario("exchange-types/modulus-none", "rabbitmq.com/docs/exchanges#modulus-hash", profiles=("4.3",))
def modulus_none(s: Stage) -> None:
    a = weighted(s, (), "x-modulus-hash")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.expect()


@scenario(
    "exchange-types/random-among-same", "github.com/rabbitmq/rabbitmq-server deps/rabbitmq_random_exchange"
)
def random_same(s: Stage) -> None:
    a = weighted(s, ("a",), "x-random")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="b")
    for number in range(6):
        a.publish("cf.x", "k", b"%d" % number, mandatory=True, headers={"CC": ["x"]})
    a.ask("queue.purge", queue="cf.q0")
    a.ask("queue.delete", queue="cf.q0")
    a.publish("cf.x", "k", b"none", mandatory=True)
    a.expect()


@scenario(
    "exchange-types/random-exactly-one", "github.com/rabbitmq/rabbitmq-server deps/rabbitmq_random_exchange"
)
def random_one(s: Stage) -> None:
    a = weighted(s, ("a", "b"), "x-random")
    for number in range(10):
        a.publish("cf.x", "k", b"%d" % number)
    note, a.note = a.note, lambda line: None
    purged = [a.ask("queue.purge", queue=f"cf.q{number}").arguments["message_count"] for number in range(2)]
    a.note = note
    s.note(f"{sum(purged)} copies")


NO_STORE: dict[str, object] = {"true": True, "false": False, "text": "true", "one": 1, "void": None}


@family("exchange-types/recent-no-store", RECENT, NO_STORE)
def no_store(s: Stage, value: object) -> None:
    a = weighted(s, (), "x-recent-history")
    a.publish("cf.x", "k", b"0", headers={"x-recent-history-no-store": value, "h": 1}, delivery_mode=2)
    a.idle()
    a.ask("queue.declare", queue="cf.q0")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x")
    a.ask("basic.get", queue="cf.q0", no_ack=True)


@scenario("exchange-types/recent-default-length", RECENT + ": 20")
def default_length(s: Stage) -> None:
    a = weighted(s, (), "x-recent-history")
    for number in range(25):
        a.publish("cf.x", "k", b"%d" % number)
    a.idle()
    a.ask("queue.declare", queue="cf.q0")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x")
    a.ask("basic.get", queue="cf.q0", no_ack=True)
    a.ask("queue.purge", queue="cf.q0")


@scenario("exchange-types/recent-bound-again", RECENT + ": every new binding gets it, also of the same queue")
def bound_again(s: Stage) -> None:
    a = weighted(s, (), "x-recent-history", x_recent_history_length=2)
    for number in range(3):
        a.publish("cf.x", "k", b"%d" % number, headers={"CC": ["c"]}, expiration="60000")
    a.idle()
    a.ask("queue.declare", queue="cf.q0")
    for key in ("a", "a", "b"):
        a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key=key)
    while a.ask("basic.get", queue="cf.q0", no_ack=True).name == "basic.get-ok":
        pass


@scenario("exchange-types/recent-unroutable-is-kept", RECENT)
def unroutable(s: Stage) -> None:
    a = weighted(s, (), "x-recent-history")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.expect()
    a.ask(
        "queue.declare", queue="cf.q0", arguments={"x-max-length": 0, "x-dead-letter-exchange": "amq.fanout"}
    )
    a.ask("queue.declare", queue="cf.q1")
    a.ask("queue.bind", queue="cf.q1", exchange="amq.fanout")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x")
    a.eventually("basic.get-ok", "basic.get", queue="cf.q1", no_ack=True)

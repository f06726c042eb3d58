"""Routing by exchange type: direct, topic, headers, alternate exchanges and the types of plugins."""

from collections.abc import Iterable

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

TOPIC = "0-9-1 3.1.3.3; rabbitmq.com/tutorials/tutorial-five-python"
HEADERS = "0-9-1 3.1.3.4; rabbitmq.com/docs/exchanges#headers"
AE = "rabbitmq.com/docs/ae"
HASH = "github.com/rabbitmq/rabbitmq-server deps/rabbitmq_consistent_hash_exchange"


def bound(s: Stage, kind: str, keys: Iterable[str]) -> Peer:
    """A peer with exchange cf.x and one queue cf.q<number> for each binding key."""
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type=kind)
    for number, key in enumerate(keys):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="cf.x", routing_key=key)
    return a


def routed(s: Stage, a: Peer, bodies: Iterable[bytes], queues: int) -> None:
    """Note for each body which of cf.q0, cf.q1, ... have a copy; takes them all."""
    note, a.note = a.note, lambda line: None
    found: dict[bytes, list[str]] = {body: [] for body in bodies}
    for number in range(queues):
        while (got := a.ask("basic.get", queue=f"cf.q{number}", no_ack=True)).name == "basic.get-ok":
            found[got.body].append(f"cf.q{number}")
    a.note = note
    for body, where in found.items():
        s.note(f"a copy of {body!r} in: {' '.join(where) or 'no queue'}")


BINDING_KEYS = (
    "",
    "*",
    "#",
    "a.*",
    "a.#",
    "#.b",
    "a.#.b",
    "*.*",
    "a..b",
    "a.*.b",
    ".",
    "*.",
    "#.#",
    "##",
    "a*",
    "*.#",
)
ROUTING_KEYS = (
    "",
    "a",
    "a.b",
    "a..b",
    "a.",
    ".",
    "..",
    "b",
    "a.x.b",
    "a.b.b",
    "##",
    "a*",
    "*",
    "#",
    "a.#",
    "A.b",
)


@family("exchange-types/topic", TOPIC, {key or "empty": key for key in ROUTING_KEYS})
def topic(s: Stage, key: str) -> None:
    a = bound(s, "topic", BINDING_KEYS)
    a.publish("cf.x", key, key.encode())
    routed(s, a, [key.encode()], len(BINDING_KEYS))


@scenario("exchange-types/topic-long", TOPIC)
def topic_long(s: Stage) -> None:
    keys = ("#.z", "a.#.z", "*.b.#", "a.b.c.d.e.f.*", "#.d.#", "a.*.c.#.z", "#")
    a = bound(s, "topic", keys)
    bodies = (b"a.b.c.d.e.f.z", b"a.b", b"z", b"d", b"a.b.c.z", b"a.x.y.z")
    for body in bodies:
        a.publish("cf.x", body.decode(), body)
    routed(s, a, bodies, len(keys))


WILDCARDS = {
    "two": "#.a.#",
    "three": "#.a.#.b.#",
    "three-adjacent": "#.#.#",
    "five": "#.#.#.#.#",
    "many-stars": "*.*.*.*",
}


@family(
    "exchange-types/topic-wildcards", "rabbitmq.com/docs/exchanges: at most two # in a binding key", WILDCARDS
)
def wildcards(s: Stage, key: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="topic")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key=key)


@scenario("exchange-types/topic-wildcards-exchange-bind", "rabbitmq.com/docs/exchanges: at most two #")
def wildcards_e2e(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.x", exchange_type="topic")
    a.ask("queue.declare", queue="cf.q")
    a.ask("exchange.bind", source="cf.x", destination="amq.fanout", routing_key="#.a.#.b.#")
    a.ask("queue.unbind", 2, queue="cf.q", exchange="cf.x", routing_key="#.a.#.b.#")


@scenario("exchange-types/topic-several-bindings-one-copy", TOPIC)
def topic_one_copy(s: Stage) -> None:
    a = bound(s, "topic", ["a.*"])
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="#")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="*.b")
    a.publish("cf.x", "a.b", b"once")
    a.ask("basic.get", queue="cf.q0", no_ack=True)
    for key in ("a.*", "#"):
        a.ask("queue.unbind", queue="cf.q0", exchange="cf.x", routing_key=key)
    a.publish("cf.x", "a.b", b"still", mandatory=True)
    a.publish("cf.x", "a.c", b"gone", mandatory=True)
    a.expect()
    a.ask("basic.get", queue="cf.q0", no_ack=True)


@scenario("exchange-types/direct", "0-9-1 3.1.3.1")
def direct(s: Stage) -> None:
    a = bound(s, "direct", ("k", "k", "other", "", "K"))
    bodies = (b"k", b"other", b"", b"none", b"K")
    for body in bodies:
        a.publish("cf.x", body.decode(), body)
    routed(s, a, bodies, 5)


@scenario("exchange-types/direct-cc", "rabbitmq.com/docs/sender-selected")
def direct_cc(s: Stage) -> None:
    a = bound(s, "direct", ("k", "c", "b"))
    a.publish("cf.x", "k", b"1", headers={"CC": ["c", "k"], "BCC": ["b"]})
    a.publish("cf.x", "none", b"2", headers={"CC": ["c"]})
    routed(s, a, (b"1", b"2"), 3)


@scenario("exchange-types/topic-cc", "rabbitmq.com/docs/sender-selected")
def topic_cc(s: Stage) -> None:
    a = bound(s, "topic", ("a.*", "*.c", "#"))
    a.publish("cf.x", "x", b"1", headers={"CC": ["a.c"]})
    routed(s, a, (b"1",), 3)


@scenario("exchange-types/fanout", "0-9-1 3.1.3.2")
def fanout(s: Stage) -> None:
    a = bound(s, "fanout", ("k", "", "other"))
    a.publish("cf.x", "any", b"x", headers={"CC": ["a"]})
    routed(s, a, (b"x",), 3)


BOUND_HEADERS: dict[str, dict[str, object]] = {
    "none": {},
    "all": {"x-match": "all", "a": 1, "b": "2"},
    "all-by-default": {"a": 1, "b": "2"},
    "any": {"x-match": "any", "a": 1, "b": "2"},
    "any-of-nothing": {"x-match": "any"},
    "void": {"a": None},
    "x-skipped": {"x-match": "all", "a": 1, "x-h": "z"},
    "x-only": {"x-match": "any", "x-h": "z"},
    "all-with-x": {"x-match": "all-with-x", "a": 1, "x-h": "z"},
    "any-with-x": {"x-match": "any-with-x", "c": 1, "x-h": "z"},
    "wide-integer": {"a": Typed("l", 1)},
    "string-for-number": {"a": "1"},
    "bool": {"t": True},
    "table": {"f": {"x": 1}},
    "double": {"d": 1.0},
    "bytes": {"y": b"q"},
}
PUBLISHED_HEADERS: dict[str, dict[str, object]] = {
    "none": {},
    "a-and-b": {"a": 1, "b": "2"},
    "a-only": {"a": 1},
    "b-only": {"b": "2"},
    "a-as-text": {"a": "1"},
    "a-as-double": {"a": 1.0},
    "a-and-x": {"a": 1, "x-h": "z"},
    "x-only": {"x-h": "z"},
    "more": {"a": 1, "b": "2", "c": 3, "d": 1.0, "t": True, "f": {"x": 1}, "y": b"q"},
    "a-wide": {"a": Typed("l", 1), "b": "2"},
    "a-void": {"a": None},
    "bytes-for-text": {"b": b"2", "a": 1, "y": "q"},
}


@family("exchange-types/headers", HEADERS, PUBLISHED_HEADERS)
def headers(s: Stage, given: dict[str, object]) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="headers")
    for number, arguments in enumerate(BOUND_HEADERS.values()):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="cf.x", routing_key="k", arguments=arguments)
    a.publish("cf.x", "ignored", b"x", headers=given)
    routed(s, a, (b"x",), len(BOUND_HEADERS))


@scenario("exchange-types/headers-absent", HEADERS + ": a message without headers")
def headers_absent(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="headers")
    for number, arguments in enumerate(({}, {"x-match": "any"}, {"a": None})):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="cf.x", arguments=arguments)
    a.publish("cf.x", "", b"x")
    routed(s, a, (b"x",), 3)


MATCHES: dict[str, object] = {"unknown": "foo", "int": 1, "void": None, "upper-case": "ALL", "empty": ""}


@family("exchange-types/headers-x-match", HEADERS, MATCHES)
def x_match(s: Stage, value: object) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="amq.headers", arguments={"x-match": value, "a": 1})


@scenario("exchange-types/headers-x-match-elsewhere", HEADERS + ": x-match means nothing to other types")
def x_match_elsewhere(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k", arguments={"x-match": "foo"})
    a.publish("amq.direct", "cf.k", b"x")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("exchange-types/alternate", AE)
def alternate(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.ae", exchange_type="fanout")
    a.ask(
        "exchange.declare", exchange="cf.x", exchange_type="direct", arguments={"alternate-exchange": "cf.ae"}
    )
    for queue, exchange in (("cf.q0", "cf.x"), ("cf.q1", "cf.ae")):
        a.ask("queue.declare", queue=queue)
        a.ask("queue.bind", queue=queue, exchange=exchange, routing_key="k")
    a.publish("cf.x", "k", b"matched")
    a.publish("cf.x", "other", b"unmatched", mandatory=True)
    a.ask("basic.get", queue="cf.q0", no_ack=True)
    a.ask("basic.get", queue="cf.q1", no_ack=True)
    a.ask("basic.get", queue="cf.q1", no_ack=True)


@scenario("exchange-types/alternate-chain", AE)
def alternate_chain(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x3", exchange_type="fanout")
    for name, target in (("cf.x2", "cf.x3"), ("cf.x1", "cf.x2")):
        a.ask(
            "exchange.declare",
            exchange=name,
            exchange_type="direct",
            arguments={"alternate-exchange": target},
        )
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x3")
    a.publish("cf.x1", "k", b"x", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("exchange-types/alternate-cycle", AE)
def alternate_cycle(s: Stage) -> None:
    a = s.connect()
    for name, target in (("cf.x1", "cf.x2"), ("cf.x2", "cf.x1")):
        a.ask(
            "exchange.declare",
            exchange=name,
            exchange_type="direct",
            arguments={"alternate-exchange": target},
        )
    a.publish("cf.x1", "k", b"x", mandatory=True)
    a.expect()


@scenario("exchange-types/alternate-missing", AE)
def alternate_missing(s: Stage) -> None:
    a = s.connect()
    a.ask(
        "exchange.declare",
        exchange="cf.x",
        exchange_type="direct",
        arguments={"alternate-exchange": "cf.none"},
    )
    a.publish("cf.x", "k", b"x", mandatory=True)
    a.expect()


@scenario("exchange-types/alternate-default", AE + ": to the default exchange")
def alternate_default(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct", arguments={"alternate-exchange": ""})
    a.ask("queue.declare", queue="cf.q")
    a.publish("cf.x", "cf.q", b"x", mandatory=True)
    a.idle()
    a.ask("basic.get", queue="cf.q", no_ack=True)


HASH_KEYS = {
    "not-a-number": "x",
    "zero": "0",
    "negative": "-1",
    "empty": "",
    "one": "1",
    "fraction": "1.5",
    "plus": "+1",
}


@family("exchange-types/consistent-hash-key", HASH, HASH_KEYS)
def hash_key(s: Stage, key: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="x-consistent-hash")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key=key)


@scenario("exchange-types/consistent-hash-key-huge", HASH, profiles=("4.3",))
def hash_key_huge(s: Stage) -> None:
    hash_key(s, "10001")


HASH_ARGUMENTS: dict[str, dict[str, object]] = {
    "both": {"hash-header": "h", "hash-property": "message_id"},
    "unknown-property": {"hash-property": "foo"},
    "property": {"hash-property": "correlation_id"},
    "header": {"hash-header": "h"},
    "header-int": {"hash-header": 1},
    "property-int": {"hash-property": 1},
}


@family("exchange-types/consistent-hash-argument", HASH, HASH_ARGUMENTS)
def hash_argument(s: Stage, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="x-consistent-hash", arguments=arguments)


@scenario(
    "exchange-types/consistent-hash-one-queue", HASH + ": one queue a message, the same for the same key"
)
def hash_one(s: Stage) -> None:
    a = bound(s, "x-consistent-hash", ["1"])
    for number in range(5):
        a.publish("cf.x", f"k{number}", b"x", mandatory=True)
    a.idle()
    for _ in range(6):
        a.ask("basic.get", queue="cf.q0", no_ack=True)


@scenario("exchange-types/consistent-hash-no-binding", HASH)
def hash_none(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="x-consistent-hash")
    a.publish("cf.x", "k", b"x", mandatory=True)
    a.expect()


@scenario(
    "exchange-types/random-one-queue", "github.com/rabbitmq/rabbitmq-server deps/rabbitmq_random_exchange"
)
def random_one(s: Stage) -> None:
    a = bound(s, "x-random", ["k"])
    a.publish("cf.x", "anything", b"x", mandatory=True)
    a.ask("basic.get", queue="cf.q0", no_ack=True)


@scenario(
    "exchange-types/local-random-key", "rabbitmq.com/docs/local-random-exchange", profiles=("4.3", "4.0")
)
def local_random_key(s: Stage) -> None:
    bound(s, "x-local-random", ["k"])


@scenario("exchange-types/local-random", "rabbitmq.com/docs/local-random-exchange", profiles=("4.3", "4.0"))
def local_random(s: Stage) -> None:
    a = bound(s, "x-local-random", [""])
    a.publish("cf.x", "anything", b"x", mandatory=True)
    a.ask("basic.get", queue="cf.q0", no_ack=True)


@scenario(
    "exchange-types/local-random-quorum", "rabbitmq.com/docs/local-random-exchange", profiles=("4.3", "4.0")
)
def local_random_quorum(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="x-local-random")
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("queue.bind", queue="cf.q", exchange="cf.x")


RECENT = "github.com/rabbitmq/rabbitmq-server deps/rabbitmq_recent_history_exchange"


@scenario("exchange-types/recent-history", RECENT)
def recent(s: Stage) -> None:
    a = s.connect()
    a.ask(
        "exchange.declare", exchange="cf.x", exchange_type="x-recent-history",
        arguments={"x-recent-history-length": 2},
    )  # fmt: skip
    for number in range(4):
        a.publish(
            "cf.x", "k", b"%d" % number, headers={"x-recent-history-no-store": True} if number == 3 else {}
        )
    a.idle()
    a.ask("queue.declare", queue="cf.q0")
    a.ask("queue.bind", queue="cf.q0", exchange="cf.x", routing_key="z")
    a.publish("cf.x", "k", b"4")
    for _ in range(4):
        a.ask("basic.get", queue="cf.q0", no_ack=True)


LENGTHS: dict[str, object] = {"zero": 0, "negative": -1, "string": "2", "float": 1.5}


@family("exchange-types/recent-history-length", RECENT, LENGTHS)
def recent_length(s: Stage, value: object) -> None:
    a = s.connect()
    arguments = {"x-recent-history-length": value}
    a.ask("exchange.declare", exchange="cf.x", exchange_type="x-recent-history", arguments=arguments)


OTHERS = {
    "delayed": "x-delayed-message",
    "modulus": "x-modulus-hash",
    "jms": "x-jms-topic",
    "event": "x-event",
}


@family("exchange-types/declare", "rabbitmq.com/docs/exchanges", OTHERS)
def others(s: Stage, kind: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type=kind)

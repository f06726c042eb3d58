"""Messages that fail later than they are published: when they are due, expire, are read or are restored.

Nobody but their publisher may notice, in any version. Messages are made from a seed: headers that the broker reads get
values of every field type, and values at the limits of the right one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pamqp.commands import Basic, Confirm

from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.profiles import PROFILES
from leveret.settings import Profile
from leveret.testing.memory_store import MemoryContents, MemoryStore
from leveret.testing.playbook import Beat, Connect, Stage
from leveret.wire.methods import method_frame
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table

VERSIONS = sorted(PROFILES)

#: Whatever a message is published to: queues that let it die, the exchanges below.
SOURCES = ("dies-classic", "dies-quorum", "dies-slowly", "rejected", "retried")
TARGETS = ("classic", "quorum", "stream", "priorities")

# --- values

INTEGERS = {"b": 7, "B": 8, "s": 15, "u": 16, "I": 31, "i": 32, "l": 63, "T": 64}
TEXTS = st.sampled_from(
    [
        b"",
        b"abc",
        b"\xff\xfe",
        b"0",
        b"-1",
        b"+300",
        b"1" * 400,
        b"1" * 5000,
        b"x" * 300,
        b"true",
        b"1.5",
        b"q",
        b"rejected",
        b"expired",
    ]
)
SCALARS = st.one_of(
    *(
        st.builds(
            Field,
            st.just(kind),
            st.sampled_from([0, 1, 2, (1 << bits) - 1, *([-1, -(1 << bits)] if kind in "bsIl" else [])]),
        )
        for kind, bits in INTEGERS.items()
    ),
    st.builds(Field, st.sampled_from("Sx"), TEXTS),
    st.builds(Field, st.just("D"), st.sampled_from([(0, 0), (2, 314), (255, 0xFFFFFFFF)])),
    st.builds(Field, st.just("d"), st.sampled_from([0.0, -0.5, 1e308, 5e-324])),
    st.builds(Field, st.just("f"), st.sampled_from([0.0, 1.5, -2.0])),
    st.builds(Field, st.just("t"), st.booleans()),
    st.just(Field("V", None)),
)
NAMES = st.sampled_from(["a", "", "é", "\udcff", "x-", "count", "n" * 255])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(Field, st.just("A"), st.lists(inner, max_size=3)),
        st.builds(Field, st.just("F"), st.dictionaries(NAMES, inner, max_size=3)),
    ),
    max_leaves=5,
)
LONG = st.sampled_from(
    [
        Field("l", 1),
        Field("l", (1 << 63) - 1),
        Field("l", -(1 << 63)),
        Field("I", 3),
        Field("T", (1 << 64) - 1),
    ]
)
WORD = st.builds(Field, st.just("S"), TEXTS)
KEYS = st.builds(Field, st.just("A"), st.lists(st.one_of(WORD, VALUES), max_size=3))
DEATH = st.builds(
    Field,
    st.just("F"),
    st.fixed_dictionaries(
        {},
        optional={
            "count": LONG | VALUES,
            "reason": st.sampled_from([Field("S", b"expired"), Field("S", b"rejected"), Field("S", b"\xff")])
            | VALUES,
            "queue": st.sampled_from([Field("S", name.encode()) for name in (*SOURCES, *TARGETS)]) | VALUES,
            "time": LONG | VALUES,
            "exchange": WORD | VALUES,
            "routing-keys": KEYS | VALUES,
            "original-expiration": WORD | VALUES,
            "a": VALUES,
        },
    ),
)
DEATHS = st.builds(Field, st.just("A"), st.lists(DEATH | VALUES, max_size=4)) | VALUES
READ_LATER = (
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
    "x-last-death-reason",
    "x-stream-offset",
    "x-stream-filter-value",
    "x-delivery-count",
    "x-acquired-count",
    "x-basic-type",
    "x-cc",
    "x-exchange",
    "x-routing-key",
    "x-deduplication-header",
    "x-recent-history-no-store",
    "x-match",
    "hash",
    "plain",
    "x-opt-rabbitmq-received-time",
    "timestamp_in_ms",
    "CC",
    "\udcff\udcfe",
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "CC": KEYS,
        "BCC": KEYS,
        "x-death": DEATHS,
        "x-delay": st.one_of(LONG, VALUES, st.just(Field("l", 50)), st.just(Field("S", b"50"))),
        **dict.fromkeys(READ_LATER, VALUES),
    },
)
SHORT = st.sampled_from(["", "text", "\udcff", "é" * 127, "x" * 255])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "delivery_mode": st.sampled_from([0, 1, 2, 255]),
        "priority": st.sampled_from([0, 5, 255]),
        "correlation_id": SHORT,
        "reply_to": SHORT | st.just("amq.rabbitmq.reply-to.x"),
        "expiration": st.sampled_from(["0", "10", "315360000000"]),
        "message_id": SHORT,
        "timestamp": st.sampled_from([0, (1 << 64) - 1, 1 << 63, 1_600_000_000]),
        "type": SHORT,
        "app_id": SHORT,
        "cluster_id": SHORT,
    },
)
PLACES = [("", name) for name in (*SOURCES, *TARGETS)] + [
    (name, "k") for name in ("delayed", "delayed-topic", "hashed", "headers", "history", "hashed-id")
]


# --- a broker that can be started again


class FaultClient(Stage):
    """A broker on a store, with exchanges and queues that move messages by themselves."""

    def __init__(self, version: str, contents: MemoryContents | None = None) -> None:
        super().__init__(Settings(profile=Profile(version=version)), lambda data: (data,))
        self.version = version
        self.store = MemoryStore(contents or MemoryContents())
        self.use(Broker(self.settings(version), self.clock, self.store.journal, link_clock=self.link_clock))
        self.store.restore(self.broker)
        if contents is None:
            startup.seed(self.broker)
            self.build()
        self.connect(Connect("victim", heartbeat=60))

    @staticmethod
    def settings(version: str) -> Settings:
        return Settings(profile=Profile(version=version))

    def again(self) -> FaultClient:
        """Kill the broker and start it again."""
        self.said.clear()
        client = FaultClient(self.version, self.store.contents)
        client.advance(1000)
        return client

    def queue(self, name: str, **arguments: int | str) -> Any:
        table: Table = {
            "x-" + argument.replace("_", "-"): Field("S", value.encode())
            if isinstance(value, str)
            else Field("l", value)
            for argument, value in arguments.items()
        }
        return self.broker.vhosts["/"].declare_queue(
            name, durable=True, auto_delete=False, owner=None, arguments=table, user="guest"
        )

    def exchange(self, name: str, kind: str, **arguments: str) -> Any:
        table = {
            argument.replace("_", "-"): Field("S", value.encode()) for argument, value in arguments.items()
        }
        return self.broker.vhosts["/"].declare_exchange(
            name, kind, durable=True, auto_delete=False, internal=False, arguments=table, user="guest"
        )

    def build(self) -> None:
        vhost = self.broker.vhosts["/"]
        targets = [
            self.queue("classic"),
            self.queue("quorum", queue_type="quorum"),
            self.queue("stream", queue_type="stream"),
            self.queue("priorities", max_priority=5),
        ]
        fanout = self.exchange("all", "fanout")
        dead = self.exchange("dead", "fanout")
        for target in targets:
            vhost.bind(fanout, target, "", {})
        vhost.bind(dead, fanout, "", {})
        self.queue("dies-classic", dead_letter_exchange="dead", message_ttl=10)
        self.queue("dies-quorum", queue_type="quorum", dead_letter_exchange="dead", message_ttl=10)
        self.queue(
            "dies-slowly",
            queue_type="quorum",
            dead_letter_exchange="dead",
            message_ttl=10,
            dead_letter_strategy="at-least-once",
            overflow="reject-publish",
        )
        self.queue("rejected", dead_letter_exchange="dead", dead_letter_routing_key="other")
        self.queue("retried", dead_letter_exchange="", dead_letter_routing_key="dies-classic", message_ttl=20)
        self.queue("mine", message_ttl=100)
        delayed = self.exchange("delayed", "x-delayed-message", x_delayed_type="fanout")
        topic = self.exchange("delayed-topic", "x-delayed-message", x_delayed_type="topic")
        hashed = self.exchange("hashed", "x-consistent-hash", hash_header="hash")
        by_id = self.exchange("hashed-id", "x-consistent-hash", hash_property="timestamp")
        headers = self.exchange("headers", "headers")
        history = self.exchange("history", "x-recent-history")
        vhost.bind(delayed, fanout, "", {})
        vhost.bind(topic, dead, "#", {})
        for target in targets:
            vhost.bind(hashed, target, "10", {})
            vhost.bind(by_id, target, "10", {})
        vhost.bind(
            headers, fanout, "", {"x-match": Field("S", b"any"), "plain": Field("l", 1), "a": Field("T", 1)}
        )
        vhost.bind(history, delayed, "", {})

    def everything_works(self) -> None:
        """Check timers, the messages and heartbeats of the victim, and that nothing has failed."""
        self.listen()
        self.said.clear()
        self.feed(self.clients["victim"], b"".join(_published("", "mine", {}, b"mine") for _ in range(3)))
        assert self.broker.vhosts["/"].queues["mine"].ready == 3
        self.advance(101)
        assert self.broker.vhosts["/"].queues["mine"].ready == 0
        self.advance(31_000)
        assert Beat("victim") in self.said
        self.feed(self.clients["victim"], b"\x08\0\0\0\0\0\0\xce")
        assert self.fault is None, self.fault
        assert not self.broker.faults.errors

    def attack(self, exchange: str, key: str, properties: dict[str, Any], flips: Any = ()) -> None:
        """Publish with confirms on a new connection."""
        self.connect(Connect("attacker"))
        self.feed(self.clients["attacker"], method_frame(1, Confirm.Select))
        self.feed(self.clients["attacker"], _published(exchange, key, properties, b"boom", flips))
        self.listen()
        self.hang_up("attacker")
        self.said.clear()

    def read_all(self) -> None:
        """Take all messages, reject some of them, and read the stream."""
        self.connect(Connect("reader"))
        reader = self.clients["reader"]
        self.feed(reader, method_frame(1, Basic.Qos, prefetch_count=100))
        self.feed(
            reader,
            method_frame(
                1,
                Basic.Consume,
                queue="stream",
                consumer_tag="s",
                arguments={"x-stream-offset": Field("S", b"first")},
            ),
        )
        for name in ("rejected", "classic", "quorum", "priorities"):
            self.feed(reader, method_frame(1, Basic.Get, queue=name))
        self.listen()
        gets = [
            line.arguments["delivery_tag"]
            for line in self.said
            if getattr(line, "command", None) is Basic.GetOk
        ]
        for tag in gets[:2]:
            self.feed(reader, method_frame(1, Basic.Reject, delivery_tag=tag, requeue=False))
        self.listen()
        self.hang_up("reader")
        self.said.clear()


def _published(exchange: str, key: str, properties: dict[str, Any], body: bytes, flips: Any = ()) -> bytes:
    header = bytearray(encode_properties(Properties(**properties), len(body)))
    for at, value in flips:
        header[12 + at % max(1, len(header) - 12)] = value if len(header) > 12 else header[-1]
    frames = ((2, bytes(header)), (3, body))
    return method_frame(1, Basic.Publish, exchange=exchange, routing_key=key) + b"".join(
        bytes((kind, 0, 1)) + len(data).to_bytes(4, "big") + data + b"\xce" for kind, data in frames
    )


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(PLACES),
        PROPERTIES,
        HEADERS,
        st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=1),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("version", VERSIONS)
@seed(20261128)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(messages=MESSAGES)
def test_no_message_affects_others_than_its_publisher(version: str, messages: Any) -> None:
    client = FaultClient(version)
    for (exchange, key), properties, headers, flips in messages:
        client.attack(exchange, key, {**properties, "headers": headers}, flips)
    client.everything_works()
    client.read_all()
    client.advance(1000)
    client.everything_works()
    client = client.again()
    client.everything_works()
    client.read_all()
    client.everything_works()

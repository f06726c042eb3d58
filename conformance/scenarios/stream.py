"""Streams over AMQP 0-9-1."""

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/streams"
OFFSET = PAGE + "#consuming: x-stream-offset"


def stream(s: Stage, *bodies: bytes, channels: tuple[int, ...] = (1,)) -> Peer:
    """A peer with stream cf.q that holds the bodies, each stored before the next is published."""
    a = s.connect(channels=(*channels, 9))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "stream"})
    a.ask("confirm.select", 9)
    for body in bodies:
        a.publish("", "cf.q", body, 9)
        a.confirms(1, 9)
    return a


@scenario("stream/consume", PAGE)
def consume(s: Stage) -> None:
    a = stream(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(3)
    a.send("basic.ack", delivery_tag=3, multiple=True)
    a.publish("", "cf.q", b"3", 9)
    a.confirms(1, 9)
    a.expect()


@scenario("stream/consume-twice", PAGE + ": reading removes nothing")
def consume_twice(s: Stage) -> None:
    a = stream(s, b"0", b"1", channels=(1, 2))
    for channel in (1, 2):
        a.ask("basic.qos", channel, prefetch_count=10)
        arguments = {"x-stream-offset": "first"}
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag="t", arguments=arguments)
        a.expect(2, channel)


@scenario("stream/prefetch", PAGE + ": an ack gives credit")
def prefetch(s: Stage) -> None:
    a = stream(s, b"0", b"1", b"2", b"3")
    a.ask("basic.qos", prefetch_count=2)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(2)
    a.send("basic.ack", delivery_tag=2, multiple=True)
    a.expect(2)


@scenario("stream/no-prefetch", PAGE + ": 406")
def no_prefetch(s: Stage) -> None:
    stream(s).ask("basic.consume", queue="cf.q", consumer_tag="t")


@scenario("stream/no-ack", PAGE + ": 540")
def no_ack(s: Stage) -> None:
    a = stream(s)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)


@scenario("stream/exclusive-consumer", PAGE)
def exclusive(s: Stage) -> None:
    a = stream(s)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", exclusive=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="u")


METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "get": ("basic.get", {}),
    "purge": ("queue.purge", {}),
    "delete": ("queue.delete", {}),
    "delete-if-empty": ("queue.delete", {"if_empty": True}),
    "delete-if-unused": ("queue.delete", {"if_unused": True}),
}


@family("stream/method", PAGE + "#feature-comparison", METHODS)
def method(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = stream(s, b"0")
    a.ask(name, queue="cf.q", **arguments)


OFFSETS: dict[str, object] = {
    "first": "first",
    "number": 2,
    "number-wide": Typed("l", 1),
    "number-short": Typed("s", 1),
    "negative": -5,
    "timestamp-old": Typed("T", 1000000000),
    "interval": "1h",
}


@family("stream/offset", OFFSET, OFFSETS)
def offset(s: Stage, value: object) -> None:
    a = stream(s, b"0", b"1", b"2", b"3")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": value})
    number = value.value if isinstance(value, Typed) else value
    a.expect(4 - number if isinstance(number, int) and 0 < number < 4 else 4)


@scenario("stream/offset-next", OFFSET)
def offset_next(s: Stage) -> None:
    a = stream(s, b"0", channels=(1, 2))
    for channel, arguments in ((1, {"x-stream-offset": "next"}), (2, {})):
        a.ask("basic.qos", channel, prefetch_count=10)
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag="t", arguments=arguments)
    a.publish("", "cf.q", b"1", 9)
    a.confirms(1, 9)
    a.expect(1, 1)
    a.expect(1, 2)


@scenario("stream/offset-last", OFFSET + ": the last chunk")
def offset_last(s: Stage) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "last"})
    a.publish("", "cf.q", b"2", 9)
    a.confirms(1, 9)
    a.expect(2)


@scenario("stream/offset-beyond", OFFSET)
def offset_beyond(s: Stage) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": 100})
    a.publish("", "cf.q", b"2", 9)
    a.confirms(1, 9)
    s.elapse(100)
    a.idle()


BAD: dict[str, object] = {
    "word": "foo",
    "no-unit": "7",
    "empty": "",
    "bool": True,
    "float": 1.5,
    "void": None,
    "array": [1],
    "negative-interval": "-1h",
}


@family("stream/offset-bad", OFFSET, BAD)
def offset_bad(s: Stage, value: object) -> None:
    a = stream(s, b"0")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": value})
    a.idle()


SETTLED: dict[str, tuple[str, dict[str, object]]] = {
    "nack": ("basic.nack", {}),
    "nack-requeue": ("basic.nack", {"requeue": True}),
    "reject": ("basic.reject", {}),
    "reject-requeue": ("basic.reject", {"requeue": True}),
}


@family("stream/settle", PAGE, SETTLED)
def settle(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()
    a.send(name, delivery_tag=1, **arguments)
    a.expect()


@scenario("stream/properties", PAGE + ": what is kept of a message", profiles=("4.3", "4.0"))
def properties(s: Stage) -> None:
    _properties(s)


@scenario("stream/properties-3.10", PAGE + ": what is kept of a message", profiles=("3.10",))
def properties_3_10(s: Stage) -> None:
    _properties(s)


def _properties(s: Stage) -> None:
    a = stream(s)
    a.publish(
        "",
        "cf.q",
        b"body",
        9,
        content_type="text/plain",
        content_encoding="utf-8",
        delivery_mode=2,
        priority=7,
        correlation_id="c",
        reply_to="r",
        expiration="600000",
        message_id="m",
        timestamp=1234567890,
        type="t",
        user_id=s.target.login[0],
        app_id="a",
        cluster_id="cl",
        headers={
            "text": "v",
            "int": 5,
            "bool": True,
            "table": {"a": 1},
            "array": [1],
            "x-h": "x",
            "CC": ["cf.none"],
        },
    )
    a.publish("", "cf.q", b"none", 9)
    a.confirms(2, 9)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(2)


@scenario("stream/through-exchange", PAGE)
def through_exchange(s: Stage) -> None:
    a = stream(s)
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.publish("amq.direct", "cf.k", b"x", 9)
    a.confirms(1, 9)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()


@scenario("stream/filter", PAGE + "#filtering", profiles=("4.3", "4.0"))
def filtered(s: Stage) -> None:
    a = stream(s)
    for value in ("apple", "pear", None):
        a.publish(
            "", "cf.q", str(value).encode(), 9, headers={"x-stream-filter-value": value} if value else {}
        )
        a.confirms(1, 9)
    a.ask("basic.qos", prefetch_count=10)
    for tag, arguments in (
        ("pear", {"x-stream-filter": "pear"}),
        ("unfiltered", {"x-stream-filter": ["apple"], "x-stream-match-unfiltered": True}),
    ):
        a.ask(
            "basic.consume",
            queue="cf.q",
            consumer_tag=tag,
            arguments={"x-stream-offset": "first", **arguments},
        )
        a.expect(2 if tag == "unfiltered" else 1)
        a.ask("basic.cancel", consumer_tag=tag)


@scenario("stream/deleted-with-consumer", "rabbitmq.com/docs/consumer-cancel")
def deleted(s: Stage) -> None:
    a = stream(s)
    b = s.connect("b")
    b.ask("basic.qos", prefetch_count=1)
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("queue.delete", queue="cf.q")
    b.expect()


HEADERS: dict[str, dict[str, object]] = {
    "integers": {
        "b": Typed("b", -5),
        "B": Typed("B", 200),
        "s": Typed("s", -5),
        "u": Typed("u", 5),
        "l": Typed("l", 5),
    },
    "others": {
        "f": Typed("f", 1.5),
        "d": 1.5,
        "T": Typed("T", 1234567890),
        "V": None,
        "x": b"\x01\xff",
        "t": False,
    },
    "not-utf8": {"s": Typed("S", b"\xff\xfe")},
    "order": {"zz": 1, "x-zz": 2, "x-a": 1, "CC": ["cf.none"], "aa": 1, "x-stream-p": 1, "Z": 1},
    "x-nested": {
        "x-table": {"a": {"b": Typed("x", b"q")}},
        "x-array": [1, "s", None],
        "table": {"a": 1},
        "array": [],
    },
    "own-offset": {"x-stream-offset": 5},
    "own-death": {"x-death": [{"count": 1}], "x-first-death-queue": "cf.q"},
    "late-timestamp": {"t": Typed("T", 10**16)},
    "decimal": {"d": Typed("D", (2, 314))},
    "decimal-nested": {"x-table": {"d": Typed("D", (2, 314))}},
}


@family("stream/headers", PAGE + ": what is kept of headers", HEADERS)
def headers(s: Stage, given: dict[str, object]) -> None:
    _kept(s, headers=given)


KEPT: dict[str, dict[str, object]] = {
    "transient": {"delivery_mode": 1},
    "empty-strings": {
        "content_type": "",
        "content_encoding": "",
        "correlation_id": "",
        "message_id": "",
        "type": "",
    },
    "late-timestamp": {"timestamp": 2**63},
    "long-expiration": {"expiration": "5000000000"},
    "cluster": {"cluster_id": "c"},
    "reply-to-not-utf8": {"reply_to": b"\xff"},
    "message-id-not-utf8": {"message_id": b"\xff"},
    "filter-integer": {"headers": {"x-stream-filter-value": 7}},
    "filter-not-utf8": {"headers": {"x-stream-filter-value": Typed("S", b"\xff")}},
}


@family("stream/kept", PAGE + ": what is kept of properties", KEPT)
def kept(s: Stage, given: dict[str, object]) -> None:
    _kept(s, **given)


def _kept(s: Stage, **given: object) -> None:
    a = stream(s)
    a.publish("", "cf.q", b"body", 9, **given)
    a.confirms(1, 9)
    if a.ended is not None:
        return
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()


@scenario("stream/dead-letters", "rabbitmq.com/docs/dlx", profiles=("4.3", "4.0"))
def dead_letters(s: Stage) -> None:
    a = stream(s)
    target = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q"}
    a.ask("queue.declare", queue="cf.dead", durable=True, arguments=target)
    a.publish("", "cf.dead", b"x", 9, expiration="1", headers={"h": 1})
    a.confirms(1, 9)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()


@scenario("stream/recover", PAGE)
def recover(s: Stage) -> None:
    a = stream(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=2)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(2)
    a.ask("basic.recover", requeue=True)
    a.expect()


@scenario("stream/cancel-and-ack", PAGE)
def cancel_and_ack(s: Stage) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()
    a.ask("basic.cancel", consumer_tag="t")
    a.send("basic.ack", delivery_tag=1)
    a.idle()
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": 1})
    a.expect()


FILTERS: dict[str, dict[str, object]] = {
    "integer": {"x-stream-filter": 5},
    "no-strings": {"x-stream-filter": [1]},
    "mixed": {"x-stream-filter": ["a", 1]},
    "unfiltered-not-boolean": {"x-stream-filter": "a", "x-stream-match-unfiltered": 5},
}


@family("stream/filter-odd", PAGE + "#filtering", FILTERS)
def filter_odd(s: Stage, arguments: dict[str, object]) -> None:
    a = stream(s)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments=arguments)
    a.idle()


FIRST_OF_TWO: dict[str, dict[str, object]] = {
    "no-prefetch": {},
    "no-ack": {"no_ack": True},
}


@family("stream/offset-word-and", OFFSET + ": which error comes first", FIRST_OF_TWO)
def offset_word_and(s: Stage, more: dict[str, object]) -> None:
    a = stream(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "foo"}, **more)
    a.idle()

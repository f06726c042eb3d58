"""Where reading a stream begins, what filters deliver, credit, and retention."""

from typing import Any

from conformance.codec import Typed
from conformance.scenarios.stream import OFFSET, PAGE, stream
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

OFFSETS: dict[str, tuple[object, int]] = {
    "interval-1s": ("1s", 4),
    "interval-zero": ("0s", 0),
    "interval-year": ("1Y", 4),
    "interval-month": ("2M", 4),
    "interval-day": ("1D", 4),
    "interval-minute": ("1m", 4),
    "interval-leading-zero": ("01h", 4),
    "number-as-text": ("1", 0),
    "last-offset": (3, 1),
    "end": (4, 0),
    "unsigned": (Typed("u", 1), 3),
    "octet": (Typed("B", 1), 3),
    "signed-octet": (Typed("b", -1), 4),
    "timestamp-zero": (Typed("T", 0), 4),
    "timestamp-future": (Typed("T", 4000000000), 0),
}


@family("stream/offset-more", OFFSET, OFFSETS)
def offsets(s: Stage, value: object, count: int) -> None:
    a = stream(s, b"0", b"1", b"2", b"3")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": value})
    if 1 in a.open_channels:
        a.expect(count)
        a.publish("", "cf.q", b"4", 9)
        a.confirms(1, 9)
        s.elapse(50)
        a.idle()


WORDS = (
    "FIRST",
    "First",
    " first",
    "next ",
    "1 h",
    "1H",
    "h1",
    "1d",
    "1w",
    "-1",
    "+1h",
    "1.5h",
    "1h30m",
    "first\0",
)


@family("stream/offset-word", OFFSET, {repr(word): word for word in WORDS})
def words(s: Stage, value: str) -> None:
    a = stream(s, b"0")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": value})
    a.idle()


KINDS: dict[str, object] = {
    "bytes": b"first",
    "bytes-interval": b"1h",
    "bytes-unknown": b"foo",
    "table": {"a": 1},
    "decimal": Typed("D", (0, 1)),
    "float": Typed("f", 1.0),
    "long": Typed("l", 2**62),
}


@family("stream/offset-kind", OFFSET, KINDS)
def kinds(s: Stage, value: object) -> None:
    a = stream(s, b"0")
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": value})
    a.idle()


@scenario("stream/offset-interval-splits", OFFSET + ": an interval ends where the chunk after it begins")
def splits(s: Stage) -> None:
    a = stream(s, b"old")
    s.elapse(2500)
    a.publish("", "cf.q", b"new", 9)
    a.confirms(1, 9)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "1s"})
    a.expect()


EMPTY = ("first", "last", "next", 0, 5, -1, "1h", Typed("T", 0))


@family("stream/offset-empty", OFFSET + ": of an empty stream", {repr(where): where for where in EMPTY})
def empty(s: Stage, where: object) -> None:
    a = stream(s)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": where})
    a.publish("", "cf.q", b"0", 9)
    a.confirms(1, 9)
    if where != 5:
        a.expect()
    s.elapse(30)
    a.idle()


CONSUMERS: dict[str, dict[str, Any]] = {
    "priority": {"x-priority": 1},
    "priority-text": {"x-priority": "a"},
    "unknown": {"foo": 1},
    "timeout": {"x-consumer-timeout": 1000},
    "credit": {"x-credit": {"credit": 1, "drain": False}},
}


@family("stream/consumer-argument", PAGE, CONSUMERS)
def consumer_argument(s: Stage, arguments: dict[str, Any]) -> None:
    a = stream(s, b"0")
    a.ask("basic.qos", prefetch_count=10)
    a.ask(
        "basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first", **arguments}
    )
    a.idle()


SETTLEMENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "last-alone": [("basic.ack", {"delivery_tag": 3})],
    "out-of-order": [("basic.ack", {"delivery_tag": 2}), ("basic.ack", {"delivery_tag": 1})],
    "twice": [("basic.ack", {"delivery_tag": 1}), ("basic.ack", {"delivery_tag": 1})],
    "all": [("basic.ack", {"delivery_tag": 0, "multiple": True})],
    "unknown": [("basic.ack", {"delivery_tag": 9})],
}


@family("stream/credit", PAGE + ": every acknowledgement is credit for one", SETTLEMENTS)
def credit(s: Stage, said: list[tuple[str, dict[str, Any]]]) -> None:
    a = stream(s, *(b"%d" % number for number in range(8)))
    a.ask("basic.qos", prefetch_count=3)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(3)
    for name, arguments in said:
        a.send(name, **arguments)
    s.elapse(60)
    a.idle()


@scenario("stream/qos-changes", PAGE + ": for consumers that come afterwards")
def qos_changes(s: Stage) -> None:
    a = stream(s, *(b"%d" % number for number in range(6)))
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()
    a.ask("basic.qos", prefetch_count=3)
    a.send("basic.ack", delivery_tag=1)
    a.expect()
    a.ask("basic.qos", prefetch_count=0)
    a.ask("basic.consume", queue="cf.q", consumer_tag="u")


@scenario("stream/deliveries-of-two-consumers", PAGE + ": tags are the channel's")
def two(s: Stage) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=1)
    for tag in ("t", "u"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag, arguments={"x-stream-offset": "first"})
        a.expect()
    a.send("basic.ack", delivery_tag=2)
    a.expect()
    a.send("basic.ack", delivery_tag=1)
    a.expect()


def labelled(s: Stage, *values: object) -> Peer:
    """A stream whose messages have these filter values (None for none), each in its own chunk."""
    a = stream(s)
    for value in values:
        a.publish(
            "",
            "cf.q",
            repr(value).encode(),
            9,
            headers={} if value is None else {"x-stream-filter-value": value},
        )
        a.confirms(1, 9)
    a.ask("basic.qos", prefetch_count=10)
    return a


FILTERS: dict[str, dict[str, Any]] = {
    "one": {"x-stream-filter": "a"},
    "two": {"x-stream-filter": ["a", "b"]},
    "none-such": {"x-stream-filter": "z"},
    "empty-text": {"x-stream-filter": ""},
    "with-unfiltered": {"x-stream-filter": "b", "x-stream-match-unfiltered": True},
    "without-unfiltered": {"x-stream-filter": "b", "x-stream-match-unfiltered": False},
    "unfiltered-alone": {"x-stream-match-unfiltered": True},
    "no-filter": {},
    "empty-list": {"x-stream-filter": []},
    "bytes": {"x-stream-filter": b"a"},
    "upper-case": {"x-stream-filter": "A"},
}


@family("stream/filter-of", PAGE + "#filtering", FILTERS, profiles=("4.3", "4.0"))
def filters(s: Stage, arguments: dict[str, Any]) -> None:
    a = labelled(s, "a", "b", None, "c", "", 7, "a")
    a.ask(
        "basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first", **arguments}
    )
    s.elapse(60)
    a.idle()


@scenario("stream/filter-on-classic", PAGE + "#filtering", profiles=("4.3", "4.0"))
def filter_on_classic(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-filter": "a"})


@scenario("stream/filter-size", PAGE + "#filtering", profiles=("4.3", "4.0"))
def filter_size(s: Stage) -> None:
    a = s.connect()
    given = {"x-queue-type": "stream", "x-stream-filter-size-bytes": 255}
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={**given, "x-stream-filter-size-bytes": 16})


RETENTIONS: dict[str, dict[str, Any]] = {
    "bytes": {"x-max-length-bytes": 4000, "x-stream-max-segment-size-bytes": 1000},
    "segment-alone": {"x-stream-max-segment-size-bytes": 1000},
    "bytes-alone": {"x-max-length-bytes": 4000},
    "age": {"x-max-age": "1s", "x-stream-max-segment-size-bytes": 1000},
}


@family("stream/retention", PAGE + "#retention: whole segments go when one is full", RETENTIONS)
def retention(s: Stage, arguments: dict[str, Any]) -> None:
    a = s.connect(channels=(1, 9))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "stream", **arguments})
    a.ask("confirm.select", 9)
    note, a.note = a.note, lambda line: None
    for number in range(20):
        a.publish("", "cf.q", b"%02d" % number * 200, 9)
        a.confirms(1, 9)
    s.elapse(1500)
    s.lines.pop()
    for number in range(20, 40):
        a.publish("", "cf.q", b"%02d" % number * 200, 9)
        a.confirms(1, 9)
    s.elapse(500)
    s.lines.pop()
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    (first,) = a.expect()
    a.note = note
    s.note(f"the oldest have gone: {first.body[:2] > b'10'}")


SIZES: dict[str, dict[str, Any]] = {
    "segment-zero": {"x-stream-max-segment-size-bytes": 0},
    "age-zero": {"x-max-age": "0s"},
    "age-large": {"x-max-age": "999999Y"},
    "age-leading-zero": {"x-max-age": "01D"},
    "age-fraction": {"x-max-age": "1.5D"},
    "age-space": {"x-max-age": "1 D"},
    "age-two": {"x-max-age": "1D2h"},
    "age-upper-case": {"x-max-age": "1H"},
    "age-empty": {"x-max-age": ""},
    "bytes-zero": {"x-max-length-bytes": 0},
    "cluster-size-text": {"x-initial-cluster-size": "1"},
    "everything": {
        "x-max-length-bytes": 1,
        "x-max-age": "1s",
        "x-stream-max-segment-size-bytes": 1,
        "x-initial-cluster-size": 1,
        "x-queue-leader-locator": "random",
    },
}


@family("stream/declare", PAGE, SIZES)
def declare(s: Stage, arguments: dict[str, Any]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "stream", **arguments})


@scenario("stream/among-others", PAGE + ": as one of several queues of a fanout")
def among_others(s: Stage) -> None:
    a = stream(s)
    a.ask("queue.declare", queue="cf.c")
    for queue in ("cf.q", "cf.c"):
        a.ask("queue.bind", queue=queue, exchange="amq.fanout")
    a.publish(
        "amq.fanout",
        "k",
        b"x",
        9,
        mandatory=True,
        headers={"CC": ["c"], "BCC": ["b"], "h": 1},
        delivery_mode=2,
    )
    a.confirms(1, 9)
    a.ask("basic.get", queue="cf.c", no_ack=True)
    a.ask("basic.qos", prefetch_count=10)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()


@scenario("stream/in-transaction", PAGE + "; 0-9-1 1.9 tx")
def transaction(s: Stage) -> None:
    a = stream(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("tx.select")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect()
    a.send("basic.ack", delivery_tag=1)
    a.publish("", "cf.q", b"2")
    a.idle()
    a.ask("tx.commit")
    a.expect()

"""basic.publish and basic.return: routing results, properties, checks of headers and sizes."""

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario

PUBLISH = "0-9-1 1.8.3.7 basic.publish"
RETURN = "0-9-1 1.8.3.8 basic.return"
EXPIRATION = "rabbitmq.com/docs/ttl#per-message-ttl-in-publishers"


@scenario("publish/default-exchange", "0-9-1 3.1.3.1")
def default_exchange(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("publish/missing-exchange", PUBLISH + ": 404")
def missing_exchange(s: Stage) -> None:
    a = s.connect()
    a.publish("cf.none", "k", b"x")
    a.expect()


@scenario("publish/missing-exchange-with-confirms", PUBLISH + ": 404")
def missing_exchange_confirms(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("cf.none", "k", b"x")
    a.expect()


@scenario("publish/mandatory-unroutable", RETURN)
def mandatory(s: Stage) -> None:
    a = s.connect()
    a.publish("amq.direct", "cf.none", b"body", mandatory=True, content_type="text/plain", headers={"a": 1})
    a.publish("", "cf.none", b"", mandatory=True)
    a.publish("", "cf.none", b"dropped")
    a.expect(2)


@scenario("publish/mandatory-return-before-ack", RETURN + "; rabbitmq.com/docs/confirms")
def mandatory_confirms(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("amq.direct", "cf.none", b"body", mandatory=True)
    a.expect(2)


@scenario("publish/immediate", PUBLISH + ": immediate is not implemented: 540")
def immediate(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", immediate=True)
    a.expect()


@scenario("publish/immediate-and-mandatory", PUBLISH + ": immediate is not implemented: 540")
def immediate_mandatory(s: Stage) -> None:
    a = s.connect()
    a.publish("cf.none", "k", b"x", immediate=True, mandatory=True)
    a.expect()


@scenario("publish/all-properties", "0-9-1 1.8 basic: properties")
def all_properties(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish(
        "", "cf.q", b"body", content_type="text/plain", content_encoding="utf-8", headers={"h": "v"},
        delivery_mode=2, priority=7, correlation_id="c", reply_to="r", expiration="600000", message_id="m",
        timestamp=1234567890, type="t", user_id=s.target.login[0], app_id="a", cluster_id="cl",
    )  # fmt: skip
    a.ask("basic.get", queue="cf.q", no_ack=True)


PROPERTIES: dict[str, dict[str, object]] = {
    "none": {},
    "empty-headers": {"headers": {}},
    "empty-strings": {"content_type": "", "correlation_id": "", "app_id": ""},
    "delivery-mode-1": {"delivery_mode": 1},
    "delivery-mode-0": {"delivery_mode": 0},
    "delivery-mode-3": {"delivery_mode": 3},
    "delivery-mode-255": {"delivery_mode": 255},
    "priority-255": {"priority": 255},
    "timestamp-0": {"timestamp": 0},
    "timestamp-max": {"timestamp": 2**64 - 1},
    "content-type-255": {"content_type": "x" * 255},
    "not-utf8": {"message_id": b"\xff\xfe", "correlation_id": b"\x00\x80"},
}


@family("publish/properties", "0-9-1 1.8 basic: properties", PROPERTIES)
def properties(s: Stage, given: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x", **given)  # type: ignore[arg-type]
    a.ask("basic.get", queue="cf.q", no_ack=True)


HEADERS: dict[str, object] = {
    "int32": {"h": -5},
    "int64": {"h": 2**40},
    "int64-small": {"h": Typed("l", 1)},
    "int8": {"h": Typed("b", -1)},
    "uint8": {"h": Typed("B", 255)},
    "int16": {"h": Typed("s", -300)},
    "uint16": {"h": Typed("u", 65535)},
    "uint32": {"h": Typed("i", 2**32 - 1)},
    "float": {"h": Typed("f", 1.5)},
    "double": {"h": 0.1},
    "double-infinite": {"h": float("inf")},
    "double-nan": {"h": float("nan")},
    "decimal": {"h": Typed("D", (2, 314))},
    "decimal-negative": {"h": Typed("D", (2, -314))},
    "bool": {"h": True, "i": False},
    "string": {"h": "text", "i": ""},
    "string-not-utf8": {"h": Typed("S", b"\xff\x00")},
    "bytes": {"h": b"\x00\x01"},
    "void": {"h": None},
    "timestamp": {"h": Typed("T", 1234567890)},
    "table": {"h": {"b": 1, "a": {"c": "d"}}},
    "array": {"h": [1, "two", None, [3], {"f": True}]},
    "empty-table-and-array": {"h": {}, "i": []},
    "order": [("b", 1), ("a", 2), ("C", 3), ("aa", 4), ("", 5)],
    "duplicates": [("a", 1), ("b", 2), ("a", 3)],
    "nested-order": {"h": [{"b": 1, "a": 2}], "g": {"z": 1, "y": 2}},
    "long-name": {"n" * 255: 1},
    "uint64-letter": {"h": Typed("L", 5)},
}


@family("publish/header", "0-9-1 4.2.5.5 field tables; rabbitmq.com/amqp-0-9-1-errata#section_3", HEADERS)
def headers(s: Stage, given: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x", headers=given)
    a.ask("basic.get", queue="cf.q", no_ack=True)


EXPIRATIONS = {
    "word": "abc",
    "unit": "10s",
    "fraction": "1.5",
    "empty": "",
    "negative": "-1",
    "too-large": "99999999999999",
    "largest": "315360000000",
    "largest-plus-one": "315360000001",
    "plus": "+600000",
    "leading-zero": "00600000",
    "space": " 600000",
    "trailing-space": "600000 ",
    "hex": "0xff",
    "sign-only": "+",
    "quote": '5"x',
    "backslash": "5\\",
    "line-end": "5\n",
    "nul": "5\0",
    "other-digits": "\u0661",
}


@family("publish/expiration", EXPIRATION, EXPIRATIONS)
def expirations(s: Stage, value: str) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x", expiration=value)
    a.idle()
    if 1 in a.open_channels:
        a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("publish/user-id", "rabbitmq.com/docs/validated-user-id")
def user_id(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", user_id="bob")
    a.expect()


@scenario("publish/user-id-empty", "rabbitmq.com/docs/validated-user-id")
def user_id_empty(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", user_id="")
    a.idle()


CC: dict[str, dict[str, object]] = {
    "cc": {"CC": ["cf.q2", "cf.q3"]},
    "bcc": {"BCC": ["cf.q2", "cf.q3"]},
    "both": {"CC": ["cf.q2"], "BCC": ["cf.q3"]},
    "same-queue": {"CC": ["cf.q", "cf.q"]},
    "missing-queue": {"CC": ["cf.none"]},
    "other-types": {"CC": [1, "cf.q2", None, True]},
    "empty": {"CC": [], "BCC": []},
    "string": {"CC": "cf.q2"},
    "bcc-string": {"BCC": "cf.q2"},
    "int": {"CC": 1},
    "table": {"CC": {"a": 1}},
    "lower-case": {"cc": ["cf.q2"]},
    "with-others": {"BCC": ["cf.q2"], "a": 1, "z": 2},
}


@family("publish/sender-selected", "rabbitmq.com/docs/sender-selected", CC)
def sender_selected(s: Stage, given: dict[str, object]) -> None:
    a = s.connect()
    for queue in ("cf.q", "cf.q2", "cf.q3"):
        a.ask("queue.declare", queue=queue)
    a.publish("", "cf.q", b"x", headers=given)
    a.idle()
    if 1 in a.open_channels:
        for queue in ("cf.q", "cf.q2", "cf.q3"):
            a.ask("basic.get", queue=queue, no_ack=True)
            a.ask("basic.get", queue=queue, no_ack=True)


@scenario("publish/sender-selected-bcc-alone-routable", "rabbitmq.com/docs/sender-selected")
def bcc_alone(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q2")
    a.publish("", "cf.none", b"x", mandatory=True, headers={"BCC": ["cf.q2"]})
    a.idle()
    a.ask("basic.get", queue="cf.q2", no_ack=True)


@scenario("publish/returned-bcc", "rabbitmq.com/docs/sender-selected; " + RETURN)
def returned_bcc(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", mandatory=True, headers={"BCC": ["cf.none2"], "CC": ["cf.none3"], "a": 1})
    a.expect()


SIZES = {"0": 0, "1": 1, "one-frame": 4088, "two-frames": 4089, "several": 20000}


@family("publish/body", "0-9-1 4.2.6.2 content bodies", SIZES)
def bodies(s: Stage, size: int) -> None:
    a = s.connect(frame_max=8192)
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", bytes(n % 251 for n in range(size)))
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("publish/too-large", "rabbitmq.com/docs/limits: max_message_size 16 MiB", profiles=("4.3", "4.0"))
def too_large(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x" * 16777217)
    a.expect()


@scenario("publish/largest", "rabbitmq.com/docs/limits: max_message_size 16 MiB", profiles=("4.3", "4.0"))
def largest(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x" * 16777216)
    a.idle()


CHECKS: dict[str, tuple[str, dict[str, object]]] = {
    "exchange-then-expiration": ("cf.none", {"expiration": "abc"}),
    "expiration-then-user": ("", {"expiration": "abc", "user_id": "bob"}),
    "expiration-then-cc": ("", {"expiration": "abc", "headers": {"CC": "x"}}),
    "cc-then-user": ("", {"headers": {"CC": "x"}, "user_id": "bob"}),
    "reply-to-then-expiration": ("", {"reply_to": "amq.rabbitmq.reply-to", "expiration": "abc"}),
    "internal-then-expiration": ("amq.rabbitmq.trace", {"expiration": "abc"}),
}


@family("publish/check-order", PUBLISH + ": which error comes first", CHECKS)
def check_order(s: Stage, exchange: str, given: dict[str, object]) -> None:
    a = s.connect()
    a.publish(exchange, "cf.none", b"x", **given)  # type: ignore[arg-type]
    a.expect()


@scenario("publish/routing-key-not-utf8", "0-9-1 4.2.5.3 short strings")
def key_not_utf8(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="amq.fanout")
    a.publish("amq.fanout", b"\xff\xfe", b"x")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("publish/persistent-to-transient", "rabbitmq.com/docs/queues#durability")
def persistent_to_transient(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"x", delivery_mode=2)
    a.confirms(1)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("publish/expiration-not-ascii", EXPIRATION + ": octets are printed", profiles=("4.3", "4.0"))
def expiration_not_ascii(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", expiration="5\u00e9")
    a.expect()
    a.ask("channel.open")
    a.publish("", "cf.none", b"x", expiration=b"5\xff")
    a.expect()


@scenario("publish/expiration-as-returned", EXPIRATION + "; " + RETURN)
def expiration_returned(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", mandatory=True, expiration="+0060", headers={"z": 1, "a": 2})
    a.expect()


@scenario("publish/expiration-zero", EXPIRATION + ": only a consumer that waits gets it")
def expiration_zero(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"x", expiration="0")
    a.expect()
    a.ask("basic.cancel", consumer_tag="t")
    a.publish("", "cf.q", b"y", expiration="0")
    a.ask("basic.get", queue="cf.q")


ODD_CC: dict[str, object] = {
    "void": {"CC": None},
    "bytes": {"CC": [b"cf.q2"]},
    "nested": {"CC": [["cf.q2"]]},
    "not-utf8": {"CC": [Typed("S", b"\xff")]},
    "both-same": {"CC": ["cf.q2"], "BCC": ["cf.q2"]},
    "twice": [("CC", ["cf.q2"]), ("CC", ["cf.q3"])],
    "timestamp": {"CC": Typed("T", 1)},
    "decimal": {"BCC": Typed("D", (1, 1))},
    "both-wrong": {"CC": 1, "BCC": 2},
    "long-key": {"CC": ["k" * 300]},
    "empty-key": {"CC": [""]},
}


@family("publish/sender-selected-odd", "rabbitmq.com/docs/sender-selected", ODD_CC)
def sender_selected_odd(s: Stage, given: dict[str, object]) -> None:
    sender_selected(s, given)


@family(
    "publish/sender-selected-by",
    "rabbitmq.com/docs/sender-selected",
    {t: t for t in ("topic", "fanout", "headers")},
)
def sender_selected_by(s: Stage, kind: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type=kind)
    for queue, key in (("cf.q", "a.b"), ("cf.q2", "c.d"), ("cf.q3", "a.#")):
        a.ask("queue.declare", queue=queue)
        a.ask("queue.bind", queue=queue, exchange="cf.x", routing_key=key, arguments={"h": key})
    given = {"CC": ["a.b"], "BCC": ["c.d", "a.x"], "h": "a.b"}
    a.publish("cf.x", "none", b"1", mandatory=True, headers=given)
    a.publish("cf.x", "none", b"2", mandatory=True, headers={"CC": ["x"], "BCC": ["y"]})
    a.idle()
    for queue in ("cf.q", "cf.q2", "cf.q3"):
        a.ask("basic.get", queue=queue, no_ack=True)


@scenario(
    "publish/too-large-and-on", "rabbitmq.com/docs/limits: the channel alone ends", profiles=("4.3", "4.0")
)
def too_large_and_on(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.publish("", "cf.none", b"x" * 16777217)
    a.publish("", "cf.q", b"ignored")
    a.publish("", "cf.q", b"taken", 2)
    a.expect()
    a.ask("channel.open")
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)

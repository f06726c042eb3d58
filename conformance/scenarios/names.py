"""Unusual names: long, in other scripts, with control characters, not UTF-8, of line ends only."""

from conformance import codec
from conformance.stage import Stage, family, scenario

SHORT = "0-9-1 4.2.5.3 short strings"
STRIPPED = "rabbit_channel:strip_cr_lf/1: line ends are stripped after an empty name has found its meaning"


@scenario("names/255", SHORT)
def longest(s: Stage) -> None:
    a = s.connect()
    exchange, queue = "cf.x" + "y" * 251, "cf.q" + "z" * 251
    a.ask("exchange.declare", exchange=exchange, exchange_type="topic")
    a.ask("queue.declare", queue=queue)
    a.ask("queue.bind", queue=queue, exchange=exchange, routing_key="k" * 255)
    a.ask("basic.consume", queue=queue, consumer_tag="t" * 255)
    a.publish(exchange, "k" * 255, b"m")
    a.expect()
    a.publish(exchange, "n" * 255, b"m", mandatory=True)
    a.expect()
    a.ask("basic.cancel", consumer_tag="t" * 255)
    a.ask("basic.get", queue=queue)


@scenario("names/other-scripts", SHORT)
def scripts(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.\u4e2d", exchange_type="topic")
    a.ask("queue.declare", queue="cf.\u00e9")
    a.ask("queue.bind", queue="cf.\u00e9", exchange="cf.\u4e2d", routing_key="\U0001f407.#")
    a.ask("basic.consume", queue="cf.\u00e9", consumer_tag="\u00fc")
    a.publish("cf.\u4e2d", "\U0001f407.x", b"m", mandatory=True)
    a.expect()
    a.ask("exchange.declare", exchange="cf.\u4e2d", exchange_type="direct")
    a.ask("channel.open")
    a.ask("queue.bind", queue="cf.\u00e9", exchange="cf.none\u4e2d")


CHARACTERS = {
    "quote": "cf.'q",
    "backslash": "cf.\\q",
    "nul": "cf.\0q",
    "tab": "cf.\tq",
    "tilde": "cf.~p%s",
    "del": "cf.\x7f",
    "next-line": "cf.\x85",
    "byte-order-mark": "cf.\ufeff",
    "line-ends": "\r\n",
}


@family("names/characters", SHORT, CHARACTERS)
def characters(s: Stage, name: str) -> None:
    a = s.connect()
    a.ask("queue.declare", queue=name, passive=True)
    a.ask("channel.open")
    a.ask("exchange.declare", exchange=name, exchange_type="direct", arguments={"alternate-exchange": 5})
    a.ask("channel.open")
    a.publish(name, "", b"x")
    a.expect()
    a.ask("channel.open")
    a.ask("queue.declare", queue=name)


NOT_UTF8: dict[str, tuple[str, dict[str, object]]] = {
    "consumer-tag": ("basic.consume", {"queue": "cf.q", "consumer_tag": b"\xff"}),
    "queue": ("basic.get", {"queue": b"\xff"}),
    "key": ("queue.bind", {"queue": "cf.q", "exchange": "amq.direct", "routing_key": b"\xfe\xff"}),
    "type": ("exchange.declare", {"exchange": "cf.x", "exchange_type": b"\xff"}),
    "reply-text": ("channel.close", {"reply_text": b"\xff"}),
    "overlong": ("queue.declare", {"queue": b"cf.\xc0\x80"}),
}


@family("names/not-utf8", SHORT + ": 501", NOT_UTF8)
def not_utf8(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.send(name, **arguments)
    a.idle()


STRIPPING: dict[str, tuple[str, dict[str, object]]] = {
    "consume": ("basic.consume", {"queue": "cf.\rq", "consumer_tag": "t"}),
    "get": ("basic.get", {"queue": "cf.\rq"}),
    "purge": ("queue.purge", {"queue": "cf.\r\nq"}),
    "delete": ("queue.delete", {"queue": "cf.\rq"}),
    "passive": ("queue.declare", {"queue": "cf.\rq", "passive": True}),
    "bind": ("queue.bind", {"queue": "cf.\rq", "exchange": "amq.\ndirect", "routing_key": "k\r"}),
    "e2e": ("exchange.bind", {"source": "amq.\ndirect", "destination": "amq.\rfanout"}),
    "e2e-unbind": ("exchange.unbind", {"source": "amq.\ndirect", "destination": "amq.\rfanout"}),
    "exchange-delete": ("exchange.delete", {"exchange": "amq.\ndirect"}),
    "exchange-declare": ("exchange.declare", {"exchange": "a\rmq.x", "exchange_type": "direct"}),
    "only-bind": ("queue.bind", {"queue": "\r", "exchange": "amq.direct"}),
    "only-unbind": ("queue.unbind", {"queue": "\r", "exchange": "amq.direct", "routing_key": "cf.q"}),
    "only-get": ("basic.get", {"queue": "\r"}),
    "only-purge": ("queue.purge", {"queue": "\n"}),
    "only-consume": ("basic.consume", {"queue": "\n", "consumer_tag": "\n"}),
    "only-delete": ("queue.delete", {"queue": "\n"}),
}


@family("names/line-ends", STRIPPED, STRIPPING)
def line_ends(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask(name, **arguments)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


@scenario("names/line-ends-bound", STRIPPED)
def bound(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", exchange="amq.direct")
    a.ask("queue.unbind", queue="\n", exchange="amq.direct", routing_key="cf.q")
    a.publish("amq.direct", "cf.q", b"still bound", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("names/line-ends-server-named", STRIPPED)
def server_named(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="\n", exclusive=True)
    a.ask("basic.get")


@scenario("names/line-ends-published", "rabbit_channel: basic.publish takes names as they are")
def published(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.\r\nq")
    a.publish("", "cf.\r\nq", b"x", mandatory=True)
    a.expect()
    a.publish("amq.\rdirect", "cf.q", b"x")
    a.expect()


@scenario("names/server-named-declared-again", "0-9-1 1.7.2.1 queue.declare: amq. is reserved")
def declared_again(s: Stage) -> None:
    a = s.connect()
    name = a.ask("queue.declare", exclusive=True).text("queue")
    a.ask("queue.declare", queue=name, passive=True)
    a.ask("queue.declare", queue=name, exclusive=True)


NOWAIT: dict[str, tuple[str, dict[str, object]]] = {
    "e2e-missing": ("exchange.bind", {"source": "cf.none", "destination": "amq.direct"}),
    "e2e-unbind-missing": ("exchange.unbind", {"source": "cf.none", "destination": "amq.direct"}),
    "purge-missing": ("queue.purge", {"queue": "cf.none"}),
    "delete-missing": ("queue.delete", {"queue": "cf.none"}),
    "delete-unnamed": ("queue.delete", {}),
    "exchange-delete-reserved": ("exchange.delete", {"exchange": "amq.direct"}),
    "exchange-delete-default": ("exchange.delete", {"exchange": ""}),
    "exchange-declare": ("exchange.declare", {"exchange": "cf.x", "exchange_type": "direct"}),
    "exchange-declare-reserved": ("exchange.declare", {"exchange": "amq.x", "exchange_type": "direct"}),
    "exchange-passive": ("exchange.declare", {"exchange": "amq.direct", "passive": True}),
    "declare-argument": ("queue.declare", {"queue": "cf.q", "arguments": {"x-message-ttl": "a"}}),
    "declare-unnamed-passive": ("queue.declare", {"passive": True}),
    "cancel-unknown": ("basic.cancel", {"consumer_tag": "none"}),
}


@family("names/nowait", "0-9-1 2.2.1: nowait: success says nothing, errors do", NOWAIT)
def nowait(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send(name, nowait=True, **arguments)
    a.idle()


@scenario("names/nowait-confirm-in-tx", "rabbitmq.com/docs/confirms: tx and confirm exclude one another")
def nowait_confirm(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.send("confirm.select", nowait=True)
    a.idle()


KINDS: dict[str, object] = {
    "t": True, "b": codec.Typed("b", -5), "B": codec.Typed("B", 5), "s": codec.Typed("s", -5),
    "u": codec.Typed("u", 5), "I": -5, "i": codec.Typed("i", 5), "l": 2**40, "f": codec.Typed("f", 1.5),
    "d": 0.1, "D": codec.Typed("D", (2, 5)), "S": "x", "A": [1, "x", None, [], {}], "T": codec.Typed("T", 5),
    "F": {"a": {"b": [1]}}, "V": None, "x": b"\x00\xff",
}  # fmt: skip


@scenario("names/arguments-of-all-kinds", "0-9-1 4.2.5.5 field tables: in arguments and headers alike")
def kinds(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments=KINDS)
    a.ask("exchange.declare", exchange="cf.x", exchange_type="headers", arguments=KINDS)
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", arguments=KINDS)
    a.ask("exchange.bind", source="cf.x", destination="amq.fanout", arguments=KINDS)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments=KINDS)
    a.publish("cf.x", "k", b"x", headers=KINDS, mandatory=True)
    a.expect()
    a.publish("cf.x", "k", b"x", headers={"other": KINDS, "all": list(KINDS.values())}, mandatory=True)
    a.expect()
    a.ask("queue.unbind", queue="cf.q", exchange="cf.x", arguments=KINDS)
    a.publish("cf.x", "k", b"x", headers=KINDS, mandatory=True)
    a.expect()

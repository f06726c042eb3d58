"""Queues: declaring, equivalence, exclusivity, auto-deletion, binding."""

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario

DECLARE = "0-9-1 1.7.2.1 queue.declare"
BIND = "0-9-1 1.7.2.3 queue.bind"
UNBIND = "0-9-1 1.7.2.5 queue.unbind"


@scenario("queue/declare", DECLARE)
def declare(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/declare-counts", DECLARE + ": message-count is of ready messages")
def declare_counts(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for _ in range(3):
        a.publish("", "cf.q", b"x")
    a.ask("basic.get", queue="cf.q")
    a.eventually("message_count=2", "queue.declare", queue="cf.q", passive=True)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/server-named", DECLARE + ": empty name")
def server_named(s: Stage) -> None:
    a = s.connect()
    first = a.ask("queue.declare", exclusive=True).text("queue")
    a.ask("queue.declare", exclusive=True)
    a.publish("", first, b"x")
    a.ask("basic.get", queue=first, no_ack=True)


@scenario("queue/server-named-durable", DECLARE + ": empty name")
def server_named_durable(s: Stage) -> None:
    a = s.connect()
    name = a.ask("queue.declare", durable=True).text("queue")
    a.ask("queue.declare", queue=name, durable=True)


@scenario(
    "queue/server-named-again", DECLARE + ": a name that the server made is reserved for declaring it again"
)
def server_named_again(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    name = a.ask("queue.declare", exclusive=True).text("queue")
    a.ask("queue.declare", 2, queue=name, exclusive=True, passive=True)
    a.ask("queue.declare", 2, queue=name, exclusive=True)
    a.ask("queue.delete", 3, queue=name)


NAMES = {
    "reserved": "amq.foo",
    "reserved-dot-only": "amq.",
    "amq-without-dot": "amq",
    "utf8": "cf.\u00e9\u4e2d",
    "odd-characters": "cf.q = *#/ ",
    "crlf": "cf.\r\nq",
    "255": "cf." + "q" * 252,
}


@family("queue/name", DECLARE + ": names", NAMES)
def names(s: Stage, name: str) -> None:
    a = s.connect()
    a.ask("queue.declare", queue=name)
    if 1 in a.open_channels:
        a.publish("", name.replace("\r\n", ""), b"x")
        a.ask("basic.get", queue=name.replace("\r\n", ""), no_ack=True)
        a.ask("queue.delete", queue=name)


@scenario("queue/name-not-utf8", "0-9-1 4.2.5.3 short strings")
def name_not_utf8(s: Stage) -> None:
    s.connect().ask("queue.declare", queue=b"cf.\xff")


@scenario("queue/passive-reserved-missing", DECLARE + ": passive")
def passive_reserved(s: Stage) -> None:
    s.connect().ask("queue.declare", queue="amq.foo", passive=True)


PASSIVE = {
    "missing": {"queue": "cf.none"},
    "missing-nowait": {"queue": "cf.none", "nowait": True},
    "empty": {"queue": ""},
    "nowait": {"queue": "cf.q", "nowait": True},
    "other-properties": {"queue": "cf.q", "durable": True, "auto_delete": True},
    "other-arguments": {"queue": "cf.q", "arguments": {"x-message-ttl": 1}},
    "exclusive": {"queue": "cf.q", "exclusive": True},
}


@family("queue/passive", DECLARE + ": passive", PASSIVE)
def passive(s: Stage, arguments: dict[str, object]) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q")
    b.send("queue.declare", passive=True, **arguments)
    b.idle()


REDECLARED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "durable-transient": ({"durable": True}, {}),
    "transient-durable": ({}, {"durable": True}),
    "auto-delete": ({}, {"auto_delete": True}),
    "not-auto-delete": ({"auto_delete": True}, {}),
    "exclusive": ({}, {"exclusive": True}),
    "not-exclusive": ({"exclusive": True}, {}),
    "exclusive-same": ({"exclusive": True}, {"exclusive": True}),
    "exclusive-durable": ({"exclusive": True}, {"exclusive": True, "durable": True}),
    "exclusive-durable-back": ({"exclusive": True, "durable": True}, {"exclusive": True}),
    "exclusive-auto-delete": ({"exclusive": True}, {"exclusive": True, "auto_delete": True}),
    "durable-and-auto-delete": ({}, {"durable": True, "auto_delete": True}),
    "nowait-differs": ({}, {"durable": True, "nowait": True}),
    "nowait-same": ({}, {"nowait": True}),
}


@family("queue/redeclare", DECLARE + ": equivalence", REDECLARED)
def redeclared(s: Stage, first: dict[str, object], second: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", **first)
    a.send("queue.declare", queue="cf.q", **second)
    a.idle()


EQUIVALENT: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "ttl-missing": ({"x-message-ttl": 1000}, {}),
    "ttl-added": ({}, {"x-message-ttl": 1000}),
    "ttl-other": ({"x-message-ttl": 1000}, {"x-message-ttl": 2000}),
    "ttl-other-width": ({"x-message-ttl": 1000}, {"x-message-ttl": Typed("l", 1000)}),
    "ttl-short-width": ({"x-message-ttl": Typed("s", 1000)}, {"x-message-ttl": Typed("u", 1000)}),
    "ttl-added-wide": ({}, {"x-message-ttl": Typed("l", 1000)}),
    "ttl-added-byte": ({}, {"x-message-ttl": Typed("b", 100)}),
    "expires-added": ({}, {"x-expires": 60000}),
    "max-length-other": ({"x-max-length": 1}, {"x-max-length": 2}),
    "max-length-bytes-missing": ({"x-max-length-bytes": 1}, {}),
    "max-priority-other": ({"x-max-priority": 1}, {"x-max-priority": 2}),
    "overflow-added": ({}, {"x-overflow": "drop-head"}),
    "overflow-other": ({"x-overflow": "drop-head"}, {"x-overflow": "reject-publish"}),
    "dlx-added": ({}, {"x-dead-letter-exchange": "amq.fanout"}),
    "dlx-other": ({"x-dead-letter-exchange": "amq.fanout"}, {"x-dead-letter-exchange": "amq.direct"}),
    "dlrk-added": (
        {"x-dead-letter-exchange": "amq.fanout"},
        {"x-dead-letter-exchange": "amq.fanout", "x-dead-letter-routing-key": "k"},
    ),
    "sac-added": ({}, {"x-single-active-consumer": True}),
    "sac-other": ({"x-single-active-consumer": True}, {"x-single-active-consumer": False}),
    "queue-mode-added": ({}, {"x-queue-mode": "lazy"}),
    "unknown-added": ({}, {"foo": "bar"}),
    "unknown-missing": ({"foo": "bar"}, {}),
    "unknown-other": ({"x-unknown": 1}, {"x-unknown": "2"}),
    "type-classic-added": ({}, {"x-queue-type": "classic"}),
    "type-classic-missing": ({"x-queue-type": "classic"}, {}),
    "two-differ": ({"x-message-ttl": 1, "x-max-length": 1}, {"x-message-ttl": 2, "x-max-length": 2}),
}


@family("queue/equivalent", DECLARE + ": equivalence of arguments", EQUIVALENT)
def equivalent(s: Stage, first: dict[str, object], second: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=first)
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=second)


TYPES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "quorum-asked-classic": ({"x-queue-type": "quorum"}, {"x-queue-type": "classic"}),
    "quorum-asked-none": ({"x-queue-type": "quorum"}, {}),
    "classic-asked-quorum": ({"x-queue-type": "classic"}, {"x-queue-type": "quorum"}),
    "none-asked-quorum": ({}, {"x-queue-type": "quorum"}),
    "none-asked-stream": ({}, {"x-queue-type": "stream"}),
    "stream-asked-quorum": ({"x-queue-type": "stream"}, {"x-queue-type": "quorum"}),
    "quorum-same": ({"x-queue-type": "quorum"}, {"x-queue-type": "quorum"}),
}
family("queue/equivalent-type", "rabbitmq.com/docs/queues#optional-arguments: x-queue-type", TYPES)(
    equivalent
)

LOCKED: dict[str, tuple[str, dict[str, object]]] = {
    "declare": ("queue.declare", {}),
    "declare-exclusive": ("queue.declare", {"exclusive": True}),
    "declare-passive": ("queue.declare", {"passive": True}),
    "consume": ("basic.consume", {"consumer_tag": "t"}),
    "get": ("basic.get", {}),
    "purge": ("queue.purge", {}),
    "delete": ("queue.delete", {}),
    "bind": ("queue.bind", {"exchange": "amq.fanout"}),
    "unbind": ("queue.unbind", {"exchange": "amq.fanout"}),
    "bind-missing-exchange": ("queue.bind", {"exchange": "cf.none"}),
    "unbind-missing-exchange": ("queue.unbind", {"exchange": "cf.none"}),
}


@family("queue/locked", "rabbitmq.com/docs/queues#exclusive-queues: 405 on other connections", LOCKED)
def locked(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    b.ask(name, queue="cf.q", **arguments)


@scenario("queue/locked-publish", "rabbitmq.com/docs/queues#exclusive-queues: publishing is allowed")
def locked_publish(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    b.ask("confirm.select")
    b.publish("", "cf.q", b"x")
    b.confirms(1)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario(
    "queue/exclusive-other-channel", "rabbitmq.com/docs/queues#exclusive-queues: owned by the connection"
)
def exclusive_channels(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 1, queue="cf.q", exclusive=True)
    a.ask("queue.declare", 2, queue="cf.q", exclusive=True)
    a.ask("channel.close", 1)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


@scenario("queue/exclusive-ends-with-connection", "rabbitmq.com/docs/queues#exclusive-queues")
def exclusive_end(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.ask("connection.close", 0, reply_code=200)
    b.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/exclusive-ends-with-error", "rabbitmq.com/docs/queues#exclusive-queues")
def exclusive_error_end(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.ask("channel.open", 1)
    b.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/exclusive-ends-with-socket", "rabbitmq.com/docs/queues#exclusive-queues")
def exclusive_socket_end(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.drop()
    b.eventually("NOT_FOUND", "queue.declare", queue="cf.q", passive=True)


@scenario("queue/auto-delete-cancel", "rabbitmq.com/docs/queues#properties: auto-delete")
def auto_delete_cancel(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", auto_delete=True)
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.declare", queue="cf.q", passive=True)
    for tag in ("t1", "t2"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    a.ask("basic.cancel", consumer_tag="t1")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.cancel", consumer_tag="t2")
    a.eventually("channel.close", "queue.declare", queue="cf.q", passive=True)


@scenario("queue/auto-delete-channel", "rabbitmq.com/docs/queues#properties: auto-delete")
def auto_delete_channel(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", auto_delete=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("channel.close", 1)
    a.eventually("channel.close", "queue.declare", 2, queue="cf.q", passive=True)


@scenario("queue/auto-delete-connection", "rabbitmq.com/docs/queues#properties: auto-delete")
def auto_delete_connection(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", auto_delete=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("connection.close", 0, reply_code=200)
    b.eventually("channel.close", "queue.declare", queue="cf.q", passive=True)


LAST: dict[str, tuple[str, dict[str, object]]] = {
    "bind": ("queue.bind", {"exchange": "amq.direct", "routing_key": "k"}),
    "unbind": ("queue.unbind", {"exchange": "amq.direct", "routing_key": "k"}),
    "consume": ("basic.consume", {"consumer_tag": "t"}),
    "get": ("basic.get", {}),
    "purge": ("queue.purge", {}),
    "delete": ("queue.delete", {}),
}


@family("queue/last-declared", DECLARE + ": the last declared queue stands for an empty name", LAST)
def last_declared(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 1, queue="cf.q")
    a.ask(name, 1, **arguments)
    a.ask(name, 2, **arguments)


@scenario("queue/last-declared-key", BIND + ": empty queue and empty key: the name is the key")
def last_declared_key(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", exchange="amq.direct")
    a.publish("amq.direct", "cf.q", b"x", mandatory=True)
    a.ask("basic.get", no_ack=True)
    a.ask("queue.unbind", exchange="amq.direct")
    a.publish("amq.direct", "cf.q", b"y", mandatory=True)
    a.expect()


@scenario("queue/last-declared-named-key", BIND + ": with the queue named an empty key stays empty")
def last_declared_named_key(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct")
    a.publish("amq.direct", "cf.q", b"x", mandatory=True)
    a.expect()
    a.publish("amq.direct", "", b"y", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("queue/last-declared-passive", DECLARE + ": a passive declare counts")
def last_declared_passive(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q2")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.publish("", "cf.q", b"x")
    a.ask("basic.get", no_ack=True)


@scenario("queue/last-declared-deleted", DECLARE + ": the last declared queue may be gone")
def last_declared_deleted(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.delete")
    a.ask("basic.get")


BINDS: dict[str, tuple[str, dict[str, object]]] = {
    "missing-exchange": ("queue.bind", {"queue": "cf.q", "exchange": "cf.none", "routing_key": "k"}),
    "missing-queue": ("queue.bind", {"queue": "cf.none", "exchange": "amq.direct", "routing_key": "k"}),
    "missing-both": ("queue.bind", {"queue": "cf.none", "exchange": "cf.nonex", "routing_key": "k"}),
    "missing-exchange-nowait": ("queue.bind", {"queue": "cf.q", "exchange": "cf.none", "nowait": True}),
    "unbind-missing-binding": (
        "queue.unbind",
        {"queue": "cf.q", "exchange": "amq.direct", "routing_key": "k"},
    ),
    "unbind-missing-queue": ("queue.unbind", {"queue": "cf.none", "exchange": "amq.direct"}),
    "unbind-missing-exchange": ("queue.unbind", {"queue": "cf.q", "exchange": "cf.none"}),
}


@family("queue/bind", BIND, BINDS)
def binds(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.send(name, **arguments)
    a.idle()


@scenario("queue/bind-twice", BIND + ": idempotent")
def bind_twice(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for _ in range(2):
        a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.publish("amq.direct", "cf.k", b"once")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("queue.unbind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.publish("amq.direct", "cf.k", b"gone", mandatory=True)
    a.expect()


@scenario("queue/bind-arguments-distinguish", UNBIND + ": the arguments must be identical")
def bind_arguments(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k", arguments={"a": 1})
    a.ask("queue.unbind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.publish("amq.direct", "cf.k", b"still", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask(
        "queue.unbind",
        queue="cf.q",
        exchange="amq.direct",
        routing_key="cf.k",
        arguments={"a": Typed("l", 1)},
    )
    a.publish("amq.direct", "cf.k", b"other width", mandatory=True)
    a.idle()
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("queue.unbind", queue="cf.q", exchange="amq.direct", routing_key="cf.k", arguments={"a": 1})
    a.publish("amq.direct", "cf.k", b"gone", mandatory=True)
    a.idle()


@scenario("queue/declare-nowait", DECLARE + ": nowait")
def declare_nowait(s: Stage) -> None:
    a = s.connect()
    a.send("queue.declare", queue="cf.q", nowait=True)
    a.send("queue.bind", queue="cf.q", exchange="amq.fanout", nowait=True)
    a.idle()
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/declare-nowait-server-named", DECLARE + ": nowait with an empty name")
def declare_nowait_server_named(s: Stage) -> None:
    a = s.connect()
    a.send("queue.declare", exclusive=True, nowait=True)
    a.ask("queue.bind", exchange="amq.fanout")
    a.ask("queue.delete")


@scenario(
    "queue/transient-not-exclusive", "rabbitmq.com/docs/queues: transient queues are deprecated, not refused"
)
def transient(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q2", auto_delete=True)

"""Exchanges: declaring, equivalence, deleting, exchange-to-exchange bindings."""

from conformance.stage import Stage, family, scenario

DECLARE = "0-9-1 1.6.2.1 exchange.declare"
DELETE = "0-9-1 1.6.2.3 exchange.delete"
E2E = "rabbitmq.com/docs/e2e"

PREDECLARED = {
    name: (name, kind)
    for name, kind in {
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
    }.items()
}


@family("exchange/predeclared", "0-9-1 3.1.3; rabbitmq.com/docs/exchanges", PREDECLARED)
def predeclared(s: Stage, name: str, kind: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange=name, passive=True)
    a.ask("exchange.declare", exchange=name, exchange_type=kind, durable=True)
    a.ask("exchange.declare", exchange=name, exchange_type=kind)


@scenario("exchange/predeclared-trace", "rabbitmq.com/docs/firehose")
def trace(s: Stage) -> None:
    a = s.connect()
    a.ask(
        "exchange.declare", exchange="amq.rabbitmq.trace", exchange_type="topic", durable=True, internal=True
    )
    a.publish("amq.rabbitmq.trace", "k", b"x")
    a.idle()


REDECLARED = {
    "same": {},
    "type": {"exchange_type": "fanout"},
    "durable": {"durable": True},
    "auto-delete": {"auto_delete": True},
    "internal": {"internal": True},
    "alternate": {"arguments": {"alternate-exchange": "amq.fanout"}},
    "unknown-argument": {"arguments": {"foo": 1}},
    "type-and-durable": {"exchange_type": "fanout", "durable": True},
    "durable-and-auto-delete": {"durable": True, "auto_delete": True},
    "passive-other-type": {"exchange_type": "fanout", "durable": True, "passive": True},
    "passive-unknown-type": {"exchange_type": "bogus", "passive": True},
    "nowait-same": {"nowait": True},
    "nowait-type": {"nowait": True, "exchange_type": "topic"},
}


@family("exchange/redeclare", DECLARE, REDECLARED)
def redeclared(s: Stage, change: dict[str, object]) -> None:
    a = s.connect()
    first = {"exchange": "cf.x", "exchange_type": "direct"}
    a.ask("exchange.declare", **first)
    a.send("exchange.declare", **{**first, **change})
    a.idle()


BACK = {
    "durable": {"durable": True},
    "auto-delete": {"auto_delete": True},
    "internal": {"internal": True},
    "alternate": {"arguments": {"alternate-exchange": "amq.fanout"}},
    "unknown-argument": {"arguments": {"foo": 1}},
    "type": {"exchange_type": "topic"},
}


@family("exchange/redeclare-plain", DECLARE, BACK)
def redeclared_plain(s: Stage, change: dict[str, object]) -> None:
    a = s.connect()
    plain = {"exchange": "cf.x", "exchange_type": "direct"}
    a.ask("exchange.declare", **{**plain, **change})
    a.ask("exchange.declare", **plain)


@scenario("exchange/redeclare-other-alternate", "rabbitmq.com/docs/ae")
def other_alternate(s: Stage) -> None:
    a = s.connect()
    for alternate in ("amq.fanout", "amq.fanout", "amq.direct"):
        a.ask(
            "exchange.declare", exchange="cf.x", exchange_type="direct",
            arguments={"alternate-exchange": alternate},
        )  # fmt: skip


ALTERNATES = {"int": 1, "bool": True, "void": None, "empty": "", "missing-target": "cf.none"}


@family("exchange/alternate-argument", "rabbitmq.com/docs/ae", ALTERNATES)
def alternate_argument(s: Stage, value: object) -> None:
    a = s.connect()
    a.ask(
        "exchange.declare", exchange="cf.x", exchange_type="direct", arguments={"alternate-exchange": value}
    )


NAMES = {
    "reserved": "amq.foo",
    "reserved-dot-only": "amq.",
    "amq-without-dot": "amq",
    "utf8": "cf.\u00e9\u4e2d",
    "odd-characters": "cf.x = *#/ ",
    "crlf": "cf.\r\nx",
    "255": "cf." + "x" * 252,
}


@family("exchange/name", DECLARE + ": names", NAMES)
def names(s: Stage, name: str) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange=name, exchange_type="direct")
    a.idle()
    if 1 in a.open_channels:
        a.ask("exchange.declare", exchange=name.replace("\r\n", ""), passive=True)
        a.ask("exchange.delete", exchange=name)
        a.ask("exchange.declare", exchange=name.replace("\r\n", ""), passive=True)


@scenario("exchange/unknown-type", DECLARE + ": unknown type")
def unknown_type(s: Stage) -> None:
    s.connect().ask("exchange.declare", exchange="cf.x", exchange_type="foo")


@scenario("exchange/unknown-type-new-word", DECLARE + ": unknown type")
def unknown_type_new_word(s: Stage) -> None:
    s.connect().ask("exchange.declare", exchange="cf.x", exchange_type="x-surely-no-such-type")


@scenario("exchange/empty-type", DECLARE + ": unknown type")
def empty_type(s: Stage) -> None:
    s.connect().ask("exchange.declare", exchange="cf.x", exchange_type="")


@scenario("exchange/passive-missing", DECLARE + ": passive: 404")
def passive_missing(s: Stage) -> None:
    s.connect().ask("exchange.declare", exchange="cf.none", passive=True)


@scenario("exchange/passive-missing-nowait", DECLARE + ": nowait")
def passive_missing_nowait(s: Stage) -> None:
    a = s.connect()
    a.send("exchange.declare", exchange="cf.none", passive=True, nowait=True)
    a.idle()


DEFAULT = {
    "declare": ("exchange.declare", {"exchange": "", "exchange_type": "direct", "durable": True}),
    "declare-passive": ("exchange.declare", {"exchange": "", "passive": True}),
    "delete": ("exchange.delete", {"exchange": ""}),
    "queue-bind": ("queue.bind", {"queue": "cf.q", "exchange": "", "routing_key": "k"}),
    "queue-unbind": ("queue.unbind", {"queue": "cf.q", "exchange": "", "routing_key": "k"}),
    "bind-source": ("exchange.bind", {"source": "", "destination": "amq.fanout"}),
    "bind-destination": ("exchange.bind", {"source": "amq.fanout", "destination": ""}),
    "unbind-source": ("exchange.unbind", {"source": "", "destination": "amq.fanout"}),
    "unbind-destination": ("exchange.unbind", {"source": "amq.fanout", "destination": ""}),
}


@family("exchange/default", "0-9-1 3.1.3.1; rabbitmq.com/docs/exchanges#default-exchange", DEFAULT)
def default(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask(name, **arguments)


@scenario("exchange/delete", DELETE)
def delete(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("exchange.delete", exchange="cf.x")
    a.ask("exchange.delete", exchange="cf.x")
    a.ask("exchange.declare", exchange="cf.x", passive=True)


DELETED = {
    "missing-if-unused": {"exchange": "cf.none", "if_unused": True},
    "missing-nowait": {"exchange": "cf.none", "nowait": True},
    "predeclared": {"exchange": "amq.direct"},
    "predeclared-if-unused": {"exchange": "amq.topic", "if_unused": True},
    "reserved-missing": {"exchange": "amq.nothing"},
    "trace": {"exchange": "amq.rabbitmq.trace"},
}


@family("exchange/delete", DELETE, DELETED)
def deletes(s: Stage, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send("exchange.delete", **arguments)
    a.idle()


@scenario("exchange/delete-in-use", DELETE + ": if-unused: 406")
def delete_in_use(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k")
    a.ask("exchange.delete", exchange="cf.x", if_unused=True)
    a.ask("channel.open")
    a.ask("queue.unbind", queue="cf.q", exchange="cf.x", routing_key="k")
    a.ask("exchange.delete", exchange="cf.x", if_unused=True)


@scenario("exchange/delete-as-destination-is-unused", DELETE + ": only bindings as source count")
def delete_destination(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.ask("exchange.bind", source="amq.fanout", destination="cf.x")
    a.ask("exchange.delete", exchange="cf.x", if_unused=True)


@scenario("exchange/delete-removes-bindings", DELETE)
def delete_removes_bindings(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x")
    a.ask("exchange.delete", exchange="cf.x")
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.publish("cf.x", "", b"lost", mandatory=True)
    a.expect()


@scenario("exchange/auto-delete", "rabbitmq.com/docs/exchanges#auto-deletion")
def auto_delete(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct", auto_delete=True)
    a.ask("exchange.declare", exchange="cf.x", passive=True)
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k1")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k2")
    a.ask("queue.unbind", queue="cf.q", exchange="cf.x", routing_key="k1")
    a.ask("exchange.declare", exchange="cf.x", passive=True)
    a.ask("queue.unbind", queue="cf.q", exchange="cf.x", routing_key="k2")
    a.ask("exchange.declare", exchange="cf.x", passive=True)


@scenario("exchange/auto-delete-by-queue-deletion", "rabbitmq.com/docs/exchanges#auto-deletion")
def auto_delete_by_queue(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct", auto_delete=True)
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k1")
    a.ask("queue.delete", queue="cf.q")
    a.ask("exchange.declare", exchange="cf.x", passive=True)


@scenario("exchange/auto-delete-by-exclusive-end", "rabbitmq.com/docs/exchanges#auto-deletion")
def auto_delete_by_exclusive(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", auto_delete=True)
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.ask("queue.bind", queue="cf.q", exchange="cf.x")
    a.ask("connection.close", 0, reply_code=200)
    b.eventually("channel.close", "exchange.declare", exchange="cf.x", passive=True)


@scenario("exchange/auto-delete-chain", E2E)
def auto_delete_chain(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", auto_delete=True)
    a.ask("exchange.declare", exchange="cf.x2", exchange_type="fanout", auto_delete=True)
    a.ask("queue.declare", queue="cf.q")
    a.ask("exchange.bind", source="cf.x", destination="cf.x2")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x2")
    a.ask("queue.delete", queue="cf.q")
    a.ask("exchange.declare", 1, exchange="cf.x", passive=True)
    a.ask("exchange.declare", 2, exchange="cf.x2", passive=True)


@scenario("exchange/auto-delete-as-destination-stays", "rabbitmq.com/docs/exchanges#auto-deletion")
def auto_delete_destination(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", auto_delete=True)
    a.ask("exchange.bind", source="amq.fanout", destination="cf.x")
    a.ask("exchange.unbind", source="amq.fanout", destination="cf.x")
    a.ask("exchange.declare", exchange="cf.x", passive=True)


@scenario("exchange/internal", "rabbitmq.com/docs/exchanges: internal")
def internal(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", internal=True)
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x")
    a.ask("exchange.declare", exchange="cf.x2", exchange_type="fanout")
    a.ask("exchange.bind", source="cf.x2", destination="cf.x")
    a.publish("cf.x2", "k", b"through")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.publish("cf.x", "k", b"refused")
    a.idle()


@scenario("exchange/internal-as-alternate", "rabbitmq.com/docs/ae")
def internal_alternate(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.ae", exchange_type="fanout", internal=True)
    a.ask(
        "exchange.declare", exchange="cf.x", exchange_type="direct", arguments={"alternate-exchange": "cf.ae"}
    )
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.ae")
    a.publish("cf.x", "k", b"through", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


E2E_ERRORS = {
    "bind-no-source": ("exchange.bind", {"source": "cf.none", "destination": "amq.fanout"}),
    "bind-no-destination": ("exchange.bind", {"source": "amq.fanout", "destination": "cf.none"}),
    "bind-neither": ("exchange.bind", {"source": "cf.none", "destination": "cf.none2"}),
    "unbind-no-source": ("exchange.unbind", {"source": "cf.none", "destination": "amq.fanout"}),
    "unbind-no-destination": ("exchange.unbind", {"source": "amq.fanout", "destination": "cf.none"}),
    "unbind-no-binding": ("exchange.unbind", {"source": "amq.fanout", "destination": "amq.direct"}),
}


@family("exchange/e2e", E2E, E2E_ERRORS)
def e2e_errors(s: Stage, name: str, arguments: dict[str, object]) -> None:
    s.connect().ask(name, **arguments)


@scenario("exchange/e2e-cycle", E2E)
def e2e_cycle(s: Stage) -> None:
    a = s.connect()
    for name in ("cf.x1", "cf.x2"):
        a.ask("exchange.declare", exchange=name, exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q")
    a.ask("exchange.bind", source="cf.x1", destination="cf.x2")
    a.ask("exchange.bind", source="cf.x2", destination="cf.x1")
    a.ask("exchange.bind", source="cf.x1", destination="cf.x1")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x2")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x1")
    a.publish("cf.x1", "k", b"once")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("exchange/e2e-types", E2E + ": the destination applies its own type")
def e2e_types(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.t", exchange_type="topic")
    a.ask("exchange.declare", exchange="cf.d", exchange_type="direct")
    a.ask("queue.declare", queue="cf.q")
    a.ask("exchange.bind", source="cf.t", destination="cf.d", routing_key="a.#")
    a.ask("queue.bind", queue="cf.q", exchange="cf.d", routing_key="a.b")
    for key in ("a.b", "a.c", "b"):
        a.publish("cf.t", key, key.encode(), mandatory=True)
    a.idle()
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("exchange/e2e-unbind-by-arguments", E2E)
def e2e_unbind_arguments(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x1", exchange_type="headers")
    a.ask("exchange.declare", exchange="cf.x2", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x2")
    a.ask("exchange.bind", source="cf.x1", destination="cf.x2", arguments={"h": "1"})
    a.ask("exchange.unbind", source="cf.x1", destination="cf.x2", arguments={"h": "2"})
    a.publish("cf.x1", "", b"still", headers={"h": "1"})
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("exchange.unbind", source="cf.x1", destination="cf.x2", arguments={"h": "1"})
    a.publish("cf.x1", "", b"gone", mandatory=True, headers={"h": "1"})
    a.expect()


@scenario("exchange/e2e-nowait", E2E)
def e2e_nowait(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x1", exchange_type="fanout")
    a.send("exchange.bind", source="cf.x1", destination="amq.fanout", nowait=True)
    a.send("exchange.unbind", source="cf.x1", destination="amq.fanout", nowait=True)
    a.send("exchange.delete", exchange="cf.x1", if_unused=True, nowait=True)
    a.idle()
    a.ask("exchange.declare", exchange="cf.x1", passive=True)

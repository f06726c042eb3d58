"""Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to."""

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/direct-reply-to"
PSEUDO = "amq.rabbitmq.reply-to"


@scenario("reply-to/request-and-reply", PAGE)
def request_reply(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    b.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    b.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
    a.publish("", "cf.q", b"request", reply_to=PSEUDO, correlation_id="1")
    (request,) = b.expect()
    assert request.properties is not None
    b.publish("", request.properties["reply_to"], b"reply", correlation_id="1")
    a.expect()


@scenario("reply-to/same-connection", PAGE)
def same_connection(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.ask("basic.consume", 1, queue=PSEUDO, consumer_tag="r", no_ack=True)
    for number in range(2):
        a.publish("", "cf.q", b"%d" % number, reply_to=PSEUDO)
        a.idle()
        request = a.ask("basic.get", 2, queue="cf.q", no_ack=True)
        assert request.properties is not None
        a.publish(
            "",
            request.properties["reply_to"],
            b"reply %d" % number,
            2,
            headers={"n": number},
            delivery_mode=2,
        )
        a.expect()


REFUSED: dict[str, dict[str, object]] = {
    "acks": {"queue": PSEUDO, "consumer_tag": "r"},
    "exclusive": {"queue": PSEUDO, "consumer_tag": "r", "no_ack": True, "exclusive": True},
    "server-tag": {"queue": PSEUDO, "no_ack": True},
    "nowait": {"queue": PSEUDO, "consumer_tag": "r", "no_ack": True, "nowait": True},
    "acks-nowait": {"queue": PSEUDO, "consumer_tag": "r", "nowait": True},
}


@family("reply-to/consume", PAGE, REFUSED)
def consume(s: Stage, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send("basic.consume", **arguments)
    a.idle()


@scenario("reply-to/consume-twice", PAGE)
def twice(s: Stage) -> None:
    a = s.connect()
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r2", no_ack=True)


@scenario("reply-to/consume-same-tag", PAGE)
def same_tag(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="r")


@scenario("reply-to/cancel-and-again", PAGE)
def cancel(s: Stage) -> None:
    a = s.connect()
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.ask("basic.cancel", consumer_tag="r")
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r2", no_ack=True)


@scenario("reply-to/publish-without-consumer", PAGE)
def without_consumer(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"x", reply_to=PSEUDO)
    a.expect()


@scenario("reply-to/publish-after-cancel", PAGE)
def after_cancel(s: Stage) -> None:
    a = s.connect()
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.ask("basic.cancel", consumer_tag="r")
    a.publish("", "cf.none", b"x", reply_to=PSEUDO)
    a.expect()


@scenario("reply-to/other-reply-to-untouched", PAGE)
def untouched(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x", reply_to="amq.rabbitmq.reply-to.x.y")
    a.publish("", "cf.q", b"x", reply_to="cf.answers")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


KEYS = {"pseudo": PSEUDO, "bogus": PSEUDO + ".bogus", "bogus-two": PSEUDO + ".bo.gus", "empty": PSEUDO + "."}


@family("reply-to/publish-to", PAGE + ": addresses that are none", KEYS)
def publish_to(s: Stage, key: str) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("", key, b"x", mandatory=True)
    a.idle()


@scenario("reply-to/requester-gone", PAGE)
def gone(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    b.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"request", reply_to=PSEUDO)
    a.idle()
    request = b.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("channel.close")
    assert request.properties is not None
    b.ask("confirm.select")
    b.publish("", request.properties["reply_to"], b"too late")
    b.confirms(1)
    b.publish("", request.properties["reply_to"], b"too late", mandatory=True)
    b.confirms(1)
    b.ask("queue.declare", queue=request.properties["reply_to"], passive=True)


@scenario("reply-to/mandatory-reply", PAGE)
def mandatory_reply(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    b.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"request", reply_to=PSEUDO)
    a.idle()
    request = b.ask("basic.get", queue="cf.q", no_ack=True)
    assert request.properties is not None
    b.ask("confirm.select")
    b.publish("", request.properties["reply_to"], b"reply", mandatory=True)
    b.confirms(1)
    a.expect()


NAMED: dict[str, tuple[str, dict[str, object]]] = {
    "declare": ("queue.declare", {"queue": PSEUDO}),
    "declare-passive": ("queue.declare", {"queue": PSEUDO, "passive": True}),
    "declare-bogus": ("queue.declare", {"queue": PSEUDO + ".bogus"}),
    "declare-bogus-passive": ("queue.declare", {"queue": PSEUDO + ".bogus", "passive": True}),
    "delete": ("queue.delete", {"queue": PSEUDO}),
    "get": ("basic.get", {"queue": PSEUDO}),
    "purge": ("queue.purge", {"queue": PSEUDO}),
    "bind": ("queue.bind", {"queue": PSEUDO, "exchange": "amq.fanout"}),
    "unbind": ("queue.unbind", {"queue": PSEUDO, "exchange": "amq.fanout"}),
}


@family("reply-to/named", PAGE, NAMED)
def named(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask(name, **arguments)


FULL: dict[str, tuple[str, dict[str, object]]] = {
    "declare": ("queue.declare", {}),
    "declare-passive": ("queue.declare", {"passive": True}),
    "delete": ("queue.delete", {}),
    "get": ("basic.get", {}),
    "purge": ("queue.purge", {}),
    "bind": ("queue.bind", {"exchange": "amq.fanout"}),
    "consume": ("basic.consume", {"consumer_tag": "t", "no_ack": True}),
}


@family("reply-to/address", PAGE + ": methods on a full reply address", FULL)
def address(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.ask("basic.consume", 1, queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"x", reply_to=PSEUDO)
    a.idle()
    request = a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    assert request.properties is not None
    a.ask(name, 2, queue=request.properties["reply_to"].decode(), **arguments)


def _address(a: Peer) -> str:
    """The address of channel 1, as a request to cf.q has it."""
    a.ask("queue.declare", 2, queue="cf.q")
    a.ask("basic.consume", 1, queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"x", reply_to=PSEUDO)
    a.idle()
    request = a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    assert request.properties is not None
    address: str = request.properties["reply_to"].decode()
    return address


@scenario("reply-to/last-declared", PAGE + "; 0-9-1 1.8.3.3 basic.consume: the last declared queue")
def last_declared(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.ask("queue.declare", queue=PSEUDO)
    a.ask("basic.consume", consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"x", reply_to=PSEUDO)
    a.idle()
    request = a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    assert request.properties is not None
    a.publish("", request.properties["reply_to"], b"reply", 2)
    a.expect()


@scenario("reply-to/last-declared-acks", PAGE)
def last_declared_acks(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue=PSEUDO)
    a.ask("basic.consume", consumer_tag="r")


UNNAMED: dict[str, tuple[str, dict[str, object]]] = {
    "get": ("basic.get", {}),
    "purge": ("queue.purge", {}),
    "delete": ("queue.delete", {}),
    "bind": ("queue.bind", {"exchange": "amq.direct"}),
    "unbind": ("queue.unbind", {"exchange": "amq.direct"}),
    "consume": ("basic.consume", {"no_ack": True}),
}


@family("reply-to/last-declared-address", PAGE, UNNAMED)
def last_declared_address(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue=_address(a))
    a.ask(name, 2, **arguments)


@family("reply-to/own-address-declared", PAGE, {"active": False, "passive": True})
def own_declared(s: Stage, passive: bool) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 1, queue=_address(a), passive=passive)


@family("reply-to/own-address-consumed", PAGE, {"no-ack": True, "acks": False})
def own_consumed(s: Stage, no_ack: bool) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("basic.consume", 1, queue=_address(a), no_ack=no_ack)


@scenario("reply-to/other-channel-has-none", PAGE)
def other_channel(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    _address(a)
    a.publish("", "cf.q", b"x", 2, reply_to=PSEUDO)
    a.expect(1, 2)


@scenario("reply-to/address-dies-with-its-consumer", PAGE)
def renewed(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    address = _address(a)
    a.ask("basic.cancel", 1, consumer_tag="r")
    a.ask("basic.consume", 1, queue=PSEUDO, consumer_tag="r", no_ack=True)
    a.ask("confirm.select", 2)
    a.publish("", address, b"late", 2)
    a.confirms(1, 2)
    a.idle(1)


@scenario("reply-to/carbon-copy", PAGE + "; rabbitmq.com/docs/sender-selected")
def carbon_copy(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    address = _address(a)
    a.publish("", "cf.q", b"x", 2, headers={"CC": [address, address]})
    a.expect()
    a.publish("", "cf.q", b"y", 2, headers={"BCC": [address]})
    a.expect()
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)


@scenario("reply-to/by-another-exchange", PAGE + ": replies go by the default exchange")
def another_exchange(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.publish("amq.direct", _address(a), b"x", 2, mandatory=True)
    a.expect(1, 2)


@scenario("reply-to/dead-lettered", PAGE + "; rabbitmq.com/docs/dlx: an address as the target")
def dead_lettered(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    target = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": _address(a), "x-max-length": 0}
    a.ask("queue.declare", 2, queue="cf.d", arguments=target)
    a.ask("confirm.select", 2)
    a.publish("", "cf.d", b"dead", 2)
    a.confirms(1, 2)
    a.expect() if s.profile != "4.0" else a.idle()


@scenario("reply-to/reply-asks-back", PAGE)
def asks_back(s: Stage) -> None:
    a, b = s.connect("a", channels=(1, 2)), s.connect("b")
    address = _address(a)
    b.ask("basic.consume", queue=PSEUDO, consumer_tag="rb", no_ack=True)
    b.publish("", address, b"reply and ask", reply_to=PSEUDO, correlation_id="1")
    (asked,) = a.expect()
    assert asked.properties is not None
    a.publish("", asked.properties["reply_to"], b"answer")
    b.expect()


@scenario("reply-to/properties-of-a-reply", PAGE)
def properties_of_a_reply(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    address = _address(a)
    given = {"b": 1, "a": [None], "BCC": ["cf.q"]}
    a.publish("", address, b"x", 2, expiration="0", delivery_mode=2, reply_to="other", headers=given)
    a.expect()
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)
    a.publish("", address, b"", 2)
    a.expect()


@scenario("reply-to/in-a-transaction", PAGE + "; 0-9-1 1.9.2 tx")
def in_a_transaction(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    address = _address(a)
    a.ask("tx.select", 2)
    a.publish("", address, b"reply", 2, mandatory=True)
    a.idle(2)
    a.idle(1)
    a.send("tx.commit", 2)
    a.idle(2)
    a.idle(1)

"""Dead lettering: routes, reasons, headers and cycles."""

from conformance.codec import Typed
from conformance.scenarios.ttl import with_grave
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/dlx"
EFFECTS = PAGE + "#effects"

SETTLED: dict[str, tuple[str, dict[str, object]]] = {
    "reject": ("basic.reject", {}),
    "nack": ("basic.nack", {}),
    "nack-multiple": ("basic.nack", {"multiple": True}),
}


@family("deadletter/by", PAGE, SETTLED)
def rejected(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0", headers={"a": 1}, delivery_mode=2, expiration="60000", priority=1, type="t")
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=1, **arguments)
    a.expect(1, 2)


@family("deadletter/kept-in-queue-by", PAGE + ": redelivered flag of a copy that waited", SETTLED)
def kept(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.dlq")
    dlx = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
    a.ask("queue.declare", queue="cf.q", arguments=dlx)
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=1, **arguments)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq")


@scenario("deadletter/key-of-message", EFFECTS + ": the original key when no other is set")
def original_key(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="topic")
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx", routing_key="#")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("amq.direct", "cf.k", b"0", headers={"CC": ["cf.c"], "BCC": ["cf.b"]})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario("deadletter/key-set-with-cc", EFFECTS + ": CC with x-dead-letter-routing-key")
def key_with_cc(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0", headers={"CC": ["cf.c"], "BCC": ["cf.b"], "a": 1})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario("deadletter/cc-routes", EFFECTS + ": CC routes the dead letter too")
def cc_routes(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="direct")
    for queue, key in (("cf.d1", "cf.q"), ("cf.d2", "cf.c"), ("cf.d3", "cf.b")):
        a.ask("queue.declare", queue=queue)
        a.ask("queue.bind", queue=queue, exchange="cf.dlx", routing_key=key)
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.publish("", "cf.q", b"0", headers={"CC": ["cf.c"], "BCC": ["cf.b"]})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("message_count=1", "queue.declare", queue="cf.d1", passive=True)
    for queue in ("cf.d1", "cf.d2", "cf.d3"):
        a.ask("basic.get", queue=queue, no_ack=True)


@scenario("deadletter/missing-exchange", PAGE + ": dropped in silence")
def missing(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.none"})
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.ask("basic.get", queue="cf.q")


@scenario("deadletter/exchange-declared-later", PAGE + ": looked up when a message dies")
def later(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.publish("", "cf.q", b"0")
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario("deadletter/alternate-exchange", PAGE)
def alternate(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.ae", exchange_type="fanout")
    a.ask(
        "exchange.declare",
        exchange="cf.dlx",
        exchange_type="direct",
        arguments={"alternate-exchange": "cf.ae"},
    )
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.ae")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


def _retry(s: Stage, rounds: int, settle: str = "basic.reject", quorum: bool = False) -> Peer:
    """Work queue cf.q, dead-lettering to cf.retry, which after a short TTL dead-letters back."""
    kind: dict[str, object] = {"x-queue-type": "quorum"} if quorum else {}
    a = s.connect()
    back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q", "x-message-ttl": 10, **kind}
    a.ask("queue.declare", queue="cf.retry", durable=quorum, arguments=back)
    there = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.retry", **kind}
    a.ask("queue.declare", queue="cf.q", durable=quorum, arguments=there)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0", message_id="m")
    for tag in range(1, rounds + 1):
        a.expect()
        a.send(settle, delivery_tag=tag)
    a.expect()
    return a


@scenario("deadletter/retry-loop", PAGE + "#effects: x-death counts; a loop with a rejection goes on")
def retry(s: Stage) -> None:
    _retry(s, 3)


@scenario("deadletter/retry-loop-nack", PAGE + "#effects")
def retry_nack(s: Stage) -> None:
    _retry(s, 2, "basic.nack")


@scenario("deadletter/retry-loop-quorum", PAGE + "#effects")
def retry_quorum(s: Stage) -> None:
    _retry(s, 3, quorum=True)


@scenario("deadletter/reject-into-itself", PAGE + "#effects: a cycle with a rejection goes on")
def into_itself(s: Stage) -> None:
    a = s.connect()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q"}
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    for tag in (1, 2, 3):
        a.expect()
        a.send("basic.reject", delivery_tag=tag)
    a.expect()


@scenario("deadletter/cycle-of-expiry", PAGE + "#effects: a cycle without a rejection is dropped")
def cycle_expiry(s: Stage) -> None:
    a = s.connect()
    for queue, target in (("cf.q", "cf.q2"), ("cf.q2", "cf.q")):
        arguments = {"x-message-ttl": 15, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
        a.ask("queue.declare", queue=queue, arguments=arguments)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    s.elapse(100)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q2")


@scenario("deadletter/maxlen-into-itself", PAGE + "#effects")
def maxlen_itself(s: Stage) -> None:
    a = s.connect()
    arguments = {"x-max-length": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q"}
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.ask("confirm.select")
    for body in (b"0", b"1", b"2"):
        a.publish("", "cf.q", body)
    a.confirms(3)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")


@scenario("deadletter/chain", EFFECTS + ": x-death grows at the front")
def chain(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.end")
    a.ask("queue.declare", queue="cf.q2", arguments={
        "x-message-ttl": 10, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.end",
    })  # fmt: skip
    a.ask("queue.bind", queue="cf.q2", exchange="cf.dlx")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    a.ask("basic.consume", 2, queue="cf.end", consumer_tag="dead", no_ack=True)
    a.publish("amq.direct", "cf.k", b"0", expiration="60000", headers={"z": 1, "a": 2})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1)
    a.expect(1, 2)


CLIENT_HEADERS: dict[str, dict[str, object]] = {
    "x-death-array": {
        "x-death": [
            {
                "count": Typed("l", 5), "reason": "rejected", "queue": "cf.q", "time": Typed("T", 1000000000),
                "exchange": "e", "routing-keys": ["k"],
            }
        ]
    },
    "x-death-string": {"x-death": "garbage"},
    "x-death-empty": {"x-death": []},
    "x-death-of-strings": {"x-death": ["garbage"]},
    "first-death": {"x-first-death-queue": "other", "x-first-death-reason": "mine"},
    "last-death": {"x-last-death-queue": "other", "x-last-death-reason": "mine"},
}  # fmt: skip


@family("deadletter/client-sent", EFFECTS + ": headers that clients send", CLIENT_HEADERS)
def client_sent(s: Stage, headers: dict[str, object]) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0", headers=headers)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    if s.profile == "3.10" and headers.get("x-death") == ["garbage"]:
        a.silence(2)  # the queue's process crashes
    else:
        a.expect(1, 2)


@scenario("deadletter/not-on-purge-and-delete", PAGE)
def purge(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0")
    a.ask("queue.purge", queue="cf.q")
    a.publish("", "cf.q", b"1")
    a.ask("queue.delete", queue="cf.q")
    a.idle(2)


@scenario("deadletter/user-id-and-reply-to-kept", EFFECTS)
def properties_kept(s: Stage) -> None:
    a = with_grave(s)
    a.publish(
        "",
        "cf.q",
        b"0",
        content_type="c",
        content_encoding="e",
        correlation_id="i",
        reply_to="r",
        message_id="m",
        timestamp=1000000000,
        user_id=s.target.login[0],
        app_id="a",
        cluster_id="l",
    )
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario("deadletter/redeclare-other-exchange", PAGE + "#redeclaration: 406")
def redeclared(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": ""})
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "amq.direct"})


@scenario("deadletter/maxlen", PAGE)
def maxlen(s: Stage) -> None:
    a = with_grave(s, **{"x-max-length": 1})
    a.publish("", "cf.q", b"0", headers={"a": 1})
    a.publish("", "cf.q", b"1")
    a.expect(1, 2)


@scenario("deadletter/fanout-to-two", PAGE)
def fanout(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "amq.fanout"})
    for number in (2, 3):
        a.ask("queue.declare", queue=f"cf.q{number}")
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="amq.fanout")
        a.ask("basic.consume", number, queue=f"cf.q{number}", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)
    a.expect(1, 3)


@scenario("deadletter/in-transaction", PAGE + "; 0-9-1 1.9 tx")
def transaction(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0")
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.idle(1)
    a.idle(2)
    a.ask("tx.commit")
    a.expect(1, 2)

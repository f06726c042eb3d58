"""Where dead letters are routed and which headers they have: exchange types, chains, cycles of each reason, keys."""

from typing import Any

from conformance.scenarios.deadletter import EFFECTS, PAGE
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer


def dying(s: Stage, **arguments: Any) -> Peer:
    """A peer with cf.q, which dead-letters to cf.dlx; its channel 2 consumes cf.dlq."""
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx", **arguments})
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    return a


def die(a: Peer, name: str = "basic.reject", **properties: Any) -> None:
    """Publish to cf.q, get the message and reject it."""
    a.publish("", "cf.q", b"0", **properties)
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=1)
    a.idle(1)


MATCHING: dict[str, dict[str, Any]] = {
    "own-header": {"x-match": "all", "h": 1},
    "first-death": {"x-match": "all-with-x", "x-first-death-queue": "cf.q"},
    "reason": {"x-match": "any-with-x", "x-first-death-reason": "rejected"},
    "last-death": {"x-match": "any-with-x", "x-last-death-reason": "rejected"},
    "x-skipped": {"x-match": "any", "x-first-death-queue": "cf.q"},
}


@family("deadletter/to-headers-exchange", PAGE, MATCHING)
def to_headers(s: Stage, match: dict[str, Any]) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="headers")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx", arguments=match)
    die(a, headers={"h": 1})
    s.elapse(10)
    a.idle(2)


KEYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "topic-key": ("topic", "cf.*", {}),
    "topic-other": ("topic", "dead.#", {"x-dead-letter-routing-key": "dead.a.b"}),
    "topic-empty-key": ("topic", "", {"x-dead-letter-routing-key": ""}),
    "direct-empty-key": ("direct", "", {"x-dead-letter-routing-key": ""}),
    "hash": ("x-consistent-hash", "1", {}),
    "random": ("x-random", "", {}),
    "history": ("x-recent-history", "", {}),
}


@family("deadletter/to", PAGE, KEYS)
def to_types(s: Stage, kind: str, key: str, arguments: dict[str, Any]) -> None:
    a = dying(s, **arguments)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type=kind)
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx", routing_key=key)
    die(a)
    a.expect(1, 2)


@scenario("deadletter/to-internal-exchange", PAGE)
def to_internal(s: Stage) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout", internal=True)
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    die(a)
    a.expect(1, 2)


@scenario("deadletter/through-exchanges", PAGE + "; rabbitmq.com/docs/e2e: one copy a queue")
def through(s: Stage) -> None:
    a = dying(s)
    for name, kind in (("cf.dlx", "fanout"), ("cf.x2", "topic"), ("cf.x3", "direct")):
        a.ask("exchange.declare", exchange=name, exchange_type=kind)
    for name in ("cf.x2", "cf.x3"):
        a.ask("exchange.bind", destination=name, source="cf.dlx")
        a.ask("queue.bind", queue="cf.dlq", exchange=name, routing_key="cf.q")
    die(a)
    a.expect(1, 2)


@scenario(
    "deadletter/from-alternate-exchange", PAGE + "; rabbitmq.com/docs/ae: x-death tells the first exchange"
)
def from_alternate(s: Stage) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    a.ask(
        "exchange.declare",
        exchange="cf.x",
        exchange_type="direct",
        arguments={"alternate-exchange": "amq.fanout"},
    )
    a.ask("queue.bind", queue="cf.q", exchange="amq.fanout")
    a.publish("cf.x", "nobody", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario(
    "deadletter/of-two-queues",
    EFFECTS + ": entries of two queues and two exchanges, one death after the other",
)
def two_queues(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.end")
    a.ask("basic.consume", 2, queue="cf.end", consumer_tag="dead", no_ack=True)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="topic")
    for queue, target, key in (("cf.q1", "cf.dlx", "k2"), ("cf.q2", "", "cf.q3"), ("cf.q3", "cf.dlx", "k4")):
        dead = {"x-dead-letter-exchange": target, "x-dead-letter-routing-key": key}
        a.ask("queue.declare", queue=queue, arguments=dead)
    a.ask("queue.bind", queue="cf.q2", exchange="cf.dlx", routing_key="k2")
    a.ask("queue.bind", queue="cf.end", exchange="cf.dlx", routing_key="k4")
    a.publish("", "cf.q1", b"0", headers={"CC": ["cf.none"], "BCC": ["cf.blind"]}, expiration="60000")
    for number, name in enumerate(("basic.reject", "basic.nack", "basic.reject"), 1):
        a.eventually("basic.get-ok", "basic.get", queue=f"cf.q{number}")
        a.send(name, delivery_tag=number)
    a.expect(1, 2)


@scenario(
    "deadletter/same-pair-again", EFFECTS + ": a repeated pair moves to the front, keys as they were first"
)
def same_pair(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q1", arguments={"x-dead-letter-exchange": "cf.dlx"})
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q1"}
    a.ask("queue.declare", queue="cf.q2", arguments=dead)
    a.ask("queue.bind", queue="cf.q2", exchange="cf.dlx")
    a.publish("amq.direct", "nobody", b"nowhere")
    a.ask("queue.bind", queue="cf.q1", exchange="amq.direct", routing_key="cf.k")
    a.publish("amq.direct", "cf.k", b"0")
    for number, queue in enumerate(("cf.q1", "cf.q2", "cf.q1", "cf.q2", "cf.q1"), 1):
        a.eventually("basic.get-ok", "basic.get", queue=queue)
        a.send("basic.reject" if number % 2 else "basic.nack", delivery_tag=number)
    a.eventually("basic.get-ok", "basic.get", queue="cf.q2")


@scenario("deadletter/two-reasons-of-one-queue", EFFECTS + ": an entry for each reason")
def two_reasons(s: Stage) -> None:
    a = s.connect()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q"}
    a.ask("queue.declare", queue="cf.q", arguments={**dead, "x-max-length": 1})
    a.publish("", "cf.q", b"0", expiration="60000")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("basic.get-ok", "basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=2, requeue=True)
    a.publish("", "cf.q", b"1")
    s.elapse(20)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")


CIRCLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired-expired": ({"x-message-ttl": 10}, {"x-message-ttl": 10}),
    "maxlen-expired": ({"x-max-length": 0}, {"x-message-ttl": 10}),
    "expired-maxlen": ({"x-message-ttl": 10}, {"x-max-length": 0}),
    "maxlen-maxlen": ({"x-max-length": 0}, {"x-max-length": 0}),
}


@family("deadletter/circle", EFFECTS + ": without a rejection it ends", CIRCLES)
def circle(s: Stage, first: dict[str, Any], second: dict[str, Any]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.seen")
    a.ask("queue.bind", queue="cf.seen", exchange="cf.x")
    a.ask("basic.consume", 2, queue="cf.seen", consumer_tag="seen", no_ack=True)
    dead = {"x-dead-letter-exchange": "cf.x"}
    a.ask("queue.declare", queue="cf.q1", arguments={**first, **dead})
    a.ask(
        "queue.declare",
        queue="cf.q2",
        arguments={**second, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q1"},
    )
    a.ask("queue.bind", queue="cf.q2", exchange="cf.x")
    a.ask("confirm.select")
    a.publish("", "cf.q1", b"0")
    a.confirms(1)
    s.elapse(120)
    for queue in ("cf.q1", "cf.q2"):
        a.ask("basic.get", queue=queue)
    a.idle(2)


@scenario(
    "deadletter/circle-of-delivery-limit",
    EFFECTS + "; rabbitmq.com/docs/quorum-queues#poison-message-handling",
)
def circle_of_limit(s: Stage) -> None:
    a = s.connect()
    given = {
        "x-queue-type": "quorum", "x-delivery-limit": 0,
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q",
    }  # fmt: skip
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1, requeue=True)
    s.elapse(60)
    a.ask("basic.get", queue="cf.q")


@scenario("deadletter/expired-after-rejected", EFFECTS + ": a rejection since allows the circle")
def after_rejected(s: Stage) -> None:
    a = s.connect()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q2"}
    a.ask("queue.declare", queue="cf.q1", arguments=dead)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q1", "x-message-ttl": 10}
    a.ask("queue.declare", queue="cf.q2", arguments=dead)
    a.publish("", "cf.q2", b"0")
    for tag in (1, 2):
        a.eventually("basic.get-ok", "basic.get", queue="cf.q1")
        a.send("basic.reject", delivery_tag=tag)
    a.eventually("basic.get-ok", "basic.get", queue="cf.q1")


@scenario(
    "deadletter/default-exchange-own-key",
    PAGE + ": to the default exchange without a key goes back to the queue",
)
def own_key(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": ""})
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("basic.get-ok", "basic.get", queue="cf.q")


COPIES: dict[str, dict[str, Any]] = {
    "cc": {"CC": ["cf.c1", "cf.c2"]},
    "cc-of-own-key": {"CC": ["cf.q", "cf.c1"]},
    "bcc": {"BCC": ["cf.c1"]},
    "both": {"CC": ["cf.c1"], "BCC": ["cf.c2"]},
    "same-in-both": {"CC": ["cf.c1"], "BCC": ["cf.c1"]},
    "empty": {"CC": [], "BCC": []},
    "mixed-kinds": {"CC": ["cf.c1", 5, True]},
}


@family("deadletter/copies", EFFECTS + "; rabbitmq.com/docs/sender-selected", COPIES)
def copies(s: Stage, headers: dict[str, Any]) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="direct")
    for queue in ("cf.c1", "cf.c2"):
        a.ask("queue.declare", queue=queue)
        a.ask("queue.declare", queue=queue + ".dead", arguments={"x-dead-letter-exchange": "cf.dlx"})
        a.ask("queue.bind", queue=queue + ".dead", exchange="cf.dlx", routing_key=queue)
        a.ask("queue.bind", queue=queue, exchange="cf.dlx", routing_key="again." + queue)
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx", routing_key="cf.q")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.publish("", "cf.q", b"0", headers=headers)
    a.ask("queue.purge", queue="cf.c1")
    a.ask("queue.purge", queue="cf.c2")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)
    s.elapse(10)
    for queue in ("cf.c1.dead", "cf.c2.dead"):
        a.ask("basic.get", queue=queue)


@scenario(
    "deadletter/copies-die-again", EFFECTS + "; rabbitmq.com/docs/sender-selected: keys of a second death"
)
def copies_again(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "cf.dlx"})
    a.ask("queue.declare", queue="cf.q2", arguments={"x-dead-letter-exchange": "cf.dlx2"})
    a.ask("queue.bind", queue="cf.q2", exchange="cf.dlx")
    a.ask("exchange.declare", exchange="cf.dlx2", exchange_type="direct")
    for queue in ("cf.c", "cf.b"):
        a.ask("queue.declare", queue=f"{queue}.dead")
        a.ask("queue.bind", queue=f"{queue}.dead", exchange="cf.dlx2", routing_key=queue)
    a.publish("", "cf.q", b"0", headers={"CC": ["cf.c"], "BCC": ["cf.b"]})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("basic.get-ok", "basic.get", queue="cf.q2")
    a.send("basic.nack", delivery_tag=2)
    a.eventually("basic.get-ok", "basic.get", queue="cf.c.dead")
    s.elapse(10)
    a.ask("basic.get", queue="cf.b.dead")


@scenario("deadletter/multiple", PAGE + ": several at once, in the order of their queue")
def multiple(s: Stage) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number)
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, multiple=True)
    a.expect(3, 2)


@scenario("deadletter/to-priorities", PAGE + "; rabbitmq.com/docs/priority")
def to_priorities(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.dlq", arguments={"x-max-priority": 5})
    a.ask(
        "queue.declare",
        queue="cf.q",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"},
    )
    for number, priority in enumerate((1, 5, 3)):
        a.publish("", "cf.q", b"%d" % number, priority=priority)
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, multiple=True)
    a.eventually("message_count=3", "queue.declare", queue="cf.dlq", passive=True)
    for _ in range(3):
        a.ask("basic.get", queue="cf.dlq", no_ack=True)


@scenario("deadletter/deleted-target-comes-back", PAGE + ": looked up at each death")
def deleted_target(s: Stage) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number)
        a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)
    a.ask("exchange.delete", exchange="cf.dlx")
    a.send("basic.reject", delivery_tag=2)
    a.idle(1)
    s.elapse(20)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    a.send("basic.reject", delivery_tag=3)
    a.expect(1, 2)


@family(
    "deadletter/no-ack",
    PAGE + ": what is not acknowledged cannot be refused",
    {"consume": True, "get": False},
)
def no_ack(s: Stage, consumed: bool) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    a.publish("", "cf.q", b"0")
    if consumed:
        a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
        a.expect()
    else:
        a.ask("basic.get", queue="cf.q", no_ack=True)
    a.send("basic.reject", delivery_tag=1)
    a.idle(1)
    a.idle(2)


@scenario("deadletter/persistent-and-body", PAGE + ": body, mode and other properties stay")
def large(s: Stage) -> None:
    a = dying(s)
    a.ask("exchange.declare", exchange="cf.dlx", exchange_type="fanout")
    a.ask("queue.bind", queue="cf.dlq", exchange="cf.dlx")
    a.publish("", "cf.q", b"x" * 300000, delivery_mode=2, priority=9)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


RETURNS: dict[str, tuple[str, str]] = {
    f"{returned}-{how}": (returned, how)
    for returned in ("reject", "nack", "recover", "channel-close")
    for how in ("basic.reject", "basic.nack", "expired", "maxlen")
}


@family("deadletter/returned-before-by", EFFECTS + ": what counts as a failure marks the copy", RETURNS)
def returned_before(s: Stage, returned: str, how: str) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.declare", queue="cf.qq", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("queue.bind", queue="cf.dlq", exchange="amq.fanout")
    a.ask("queue.bind", queue="cf.qq", exchange="amq.fanout")
    limits: dict[str, Any] = {"expired": {"x-message-ttl": 60}, "maxlen": {"x-max-length": 1}}.get(how, {})
    a.ask("queue.declare", queue="cf.q", arguments={"x-dead-letter-exchange": "amq.fanout", **limits})
    a.publish("", "cf.q", b"0", 2)
    a.ask("basic.get", 2, queue="cf.q")
    if returned == "recover":
        a.ask("basic.recover", 2, requeue=True)
    elif returned == "channel-close":
        a.ask("channel.close", 2)
    else:
        a.send(f"basic.{returned}", 2, delivery_tag=1, requeue=True)
        a.idle(2)
    if how == "maxlen":
        a.publish("", "cf.q", b"1")
    elif how != "expired":
        a.ask("basic.get", queue="cf.q")
        a.send(how, delivery_tag=1)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)
    a.eventually("basic.get-ok", "basic.get", queue="cf.qq", no_ack=True)


@family("deadletter/marked-copy-dies-by", EFFECTS + ": the mark of a rejection goes on", {
    f"{kind}-{how}": (kind, how) for kind in ("got", "consumed") for how in ("basic.reject", "basic.nack")
})  # fmt: skip
def marked(s: Stage, kind: str, how: str) -> None:
    a = s.connect(channels=(1, 2))
    for queue, target in (("cf.q1", "cf.q2"), ("cf.q2", "cf.q3"), ("cf.q3", "cf.q4"), ("cf.q4", "cf.q5")):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
        a.ask("queue.declare", queue=queue, arguments=dead)
    a.ask("queue.declare", queue="cf.q5")
    if kind == "consumed":
        a.ask("basic.consume", queue="cf.q2", consumer_tag="t2")
        a.ask("basic.consume", queue="cf.q3", consumer_tag="t3")
    a.publish("", "cf.q1", b"0", 2)
    a.ask("basic.get", 2, queue="cf.q1")
    a.send("basic.reject", 2, delivery_tag=1)
    for tag in (1, 2):
        if kind == "consumed":
            a.expect()
        else:
            a.eventually("basic.get-ok", "basic.get", queue=f"cf.q{tag + 1}")
        a.send(how, delivery_tag=tag)
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q4")
    a.send("basic.nack", 2, delivery_tag=2, requeue=True)
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q4")
    a.send("basic.nack", 2, delivery_tag=3)
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q5")

"""The delivery limit by every kind of return, delayed retry, and dead lettering at least once."""

from typing import Any

from conformance.scenarios.limits import drained
from conformance.scenarios.policies import PATH, policy
from conformance.scenarios.quorum import PAGE, POISON, quorum
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

DEAD: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}


def limited(s: Stage, limit: Any, *bodies: bytes, **arguments: Any) -> Peer:
    """A peer with cf.q with that delivery limit; its dead letters go to cf.dlq."""
    given = {**DEAD, **arguments} if limit is None else {**DEAD, "x-delivery-limit": limit, **arguments}
    a = quorum(s, *bodies, channels=(1, 2, 3), arguments=given)
    a.ask("queue.declare", queue="cf.dlq")
    return a


WAYS = (
    "reject",
    "nack",
    "nack-multiple",
    "recover",
    "channel-close",
    "connection-loss",
    "cancel-and-close",
    "tx-reject",
)


@family("quorum/limit-by", POISON + ": which ways back count", {way: way for way in WAYS})
def limit_by(s: Stage, way: str) -> None:
    a = limited(s, 1, b"0")
    for number in range(3):
        b = s.connect(f"b{number}")
        if way == "tx-reject":
            b.ask("tx.select")
        b.ask("basic.consume", queue="cf.q", consumer_tag="t")
        s.elapse(30)
        if not b.idle():
            break
        if way == "connection-loss":
            b.drop()
        else:
            _give_back(b, way)
        s.elapse(30)
    a.ask("basic.get", queue="cf.dlq", no_ack=True)
    a.ask("basic.get", queue="cf.q")


def _give_back(b: Peer, way: str) -> None:
    if way == "cancel-and-close":
        b.ask("basic.cancel", consumer_tag="t")
        b.ask("channel.close")
        return
    if way == "channel-close":
        b.ask("channel.close")
        return
    b.ask("basic.cancel", consumer_tag="t")
    if way == "recover":
        b.ask("basic.recover", requeue=True)
    elif way in ("reject", "tx-reject"):
        b.send("basic.reject", delivery_tag=1, requeue=True)
        if way == "tx-reject":
            b.ask("tx.commit")
    else:
        b.send("basic.nack", delivery_tag=1, requeue=True, multiple=way == "nack-multiple")
    b.idle()


LIMITS: dict[str, tuple[Any, Any]] = {
    "policy-smaller": (5, 1),
    "argument-smaller": (1, 5),
    "policy-alone": (None, 1),
    "argument-none": (-1, 1),
    "policy-none": (1, -1),
}


@family(
    "quorum/limit-of-policy",
    POISON + "; rabbitmq.com/docs/parameters#policies",
    LIMITS,
    profiles=("4.3", "4.0"),
)
def limit_of_policy(s: Stage, argument: Any, stated: int) -> None:
    policy(s, {"delivery-limit": stated})
    a = limited(s, argument, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    for tag in (1, 2):
        a.expect()
        a.send("basic.reject", delivery_tag=tag, requeue=True)
    s.elapse(60)
    a.idle()
    a.ask("basic.get", 2, queue="cf.dlq", no_ack=True)


@scenario("quorum/limit-lowered", POISON + ": by a policy, while the message is here")
def lowered(s: Stage) -> None:
    a = limited(s, 5, b"0")
    for tag in (1, 2, 3):
        a.ask("basic.get", queue="cf.q")
        a.send("basic.reject", delivery_tag=tag, requeue=True)
        a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    policy(s, {"delivery-limit": 1})
    s.elapse(100)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=4, requeue=True)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)


@scenario("quorum/limit-not-for-acked-and-expired", POISON + "; rabbitmq.com/docs/ttl")
def returned_and_expired(s: Stage) -> None:
    a = limited(s, 3, **{"x-message-ttl": 300})
    a.publish("", "cf.q", b"0", 9)
    a.confirms(1, 9)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1, requeue=True)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)


RETRIES: dict[str, dict[str, Any]] = {
    "no-min": {"x-delayed-retry-type": "all", "x-delayed-retry-max": 400},
    "no-max": {"x-delayed-retry-type": "all", "x-delayed-retry-min": 400},
    "min-text": {"x-delayed-retry-type": "all", "x-delayed-retry-min": "400"},
    "min-zero": {"x-delayed-retry-type": "all", "x-delayed-retry-min": 0},
    "min-negative": {"x-delayed-retry-type": "all", "x-delayed-retry-min": -400},
    "max-below-min": {"x-delayed-retry-type": "all", "x-delayed-retry-min": 400, "x-delayed-retry-max": 100},
    "type-absent": {"x-delayed-retry-min": 400},
    "type-integer": {"x-delayed-retry-type": 1, "x-delayed-retry-min": 400},
}


@family("quorum/retry-settings", PAGE + "#delayed-retry", RETRIES, profiles=("4.3",))
def retry_settings(s: Stage, arguments: dict[str, Any]) -> None:
    a = quorum(s, b"0", arguments=arguments)
    if 1 not in a.open_channels:
        return
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1, requeue=True)
    s.elapse(50)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    s.elapse(700)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("quorum/retry-overtaken", PAGE + "#delayed-retry: others are served meanwhile", profiles=("4.3",))
def overtaken(s: Stage) -> None:
    a = quorum(s, b"0", b"1", arguments={"x-delayed-retry-type": "all", "x-delayed-retry-min": 400})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.publish("", "cf.q", b"2", 9)
    a.confirms(1, 9)
    s.elapse(700)
    drained(a)


@scenario("quorum/retry-of-policy", PAGE + "#delayed-retry", profiles=("4.3",))
def retry_of_policy(s: Stage) -> None:
    policy(s, {"delayed-retry-type": "all", "delayed-retry-min": 400})
    a = quorum(s, b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    s.elapse(50)
    a.ask("basic.get", queue="cf.q")
    s.http("DELETE", PATH)
    s.elapse(700)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("quorum/retry-then-limit", PAGE + "#delayed-retry: the limit ends it", profiles=("4.3",))
def retry_then_limit(s: Stage) -> None:
    a = limited(s, 1, b"0", **{"x-delayed-retry-type": "all", "x-delayed-retry-min": 50})
    for tag in (1, 2):
        a.eventually("basic.get-ok", "basic.get", queue="cf.q")
        a.send("basic.reject", delivery_tag=tag, requeue=True)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)


@scenario("quorum/retry-delayed-expires", PAGE + "#delayed-retry; rabbitmq.com/docs/ttl", profiles=("4.3",))
def delayed_expires(s: Stage) -> None:
    given = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 600, "x-message-ttl": 200}
    a = limited(s, 5, **given)
    a.publish("", "cf.q", b"0", 9)
    a.confirms(1, 9)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1, requeue=True)
    s.elapse(900)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)


SURE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@scenario("quorum/at-least-once-exchange-comes", PAGE + "#dead-lettering: declared after the death")
def exchange_comes(s: Stage) -> None:
    a = quorum(s, b"0", channels=(1, 2), arguments={**SURE, "x-dead-letter-exchange": "cf.dlx"})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.get", queue="cf.q")


@family("quorum/at-least-once-reason", PAGE + "#dead-lettering", {
    "expired": {"x-message-ttl": 20}, "limit": {"x-delivery-limit": 0},
})  # fmt: skip
def reasons(s: Stage, arguments: dict[str, Any]) -> None:
    a = limited(s, None, **{**SURE, **arguments})
    a.publish("", "cf.q", b"0", 9, headers={"h": 1, "CC": ["cf.c"]}, expiration="60000")
    a.confirms(1, 9)
    if "x-delivery-limit" in arguments:
        a.ask("basic.get", queue="cf.q")
        a.send("basic.reject", delivery_tag=1, requeue=True)
    a.eventually("basic.get-ok", "basic.get", queue="cf.dlq", no_ack=True)


@scenario("quorum/at-least-once-to-several", PAGE + "#dead-lettering")
def several(s: Stage) -> None:
    a = quorum(s, b"0", channels=(1, 2), arguments={**SURE, "x-dead-letter-exchange": "amq.fanout"})
    for queue, kind in (("cf.d1", "classic"), ("cf.d2", "quorum"), ("cf.d3", "stream")):
        a.ask("queue.declare", queue=queue, durable=True, arguments={"x-queue-type": kind})
        a.ask("queue.bind", queue=queue, exchange="amq.fanout")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1)
    for queue in ("cf.d1", "cf.d2"):
        a.eventually("basic.get-ok", "basic.get", queue=queue, no_ack=True)
    a.ask("basic.qos", 2, prefetch_count=5)
    a.ask("basic.consume", 2, queue="cf.d3", consumer_tag="t", arguments={"x-stream-offset": "first"})
    a.expect(1, 2)


@scenario("quorum/at-least-once-circle", PAGE + "#dead-lettering: into itself, expired")
def circle(s: Stage) -> None:
    given = {**SURE, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q", "x-message-ttl": 20}
    a = quorum(s, b"0", arguments=given)
    s.elapse(150)
    a.ask("basic.get", queue="cf.q")

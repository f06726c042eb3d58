"""Policies that are set and changed while quorum queues and streams are in use."""

from typing import Any

from conformance.scenarios.limits import drained
from conformance.scenarios.policies import PAGE, PATH, policy
from conformance.scenarios.quorum import quorum
from conformance.scenarios.stream import stream
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

DEAD: dict[str, Any] = {"dead-letter-exchange": "", "dead-letter-routing-key": "cf.dlq"}


def dying(s: Stage, *bodies: bytes, **arguments: Any) -> Peer:
    """A peer with quorum queue cf.q; its channel 2 consumes cf.dlq."""
    a = quorum(s, *bodies, channels=(1, 2), arguments=arguments)
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    return a


@scenario("policies/quorum-max-length-lowered", PAGE + "; rabbitmq.com/docs/maxlength")
def lowered(s: Stage) -> None:
    a = dying(s, b"0", b"1", b"2")
    policy(s, {"max-length": 2, **DEAD})
    a.expect(1, 2)
    drained(a)


@scenario("policies/quorum-ttl-comes-later", PAGE + "; rabbitmq.com/docs/ttl: what is there keeps its own")
def ttl_later(s: Stage) -> None:
    a = dying(s, b"old")
    policy(s, {"message-ttl": 30, **DEAD})
    a.publish("", "cf.q", b"new", 9)
    a.confirms(1, 9)
    s.elapse(100)
    drained(a)
    a.idle(2)


@scenario("policies/quorum-dead-letter-at-death", PAGE + ": read when a message dies")
def at_death(s: Stage) -> None:
    a = dying(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    policy(s, DEAD)
    s.elapse(50)
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)
    a.ask("basic.get", queue="cf.q")
    s.http("DELETE", PATH)
    s.elapse(50)
    a.send("basic.reject", delivery_tag=2)
    s.elapse(50)
    a.idle(2)


@scenario("policies/quorum-argument-first", PAGE + ": dead lettering: the argument; overflow: the policy")
def argument_first(s: Stage) -> None:
    policy(s, {"dead-letter-exchange": "cf.none", "overflow": "reject-publish", "max-length": 1})
    given = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq", "x-overflow": "drop-head"}
    a = dying(s, **given)
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number, 9)
        a.confirms(1, 9)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@scenario("policies/quorum-strategy-comes", PAGE + "; rabbitmq.com/docs/quorum-queues#dead-lettering")
def strategy_comes(s: Stage) -> None:
    a = dying(s, b"0", b"1")
    policy(s, {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish", **DEAD})
    s.elapse(50)
    for tag in (1, 2):
        a.ask("basic.get", queue="cf.q")
        a.send("basic.nack", delivery_tag=tag)
        a.expect(1, 2)
        policy(s, DEAD)
        s.elapse(50)


@scenario("policies/quorum-max-length-bytes-and-argument", PAGE + ": the smaller")
def bytes_and_argument(s: Stage) -> None:
    policy(s, {"max-length-bytes": 1000})
    a = dying(s, **{"x-max-length-bytes": 400})
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number * 150, 9)
        a.confirms(1, 9)
    a.ask("queue.purge", queue="cf.q")


@family("policies/stream-retention", PAGE + "; rabbitmq.com/docs/streams#retention", {
    "bytes": {"max-length-bytes": 2000, "stream-max-segment-size-bytes": 1000},
    "bytes-alone": {"max-length-bytes": 2000},
    "age": {"max-age": "1s"},
})  # fmt: skip
def stream_retention(s: Stage, definition: dict[str, Any]) -> None:
    policy(s, definition)
    a = stream(s, b"first")
    note, a.note = a.note, lambda line: None
    for number in range(20):
        a.publish("", "cf.q", b"%02d" % number * 200, 9)
        a.confirms(1, 9)
    s.elapse(300)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-stream-offset": "first"})
    (first,) = a.expect()
    a.note = note
    s.note(f"the oldest have gone: {first.body != b'first'}")


@scenario("policies/quorum-priorities-and-max-length", PAGE + "; rabbitmq.com/docs/quorum-queues#priorities")
def priorities(s: Stage) -> None:
    policy(s, {"max-length": 2, **DEAD})
    a = dying(s)
    for number, priority in enumerate((1, 9, 5, 2)):
        a.publish("", "cf.q", b"%d" % number, 9, priority=priority)
        a.confirms(1, 9)
    a.expect(2, 2)
    drained(a)

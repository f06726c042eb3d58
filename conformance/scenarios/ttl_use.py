"""TTL 0, TTL beside priorities, transactions and quorum queues, and what counts as the use of a queue."""

from typing import Any

from conformance.scenarios.limits import drained
from conformance.scenarios.ttl import EXPIRES, TTL, with_grave
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
KINDS: dict[str, dict[str, Any]] = {"classic": {}, "quorum": QUORUM}

USES: dict[str, tuple[str, dict[str, Any]]] = {
    "bind": ("queue.bind", {"exchange": "amq.direct", "routing_key": "cf.k"}),
    "purge": ("queue.purge", {}),
    "unbind": ("queue.unbind", {"exchange": "amq.direct", "routing_key": "cf.k"}),
}


def expiring(s: Stage, channels: tuple[int, ...] = (1,)) -> Peer:
    """A peer whose cf.q has been unused for more than half of its x-expires."""
    a = s.connect(channels=channels)
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 1000})
    s.elapse(600)
    return a


@family("ttl/expires-not-renewed-by", EXPIRES, USES)
def not_renewed(s: Stage, name: str, arguments: dict[str, Any]) -> None:
    a = expiring(s)
    a.ask(name, queue="cf.q", **arguments)
    s.elapse(600)
    a.publish("", "cf.q", b"", mandatory=True)
    a.expect()


@scenario("ttl/expires-not-renewed-by-publish", EXPIRES)
def not_by_publish(s: Stage) -> None:
    a = expiring(s)
    a.publish("", "cf.q", b"")
    s.elapse(600)
    a.publish("", "cf.q", b"", mandatory=True)
    a.expect()


@scenario("ttl/expires-not-renewed-by-refused-declare", EXPIRES)
def not_by_refused(s: Stage) -> None:
    a = expiring(s, channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q", arguments={"x-expires": 2000})
    s.elapse(600)
    a.publish("", "cf.q", b"", mandatory=True)
    a.idle()


@scenario("ttl/expires-renewed-by-cancel", EXPIRES)
def by_cancel(s: Stage) -> None:
    a = expiring(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("basic.cancel", consumer_tag="t")
    s.elapse(600)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("ttl/expires-not-renewed-by-ack", EXPIRES)
def not_by_ack(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 1000})
    a.publish("", "cf.q", b"")
    a.ask("basic.get", queue="cf.q")
    s.elapse(600)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    s.elapse(600)
    a.publish("", "cf.q", b"", mandatory=True)
    a.expect()


@scenario("ttl/expires-consumer-of-lost-connection", EXPIRES)
def lost(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 100})
    b = s.connect("b")
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    s.elapse(200)
    a.ask("queue.declare", queue="cf.q", passive=True)
    b.drop()
    s.gone("cf.q")


@scenario("ttl/zero-get", TTL + ": TTL 0; in a quorum queue it lives to the end of the millisecond")
def zero_get(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0", expiration="0")
    a.confirms(1)
    a.ask("basic.get", queue="cf.q")


CONSUMERS = {
    f"{kind}-{'no-ack' if no_ack else 'ack'}": (arguments, no_ack)
    for kind, arguments in KINDS.items()
    for no_ack in (False, True)
}


@family("ttl/zero-consumed", TTL + ": TTL 0 with a consumer", CONSUMERS)
def zero_consumed(s: Stage, kind: dict[str, Any], no_ack: bool) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=kind)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t", no_ack=no_ack)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0", expiration="0")
    a.confirms(1)
    a.expect(1, 2)
    if not no_ack and not kind:
        a.send("basic.nack", 2, delivery_tag=1, requeue=True)
        a.idle(2)
        a.eventually("message_count=0", "queue.declare", queue="cf.q", passive=True)


@scenario("ttl/zero-behind-another", TTL + ": TTL 0 behind a message that lives")
def zero_behind(s: Stage) -> None:
    a = with_grave(s)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1", expiration="0")
    a.confirms(2)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.get", queue="cf.q")
    a.expect(1, 2)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    drained(a)


@scenario("ttl/in-transaction", TTL + "; 0-9-1 1.9 tx: TTL begins at commit")
def in_transaction(s: Stage) -> None:
    a = with_grave(s)
    a.ask("tx.select")
    a.publish("", "cf.q", b"0", expiration="200")
    s.elapse(300)
    a.ask("tx.commit")
    a.ask("basic.get", queue="cf.q")


@scenario(
    "ttl/requeued-keeps-place-of-head",
    TTL + ": a requeued head that has expired leaves, those behind it wait",
)
def requeued_head(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0", expiration="30")
    a.publish("", "cf.q", b"1")
    a.ask("basic.get", queue="cf.q")
    s.elapse(80)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.expect(1, 2)
    drained(a)


@family("ttl/shared-by-two-queues", TTL, {"first-shorter": (20, 60000), "second-shorter": (60000, 20)})
def shared(s: Stage, first: int, second: int) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    for number, ttl in enumerate((first, second)):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
        a.ask("queue.declare", queue=f"cf.q{number}", arguments={"x-message-ttl": ttl, **dead})
        a.ask("queue.bind", queue=f"cf.q{number}", exchange="amq.fanout")
    a.publish("amq.fanout", "k", b"x", expiration="50000")
    a.expect(1, 2)
    for number in range(2):
        a.ask("basic.get", queue=f"cf.q{number}")


@scenario("ttl/quorum-requeued", TTL)
def quorum_requeued(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={**QUORUM, **dead, "x-message-ttl": 30})
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    a.ask("basic.get", queue="cf.q")
    s.elapse(80)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.expect(1, 2)


EXPIRATIONS = ("+5000", "-0", "0000005000", "315360000000", "315360000001", " 5", "5 ", "0x10", "1e3", "٣")


@family("ttl/expiration", TTL + ": a number in decimal digits", {repr(each): each for each in EXPIRATIONS})
def expiration(s: Stage, value: str) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0", expiration=value)
    a.idle()
    if 1 in a.open_channels:
        a.ask("basic.get", queue="cf.q")

"""Full queues beside others: fanout, transactions, mandatory, dead letters; what counts as length."""

from typing import Any

from conformance.scenarios.limits import PAGE, drained
from conformance.scenarios.ttl import with_grave
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")


def full_and_free(s: Stage, overflow: str, **arguments: Any) -> Peer:
    """A fanout exchange to cf.full, which holds the one message that it may hold, and to cf.free. Channel 2 consumes
    dead letters."""
    a = s.connect(channels=(1, 2, 3))
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.dlq")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
    given = {"x-max-length": 1, "x-overflow": overflow, **dead, **arguments}
    a.ask("queue.declare", queue="cf.full", durable=True, arguments=given)
    a.ask("queue.declare", queue="cf.free", durable=True)
    for queue in ("cf.full", "cf.free"):
        a.ask("queue.bind", queue=queue, exchange="cf.x")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.ask("confirm.select", 3)
    a.publish("", "cf.full", b"first", 3)
    a.confirms(1, 3)
    return a


def taken(a: Peer, *queues: str) -> None:
    """Note what is in the queues."""
    for queue in queues:
        while a.ask("basic.get", queue=queue, no_ack=True).name == "basic.get-ok":
            pass


@family("limits/full-beside-free", PAGE + ": one refusing queue makes a nack, the others keep it", {
    f"{overflow}{'-mandatory' if mandatory else ''}": (overflow, mandatory)
    for overflow in OVERFLOWS for mandatory in (False, True)
})  # fmt: skip
def beside(s: Stage, overflow: str, mandatory: bool) -> None:
    a = full_and_free(s, overflow)
    a.publish("cf.x", "k", b"second", 3, mandatory=mandatory, delivery_mode=2)
    a.confirms(1, 3)
    a.idle(3)
    taken(a, "cf.full", "cf.free")
    a.idle(2)


@family("limits/full-beside-free-tx", PAGE + "; 0-9-1 1.9 tx", {overflow: overflow for overflow in OVERFLOWS})
def beside_tx(s: Stage, overflow: str) -> None:
    a = full_and_free(s, overflow)
    a.ask("tx.select")
    a.publish("cf.x", "k", b"second", mandatory=True)
    a.publish("", "cf.none", b"third", mandatory=True)
    a.publish("", "cf.free", b"fourth")
    a.ask("tx.commit")
    a.idle(1)
    taken(s.connect("b"), "cf.full", "cf.free")
    a.idle(2)


@family(
    "limits/mandatory", PAGE + ": mandatory is about routing", {overflow: overflow for overflow in OVERFLOWS}
)
def mandatory_full(s: Stage, overflow: str) -> None:
    a = full_and_free(s, overflow)
    a.publish("", "cf.full", b"second", 3, mandatory=True)
    a.confirms(1, 3)
    a.idle(3)
    taken(a, "cf.full")


COUNTED: dict[str, dict[str, Any]] = {
    "classic": {},
    "quorum": {"x-queue-type": "quorum"},
}


@family("limits/bytes-count", PAGE + ": bodies; quorum queues count properties since 4.3", COUNTED)
def counted(s: Stage, kind: dict[str, Any]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-max-length-bytes": 100, **kind})
    a.ask("confirm.select")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number * 10, headers={"long": "x" * 60}, message_id="m" * 20)
        a.confirms(1)
    drained(a)


@family("limits/bytes-empty-bodies", PAGE, COUNTED)
def empty_bodies(s: Stage, kind: dict[str, Any]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-max-length-bytes": 0, **kind})
    a.ask("confirm.select")
    for _ in range(3):
        a.publish("", "cf.q", b"")
        a.confirms(1)
    a.eventually("message_count", "queue.declare", queue="cf.q", passive=True)
    drained(a)


WAITING = {
    f"{overflow}-{'no-ack' if no_ack else 'ack'}": (overflow, no_ack)
    for overflow in OVERFLOWS
    for no_ack in (False, True)
}


@family(
    "limits/zero-with-consumer", PAGE + ": is a message that somebody waits for within the limit", WAITING
)
def zero_waiting(s: Stage, overflow: str, no_ack: bool) -> None:
    a = with_grave(s, **{"x-max-length": 0, "x-overflow": overflow})
    a.ask("basic.consume", 3, queue="cf.q", consumer_tag="t", no_ack=no_ack)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    a.idle(3)
    a.idle(2)


@scenario("limits/expired-make-room", PAGE + "; rabbitmq.com/docs/ttl: with reject-publish")
def expired_make_room(s: Stage) -> None:
    a = with_grave(s, **{"x-max-length": 1, "x-overflow": "reject-publish", "x-message-ttl": 30})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.confirms(2)
    a.expect(1, 2)
    a.publish("", "cf.q", b"2")
    a.confirms(1)
    a.expect(1, 2)


@family(
    "limits/ttl-zero-into-full",
    PAGE + "; rabbitmq.com/docs/ttl",
    {overflow: overflow for overflow in OVERFLOWS},
)
def ttl_zero_full(s: Stage, overflow: str) -> None:
    a = with_grave(s, **{"x-max-length": 1, "x-overflow": overflow})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"first")
    a.publish("", "cf.q", b"second", expiration="0")
    a.confirms(2)
    drained(a)
    a.idle(2)


@family(
    "limits/dead-letter-into-full",
    PAGE + "; rabbitmq.com/docs/dlx",
    {overflow: overflow for overflow in OVERFLOWS},
)
def dead_into_full(s: Stage, overflow: str) -> None:
    a = full_and_free(s, overflow)
    dead = {"x-dead-letter-exchange": "cf.x"}
    a.ask("queue.declare", queue="cf.q", arguments=dead)
    a.publish("", "cf.q", b"second")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("message_count=1", "queue.declare", queue="cf.free", passive=True)
    s.elapse(20)
    taken(a, "cf.full", "cf.free")
    a.idle(2)


@family(
    "limits/dead-letters-to-itself",
    PAGE + "; rabbitmq.com/docs/dlx",
    {overflow: overflow for overflow in OVERFLOWS},
)
def to_itself(s: Stage, overflow: str) -> None:
    a = s.connect()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.q"}
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 1, "x-overflow": overflow, **dead})
    a.ask("confirm.select")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number)
        a.confirms(1)
    s.elapse(20)
    drained(a)


@family(
    "limits/one-dies-into-the-other",
    PAGE + "; rabbitmq.com/docs/dlx",
    {overflow: overflow for overflow in OVERFLOWS},
)
def into_other(s: Stage, overflow: str) -> None:
    a = s.connect()
    for queue, other in (("cf.q", "cf.q2"), ("cf.q2", "cf.q")):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": other}
        a.ask("queue.declare", queue=queue, arguments={"x-max-length": 1, "x-overflow": overflow, **dead})
    a.ask("confirm.select")
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number)
        a.confirms(1)
    s.elapse(30)
    taken(a, "cf.q", "cf.q2")


@scenario(
    "limits/priorities-requeued", PAGE + "; rabbitmq.com/docs/priority: the head is the highest priority"
)
def priorities_requeued(s: Stage) -> None:
    a = with_grave(s, **{"x-max-length": 2, "x-max-priority": 5})
    for body, priority in ((b"low", 1), (b"high", 5)):
        a.publish("", "cf.q", body, priority=priority)
    a.ask("basic.get", queue="cf.q")
    for body, priority in ((b"middle", 3), (b"lowest", 0)):
        a.publish("", "cf.q", body, priority=priority)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    drained(a)
    a.idle(2)


@scenario(
    "limits/priorities-with-ttl", PAGE + "; rabbitmq.com/docs/priority: an expired one behind others lingers"
)
def priorities_ttl(s: Stage) -> None:
    a = with_grave(s, **{"x-max-priority": 5})
    a.publish("", "cf.q", b"low", priority=1, expiration="20")
    a.publish("", "cf.q", b"high", priority=5)
    s.elapse(80)
    a.ask("queue.declare", queue="cf.q", passive=True)
    drained(a)
    a.idle(2)


@scenario("limits/bytes-priorities", PAGE + "; rabbitmq.com/docs/priority")
def bytes_priorities(s: Stage) -> None:
    a = with_grave(s, **{"x-max-length-bytes": 6, "x-max-priority": 5})
    for body, priority in ((b"aaa", 1), (b"bbb", 5), (b"cc", 1), (b"dddd", 2)):
        a.publish("", "cf.q", body, priority=priority)
    drained(a)
    a.idle(2)


@scenario("limits/quorum-unacked", PAGE + ": messages ready")
def quorum_unacked(s: Stage) -> None:
    a = s.connect()
    given = {"x-queue-type": "quorum", "x-max-length": 2}
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("confirm.select")
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number)
        a.confirms(1)
        a.ask("basic.get", queue="cf.q")
    for number in range(4, 7):
        a.publish("", "cf.q", b"%d" % number)
        a.confirms(1)
    drained(a)


@family(
    "limits/quorum-dead-letters",
    PAGE + "; rabbitmq.com/docs/dlx",
    {overflow: overflow for overflow in OVERFLOWS[::2]},
)
def quorum_dead(s: Stage, overflow: str) -> None:
    a = full_and_free(s, overflow, **{"x-queue-type": "quorum"})
    for body in (b"second", b"third"):
        a.publish("", "cf.full", body, 3)
        a.confirms(1, 3)
    a.expect(2, 2)
    taken(a, "cf.full")

"""Message TTL and queue expiry."""

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

TTL = "rabbitmq.com/docs/ttl"
EXPIRES = "rabbitmq.com/docs/ttl#queue-ttl"


def with_grave(s: Stage, **arguments: object) -> Peer:
    """A peer with queue cf.q that dead-letters to cf.dlq, and a consumer `dead` on channel 2 there."""
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.dlq")
    given = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq", **arguments}
    a.ask("queue.declare", queue="cf.q", arguments=given)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    return a


@scenario("ttl/queue", TTL)
def queue(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 30})
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.expect(2, 2)
    a.ask("basic.get", queue="cf.q")


@scenario("ttl/message", TTL)
def message(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"0", expiration="30")
    a.expect(1, 2)
    a.ask("basic.get", queue="cf.q")


@scenario("ttl/smaller-wins", TTL)
def smaller(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 60000})
    a.publish("", "cf.q", b"0", expiration="30")
    a.expect(1, 2)


@scenario("ttl/smaller-of-queue-wins", TTL)
def smaller_queue(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 30})
    a.publish("", "cf.q", b"0", expiration="60000")
    a.expect(1, 2)


@scenario("ttl/expires-at-the-head-only", TTL + "#per-message-ttl-caveats")
def head_only(s: Stage) -> None:
    a = with_grave(s)
    a.publish("", "cf.q", b"live")
    a.publish("", "cf.q", b"short", expiration="1")
    a.publish("", "cf.q", b"last")
    s.elapse(60)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.expect(1, 2)


@scenario("ttl/zero-without-consumer", TTL + ": TTL 0")
def zero(s: Stage) -> None:
    a = with_grave(s)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0", expiration="0", mandatory=True)
    a.confirms(1)
    a.expect(1, 2)


@scenario("ttl/zero-with-consumer", TTL + ": TTL 0 with a consumer ready")
def zero_consumer(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 0})
    a.ask("basic.consume", 3, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    a.expect(1, 3)


@scenario("ttl/zero-with-busy-consumer", TTL + ": TTL 0 with a consumer at its prefetch limit")
def zero_busy(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 0})
    a.ask("basic.qos", 3, prefetch_count=1)
    a.ask("basic.consume", 3, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.expect(1, 3)
    a.expect(1, 2)


@scenario("ttl/requeued-expires", TTL + ": expiry survives a requeue")
def requeued(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 30})
    a.ask("basic.consume", 3, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    a.expect(1, 3)
    a.ask("basic.cancel", 3, consumer_tag="t")
    a.send("basic.nack", 3, delivery_tag=1, requeue=True)
    a.expect(1, 2)


@scenario("ttl/delivered-keeps-expiration", TTL)
def delivered(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-message-ttl": 60000})
    a.publish("", "cf.q", b"0", expiration="50000")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.ask("basic.get", queue="cf.q")


@scenario("ttl/unacked-does-not-expire", TTL)
def unacked(s: Stage) -> None:
    a = with_grave(s, **{"x-message-ttl": 30})
    a.ask("basic.consume", 3, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"held")
    a.expect(1, 3)
    a.ask("basic.cancel", 3, consumer_tag="t")
    a.publish("", "cf.q", b"not held")
    a.expect(1, 2)
    a.send("basic.ack", 3, delivery_tag=1)
    a.idle(3)


@scenario("ttl/without-dlx", TTL)
def without_dlx(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-message-ttl": 20})
    a.publish("", "cf.q", b"0")
    a.idle()
    s.elapse(50)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.get", queue="cf.q")


@scenario("ttl/several-in-order", TTL)
def several(s: Stage) -> None:
    a = with_grave(s)
    for number, ttl in enumerate(("90", "30", "60")):
        a.publish("", "cf.q", b"%d" % number, expiration=ttl)
    a.expect(3, 2)


@scenario("ttl/quorum", TTL)
def quorum(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    arguments = {
        "x-queue-type": "quorum", "x-message-ttl": 30, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "cf.dlq",
    }  # fmt: skip
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=arguments)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1", expiration="10")
    a.expect(2, 2)


@scenario("ttl/expires", EXPIRES)
def expires(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 40})
    a.ask("queue.bind", queue="cf.q", exchange="amq.direct", routing_key="cf.k")
    s.gone("cf.q")
    a.publish("amq.direct", "cf.k", b"x", mandatory=True)
    a.expect()
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("ttl/expires-not-with-consumer", EXPIRES)
def expires_consumer(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 60})
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    s.elapse(150)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.cancel", consumer_tag="t")
    s.gone("cf.q")


RENEWALS: dict[str, tuple[str, dict[str, object]]] = {
    "declare": ("queue.declare", {"arguments": {"x-expires": 1000}}),
    "passive": ("queue.declare", {"passive": True}),
    "get": ("basic.get", {}),
}


@family("ttl/expires-renewed-by", EXPIRES, RENEWALS)
def expires_renewed(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 1000})
    s.elapse(600)
    a.ask(name, queue="cf.q", **arguments)
    s.elapse(600)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("ttl/expires-drops-messages", EXPIRES + ": contents are not dead-lettered")
def expires_messages(s: Stage) -> None:
    a = with_grave(s, **{"x-expires": 40})
    a.publish("", "cf.q", b"lost")
    s.gone("cf.q")
    a.idle(2)


@scenario("ttl/expires-with-unacked", EXPIRES)
def expires_unacked(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 60})
    a.publish("", "cf.q", b"held")
    a.ask("basic.get", queue="cf.q")
    s.gone("cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.idle()


ROUTES = {"own-queue": "cf.q", "missing": "cf.none"}


@family("ttl/dead-lettered-to", TTL + "; rabbitmq.com/docs/dlx", ROUTES)
def dead_lettered_to(s: Stage, key: str) -> None:
    a = s.connect()
    arguments = {"x-message-ttl": 20, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": key}
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.publish("", "cf.q", b"0")
    a.idle()
    s.elapse(60)
    a.ask("basic.get", queue="cf.q")

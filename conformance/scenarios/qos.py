"""basic.qos: prefetch per consumer and per channel."""

from conformance.scenarios.consume import filled
from conformance.stage import Stage, family, scenario

QOS = "0-9-1 1.8.3.1 basic.qos"
PREFETCH = "rabbitmq.com/docs/consumer-prefetch"


@scenario("qos/prefetch-size", QOS + ": prefetch-size is not implemented: 540")
def prefetch_size(s: Stage) -> None:
    s.connect().ask("basic.qos", prefetch_size=10)


@scenario("qos/prefetch-size-global", QOS + ": prefetch-size is not implemented: 540")
def prefetch_size_global(s: Stage) -> None:
    s.connect().ask("basic.qos", prefetch_size=1, prefetch_count=1, global_=True)


@scenario("qos/prefetch", PREFETCH)
def prefetch(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(5)))
    a.ask("basic.qos", prefetch_count=2)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(2)
    a.send("basic.ack", delivery_tag=1)
    a.expect()
    a.send("basic.ack", delivery_tag=3, multiple=True)
    a.expect(2)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("qos/each-consumer-its-own", PREFETCH + ": global=false counts per consumer")
def each_its_own(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(5)))
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.expect()
    a.ask("basic.consume", queue="cf.q", consumer_tag="t2")
    a.expect()
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("qos/later-consumers-only", PREFETCH + ": running consumers keep the old value")
def later_only(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(5)))
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.expect()
    a.ask("basic.qos", prefetch_count=3)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.idle()
    a.ask("basic.consume", queue="cf.q", consumer_tag="t2")
    a.expect(3)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("qos/zero-is-unlimited", PREFETCH)
def zero(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.qos", prefetch_count=0)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(3)


@scenario("qos/no-ack-is-unlimited", PREFETCH)
def no_ack(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
    a.expect(3)


@scenario("qos/get-is-not-counted", PREFETCH)
def get_not_counted(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("basic.get", queue="cf.q")


@scenario("qos/nack-frees", PREFETCH)
def nack_frees(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.nack", delivery_tag=1)
    a.expect()
    a.send("basic.reject", delivery_tag=2)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("qos/global", PREFETCH + "; rabbitmq.com/docs/deprecated-features-list: global_qos")
def global_limit(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(6)))
    a.ask("basic.qos", prefetch_count=2, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t2")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.idle()


@scenario("qos/global-and-each", PREFETCH)
def global_and_each(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(6)))
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.qos", prefetch_count=3, global_=True)
    for tag in ("t1", "t2"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.idle()


@scenario("qos/global-takes-effect-at-once", PREFETCH)
def global_at_once(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("confirm.select", 2)
    a.publish("", "cf.q", b"0", 2)
    a.publish("", "cf.q", b"1", 2)
    a.confirms(2, 2)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.idle()


@scenario("qos/per-channel", PREFETCH)
def per_channel(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", channels=(1, 2))
    a.ask("basic.qos", 1, prefetch_count=1)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    a.expect(1, 1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2")
    a.expect(2, 2)


LIFTED: dict[str, int] = {"5": 5, "0": 0}


@family("qos/each-after-global", PREFETCH + ": the channel's limit goes with the next global=false", LIFTED)
def each_after_global(s: Stage, count: int) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("confirm.select", 2)
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number, 2)
    a.confirms(3, 2)
    a.expect()
    a.idle()
    a.ask("basic.qos", prefetch_count=count)
    s.elapse(20)
    a.idle()
    a.send("basic.ack", delivery_tag=1)
    s.elapse(20)
    a.idle()


@scenario("qos/each-after-global-quorum", PREFETCH)
def each_after_global_quorum(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("basic.qos", prefetch_count=5)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")

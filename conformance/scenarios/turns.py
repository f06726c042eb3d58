"""Delivery order when several consumers of a channel regain credit."""

from conformance.scenarios.consume import filled
from conformance.stage import Stage, scenario
from conformance.wire import Peer

TURNS = (
    "rabbitmq.com/docs/consumer-prefetch; rabbit_channel:foreach_per_queue/3: consumer by consumer, by tag"
)
GLOBAL = "rabbitmq.com/docs/consumer-prefetch: global=true; rabbit_limiter"


def _two(s: Stage, count: int, *tags: str) -> Peer:
    """Consumers with a prefetch count of 2 that have got what they can of `count` messages, in the order of tags."""
    a = filled(s, *(b"%d" % n for n in range(count)), channels=(1, 2))
    a.ask("basic.qos", prefetch_count=2)
    for tag in tags:
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
        a.expect(2)
    return a


@scenario("settle/ack-of-three-consumers", TURNS)
def acks(s: Stage) -> None:
    a = _two(s, 12, "c", "b", "a")
    a.send("basic.ack", delivery_tag=3)
    a.expect()
    a.send("basic.ack", delivery_tag=0, multiple=True)
    a.expect(5)


@scenario("settle/requeue-of-two-consumers", TURNS)
def requeued(s: Stage) -> None:
    a = _two(s, 8, "u", "t")
    a.send("basic.nack", delivery_tag=4, multiple=True, requeue=True)
    a.expect(4)
    a.send("basic.recover", requeue=True)
    a.expect(5)
    a.ask("basic.qos", prefetch_count=3)
    a.ask("basic.consume", queue="cf.q", consumer_tag="a")
    a.expect(3)
    a.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    a.expect(7)


@scenario("settle/requeue-of-get-and-consumer", TURNS)
def requeued_get(s: Stage) -> None:
    a = _two(s, 6, "t")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, multiple=True, requeue=True)
    a.expect(2)
    a.ask("basic.get", queue="cf.q")


@scenario("settle/reject-of-two-consumers", TURNS + "; rabbitmq.com/docs/dlx")
def rejected(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    target = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dead"}
    a.ask("queue.declare", queue="cf.q", arguments=target)
    a.ask("queue.declare", queue="cf.dead")
    for number in range(8):
        a.publish("", "cf.q", b"%d" % number)
    a.ask("basic.qos", prefetch_count=2)
    for tag in ("u", "t"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
        a.expect(2)
    a.send("basic.nack", delivery_tag=4, multiple=True)
    a.expect(4)
    a.eventually("message_count=4", "queue.declare", 2, queue="cf.dead", passive=True)
    for _ in range(4):
        a.ask("basic.get", 2, queue="cf.dead", no_ack=True)


@scenario("settle/commit-of-two-consumers", TURNS)
def committed(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(8)))
    a.ask("tx.select")
    a.ask("basic.qos", prefetch_count=2)
    for tag in ("u", "t"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
        a.expect(2)
    a.send("basic.ack", delivery_tag=4, multiple=True)
    a.ask("tx.commit")
    a.expect(4)


@scenario("settle/window-of-three", "rabbitmq.com/docs/consumer-prefetch")
def window(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(8)))
    a.ask("basic.qos", prefetch_count=3)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(3)
    a.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    a.expect(2)
    a.send("basic.ack", delivery_tag=3)
    a.expect()
    a.send("basic.ack", delivery_tag=0, multiple=True)
    a.expect(3)


@scenario("qos/global-in-turn", GLOBAL, profiles=("4.0", "3.10"))
def in_turn(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(10)))
    a.ask("basic.qos", prefetch_count=1, global_=True)
    for tag in ("t", "u", "v"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    a.expect()
    a.ask("basic.qos", prefetch_count=5, global_=True)
    a.expect(4)
    a.send("basic.ack", delivery_tag=5, multiple=True)
    a.expect(5)


@scenario(
    "qos/global-counts-what-was-got",
    GLOBAL + " begins with all that is outstanding",
    profiles=("4.0", "3.10"),
)
def counts_got(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(10)))
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.qos", prefetch_count=3, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2)
    a.send("basic.ack", delivery_tag=3)
    a.expect()
    a.idle()
    a.ask("basic.qos", prefetch_count=0, global_=True)
    a.expect(5)
    a.idle()


@scenario(
    "qos/global-holds-up-no-ack", GLOBAL + ": whoever asks while it is reached", profiles=("4.0", "3.10")
)
def holds_up_no_ack(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("queue.declare", queue="cf.q2")
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("basic.consume", queue="cf.q2", consumer_tag="u", no_ack=True)
    a.publish("", "cf.q2", b"x", 2)
    a.eventually("message_count=1", "queue.declare", 2, queue="cf.q2", passive=True)
    a.send("basic.ack", delivery_tag=1)
    a.expect()


@scenario("qos/global-alone-leaves-no-ack", GLOBAL)
def leaves_no_ack(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(4)), channels=(1, 2))
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
    a.expect(4)


@scenario("qos/global-of-one-channel", GLOBAL)
def one_channel(s: Stage) -> None:
    a = filled(s, *(b"%d" % n for n in range(4)), channels=(1, 2))
    a.ask("basic.qos", 1, prefetch_count=1, global_=True)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.expect(1, 1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")
    a.expect(3, 2)

"""basic.consume, deliver, cancel and get."""

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

CONSUME = "0-9-1 1.8.3.3 basic.consume"
CANCEL = "0-9-1 1.8.3.5 basic.cancel"
GET = "0-9-1 1.8.3.10 basic.get"


def filled(s: Stage, *bodies: bytes, channels: tuple[int, ...] = (1,)) -> Peer:
    """A peer that has declared cf.q and published the bodies to it."""
    a = s.connect(channels=channels)
    a.ask("queue.declare", queue="cf.q")
    for body in bodies:
        a.publish("", "cf.q", body)
    return a


@scenario("consume/deliver", CONSUME)
def deliver(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.send("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(3)
    a.publish("", "cf.q", b"2")
    a.expect()


@scenario("consume/server-tag", CONSUME + ": empty tag")
def server_tag(s: Stage) -> None:
    a = filled(s, b"0")
    tag = a.ask("basic.consume", queue="cf.q").text("consumer_tag")
    a.expect()
    a.ask("basic.cancel", consumer_tag=tag)


@scenario("consume/duplicate-tag", CONSUME + ": 530")
def duplicate_tag(s: Stage) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")


@scenario("consume/same-tag-on-two-channels", CONSUME + ": tags belong to the channel")
def same_tag(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")


@scenario("consume/tag-again-after-cancel", CANCEL)
def tag_again(s: Stage) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("basic.cancel", consumer_tag="t")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")


@scenario("consume/missing-queue", CONSUME + ": 404")
def missing_queue(s: Stage) -> None:
    s.connect().ask("basic.consume", queue="cf.none", consumer_tag="t")


@scenario("consume/missing-queue-nowait", CONSUME + ": nowait")
def missing_queue_nowait(s: Stage) -> None:
    a = s.connect()
    a.send("basic.consume", queue="cf.none", consumer_tag="t", nowait=True)
    a.idle()


@scenario("consume/no-last-declared", CONSUME + ": empty name with no queue declared before")
def no_last(s: Stage) -> None:
    s.connect().ask("basic.consume", consumer_tag="t")


@scenario("consume/nowait", CONSUME + ": nowait")
def nowait(s: Stage) -> None:
    a = filled(s, b"0")
    a.send("basic.consume", queue="cf.q", consumer_tag="t", nowait=True)
    a.expect()


@scenario("consume/nowait-without-tag", CONSUME + ": nowait with an empty tag")
def nowait_without_tag(s: Stage) -> None:
    a = filled(s, b"0")
    a.send("basic.consume", queue="cf.q", nowait=True)
    a.expect()


@scenario("consume/no-ack", CONSUME + ": no-ack; tags count no-ack deliveries too")
def no_ack(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
    a.expect(2)
    a.ask("basic.cancel", consumer_tag="t")
    a.publish("", "cf.q", b"2")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@scenario("consume/no-local", CONSUME + ": no-local is not implemented and ignored")
def no_local(s: Stage) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_local=True)
    a.publish("", "cf.q", b"own")
    a.expect()


@scenario("consume/two-channels-tags", "0-9-1 2.3.5.3: delivery tags count per channel")
def two_channels(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", 1, queue="cf.q")
    a.publish("", "cf.q", b"1")
    a.idle()
    a.ask("basic.get", 2, queue="cf.q")


@scenario("consume/round-robin", "rabbitmq.com/docs/consumers: round-robin")
def round_robin(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.q")
    for channel in (1, 2, 3):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}")
    for body in (b"0", b"1", b"2", b"3", b"4", b"5"):
        a.publish("", "cf.q", body)
    for channel in (1, 2, 3):
        a.expect(2, channel)


@scenario("consume/round-robin-on-one-channel", "rabbitmq.com/docs/consumers: round-robin")
def round_robin_one(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for tag in ("t1", "t2"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    for body in (b"0", b"1", b"2", b"3"):
        a.publish("", "cf.q", body)
    a.expect(4)


@scenario("consume/round-robin-skips-busy", "rabbitmq.com/docs/consumer-prefetch")
def round_robin_busy(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.qos", 1, prefetch_count=1)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2")
    for body in (b"0", b"1", b"2", b"3"):
        a.publish("", "cf.q", body)
    a.expect(1, 1)
    a.expect(3, 2)
    a.send("basic.ack", delivery_tag=1)
    a.publish("", "cf.q", b"4")
    a.publish("", "cf.q", b"5")
    a.expect(1, 1)
    a.expect(1, 2)


PRIORITIES: dict[str, object] = {
    "string": "1",
    "bool": True,
    "void": None,
    "int64": Typed("l", 2**40),
    "negative": -10,
    "byte": Typed("b", 3),
    "double": 1.0,
    "timestamp": Typed("T", 5),
}


@family("consume/priority-argument", "rabbitmq.com/docs/consumer-priority", PRIORITIES)
def priority_argument(s: Stage, value: object) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-priority": value})


@scenario("consume/priority", "rabbitmq.com/docs/consumer-priority")
def priority(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.qos", prefetch_count=2)
    for tag, arguments in (("none", {}), ("high", {"x-priority": 10}), ("low", {"x-priority": -1})):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag, arguments=arguments)
    for number in range(7):
        a.publish("", "cf.q", b"%d" % number)
    a.expect(6)
    a.send("basic.ack", delivery_tag=6)
    a.expect()


ARGUMENTS: dict[str, dict[str, object]] = {
    "unknown": {"x-unknown": 1, "foo": "bar"},
    "stream-offset": {"x-stream-offset": "first"},
    "cancel-on-ha-failover": {"x-cancel-on-ha-failover": True},
    "credit": {"x-credit": {"credit": 1, "drain": False}},
    "stream-filter": {"x-stream-filter": "x"},
}


@family("consume/argument", "rabbitmq.com/docs/consumers", ARGUMENTS)
def arguments(s: Stage, given: dict[str, object]) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments=given)


@scenario("consume/exclusive-second", CONSUME + ": exclusive: 403")
def exclusive_second(s: Stage) -> None:
    a = filled(s, b"0", b"1", channels=(1, 2))
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t", exclusive=True)
    a.expect()
    a.ask("basic.get", 1, queue="cf.q", no_ack=True)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="u")


@scenario("consume/exclusive-while-others", CONSUME + ": exclusive: 403")
def exclusive_others(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="u", exclusive=True)


@scenario("consume/exclusive-after-cancel", CONSUME + ": exclusive")
def exclusive_after(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t", exclusive=True)
    a.ask("basic.cancel", 1, consumer_tag="t")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="u", exclusive=True)


@scenario("consume/cancel-unknown", CANCEL + ": an unknown tag is fine")
def cancel_unknown(s: Stage) -> None:
    s.connect().ask("basic.cancel", consumer_tag="none")


@scenario("consume/cancel-nowait", CANCEL + ": nowait")
def cancel_nowait(s: Stage) -> None:
    a = filled(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.send("basic.cancel", consumer_tag="t", nowait=True)
    a.publish("", "cf.q", b"stays")
    a.idle()
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("consume/cancel-keeps-unacked", CANCEL + ": what was delivered may still be acked")
def cancel_unacked(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", channels=(1, 2))
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(3)
    a.ask("basic.cancel", consumer_tag="t")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.ack", delivery_tag=2)
    a.idle()
    a.ask("channel.close")
    a.eventually("message_count=2", "queue.declare", 2, queue="cf.q", passive=True)


@scenario("consume/deliver-several-frames", "0-9-1 4.2.6.2: content is cut at frame-max minus 8")
def several_frames(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b", frame_max=8192)
    a.ask("queue.declare", queue="cf.q")
    for size, frames in ((10000, 4), (8184, 3), (0, 2)):
        a.publish("", "cf.q", b"y" * size)
        a.idle()
        b.send("basic.get", queue="cf.q", no_ack=True)
        b.frames(frames)


@scenario("consume/get", GET)
def get(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q")


@scenario("consume/get-missing", GET + ": 404")
def get_missing(s: Stage) -> None:
    s.connect().ask("basic.get", queue="cf.none")


@scenario("consume/get-shares-tags", "0-9-1 2.3.5.3: get-ok and deliver count together")
def get_shares(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"1")
    a.expect()
    a.ask("basic.cancel", consumer_tag="t")
    a.publish("", "cf.q", b"2")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.publish("", "cf.q", b"3")
    a.ask("basic.get", queue="cf.q")


@scenario("consume/deliver-across-connections", CONSUME)
def across(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q")
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"x", correlation_id="1")
    b.expect()


@scenario("consume/redelivered-after-connection-loss", "rabbitmq.com/docs/confirms: automatic requeueing")
def connection_loss(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    b.expect()
    a.ask("basic.consume", queue="cf.q", consumer_tag="u")
    b.drop()
    a.expect()


@scenario("consume/many-consumers-counted", "0-9-1 1.7.2.2 declare-ok.consumer-count")
def counted(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="u")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("basic.cancel", consumer_tag="t")
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("consume/prefetch-of-three-in-turn", "rabbitmq.com/docs/consumers: fairness")
def many_in_turn(s: Stage) -> None:
    a = filled(s, channels=(1, 2, 3))
    for channel in (1, 2, 3):
        a.ask("basic.qos", channel, prefetch_count=2)
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}")
    for number in range(8):
        a.publish("", "cf.q", b"%d" % number)
    for channel in (1, 2, 3):
        a.expect(2, channel)
    a.send("basic.ack", 2, delivery_tag=2, multiple=True)
    a.expect(2, 2)


REFUSED: dict[str, dict[str, object]] = {
    "tag-then-queue": {"queue": "cf.none", "consumer_tag": "t"},
    "tag-then-argument": {"queue": "cf.q", "consumer_tag": "t", "arguments": {"x-priority": "a"}},
    "exclusive-and-argument": {"queue": "cf.q", "exclusive": True, "arguments": {"x-priority": "a"}},
    "queue-then-argument": {"queue": "cf.none", "arguments": {"x-priority": "a"}},
}


@family("consume/order-of-checks", CONSUME + ": which error comes first", REFUSED)
def order_of_checks(s: Stage, arguments: dict[str, object]) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("basic.consume", **arguments)


@scenario("consume/order-of-checks-locked", CONSUME + "; rabbitmq.com/docs/queues#exclusive-queues")
def order_of_checks_locked(s: Stage) -> None:
    a, b = s.connect("a"), s.connect("b")
    a.ask("queue.declare", queue="cf.q", exclusive=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", exclusive=True)
    b.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-priority": "a"})


@scenario(
    "consume/queue-deleted-under-several", "rabbitmq.com/docs/consumer-cancel: in which order they hear of it"
)
def deleted_under(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    for tag in ("b", "a", "c"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    a.expect()
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="x")
    a.send("queue.delete", queue="cf.q")
    a.expect(4)
    a.expect(1, 2)
    a.send("basic.ack", delivery_tag=1)
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="a")


@scenario(
    "consume/queue-deleted-then-requeued", "0-9-1 1.7.2.9 queue.delete: what was delivered does not come back"
)
def deleted_then_requeued(s: Stage) -> None:
    a = filled(s, b"0", b"1", channels=(1, 2))
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.delete", 2, queue="cf.q")
    a.ask("queue.declare", 2, queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.ask("basic.recover", requeue=True)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


ODD_CAPABILITIES: dict[str, object] = {"int": 1, "string": "true", "void": None, "false": False}


@family("consume/odd-capability", "rabbitmq.com/docs/consumer-cancel: true alone counts", ODD_CAPABILITIES)
def odd_capability(s: Stage, value: object) -> None:
    a = s.connect(capabilities={"consumer_cancel_notify": value})  # type: ignore[dict-item]
    b = s.connect("b")
    b.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    b.ask("queue.delete", queue="cf.q")
    a.idle()
    a.ask("basic.cancel", consumer_tag="t")

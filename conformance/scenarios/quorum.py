"""Quorum queues, where they differ from classic ones."""

from collections.abc import Mapping
from types import MappingProxyType

from conformance.scenarios.limits import drained
from conformance.stage import CAPABILITIES, Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/quorum-queues"
POISON = PAGE + "#poison-message-handling"


def quorum(
    s: Stage,
    *bodies: bytes,
    channels: tuple[int, ...] = (1,),
    arguments: Mapping[str, object] = MappingProxyType({}),
) -> Peer:
    """A peer with quorum queue cf.q that holds the bodies; channel 9 publishes in confirm mode."""
    a = s.connect(channels=(*channels, 9))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum", **arguments})
    a.ask("confirm.select", 9)
    for body in bodies:
        a.publish("", "cf.q", body, 9)
    a.confirms(len(bodies), 9)
    return a


DELETED: dict[str, dict[str, object]] = {
    "if-unused": {"if_unused": True},
    "if-empty": {"if_empty": True},
    "plain": {},
}


@family("quorum/delete", PAGE, DELETED)
def delete(s: Stage, arguments: dict[str, object]) -> None:
    a = quorum(s, b"0")
    a.ask("queue.delete", queue="cf.q", **arguments)


@scenario("quorum/get-and-ack", PAGE)
def get(s: Stage) -> None:
    a = quorum(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@family(
    "quorum/get-before-expired",
    PAGE + ": message_count holds what has expired behind the message given, unless that is settled at once",
    {"ack": {}, "no-ack": {"no_ack": True}},
)
def get_before_expired(s: Stage, arguments: dict[str, object]) -> None:
    a = quorum(s, b"0")
    a.publish("", "cf.q", b"1", expiration="1")
    s.elapse(60)
    a.ask("basic.get", queue="cf.q", **arguments)
    a.eventually("message_count=0", "queue.declare", queue="cf.q", passive=True)
    a.ask("basic.get", queue="cf.q")


@family(
    "quorum/dead-letter-after-returns-by",
    PAGE + ": what was counted goes along with the copy",
    {"reject": "basic.reject", "nack": "basic.nack"},
)
def dead_letter_after_returns(s: Stage, name: str) -> None:
    a = quorum(s, b"0", channels=(1, 2), arguments={"x-dead-letter-exchange": ""})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.idle()
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("channel.close", 2, reply_code=200, reply_text="", class_id=0, method_id=0)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send(name, delivery_tag=2, requeue=False)
    a.expect()


@scenario("quorum/purge", PAGE)
def purge(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2")
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.purge", queue="cf.q")


RETURNS: dict[str, tuple[str, dict[str, object]]] = {
    "nack": ("basic.nack", {"requeue": True}),
    "reject": ("basic.reject", {"requeue": True}),
}


@family("quorum/returned-by", POISON + ": counts in headers", RETURNS)
def returned(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = quorum(s, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    for tag in (1, 2, 3):
        a.expect()
        a.send(name, delivery_tag=tag, **arguments)
    a.expect()


@scenario("quorum/returned-by-recover", POISON)
def recovered(s: Stage) -> None:
    a = quorum(s, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.recover", requeue=True)
    a.expect(2)


@scenario("quorum/returned-by-channel-close", POISON)
def closed(s: Stage) -> None:
    a = quorum(s, b"0", channels=(1, 2))
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("channel.close", 1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")
    a.expect(1, 2)


@scenario("quorum/returned-by-connection-loss", POISON)
def lost(s: Stage) -> None:
    a = quorum(s, b"0")
    b = s.connect("b")
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    b.expect()
    a.ask("basic.consume", queue="cf.q", consumer_tag="u")
    b.drop()
    a.expect()


@family("quorum/delivery-limit", POISON, RETURNS)
def limit(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    given = {
        "x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "cf.dlq",
    }  # fmt: skip
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    for tag in (1, 2):
        a.expect()
        a.send(name, delivery_tag=tag, **arguments)
    a.expect()
    a.send("basic.reject", delivery_tag=3, requeue=True)
    if name == "basic.reject" or s.profile != "4.3":
        a.expect(1, 2)
    else:
        a.expect(1, 1)
        a.idle(2)


@scenario("quorum/delivery-limit-zero", POISON)
def limit_zero(s: Stage) -> None:
    a = quorum(s, b"0", arguments={"x-delivery-limit": 0})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1, requeue=True)
    a.eventually("basic.get-empty", "basic.get", queue="cf.q")


@scenario("quorum/delivery-limit-default", POISON + ": 20 by default from 4.0 on")
def limit_default(s: Stage) -> None:
    a = quorum(s, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    note, a.note = a.note, lambda line: None
    for tag in range(1, 21):
        a.expect()
        a.send("basic.reject", delivery_tag=tag, requeue=True)
    a.note = note
    a.expect()
    a.send("basic.reject", delivery_tag=21, requeue=True)
    if s.profile == "3.10":
        a.expect()
        return
    a.eventually("message_count=0", "queue.declare", queue="cf.q", passive=True)
    a.idle()


@scenario("quorum/requeue-order", PAGE)
def requeue_order(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2", b"3")
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    for tag in (2, 1, 3):
        a.send("basic.nack", delivery_tag=tag, requeue=True)
    a.idle()
    a.eventually("message_count=4", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/requeue-multiple-order", PAGE)
def requeue_multiple(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2", b"3")
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, multiple=True, requeue=True)
    a.eventually("message_count=4", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/returned-before-priorities", PAGE + "#priorities")
def returned_priority(s: Stage) -> None:
    a = quorum(s, b"low")
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"high", 9, priority=9)
    a.confirms(1, 9)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.eventually("message_count=2", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/client-sent-counts", POISON)
def client_counts(s: Stage) -> None:
    a = quorum(s)
    a.publish("", "cf.q", b"0", 9, headers={"x-delivery-count": 7, "x-acquired-count": 8})
    a.confirms(1, 9)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.reject", delivery_tag=1, requeue=True)
    a.expect()


CONSUMERS: dict[str, dict[str, object]] = {
    "exclusive": {"exclusive": True},
    "no-ack": {"no_ack": True},
    "priority": {"arguments": {"x-priority": 5}},
    "stream-offset": {"arguments": {"x-stream-offset": "first"}},
    "unknown-argument": {"arguments": {"foo": 1}},
}


@family("quorum/consume", PAGE, CONSUMERS)
def consume(s: Stage, arguments: dict[str, object]) -> None:
    a = quorum(s, b"0", channels=(1, 2))
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", **arguments)
    if 1 in a.open_channels:
        a.expect()
        a.ask("basic.consume", 2, queue="cf.q", consumer_tag="u")


@scenario("quorum/global-qos", PAGE + "#global-qos")
def global_qos(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=1, global_=True)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.idle()


@scenario("quorum/prefetch", PAGE)
def prefetch(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    for tag in (1, 2):
        a.expect()
        a.send("basic.ack", delivery_tag=tag)
    a.expect()


@scenario("quorum/cancelled-consumer-still-counted", PAGE)
def cancelled(s: Stage) -> None:
    a = quorum(s, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("basic.cancel", consumer_tag="t")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.ack", delivery_tag=1)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)


@scenario("quorum/get-with-single-active-consumer", PAGE)
def get_sac(s: Stage) -> None:
    a = quorum(s, b"0", arguments={"x-single-active-consumer": True})
    a.ask("basic.get", queue="cf.q")


@scenario("quorum/delivery-mode-kept", PAGE)
def delivery_mode(s: Stage) -> None:
    a = quorum(s)
    for mode in (1, 2):
        a.publish("", "cf.q", b"x", 9, delivery_mode=mode)
    a.publish("", "cf.q", b"x", 9)
    a.confirms(3, 9)
    drained(a)


@scenario("quorum/headers-kept", PAGE)
def headers(s: Stage) -> None:
    a = quorum(s)
    a.publish(
        "",
        "cf.q",
        b"x",
        9,
        headers={"b": [1, {"c": None}], "a": b"\x00", "CC": ["cf.none"], "BCC": ["x"]},
        cluster_id="c",
        user_id=s.target.login[0],
    )
    a.confirms(1, 9)
    drained(a)


@scenario("quorum/deleted-with-consumer", "rabbitmq.com/docs/consumer-cancel")
def deleted(s: Stage) -> None:
    a = quorum(s)
    b = s.connect("b", capabilities=CAPABILITIES)
    b.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("queue.delete", queue="cf.q")
    b.expect()


@scenario("quorum/reject-publish", "rabbitmq.com/docs/maxlength")
def reject_publish(s: Stage) -> None:
    a = quorum(s, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    note, a.note = a.note, lambda line: None
    refused = False
    for _ in range(200):
        a.publish("", "cf.q", b"x", 9)
        refused = refused or a.expect(1, 9)[0].name == "basic.nack"
    note(f"refused sooner or later: {refused}")


@scenario("quorum/dead-letter-to-quorum", POISON + ": what a dead-lettered copy carries")
def to_quorum(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq", durable=True, arguments={"x-queue-type": "quorum"})
    given = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead")
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    for number, settle in enumerate(("basic.reject", "basic.nack")):
        a.publish("", "cf.q", b"%d" % number)
        a.expect()
        a.send(settle, delivery_tag=number + 1)
        a.expect(1, 2)


@scenario("quorum/dead-letter-at-least-once", PAGE + "#dead-lettering")
def at_least_once(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq", durable=True)
    given = {
        "x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq",
        "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
    }  # fmt: skip
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    a.expect()
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)


@family("quorum/order-of-returns-limit", POISON, {"none": {}, "negative": -1, "5": 5})
def returns_by_limit(s: Stage, limit: object) -> None:
    given = {"x-delivery-limit": limit} if limit else {}
    a = quorum(s, b"0", b"1", b"2", b"3", arguments=given)
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    for tag in (2, 1, 3):
        a.send("basic.nack", delivery_tag=tag, requeue=True)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/order-after-channel-close", POISON)
def returns_of_channel(s: Stage) -> None:
    a = quorum(s, b"0", b"1", b"2", channels=(1, 2))
    for _ in range(2):
        a.ask("basic.get", 2, queue="cf.q")
    a.ask("channel.close", 2)
    a.eventually("message_count=3", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/priorities-in-turn", PAGE + "#priorities")
def priorities_in_turn(s: Stage) -> None:
    a = quorum(s)
    for number, priority in enumerate((1, 9, 5, 4, 8, 1, 7, 7, 6, 2, 9, 0)):
        a.publish("", "cf.q", b"%d" % number, 9, priority=priority)
    a.confirms(12, 9)
    drained(a)


@scenario("quorum/priorities-expire", "rabbitmq.com/docs/ttl: at the head of a priority")
def priorities_expire(s: Stage) -> None:
    a = quorum(s)
    a.publish("", "cf.q", b"low", 9, priority=1, expiration="50")
    a.publish("", "cf.q", b"high", 9, priority=9)
    a.publish("", "cf.q", b"low, too", 9, priority=1)
    a.publish("", "cf.q", b"none", 9, expiration="50")
    a.confirms(4, 9)
    s.elapse(500)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("quorum/drop-head-takes-returned", "rabbitmq.com/docs/maxlength")
def drop_returned(s: Stage) -> None:
    a = quorum(s, b"0", b"1", arguments={"x-max-length": 2})
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"2", 9)
    a.confirms(1, 9)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("quorum/fetched-counts-as-consumer", PAGE)
def fetched(s: Stage) -> None:
    a = quorum(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.ack", delivery_tag=1)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)


@scenario("quorum/waiting-consumers-not-counted", "rabbitmq.com/docs/consumers#single-active-consumer")
def waiting(s: Stage) -> None:
    a = quorum(s, channels=(1, 2), arguments={"x-single-active-consumer": True})
    for channel in (1, 2):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}")
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("quorum/takeover-waits", "rabbitmq.com/docs/consumers#single-active-consumer: higher priority")
def takeover(s: Stage) -> None:
    a = quorum(s, b"0", b"1", channels=(1, 2), arguments={"x-single-active-consumer": True})
    for channel in (1, 2):
        a.ask("basic.qos", channel, prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="low")
    a.expect()
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="high", arguments={"x-priority": 5})
    a.idle(2)
    a.send("basic.ack", delivery_tag=1)
    a.expect(1, 1 if s.profile == "3.10" else 2)

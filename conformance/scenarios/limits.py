"""Length limits of queues, and what happens above them."""

from conformance.scenarios.ttl import with_grave
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/maxlength"


def drained(a: Peer, channel: int = 1) -> None:
    """Note the messages of cf.q, in order."""
    while a.ask("basic.get", channel, queue="cf.q", no_ack=True).name == "basic.get-ok":
        pass


LIMITS: dict[str, dict[str, object]] = {
    "messages": {"x-max-length": 2},
    "zero": {"x-max-length": 0},
    "bytes": {"x-max-length-bytes": 5},
    "bytes-zero": {"x-max-length-bytes": 0},
    "both": {"x-max-length": 3, "x-max-length-bytes": 4},
    "drop-head": {"x-max-length": 2, "x-overflow": "drop-head"},
    "reject": {"x-max-length": 2, "x-overflow": "reject-publish"},
    "reject-bytes": {"x-max-length-bytes": 5, "x-overflow": "reject-publish"},
    "reject-zero": {"x-max-length": 0, "x-overflow": "reject-publish"},
    "reject-dlx": {"x-max-length": 2, "x-overflow": "reject-publish-dlx"},
    "priority": {"x-max-length": 2, "x-max-priority": 5},
    "priority-reject": {"x-max-length": 2, "x-max-priority": 5, "x-overflow": "reject-publish"},
}


@family("limits/classic", PAGE, LIMITS)
def classic(s: Stage, arguments: dict[str, object]) -> None:
    a = with_grave(s, **arguments)
    a.ask("confirm.select")
    for number, (size, priority) in enumerate(((2, 1), (3, 5), (1, 2), (7, 1))):
        a.publish("", "cf.q", b"%d" % number * size, priority=priority)
        a.confirms(1)
    drained(a)
    a.idle(2)


@scenario("limits/unacked-do-not-count", PAGE + ": ready messages count")
def unacked(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 2})
    for number in range(2):
        a.publish("", "cf.q", b"%d" % number)
    a.ask("basic.get", queue="cf.q")
    for number in range(2, 4):
        a.publish("", "cf.q", b"%d" % number)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")


@scenario("limits/requeued-above", PAGE + ": a requeue above the limit drops from the head")
def requeued(s: Stage) -> None:
    a = with_grave(s, **{"x-max-length": 2})
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"2")
    a.publish("", "cf.q", b"3")
    a.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    drained(a)
    a.idle(2)


@scenario("limits/reject-requeued-above", PAGE + ": reject-publish does not touch requeued messages")
def reject_requeued(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"1")
    a.confirms(1)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.publish("", "cf.q", b"2")
    a.confirms(1)
    drained(a)


@scenario("limits/consumer-takes-before-limit", PAGE)
def consumer(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 0})
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")
    a.publish("", "cf.q", b"0")
    a.expect(1, 2)


@scenario("limits/reject-without-confirms", PAGE + ": refused messages are lost in silence")
def reject_silent(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number, mandatory=True)
    drained(a)


@scenario("limits/quorum-drop-head", PAGE)
def quorum(s: Stage) -> None:
    a = s.connect()
    a.ask(
        "queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 2}
    )
    a.ask("confirm.select")
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number)
        a.confirms(1)
    drained(a)


@scenario("limits/message-counts", PAGE)
def counts(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 3})
    a.ask("confirm.select")
    for number in range(5):
        a.publish("", "cf.q", b"%d" % number)
    a.confirms(5)
    a.ask("queue.declare", queue="cf.q", passive=True, arguments={})
    a.ask("basic.get", queue="cf.q")

"""Priority queues."""

from conformance.scenarios.limits import drained
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/priority"
PUBLISHED: tuple[tuple[str, int | None], ...] = (
    ("none", None), ("3", 3), ("9", 9), ("0", 0), ("3 again", 3), ("5", 5), ("255", 255),
)  # fmt: skip

QUEUES: dict[str, dict[str, object]] = {
    "5": {"x-max-priority": 5},
    "0": {"x-max-priority": 0},
    "1": {"x-max-priority": 1},
    "255": {"x-max-priority": 255},
    "absent": {},
    "quorum": {"x-queue-type": "quorum"},
}


@family("priority/order", PAGE, QUEUES)
def order(s: Stage, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=arguments)
    a.ask("confirm.select")
    for body, priority in PUBLISHED:
        a.publish("", "cf.q", body.encode(), **({} if priority is None else {"priority": priority}))  # type: ignore[arg-type]
    a.confirms(len(PUBLISHED))
    drained(a)


@scenario("priority/requeued", PAGE)
def requeued(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    for body, priority in ((b"low 0", 1), (b"low 1", 1), (b"high", 5)):
        a.publish("", "cf.q", body, priority=priority)
    for _ in range(2):
        a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"high too", priority=5)
    a.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    drained(a)


@scenario("priority/consumer-with-prefetch", PAGE + "#interaction-with-consumers")
def consumer(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number, priority=number)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.publish("", "cf.q", b"5", priority=5)
    a.idle()
    a.send("basic.ack", delivery_tag=1)
    a.expect()
    a.send("basic.ack", delivery_tag=2)
    a.expect()


@scenario("priority/purge-and-count", PAGE)
def purge(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number, priority=number)
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.purge", queue="cf.q")
    a.ask("queue.delete", queue="cf.q", if_empty=True)


@scenario("priority/redeclare", PAGE + ": 406")
def redeclare(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    a.ask("queue.declare", queue="cf.q")


OVERTAKEN = "rabbitmq.com/docs/ttl: what expires and has overtaken is looked at by whatever happens next"


def overtaken(s: Stage, *behind: tuple[bytes, int]) -> Peer:
    """A peer with cf.q in which a message that expires at once has overtaken one that does not."""
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"lives")
    a.publish("", "cf.q", b"dies", priority=2, expiration="0")
    for body, priority in behind:
        a.publish("", "cf.q", body, priority=priority)
    a.confirms(2 + len(behind))
    s.elapse(20)
    return a


@scenario("priority/overtaker-by-get", OVERTAKEN)
def overtaker_by_get(s: Stage) -> None:
    drained(overtaken(s))


@scenario("priority/overtaker-by-consume", OVERTAKEN)
def overtaker_by_consume(s: Stage) -> None:
    a = overtaken(s)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", no_ack=True)
    a.expect(2)


@scenario("priority/overtaker-overtaken", OVERTAKEN)
def overtaker_overtaken(s: Stage) -> None:
    drained(overtaken(s, (b"first", 5)))


@scenario("priority/overtaker-after-return", OVERTAKEN)
def overtaker_after_return(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"back", priority=1)
    a.publish("", "cf.q", b"lives")
    a.confirms(2)
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"dies", priority=2, expiration="0")
    a.confirms(1)
    a.send("basic.reject", delivery_tag=1, requeue=True)
    s.elapse(20)
    drained(a)


@scenario("priority/overtaker-when-another-is-due", OVERTAKEN)
def overtaker_when_due(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-priority": 5})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"later", expiration="150")
    a.publish("", "cf.q", b"dies", priority=2, expiration="0")
    a.confirms(2)
    s.elapse(20)
    a.ask("queue.declare", queue="cf.q", passive=True)
    s.elapse(300)
    a.ask("queue.declare", queue="cf.q", passive=True)

"""Priority queues."""

from conformance.scenarios.limits import drained
from conformance.stage import Stage, family, scenario

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

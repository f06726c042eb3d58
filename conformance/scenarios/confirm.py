"""Publisher confirms."""

from conformance.stage import Stage, family, scenario

CONFIRMS = "rabbitmq.com/docs/confirms#publisher-confirms"


@scenario("confirm/select", CONFIRMS)
def select(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.ask("confirm.select")


@scenario("confirm/select-nowait", CONFIRMS)
def select_nowait(s: Stage) -> None:
    a = s.connect()
    a.send("confirm.select", nowait=True)
    a.publish("", "cf.none", b"x")
    a.confirms(1)


@scenario("confirm/select-again-keeps-counting", CONFIRMS)
def select_again(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("", "cf.none", b"x")
    a.confirms(1)
    a.ask("confirm.select")
    a.publish("", "cf.none", b"x")
    a.confirms(1)


@scenario("confirm/counts-from-select", CONFIRMS + ": the first publish after confirm.select is 1")
def counts(s: Stage) -> None:
    a = s.connect()
    a.publish("", "cf.none", b"before")
    a.ask("confirm.select")
    a.publish("", "cf.none", b"first")
    a.expect()


@scenario("confirm/single-ack", CONFIRMS)
def single(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("confirm.select")
    a.publish("", "cf.q", b"x")
    a.expect()


QUEUES: dict[str, dict[str, object]] = {
    "transient": {},
    "durable": {"durable": True},
    "exclusive": {"exclusive": True},
    "quorum": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
    "stream": {"durable": True, "arguments": {"x-queue-type": "stream"}},
    "lazy": {"durable": True, "arguments": {"x-queue-mode": "lazy"}},
    "priority": {"durable": True, "arguments": {"x-max-priority": 3}},
}


@family("confirm/queue", CONFIRMS, QUEUES)
def queues(s: Stage, declare: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", **declare)
    a.ask("confirm.select")
    for mode in (1, 2, 2):
        a.publish("", "cf.q", b"x", delivery_mode=mode)
    a.confirms(3)


@scenario("confirm/many", CONFIRMS)
def many(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("confirm.select")
    for _ in range(50):
        a.publish("", "cf.q", b"x", delivery_mode=2)
    a.confirms(50)


@scenario("confirm/unroutable", CONFIRMS + ": unroutable messages are confirmed at once")
def unroutable(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("amq.direct", "cf.none", b"x")
    a.publish("", "cf.none", b"x", delivery_mode=2)
    a.confirms(2)


@scenario("confirm/consumed", CONFIRMS)
def consumed(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t")
    a.ask("confirm.select")
    a.publish("", "cf.q", b"x", delivery_mode=2)
    a.expect(1, 2)
    a.send("basic.ack", 2, delivery_tag=1)
    a.confirms(1)


@scenario("confirm/several-queues", CONFIRMS + ": all target queues confirm")
def several_queues(s: Stage) -> None:
    a = s.connect()
    for queue in ("cf.q1", "cf.q2", "cf.q3"):
        a.ask("queue.declare", queue=queue, durable=True)
        a.ask("queue.bind", queue=queue, exchange="amq.fanout")
    a.ask("confirm.select")
    a.publish("amq.fanout", "", b"x", delivery_mode=2)
    a.confirms(1)


@scenario("confirm/nack", "rabbitmq.com/docs/maxlength#overflow-behaviour: reject-publish")
def nack(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    a.ask("confirm.select")
    for number in range(4):
        a.publish("", "cf.q", b"%d" % number)
    a.confirms(4)
    a.ask("queue.purge", queue="cf.q")
    a.publish("", "cf.q", b"4")
    a.confirms(1)


@scenario("confirm/one-of-two-refuses", "rabbitmq.com/docs/confirms: one refusing queue suffices for a nack")
def one_refuses(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    a.ask("queue.declare", queue="cf.q2")
    for queue in ("cf.q", "cf.q2"):
        a.ask("queue.bind", queue=queue, exchange="amq.fanout")
    a.ask("confirm.select")
    a.publish("amq.fanout", "", b"x")
    a.confirms(1)
    a.ask("basic.get", queue="cf.q2", no_ack=True)


@scenario("confirm/after-error", CONFIRMS + ": a new channel counts from 1 again")
def after_error(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.publish("", "cf.none", b"x")
    a.confirms(1)
    a.publish("cf.none", "", b"x")
    a.expect()
    a.ask("channel.open")
    a.publish("", "cf.none", b"not in confirm mode")
    a.ask("confirm.select")
    a.publish("", "cf.none", b"x")
    a.confirms(1)


@scenario("confirm/each-channel", CONFIRMS)
def each_channel(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    for channel in (1, 2):
        a.ask("confirm.select", channel)
    for channel in (1, 2, 3, 2):
        a.publish("", "cf.none", b"x", channel)
    a.confirms(1, 1)
    a.confirms(2, 2)
    a.idle(3)


@scenario("confirm/queue-deleted", CONFIRMS)
def queue_deleted(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"x", delivery_mode=2)
    a.ask("queue.delete", queue="cf.q")
    a.confirms(1)

"""Purging and deleting queues."""

from conformance.stage import CAPABILITIES, Stage, scenario

DELETE = "0-9-1 1.7.2.9 queue.delete"
PURGE = "0-9-1 1.7.2.7 queue.purge"


@scenario("queue/purge", PURGE)
def purge(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for body in (b"0", b"1", b"2"):
        a.publish("", "cf.q", body)
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.purge", queue="cf.q")
    a.ask("queue.purge", queue="cf.q")
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.ask("basic.get", queue="cf.q")


@scenario("queue/purge-missing", PURGE + ": 404")
def purge_missing(s: Stage) -> None:
    s.connect().ask("queue.purge", queue="cf.none")


@scenario("queue/purge-nowait", PURGE + ": nowait")
def purge_nowait(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x")
    a.send("queue.purge", queue="cf.q", nowait=True)
    a.ask("basic.get", queue="cf.q")


@scenario("queue/delete", DELETE)
def delete(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for _ in range(2):
        a.publish("", "cf.q", b"x")
    a.ask("queue.delete", queue="cf.q")
    a.ask("queue.delete", queue="cf.q")
    a.ask("queue.delete", queue="cf.q", if_unused=True, if_empty=True)


@scenario("queue/delete-in-use", DELETE + ": if-unused")
def delete_in_use(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("queue.delete", queue="cf.q", if_unused=True)


@scenario("queue/delete-not-empty", DELETE + ": if-empty")
def delete_not_empty(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x")
    a.ask("queue.delete", queue="cf.q", if_empty=True)


@scenario("queue/delete-in-use-and-not-empty", DELETE + ": both conditions")
def delete_both(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x")
    a.publish("", "cf.q", b"y")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("queue.delete", queue="cf.q", if_unused=True, if_empty=True)


@scenario("queue/delete-unacked-is-empty", DELETE + ": if-empty: unacked messages do not count")
def delete_unacked(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x")
    a.ask("basic.get", queue="cf.q")
    a.ask("queue.delete", queue="cf.q", if_empty=True)
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@scenario("queue/delete-nowait", DELETE + ": nowait")
def delete_nowait(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.send("queue.delete", queue="cf.q", nowait=True)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("queue/delete-nowait-not-empty", DELETE + ": nowait")
def delete_nowait_not_empty(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"x")
    a.send("queue.delete", queue="cf.q", nowait=True, if_empty=True)
    a.idle()


@scenario("queue/delete-cancels-consumers", "rabbitmq.com/docs/consumer-cancel")
def delete_cancels(s: Stage) -> None:
    a, b = s.connect("a", channels=(1, 2)), s.connect("b")
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="own")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="sister")
    b.ask("basic.consume", queue="cf.q", consumer_tag="other")
    a.send("queue.delete", queue="cf.q")
    a.expect(2, 1)
    a.expect(1, 2)
    b.expect()


@scenario("queue/delete-cancels-not-without-capability", "rabbitmq.com/docs/consumer-cancel")
def delete_no_capability(s: Stage) -> None:
    able = {**CAPABILITIES, "consumer_cancel_notify": False}
    a, b = s.connect("a"), s.connect("b", capabilities=able)
    a.ask("queue.declare", queue="cf.q")
    b.ask("basic.consume", queue="cf.q", consumer_tag="other")
    a.ask("queue.delete", queue="cf.q")
    b.ask("basic.cancel", consumer_tag="other")


@scenario("queue/delete-then-ack", DELETE + ": acks of its deliveries are accepted")
def delete_then_ack(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for _ in range(3):
        a.publish("", "cf.q", b"x")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(3)
    a.ask("queue.delete", queue="cf.q")
    a.expect()
    a.send("basic.ack", delivery_tag=2)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    a.send("basic.ack", delivery_tag=3, multiple=True)
    a.idle()
    a.send("basic.ack", delivery_tag=3)
    a.idle()


@scenario(
    "queue/delete-tells-consumers-by-tag", "consumer-cancel: a channel's consumers in the order of their tags"
)
def given_by_tag(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    for tag in ("t2", "T", "t1", "t10"):
        a.ask("basic.consume", queue="cf.q", consumer_tag=tag)
    a.ask("queue.delete", 2, queue="cf.q")
    a.expect(4)

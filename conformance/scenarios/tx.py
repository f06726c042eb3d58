"""The tx class: publishes and acks held until commit."""

from conformance.scenarios.consume import filled
from conformance.stage import Stage, family, scenario

TX = "0-9-1 1.9 tx; rabbitmq.com/docs/semantics#tx"


@scenario("tx/select-twice", "0-9-1 1.9.2.1 tx.select")
def select_twice(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.ask("tx.select")
    a.ask("tx.commit")
    a.ask("tx.rollback")


@family("tx/not-selected", "0-9-1 1.9.2.3 tx.commit: 406", {"commit": "tx.commit", "rollback": "tx.rollback"})
def not_selected(s: Stage, name: str) -> None:
    s.connect().ask(name)


@scenario("tx/commit", TX)
def commit(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.select")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.idle()
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("tx.commit")
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/rollback", TX)
def rollback(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.select")
    a.publish("", "cf.q", b"0")
    a.ask("tx.rollback")
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"1")
    a.ask("tx.commit")
    a.ask("basic.get", queue="cf.q")


@scenario("tx/commit-acks", TX)
def commit_acks(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", channels=(1, 2))
    a.ask("tx.select")
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.send("basic.nack", delivery_tag=2, requeue=True)
    a.send("basic.reject", delivery_tag=3)
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("tx.commit")
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/rollback-acks", TX + ": rolled back acks leave deliveries outstanding")
def rollback_acks(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2, multiple=True)
    a.ask("tx.rollback")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.send("basic.ack", delivery_tag=2)
    a.ask("tx.commit")
    a.ask("basic.recover", requeue=True)
    a.ask("basic.get", queue="cf.q")


@scenario("tx/ack-unknown", TX + ": an unknown tag is refused at once")
def ack_unknown(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.send("basic.ack", delivery_tag=5)
    a.idle()


@scenario("tx/ack-twice", TX)
def ack_twice(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@scenario("tx/ack-twice-after-rollback", TX)
def ack_after_rollback(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.ask("tx.rollback")
    a.ask("channel.close")
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q")


@scenario("tx/close-discards", TX + ": a closed channel's transaction is discarded")
def close_discards(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.publish("", "cf.q", b"1")
    a.ask("channel.close")
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/mandatory", TX + ": returned before commit-ok")
def mandatory(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.publish("", "cf.none", b"0", mandatory=True)
    a.publish("amq.direct", "cf.none", b"1", mandatory=True)
    a.idle()
    a.send("tx.commit")
    a.expect(3)


@scenario("tx/mandatory-rolled-back", TX)
def mandatory_rolled_back(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.publish("", "cf.none", b"0", mandatory=True)
    a.ask("tx.rollback")
    a.ask("tx.commit")
    a.idle()


@scenario("tx/missing-exchange", TX + ": checked when published")
def missing_exchange(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.publish("cf.none", "k", b"0")
    a.expect()


@scenario("tx/queue-gone-at-commit", TX)
def queue_gone(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.select")
    a.publish("", "cf.q", b"0", mandatory=True)
    a.idle()
    a.ask("queue.delete", 2, queue="cf.q")
    a.send("tx.commit")
    a.expect()
    a.idle()


@scenario("tx/reject-publish", "rabbitmq.com/docs/maxlength#overflow-behaviour with tx: 406 at commit")
def reject_publish(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    a.ask("tx.select")
    for body in (b"0", b"1", b"2"):
        a.publish("", "cf.q", body)
    a.ask("tx.commit")
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/deliveries-not-held", TX + ": consuming is not transacted")
def deliveries(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("tx.select")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()


@scenario("tx/declares-not-held", TX + ": only publishes and acks are transacted")
def declares(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.rollback")
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("tx/then-confirm", "rabbitmq.com/docs/confirms: tx and confirm exclude one another")
def then_confirm(s: Stage) -> None:
    a = s.connect()
    a.ask("tx.select")
    a.ask("confirm.select")


@scenario("tx/after-confirm", "rabbitmq.com/docs/confirms: tx and confirm exclude one another")
def after_confirm(s: Stage) -> None:
    a = s.connect()
    a.ask("confirm.select")
    a.ask("tx.select")


@scenario("tx/other-channel-not-affected", TX)
def other_channel(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.select", 1)
    a.publish("", "cf.q", b"0", 2)
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("tx.commit", 2)


@scenario("tx/prefetch-until-commit", TX + ": an ack frees prefetch only when committed")
def prefetch(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("tx.select")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.ack", delivery_tag=1)
    a.idle()
    a.ask("tx.commit")
    a.expect()


@scenario("tx/pipelined-after-commit", TX + ": nothing may come between tx.commit and commit-ok")
def pipelined(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("tx.select")
    a.publish("", "cf.q", b"0")
    a.send("tx.commit")
    a.send("basic.qos", prefetch_count=1)
    a.expect(1)

"""The tx class: publishes and acks are held until commit."""

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


@scenario("tx/error-discards", TX + ": an error ends the channel, and what was held with it")
def error_discards(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.publish("", "cf.q", b"held")
    a.send("basic.ack", delivery_tag=1)
    a.publish("cf.none", "", b"x")
    a.expect()
    a.eventually("message_count=1", "queue.declare", 2, queue="cf.q", passive=True)
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/settled-every-way", TX + ": acks, nacks and rejects are held alike")
def every_way(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3", b"4", channels=(1, 2))
    a.ask("tx.select")
    for _ in range(5):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2)
    a.send("basic.nack", delivery_tag=3, requeue=True)
    a.send("basic.nack", delivery_tag=4, multiple=True, requeue=True)
    a.send("basic.reject", delivery_tag=5)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.ask("tx.commit")
    a.eventually("message_count=3", "queue.declare", 2, queue="cf.q", passive=True)
    for _ in range(4):
        a.ask("basic.get", 2, queue="cf.q", no_ack=True)


@scenario("tx/all-acked-rolled-back", TX + ": tag 0")
def all_rolled_back(s: Stage) -> None:
    a = filled(s, b"0", b"1", channels=(1, 2))
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=0, multiple=True)
    a.send("basic.ack", delivery_tag=0, multiple=True)
    a.ask("tx.rollback")
    a.send("basic.ack", delivery_tag=2, multiple=True)
    a.ask("tx.commit")
    a.ask("tx.rollback")
    a.ask("channel.close", reply_code=200)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


@scenario("tx/rolled-back-then-multiple", TX + ": what came back keeps its order")
def rolled_back_multiple(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3", channels=(1, 2))
    a.ask("tx.select")
    for _ in range(4):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=3)
    a.send("basic.ack", delivery_tag=1)
    a.ask("tx.rollback")
    a.send("basic.nack", delivery_tag=3, multiple=True, requeue=True)
    a.ask("tx.commit")
    a.eventually("message_count=3", "queue.declare", 2, queue="cf.q", passive=True)
    for _ in range(3):
        a.ask("basic.get", 2, queue="cf.q", no_ack=True)


@scenario(
    "tx/recover-beside-held-ack", TX + "; 0-9-1 1.8.3.16 basic.recover: not what an uncommitted ack holds"
)
def recover_beside(s: Stage) -> None:
    a = filled(s, b"0", b"1", channels=(1, 2))
    a.ask("tx.select")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.ask("basic.recover", requeue=True)
    a.eventually("message_count=1", "queue.declare", 2, queue="cf.q", passive=True)
    a.ask("tx.rollback")
    a.ask("basic.recover", requeue=True)
    a.eventually("message_count=2", "queue.declare", 2, queue="cf.q", passive=True)
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("tx/returns-in-order", TX + ": returned before commit-ok, in the order of publishing")
def returns_in_order(s: Stage) -> None:
    a = filled(s)
    a.ask("tx.select")
    a.publish("", "cf.none1", b"1", mandatory=True)
    a.publish("", "cf.q", b"2", mandatory=True)
    a.publish("amq.topic", "cf.none3", b"3", mandatory=True)
    a.send("tx.commit")
    a.expect(3)


INVALID: dict[str, dict[str, object]] = {
    "expiration": {"expiration": "x"},
    "cc": {"headers": {"CC": 1}},
    "user": {"user_id": "bob"},
    "reply-to": {"reply_to": "amq.rabbitmq.reply-to"},
}


@family("tx/invalid", TX + ": checked when published", INVALID)
def invalid(s: Stage, given: dict[str, object]) -> None:
    a = filled(s)
    a.ask("tx.select")
    a.publish("", "cf.q", b"1", **given)  # type: ignore[arg-type]
    a.expect()


@scenario("tx/routed-when-published", TX + ": bindings made later do not count")
def routed_when_published(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    a.ask("exchange.declare", 2, exchange="cf.x", exchange_type="fanout")
    a.ask("tx.select")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.ask("basic.qos", prefetch_count=1)
    a.ask("queue.bind", 2, queue="cf.q", exchange="cf.x")
    a.send("tx.commit")
    a.reply("tx.commit")
    a.idle()
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)

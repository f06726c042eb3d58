"""basic.ack, nack, reject and recover."""

from conformance.scenarios.consume import filled
from conformance.stage import Stage, family, scenario

ACK = "0-9-1 1.8.3.13 basic.ack"
REJECT = "0-9-1 1.8.3.14 basic.reject"
NACK = "rabbitmq.com/docs/nack"
RECOVER = "0-9-1 1.8.3.16 basic.recover"

SETTLE = {
    "ack": ("basic.ack", {}),
    "nack": ("basic.nack", {}),
    "reject": ("basic.reject", {}),
    "nack-requeue": ("basic.nack", {"requeue": True}),
    "reject-requeue": ("basic.reject", {"requeue": True}),
}


@family("settle/unknown-tag", ACK + ": delivery-tag: 406", SETTLE)
def unknown_tag(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send(name, delivery_tag=5, **arguments)
    a.expect()


@family("settle/tag-zero", ACK + ": delivery-tag 0 means all only with multiple", SETTLE)
def tag_zero(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = filled(s, b"0")
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=0, **arguments)
    a.idle()


@family("settle/twice", ACK + ": 406", SETTLE)
def twice(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = filled(s, b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=1)
    a.send(name, delivery_tag=1, **arguments)
    a.idle()


@family("settle/other-channel", ACK + ": tags belong to the channel", SETTLE)
def other_channel(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("basic.get", 1, queue="cf.q")
    a.send(name, 2, delivery_tag=1, **arguments)
    a.idle(2)


@family("settle/one", ACK, SETTLE)
def one(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=1, **arguments)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")


MULTIPLE: dict[str, tuple[str, dict[str, object]]] = {
    "ack-all": ("basic.ack", {"delivery_tag": 0}),
    "ack-to-2": ("basic.ack", {"delivery_tag": 2}),
    "ack-above": ("basic.ack", {"delivery_tag": 9}),
    "nack-all": ("basic.nack", {"delivery_tag": 0}),
    "nack-requeue-all": ("basic.nack", {"delivery_tag": 0, "requeue": True}),
    "nack-requeue-to-2": ("basic.nack", {"delivery_tag": 2, "requeue": True}),
}


@family("settle/multiple", ACK + ": multiple", MULTIPLE)
def multiple(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = filled(s, b"0", b"1", b"2", b"3", channels=(1, 2))
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send(name, multiple=True, **arguments)
    a.idle()
    if 1 not in a.open_channels:
        a.eventually("message_count=4", "queue.declare", 2, queue="cf.q", passive=True)
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("settle/multiple-all-of-nothing", ACK + ": multiple with tag 0 and nothing outstanding")
def all_of_nothing(s: Stage) -> None:
    a = s.connect()
    a.send("basic.ack", delivery_tag=0, multiple=True)
    a.send("basic.nack", delivery_tag=0, multiple=True)
    a.idle()


@scenario("settle/multiple-of-nothing", ACK + ": multiple needs the tag itself")
def multiple_of_nothing(s: Stage) -> None:
    a = s.connect()
    a.send("basic.ack", delivery_tag=7, multiple=True)
    a.idle()


@scenario("settle/multiple-below-settled", ACK + ": multiple needs the tag itself")
def multiple_below(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3", b"4")
    for _ in range(5):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=4, multiple=True)
    a.send("basic.ack", delivery_tag=3, multiple=True)
    a.idle()


@scenario("settle/multiple-with-gaps", ACK + ": multiple over gaps")
def multiple_gaps(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3")
    for _ in range(4):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2)
    a.send("basic.ack", delivery_tag=3, multiple=True)
    a.idle()
    a.send("basic.ack", delivery_tag=4)
    a.idle()


@scenario("settle/multiple-at-gap", ACK + ": multiple at a tag already settled with others below")
def multiple_at_gap(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3")
    for _ in range(4):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2)
    a.send("basic.ack", delivery_tag=2, multiple=True)
    a.idle()


@scenario("settle/no-ack-delivery", ACK + ": a no-ack delivery cannot be acked")
def no_ack_delivery(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@scenario("settle/multiple-over-no-ack", ACK + ": multiple over no-ack deliveries")
def multiple_over_no_ack(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2, multiple=True)
    a.idle()


@scenario("settle/requeue-position", NACK + ": to the original position when possible")
def requeue_position(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3")
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, requeue=True)
    a.send("basic.nack", delivery_tag=1, requeue=True)
    for _ in range(4):
        a.ask("basic.get", queue="cf.q")


@scenario("settle/requeue-multiple-position", NACK + ": to the original position when possible")
def requeue_multiple(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3")
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.nack", delivery_tag=3, multiple=True, requeue=True)
    for _ in range(4):
        a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("settle/requeue-to-consumer", NACK)
def requeue_to_consumer(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.reject", delivery_tag=1, requeue=True)
    a.expect()
    a.send("basic.nack", delivery_tag=2, requeue=True)
    a.expect()
    a.send("basic.ack", delivery_tag=3)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("settle/requeue-from-two-channels", NACK)
def requeue_two_channels(s: Stage) -> None:
    a = filled(s, b"0", b"1", b"2", b"3", channels=(1, 2))
    for channel in (1, 2, 1, 2):
        a.ask("basic.get", channel, queue="cf.q")
    a.send("basic.nack", 2, delivery_tag=2, multiple=True, requeue=True)
    a.idle(2)
    a.send("basic.nack", 1, delivery_tag=2, multiple=True, requeue=True)
    for _ in range(4):
        a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("settle/recover", RECOVER)
def recover(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(2)
    a.send("basic.ack", delivery_tag=1)
    a.send("basic.recover", requeue=True)
    a.expect(2)
    a.send("basic.ack", delivery_tag=2)
    a.idle()


@scenario("settle/recover-get", RECOVER)
def recover_get(s: Stage) -> None:
    a = filled(s, b"0", b"1")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.recover", requeue=True)
    a.ask("basic.get", queue="cf.q")
    a.ask("basic.get", queue="cf.q")


@scenario("settle/recover-nothing", RECOVER)
def recover_nothing(s: Stage) -> None:
    s.connect().ask("basic.recover", requeue=True)


@scenario("settle/recover-no-requeue", RECOVER + ": requeue=false is not implemented: 540")
def recover_no_requeue(s: Stage) -> None:
    s.connect().ask("basic.recover", requeue=False)


@scenario("settle/recover-async", "0-9-1 1.8.3.15 basic.recover-async")
def recover_async(s: Stage) -> None:
    a = filled(s, b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.send("basic.recover-async", requeue=True)
    a.expect()


@scenario("settle/recover-async-no-requeue", "0-9-1 1.8.3.15 basic.recover-async: requeue=false: 540")
def recover_async_no_requeue(s: Stage) -> None:
    a = s.connect()
    a.send("basic.recover-async", requeue=False)
    a.expect()


@scenario("settle/recover-to-another-consumer", RECOVER)
def recover_other(s: Stage) -> None:
    a = filled(s, b"0", channels=(1, 2))
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    a.expect(1, 1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2")
    a.ask("basic.recover", 1, requeue=True)
    a.expect(1, 1)
    a.idle(2)

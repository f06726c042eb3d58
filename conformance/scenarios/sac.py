"""Single active consumer."""

from conformance.scenarios.consume import filled
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/consumers#single-active-consumer"

KINDS: dict[str, dict[str, object]] = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}


def two_consumers(s: Stage, kind: dict[str, object], second: dict[str, object]) -> Peer:
    """Consumers t1 on channel 1 and t2 on channel 2; channel 3 is for publishing."""
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-single-active-consumer": True, **kind})
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1", arguments={})
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2", arguments=second)
    return a


@family("sac/first-is-active", PAGE, KINDS)
def first(s: Stage, kind: dict[str, object]) -> None:
    a = two_consumers(s, kind, {})
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number, 3)
    a.expect(3, 1)
    a.idle(2)


@family("sac/next-after-cancel", PAGE, KINDS)
def after_cancel(s: Stage, kind: dict[str, object]) -> None:
    a = two_consumers(s, kind, {})
    a.publish("", "cf.q", b"0", 3)
    a.expect(1, 1)
    a.ask("basic.cancel", 1, consumer_tag="t1")
    a.send("basic.ack", 1, delivery_tag=1)
    a.publish("", "cf.q", b"1", 3)
    a.expect(1, 2)


@family("sac/next-after-channel-close", PAGE, KINDS)
def after_close(s: Stage, kind: dict[str, object]) -> None:
    a = two_consumers(s, kind, {})
    a.publish("", "cf.q", b"0", 3)
    a.expect(1, 1)
    a.ask("channel.close", 1)
    a.expect(1, 2)


@family("sac/higher-priority-comes", PAGE, KINDS)
def higher(s: Stage, kind: dict[str, object]) -> None:
    a = two_consumers(s, kind, {"x-priority": 10})
    a.ask("confirm.select", 3)
    a.publish("", "cf.q", b"0", 3)
    a.confirms(1, 3)
    a.idle(1)
    a.idle(2)


@family("sac/highest-waiting-is-next", PAGE, KINDS)
def highest_waiting(s: Stage, kind: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2, 3, 4))
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-single-active-consumer": True, **kind})
    for channel, priority in ((1, 10), (2, 1), (3, 5)):
        arguments = {"x-priority": priority}
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}", arguments=arguments)
    a.ask("channel.close", 1)
    a.publish("", "cf.q", b"0", 4)
    a.expect(1, 2 if kind and s.profile == "3.10" else 3)


@family("sac/exclusive-consumer", PAGE, KINDS)
def exclusive(s: Stage, kind: dict[str, object]) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-single-active-consumer": True, **kind})
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t", exclusive=True)


@scenario("sac/get-on-classic", PAGE)
def get(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-single-active-consumer": True})
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("sac/prefetch-of-active", PAGE)
def prefetch(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.q", arguments={"x-single-active-consumer": True})
    a.ask("basic.qos", 1, prefetch_count=1)
    for channel in (1, 2):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}")
    a.ask("confirm.select", 3)
    a.publish("", "cf.q", b"0", 3)
    a.publish("", "cf.q", b"1", 3)
    a.confirms(2, 3)
    a.idle(1)
    a.idle(2)
    a.send("basic.ack", 1, delivery_tag=1)
    a.expect(1, 1)


@scenario("sac/without", PAGE + ": x-single-active-consumer=false")
def without(s: Stage) -> None:
    a = filled(s)
    a.ask("queue.declare", queue="cf.q2", arguments={"x-single-active-consumer": False})
    for tag in ("t1", "t2"):
        a.ask("basic.consume", queue="cf.q2", consumer_tag=tag)
    for number in range(2):
        a.publish("", "cf.q2", b"%d" % number)
    a.expect(2)

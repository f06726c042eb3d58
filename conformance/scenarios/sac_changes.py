"""Which consumer becomes active: priorities, cancels, reconnections, and deliveries of the one before."""

from typing import Any

from conformance.scenarios.sac import KINDS, PAGE
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer


def declared(s: Stage, kind: dict[str, Any], channels: int = 4, **arguments: Any) -> Peer:
    """A peer whose queue cf.q has single active consumer."""
    a = s.connect(channels=range(1, channels + 1))
    given = {"x-single-active-consumer": True, **kind, **arguments}
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=given)
    a.ask("confirm.select", channels)
    return a


def put(a: Peer, *bodies: bytes, channel: int = 4) -> None:
    """Publish, and wait for the confirms."""
    for body in bodies:
        a.publish("", "cf.q", body, channel)
    a.confirms(len(bodies), channel)


@family("sac/cancelled-holds-unacked", PAGE, KINDS)
def holds(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2")
    put(a, b"0", b"1")
    a.expect(2, 1)
    a.ask("basic.cancel", 1, consumer_tag="t1")
    put(a, b"2")
    a.expect(1, 2)
    a.send("basic.nack", 1, delivery_tag=1, requeue=True)
    a.expect(1, 2)
    a.send("basic.ack", 1, delivery_tag=2)
    a.idle(1)


@family("sac/active-comes-back", PAGE + ": at the end of the line", KINDS)
def comes_back(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    for channel in (1, 2):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}", no_ack=True)
    a.ask("basic.cancel", 1, consumer_tag="t1")
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1", no_ack=True)
    put(a, b"0")
    a.expect(1, 2)
    a.ask("basic.cancel", 2, consumer_tag="t2")
    put(a, b"1")
    a.expect(1, 1)


@family("sac/waiting-cancels", PAGE, KINDS)
def waiting_cancels(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    for channel in (1, 2, 3):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}", no_ack=True)
    a.ask("basic.cancel", 2, consumer_tag="t2")
    a.ask("basic.cancel", 1, consumer_tag="t1")
    put(a, b"0")
    a.expect(1, 3)


@family("sac/lost-connection", PAGE, KINDS)
def lost(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    b = s.connect("b")
    b.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t2")
    put(a, b"0", b"1")
    b.expect(2)
    b.drop()
    a.expect(2, 1)


PRIORITIES = {"equal": (0, 0, 0), "rising": (1, 2, 3), "falling": (3, 2, 1), "negative": (-1, -5, 0)}


@family("sac/priorities-classic", PAGE, PRIORITIES)
def priorities_classic(s: Stage, *stated: int) -> None:
    _priorities(s, {}, stated)


@family("sac/priorities-quorum", PAGE, PRIORITIES)
def priorities_quorum(s: Stage, *stated: int) -> None:
    _priorities(s, {"x-queue-type": "quorum"}, stated)


def _priorities(s: Stage, kind: dict[str, Any], stated: tuple[int, ...]) -> None:
    a = declared(s, kind)
    for channel, priority in enumerate(stated, 1):
        arguments = {"x-priority": priority}
        a.ask(
            "basic.consume",
            channel,
            queue="cf.q",
            consumer_tag=f"t{channel}",
            no_ack=True,
            arguments=arguments,
        )
    for number in range(3):
        put(a, b"%d" % number)
        s.elapse(20)
        active = 0
        for channel in (1, 2, 3):
            if a.idle(channel):
                active = channel
        if active:
            a.ask("basic.cancel", active, consumer_tag=f"t{active}")


@family("sac/two-on-one-channel", PAGE, KINDS)
def one_channel(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    for tag in ("t1", "t2"):
        a.ask("basic.consume", 1, queue="cf.q", consumer_tag=tag)
    put(a, b"0", b"1")
    a.expect(2, 1)
    a.ask("basic.cancel", 1, consumer_tag="t1")
    put(a, b"2")
    a.expect(1, 1)


@family("sac/no-deliveries-without-credit", PAGE + ": the others wait all the same", KINDS)
def without_credit(s: Stage, kind: dict[str, Any]) -> None:
    a = declared(s, kind)
    a.ask("basic.qos", 1, prefetch_count=1)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2")
    put(a, b"0", b"1", b"2")
    a.expect(1, 1)
    a.idle(2)
    a.send("basic.nack", 1, delivery_tag=1, requeue=True)
    a.expect(1, 1)
    a.idle(2)


@scenario("sac/auto-delete", PAGE + "; 0-9-1 1.7.2.1 auto-delete: with the last of them")
def auto_delete(s: Stage) -> None:
    a = s.connect(channels=(1, 2, 3))
    a.ask("queue.declare", queue="cf.q", auto_delete=True, arguments={"x-single-active-consumer": True})
    for channel in (1, 2):
        a.ask("basic.consume", channel, queue="cf.q", consumer_tag=f"t{channel}")
    a.ask("basic.cancel", 1, consumer_tag="t1")
    a.ask("queue.declare", 3, queue="cf.q", passive=True)
    a.ask("basic.cancel", 2, consumer_tag="t2")
    a.ask("queue.declare", 3, queue="cf.q", passive=True)


@scenario("sac/get-beside-active", PAGE + ": basic.get of a classic queue takes what is ready")
def get_beside(s: Stage) -> None:
    a = declared(s, {})
    a.ask("basic.qos", 1, prefetch_count=1)
    a.ask("basic.consume", 1, queue="cf.q", consumer_tag="t1")
    put(a, b"0", b"1")
    a.expect(1, 1)
    a.ask("basic.get", 2, queue="cf.q", no_ack=True)


@family(
    "sac/declared-otherwise", PAGE + ": 406", {"absent": {}, "false": {"x-single-active-consumer": False}}
)
def otherwise(s: Stage, arguments: dict[str, Any]) -> None:
    a = declared(s, {})
    a.ask("queue.declare", queue="cf.q", durable=True, arguments=arguments)

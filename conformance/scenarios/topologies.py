"""Topologies of libraries, with delays of some milliseconds: what arrives, where, with which headers.

The same topologies with their real delays are played on a virtual clock in `tests/topologies`.
"""

from typing import Any

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

TTL = "rabbitmq.com/docs/ttl"
DLX = "rabbitmq.com/docs/dlx"
E2E = "rabbitmq.com/docs/e2e"
#: Delay of the lowest level, in milliseconds.
UNIT = 20
LEVELS = range(3, -1, -1)


def queue(a: Peer, name: str, **arguments: Any) -> None:
    """A durable queue; `message_ttl` is `x-message-ttl`."""
    named = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    a.ask("queue.declare", queue=name, durable=True, arguments=named)


def exchange(a: Peer, name: str, kind: str = "topic") -> None:
    """A durable exchange."""
    a.ask("exchange.declare", exchange=name, exchange_type=kind, durable=True)


def bind(a: Peer, name: str, source: str, key: str = "") -> None:
    """Bind a queue to an exchange."""
    a.ask("queue.bind", queue=name, exchange=source, routing_key=key)


def join(a: Peer, destination: str, source: str, key: str = "") -> None:
    """Bind an exchange to an exchange."""
    a.ask("exchange.bind", destination=destination, source=source, routing_key=key)


def level(bit: int) -> str:
    """The exchange and queue of one bit of the delay."""
    return f"cf.level-{bit}"


def build_levels(a: Peer, **arguments: Any) -> None:
    """The delays of Celery and NServiceBus, with four bits instead of 28."""
    for bit in LEVELS:
        exchange(a, level(bit))
        target = level(bit - 1) if bit else "cf.delivery"
        queue(
            a, level(bit), overflow="reject-publish", message_ttl=2**bit * UNIT,
            dead_letter_exchange=target, **arguments,
        )  # fmt: skip
        bind(a, level(bit), level(bit), "*." * (3 - bit) + "1.#")
    exchange(a, "cf.delivery")
    for bit in LEVELS:
        join(a, level(bit - 1) if bit else "cf.delivery", level(bit), "*." * (3 - bit) + "0.#")


DELAYS = {
    f"{kind}-{delay}": (arguments, delay)
    for kind, arguments in {
        "classic": {"queue_type": "classic"},
        "quorum": {"queue_type": "quorum", "dead_letter_strategy": "at-least-once"},
    }.items()
    for delay in (0, 1, 5, 15)
}


@family("topologies/delay-levels", TTL + "; " + E2E + ": a bit of the delay is a level", DELAYS)
def delay_levels(s: Stage, arguments: dict[str, Any], delay: int) -> None:
    a = s.connect(channels=(1, 2))
    build_levels(a, **arguments)
    queue(a, "cf.work", queue_type=arguments["queue_type"])
    exchange(a, "cf.topic")
    bind(a, "cf.work", "cf.topic", "cf.work")
    bind(a, "cf.work", "cf.topic", "#.cf.work")
    join(a, "cf.topic", "cf.delivery", "#.cf.work")
    a.ask("basic.consume", 2, queue="cf.work", consumer_tag="worker", no_ack=True)
    a.ask("confirm.select")
    key = ".".join(f"{delay:04b}") + ".cf.work"
    a.publish("cf.level-3", key, b"task", mandatory=True, delivery_mode=2, headers={"id": "t"})
    a.confirms(1)
    a.expect(1, 2)


@scenario("topologies/masstransit-two-ways", E2E + ": a queue gets one copy however many ways lead to it")
def masstransit(s: Stage) -> None:
    a = s.connect()
    for kind in ("cf.SubmitOrder", "cf.ICommand", "cf.submit", "cf.audit"):
        exchange(a, kind, "fanout")
    for name in ("cf.submit", "cf.audit"):
        queue(a, name)
        bind(a, name, name)
        join(a, name, "cf.SubmitOrder")
    join(a, "cf.audit", "cf.ICommand")
    join(a, "cf.ICommand", "cf.SubmitOrder")
    a.ask("confirm.select")
    a.publish("cf.SubmitOrder", "", b"order", mandatory=True)
    a.confirms(1)
    for name in ("cf.submit", "cf.audit"):
        a.ask("queue.purge", queue=name)


@scenario("topologies/dramatiq-dead-letter", DLX + ": rejected to the queue's .XQ")
def dramatiq(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": "cf.default.XQ"}
    queue(a, "cf.default", **dead)
    queue(a, "cf.default.DQ", **dead)
    queue(a, "cf.default.XQ", message_ttl=604800000)
    a.ask("basic.consume", 2, queue="cf.default.XQ", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.default", b"actor", delivery_mode=2, priority=3)
    a.ask("basic.get", queue="cf.default")
    a.send("basic.nack", delivery_tag=1, requeue=False)
    a.expect(1, 2)


@scenario("topologies/symfony-delay-declared-again", TTL + "#queue-ttl: declared again with each message")
def symfony(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    exchange(a, "cf.messages", "fanout")
    queue(a, "cf.messages")
    bind(a, "cf.messages", "cf.messages")
    exchange(a, "cf.delays", "direct")
    a.ask("basic.consume", 2, queue="cf.messages", consumer_tag="worker", no_ack=True)
    name = f"cf.delay_messages__{UNIT}_delay"
    for body in (b"one", b"two"):
        queue(
            a, name, message_ttl=UNIT, expires=UNIT + 10000,
            dead_letter_exchange="cf.messages", dead_letter_routing_key="",
        )  # fmt: skip
        bind(a, name, "cf.delays", name)
        a.publish("cf.delays", name, body, delivery_mode=2)
        a.expect(1, 2)


@scenario("topologies/laravel-later", TTL + ": by the default exchange and back")
def laravel(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    queue(a, "cf.default")
    a.ask("basic.consume", 2, queue="cf.default", consumer_tag="worker", no_ack=True)
    queue(
        a, "cf.default.delay", message_ttl=UNIT, expires=10000,
        dead_letter_exchange="", dead_letter_routing_key="cf.default",
    )  # fmt: skip
    a.publish("", "cf.default.delay", b"job", delivery_mode=2)
    a.expect(1, 2)


@scenario("topologies/sneakers-maxretry", DLX + "#effects: rejected and expired in turn are counted apart")
def sneakers(s: Stage) -> None:
    a = s.connect()
    for name in ("cf.work-retry", "cf.requeue"):
        exchange(a, name)
    queue(a, "cf.work-retry", dead_letter_exchange="cf.requeue", message_ttl=UNIT)
    bind(a, "cf.work-retry", "cf.work-retry", "#")
    queue(a, "cf.work", dead_letter_exchange="cf.work-retry")
    bind(a, "cf.work", "cf.requeue", "#")
    a.ask("basic.consume", queue="cf.work", consumer_tag="worker")
    a.publish("", "cf.work", b"job", delivery_mode=2, headers={"jid": "j"})
    for tag in (1, 2, 3):
        a.expect()
        a.send("basic.reject", delivery_tag=tag, requeue=False)
    a.expect()


@scenario("topologies/spring-dlq-and-back", DLX + ": autoBindDlq with dlqTtl gives back to the queue")
def spring(s: Stage) -> None:
    a = s.connect()
    exchange(a, "cf.orders")
    exchange(a, "cf.DLX", "direct")
    queue(a, "cf.orders.app", dead_letter_exchange="cf.DLX", dead_letter_routing_key="cf.orders.app")
    bind(a, "cf.orders.app", "cf.orders", "#")
    queue(
        a, "cf.orders.app.dlq", message_ttl=UNIT,
        dead_letter_exchange="", dead_letter_routing_key="cf.orders.app",
    )  # fmt: skip
    bind(a, "cf.orders.app.dlq", "cf.DLX", "cf.orders.app")
    a.ask("basic.consume", queue="cf.orders.app", consumer_tag="app")
    a.publish("cf.orders", "orders", b"order", delivery_mode=2)
    for tag in (1, 2):
        a.expect()
        a.send("basic.reject", delivery_tag=tag, requeue=False)
    a.expect()

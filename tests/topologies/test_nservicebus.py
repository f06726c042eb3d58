"""NServiceBus: conventional routing (an exchange a type, inheritance by bindings) and its delay infrastructure of 28
quorum queues (docs.particular.net/transports/rabbitmq: routing-topology, delayed-delivery)."""

from __future__ import annotations

import pytest

from .town import DAY, SECOND, Town

DELIVERY = "nsb.v2.delay-delivery"
LEVELS = range(27, -1, -1)


def level_name(level: int) -> str:
    """The exchange and queue of one bit."""
    return f"nsb.v2.delay-level-{level:02}"


def delay_key(seconds: int, address: str) -> str:
    """28 bits, highest first, then where to."""
    return ".".join(f"{seconds:028b}") + "." + address


def build_delays(town: Town) -> None:
    """What the installer makes, top level first."""
    for level in LEVELS:
        name = level_name(level)
        town.exchange(name)
        town.queue(
            name,
            queue_type="quorum",
            dead_letter_strategy="at-least-once",
            overflow="reject-publish",
            message_ttl=2**level * SECOND,
            dead_letter_exchange=level_name(level - 1) if level else DELIVERY,
        )
        town.bind(name, name, "*." * (27 - level) + "1.#")
    for level in LEVELS[:-1]:
        town.join(level_name(level - 1), level_name(level), "*." * (27 - level) + "0.#")
    town.exchange(DELIVERY)
    town.join(DELIVERY, level_name(0), "*." * 27 + "0.#")


def endpoint(town: Town, name: str) -> None:
    """An endpoint: a quorum queue behind a fanout exchange of its name, reachable from the delays."""
    town.exchange(DELIVERY)
    town.queue(name, queue_type="quorum")
    town.exchange(name, "fanout")
    town.bind(name, name)
    town.join(name, DELIVERY, f"#.{name}")


@pytest.mark.parametrize("seconds", [1, 90, 31 * 24 * 3600])
def test_delayed_delivery(seconds: int) -> None:
    town = Town()
    build_delays(town)
    endpoint(town, "Sales")
    endpoint(town, "Billing")
    town.send(b"timeout", delay_key(seconds, "Sales"), level_name(27))
    town.wait(seconds * SECOND - 1)
    assert town.get("Sales") is None
    town.wait(1)
    assert town.take("Sales").body == b"timeout"
    assert town.get("Billing") is None


def test_longest_delay_is_over_eight_years() -> None:
    town = Town()
    build_delays(town)
    endpoint(town, "Sales")
    town.send(b"timeout", delay_key(2**28 - 1, "Sales"), level_name(27))
    town.wait(8 * 365 * DAY)
    assert town.get("Sales") is None
    town.wait(187 * DAY)
    assert len(town.take("Sales").headers["x-death"]) == 28


def test_event_reaches_subscribers_of_its_base() -> None:
    town = Town()
    for name in ("Sales", "Billing"):
        endpoint(town, name)
    for kind in ("Messages:OrderAccepted", "Messages:IOrderEvent", "System:Object"):
        town.exchange(kind, "fanout")
    town.join("Messages:IOrderEvent", "Messages:OrderAccepted")
    town.join("System:Object", "Messages:OrderAccepted")
    town.join("Sales", "Messages:OrderAccepted")
    town.join("Billing", "Messages:IOrderEvent")
    town.send(b"accepted", "", "Messages:OrderAccepted")
    assert [town.take(name).body for name in ("Sales", "Billing")] == [b"accepted"] * 2


def test_immediate_retries_are_counted() -> None:
    town = Town()
    endpoint(town, "Sales")
    town.send(b"poison", "", "Sales")
    counts = []
    for _ in range(3):
        message = town.take("Sales")
        counts.append(message.headers.get("x-delivery-count", 0))
        town.reject(message, requeue=True)
    assert counts == [0, 1, 2]

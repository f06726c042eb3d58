"""NServiceBus: conventional routing (an exchange for each type, bound to those of its base types) and its delays by 28
quorum queues (docs.particular.net/transports/rabbitmq: routing-topology, delayed-delivery)."""

from __future__ import annotations

import pytest

from .topology_client import DAY, SECOND, TopologyClient

DELIVERY = "nsb.v2.delay-delivery"
LEVELS = range(27, -1, -1)


def level_name(level: int) -> str:
    """The exchange and queue of one bit."""
    return f"nsb.v2.delay-level-{level:02}"


def delay_key(seconds: int, address: str) -> str:
    """28 bits, the highest first, then the destination."""
    return ".".join(f"{seconds:028b}") + "." + address


def build_delays(client: TopologyClient) -> None:
    """Declare what the installer declares, the top level first."""
    for level in LEVELS:
        name = level_name(level)
        client.exchange(name)
        client.queue(
            name,
            queue_type="quorum",
            dead_letter_strategy="at-least-once",
            overflow="reject-publish",
            message_ttl=2**level * SECOND,
            dead_letter_exchange=level_name(level - 1) if level else DELIVERY,
        )
        client.bind(name, name, "*." * (27 - level) + "1.#")
    for level in LEVELS[:-1]:
        client.join(level_name(level - 1), level_name(level), "*." * (27 - level) + "0.#")
    client.exchange(DELIVERY)
    client.join(DELIVERY, level_name(0), "*." * 27 + "0.#")


def endpoint(client: TopologyClient, name: str) -> None:
    """Declare a quorum queue behind a fanout exchange of its name, bound to the delays."""
    client.exchange(DELIVERY)
    client.queue(name, queue_type="quorum")
    client.exchange(name, "fanout")
    client.bind(name, name)
    client.join(name, DELIVERY, f"#.{name}")


@pytest.mark.parametrize("seconds", [1, 90, 31 * 24 * 3600])
def test_a_delayed_message_arrives_at_its_time(seconds: int) -> None:
    client = TopologyClient()
    build_delays(client)
    endpoint(client, "Sales")
    endpoint(client, "Billing")
    client.send(b"timeout", delay_key(seconds, "Sales"), level_name(27))
    client.wait(seconds * SECOND - 1)
    assert client.get("Sales") is None
    client.wait(1)
    assert client.take("Sales").body == b"timeout"
    assert client.get("Billing") is None


def test_the_longest_delay_is_over_eight_years() -> None:
    client = TopologyClient()
    build_delays(client)
    endpoint(client, "Sales")
    client.send(b"timeout", delay_key(2**28 - 1, "Sales"), level_name(27))
    client.wait(8 * 365 * DAY)
    assert client.get("Sales") is None
    client.wait(187 * DAY)
    assert len(client.take("Sales").headers["x-death"]) == 28


def test_an_event_reaches_subscribers_of_its_base_type() -> None:
    client = TopologyClient()
    for name in ("Sales", "Billing"):
        endpoint(client, name)
    for kind in ("Messages:OrderAccepted", "Messages:IOrderEvent", "System:Object"):
        client.exchange(kind, "fanout")
    client.join("Messages:IOrderEvent", "Messages:OrderAccepted")
    client.join("System:Object", "Messages:OrderAccepted")
    client.join("Sales", "Messages:OrderAccepted")
    client.join("Billing", "Messages:IOrderEvent")
    client.send(b"accepted", "", "Messages:OrderAccepted")
    assert [client.take(name).body for name in ("Sales", "Billing")] == [b"accepted"] * 2


def test_immediate_retries_are_counted() -> None:
    client = TopologyClient()
    endpoint(client, "Sales")
    client.send(b"poison", "", "Sales")
    counts = []
    for _ in range(3):
        message = client.take("Sales")
        counts.append(message.headers.get("x-delivery-count", 0))
        client.reject(message, requeue=True)
    assert counts == [0, 1, 2]

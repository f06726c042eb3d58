"""MassTransit: a fanout exchange for each message type, bound to those of its base types; an exchange with the name of
each queue; `_error` and `_skipped` queues (masstransit.io/documentation/transports/rabbitmq)."""

from __future__ import annotations

from leveret.testing.playbook import publish

from .topology_client import SECOND, TopologyClient

SUBMIT = "Orders:SubmitOrder"
BASE = "Orders:ICommand"


def receive_endpoint(client: TopologyClient, name: str, *types: str) -> None:
    """Declare a receive endpoint that consumes `types`."""
    client.queue(name)
    client.exchange(name, "fanout")
    client.bind(name, name)
    for kind in types:
        client.exchange(kind, "fanout")
        client.join(name, kind)


def side_queue(client: TopologyClient, name: str, suffix: str) -> str:
    """Declare the `_error` or `_skipped` queue."""
    client.queue(name + suffix)
    client.exchange(name + suffix, "fanout")
    client.bind(name + suffix, name + suffix)
    return name + suffix


def test_an_event_is_delivered_once_to_each_endpoint() -> None:
    client = TopologyClient()
    receive_endpoint(client, "submit-order", SUBMIT)
    receive_endpoint(client, "audit", BASE, SUBMIT)
    client.join(BASE, SUBMIT)
    client.send(b"order", "", SUBMIT)
    assert client.ready("submit-order") == 1
    # Two ways lead to the audit: the routing walk visits an exchange once, so there is one copy.
    assert client.ready("audit") == 1


def test_a_command_is_delivered_to_its_endpoint_only() -> None:
    client = TopologyClient()
    receive_endpoint(client, "submit-order", SUBMIT)
    receive_endpoint(client, "audit", SUBMIT)
    client.send(b"order", "", "submit-order")
    assert (client.ready("submit-order"), client.ready("audit")) == (1, 0)


def test_a_failed_message_is_moved_to_the_error_queue() -> None:
    client = TopologyClient()
    receive_endpoint(client, "submit-order", SUBMIT)
    client.send(b"order", "", SUBMIT)
    message = client.take("submit-order")
    error = side_queue(client, "submit-order", "_error")
    fault = {"MT-Fault-Message": "boom", "MT-Fault-RetryCount": 5, "MT-Reason": "fault"}
    client.send(message.body, "", error, headers=fault)
    client.ack(message)
    assert client.take(error).headers == fault
    assert client.get("submit-order") is None


def test_a_delayed_exchange_delays_a_message_to_an_endpoint() -> None:
    client = TopologyClient()
    receive_endpoint(client, "submit-order", SUBMIT)
    delay = client.exchange("submit-order_delay", "x-delayed-message", delayed_type="fanout")
    client.join("submit-order", delay)
    # A delayed message counts as unroutable and would be returned: MassTransit does not publish it as mandatory.
    client.stage.play(publish(b"later", "", delay, headers={"x-delay": 5 * SECOND}))
    client.wait(5 * SECOND - 1)
    assert client.get("submit-order") is None
    client.wait(1)
    assert client.take("submit-order").headers["x-delay"] == -5 * SECOND


def test_a_temporary_endpoint_expires() -> None:
    client = TopologyClient()
    client.queue("bus-endpoint", expires=60 * SECOND)
    client.exchange("bus-endpoint", "fanout")
    client.bind("bus-endpoint", "bus-endpoint")
    client.wait(59 * SECOND)
    assert client.get("bus-endpoint") is None  # it is in use, and is not deleted
    client.wait(59 * SECOND)
    assert client.queues() == ["bus-endpoint"]
    client.wait(SECOND)
    assert client.queues() == []

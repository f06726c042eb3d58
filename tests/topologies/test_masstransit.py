"""MassTransit: a fanout exchange a message type, bound up its hierarchy; an exchange of the queue's name before
each queue; `_error` and `_skipped` beside it (masstransit.io/documentation/transports/rabbitmq)."""

from __future__ import annotations

from leveret.testing.playbook import publish

from .town import SECOND, Town

SUBMIT = "Orders:SubmitOrder"
BASE = "Orders:ICommand"


def receive_endpoint(town: Town, name: str, *types: str) -> None:
    """A receive endpoint that consumes `types`."""
    town.queue(name)
    town.exchange(name, "fanout")
    town.bind(name, name)
    for kind in types:
        town.exchange(kind, "fanout")
        town.join(name, kind)


def aside(town: Town, name: str, suffix: str) -> str:
    """The `_error` or `_skipped` queue, made when first needed."""
    town.queue(name + suffix)
    town.exchange(name + suffix, "fanout")
    town.bind(name + suffix, name + suffix)
    return name + suffix


def test_published_once_for_each_endpoint() -> None:
    town = Town()
    receive_endpoint(town, "submit-order", SUBMIT)
    receive_endpoint(town, "audit", BASE, SUBMIT)
    town.join(BASE, SUBMIT)
    town.send(b"order", "", SUBMIT)
    assert town.ready("submit-order") == 1
    # Two ways lead to the audit: the routing walk visits an exchange once, so there is one copy.
    assert town.ready("audit") == 1


def test_sent_to_the_endpoint_alone() -> None:
    town = Town()
    receive_endpoint(town, "submit-order", SUBMIT)
    receive_endpoint(town, "audit", SUBMIT)
    town.send(b"order", "", "submit-order")
    assert (town.ready("submit-order"), town.ready("audit")) == (1, 0)


def test_faults_are_moved_aside() -> None:
    town = Town()
    receive_endpoint(town, "submit-order", SUBMIT)
    town.send(b"order", "", SUBMIT)
    message = town.take("submit-order")
    error = aside(town, "submit-order", "_error")
    fault = {"MT-Fault-Message": "boom", "MT-Fault-RetryCount": 5, "MT-Reason": "fault"}
    town.send(message.body, "", error, headers=fault)
    town.ack(message)
    assert town.take(error).headers == fault
    assert town.get("submit-order") is None


def test_delayed_exchange_in_front_of_an_endpoint() -> None:
    town = Town()
    receive_endpoint(town, "submit-order", SUBMIT)
    delay = town.exchange("submit-order_delay", "x-delayed-message", delayed_type="fanout")
    town.join("submit-order", delay)
    # A message that waits counts as unroutable: returned if mandatory, so MassTransit does not ask for that.
    town.stage.play(publish(b"later", "", delay, headers={"x-delay": 5 * SECOND}))
    town.wait(5 * SECOND - 1)
    assert town.get("submit-order") is None
    town.wait(1)
    assert town.take("submit-order").headers["x-delay"] == -5 * SECOND


def test_temporary_endpoint_expires() -> None:
    town = Town()
    town.queue("bus-endpoint", expires=60 * SECOND)
    town.exchange("bus-endpoint", "fanout")
    town.bind("bus-endpoint", "bus-endpoint")
    town.wait(59 * SECOND)
    assert town.get("bus-endpoint") is None  # being used, it lives on
    town.wait(59 * SECOND)
    assert town.queues() == ["bus-endpoint"]
    town.wait(SECOND)
    assert town.queues() == []

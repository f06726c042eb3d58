"""What a test does inside the broker, without a client."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.config import ConfigError
from leveret.errors import AmqpError
from leveret.testing import Broker, ToolkitError, Unroutable
from tests.hang import HANG_SECONDS

from .conftest import connect

TOPOLOGY = {
    "exchanges": [{"name": "orders", "type": "topic"}],
    "queues": [{"name": "jobs", "arguments": {"x-max-priority": 5}}, {"name": "big", "type": "quorum"}],
    "bindings": [{"source": "orders", "destination": "jobs", "routing_key": "eu.#"}],
    "policies": [{"name": "ttl", "pattern": "^jobs$", "definition": {"message-ttl": 60000}}],
}


def test_definitions_are_declared(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    assert set(broker.queues) == {"jobs", "big"} and broker.queues["big"].type == "quorum"
    assert broker.queues["jobs"].arguments["x-max-priority"] == 5
    assert broker.exchanges["orders"].bindings == [("eu.#", "jobs")]
    broker.declare(TOPOLOGY)
    with pytest.raises(AmqpError, match="inequivalent arg 'durable' for queue 'jobs'") as caught:
        broker.declare({"queues": [{"name": "jobs", "durable": False, "arguments": {"x-max-priority": 5}}]})
    assert caught.value.code == 406


def test_definitions_of_the_constructor_are_there_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(TOPOLOGY))
    with Broker(definitions=path) as broker, connect(broker) as connection:
        connection.channel().queue_declare("jobs", passive=True)


@pytest.mark.parametrize(
    ("definitions", "text"),
    [
        ({"queue": []}, "no section 'queue'; there is 'queues'"),
        ({"queues": [{"nam": "a"}]}, "a queue needs 'name', a string"),
        ({"queues": [{"name": "a", "vhost": "b"}]}, "virtual host 'b' does not exist"),
    ],
)
def test_bad_definitions_say_what_is_wrong(broker: Broker, definitions: dict[str, object], text: str) -> None:
    with pytest.raises(ToolkitError, match=text):
        broker.declare(definitions)


def test_publishing_from_inside(broker: Broker, channel: BlockingChannel) -> None:
    broker.declare(TOPOLOGY)
    broker.publish("orders", "eu.x", {"id": 1}, headers={"a": [1, "b", None]}, priority=2)
    method, properties, body = channel.basic_get("jobs", auto_ack=True)
    assert json.loads(body) == {"id": 1} and properties.content_type == "application/json"
    assert properties.headers == {"a": [1, "b", None]} and properties.priority == 2
    assert method.routing_key == "eu.x"
    with pytest.raises(Unroutable, match=r"exchange 'orders' with pattern 'eu\.#'"):
        broker.publish("orders", "us.x", "x")
    with pytest.raises(Unroutable, match="exchange 'Orders' does not exist in vhost '/'; 'orders' does"):
        broker.publish("Orders", "us.x", "x")
    broker.publish("orders", "us.x", "x", mandatory=False)
    with pytest.raises(TypeError, match="no property 'prioritty'; there is 'priority'"):
        broker.publish("orders", "eu.x", "x", prioritty=2)
    with pytest.raises(TypeError, match=r"header 'a' is \{1\}, and AMQP has no set"):
        broker.publish("orders", "eu.x", "x", headers={"a": {1}})


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_messages_are_looked_at_and_not_consumed(broker: Broker, channel: BlockingChannel, kind: str) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    for number in range(3000):  # more than stay objects
        channel.basic_publish("", "q", f"{number}".encode())
    channel.basic_get("q")
    found = broker.messages("q")
    assert [int(one.body) for one in found] == list(range(3000))
    assert [one.state for one in found[:2]] == ["unacked", "ready"]
    assert broker.messages("q") == found
    left = itertools.islice(channel.consume("q", auto_ack=True), 2999)
    assert [int(body) for _, _, body in left] == list(range(1, 3000))
    with pytest.raises(ToolkitError, match="queue 'p' does not exist"):
        broker.messages("p")


def test_mappings_say_what_there_is(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("jobs")
    channel.basic_publish("", "jobs", b"x")
    queue = broker.queues["jobs"]
    assert (queue.ready, queue.unacked, queue.consumers, queue.durable) == (1, 0, 0, False)
    assert "jobs" in broker.queues and len(broker.queues) == 1
    with pytest.raises(KeyError, match="there is no queue 'jbs'; there is 'jobs'"):
        broker.queues["jbs"]
    worker = broker.connections["worker"]
    assert worker.given == "worker" and worker.user == "guest" and worker.channels == 1
    assert list(broker.connections) == [worker.name] and broker.connections[worker.name] == worker
    with pytest.raises(KeyError, match="there is no connection 'w'"):
        broker.connections["w"]


def test_a_connection_is_closed_by_the_broker(broker: Broker) -> None:
    connection = connect(broker, "worker")
    broker.connections["worker"].close(text="maintenance")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="maintenance"):
        connection.sleep(HANG_SECONDS)


def test_a_missed_heartbeat_drops_the_connection(broker: Broker) -> None:
    connection = connect(broker, "worker")
    broker.connections["worker"].miss_heartbeats()
    with pytest.raises(pika.exceptions.StreamLostError):
        connection.sleep(HANG_SECONDS)
    assert broker.history.events("heartbeat-missed") and not broker.connections


def test_a_view_is_deleted_with_its_virtual_host(broker: Broker) -> None:
    with broker.vhost() as one, broker.vhost("mine") as other:
        assert one.url.endswith("/test-1") and other.url.endswith("/mine")
        one.declare({"queues": [{"name": "q"}]})
        assert list(one.queues) == ["q"] and not other.queues
        with connect(one) as connection:
            connection.channel().queue_declare("q", passive=True)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        connect(one)
    with pytest.raises(ToolkitError, match="virtual host 'test-1' does not exist any more"):
        len(one.queues)


def test_alarms_block_publishers(broker: Broker, channel: BlockingChannel) -> None:
    blocked: list[str] = []
    channel.connection.add_on_connection_blocked_callback(lambda *args: blocked.append(args[1].method.reason))
    channel.queue_declare("q")
    with broker.alarm("disk"):
        channel.basic_publish("", "q", b"x")
        assert broker.queues["q"].ready == 0
        channel.connection.process_data_events(time_limit=0)
        assert blocked == ["low on disk"]
    broker.wait_for_messages("q")
    broker.block()
    broker.unblock()
    with pytest.raises(ToolkitError, match="there are 'memory', 'disk'"):
        broker.alarm("disc")  # type: ignore[arg-type]
    with pytest.raises(ToolkitError, match="there are 'low on memory', 'low on disk'"):
        broker.block("full")


def test_a_priority_is_an_octet() -> None:
    with Broker() as broker, pytest.raises(ValueError, match="priority is a number from 0 to 255, not 1000"):
        broker.publish("", "q", b"", mandatory=False, priority=1000)


def test_a_wrong_setting_is_named_as_one() -> None:
    with pytest.raises(ConfigError, match=r"^settings: amqp\.hartbeat: unknown setting"):
        Broker(settings={"amqp.hartbeat": 1})


def test_nothing_of_a_test_is_left_however_long_its_deletion_takes(broker: Broker) -> None:
    view = broker._for_test("slow", strict=False, allow=(), lint=None)
    view.declare({"queues": [{"name": "first"}, {"name": "second"}]})
    view.publish("", "second", "x")
    view.clock.freeze()
    seconds = itertools.count()
    broker._node.call(lambda: setattr(broker._node.engine.work, "timer", lambda: float(next(seconds))))
    view._end_of_test()
    assert not broker.clock.frozen and "slow" not in broker._node.engine.vhosts

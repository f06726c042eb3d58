"""Emptying a broker."""

from __future__ import annotations

import gc
import json
import urllib.request
from base64 import b64encode
from urllib.parse import urlsplit

import pika
import pytest

from leveret.testing import Broker, ToolkitError
from tests.hang import HANG_SECONDS

from .conftest import connect

TOPOLOGY = {
    "users": [{"name": "bob", "password": "x", "tags": ""}],
    "vhosts": [{"name": "other"}],
    "exchanges": [{"name": "x", "type": "topic", "vhost": "/"}, {"name": "y", "vhost": "other"}],
    "queues": [
        {"name": "q", "vhost": "/", "arguments": {"x-message-ttl": 1000}},
        {"name": "quorum", "vhost": "/", "type": "quorum"},
        {"name": "q", "vhost": "other"},
    ],
    "bindings": [{"source": "x", "destination": "q", "routing_key": "#", "vhost": "/"}],
    "policies": [{"name": "p", "pattern": ".*", "definition": {"max-length": 5}, "vhost": "/"}],
}


@pytest.mark.parametrize("http", [False, True])
def test_nothing_is_left(http: bool) -> None:
    with Broker(http=http) as broker:
        broker.declare(TOPOLOGY)
        connection = connect(broker)
        channel = connection.channel()
        channel.basic_publish("x", "k", b"1")
        channel.basic_consume("q", lambda *_: None)
        broker.reset()
        assert not broker.queues and "x" not in broker.exchanges and not broker.connections
        assert broker.published() == [] and broker.clock.time() > 0
        assert set(broker._node.call(lambda: broker._node.engine.vhosts)) == {"/"}
        assert broker._node.call(lambda: [u.name for u in broker._node.engine.access.users]) == ["guest"]
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match=r"320.*reset"):
            connection.sleep(HANG_SECONDS)
        with connect(broker) as again:  # and everything can be made anew
            again.channel().queue_declare("q", arguments={"x-max-length": 1})


def test_what_is_kept(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    broker.publish("x", "k", "1")
    broker.reset(keep={"topology", "policies", "users", "history"})
    assert set(broker.queues) == {"q", "quorum"} and broker.queues["q"].ready == 0
    assert broker.published().one().outcome() == "purged"
    engine = broker._node.engine
    assert broker._node.call(lambda: (set(engine.vhosts), {u.name for u in engine.access.users})) == (
        {"/", "other"},
        {"guest", "bob"},
    )
    assert broker._node.call(lambda: engine.policies.get("/", "p")) is not None
    broker.reset(keep={"vhosts"})
    assert broker._node.call(lambda: set(engine.vhosts)) == {"/", "other"} and not broker.queues
    with pytest.raises(ToolkitError, match=r"keep='topolgy'.*there is 'topology'"):
        broker.reset(keep={"topolgy"})


def test_a_view_empties_its_virtual_host_alone(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    view = broker.vhost("other")
    with connect(view) as connection, connect(broker) as stays:
        view.reset()
        assert not view.queues and set(broker.queues) == {"q", "quorum"}
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            connection.sleep(HANG_SECONDS)
        stays.channel()
        with connect(view) as again:
            again.channel().queue_declare("q")


def test_definitions_of_the_constructor_are_there_again() -> None:
    with Broker(definitions=TOPOLOGY) as broker:
        broker.publish("x", "k", "1")
        broker.reset()
        assert set(broker.queues) == {"q", "quorum"} and broker.queues["q"].ready == 0


def test_timers_of_what_was_there_do_nothing_any_more(broker: Broker) -> None:
    broker.declare(
        {
            "queues": [
                {
                    "name": "wait",
                    "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"},
                },
                {"name": "gone", "arguments": {"x-expires": 20}},
                {"name": "q"},
            ]
        }
    )
    broker.publish("", "wait", "x", expiration="20")
    broker.reset()
    broker.declare(
        {"queues": [{"name": "q"}, {"name": "gone"}, {"name": "ticks", "arguments": {"x-expires": 60}}]}
    )
    broker.wait_until(lambda: "ticks" not in broker.queues)
    assert broker.queues["q"].ready == 0 and "gone" in broker.queues


def test_a_large_topology_goes_at_once_and_is_freed_bit_by_bit(broker: Broker) -> None:
    queues = [{"name": f"q{number}"} for number in range(2000)]
    bindings = [
        {"source": "amq.topic", "destination": one["name"], "routing_key": one["name"]} for one in queues
    ]
    gc.collect()
    before = _bindings_in_memory()
    broker.declare({"queues": queues, "bindings": bindings})
    broker.reset()
    assert not broker.queues
    broker.wait_until(lambda: not broker._node.engine.work.jobs)
    assert broker._node.call(_bindings_in_memory) - before < len(queues) / 2


def _bindings_in_memory() -> int:
    """How many bindings of all brokers in this process the garbage collector knows."""
    return sum(type(each).__name__ == "Binding" for each in gc.get_objects())


def test_the_http_api_starts_when_its_address_is_asked_for(broker: Broker) -> None:
    broker.declare({"queues": [{"name": "q"}]})
    parts = urlsplit(broker.http_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}/api/queues/%2F/q")
    request.add_header("Authorization", "Basic " + b64encode(b"guest:guest").decode())
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["name"] == "q"


def test_what_was_reset_is_freed_queue_by_queue(broker: Broker) -> None:
    names = ["a", "b", "c"]
    bindings = [{"source": "amq.topic", "destination": name, "routing_key": "#"} for name in names]
    broker.declare({"queues": [{"name": name} for name in names], "bindings": bindings})
    old = broker._node.engine.vhosts["/"]
    queues = list(old.queues.values())
    assert all(old.removals.sources.any(queue) for queue in queues)
    broker.reset()
    broker.wait_until(lambda: not broker._node.engine.work.jobs)
    assert not any(old.removals.sources.any(queue) for queue in queues)
    assert not old.queues and not old.exchanges

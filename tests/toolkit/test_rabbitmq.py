"""The same tests against a real RabbitMQ. Here another Leveret, asked over HTTP alone, stands for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from leveret.testing import Broker, ToolkitError, Unroutable, Unsupported, WaitTimeout
from leveret.testing.rabbitmq import RabbitMQ
from tests.server.auth_service import serving

from .conftest import connect
from .test_plugin import outcomes, run

TOPOLOGY = {
    "exchanges": [{"name": "x", "type": "topic"}],
    "queues": [{"name": "q"}, {"name": "quorum", "type": "quorum"}],
    "bindings": [{"source": "x", "destination": "q", "routing_key": "a.#"}],
    "policies": [{"name": "p", "pattern": ".*", "definition": {"max-length": 9}}],
}


def test_what_the_http_api_can_serve(broker: Broker) -> None:
    server = RabbitMQ(broker.url, broker.http_url)
    with server.vhost("mine") as view:
        view.declare(TOPOLOGY)
        assert set(view.queues) == set(broker.vhost("mine").queues) == {"q", "quorum"}
        view.publish("x", "a.b", {"id": 1}, content_type="application/json")
        with pytest.raises(Unroutable):
            view.publish("x", "b", "x")
        view.assert_queue("q", ready=1, consumers=0)
        assert view.wait_for_messages("q")[0].json() == {"id": 1}
        view.wait_for_queue("quo*")
        with connect(broker.vhost("mine"), "worker") as connection:
            view.wait_for_connection("work*")
            connection.channel().basic_consume("q", lambda *_: None)
            view.wait_for_consumer("q")
        with pytest.raises(WaitTimeout, match="wanted queue 'z' within"):
            view.wait_for_queue("z", timeout=0.01)
        with pytest.raises(AssertionError, match="queue 'quorum' has 0 ready, wanted 1"):
            view.assert_queue("quorum", ready=1, timeout=0)
        with pytest.raises(KeyError):
            view.queues["z"]
        view.reset()
        assert not view.queues
    assert "mine" not in broker._node.call(lambda: list(broker._node.engine.vhosts))


@pytest.mark.parametrize(
    "name", ["published", "clock", "faults", "history", "wait_idle", "snapshot", "restart"]
)
def test_what_needs_leveret_says_so(name: str) -> None:
    with pytest.raises(Unsupported, match=f"`{name}` needs Leveret"):
        getattr(RabbitMQ("amqp://localhost"), name)


def test_a_server_without_http_api_says_so(broker: Broker) -> None:
    server = RabbitMQ(broker.url, f"http://127.0.0.1:{broker.port}")
    with pytest.raises(ToolkitError, match="the HTTP API of RabbitMQ does not answer at"):
        server.vhost("x")


@pytest.mark.parametrize("text", ["{}", '[{"name": "q"}, 1]', '[{"name": null}]'])
async def test_an_answer_that_is_none_of_rabbitmq_says_so(text: str) -> None:
    async with serving() as other:
        other.decide = lambda path, fields: text
        server = RabbitMQ("amqp://localhost", f"http://127.0.0.1:{other.port}")
        with pytest.raises(ToolkitError, match="RabbitMQ answered GET /queues/%2F with "):
            await asyncio.to_thread(lambda: list(server.queues))


async def test_waits_are_coroutines_on_the_other_face(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    server = RabbitMQ(broker.url, broker.http_url)
    await server.aio.wait_for_queue("q")
    assert server.aio.host == broker.host


def test_one_option_runs_tests_against_it(broker: Broker, tmp_path: Path) -> None:
    source = """
import pytest

def test_both(rabbitmq):
    with connect(rabbitmq.url) as connection:
        connection.channel().queue_declare("q", durable=True)
        connection.channel().basic_publish("", "q", b"x")
    assert rabbitmq.wait_for_messages("q")[0].body == b"x"

@pytest.mark.rabbitmq(strict=True)
def test_leveret_alone(rabbitmq):
    rabbitmq.assert_published()

def test_fails(rabbitmq):
    rabbitmq.assert_queue("q", ready=1)
"""
    output = run(tmp_path, source, f"--rabbitmq-url={broker.url}", f"--rabbitmq-http-url={broker.http_url}")
    assert outcomes(output)["test_both"] == "PASSED", output
    assert "1 failed, 1 passed, 1 skipped" in output, output
    assert "`assert_published` needs Leveret" in output
    assert broker.history.events("queue-created", queue="q")
    assert set(broker._node.call(lambda: list(broker._node.engine.vhosts))) == {"/"}

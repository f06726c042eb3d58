"""Toxiproxy's API, version 2, on the broker's own sockets."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from pika.exceptions import AMQPConnectionError, AMQPError

from leveret.testing import Broker
from leveret.testing.toxiproxy import ATTRIBUTES
from tests.toolkit.clients import RESET_WHILE_CONNECTING, connect

Answer = tuple[int, Any]


class Api:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def __call__(
        self, method: str, path: str, body: Any = None, agent: str = "test", data: bytes | None = None
    ) -> Answer:
        """Send a body as JSON, or `data` as it is."""
        request = urllib.request.Request(
            self.broker.toxiproxy_url + path,
            method=method,
            data=data if body is None else json.dumps(body).encode(),
            headers={"User-Agent": agent},
        )
        try:
            with urllib.request.urlopen(request) as response:
                text = response.read()
                return response.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
                return error.code, json.loads(text) if text.startswith(b"{") else text

    @property
    def upstream(self) -> str:
        return f"{self.broker.host}:{self.broker.port}"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(toxiproxy=True) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Api:
    return Api(broker)


def test_the_listener_is_a_proxy(broker: Broker, api: Api) -> None:
    own = {
        "name": "rabbitmq",
        "listen": api.upstream,
        "upstream": api.upstream,
        "enabled": True,
        "toxics": [],
    }
    assert api("GET", "/proxies") == (200, {"rabbitmq": own})
    assert api("GET", "/proxies/rabbitmq") == (200, own)
    assert api("GET", "/version")[1]["version"].startswith("2.")
    assert api("GET", "/metrics")[0] == 200


def test_a_disabled_listener_refuses_and_drops(broker: Broker, api: Api) -> None:
    connection = connect(broker)
    assert api("POST", "/proxies/rabbitmq", {"enabled": False})[1]["enabled"] is False
    with pytest.raises(AMQPError):
        connection.channel()
    with pytest.raises(AMQPConnectionError):
        connect(broker)
    assert api("POST", "/reset") == (204, None)
    connect(broker).close()


def test_another_proxy_has_a_listener_and_toxics_of_its_own(broker: Broker, api: Api) -> None:
    status, made = api(
        "POST", "/proxies", {"name": "more", "listen": "127.0.0.1:0", "upstream": api.upstream}
    )
    assert status == 201 and made["enabled"] is True and made["listen"] != api.upstream
    assert api("POST", "/proxies/more/toxics", {"type": "reset_peer", "attributes": {"timeout": 0}})[0] == 200
    connect(broker).close()
    import pika

    host, _, port = made["listen"].rpartition(":")
    with pytest.raises(RESET_WHILE_CONNECTING):
        pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))
    assert api("DELETE", "/proxies/more/toxics/reset_peer_downstream") == (204, None)
    pika.BlockingConnection(pika.ConnectionParameters(host, int(port))).close()
    assert api("DELETE", "/proxies/more") == (204, None)
    with pytest.raises(AMQPConnectionError):
        pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))
    assert api("DELETE", "/proxies/rabbitmq") == (204, None)
    connect(broker).close()


@pytest.mark.parametrize("kind", sorted(ATTRIBUTES))
@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_toxic_is_added_shown_changed_and_removed(api: Api, kind: str, stream: str) -> None:
    toxics = "/proxies/rabbitmq/toxics"
    name = next(iter(ATTRIBUTES[kind]))
    given = {"type": kind, "stream": stream, "attributes": {name: 3}}
    shown = {
        "attributes": {**ATTRIBUTES[kind], name: 3},
        "name": f"{kind}_{stream}",
        "type": kind,
        "stream": stream,
        "toxicity": 1.0,
    }
    assert api("POST", toxics, given) == (200, shown)
    assert api("GET", toxics) == (200, [shown])
    assert api("GET", f"{toxics}/{kind}_{stream}") == (200, shown)
    changed = shown | {"attributes": {**ATTRIBUTES[kind], name: 4}, "toxicity": 0.5}
    for method in ("POST", "PATCH"):
        answer = api(method, f"{toxics}/{kind}_{stream}", {"attributes": {name: 4}, "toxicity": 0.5})
        assert answer == (200, changed)
    assert api("POST", "/reset") == (204, None)
    assert api("GET", toxics) == (200, [])


def test_toxics_slow_a_connection_that_there_is(broker: Broker, api: Api) -> None:
    with connect(broker) as connection:
        channel = connection.channel()
        for stream in ("upstream", "downstream"):
            for kind, attributes in (
                ("latency", {"latency": 2}),
                ("bandwidth", {"rate": 1000}),
                ("slicer", {"average_size": 10, "size_variation": 3}),
            ):
                given = {"type": kind, "stream": stream, "attributes": attributes}
                assert api("POST", "/proxies/rabbitmq/toxics", given)[0] == 200
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x" * 1000)
        assert channel.basic_get("q", auto_ack=True)[2] == b"x" * 1000
        assert api("POST", "/reset")[0] == 204


def test_a_timeout_ends_connections(broker: Broker, api: Api) -> None:
    api("POST", "/proxies/rabbitmq/toxics", {"type": "timeout", "attributes": {"timeout": 10}})
    with pytest.raises(AMQPConnectionError):
        connect(broker)


def test_populate_keeps_what_is_the_same(api: Api) -> None:
    given = [{"name": "a", "listen": "127.0.0.1:0", "upstream": api.upstream}]
    status, first = api("POST", "/populate", given)
    assert status == 201
    same = [{**given[0], "listen": first["proxies"][0]["listen"]}]
    assert api("POST", "/populate", same) == (201, first)
    assert api("POST", "/populate", given)[1] != first
    assert set(api("GET", "/proxies")[1]) == {"rabbitmq", "a"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/proxies/nobody", None, 404, "proxy not found"),
        ("GET", "/proxies/rabbitmq/toxics/none", None, 404, "toxic not found"),
        ("POST", "/proxies", {"upstream": "x:1"}, 400, "missing required field: name"),
        ("POST", "/proxies", {"name": "a"}, 400, "missing required field: upstream"),
        ("POST", "/proxies", {"name": "rabbitmq", "upstream": "x:1"}, 409, "proxy already exists"),
        (
            "POST",
            "/proxies",
            {"name": "a", "upstream": "x:1"},
            400,
            "upstream x:1 is not a listener of this broker",
        ),
        ("POST", "/proxies/rabbitmq/toxics", {"type": "acid"}, 400, "invalid toxic type"),
        ("POST", "/proxies/rabbitmq/toxics", {"type": "latency", "stream": "in"}, 400, "stream was invalid"),
        ("POST", "/proxies/rabbitmq/toxics", {"type": "latency", "toxicity": 2}, 400, "bad request body"),
        (
            "POST",
            "/proxies/rabbitmq/toxics",
            {"type": "latency", "attributes": {"latency": "1"}},
            400,
            "bad request",
        ),
        ("POST", "/proxies/rabbitmq/toxics", {"type": "latency", "toxicity": True}, 400, "bad request body"),
        ("POST", "/proxies/rabbitmq/toxics", {"type": "latency", "attributes": [1]}, 400, "bad request body"),
        ("POST", "/proxies/rabbitmq/toxics", [], 400, "bad request body"),
        ("POST", "/proxies/rabbitmq", None, 400, "bad request body"),
        ("POST", "/proxies/rabbitmq", {"listen": 1}, 400, "bad request body"),
        ("POST", "/proxies", [], 400, "bad request body"),
        ("POST", "/proxies", {"name": ["a"]}, 400, "bad request body"),
        ("POST", "/populate", {}, 400, "bad request body"),
        ("POST", "/populate", ["a"], 400, "bad request body"),
        ("POST", "/populate", [{"upstream": "x:1"}], 400, "missing required field: name"),
        ("POST", "/populate", [{"name": "a"}], 400, "missing required field: upstream"),
    ],
)
def test_a_wrong_call(api: Api, method: str, path: str, body: Any, status: int, text: str) -> None:
    found, answer = api(method, path, body)
    assert (found, answer["status"]) == (status, status) and text in answer["error"]


@pytest.mark.parametrize(
    ("attribute", "value"), [("latency", True), ("latency", -1), ("latency", 1.5), ("jitter", None)]
)
def test_an_attribute_is_a_count(api: Api, attribute: str, value: object) -> None:
    given = {"type": "latency", "attributes": {attribute: value}}
    assert api("POST", "/proxies/rabbitmq/toxics", given)[0] == 400
    assert api("GET", "/proxies/rabbitmq/toxics") == (200, [])


def test_a_body_that_is_no_json(api: Api) -> None:
    status, answer = api("POST", "/proxies", data=b"{")
    assert (status, answer) == (400, {"error": "bad request body", "status": 400})


def test_a_toxic_is_added_once_and_browsers_are_refused(api: Api) -> None:
    for expected in (200, 409):
        assert api("POST", "/proxies/rabbitmq/toxics", {"type": "latency"})[0] == expected
    assert api("GET", "/proxies", agent="Mozilla/5.0")[0] == 403

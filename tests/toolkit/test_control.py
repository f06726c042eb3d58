"""`/api/leveret`: each call does what the toolkit does, and answers as its OpenAPI document says."""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from pika.exceptions import AMQPError, NackError

from leveret.testing import Broker
from leveret.testing.control_table import problem
from tests.hang import HANG_SECONDS
from tests.toolkit.clients import connect


@dataclass(frozen=True)
class Answer:
    status: int
    json: Any


class Http:
    """Calls below /api/leveret. Each answer is compared with the document."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.base = urllib.parse.urlsplit(broker.http_url)
        self.document = self.raw("GET", "openapi.json").json
        self.called: set[tuple[str, str, int]] = set()

    def raw(self, method: str, path: str, body: Any = None, user: str = "guest:guest") -> Answer:
        request = urllib.request.Request(
            f"http://{self.base.hostname}:{self.base.port}/api/leveret/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Basic " + base64.b64encode(user.encode()).decode()},
        )
        try:
            with urllib.request.urlopen(request) as response:
                text = response.read()
                if response.headers["Content-Type"] == "application/jsonl":
                    return Answer(response.status, [json.loads(line) for line in text.splitlines()])
                return Answer(response.status, json.loads(text) if text else None)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
                return Answer(error.code, json.loads(text) if text else None)

    def __call__(self, method: str, path: str, body: Any = None, user: str = "guest:guest") -> Answer:
        answer = self.raw(method, path, body, user)
        known = self.template(path.partition("?")[0])
        described = self.document["paths"][known][method.lower()]["responses"]
        assert str(answer.status) in described, (method, path, answer)
        self.called.add((method, known, answer.status))
        content = described[str(answer.status)].get("content")
        if content is not None and "application/jsonl" in content:
            return answer
        if content is not None:
            assert problem(content["application/json"]["schema"], answer.json, "the answer") is None, answer
        else:
            assert answer.json is None or answer.status == 401
        return answer

    def template(self, path: str) -> str:
        """The path of the document that a path is an example of."""
        parts = path.split("/")
        for known in self.document["paths"]:
            names = known[1:].split("/")
            if len(names) == len(parts) and all(
                name == part or name.startswith("{") for name, part in zip(names, parts, strict=True)
            ):
                return str(known)
        raise AssertionError(f"{path} is not in the document")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        yield broker


@pytest.fixture
def http(broker: Broker) -> Http:
    return Http(broker)


def test_the_document_is_complete(http: Http) -> None:
    assert http.document["openapi"] == "3.1.0"
    names = {name for paths in http.document["paths"].values() for name in paths}
    assert names == {"get", "put", "post", "delete"}
    operations = [one["operationId"] for paths in http.document["paths"].values() for one in paths.values()]
    assert len(operations) == len(set(operations))

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if "$ref" in value else [])
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    schemas = http.document["components"]["schemas"]
    assert {one.rpartition("/")[2] for one in references(http.document)} <= set(schemas)


def test_the_clock(broker: Broker, http: Http) -> None:
    began = datetime.fromisoformat(http("GET", "clock").json["now"])
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 60_000})
        channel.basic_publish("", "q", b"")
        assert http("GET", "clock").json["due"][0]["queue"] == "q"
        moved = http("POST", "clock/advance", {"by": 60}).json
        assert (moved["steps"], moved["kept"]) == (1, [])
        assert datetime.fromisoformat(moved["now"]) == began + timedelta(seconds=60)
    later = began + timedelta(days=1)
    assert http("POST", "clock/move", {"to": later.isoformat()}).status == 200
    assert http("POST", "clock/move", {"to": began.isoformat()}).status == 400
    assert http("POST", "clock/run-until-idle", {"limit": 5, "quiet": 0}).json["steps"] == 0
    assert http("POST", "clock/hold").status == 204
    refused = http("POST", "clock/advance", {"by": 1, "patience": 0.01})
    assert refused.status == 408 and refused.json["reasons"][0]["kind"] == "held-clock"
    assert http("POST", "clock/release").status == 204
    assert http("POST", "clock/release").status == 400
    assert http("PUT", "clock", {"hold_eta": True, "heartbeats": "virtual", "skipping": True}).status == 204
    shown = http("GET", "clock").json
    assert (shown["hold_eta"], shown["heartbeats"], shown["skipping"]) == (True, "virtual", True)
    assert http("PUT", "clock", {"skipping": False}).status == 204
    assert http("POST", "clock/resume", {"rate": 2}).status == 204
    assert http("GET", "clock").json["frozen"] is False
    assert http("POST", "clock/freeze").status == 204


def test_faults(broker: Broker, http: Http) -> None:
    armed = http("POST", "faults", {"on": "basic.publish", "nth": 2, "queue": "jobs", "do": "reset"})
    assert armed.status == 201
    path = f"faults/{armed.json['id']}"
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("jobs", durable=True)
        channel.confirm_delivery()
        held = http("POST", "faults", {"on": "confirms", "do": "nack", "effect": False}).json["id"]
        with pytest.raises(NackError):
            channel.basic_publish("", "jobs", b"")
        with pytest.raises(AMQPError):
            channel.basic_publish("", "jobs", b"")
    assert http("GET", path).json["hits"] == 1
    assert [one["described"] for one in http("GET", "faults").json] == [
        "on('basic.publish', nth=2, queue='jobs').reset()",
        "confirms().nack()",
    ]
    assert http("POST", f"faults/{held}/release").status == 400
    holding = http("POST", "faults", {"on": "confirms", "do": "hold"}).json["id"]
    assert http("POST", f"faults/{holding}/release", {"n": None}).json == {"released": 0}
    assert http("DELETE", path).status == 204
    assert http("GET", path).status == http("DELETE", path).status == 404
    assert http("POST", "faults/99/release").status == 404
    assert http("DELETE", "faults").status == 204
    assert http("GET", "faults").json == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"on": "basic.publish"}, "'do' is missing in the body"),
        ({"on": "basic.publish", "do": "explode"}, "'do' is 'explode'; at basic.publish it is one of"),
        ({"on": "basic.publsh", "do": "reset"}, "'basic.publish'?"),
        ({"on": "basic.publish", "do": "reset", "queu": "q"}, "'queu' is unknown in the body"),
        ({"do": "reset", "nth": "3"}, "'nth' is '3', and must be integer"),
        ({"do": "latency", "seconds": -1}, "'seconds' is -1, and must be at least 0"),
    ],
)
def test_a_wrong_fault(http: Http, body: Any, reason: str) -> None:
    answer = http("POST", "faults", body)
    assert answer.status == 400 and reason in answer.json["reason"]


def test_history_and_waiting(broker: Broker, http: Http) -> None:
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"text")
        channel.basic_publish("", "q", b"\xff")
        channel.basic_publish("", "nowhere", b"")
        assert [one["body"] for one in http("GET", "history?queue=q").json] == ["text", {"base64": "/w=="}]
        first = http("GET", "history?queue=q&outcome=ready").json[0]
        assert (first["queues"], first["outcome"], first["user"]) == (["q"], {"q": "ready"}, "guest")
        assert "queue 'q'" in http("GET", f"history/{first['id']}").json["story"]
        assert http("GET", "history/999").status == 404
        assert [one["routing_key"] for one in http("GET", "unroutable").json] == ["nowhere"]
        for body in (
            {"for": "idle", "quiet": 0},
            {"for": "messages", "queue": "q", "count": 2},
            {"for": "published", "queue": "q"},
            {"for": "queue", "queue": "q"},
            {"for": "connection"},
        ):
            assert http("POST", "wait", {**body, "timeout": HANG_SECONDS}).status == 200
        late = http("POST", "wait", {"for": "consumer", "queue": "q", "timeout": 0.01})
        assert late.status == 408 and "q" in late.json["reason"]
        channel.basic_get("q")
        late = http("POST", "wait", {"for": "idle", "timeout": 0.05})
        assert late.status == 408 and late.json["reasons"][0]["queue"] == "q"
        late = http("POST", "wait", {"for": "acked", "queue": "q", "timeout": 0.01})
        assert late.status == 408
        assert http("POST", "wait", {"for": "messages"}).status == 400
    assert http("GET", "clean").json["unroutable"]
    assert http("PUT", "strict", {"rules": ["errors"], "allow": ["errors:404"]}).status == 204
    assert http("GET", "clean").json == {}
    assert http("PUT", "strict", {"rules": ["nonsense"]}).status == 400
    assert http("DELETE", "history").status == 204
    assert http("GET", "history").json == []


def test_life(broker: Broker, http: Http) -> None:
    broker.declare({"queues": [{"name": "q"}]})
    snapshot = http("POST", "snapshots").json["id"]
    assert http("POST", "reset", {"keep": ["users"]}).status == 204
    assert not broker.queues
    assert http("POST", f"snapshots/{snapshot}/restore").status == 204
    assert list(broker.queues) == ["q"]
    assert http("POST", "snapshots/99/restore").status == 404
    assert http("POST", "restart", {"down": 0}).status == 204
    assert http("PUT", "alarms/disk").status == 204
    assert broker._node.call(lambda: broker._node.engine.alarms) == {"disk"}
    assert http("DELETE", "alarms/disk").status == 204
    assert http("PUT", "alarms/fire").status == http("DELETE", "alarms/fire").status == 404
    made = http("POST", "vhosts").json
    assert made["url"].endswith("/" + made["name"])
    assert http("POST", "vhosts", {"name": "mine"}).json["name"] == "mine"
    assert http("GET", "history?vhost=mine").json == []
    assert http.raw("GET", "history?vhost=nobodys").status == 404


def test_a_recording_is_played_again(broker: Broker, http: Http) -> None:
    assert http("GET", "recording").status == 404
    assert http("POST", "recording/start").status == 204
    assert http("POST", "recording/start").status == 400
    with connect(broker) as connection:
        connection.channel().queue_declare("q", durable=True)
    assert http("POST", "recording/stop").status == 204
    assert http("POST", "recording/stop").status == 400
    lines = http("GET", "recording").json
    assert "queue.declare" in {line["method"] for line in lines}
    broker.reset()
    replayed = http("POST", "replay", {"lines": lines, "timeout": HANG_SECONDS})
    assert replayed.status == 200 and replayed.json["compared"] > 0, replayed
    broker.reset()
    broker.declare({"queues": [{"name": "q", "durable": True, "arguments": {"x-max-length": 1}}]})
    assert http("POST", "replay", {"lines": lines, "timeout": HANG_SECONDS}).status == 409


def test_only_administrators_are_served(broker: Broker, http: Http) -> None:
    for path in ("clock", "openapi.json"):
        assert http.raw("GET", path, user="guest:wrong").status == 401
    assert http.raw("GET", "nothing").status == 404
    assert http.raw("POST", "clock/freeze", [1]).status == 400


def test_a_wait_over_http_holds_nobody_up(broker: Broker, http: Http) -> None:
    answers: list[Answer] = []
    wait = {"for": "queue", "queue": "later", "timeout": HANG_SECONDS}
    waiting = threading.Thread(target=lambda: answers.append(http("POST", "wait", wait)))
    waiting.start()
    with connect(broker) as connection:
        connection.channel().queue_declare("later", durable=True)
        waiting.join()
    assert answers[0].status == 200

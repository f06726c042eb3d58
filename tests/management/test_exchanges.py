"""`/api/exchanges`, and the delayed messages of exchanges."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.engine.policies import Policy
from leveret.queues.message import Message, frame_content
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field
from tests.management.conftest import Api


def declare(api: Api, name: str, kind: str = "direct", **arguments: Field) -> Any:
    return api.node.broker.vhosts["/"].declare_exchange(
        name, kind, durable=True, auto_delete=False, internal=False, arguments=arguments, user="guest"
    )


def delayed(key: bytes, delay: int, body: bytes = b"") -> Message:
    headers = {"x-delay": Field("I", delay)}
    content, head = frame_content(encode_properties(Properties(headers=headers), len(body)), body)
    return Message(b"later", key, content, head, len(body))


async def test_the_exchanges_of_a_virtual_host_are_listed(api: Api) -> None:
    shown = await api.get("exchanges/%2F")
    assert [one["name"] for one in shown][:2] == ["", "amq.direct"]
    assert shown[0] == {
        "arguments": {},
        "auto_delete": False,
        "durable": True,
        "internal": False,
        "name": "",
        "type": "direct",
        "user_who_performed_action": "rmq-internal",
        "vhost": "/",
    }
    assert await api.get("exchanges") == shown
    page = await api.get("exchanges?page=1&page_size=2&name=amq.d")
    assert [one["name"] for one in page["items"]] == ["amq.direct"]
    assert (await api("GET", "exchanges/none"))[0] == 404


async def test_an_exchange_is_shown_with_its_policy(api: Api) -> None:
    declare(api, "e", "topic", **{"alternate-exchange": Field("S", b"other")})
    vhost = api.node.broker.vhosts["/"]
    api.node.broker.policies.set(Policy("/", "p", "^e", {"alternate-exchange": "x"}, 0, "exchanges"))
    vhost.apply_policies()
    shown = await api.get("exchanges/%2F/e")
    assert (shown["type"], shown["arguments"], shown["policy"]) == (
        "topic",
        {"alternate-exchange": "other"},
        "p",
    )
    assert shown["incoming"] == shown["outgoing"] == []
    assert "messages_delayed" not in shown
    assert (await api.get("exchanges/%2F/amq.default"))["name"] == ""
    assert (await api("GET", "exchanges/%2F/none"))[0] == 404


async def test_an_exchange_shows_its_delayed_messages(api: Api) -> None:
    exchange = declare(api, "later", "x-delayed-message", **{"x-delayed-type": Field("S", b"direct")})
    vhost = api.node.broker.vhosts["/"]
    assert (await api.get("exchanges/%2F/later"))["messages_delayed"] == 0
    now = api.node.broker.clock.now
    for key, delay in ((b"b", 120_000), (b"a", 60_000)):
        assert vhost.publisher.route(exchange, delayed(key, delay, b"body")) == []
    assert (await api.get("exchanges/%2F/later"))["messages_delayed"] == 2
    waiting = await api.get("exchanges/%2F/later/delayed")
    assert [one["routing_key"] for one in waiting] == ["a", "b"]
    assert waiting[0]["due_at"] == now + 60_000
    assert 0 < waiting[0]["delay_left"] <= 60_000
    assert (waiting[0]["payload_bytes"], waiting[0]["persistent"]) == (4, False)
    page = await api.get("exchanges/%2F/later/delayed?page=2&page_size=1")
    assert [one["routing_key"] for one in page["items"]] == ["b"]
    assert (await api("GET", "exchanges/%2F/amq.direct/delayed"))[0] == 404


async def test_a_new_exchange_of_the_same_name_gets_the_delayed_messages(api: Api) -> None:
    later = {"x-delayed-type": Field("S", b"direct")}
    exchange = declare(api, "later", "x-delayed-message", **later)
    vhost = api.node.broker.vhosts["/"]
    vhost.publisher.route(exchange, delayed(b"a", 60_000))
    vhost.delete_exchange(exchange)
    declare(api, "later", "x-delayed-message", **later)
    assert (await api.get("exchanges/%2F/later"))["messages_delayed"] == 1
    vhost.delayed._release(1)
    assert (await api.get("exchanges/%2F/later"))["messages_delayed"] == 0


async def test_exchanges_are_declared_and_deleted(api: Api) -> None:
    topic = {"type": "topic", "durable": True}
    assert await api("PUT", "exchanges/%2F/e", topic) == (201, None)
    assert await api("PUT", "exchanges/%2F/e", topic) == (204, None)
    status, refusal = await api("PUT", "exchanges/%2F/e", {})
    text = "inequivalent arg 'type' for exchange 'e' in vhost '/': received 'direct' but current is 'topic'"
    assert (status, refusal) == (400, {"error": "bad_request", "reason": text})
    assert await api(
        "PUT", "exchanges/%2F/i", {"type": "fanout", "internal": True, "auto_delete": "true"}
    ) == (
        201,
        None,
    )
    shown = await api.get("exchanges/%2F/i")
    assert (shown["internal"], shown["auto_delete"], shown["durable"]) == (True, True, False)
    assert shown["user_who_performed_action"] == "guest"
    vhost = api.node.broker.vhosts["/"]
    vhost.bind(vhost.exchanges["e"], vhost.exchanges["i"], "k", {})
    status, refusal = await api("DELETE", "exchanges/%2F/e?if-unused=true")
    assert (status, refusal["reason"]) == (400, "exchange 'e' in vhost '/' in use")
    assert await api("DELETE", "exchanges/%2F/e?if-unused=false") == (204, None)
    assert (await api("DELETE", "exchanges/%2F/e"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("PUT", "%2F/y", {"type": "nope"}, 400, "unknown exchange type 'nope'"),
        ("PUT", "%2F/y", {"type": ""}, 400, "invalid exchange type ''"),
        ("PUT", "%2F/y", {"durable": "maybe"}, 400, ["not_boolean", "maybe"]),
        ("PUT", "%2F/amq.zz", {"type": "fanout"}, 401, "Access refused."),
        ("PUT", "%2F/amq.default", {"type": "direct"}, 401, "Access refused."),
        ("PUT", "none/y", {}, 404, "vhost_not_found"),
        ("DELETE", "%2F/amq.topic", None, 401, "Access refused."),
        ("DELETE", "%2F/amq.default", None, 401, "Access refused."),
        ("DELETE", "%2F/none", None, 404, "Not Found"),
        (
            "PUT",
            "%2F/z",
            {"arguments": {"alternate-exchange": 5}},
            400,
            "invalid type 'long' for arg 'alternate-exchange' in exchange 'z' in vhost '/'",
        ),
    ],
)
async def test_invalid_operations_on_exchanges_are_refused(
    api: Api, method: str, path: str, body: object, status: int, reason: object
) -> None:
    got, refusal = await api(method, f"exchanges/{path}", body)
    assert (got, refusal["reason"]) == (status, reason)

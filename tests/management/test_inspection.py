"""Look at messages where they are, see who holds others, and move them."""

from __future__ import annotations

from typing import Any

import pika
import pytest

from leveret.engine.operations import messages as operations_on_messages
from leveret.management.resources import inspection
from leveret.management.resources.problems import STUCK_MS, stuck
from leveret.server.log import connections, log

from .conftest import Api


async def declare(api: Api, name: str, **arguments: Any) -> None:
    assert (await api("PUT", f"queues/%2F/{name}", {"durable": True, "arguments": arguments}))[0] == 201


async def publish(api: Api, key: str, *payloads: str, **properties: Any) -> None:
    for payload in payloads:
        body = {
            "routing_key": key,
            "payload": payload,
            "payload_encoding": "string",
            "properties": properties,
        }
        assert (await api("POST", "exchanges/%2F/amq.default/publish", body))[1] == {"routed": True}


async def look(api: Api, name: str = "q", query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await api.get(f"leveret/queues/%2F/{name}/messages{query}")
    return found


async def counts(api: Api, name: str = "q") -> tuple[int, int]:
    queue = await api.get(f"queues/%2F/{name}")
    return queue["messages_ready"], queue["messages_unacknowledged"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_messages_are_seen_and_stay(api: Api, kind: str) -> None:
    await declare(api, "q", **{"x-queue-type": kind})
    await publish(api, "q", "one", "two", "three", content_type="text/plain")
    for _ in range(2):
        found = await look(api, query="?count=2")
        assert [one["payload"] for one in found] == ["one", "two"]
        assert found[0]["redelivered"] is False
        assert found[0]["properties"]["content_type"] == "text/plain"
        assert (found[0]["exchange"], found[0]["routing_key"], found[0]["payload_bytes"]) == ("", "q", 3)
    queue = await api.get("queues/%2F/q")
    assert queue["messages_ready"] == 3
    assert queue.get("message_stats", {}).get("deliver_get", 0) == 0
    _, (got,) = await api(
        "POST", "queues/%2F/q/get", {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    )
    assert (got["payload"], got["redelivered"]) == ("one", False)


async def test_the_order_is_that_of_delivery(api: Api) -> None:
    await declare(api, "q", **{"x-max-priority": 5})
    await publish(api, "q", "low", priority=1)
    await publish(api, "q", "high", priority=5)
    assert [one["payload"] for one in await look(api)] == ["high", "low"]


async def test_long_payloads_are_cut(api: Api) -> None:
    await declare(api, "q")
    await publish(api, "q", "abcdef")
    (found,) = await look(api, query="?truncate=3")
    assert (found["payload"], found["payload_bytes"]) == ("abc", 6)


@pytest.mark.parametrize("query", ["count=501", "count=x", "truncate=-1", "count=" + "1" * 5000])
async def test_bad_numbers_are_refused(api: Api, query: str) -> None:
    await declare(api, "q")
    status, answer = await api("GET", f"leveret/queues/%2F/q/messages?{query}")
    assert (status, answer["error"]) == (400, "bad_request")
    assert answer["reason"].startswith(f"{query.partition('=')[0]} must be between 0 and ")


async def test_looking_needs_what_getting_needs(api: Api) -> None:
    await declare(api, "q")
    user = await api.user("u", "management", None)
    for path in ("messages", "unacked"):
        assert (await api("GET", f"leveret/queues/%2F/q/{path}", auth=user))[0] == 404
    permissions = {"configure": ".*", "write": ".*", "read": "^other$"}
    assert (await api("PUT", "permissions/%2F/u", permissions))[0] == 201
    for path in ("messages", "unacked"):
        status, answer = await api("GET", f"leveret/queues/%2F/q/{path}", auth=user)
        assert (status, answer["error"]) == (401, "not_authorised")
    assert (await api("GET", "leveret/queues/%2F/none/messages"))[0] == 404


async def test_streams_are_read_from_an_offset(api: Api) -> None:
    await declare(api, "s", **{"x-queue-type": "stream"})
    assert await look(api, "s") == []
    await publish(
        api, "s", *(str(number) for number in range(30)), content_type="text/plain", headers={"a": "b"}
    )
    found = await look(api, "s")
    assert [one["payload"] for one in found] == [str(number) for number in range(10, 30)]
    assert (found[0]["position"], found[0]["routing_key"], found[0]["payload_bytes"]) == (10, "s", 2)
    assert found[0]["properties"]["headers"] == {"a": "b", "x-stream-offset": 10}
    assert found[0]["timestamp"] == pytest.approx(api.node.broker.clock.now, abs=60_000)
    assert [one["position"] for one in await look(api, "s", "?offset=3&count=2")] == [3, 4]
    assert await look(api, "s", "?offset=30") == []


async def test_who_holds_messages(api: Api) -> None:
    await declare(api, "q")
    await publish(api, "q", "one", "two", "three")

    def hold(url: str) -> pika.BlockingConnection:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.basic_consume("q", lambda *_: None, consumer_tag="tag")
        while not channel._pending_events:
            connection.process_data_events(0.05)
        return connection

    connection = await api.conversation(hold)
    try:
        (holder,) = await api.get("leveret/queues/%2F/q/unacked?count=2")
        assert (holder["messages_unacknowledged"], holder["channel_details"]["user"]) == (3, "guest")
        assert [(one["payload"], one["delivery_tag"]) for one in holder["messages"]] == [
            ("one", 1),
            ("two", 2),
        ]
        assert holder["messages"][0]["consumer_tag"] == "tag"
        assert holder["messages"][0]["delivered_at"] == pytest.approx(api.node.broker.clock.now, abs=60_000)
        assert await look(api) == []
    finally:
        await api.conversation(lambda _: connection.close())
    assert await api.get("leveret/queues/%2F/q/unacked") == []


async def test_large_messages_that_are_held_are_shown_up_to_a_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "PEEKED_BYTES", 3 * (inspection.ROW_BYTES + 60_000))
    await declare(api, "q")
    await publish(api, "q", *("\n" * 60_000 for _ in range(5)))

    def hold(url: str) -> pika.BlockingConnection:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        for _ in range(2):
            channel = connection.channel()
            for _ in range(2):
                channel.basic_get("q")
        return connection

    connection = await api.conversation(hold)
    try:
        holders = await api.get("leveret/queues/%2F/q/unacked?truncate=60000")
        assert [one["messages_unacknowledged"] for one in holders] == [2, 2]
        assert [[body["payload"] for body in one["messages"]] for one in holders] == [
            ["\n" * 60_000] * 2,
            ["\n" * 60_000],
        ]
    finally:
        await api.conversation(lambda _: connection.close())


async def move(api: Api, auth: tuple[str, str] = ("guest", "guest"), **fields: Any) -> tuple[int, Any]:
    return await api("POST", "leveret/queues/%2F/q/move", fields, auth=auth)


@pytest.mark.parametrize(("source", "target"), [("classic", "quorum"), ("quorum", "classic")])
async def test_messages_move_with_their_properties(api: Api, source: str, target: str) -> None:
    await declare(api, "q", **{"x-queue-type": source})
    await declare(api, "r", **{"x-queue-type": target})
    await publish(api, "q", "one", "two", "three", delivery_mode=2, headers={"a": 1})
    assert await move(api, destination="r", count=2) == (
        200,
        {"moved": 2, "messages_ready": 1, "refused": False},
    )
    found = await look(api, "r")
    assert [(one["payload"], one["routing_key"]) for one in found] == [("one", "r"), ("two", "r")]
    assert found[0]["properties"]["headers"]["a"] == 1
    assert found[0]["redelivered"] is False
    assert (await counts(api), await counts(api, "r")) == ((1, 0), (2, 0))
    assert (await move(api, destination="r"))[1] == {"moved": 1, "messages_ready": 0, "refused": False}


async def test_what_the_destination_refuses_stays(api: Api) -> None:
    await declare(api, "q")
    await declare(api, "r", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    await publish(api, "q", "one", "two", "three")
    _, moved = await move(api, destination="r")
    assert (moved["refused"], moved["moved"] + moved["messages_ready"]) == (True, 3)
    assert [one["payload"] for one in await look(api)][-1] == "three"


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({}, 400, "[{key_missing,destination}]"),
        ({"destination": 1}, 400, ["not_string", "destination"]),
        ({"destination": "q"}, 400, "source and destination are the same queue"),
        ({"destination": "none"}, 404, "NOT_FOUND - no queue 'none' in vhost '/'"),
        ({"destination": "r", "count": 0}, 400, "count must be between 1 and 1000"),
        ({"destination": "r", "count": True}, 400, "count must be between 1 and 1000"),
    ],
)
async def test_moves_that_cannot_be(api: Api, fields: dict[str, Any], status: int, reason: object) -> None:
    await declare(api, "q")
    await declare(api, "r")
    answer = await move(api, **fields)
    assert (answer[0], answer[1]["reason"]) == (status, reason)


async def test_moving_needs_read_and_write(api: Api) -> None:
    await declare(api, "q")
    await declare(api, "r")
    user = await api.user("u", "management", None)
    permissions = {"configure": ".*", "write": "^r$", "read": ".*"}
    assert (await api("PUT", "permissions/%2F/u", permissions))[0] == 201
    status, answer = await move(api, user, destination="r")
    assert (status, answer["error"]) == (401, "not_authorised")
    assert "write access to exchange 'amq.default'" in answer["reason"]


# --- the node


async def test_users_see_their_own_permissions(api: Api) -> None:
    user = await api.user("u", "management", None)
    await api("PUT", "permissions/%2F/u", {"configure": "^$", "write": "^mine", "read": ".*"})
    assert await api.get("leveret/permissions/%2F", auth=user) == {
        "configure": False,
        "write": True,
        "read": True,
    }
    mine = await api.get("leveret/permissions/%2F?name=mine.1", auth=user)
    other = await api.get("leveret/permissions/%2F?name=other", auth=user)
    assert (mine["write"], other["write"], other["read"]) == (True, False, True)


async def test_the_log_is_shown_from_a_number_on(api: Api) -> None:
    log.warning("the %s line", "first")
    connections.error("two\nlines")
    lines = await api.get("leveret/log")
    assert [(one["level"], one["category"], one["text"]) for one in lines] == [
        ("warning", "", "the first line"),
        ("error", "connection", "two\nlines"),
    ]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert await api.get(f"leveret/log?after={len(lines)}") == []
    for after in ("x", "9" * 5000):
        assert (await api("GET", f"leveret/log?after={after}"))[0] == 400
    manager = await api.user("m", "management")
    assert (await api("GET", "leveret/log", auth=manager))[0] == 401


async def test_problems_are_named(api: Api) -> None:
    assert await api.get("leveret/problems") == []
    await declare(api, "q")
    await publish(api, "q", "one")
    await api("PUT", "queues/%2F/t", {"durable": False})
    api.node.broker.set_alarm("memory")
    found = {one["problem"]: one for one in await api.get("leveret/problems")}
    assert found["alarm"]["objects"] == [{"name": "memory"}]
    assert found["queue_without_consumers"]["objects"] == [{"name": "q", "vhost": "/", "messages_ready": 1}]
    api.node.broker.clear_alarm("memory")


async def test_consumers_that_acknowledge_nothing_are_a_problem_after_a_minute(api: Api) -> None:
    await declare(api, "q")
    await publish(api, "q", "one", "two")

    def hold(url: str) -> pika.BlockingConnection:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("q", lambda *_: None)
        while not channel._pending_events:
            connection.process_data_events(0.05)
        return connection

    connection = await api.conversation(hold)
    queue, now = api.node.broker.vhosts["/"].queues["q"], api.node.broker.clock.now
    assert not stuck(queue, now)
    assert stuck(queue, now + STUCK_MS + 60_000)
    await api("DELETE", "queues/%2F/q/contents")
    assert not stuck(queue, now + STUCK_MS + 60_000)
    await api.conversation(lambda _: connection.close())


async def test_about(api: Api) -> None:
    found = await api.get("leveret")
    assert set(found) == {"version", "profile", "cluster_name", "testing"}
    assert found["testing"] is False


async def test_queues_are_sorted_by_what_waits(api: Api) -> None:
    for name, number in (("a", 1), ("b", 3), ("c", 2)):
        await declare(api, name)
        await publish(api, name, *["x"] * number)
    page = await api.get("queues?page=1&page_size=2&sort=messages_ready&sort_reverse=true")
    assert [(one["name"], one["messages_ready"]) for one in page["items"]] == [("b", 3), ("c", 2)]


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
async def test_large_messages_are_shown_up_to_a_limit(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(api, "q", **{"x-queue-type": kind})
    await publish(api, "q", *("x" * 1000 for _ in range(20)))
    for limit, shown in ((1, 1), (1000, 1), (7500, 7), (21000, 20)):
        monkeypatch.setattr(operations_on_messages, "PEEKED_BYTES", limit)
        query = "?offset=0" if kind == "stream" else ""
        assert len(await look(api, query=query)) == shown

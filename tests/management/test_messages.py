"""Publish and get messages over HTTP (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest

from leveret.engine.operations import messages
from leveret.queues.message import Message, frame_content
from leveret.queues.queue import PORTION
from leveret.wire.properties import Properties, encode_properties

from .conftest import Api

PROPERTIES = {
    "delivery_mode": 2,
    "priority": 5,
    "content_type": "text/plain",
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "60000",
    "message_id": "m",
    "timestamp": 1234567890,
    "type": "t",
    "app_id": "a",
    "headers": {"a": 1, "b": "x", "c": True, "d": 1.5, "e": [1, "y"], "f": {"g": 2}},
}


def refused(reason: object) -> tuple[int, dict[str, object]]:
    return 400, {"error": "bad_request", "reason": reason}


async def publish(
    api: Api,
    key: str = "q",
    payload: object = "hello",
    exchange: str = "amq.default",
    encoding: object = "string",
    properties: object = None,
    auth: tuple[str, str] = ("guest", "guest"),
) -> tuple[int, Any]:
    body = {
        "routing_key": key,
        "payload": payload,
        "payload_encoding": encoding,
        "properties": {} if properties is None else properties,
    }
    return await api("POST", f"exchanges/%2F/{exchange}/publish", body, auth=auth)


async def get(
    api: Api, mode: object = "ack_requeue_false", count: object = 1, **more: object
) -> tuple[int, Any]:
    auth, name = more.pop("auth", ("guest", "guest")), more.pop("queue", "q")
    body = {"ackmode": mode, "count": count, "encoding": "auto", **more}
    return await api("POST", f"queues/%2F/{name}/get", body, auth=auth)  # type: ignore[arg-type]


@pytest.fixture
async def q(api: Api) -> Api:
    assert (await api("PUT", "queues/%2F/q", {"durable": True}))[0] == 201
    return api


ROUTED, UNROUTED = (200, {"routed": True}), (200, {"routed": False})


async def test_a_message_comes_back_as_it_was_published(q: Api) -> None:
    assert await publish(q, properties=PROPERTIES) == ROUTED
    status, (message,) = await get(q)
    assert status == 200
    assert message == {
        "payload_bytes": 5,
        "redelivered": False,
        "exchange": "",
        "routing_key": "q",
        "message_count": 0,
        "properties": PROPERTIES,
        "payload": "hello",
        "payload_encoding": "string",
    }
    assert await get(q) == (200, [])


async def test_properties_that_are_not_there_are_an_empty_list(q: Api) -> None:
    assert await publish(q, properties={"unknown": 1}) == ROUTED
    assert (await get(q))[1][0]["properties"] == []


async def test_properties_that_are_not_utf_8(q: Api) -> None:
    """They are shown as header values are. RabbitMQ fails over them."""
    vhost = q.node.broker.vhosts["/"]
    content, head = frame_content(encode_properties(Properties(correlation_id="\udcff"), 1), b"x")
    message = Message(b"", b"q", content, head, 1)
    vhost.publisher.deliver(message, [vhost.queues["q"]], "test")
    _, (shown,) = await get(q)
    assert shown["properties"] == {"correlation_id": "Not UTF-8, base64 is: /w=="}


async def test_whether_it_was_routed(q: Api) -> None:
    assert await publish(q, key="nosuch") == UNROUTED
    assert await publish(q, exchange="amq.direct") == UNROUTED
    assert await publish(q, key="k" * 300) == UNROUTED


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (
            {"user_id": "x"},
            "406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was 'guest'",
        ),
        ({"expiration": "x"}, "406 PRECONDITION_FAILED - invalid expiration 'x': no_integer"),
        ({"expiration": 7}, ["not_string", "expiration"]),
        ({"headers": 7}, "headers_not_an_object"),
        ({"headers": {"a": None}}, "null_not_allowed"),
        ({"delivery_mode": "2"}, ["not_int", "delivery_mode"]),
        ({"delivery_mode": True}, ["not_int", "delivery_mode"]),
        ({"priority": 1.5}, ["not_int", "priority"]),
        ({"timestamp": "7"}, ["not_int", "timestamp"]),
        ({"message_id": None}, ["not_string", "message_id"]),
        ({"content_type": "x" * 300}, "506 failed to deliver message: content_properties_shortstr_overflow"),
        (
            {"headers": {"CC": "q"}},
            '406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
        ),
        (
            {"reply_to": "amq.rabbitmq.reply-to"},
            "406 PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
        (7, "properties_not_an_object"),
    ],
)
async def test_properties_that_are_refused(q: Api, properties: object, reason: object) -> None:
    assert await publish(q, properties=properties) == refused(reason)
    assert await get(q) == (200, [])


async def test_payloads(q: Api) -> None:
    assert await publish(q, payload="/w==", encoding="base64") == ROUTED
    assert await publish(q, payload="e A==", encoding="base64") == ROUTED
    assert await publish(q, payload="ä") == ROUTED
    shown = [(one["payload"], one["payload_encoding"]) for one in (await get(q, count=5))[1]]
    assert shown == [("/w==", "base64"), ("x", "string"), ("ä", "string")]
    assert await publish(q, payload=7) == refused("payload_not_string")
    assert await publish(q, payload="!!!", encoding="base64") == refused(["not_base64", "!!!"])
    assert await publish(q, encoding="foo") == refused(["unsupported_encoding", "foo"])
    answer = await q("POST", "exchanges/%2F/amq.default/publish", {})
    names = ("routing_key", "properties", "payload", "payload_encoding")
    assert answer == refused("[" + ",\n ".join(f"{{key_missing,{name}}}" for name in names) + "]")


async def test_exchanges_and_queues_that_refuse(q: Api) -> None:
    arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
    assert (await q("PUT", "queues/%2F/full", {"arguments": arguments}))[0] == 201
    assert await publish(q, key="full") == refused("rejected Unable to publish message. Check queue limits.")
    internal = "403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    assert await publish(q, exchange="amq.rabbitmq.trace") == refused(internal)
    for path in ("exchanges/%2F/nosuch/publish", "queues/%2F/nosuch/get"):
        status, answer = await q("POST", path, {})
        assert (status, answer["reason"]) == (404, f"{path[: path.index('s/')]}_not_found")
    for path in ("exchanges/nov/x/publish", "queues/nov/q/get"):
        assert await q("POST", path, {}) == (404, {"error": "not_found", "reason": "vhost_not_found"})


async def test_what_is_done_with_messages(q: Api) -> None:
    for payload in ("1", "2", "3"):
        assert await publish(q, payload=payload) == ROUTED

    async def shown(mode: str, count: int = 5) -> list[tuple[str, bool, int]]:
        status, found = await get(q, mode, count)
        assert status == 200
        return [(one["payload"], one["redelivered"], one["message_count"]) for one in found]

    assert await shown("ack_requeue_true") == [("1", False, 2), ("2", False, 1), ("3", False, 0)]
    assert await shown("reject_requeue_true", 2) == [("1", True, 2), ("2", True, 1)]
    assert await shown("reject_requeue_false", 1) == [("1", True, 2)]
    assert await shown("ack_requeue_false", -1) == [("2", True, 1), ("3", True, 0)]
    assert await shown("ack_requeue_false", 0) == []
    depth = await q.get("queues/%2F/q?columns=messages,messages_unacknowledged")
    assert depth == {"messages": 0, "messages_unacknowledged": 0}


async def test_rejected_messages_are_dead_lettered(q: Api) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    assert (await q("PUT", "queues/%2F/dying", {"arguments": arguments}))[0] == 201
    assert await publish(q, key="dying") == ROUTED
    assert len((await get(q, "reject_requeue_false", queue="dying"))[1]) == 1
    headers = (await get(q))[1][0]["properties"]["headers"]
    assert headers["x-first-death-reason"] == "rejected"


async def test_truncated_payloads(q: Api) -> None:
    await publish(q, payload="abcdef")
    for cut, expected in ((3, "abc"), ("3", "abc"), (0, ""), (100, "abcdef")):
        (message,) = (await get(q, "ack_requeue_true", truncate=cut))[1]
        assert (message["payload"], message["payload_bytes"]) == (expected, 6)
    assert await get(q, truncate="x") == refused(["not_integer", "x"])
    assert await get(q, truncate=-1) == refused(["not_positive", -1])
    (message,) = (await get(q, encoding="base64"))[1]
    assert (message["payload"], message["payload_encoding"]) == ("YWJjZGVm", "base64")


async def test_what_get_refuses(q: Api) -> None:
    modes = "ack_requeue_true, ack_requeue_false, reject_requeue_true, reject_requeue_false"
    assert await get(q, "x") == refused(f"Invalid ackmode value: x. Valid values are: {modes}")
    assert await get(q, count="x") == refused(["not_integer", "x"])
    assert await get(q, count=None) == refused(["not_integer", None])
    assert await get(q, encoding="x") == refused("Unsupported encoding. Please use auto or base64.")
    missing = "[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]"
    assert await q("POST", "queues/%2F/q/get", {"requeue": True}) == refused(missing)
    assert (await q("PUT", "queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}}))[
        0
    ] == 201
    reason = "540 basic.get not supported by stream queues queue 's' in vhost '/'"
    assert await get(q, queue="s") == refused(reason)


async def test_permissions(q: Api) -> None:
    user = await q.user("u", "management")
    patterns = {"configure": "", "write": "^w", "read": "^r"}
    assert (await q("PUT", "permissions/%2F/u", patterns))[0] == 204
    text = "access to {} in vhost '/' refused for user 'u'"
    reason = "403 ACCESS_REFUSED - write " + text.format("exchange 'amq.default'")
    assert await publish(q, auth=user) == refused(reason)
    reason = "ACCESS_REFUSED - read " + text.format("queue 'q'")
    assert await get(q, auth=user) == (401, {"error": "not_authorised", "reason": reason})
    stranger = await q.user("a", "administrator", vhost=None)
    for answer in (await publish(q, auth=stranger), await get(q, auth=stranger)):
        assert answer == (401, {"error": "not_authorised", "reason": "Access refused."})


async def test_they_are_counted_and_traced(q: Api) -> None:
    assert (await q("PUT", "vhosts/%2F", {"tracing": True}))[0] == 204
    assert (await q("PUT", "queues/%2F/trace"))[0] == 201
    vhost = q.node.broker.vhosts["/"]
    vhost.bind(vhost.exchanges["amq.rabbitmq.trace"], vhost.queues["trace"], "#", {})
    await publish(q)
    await publish(q, key="nosuch")
    await get(q, count=2)
    counted = (await q.get("overview"))["message_stats"]
    names = ("publish", "confirm", "return_unroutable", "get_no_ack", "get_empty")
    assert [counted[name] for name in names] == [2, 2, 1, 1, 1]
    keys = [message["routing_key"] for message in (await get(q, count=9, queue="trace"))[1]]
    assert keys == ["publish.", "publish.", "deliver.q", "deliver.trace"][: len(keys)]


# --- quorum queues, actions, queues of a user


async def test_members_of_quorum_queues(q: Api) -> None:
    arguments = {"x-queue-type": "quorum"}
    assert (await q("PUT", "queues/%2F/qq", {"durable": True, "arguments": arguments}))[0] == 201
    (member,) = await q.get("queues/quorum/%2F/qq/status")
    assert member == {"Node Name": "rabbit@test", "Raft State": "leader", "Membership": "voter"}
    failed = {"status": "failed", "reason": "classic_queue_not_supported"}
    assert await q("GET", "queues/quorum/%2F/q/status") == (503, failed)
    plain: dict[str, Any] = {"headers": {"Accept": "*/*"}}
    node = {"node": "rabbit@test"}
    assert await q("POST", "queues/quorum/%2F/qq/replicas/add", node, **plain) == (204, None)
    unavailable = {"error": "service_unavailable", "reason": "last_node"}
    assert await q("DELETE", "queues/quorum/%2F/qq/replicas/delete", node) == (503, unavailable)
    answer = await q("POST", "queues/quorum/%2F/qq/replicas/add", {"node": "x"})
    assert answer == refused("Node is not a cluster member")
    assert await q("DELETE", "queues/quorum/replicas/on/rabbit@test/shrink") == (202, None)
    pattern = {"vhost_pattern": ".*", "queue_pattern": ".*", "strategy": "all"}
    assert await q("POST", "queues/quorum/replicas/on/rabbit@test/grow", pattern) == (204, None)
    assert (await q("POST", "queues/quorum/replicas/on/x/grow", pattern))[0] == 404


async def test_actions_and_rebalancing(q: Api) -> None:
    assert await q("POST", "queues/%2F/q/actions", {"action": "sync"}) == refused(["unknown", "sync"])
    assert (await q("POST", "queues/%2F/nosuch/actions", {}))[1]["reason"] == "queue_not_found"
    assert await q("POST", "rebalance/queues") == (204, None)


async def test_queues_of_a_user(q: Api) -> None:
    user = await q.user("u", "management")
    assert (await q("PUT", "queues/%2F/mine", auth=user))[0] == 201
    for name, queues in (("u", ["mine"]), ("guest", ["q"]), ("nosuch", [])):
        assert [one["name"] for one in await q.get(f"users/{name}/queues")] == queues


async def test_many_messages_are_got_and_put_back_in_slices(q: Api) -> None:
    """Others are served meanwhile; the order stays."""
    count = 3000
    vhost = q.node.broker.vhosts["/"]
    exchange = vhost.exchanges[""]
    for number in range(count):
        content, head = frame_content(encode_properties(Properties(), 4), b"%04d" % number)
        message = Message(b"", b"q", content, head, 4)
        vhost.publisher.deliver(message, vhost.router.route(exchange, b"q", None, None, message), "test")
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        q.node.edge.loop.call_soon(turn)

    q.node.broker.work.timer = itertools.count().__next__  # a second passes each time it is asked
    turn()
    for mode in ("ack_requeue_true", "reject_requeue_true"):
        before = turns
        status, got = await get(q, mode, count + 1)
        assert status == 200 and turns - before > 2 * count // PORTION
        assert [int(one["payload"]) for one in got] == list(range(count))
    queue = vhost.queues["q"]
    assert (queue.ready, queue.unacked) == (count, 0)


async def test_a_queue_that_crashes_while_messages_are_got_ends_the_call(
    q: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(q)
    queue = q.node.broker.vhosts["/"].queues["q"]
    monkeypatch.setattr(messages.Getting, "_get", lambda self: queue.crash("the disk is gone"))
    status, _ = await get(q, "ack_requeue_true", 2)
    assert status != 200
    assert q.node.broker.work.jobs == deque()

"""Queues over HTTP: declare, show, purge, delete; counters are exact at once (fields of RabbitMQ 4.3.6)."""

from __future__ import annotations

from typing import Any

import pika

from .conftest import Api, busy


def bad(reason: object) -> tuple[int, Any]:
    return 400, {"error": "bad_request", "reason": reason}


async def test_a_queue_is_declared_shown_and_deleted(api: Api) -> None:
    fields = {"durable": True, "arguments": {"x-max-length": 5, "a": {"b": [1, "x", True, 1.5]}}}
    assert await api("PUT", "queues/%2F/q", fields) == (201, None)
    assert await api("PUT", "queues/%2F/q", fields) == (204, None)
    shown = await api.get("queues/%2F/q")
    assert shown["arguments"] == {**fields["arguments"], "x-queue-type": "classic"}  # type: ignore[dict-item]
    assert (shown["name"], shown["vhost"], shown["node"]) == ("q", "/", "rabbit@test")
    assert (shown["durable"], shown["auto_delete"], shown["exclusive"]) == (True, False, False)
    assert (shown["type"], shown["state"], shown["policy"]) == ("classic", "running", None)
    assert await api("DELETE", "queues/%2F/q") == (204, None)
    assert (await api("GET", "queues/%2F/q"))[0] == 404


async def test_an_inequivalent_declaration_is_refused(api: Api) -> None:
    await api("PUT", "queues/%2F/q")
    answer = await api("PUT", "queues/%2F/q", {"durable": True})
    assert answer == bad(
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"
    )


async def test_invalid_queues_are_refused(api: Api) -> None:
    answer = await api("PUT", "queues/%2F/q", {"arguments": {"x": None}})
    assert answer == bad("null_not_allowed")
    answer = await api("PUT", "queues/%2F/q", {"node": "rabbit@nope"})
    assert answer == bad("Node rabbit@nope is not a cluster member")
    refused = (401, {"error": "not_authorised", "reason": "Access refused."})
    assert await api("PUT", "queues/%2F/amq.x") == refused
    not_found = (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert await api("PUT", "queues/nowhere/q") == not_found


async def test_permissions_apply_as_over_amqp(api: Api) -> None:
    await api("PUT", "queues/%2F/q")
    credentials = await api.user("m", "management", vhost=None)
    await api("PUT", "permissions/%2F/m", {"configure": "^mine", "write": "", "read": ""})
    refused = (401, {"error": "not_authorised", "reason": "Access refused."})
    assert await api("PUT", "queues/%2F/q", auth=credentials) == refused
    assert await api("DELETE", "queues/%2F/q", auth=credentials) == refused
    assert await api("DELETE", "queues/%2F/q/contents", auth=credentials) == refused
    assert await api("PUT", "queues/%2F/mine", auth=credentials) == (201, None)


async def test_counters_are_exact_at_once(api: Api) -> None:
    connection = await api.conversation(busy)
    shown = await api.get("queues/%2F/q")
    assert (shown["messages"], shown["messages_ready"], shown["messages_unacknowledged"]) == (8, 5, 3)
    assert (shown["message_bytes"], shown["message_bytes_ready"]) == (80, 50)
    assert shown["message_bytes_unacknowledged"] == 30
    assert shown["consumers"] == 1
    assert shown["head_message_timestamp"] == 1234567890
    stats = shown["message_stats"]
    assert (stats["publish"], stats["deliver"], stats["deliver_get"], stats["ack"]) == (10, 5, 5, 2)
    assert stats["publish_details"] == {"rate": 0.0}
    (consumer,) = shown["consumer_details"]
    assert (consumer["ack_required"], consumer["prefetch_count"]) == (True, 3)
    assert consumer["channel_details"]["number"] == 2
    assert consumer["queue"] == {"name": "q", "vhost": "/"}
    exclusive = await api.get("queues/%2F/mine")
    assert exclusive["owner_pid_details"]["name"] == consumer["channel_details"]["connection_name"]
    assert (await api("DELETE", "queues/%2F/mine"))[0] == 400

    overview = await api.get("overview")
    totals = {"messages": 8, "messages_ready": 5, "messages_unacknowledged": 3}
    assert overview["queue_totals"].items() >= totals.items()
    counts = {"publish": 10, "confirm": 10, "ack": 2, "get_empty": 1, "deliver": 5}
    assert overview["message_stats"].items() >= counts.items()
    objects = {"channels": 2, "connections": 1, "consumers": 1, "exchanges": 8, "queues": 2}
    assert overview["object_totals"] == objects
    await api.conversation(lambda _: connection.close())


async def test_lists_without_statistics_leave_fields_out(api: Api) -> None:
    await api("PUT", "queues/%2F/q")
    (light,) = await api.get("queues?disable_stats=true")
    assert "messages" not in light
    assert light["policy"] is None
    (totals,) = await api.get("queues/%2F?disable_stats=true&enable_queue_totals=true")
    assert totals["messages"] == 0
    assert "policy" not in totals


async def test_a_queue_is_purged_and_deleted_on_conditions(api: Api) -> None:
    def publish(url: str) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x")
        connection.close()

    await api("PUT", "queues/%2F/q")
    await api.conversation(publish)
    answer = await api("DELETE", "queues/%2F/q?if-empty=true")
    assert answer == bad("queue 'q' in vhost '/' not empty")
    assert await api("DELETE", "queues/%2F/q/contents") == (204, None)
    assert await api("DELETE", "queues/%2F/q?if-empty=true&if-unused=true") == (204, None)


async def test_lists_show_only_queues_of_accessible_virtual_hosts(api: Api) -> None:
    await api("PUT", "vhosts/v")
    for path in ("%2F/b", "%2F/a", "v/c"):
        await api("PUT", f"queues/{path}")
    credentials = await api.user("m", "management", "v")
    listed = await api.get("queues?columns=name,vhost")
    assert listed == [{"name": "a", "vhost": "/"}, {"name": "b", "vhost": "/"}, {"name": "c", "vhost": "v"}]
    assert await api.get("queues?columns=name", credentials) == [{"name": "c"}]
    assert (await api.get("queues?page=1&page_size=2&columns=name"))["page_count"] == 2


# --- policies


async def test_a_policy_applies_to_existing_queues(api: Api) -> None:
    await api("PUT", "queues/%2F/q")
    fields = {"pattern": "^q", "definition": {"max-length": 10}, "priority": 3, "apply-to": "queues"}
    assert await api("PUT", "policies/%2F/p", fields) == (201, None)
    assert await api("PUT", "policies/%2F/p", fields) == (204, None)
    assert await api.get("policies/%2F") == [{"vhost": "/", "name": "p", **fields}]
    operator = {"pattern": "^q", "definition": {"max-length": 5}}
    assert await api("PUT", "operator-policies/%2F/o", operator) == (201, None)
    shown = await api.get("queues/%2F/q")
    assert (shown["policy"], shown["operator_policy"]) == ("p", "o")
    assert shown["effective_policy_definition"] == {"max-length": 5}
    assert await api("DELETE", "operator-policies/%2F/o") == (204, None)
    assert await api("DELETE", "policies/%2F/p") == (204, None)
    assert (await api.get("queues/%2F/q"))["effective_policy_definition"] == {}
    assert (await api("DELETE", "policies/%2F/p"))[0] == 404


async def test_invalid_policies_are_refused(api: Api) -> None:
    answer = await api("PUT", "policies/%2F/p", {"pattern": "", "definition": {"nope": 10}})
    assert answer == bad('Validation failed\n\n[{<<"nope">>,10}] are not recognised policy settings\n')
    assert await api("PUT", "policies/%2F/p", {"pattern": ""}) == bad("[{key_missing,definition}]")
    not_found = (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert await api("PUT", "policies/nowhere/p", {"pattern": "", "definition": {}}) == not_found


async def test_policymakers_may_set_policies(api: Api) -> None:
    policymaker, plain = await api.user("p", "policymaker"), await api.user("m", "management")
    fields = {"pattern": "", "definition": {"max-length": 1}}
    assert await api("PUT", "policies/%2F/x", fields, policymaker) == (201, None)
    refused = {"error": "not_authorised", "reason": "User not authorised to access object"}
    assert await api("PUT", "policies/%2F/x", fields, plain) == (401, refused)
    refused = {"error": "not_authorised", "reason": "Not administrator user"}
    assert await api("PUT", "operator-policies/%2F/x", fields, policymaker) == (401, refused)
    assert [policy["name"] for policy in await api.get("policies", plain)] == ["x"]


async def test_withheld_messages_of_a_quorum_queue_are_shown(api: Api) -> None:
    delayed = {
        "x-queue-type": "quorum",
        "x-delayed-retry-type": "all",
        "x-delayed-retry-min": 60000,
        "x-delivery-limit": 5,
    }
    await api("PUT", "queues/%2F/delayed", {"durable": True, "arguments": delayed})
    undelivered = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "nowhere",
        "x-dead-letter-strategy": "at-least-once",
        "x-delivery-limit": -1,
    }
    await api("PUT", "queues/%2F/undelivered", {"durable": True, "arguments": undelivered})

    def refuse(url: str) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.confirm_delivery()
        for name, requeue in (("delayed", True), ("undelivered", False)):
            channel.basic_publish("", name, b"12345")
            method, _, _ = channel.basic_get(name)
            channel.basic_reject(method.delivery_tag, requeue=requeue)
        connection.close()

    await api.conversation(refuse)
    shown = await api.get("queues/%2F/delayed")
    assert (shown["messages"], shown["messages_ready"], shown["message_bytes"]) == (1, 0, 5)
    assert (shown["messages_delayed"], shown["messages_dlx"], shown["message_bytes_dlx"]) == (1, 0, 0)
    assert shown["delayed_retry"] == "all (min: 60000ms, max: 60000ms)"
    assert shown["delivery_limit"] == 5
    assert shown["next_delayed_at"] == shown["last_delayed_at"]
    shown = await api.get("queues/%2F/undelivered")
    assert (shown["messages"], shown["messages_ready"], shown["message_bytes"]) == (1, 0, 5)
    assert (shown["messages_delayed"], shown["messages_dlx"], shown["message_bytes_dlx"]) == (0, 1, 5)
    assert (shown["delayed_retry"], shown["delivery_limit"]) == ("disabled", "unlimited")


async def test_names_are_checked_as_over_amqp(api: Api) -> None:
    """Seen on 4.3.6: line ends are stripped, and names that begin with `amq.` are refused even for existing queues."""
    await api("PUT", "queues/%2F/q%0D%0A", {"durable": True})
    assert (await api.get("queues/%2F/q"))["durable"]
    vhost = api.node.broker.vhosts["/"]
    vhost.declare_queue("amq.gen-x", durable=True, auto_delete=False, owner=None, arguments={}, user="guest")
    refused = {"error": "not_authorised", "reason": "Access refused."}
    assert await api("PUT", "queues/%2F/amq.gen-x", {"durable": True}) == (401, refused)

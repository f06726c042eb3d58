"""Users, permissions, virtual hosts and limits over HTTP (statuses and texts seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

from typing import Any

import pika
import pika.exceptions
import pytest

from .conftest import Api, Nodes

MISSING = (404, {"error": "Object Not Found", "reason": "Not Found"})
ALL = {"configure": ".*", "write": ".*", "read": ".*"}


def bad(reason: object) -> tuple[int, Any]:
    return 400, {"error": "bad_request", "reason": reason}


def not_authorised(reason: str) -> tuple[int, Any]:
    return 401, {"error": "not_authorised", "reason": reason}


# --- users


async def test_a_user_is_created_replaced_and_deleted(api: Api) -> None:
    assert await api("PUT", "users/u", {"password": "x", "tags": "monitoring,own"}) == (201, None)
    shown = await api.get("users/u")
    assert shown.pop("password_hash")
    assert shown == {
        "name": "u",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["monitoring", "own"],
        "limits": {},
    }
    assert await api("PUT", "users/u", {"tags": []}) == (204, None)
    assert (await api.get("users/u"))["password_hash"] == ""
    assert await api("DELETE", "users/u") == (204, None)
    assert await api("GET", "users/u") == MISSING


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"password": "x"}, "tags_not_present"),
        (
            {"password": "x", "password_hash": "x", "tags": ""},
            "both_password_and_password_hash_are_provided",
        ),
        ({"password_hash": "!!", "tags": ""}, ["not_base64", "!!"]),
    ],
)
async def test_invalid_users_are_refused(api: Api, fields: dict[str, Any], reason: object) -> None:
    assert await api("PUT", "users/u", fields) == bad(reason)


async def test_only_administrators_see_users(api: Api) -> None:
    credentials = await api.user("mon", "monitoring")
    for path in ("users", "users/mon", "permissions", "vhosts/%2F"):
        answer = await api("GET", path, auth=credentials)
        assert answer == not_authorised("Not administrator user")


async def test_users_without_permissions_are_listed_and_deleted_in_bulk(api: Api) -> None:
    await api.user("u", "", vhost=None)
    assert [user["name"] for user in await api.get("users/without-permissions")] == ["u"]
    assert await api("POST", "users/bulk-delete", {"users": ["u", "nobody"]}) == (204, None)
    assert await api.get("users/without-permissions") == []
    assert await api("POST", "users/bulk-delete", {}) == bad("[{key_missing,users}]")


async def test_deleting_a_user_closes_its_connections(api: Api) -> None:
    await api.user("u", "")

    def connect(url: str) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(url.replace("guest:guest", "u:pw")))

    def closed(connection: pika.BlockingConnection) -> str:
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            while True:
                connection.process_data_events(5)
        return f"{caught.value.reply_code} {caught.value.reply_text}"

    connection = await api.conversation(connect)
    assert await api("DELETE", "users/u") == (204, None)
    assert (
        await api.conversation(lambda _: closed(connection)) == "320 CONNECTION_FORCED - user 'u' is deleted"
    )


# --- permissions


async def test_permissions_are_set_and_cleared(api: Api) -> None:
    await api.user("u", "", vhost=None)
    assert await api("PUT", "permissions/%2F/u", ALL) == (201, None)
    assert await api("PUT", "permissions/%2F/u", {**ALL, "write": "^a"}) == (204, None)
    shown = {"user": "u", "vhost": "/", "configure": ".*", "write": "^a", "read": ".*"}
    assert await api.get("permissions/%2F/u") == shown
    assert await api.get("users/u/permissions") == [shown]
    assert shown in await api.get("vhosts/%2F/permissions")
    assert await api("DELETE", "permissions/%2F/u") == (204, None)
    assert await api("DELETE", "permissions/%2F/u") == MISSING


async def test_invalid_permissions_are_refused(api: Api) -> None:
    assert await api("PUT", "permissions/%2F/nobody", ALL) == bad("vhost_or_user_not_found")
    assert await api("PUT", "permissions/nowhere/guest", ALL) == bad("vhost_or_user_not_found")
    partly = {"configure": "", "write": ""}
    assert await api("PUT", "permissions/%2F/guest", partly) == bad("[{key_missing,read}]")
    text = [ord(char) for char in "missing terminating ] for character class"]
    broken = {**ALL, "read": "["}
    assert await api("PUT", "permissions/%2F/guest", broken) == bad(["invalid_regexp", [91], [text, 1]])


async def test_topic_permissions_are_set_and_cleared(api: Api) -> None:
    fields = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    assert await api("PUT", "topic-permissions/%2F/guest", fields) == (201, None)
    assert await api("PUT", "topic-permissions/%2F/guest", fields) == (204, None)
    shown = [{"user": "guest", "vhost": "/", **fields}]
    for path in ("topic-permissions", "topic-permissions/%2F/guest", "users/guest/topic-permissions"):
        assert await api.get(path) == shown
    unknown = await api("PUT", "topic-permissions/%2F/guest", {**fields, "exchange": "nope"})
    assert unknown == bad(["no_such_exchange", "nope"])
    assert await api("DELETE", "topic-permissions/%2F/guest") == (204, None)
    assert await api("GET", "topic-permissions/%2F/guest") == MISSING


async def test_changed_permissions_apply_to_open_channels(api: Api) -> None:
    def publish(channel: Any) -> None:
        channel.basic_publish("", "q", b"")

    def begin(url: str) -> Any:
        connection = pika.BlockingConnection(pika.URLParameters(url.replace("guest:guest", "u:pw")))
        channel = connection.channel()
        channel.queue_declare("q")
        channel.confirm_delivery()
        publish(channel)
        return channel

    await api.user("u", "")
    channel = await api.conversation(begin)
    await api("PUT", "permissions/%2F/u", {**ALL, "write": "^$"})
    with pytest.raises(
        pika.exceptions.ChannelClosedByBroker, match=r"write access to exchange 'amq\.default'"
    ):
        await api.conversation(lambda _: publish(channel))
    await api.conversation(lambda _: channel.connection.close())


# --- virtual hosts


async def test_a_virtual_host_is_created_changed_and_deleted(api: Api) -> None:
    assert await api("PUT", "vhosts/v") == (201, None)
    fields = {"description": "d", "tags": "a, b", "default_queue_type": "quorum", "tracing": True}
    assert await api("PUT", "vhosts/v", fields) == (204, None)
    assert await api.get("vhosts/v") == {
        "name": "v",
        "description": "d",
        "tags": ["a", "b"],
        "default_queue_type": "quorum",
        "metadata": {"description": "d", "tags": ["a", "b"], "default_queue_type": "quorum"},
        "tracing": True,
        "cluster_state": {"rabbit@test": "running"},
        "protected_from_deletion": False,
    }
    assert (await api.get("permissions/v/guest"))["configure"] == ".*"
    assert await api("DELETE", "vhosts/v") == (204, None)
    assert await api("DELETE", "vhosts/v") == MISSING


async def test_invalid_virtual_hosts_are_refused(api: Api) -> None:
    answer = await api("PUT", "vhosts/v", {"default_queue_type": "nope"})
    assert answer == bad("nope is not a valid queue type")
    assert await api("PUT", "vhosts/v", {"tracing": "maybe"}) == bad(["not_boolean", "maybe"])
    assert await api("GET", "vhosts/v") == MISSING


async def test_users_see_the_virtual_hosts_they_have_access_to(api: Api) -> None:
    await api("PUT", "vhosts/v")
    own, monitor = await api.user("m", "management", "v"), await api.user("mon", "monitoring")
    assert [vhost["name"] for vhost in await api.get("vhosts", own)] == ["v"]
    assert [vhost["name"] for vhost in await api.get("vhosts", monitor)] == ["/", "v"]


# --- limits


@pytest.mark.parametrize("path", ["vhost-limits/%2F/max-queues", "user-limits/guest/max-channels"])
async def test_limits_must_be_sent_as_json(api: Api, path: str) -> None:
    assert await api("PUT", path, {"value": 9}, kind="text/plain") == (415, None)
    assert await api("PUT", path, {"value": 9}, kind="application/json; charset=utf-8") == (204, None)


async def test_limits_of_virtual_hosts_are_set_shown_and_cleared(api: Api) -> None:
    assert await api("PUT", "vhost-limits/%2F/max-queues", {"value": 1}) == (204, None)
    assert await api.get("vhost-limits/%2F") == [{"vhost": "/", "value": {"max-queues": 1}}]
    assert (await api("PUT", "queues/%2F/a"))[0] == 201
    answer = await api("PUT", "queues/%2F/b")
    assert answer == bad("cannot declare queue 'b': queue limit in vhost '/' (1) is reached")
    assert await api("DELETE", "vhost-limits/%2F/max-queues") == (204, None)
    assert (await api("PUT", "queues/%2F/b"))[0] == 201
    unknown = await api("PUT", "vhost-limits/%2F/foo", {"value": 1})
    assert unknown == bad('Validation failed\n\nUnrecognised terms [{<<"foo">>,1}] in limits\n')
    nowhere = await api("PUT", "vhost-limits/nowhere/max-queues", {"value": 1})
    assert nowhere == (404, {"error": "not_found", "reason": "vhost_not_found"})


async def test_limits_of_users_are_set_shown_and_cleared(api: Api) -> None:
    credentials = await api.user("m", "management")
    assert await api("PUT", "user-limits/m/max-channels", {"value": 3}) == (204, None)
    assert await api.get("user-limits/m", credentials) == [{"user": "m", "value": {"max-channels": 3}}]
    assert await api("GET", "user-limits", auth=credentials) == not_authorised("Not administrator user")
    other = await api("GET", "user-limits/guest", auth=credentials)
    assert other == not_authorised("User not authorised to access object")
    answer = await api("PUT", "user-limits/nobody/max-channels", {"value": 3})
    assert answer == bad(["no_such_user", "nobody"])
    assert await api("DELETE", "user-limits/m/max-channels") == (204, None)
    assert await api.get("user-limits") == []


async def test_long_patterns_are_refused(api: Api) -> None:
    """Seen on 4.3.6."""
    right, long = "a" * 1024, "\u00e9" * 512 + "a"
    for path, first, reason in (
        ("permissions", {"configure": ""}, [0xE9] * 512 + [0x61]),
        ("topic-permissions", {"exchange": "amq.topic"}, long),
    ):
        fields = {**first, "write": right, "read": ""}
        assert (await api("PUT", f"{path}/%2F/guest", fields))[0] in (201, 204)
        refusal = bad(["invalid_regexp", reason, "pattern_too_long"])
        assert await api("PUT", f"{path}/%2F/guest", fields | {"read": long}) == refusal
        shown = (await api("PUT", f"{path}/%2F/guest", fields | {"read": "a" * 100_000}))[1]["reason"][1]
        assert len(shown) == 4096
    for path in ("policies", "operator-policies"):
        policy = {"pattern": right, "definition": {"max-length": 1}}
        assert await api("PUT", f"{path}/%2F/p", policy) == (201, None)
        text = "Validation failed\n\npattern must not exceed 1024 bytes\n"
        assert await api("PUT", f"{path}/%2F/p", policy | {"pattern": long}) == bad(text)
    permission = {"user": "guest", "vhost": "/", "configure": "", "write": long, "read": ""}
    status, answer = await api("POST", "definitions", {"permissions": [permission]})
    assert (status, answer["reason"][:17], answer["reason"][-17:]) == (
        400,
        '{invalid_regexp,"',
        "pattern_too_long}",
    )
    status, answer = await api("GET", f"queues?page=1&use_regex=true&name={right}a")
    assert (status, answer["reason"]) == (400, "name filter regex is too long")
    assert (await api("GET", f"queues?page=1&use_regex=true&name={right}"))[0] == 200


async def test_earlier_versions_take_longer_patterns(nodes: Nodes) -> None:
    api = await nodes(version="4.2")
    fields = {"configure": "a" * 1025, "write": "|".join("ab" * 5000), "read": "\\|" * 100 + "|"}
    assert await api("PUT", "permissions/%2F/guest", fields) == (204, None)
    assert (await api("PUT", "permissions/%2F/guest", fields | {"read": "a" * 32_769}))[0] == 400


async def test_of_a_refused_document_with_very_many_fields_the_first_are_shown(api: Api) -> None:
    many = {f"k{number:04}": number for number in range(3000)}
    for path, body in (
        ("policies/%2F/p", {"pattern": "", "definition": many}),
        ("policies/%2F/p", {"pattern": "", "definition": {"max-length": [*range(3000)]}}),
        ("users/u", {"tags": "", "limits": many}),
        ("user-limits/guest/max-channels", {"value": [*range(3000)]}),
        ("parameters/operator_policy/%2F/p", {"value": many}),
        ("parameters/vhost-limits/%2F/limits", {"value": many}),
    ):
        status, answer = await api("PUT", path, body)
        assert status == 400
        assert "..." in answer["reason"]
        assert "2999" not in answer["reason"]

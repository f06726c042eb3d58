"""Logins, attempts to log in, hashes of passwords, protected users (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from leveret.engine.users import User
from leveret.management import forms
from leveret.management.forms import form_fields

from .conftest import Api, Nodes

FORM = "application/x-www-form-urlencoded"


async def test_the_login_of_the_web_page(api: Api) -> None:
    status, answer = await api("POST", "login", b"username=guest&password=guest", auth=None, kind=FORM)
    assert (status, answer) == (
        200,
        {
            "user": {"name": "guest", "tags": ["administrator"], "is_internal_user": True},
            "token": {"type": "basic", "value": base64.b64encode(b"guest:guest").decode()},
        },
    )
    unauthorized = (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    for form in (b"username=guest&password=x", b"username=guest", b""):
        assert await api("POST", "login", form, auth=None, kind=FORM) == unauthorized
    assert (await api("POST", "login", b"username=guest&password=guest", auth=None))[0] == 415
    assert await api("DELETE", "login", auth=None) == (204, None)
    assert (await api("GET", "login", auth=None))[0] == 405
    assert api.headers["Allow"] == "POST, DELETE, OPTIONS"


async def test_attempts(api: Api) -> None:
    await api("GET", "whoami", auth=("guest", "wrong"))
    shown = {"protocol": "http", "auth_attempts": 2, "auth_attempts_failed": 1, "auth_attempts_succeeded": 1}
    assert await api.get("auth/attempts/rabbit@test") == [shown]
    assert await api.get("auth/attempts/rabbit@test/source") == []
    assert (await api("GET", "auth/attempts/nosuch"))[0] == 404
    assert await api("DELETE", "auth/attempts/rabbit@test") == (204, None)
    (after,) = await api.get("auth/attempts/rabbit@test")
    assert after["auth_attempts"] == 1
    monitor = await api.user("m", "monitoring")
    assert (await api("GET", "auth/attempts/rabbit@test", auth=monitor))[0] == 200
    assert (await api("DELETE", "auth/attempts/rabbit@test", auth=monitor))[0] == 401


async def test_attempts_over_amqp(api: Api) -> None:
    import pika

    await api.conversation(lambda url: pika.BlockingConnection(pika.URLParameters(url)).close())
    found = {one["protocol"]: one["auth_attempts"] for one in await api.get("auth/attempts/rabbit@test")}
    assert found == {"amqp091": 1, "http": 1}


async def test_attempts_by_source(nodes: Nodes) -> None:
    api = await nodes(access={"track_auth_attempt_source": True})
    await api("GET", "whoami", auth=("bob", "x"))
    shown = await api.get("auth/attempts/rabbit@test/source")
    assert shown[0] == {
        "remote_address": "127.0.0.1",
        "username": "bob",
        "protocol": "http",
        "auth_attempts": 1,
        "auth_attempts_failed": 1,
        "auth_attempts_succeeded": 0,
    }


@pytest.mark.parametrize("password", ["foo", "a%2Fb", "k%C3%A4se"])
async def test_hashes_of_passwords(api: Api, password: str) -> None:
    from urllib.parse import unquote

    hashed = (await api.get(f"auth/hash_password/{password}"))["ok"]
    assert User("u", base64.b64decode(hashed)).verify(unquote(password))
    body = {"password_hash": hashed, "tags": "management"}
    assert (await api("PUT", "users/u", body))[0] == 201
    assert (await api("GET", "whoami", auth=("u", unquote(password))))[0] == 200


async def test_protected_users(api: Api) -> None:
    assert (await api("PUT", "users/u", {"tags": "protected", "password": "x"}))[0] == 201
    refused = (400, {"error": "bad_request", "reason": "Protected users cannot be modified via the HTTP API"})
    assert await api("PUT", "users/u", {"tags": ""}) == refused
    assert await api("DELETE", "users/u") == refused
    assert await api("POST", "users/bulk-delete", {"users": ["u", "nosuch"]}) == (204, None)
    assert (await api("GET", "users/u"))[0] == 200


@pytest.mark.parametrize("tags", [["t"] * 33, ",".join("t" * 33)])
async def test_too_many_tags(api: Api, tags: Any) -> None:
    reason = "A user can have at most 32 tags (received 33)"
    assert await api("PUT", "users/u", {"tags": tags}) == (400, {"error": "bad_request", "reason": reason})


# --- the node


async def test_feature_flags(api: Api, nodes: Nodes) -> None:
    flags = {flag["name"]: flag for flag in await api.get("feature-flags")}
    assert len(flags) == 33 and {flag["state"] for flag in flags.values()} == {"enabled"}
    assert flags["khepri_db"]["stability"] == "required"
    assert await api("PUT", "feature-flags/khepri_db/enable", {}) == (204, None)
    unsupported = (400, {"error": "bad_request", "reason": "unsupported"})
    assert await api("PUT", "feature-flags/nosuch/enable", {}) == unsupported
    for version, count in (("4.0", 26), ("3.10", 9)):
        assert len(await (await nodes(version=version)).get("feature-flags")) == count


async def test_settings_in_effect(api: Api) -> None:
    url = f"http://127.0.0.1:{api.port}/api/config/effective"
    headers = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
    async with api.session.get(url, headers=headers) as response:
        text = await response.text()
        assert response.headers["Content-Type"] == "text/plain"
    assert 'server.node = "rabbit@test"' in text and "default_pass" not in text
    async with api.session.get(url, headers={**headers, "Accept": "application/json"}) as response:
        assert response.status == 406


async def test_resets(api: Api) -> None:
    assert await api("DELETE", "reset") == await api("DELETE", "reset/rabbit@test") == (204, None)
    assert (await api("DELETE", "reset/nosuch"))[0] == 404


# --- virtual hosts


async def test_protection_from_deletion(api: Api) -> None:
    assert (await api("PUT", "vhosts/v"))[0] == 201
    assert "protected_from_deletion" not in (await api.get("vhosts/v"))["metadata"]
    path = "vhosts/v/deletion/protection"
    assert await api("POST", path) == (204, None)
    shown = await api.get("vhosts/v")
    assert shown["protected_from_deletion"] is shown["metadata"]["protected_from_deletion"] is True
    reason = "Refusing to delete virtual host 'v' because it is protected from deletion"
    assert await api("DELETE", "vhosts/v") == (412, {"error": "precondition_failed", "reason": reason})
    assert await api("DELETE", path) == (204, None)
    assert await api("DELETE", "vhosts/v") == (204, None)
    reason = "Cannot enable deletion protection of virtual host 'v' because it does not exist"
    assert await api("POST", path) == (404, {"error": "not_found", "reason": reason})
    assert (await api("DELETE", path))[0] == 404


async def test_starting_a_virtual_host(api: Api) -> None:
    assert await api("POST", "vhosts/%2F/start/rabbit@test") == (204, None)
    unknown = (400, {"error": "bad_request", "reason": "Unknown node: x"})
    assert await api("POST", "vhosts/%2F/start/x") == unknown


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"default_queue_type": "x"}, "x is not a valid queue type"),
        ({"default_queue_type": ""}, "default_queue_type must not be an empty string"),
        ({"default_queue_type": 7}, "7 is not a valid default_queue_type value"),
        ({"tracing": "maybe"}, ["not_boolean", "maybe"]),
        ({"tags": 7}, ["not_a_list_of_strings", 7]),
    ],
)
async def test_virtual_hosts_that_are_refused(api: Api, body: object, reason: object) -> None:
    assert await api("PUT", "vhosts/v", body) == (400, {"error": "bad_request", "reason": reason})


async def test_topic_permissions_of_one_exchange(api: Api) -> None:
    for exchange in ("a", "b"):
        assert (await api("PUT", f"exchanges/%2F/{exchange}", {"type": "topic"}))[0] == 201
        entry = {"exchange": exchange, "write": "w", "read": "r"}
        assert (await api("PUT", f"topic-permissions/%2F/guest/{exchange}", entry))[0] in (201, 204)
    assert len(await api.get("topic-permissions/%2F/guest/a")) == 2
    assert await api("DELETE", "topic-permissions/%2F/guest/a") == (204, None)
    assert [one["exchange"] for one in await api.get("topic-permissions")] == ["b"]
    assert await api("DELETE", "exchanges/%2F/b") == (204, None)
    assert await api.get("topic-permissions") == []
    entry = {"exchange": "nosuch", "write": "w", "read": "r"}
    refused = (400, {"error": "bad_request", "reason": ["no_such_exchange", "nosuch"]})
    assert await api("PUT", "topic-permissions/%2F/guest", entry) == refused


async def test_topic_permissions_of_older_versions_stay(nodes: Nodes) -> None:
    api = await nodes(version="3.10")
    entry = {"exchange": "a", "write": "w", "read": "r"}
    assert (await api("PUT", "topic-permissions/%2F/guest", entry))[0] == 201
    assert (await api("PUT", "exchanges/%2F/a", {"type": "topic"}))[0] == 201
    assert await api("DELETE", "exchanges/%2F/a") == (204, None)
    assert len(await api.get("topic-permissions")) == 1


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("," * 100_000, "there are more than 8192 tags"),
        ("t" * 256, "a tag has more than 255 characters"),
        (["a", "t" * 256], "a tag has more than 255 characters"),
    ],
)
async def test_tags_are_as_long_as_atoms(api: Api, tags: Any, reason: str) -> None:
    refusal = (400, {"error": "bad_request", "reason": reason})
    assert await api("PUT", "users/u", {"tags": tags}) == refusal
    assert await api("PUT", "vhosts/v", {"tags": tags}) == refusal
    for section in ("users", "vhosts"):
        assert await api("POST", "definitions", {section: [{"name": "x", "tags": tags}]}) == refusal
    assert await api("PUT", "users/u", {"tags": ["t" * 255, 5]}) == (201, None)
    assert (await api.get("users/u"))["tags"] == ["t" * 255, "5"]


async def test_virtual_hosts_have_a_limited_number_of_tags(api: Api) -> None:
    refusal = (400, {"error": "bad_request", "reason": "there are more than 8192 tags"})
    assert await api("PUT", "vhosts/v", {"tags": ["t"] * 8193}) == refusal
    assert await api("POST", "definitions", {"vhosts": [{"name": "v", "tags": ["t"] * 8193}]}) == refusal
    assert await api("PUT", "vhosts/v", {"tags": ["t"] * 8192}) == (201, None)


async def test_a_description_that_is_no_text_is_shown_as_one(api: Api) -> None:
    assert await api("PUT", "vhosts/v", {"description": [[]] * 100_000}) == (201, None)
    shown = (await api.get("vhosts/v"))["description"]
    assert shown.startswith("[[],[],[]")
    assert shown.endswith("...]")


async def test_a_form_is_as_long_as_in_rabbitmq(api: Api) -> None:
    """Who has not logged in must not keep the loop busy."""
    form = b"username=guest&password=guest&more="
    assert (await api("POST", "login", form + b"x" * 60_000, auth=None, kind=FORM))[0] == 200
    assert (await api("POST", "login", form + b"x" * 64_000, auth=None, kind=FORM)) == (413, None)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"username=a&password=b&username=c", {"username": "a", "password": "b"}),
        (b"user%6Eame=%C3%A9+x&%70assword=", {"username": "\u00e9 x", "password": ""}),
        (b"other=x&password=a=b", {"password": "a=b"}),
        (b"username&password=\xff", {"username": "", "password": "\ufffd"}),
    ],
)
def test_the_first_values_of_a_form_are_found(body: bytes, fields: dict[str, str]) -> None:
    assert form_fields(body, ("username", "password")) == fields


def test_other_fields_of_a_form_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(forms, "_text", lambda quoted: decoded.append(quoted) or quoted)
    form_fields(b"%61%61%61%61%61%61%61%61%61=%41&" * 1000 + b"username=x", ("username", "password"))
    assert decoded == ["username", "x"]

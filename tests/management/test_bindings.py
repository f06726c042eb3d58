"""Bindings over HTTP: lists, one by its properties key, making and deleting them (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leveret.management.resources.bindings import _search
from leveret.management.slices import Slices
from leveret.routing.bindings import Binding, digest_of
from leveret.wire.tables import from_plain

from .conftest import Api

MISSING = (404, {"error": "Object Not Found", "reason": "Not Found"})
REFUSED = (401, {"error": "not_authorised", "reason": "Access refused."})


@pytest.fixture
async def bound(api: Api) -> Api:
    """Two queues and a topic exchange."""
    for queue in ("q", "other"):
        assert (await api("PUT", f"queues/%2F/{queue}", {"durable": True}))[0] == 201
    assert (await api("PUT", "exchanges/%2F/x", {"type": "topic"}))[0] == 201
    return api


def ends(shown: Any) -> list[tuple[str, str, str]]:
    return [(one["source"], one["destination"], one["properties_key"]) for one in shown]


async def test_a_binding_is_created_shown_and_deleted(bound: Api) -> None:
    assert await bound("POST", "bindings/%2F/e/x/q/q", {"routing_key": "a.*"}) == (201, None)
    assert bound.headers["Location"] == "q/a.%252A"
    assert await bound("POST", "bindings/%2F/e/x/q/q", {"routing_key": "a.*"}) == (201, None)
    expected = {
        "source": "x", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "a.*",
        "arguments": {}, "properties_key": "a.%2A",
    }  # fmt: skip
    assert await bound.get("bindings/%2F/e/x/q/q") == [expected]
    assert await bound.get("bindings/%2F/e/x/q/q/a.%252A") == expected
    assert await bound.get("bindings/%2F/e/x/q/q/a.*?columns=source") == {"source": "x"}
    assert await bound("DELETE", "bindings/%2F/e/x/q/q/a.*") == (204, None)
    assert await bound("DELETE", "bindings/%2F/e/x/q/q/a.*") == MISSING
    assert await bound.get("bindings/%2F/e/x/q/q") == []


async def test_arguments_are_part_of_the_key(bound: Api) -> None:
    for arguments in ({}, {"a": 1}, {"a": 2}):
        await bound("POST", "bindings/%2F/e/x/q/q", {"arguments": arguments})
    keys = [one["properties_key"] for one in await bound.get("bindings/%2F/e/x/q/q")]
    assert keys[0] == "~" and len(set(keys)) == 3
    for key in keys:
        assert (await bound.get(f"bindings/%2F/e/x/q/q/{key}"))["properties_key"] == key
    assert await bound("DELETE", f"bindings/%2F/e/x/q/q/{keys[1]}") == (204, None)
    assert [one["properties_key"] for one in await bound.get("bindings/%2F/e/x/q/q")] == [keys[0], keys[2]]


@pytest.mark.parametrize("key", ["", "k/ey +ü", "a~b", "%", "#.a"])
async def test_the_location_header_leads_to_the_new_binding(bound: Api, key: str) -> None:
    assert (await bound("POST", "bindings/%2F/e/x/q/q", {"routing_key": key}))[0] == 201
    place = bound.headers["Location"]
    assert (await bound.get(f"bindings/%2F/e/x/q/{place}"))["routing_key"] == key


async def test_bindings_are_listed(bound: Api) -> None:
    await bound("POST", "bindings/%2F/e/x/q/q", {"routing_key": "k"})
    await bound("POST", "bindings/%2F/e/x/e/amq.fanout")
    implicit = [("", "other", "other"), ("", "q", "q")]
    explicit = [("x", "amq.fanout", "~"), ("x", "q", "k")]
    assert ends(await bound.get("bindings")) == implicit + explicit
    assert ends(await bound.get("bindings/%2F?sort=destination")) == [
        explicit[0], implicit[0], implicit[1], explicit[1],
    ]  # fmt: skip
    assert ends(await bound.get("queues/%2F/q/bindings")) == [implicit[1], explicit[1]]
    assert ends(await bound.get("exchanges/%2F/x/bindings/source")) == explicit
    assert ends(await bound.get("exchanges/%2F/amq.default/bindings/source")) == implicit
    assert ends(await bound.get("exchanges/%2F/amq.fanout/bindings/destination")) == explicit[:1]
    assert ends(await bound.get("bindings/%2F/e/x/e/amq.fanout")) == explicit[:1]
    assert ends(await bound.get("bindings/%2F/e/amq.default/q/q")) == implicit[1:]
    assert await bound.get("exchanges/%2F/nope/bindings/source") == []
    assert await bound.get("queues/nope/q/bindings") == []
    assert (await bound("GET", "bindings/nope")) == MISSING
    assert (await bound("GET", "bindings/%2F/e/x/x/q")) == MISSING


async def test_a_missing_or_forbidden_source_or_destination_is_refused(bound: Api) -> None:
    reason = {"error": "not_found", "reason": "no queue 'nope' in vhost '/'"}
    assert await bound("POST", "bindings/%2F/e/x/q/nope") == (404, reason)
    reason = {"error": "not_found", "reason": "no exchange 'nope' in vhost '/'"}
    assert await bound("POST", "bindings/%2F/e/nope/q/q") == (404, reason)
    reason = {"error": "not_found", "reason": "vhost_not_found"}
    assert await bound("POST", "bindings/nope/e/x/q/q") == (404, reason)
    assert await bound("POST", "bindings/%2F/e/amq.default/q/q") == REFUSED
    assert await bound("DELETE", "bindings/%2F/e/amq.default/q/q/q") == REFUSED
    credentials = await bound.user("m", "management", vhost=None)
    await bound("PUT", "permissions/%2F/m", {"configure": ".*", "write": "", "read": ".*"})
    assert await bound("POST", "bindings/%2F/e/x/q/q", auth=credentials) == REFUSED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"routing_key": 7}, "routing_key should be a string"),
        ({"arguments": "x"}, "arguments_not_an_object"),
        (b"junk", "not_json"),
    ],
)
async def test_invalid_bodies_are_refused(bound: Api, body: object, reason: str) -> None:
    answer = await bound("POST", "bindings/%2F/e/x/q/q", body)
    assert answer == (400, {"error": "bad_request", "reason": reason})


async def test_a_binding_with_long_arguments_is_made_in_several_turns(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = 0

    async def pause(slices: Slices) -> None:
        nonlocal pauses
        pauses += 1

    await api("PUT", "queues/%2F/q", {})
    monkeypatch.setattr(Slices, "pause", pause)
    long = {f"h{number}": "x" for number in range(4000)}
    path = "bindings/%2F/e/amq.headers/q/q"
    assert (await api("POST", path, {"arguments": {"h": "x"}}))[0] == 201
    assert pauses == 0
    assert (await api("POST", path, {"arguments": long}))[0] == 201
    assert pauses >= 2
    place, before = api.headers["Location"].rpartition("/")[2], pauses
    assert (await api.get(f"{path}/{place}"))["arguments"] == long
    assert pauses > before
    before = pauses
    assert (await api("DELETE", f"{path}/{place}"))[0] == 204
    assert pauses > before


def test_a_search_yields_after_each_binding_that_is_hashed() -> None:
    bindings = [
        Binding("x", SimpleNamespace(name="q"), "queue", b"k", from_plain({"h": number}))
        for number in range(5)
    ]
    steps = _search([("/", one) for one in bindings], "k", digest_of(bindings[4].arguments))
    assert sum(1 for _ in steps) == 4
    assert [one.digest for one in bindings] == [digest_of(one.arguments) for one in bindings]

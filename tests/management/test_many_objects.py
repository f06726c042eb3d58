"""What the HTTP API adds up over very many objects is spread over turns of the event loop. Nothing is timed: each look
at the clock uses up a slice, and what one turn visits is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any

import pika
import pytest

from leveret.engine import stats
from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.engine.definitions import TOPOLOGY, cluster_sections
from leveret.management.pagination import listed_in_slices
from leveret.management.prometheus import pages
from leveret.management.resources import bindings, channels, consumers
from leveret.management.slices import SLICE_S, Slices
from leveret.management.views.nodes import QUEUES_TOGETHER, memory
from leveret.routing.bindings import Binding
from leveret.server.node import Node

from .conftest import Api

CHANNELS = 80

#: Channels that may be visited in one turn: a portion of a total, and one that the next request begins with.
MOST = stats.FOLDED_TOGETHER + stats.PORTION


class Turns:
    """Counts what happens in each turn of the loop."""

    def __init__(self) -> None:
        self.visited = 0
        self.steps: list[int] = []

    async def during(self, call: Awaitable[Any]) -> Any:
        """Await a call, and note how much was visited in each turn until it ends."""
        task = asyncio.ensure_future(call)
        while not task.done():
            before = self.visited
            await asyncio.sleep(0)
            self.steps.append(self.visited - before)
        return await task


@pytest.fixture
async def busy(api: Api) -> AsyncIterator[Api]:
    """A client with many channels, each of which has published."""

    def talk(url: str) -> pika.BlockingConnection:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.queue_declare("q")
        for _ in range(CHANNELS - 1):
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", "q", b"")
        return connection

    connection = await api.conversation(talk)
    site = api.node.site
    assert site is not None
    readings = count()
    site.slices._clock = lambda: next(readings) * 2 * SLICE_S
    yield api
    await asyncio.to_thread(connection.close)


def counted(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the channels that are visited."""
    original = stats.open_channels

    def each(connection: ClientConnection) -> Iterator[ClientChannel]:
        for channel in original(connection):
            turns.visited += 1
            yield channel

    for module in (stats, channels):
        monkeypatch.setattr(module, "open_channels", each)
    monkeypatch.setattr(pages, "SLICE_LENGTH", stats.PORTION)


@pytest.mark.parametrize(
    "path",
    [
        "overview",
        "vhosts",
        "vhosts?page=1",
        "vhosts/%2F",
        "channels",
        "channels?page=1",
        "vhosts/%2F/channels",
        "queues",
        "metrics",
        "metrics/per-object",
        "metrics/detailed?family=channel_metrics&family=channel_queue_metrics&family=exchange_metrics",
    ],
)
async def test_channels_are_visited_in_portions(
    busy: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "queues":  # those of quorum queues show how many channels publish to them
        await busy("PUT", "queues/%2F/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    turns = Turns()
    counted(turns, monkeypatch)
    await turns.during(busy.metrics(path) if path.startswith("metrics") else busy.get(path))
    assert turns.visited >= CHANNELS - 1
    assert max(turns.steps) <= MOST


async def test_what_channels_have_published_is_added_up_in_portions(
    busy: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "FOLDED_TOGETHER", 4)
    tally = busy.node.broker.vhosts["/"].exchanges[""].tally
    tally.fold()

    async def folded(path: str) -> int:
        """The most channels whose counts one turn has added up."""
        for channel in stats.channels_of(busy.node.broker.vhosts["/"]):
            for part in channel.publish_tallies.values():
                part.sent([busy.node.broker.vhosts["/"].queues["q"]])
        steps = []
        task = asyncio.ensure_future(busy.get(path))
        while not task.done():
            before = len(tally.changed)
            await asyncio.sleep(0)
            steps.append(before - len(tally.changed))
        await task
        assert not tally.changed
        return max(steps)

    for path in ("exchanges", "exchanges?page=1&sort=message_stats.publish_in", "exchanges/%2F/amq.default"):
        assert await folded(path) <= 2 * 4
    found = await busy.get("exchanges/%2F/amq.default")
    assert found["message_stats"]["publish_in"] == 4 * (CHANNELS - 1)


async def test_a_binding_is_looked_for_in_portions(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api("PUT", "queues/%2F/q", {})
    for number in range(40):
        await api("POST", "bindings/%2F/e/amq.direct/q/q", {"routing_key": f"k{number}"})
    turns, original = Turns(), bindings._key
    site = api.node.site
    assert site is not None
    readings = count()
    site.slices._clock = lambda: next(readings) * 2 * SLICE_S

    def key(row: tuple[str, Binding | str]) -> str:
        turns.visited += 1
        return original(row)

    monkeypatch.setattr(bindings, "_key", key)
    monkeypatch.setattr(bindings, "_SEARCHED_TOGETHER", 4)
    shown = await turns.during(api.get("bindings/%2F/e/amq.direct/q/q/k39"))
    assert shown["routing_key"] == "k39" and max(turns.steps) <= 8
    assert await turns.during(api("DELETE", "bindings/%2F/e/amq.direct/q/q/k39")) == (204, None)
    assert max(turns.steps) <= 8


class Ranked(bytes):
    """A part of the place of an object whose end is counted."""

    ended = 0

    def __del__(self) -> None:
        Ranked.ended += 1


@pytest.mark.parametrize("query", [{}, {"page": "1"}])
@pytest.mark.parametrize("stopped", [False, True])
async def test_a_long_list_is_freed_in_portions(
    query: dict[str, str], stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, length, together = count(), 5000, 1000
    slices = Slices(lambda: next(readings) * 2 * SLICE_S)
    monkeypatch.setattr(
        "leveret.management.pagination._rank", lambda value: (0, 0, Ranked(str(value).encode()))
    )
    Ranked.ended = 0
    items = list(range(length))
    task = asyncio.ensure_future(
        listed_in_slices(slices, items, query, lambda number: {"name": f"{number:04}"})
    )
    seen = [0]
    while not task.done():
        await asyncio.sleep(0)
        seen.append(Ranked.ended)
        if stopped and len(seen) == length // 2:
            task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    seen.append(Ranked.ended)
    assert task.cancelled() is stopped
    assert Ranked.ended >= length // 4, "all but those on the page"
    assert max(after - before for before, after in pairwise(seen)) <= 2 * together


async def test_users_without_permissions_are_found_in_one_walk(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = api.node.broker.access
    for number in range(20):
        await api.user(f"u{number}", "", None if number % 2 else "/")
    monkeypatch.setattr(type(access), "each_permission", None)  # goes over all permissions
    shown = await api.get("users/without-permissions")
    assert sorted(one["name"] for one in shown) == sorted(f"u{number}" for number in range(1, 20, 2))


async def test_policies_of_many_virtual_hosts_are_found_in_one_walk(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await api("PUT", f"vhosts/v{number}")
        await api("PUT", f"policies/v{number}/p", {"pattern": ".*", "definition": {"max-length": 1}})
    policies, visited = api.node.broker.policies, 0
    original = policies.each

    def found(*arguments: Any, **options: Any) -> Any:
        nonlocal visited
        policies = original(*arguments, **options)
        visited += len(policies)
        return policies

    monkeypatch.setattr(policies, "each", found)
    assert [one["vhost"] for one in await api.get("policies")] == [f"v{number}" for number in range(5)]
    assert [one["vhost"] for one in await api.get("policies/v3")] == ["v3"]
    assert visited == 5 + 1


async def test_each_section_of_definitions_that_can_be_long_is_made_in_slices(api: Api) -> None:
    sections = cluster_sections(api.node.broker)
    long = {name for name, section in sections.items() if isinstance(section, Iterator)}
    assert long >= {
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "parameters",
        "global_parameters",
        "policies",
        *TOPOLOGY,
    }


async def test_exchanges_without_bindings_are_passed_in_portions(api: Api) -> None:
    declared: dict[str, Any] = {"durable": True, "auto_delete": False, "arguments": {}, "user": "guest"}
    vhost = api.node.broker.vhosts["/"]
    for number in range(1000):
        vhost.declare_exchange(f"x{number}", "direct", internal=False, **declared)
    section = cluster_sections(api.node.broker)["bindings"]
    assert isinstance(section, Iterator)
    assert list(section).count(None) >= 8


async def test_topic_permissions_of_a_user_are_listed_in_slices(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = api.node.broker.access
    for number in range(50):
        access.set_topic_permissions("guest", "/", f"x{number:02}", "", "")
    found: list[Any] = []

    async def look() -> None:
        found.extend(
            await api.get("topic-permissions/%2F/guest?sort=exchange&sort_reverse=true&columns=exchange")
        )

    assert await pauses_of(api, monkeypatch, look) >= 50
    assert found == [{"exchange": f"x{number:02}"} for number in range(50)]


async def pauses_of(api: Api, monkeypatch: pytest.MonkeyPatch, call: Callable[[], Awaitable[Any]]) -> int:
    """How often a call lets the loop run, if each look at the clock uses up a slice."""
    site, pauses = api.node.site, 0
    assert site is not None
    original = site.slices.pause

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        await original()

    readings = count()
    monkeypatch.setattr(site.slices, "_clock", lambda: next(readings) * 2 * SLICE_S)
    monkeypatch.setattr(site.slices, "pause", pause)
    await call()
    return pauses


MANY = 30


@pytest.fixture
async def settings(api: Api) -> Api:
    """Many of everything that is set."""
    permission = {"user": "guest", "configure": "", "write": "", "read": ""}
    policy = {"pattern": "", "definition": {"max-length": 1}, "apply-to": "all", "priority": 0}
    numbers = range(MANY)
    document = {
        "users": [{"name": f"u{n}", "tags": "", "limits": {"max-channels": n}} for n in numbers],
        "vhosts": [{"name": f"v{n}"} for n in numbers],
        "permissions": [permission | {"user": f"u{n}", "vhost": "/"} for n in numbers]
        + [permission | {"vhost": f"v{n}"} for n in numbers],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": "amq.topic", "write": "", "read": ""}
            for user, vhost in [(f"u{n}", "/") for n in numbers] + [("guest", f"v{n}") for n in numbers]
        ],
        "policies": [policy | {"vhost": "/", "name": f"p{n}"} for n in numbers],
        "parameters": [
            {"vhost": "/", "component": "operator_policy", "name": f"p{n}", "value": policy} for n in numbers
        ]
        + [
            {"vhost": f"v{n}", "component": "vhost-limits", "name": "limits", "value": {"max-queues": n}}
            for n in numbers
        ],
        "global_parameters": [{"name": f"g{n}", "value": n} for n in numbers],
    }
    assert await api("POST", "definitions", document) == (204, None)
    return api


@pytest.mark.parametrize(
    "path",
    [
        *("users", "users?page=1", "permissions", "topic-permissions", "vhosts/%2F/permissions"),
        *("vhosts/%2F/topic-permissions", "users/guest/permissions", "users/guest/topic-permissions"),
        *("policies", "policies/%2F", "operator-policies", "operator-policies/%2F", "parameters"),
        *("parameters/operator_policy/%2F", "global-parameters", "vhost-limits", "user-limits"),
        *("definitions", "definitions/%2F"),
    ],
)
async def test_what_is_set_is_listed_in_slices(
    settings: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pauses_of(settings, monkeypatch, lambda: settings.get(path)) >= MANY


async def test_many_users_are_deleted_in_slices(settings: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"users": [f"u{n}" for n in range(MANY)]}

    async def delete() -> None:
        assert await settings("POST", "users/bulk-delete", names) == (204, None)

    assert await pauses_of(settings, monkeypatch, delete) >= MANY
    assert [one["name"] for one in await settings.get("users")] == ["guest"]
    assert {one["user"] for one in await settings.get("permissions")} == {"guest"}


def test_the_consumers_of_one_queue_are_walked_one_by_one() -> None:
    members = dict.fromkeys(range(100))
    queue: Any = SimpleNamespace(consumers=SimpleNamespace(members=members))
    steps = consumers._each([queue, queue])
    assert next(steps) == 0
    del members[1]
    assert list(steps) == [*range(1, 100), 0, *range(2, 100)]


def test_the_contents_of_queues_are_added_up_in_portions(node: Node) -> None:
    vhost = node.broker.vhosts["/"]
    for number in range(2 * QUEUES_TOGETHER + 1):
        vhost.declare_queue(
            f"q{number}", durable=False, auto_delete=False, owner=None, arguments={}, user="guest"
        )
    steps = memory(node.broker, 1000)
    assert next(steps) is next(steps) is None
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value["other_system"] == 1000

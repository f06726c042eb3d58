"""Channels and consumers over HTTP (fields of RabbitMQ 4.3.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pika
import pytest

from .conftest import Api

MISSING = (404, {"error": "Object Not Found", "reason": "Not Found"})
NOT_YOURS = (401, {"error": "not_authorised", "reason": "User not authorised to access object"})


@pytest.fixture
async def busy(api: Api) -> AsyncIterator[Api]:
    """A channel with confirms and one with a transaction, and one that consumes with a prefetch count of 1."""

    def talk(url: str) -> Any:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        publisher = connection.channel()
        publisher.confirm_delivery()
        publisher.queue_declare("q", durable=True)
        for _ in range(2):
            publisher.basic_publish("", "q", b"x")
        transaction = connection.channel()
        transaction.tx_select()
        transaction.basic_publish("", "q", b"held")
        consumer = connection.channel()
        consumer.basic_qos(prefetch_count=1)
        consumer.basic_consume("q", lambda *given: None, consumer_tag="c", arguments={"x-priority": 5})
        return connection

    connection = await api.conversation(talk)
    yield api
    await api.conversation(lambda _: connection.close())


async def test_channels_are_listed_with_their_counters(busy: Api) -> None:
    first, second, third = await busy.get("channels")
    (connection,) = await busy.get("connections")
    assert [one["name"] for one in (first, second, third)] == [
        f"{connection['name']} ({n})" for n in (1, 2, 3)
    ]
    assert first["connection_details"]["name"] == connection["name"]
    assert (first["confirm"], first["transactional"], first["message_stats"]["publish"]) == (True, False, 2)
    assert (second["transactional"], second["messages_uncommitted"], second["acks_uncommitted"]) == (
        True,
        1,
        0,
    )
    assert (third["prefetch_count"], third["consumer_count"], third["messages_unacknowledged"]) == (1, 1, 1)
    assert (third["user"], third["vhost"], third["number"], third["state"]) == ("guest", "/", 3, "running")
    path = f"connections/{quote(connection['name'], safe='')}"
    assert [one["name"] for one in await busy.get(f"{path}/channels")] == [
        first["name"],
        second["name"],
        third["name"],
    ]
    assert len(await busy.get("vhosts/%2F/channels?page=1&page_size=1")) == 3
    page = await busy.get("channels?page=2&page_size=2&columns=number")
    assert (page["items"], page["total_count"]) == ([{"number": 3}], 3)
    reason = {"error": "bad_request", "reason": "connection does not use AMQP 1.0"}
    assert await busy("GET", f"{path}/sessions") == (400, reason)


async def test_a_channel_is_shown_with_its_consumers(busy: Api) -> None:
    name = (await busy.get("channels"))[2]["name"]
    shown = await busy.get(f"channels/{quote(name, safe='')}")
    (consumer,) = shown["consumer_details"]
    assert (consumer["consumer_tag"], consumer["queue"]) == ("c", {"name": "q", "vhost": "/"})
    assert (shown["publishes"], shown["deliveries"]) == ([], [])
    light = await busy.get(f"channels/{quote(name, safe='')}?disable_stats=true")
    assert "prefetch_count" not in light and light["number"] == 3
    assert await busy("GET", "channels/nope") == MISSING


async def test_consumers_are_listed(busy: Api) -> None:
    (consumer,) = await busy.get("consumers")
    assert (consumer["arguments"], consumer["prefetch_count"], consumer["ack_required"]) == (
        {"x-priority": 5},
        1,
        True,
    )
    assert (consumer["active"], consumer["activity_status"]) == (True, "blocked")
    assert await busy.get("consumers/%2F?columns=consumer_tag,queue.name") == [
        {"consumer_tag": "c", "queue": {"name": "q"}}
    ]
    assert await busy("GET", "consumers/nope") == MISSING
    answer = await busy("GET", "consumers?disable_stats=true")
    assert answer == (
        400,
        {"error": "bad_request", "reason": "Stats in management UI are disabled on this node"},
    )


async def test_users_see_their_own_channels(busy: Api) -> None:
    credentials = await busy.user("m", "management")
    name = quote((await busy.get("channels"))[0]["name"], safe="")
    for path in ("channels", "consumers", "vhosts/%2F/channels"):
        assert await busy.get(path, auth=credentials) == []
    assert await busy("GET", f"channels/{name}", auth=credentials) == NOT_YOURS
    watcher = await busy.user("w", "monitoring")
    assert len(await busy.get("channels", auth=watcher)) == 3

"""`/api/connections`: who sees which connections, and how they are closed."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pika
import pytest

from tests.management.conftest import Api


async def connect(api: Api, user: str = "guest", password: str = "guest", **properties: str) -> Any:
    """A connection with one channel."""
    parameters = pika.ConnectionParameters(
        "127.0.0.1",
        api.amqp,
        credentials=pika.PlainCredentials(user, password),
        client_properties=properties or None,
        heartbeat=17,
    )

    def talk(_: str) -> Any:
        connection = pika.BlockingConnection(parameters)
        connection.channel()
        return connection

    return await api.conversation(talk)


async def reason(api: Api, connection: Any) -> tuple[int, str]:
    """Return the reply text with which a connection was closed."""

    def talk(_: str) -> tuple[int, str]:
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            connection.process_data_events(5)
        return caught.value.reply_code, caught.value.reply_text

    answer: tuple[int, str] = await api.conversation(talk)
    return answer


async def close(api: Api, connection: Any) -> None:
    await api.conversation(lambda _: connection.close())


async def test_a_new_connection_is_listed_with_its_counters(api: Api) -> None:
    connection = await connect(api, connection_name="mine")
    (shown,) = await api.get("connections")
    name = shown["name"]
    assert name.endswith(f" -> 127.0.0.1:{api.amqp}")
    expected = {
        "auth_mechanism": "PLAIN", "channels": 1, "frame_max": 131072, "host": "127.0.0.1", "port": api.amqp,
        "peer_host": "127.0.0.1", "protocol": "AMQP 0-9-1", "ssl": False, "ssl_cipher": None, "state": "running",
        "timeout": 17, "type": "network", "user": "guest", "vhost": "/", "user_provided_name": "mine",
        "peer_cert_serial_number": None,
    }  # fmt: skip
    assert shown.items() >= expected.items()
    assert shown["client_properties"]["capabilities"]["basic.nack"] is True
    assert shown["recv_oct"] > 8 and shown["send_oct"] > 8
    alone = await api.get(f"connections/{quote(name, safe='')}?columns=name,channels")
    assert (alone["name"], alone["channels"], alone["ssl_cipher"]) == (name, 1, "")
    assert [one["name"] for one in await api.get("vhosts/%2F/connections")] == [name]
    (light,) = await api.get("connections?disable_stats=true")
    assert "channels" not in light and light["user"] == "guest"
    page = await api.get("connections?page=1&page_size=1&columns=user")
    assert (page["items"], page["total_count"]) == ([{"user": "guest"}], 1)
    await close(api, connection)
    assert await api.get("connections") == []


async def test_a_connection_is_closed_with_the_given_reason(api: Api) -> None:
    for headers, given in (
        ({}, "Closed via management plugin"),
        ({"X-Reason": "maintenance"}, "maintenance"),
        ({"X-Reason": "por qué"}, "por qu\xc3\xa9"),  # sent as UTF-8, each octet taken for a character
    ):
        connection = await connect(api)
        (shown,) = await api.get("connections")
        path = f"connections/{quote(shown['name'], safe='')}"
        assert (await api("DELETE", path, headers=headers))[0] == 204
        assert await reason(api, connection) == (320, f"CONNECTION_FORCED - {given}")
        assert (await api("GET", path))[0] == 404
    assert (await api("DELETE", path))[0] == 404


async def test_tags_decide_who_may_see_and_close_a_connection(api: Api) -> None:
    man, mon = await api.user("man", "management"), await api.user("mon", "monitoring")
    own, other = await connect(api, *man), await connect(api)
    users = {one["user"]: quote(one["name"], safe="") for one in await api.get("connections", mon)}
    assert users.keys() == {"man", "guest"}
    assert [one["user"] for one in await api.get("connections", man)] == ["man"]
    assert [one["user"] for one in await api.get("vhosts/%2F/connections", man)] == ["man"]
    denied = (401, {"error": "not_authorised", "reason": "User not authorised to access object"})
    assert await api("GET", f"connections/{users['guest']}", auth=man) == denied
    assert await api("GET", "connections/username/guest", auth=man) == denied
    assert len(await api.get("connections/username/guest", mon)) == 1
    assert await api.get("connections/username/nobody") == []
    for who in (man, mon):
        assert await api("DELETE", f"connections/{users['guest']}", auth=who) == denied
    assert await api("DELETE", "connections/username/man", auth=mon) == denied
    assert (await api("DELETE", "connections/username/man", auth=man))[0] == 204
    assert (await reason(api, own))[0] == 320
    assert (await api("DELETE", "connections/username/guest"))[0] == 204
    assert (await reason(api, other))[0] == 320
    assert (await api("GET", "vhosts/none/connections"))[0] == 404


async def test_the_state_shows_blocking_and_blocked_connections(api: Api) -> None:
    connection = await connect(api)

    async def state() -> str:
        (shown,) = await api.get("connections?columns=state")
        return str(shown["state"])

    def publish(_: str) -> None:
        given: list[object] = []
        connection.add_on_connection_blocked_callback(lambda *what: given.extend(what))
        connection.channel().basic_publish("", "nowhere", b"x")
        while not given:
            connection.process_data_events(0.1)

    api.node.broker.set_alarm("test")  # one that nothing clears
    assert await state() == "blocking"
    await api.conversation(publish)
    assert await state() == "blocked"
    api.node.broker.clear_alarm("test")
    assert await state() == "running"
    await close(api, connection)

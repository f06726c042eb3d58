"""The backends `http` and `cache`, with a real web service, real clients and RabbitMQ's answers."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aio_pika
import aiormq
import pytest
from aiohttp import ClientSession, encode_basic_auth

from leveret.auth_settings import AuthCache, HttpAuth
from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import AccessSettings, ConfigError, Server
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS, settled
from tests.server.auth_service import AuthService, serving

PLAIN = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1)


@pytest.fixture
async def service() -> AsyncIterator[AuthService]:
    async with serving() as service:
        yield service


def http(port: int, scheme: str = "http", **more: Any) -> HttpAuth:
    base = f"{scheme}://localhost:{port}" if scheme == "https" else f"{scheme}://127.0.0.1:{port}"
    paths = {f"{kind}_path": f"{base}/{kind}" for kind in ("user", "vhost", "resource", "topic")}
    return HttpAuth(**{"method": "post", **paths, **more})


async def started(*backends: str, auth_http: HttpAuth, cache: AuthCache | None = None) -> Node:
    access = AccessSettings(backends=backends or ("http",))
    settings = Settings(server=PLAIN, access=access, auth_http=auth_http, auth_cache=cache or AuthCache())
    node = Node(settings)
    await node.start()
    return node


@pytest.fixture
async def node(service: AuthService) -> AsyncIterator[Node]:
    node = await started("http", "internal", auth_http=http(service.port))
    yield node
    await node.stop()


def port(node: Node, protocol: str = "amqp") -> int:
    return next(one.port for one in node.listeners() if one.protocol == protocol)


async def connected(node: Node, user: str = "alice", password: str = "pw") -> aio_pika.abc.AbstractConnection:
    async with asyncio.timeout(HANG_SECONDS):
        return await aio_pika.connect(f"amqp://{user}:{password}@127.0.0.1:{port(node)}/")


async def refusal(work: Any) -> str:
    """The text that an operation is refused with."""
    with pytest.raises(aiormq.exceptions.AMQPError) as refused:
        await work
    return str(refused.value)


def deny(*words: str, because: str = "") -> Callable[[str, dict[str, str]], str]:
    """Deny what has one of these values."""

    def decide(path: str, fields: dict[str, str]) -> str:
        return f"deny {because}".strip() if set(words) & set(fields.values()) else "allow"

    return decide


async def test_the_service_is_asked_as_by_rabbitmq(node: Node, service: AuthService) -> None:
    """Recorded from RabbitMQ 4.3.6 with the same operations."""
    connection = await connected(node)
    channel = await connection.channel()
    queue = await channel.declare_queue("q", arguments={"x-dead-letter-exchange": "dlx"}, durable=True)
    await queue.bind("amq.topic", "a.b")
    exchange = await channel.get_exchange("amq.topic")
    for _ in range(2):
        await exchange.publish(aio_pika.Message(b"x"), "a.b")
    await connection.close()

    def asked(kind: str, resource: str, permission: str) -> tuple[str, str, dict[str, str]]:
        fields = {"username": "alice", "vhost": "/", "resource": kind, "name": resource}
        return "POST", "/resource", fields | {"permission": permission, "tags": ""}

    def key(permission: str) -> tuple[str, str, dict[str, str]]:
        fields = {"username": "alice", "vhost": "/", "resource": "topic", "name": "amq.topic"}
        fields |= {"permission": permission, "tags": "", "routing_key": "a.b"}
        return "POST", "/topic", fields | {"variable_map.username": "alice", "variable_map.vhost": "/"}

    assert service.asked == [
        ("POST", "/user", {"username": "alice", "password": "pw"}),
        ("POST", "/vhost", {"username": "alice", "vhost": "/", "ip": "127.0.0.1", "tags": ""}),
        asked("queue", "q", "configure"),
        asked("queue", "q", "read"),
        asked("exchange", "dlx", "write"),
        asked("queue", "q", "write"),
        asked("exchange", "amq.topic", "read"),
        key("read"),
        asked("exchange", "amq.topic", "write"),
        key("write"),
    ]


async def test_questions_can_be_queries(service: AuthService) -> None:
    node = await started("http", auth_http=http(service.port, method="get"))
    await (await connected(node, "a b", "p&=")).close()
    assert service.asked[0] == ("GET", "/user", {"username": "a b", "password": "p&="})
    await node.stop()


async def test_what_is_denied_is_refused(
    node: Node, service: AuthService, caplog: pytest.LogCaptureFixture
) -> None:
    service.decide = deny("bad", "no.key", "nobody")
    connection = await connected(node)
    channel = await connection.channel()
    assert await refusal(channel.declare_queue("bad", durable=True)) == (
        "ACCESS_REFUSED - configure access to queue 'bad' in vhost '/' refused for user 'alice'"
    )
    channel = await connection.channel()
    exchange = await channel.get_exchange("amq.topic")
    assert await refusal(exchange.publish(aio_pika.Message(b"x"), "no.key")) == (
        "ACCESS_REFUSED - write access to topic 'no.key' in exchange 'amq.topic' in vhost '/' "
        "refused for user 'alice'"
    )
    await connection.close()
    assert "Login was refused" in await refusal(connected(node, "nobody"))
    service.decide = deny("/", because="not today")
    await refusal(connected(node))
    assert "access to vhost '/' refused for user 'alice'" in caplog.text


async def test_reasons_are_shown_if_that_is_configured(service: AuthService) -> None:
    node = await started("http", auth_http=http(service.port, authorization_failure_disclosure=True))
    service.decide = deny("bad", because="it is bad")
    connection = await connected(node)
    channel = await connection.channel()
    assert (await refusal(channel.declare_queue("bad", durable=True))).endswith(
        "refused for user 'alice' by backend rabbit_auth_backend_http: it is bad"
    )
    await connection.close()
    await node.stop()


async def test_the_next_backend_is_asked(node: Node, service: AuthService) -> None:
    service.decide = lambda path, fields: "deny"
    connection = await connected(node, "guest", "guest")
    channel = await connection.channel()
    await channel.declare_queue("q", exclusive=True)
    assert service.paths() == ["/user"]  # the permissions are those of the broker
    await connection.close()


async def test_a_service_that_is_down_refuses_and_recovers(
    node: Node, service: AuthService, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await connected(node)
    own = service.port
    await service.stop()
    assert "Login was refused" in await refusal(connected(node))
    assert "rabbit_auth_backend_http failed authenticating alice: {failed_connect," in caplog.text
    channel = await connection.channel()
    assert "backend rabbit_auth_backend_http returned an error: {failed_connect," in await refusal(
        channel.declare_queue("q", durable=True)
    )
    service.asked.clear()
    await service.start(own)
    channel = await connection.channel()
    await channel.declare_queue("q", exclusive=True)
    service.status = 500
    assert "Login was refused" in await refusal(connected(node))
    service.status = 200
    await (await connected(node)).close()
    await connection.close()


async def test_nobody_else_waits_for_the_service(node: Node, service: AuthService) -> None:
    asking = await connected(node, "alice")
    channel = await asking.channel()
    exchange = await channel.get_exchange("amq.fanout")
    service.open.clear()
    publishes = [asyncio.create_task(exchange.publish(aio_pika.Message(b"%d" % at), "")) for at in range(3)]
    waiting = asyncio.create_task(connected(node, "bob"))
    await settled(lambda: len(service.asked) == 4)
    assert not any(task.done() for task in (*publishes, waiting))
    # Somebody else is served meanwhile; only the broker's own users can log in without the service.
    node.broker.access.backends.reverse()
    other = await connected(node, "guest", "guest")
    queue = await (await other.channel()).declare_queue("q", exclusive=True)
    await queue.bind("amq.fanout")
    service.open.set()
    await asyncio.gather(*publishes)
    for at in range(3):
        message = await queue.get(timeout=HANG_SECONDS, fail=True)
        assert message.body == b"%d" % at
        await message.ack()
    await (await waiting).close()
    await asking.close()
    await other.close()


async def test_a_client_that_leaves_before_the_answer(node: Node, service: AuthService) -> None:
    service.open.clear()
    waiting = asyncio.create_task(connected(node))
    await settled(lambda: service.asked)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    service.open.set()
    await (await connected(node)).close()
    assert not node.broker.faults.errors


async def test_server_named_queues_keep_their_name(node: Node, service: AuthService) -> None:
    connection = await connected(node)
    channel = await connection.channel()
    names = [(await channel.declare_queue(exclusive=True)).name for _ in range(2)]
    assert len(set(names)) == 2
    asked = [fields["name"] for _, path, fields in service.asked if path == "/resource"]
    assert asked == names
    await connection.close()


async def test_the_same_backends_serve_the_http_api(node: Node, service: AuthService) -> None:
    def decide(path: str, fields: dict[str, str]) -> str:
        tags = {"admin": "allow administrator", "manager": "allow management"}
        return tags.get(fields["username"], "deny") if path == "/user" else "allow"

    service.decide = decide
    base = f"http://127.0.0.1:{port(node, 'http')}/api"

    async def get(path: str, user: str) -> tuple[int, Any]:
        headers = {"Authorization": encode_basic_auth(user, "pw")}
        async with ClientSession() as session, session.get(f"{base}/{path}", headers=headers) as response:
            return response.status, await response.json()

    headers = {"Authorization": encode_basic_auth("admin", "pw")}
    body = {"durable": True, "arguments": {"x-dead-letter-exchange": "dlx"}}
    async with (
        ClientSession() as session,
        session.put(f"{base}/queues/%2F/q", headers=headers, json=body) as response,
    ):
        assert response.status == 201
    assert service.paths() == ["/user", "/resource", "/resource", "/resource"]
    message = {"properties": {}, "routing_key": "k", "payload": "", "payload_encoding": "string"}
    service.asked.clear()
    async with (
        ClientSession() as session,
        session.post(f"{base}/exchanges/%2F/amq.topic/publish", headers=headers, json=message) as response,
    ):
        assert (response.status, await response.json()) == (200, {"routed": False})
    assert service.paths() == ["/user", "/vhost", "/resource", "/topic"]
    status, shown = await get("whoami", "admin")
    assert (status, shown) == (200, {"name": "admin", "tags": ["administrator"], "is_internal_user": False})
    status, shown = await get("vhosts", "manager")
    assert [one["name"] for one in shown] == ["/"]
    assert (await get("whoami", "nobody"))[0] == 401
    assert (await get("whoami", "guest"))[0] == 401  # denied by both


async def test_a_service_over_tls_is_verified(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("service", name("localhost"), alternatives=LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    caplog.set_level(logging.CRITICAL, "asyncio")
    async with serving(context) as service:
        node = await started("http", auth_http=http(service.port, "https", cacertfile=str(authority.path)))
        await (await connected(node)).close()
        await node.stop()
        node = await started("http", auth_http=http(service.port, "https"))
        assert "Login was refused" in await refusal(connected(node))
        await node.stop()


# --- cache


async def test_answers_are_kept_for_a_while(service: AuthService) -> None:
    node = await started("cache", auth_http=http(service.port), cache=AuthCache(ttl=60_000))
    for _ in range(2):
        connection = await connected(node)
        channel = await connection.channel()
        await channel.declare_queue("q", auto_delete=True, durable=True)
        await connection.close()
    assert service.paths() == ["/user", "/vhost", "/resource"]
    service.decide = deny("wrong", "q2")
    for _ in range(2):
        assert "Login was refused" in await refusal(connected(node, "alice", "wrong"))
    assert service.paths().count("/user") == 3  # refusals are not kept
    assert node.backends is not None and node.backends.clear_cache()
    await (await connected(node)).close()
    assert service.paths().count("/user") == 4
    await node.stop()


async def test_refusals_can_be_kept(service: AuthService) -> None:
    cache = AuthCache(ttl=60_000, cache_refusals=True)
    node = await started("cache", auth_http=http(service.port), cache=cache)
    service.decide = lambda path, fields: "deny"
    for _ in range(2):
        assert "Login was refused" in await refusal(connected(node))
    assert service.paths() == ["/user"]
    await node.stop()


# --- who authenticates, and who authorises


async def test_one_backend_authenticates_and_another_authorises(service: AuthService) -> None:
    node = await started("internal/http", auth_http=http(service.port))
    connection = await connected(node, "guest", "guest")
    await connection.close()
    assert service.paths() == ["/user", "/vhost"]
    assert "Login was refused" in await refusal(connected(node, "guest", "wrong"))
    assert service.paths() == ["/user", "/vhost"]
    await node.stop()
    node = await started("http/internal", auth_http=http(service.port))
    connection = await connected(node, "guest", "any password")
    channel = await connection.channel()
    await channel.declare_queue("q", exclusive=True)
    await connection.close()
    assert service.paths() == ["/user", "/vhost", "/user"]
    assert "Login was refused" in await refusal(connected(node, "nobody"))
    await node.stop()


@pytest.mark.parametrize(
    ("backend", "problem"),
    [("ldap", "queries of LDAP are not available"), ("nope", "there is no such backend")],
)
async def test_backends_that_do_not_exist_are_refused(backend: str, problem: str) -> None:
    node = Node(Settings(server=PLAIN, access=AccessSettings(backends=(backend,))))
    with pytest.raises(ConfigError, match=problem):
        await node.start()

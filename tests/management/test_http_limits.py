"""Limits of the HTTP listeners, mostly before login (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.web import Response

from leveret.clock import Clock
from leveret.config import Settings
from leveret.faults import Faults
from leveret.management import http_server
from leveret.management.http_server import (
    JOINED_AT_ONCE_BYTES,
    PART_BYTES,
    HttpConnection,
    HttpServer,
    read_body,
)
from leveret.server import descriptors
from leveret.server.node import Node
from leveret.settings import Server
from tests.hang import HANG_SECONDS

from .conftest import authorization

Start = Callable[..., Coroutine[Any, Any, Node]]

LOGIN = f"Authorization: {authorization('guest', 'guest')['Authorization']}\r\n".encode()
HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
TOO_LARGE = b'{"error":"bad_request","reason":"Exceeded HTTP request body size limit"}'


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start nodes with HTTP listeners; all are stopped at the end."""
    running: list[Node] = []

    async def started(**server: Any) -> Node:
        ports = {"host": ("127.0.0.1",), "port": 0, "http_port": 0, "prometheus_port": 0}
        node = Node(Settings(server=Server(**ports, **server)))
        await node.start()
        running.append(node)
        return node

    yield started
    for node in running:
        await node.stop()


async def _never(request: object) -> Any:
    """A handler that is not to be called."""
    raise AssertionError(request)


def port_of(node: Node, protocol: str = "http") -> int:
    return next(listener.port for listener in node.listeners() if listener.protocol == protocol)


async def connect(node: Node, protocol: str = "http") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port_of(node, protocol))


async def answer(node: Node, request: bytes, protocol: str = "http") -> bytes:
    """Return everything that the server sends until it closes the connection."""
    reader, writer = await connect(node, protocol)
    writer.write(request)
    async with asyncio.timeout(HANG_SECONDS):
        received = await reader.read()
    writer.close()
    return received


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def head(method: bytes = b"GET", path: bytes = b"/api/whoami", headers: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, path, HOST, headers)


# --- time


@pytest.mark.parametrize("protocol", ["http", "http/prometheus"])
@pytest.mark.parametrize("sent", [b"", b"GET /api/who", b"GET /api/whoami HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_is_closed_when_its_request_does_not_arrive(
    start: Start, sent: bytes, protocol: str
) -> None:
    node = await start(http_request_timeout=50)
    assert await answer(node, sent, protocol) == b""


async def test_a_connection_without_another_request_is_closed(start: Start) -> None:
    node = await start(http_request_timeout=50)
    sock = socket.create_connection(("127.0.0.1", port_of(node)))
    sock.sendall(head(headers=LOGIN))  # before the loop accepts it, and starts its timer
    reader, writer = await asyncio.open_connection(sock=sock)
    async with asyncio.timeout(HANG_SECONDS):
        received = await reader.read()
    writer.close()
    assert status(received) == 200 and received.endswith(b"}")


async def test_a_connection_is_closed_when_the_body_does_not_arrive(start: Start) -> None:
    node = await start(http_idle_timeout=50)
    request = head(b"PUT", b"/api/queues/%2F/q", LOGIN + b"Content-Length: 10\r\n") + b"{"
    assert status(await answer(node, request)) == 408
    assert "q" not in node.broker.vhosts["/"].queues


async def test_a_client_that_does_not_read_its_response_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "SEND_TIMEOUT_S", 0.01)
    aborted: list[bool] = []
    transport = SimpleNamespace(abort=lambda: aborted.append(True))
    request: Any = SimpleNamespace(writer=SimpleNamespace(drain=asyncio.Event().wait), transport=transport)
    assert not await http_server._sent(request)
    assert aborted == [True]


async def test_clients_that_do_not_read_have_little_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 32 << 20  # more than a socket keeps
    monkeypatch.setattr(http_server, "MAX_UNREAD_BYTES", size)

    async def handler(request: object) -> Any:
        return Response(body=bytes(size))

    server: Any = HttpServer(handler, Faults(Clock()), 60.0, 10)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    clients = []
    async with asyncio.timeout(HANG_SECONDS):
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head())
            await reader.readuntil(b"\r\n\r\n")
            clients.append((reader, writer))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await clients[0][0].readexactly(size)
        assert await clients[1][0].readexactly(size) == bytes(size)
    for _, writer in clients:
        writer.close()
    listening.close()


async def test_bodies_that_are_sent_slowly_need_little_memory_together(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_BODIES_BYTES", 1500)
    node = await start()
    headers = LOGIN + b"Content-Length: 2000\r\nExpect: 100-continue\r\n"
    clients = []
    for _ in range(2):
        reader, writer = await connect(node)
        writer.write(head(b"PUT", b"/api/queues/%2F/q", headers))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{" + b" " * 999)
        clients.append((reader, writer))
    first, second = clients
    with suppress(ConnectionError):
        async with asyncio.timeout(HANG_SECONDS):
            assert await first[0].read() == b"", "the longest one is closed"
    second[1].write(b" " * 999 + b"}")
    assert (await second[0].readline()).startswith(b"HTTP/1.1 201")
    for _, writer in clients:
        writer.close()


async def test_nothing_more_is_read_for_a_client_that_has_left() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: object) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server: Any = HttpServer(handler, Faults(Clock()), 60.0, 10)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(head())
    async with asyncio.timeout(HANG_SECONDS):
        await begun.wait()
        writer.close()
        await ended.wait()
    assert not server.reading and not server.open
    listening.close()


async def test_a_connection_that_closes_before_its_answer_is_no_fault() -> None:
    async def handler(request: Any) -> Any:
        request.transport.close()  # as for a newer connection, or when a write has failed
        return Response(body=b"late")

    faults = Faults(Clock())
    server: Any = HttpServer(handler, faults, 60.0, 10)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(head(b"POST"))
    async with asyncio.timeout(HANG_SECONDS):
        assert await reader.read() == b""
    writer.close()
    assert not faults.errors
    listening.close()


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, JOINED_AT_ONCE_BYTES + 5])
async def test_a_body_is_read_as_it_was_sent(size: int) -> None:
    received = asyncio.get_running_loop().create_future()
    body = random.Random(size).randbytes(size)

    async def handler(request: Any) -> Any:
        received.set_result(await read_body(request, size, 60.0))
        return Response()

    server: Any = HttpServer(handler, Faults(Clock()), 60.0, 10)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(head(b"POST", headers=b"Content-Length: %d\r\n" % size) + body)
    async with asyncio.timeout(HANG_SECONDS):
        assert await received == body
    writer.close()
    listening.close()


async def test_a_client_that_goes_before_its_body_is_read_is_no_fault() -> None:
    ended = asyncio.Event()

    async def handler(request: Any) -> Any:
        request.protocol.force_close()
        try:
            return await read_body(request, 100, 60.0)
        finally:
            ended.set()

    faults = Faults(Clock())
    server: Any = HttpServer(handler, faults, 60.0, 10)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(head(b"POST", headers=b"Content-Length: 10\r\n"))
    async with asyncio.timeout(HANG_SECONDS):
        await ended.wait()
        assert await reader.read() == b""
    writer.close()
    assert not faults.errors
    listening.close()


async def test_a_client_that_goes_at_once_is_no_fault() -> None:
    server: Any = HttpServer(_never, Faults(Clock()), 60.0, 10)
    connection = server()
    connection.connection_lost(None)  # before its task has begun
    await connection.start()
    assert not server.open


async def test_a_request_whose_client_has_gone_before_its_turn_is_not_served() -> None:
    server: Any = HttpServer(_never, Faults(Clock()), 60.0, 10)
    request: Any = SimpleNamespace(protocol=SimpleNamespace(transport=None), method="GET")
    with pytest.raises(ConnectionResetError):
        await server._serve(request)


# --- bodies


@pytest.mark.parametrize(
    ("method", "path", "login", "expected"),
    [
        (b"PUT", b"/api/queues/%2F/q", b"", 401),
        (b"PUT", b"/api/queues/%2F/q", LOGIN.replace(b"Z3", b"Zz"), 401),
        (b"PUT", b"/api/nope", LOGIN, 405),
        (b"POST", b"/api/queues/%2F/q", LOGIN, 405),
        (b"TRACE", b"/api/queues/%2F/q", LOGIN, 501),
        (b"PUT", b"/api/queues/%2F/q", LOGIN, 400),
    ],
)
async def test_a_refused_request_is_answered_before_its_body_arrives(
    start: Start, method: bytes, path: bytes, login: bytes, expected: int
) -> None:
    node = await start()
    reader, writer = await connect(node)
    writer.write(head(method, path, login + b"Content-Length: 21000000\r\n"))
    async with asyncio.timeout(HANG_SECONDS):
        assert status(await reader.readuntil(b"\r\n\r\n")) == expected
    writer.close()


async def test_the_body_of_a_refused_request_is_skipped(start: Start) -> None:
    node = await start()
    refused = head(b"PUT", b"/api/queues/%2F/q", b"Content-Length: 300000\r\n") + b"x" * 300_000
    received = await answer(node, refused + head(headers=LOGIN + CLOSE))
    assert [status(received), received.count(b"HTTP/1.1 200 OK")] == [401, 1]
    assert "q" not in node.broker.vhosts["/"].queues


async def test_a_refused_body_that_is_too_long_to_skip_closes_the_connection(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "SKIP_BYTES", 1000)
    monkeypatch.setattr(http_server, "LINGER_S", 0.05)
    node = await start()
    refused = head(b"PUT", b"/api/queues/%2F/q", b"Content-Length: 3000000\r\n") + b"x" * 2_000
    received = await answer(node, refused)
    assert received.count(b"HTTP/1.1") == 1 and status(received) == 401


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_size_of_a_body_is_limited(start: Start, chunked: bool) -> None:
    node = await start(http_max_body_size=1000)
    for size, expected in ((1000, 201), (1001, 400)):
        body = b'{"arguments":{"a":"' + b"x" * (size - 22) + b'"}}'
        assert len(body) == size
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
            length = b"Transfer-Encoding: chunked\r\n"
        else:
            length = b"Content-Length: %d\r\n" % size
        received = await answer(node, head(b"PUT", b"/api/queues/%2F/q", LOGIN + CLOSE + length) + body)
        assert status(received) == expected
        assert received.endswith(TOO_LARGE) == (expected == 400)


async def test_compressed_bodies_are_not_decompressed(start: Start) -> None:
    node = await start()
    body = gzip.compress(b'{"arguments":{"a":"' + b"x" * 9_000_000 + b'"}}')
    headers = LOGIN + CLOSE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)
    received = await answer(node, head(b"PUT", b"/api/queues/%2F/q", headers) + body)
    assert received.endswith(b'{"error":"bad_request","reason":"not_json"}')


async def test_continue_is_sent_only_after_login(start: Start) -> None:
    node = await start()
    reader, writer = await connect(node)
    expect = b"Expect: 100-continue\r\nContent-Length: 2\r\n"
    async with asyncio.timeout(HANG_SECONDS):
        writer.write(head(b"PUT", b"/api/queues/%2F/q", LOGIN + expect))
        assert status(await reader.readuntil(b"\r\n\r\n")) == 100
        writer.write(b"{}")
        assert status(await reader.readuntil(b"\r\n\r\n")) == 201
        writer.write(head(b"PUT", b"/api/queues/%2F/q", expect))
        assert status(await reader.readuntil(b"\r\n\r\n")) == 401
    writer.close()


# --- malformed requests

MALFORMED = [
    (head(b"FOO", headers=LOGIN), 501),
    (b"\x16\x03\x01\x02\x00" * 20, 501),
    (b"AMQP\0\0\x09\x01", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"GET /api/whoami HTTP/3.0\r\n\r\n", 400),
    (b"GET /api/whoami HTTP/1.1\r\n" + LOGIN + b"\r\n", 400),
    (head(path=b"/api/" + b"z" * 9000), 414),
    (head(headers=b"X: " + b"y" * 9000 + b"\r\n"), 431),
    (head(headers=b"".join(b"X%d: y\r\n" % i for i in range(1000))), 400),
    (head(b"OPTIONS", b"*", CLOSE), 404),
    (head(path=b"api/whoami"), 400),
    (head(path=b"http://elsewhere/api/whoami", headers=LOGIN), 400),
    (head(headers=b"X : y\r\n"), 400),
    (head(headers=b"no colon\r\n"), 400),
    (head(headers=b"X: a\r\n b\r\n"), 400),
    (head(headers=b"X: a\0b\r\n"), 400),
    (head(b"POST", headers=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400),
    (head(b"POST", headers=b"Content-Length: -5\r\n"), 400),
    (head(b"POST", headers=b"Content-Length: abc\r\n"), 400),
    (head(b"POST", headers=b"Content-Length: 0\r\nContent-Length: 5\r\n"), 400),
    (head(b"POST", headers=b"Transfer-Encoding: gzip\r\n"), 400),
    (head(b"PUT", headers=b"Transfer-Encoding: gzip, chunked\r\n") + b"2\r\n{}\r\n0\r\n\r\n", 400),
    (head(b"PUT", headers=LOGIN + b"Transfer-Encoding: \r\n"), 400),
    *[
        (b"GET /api/whoami HTTP/1.1\r\nHost: " + host + b"\r\n" + LOGIN + b"\r\n", 400)
        for host in (b"a b", b"a:99999999", b"a:65536", b"[::1", b"a@b", b"<x>")
    ],
    (head(path=b"ftp://localhost/api/whoami", headers=LOGIN), 400),
    (head(b"PUT", b"/api/queues/%2F/q", LOGIN + b"Transfer-Encoding: chunked\r\n") + b"zz\r\n{}\r\n", 400),
    (head(headers=b"Authorization: \r\n" + CLOSE), 400),
    (head(headers=b"Authorization: Basic !!!!\r\n" + CLOSE), 400),
    (head(headers=b"Authorization: Basic \xd6\xff\xc3\xa4\r\n" + CLOSE), 400),
    (head(headers=b"Authorization: Basic Z3Vlc3Q=\r\n" + CLOSE), 400),
    (head(headers=b"Authorization: Bearer abc\r\n" + CLOSE), 401),
]


@pytest.mark.parametrize(("request_", "expected"), MALFORMED)
async def test_malformed_requests_get_a_status_without_a_body(
    start: Start, request_: bytes, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    node = await start()
    caplog.clear()
    received = await answer(node, request_)
    assert status(received) == expected, received
    assert b"\r\nServer: Leveret\r\n" in received
    assert expected in (401, 404) or received.endswith(b"\r\n\r\n")
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert not node.broker.faults.errors


@pytest.mark.parametrize("host", [b"", b"a:65535", b"[::1]:80", b"shop.example", b"a:"])
async def test_every_host_has_the_api(start: Start, host: bytes) -> None:
    node = await start()
    request = b"GET /api/whoami HTTP/1.1\r\nHost: " + host + b"\r\n" + LOGIN + CLOSE + b"\r\n"
    assert status(await answer(node, request)) == 200


@pytest.mark.parametrize("path", [b"/metrics", b"/nope"])
async def test_responses_do_not_name_libraries(start: Start, path: bytes) -> None:
    node = await start()
    received = await answer(node, head(path=path, headers=CLOSE), "http/prometheus")
    assert b"\r\nServer: Leveret\r\n" in received and b"aiohttp" not in received


async def test_an_exception_outside_a_call_is_an_empty_500_and_reported(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start()

    def fail(*arguments: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("leveret.management.app.Paths.find", fail)
    received = await answer(node, head(headers=LOGIN))
    assert status(received) == 500 and received.endswith(b"\r\n\r\n")
    assert node.broker.faults.errors == {"http": 1}


@pytest.mark.parametrize(
    "path", [b"http://localhost/api/whoami", b"/api/whoami?x=http://y", b"/api/whoami?x=?://"]
)
async def test_absolute_uris_are_served(start: Start, path: bytes) -> None:
    node = await start()
    assert status(await answer(node, head(path=path, headers=LOGIN + CLOSE))) == 200


async def test_absolute_uris_are_served_on_the_prometheus_port(start: Start) -> None:
    node = await start()
    received = await answer(node, head(path=b"http://localhost/metrics", headers=CLOSE), "http/prometheus")
    assert status(received) == 200


# --- connections


async def test_at_the_limit_the_longest_idle_connection_is_closed(start: Start) -> None:
    node = await start(http_max_connections=3)
    idle = [await connect(node) for _ in range(3)]
    async with asyncio.timeout(HANG_SECONDS):
        idle[0][1].write(head(headers=LOGIN))
        await idle[0][0].readuntil(b"}")  # now the second one has been idle longest
        assert status(await answer(node, head(headers=LOGIN + CLOSE))) == 200
        assert await idle[1][0].read() == b""
        for number in (0, 2):
            idle[number][1].write(head(headers=LOGIN + CLOSE))
            assert status(await idle[number][0].read()) == 200
    for _, writer in idle:
        writer.close()


async def test_at_the_limit_a_busy_connection_is_not_closed(start: Start) -> None:
    node = await start(http_max_connections=1)
    reader, writer = await connect(node)
    async with asyncio.timeout(HANG_SECONDS):
        writer.write(
            head(
                b"PUT", b"/api/queues/%2F/q", LOGIN + CLOSE + b"Expect: 100-continue\r\nContent-Length: 2\r\n"
            )
        )
        await reader.readuntil(b"\r\n\r\n")
        assert await answer(node, b"") == b""
        writer.write(b"{}")
        assert status(await reader.read()) == 201
    writer.close()


async def test_a_connection_that_is_lost_before_it_is_served_is_not_counted() -> None:
    async def handler(request: object) -> Any:
        raise AssertionError(request)

    server = HttpServer(handler, Faults(Clock()), 1.0, 1)
    request: Any = SimpleNamespace(protocol=object(), method="TRACE")
    with pytest.raises(AttributeError):  # it cannot be answered
        await server._serve(request)
    assert server.open == {}


def test_http_uses_at_most_a_quarter_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"limit": 128}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits["limit"], 4096))
    assert descriptors.http_connections(1024) == 32
    limits["limit"] = 1 << 20
    assert descriptors.http_connections(1024) == 1024
    limits["limit"] = resource.RLIM_INFINITY
    assert descriptors.http_connections(1024) == 1024


def test_a_closed_connection_is_aborted_if_its_client_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[Callable[[], None]] = []
    loop: Any = SimpleNamespace(call_later=lambda seconds, call: later.append(call))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    done: list[str] = []
    transport: Any = SimpleNamespace(
        close=lambda: done.append("close"),
        abort=lambda: done.append("abort"),
        get_write_buffer_size=lambda: 1,
    )
    connection: Any = object.__new__(HttpConnection)
    connection.transport, connection._waiter = transport, None
    connection.force_close()
    for call in later:
        call()
    assert done == ["close", "abort"]


def test_a_connection_is_asked_what_is_unsent_before_it_is_closed() -> None:
    """The transport of asyncio's TLS that was closed twice raises an exception."""
    states = ["open", "closed", "gone"]

    def unsent() -> int:
        assert states[0] != "gone"
        return 0

    transport: Any = SimpleNamespace(close=lambda: states.pop(0), get_write_buffer_size=unsent)
    transport.close()
    connection: Any = object.__new__(HttpConnection)
    connection.transport, connection._waiter = transport, None
    connection.force_close()
    assert states == ["gone"] and connection.transport is None


async def test_an_absolute_uri_without_a_path_is_the_page(node: Node) -> None:
    received = await answer(node, head(path=b"http://localhost", headers=CLOSE))
    assert status(received) == 200 and b"<html" in received


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /api/version HTTP/2.0", b"505"),
        (b"GET /api/version HTTP/1.2", b"400"),  # aiohttp's parser; RabbitMQ: 505
        (b"GET /api/version", b"400"),
    ],
)
async def test_other_versions_of_http_are_refused(start: Start, line: bytes, status: bytes) -> None:
    node = await start()
    assert (await answer(node, line + b"\r\nHost: x\r\n\r\n")).split()[1] == status


async def test_a_request_has_at_most_100_headers(start: Start) -> None:
    node = await start()
    for count, status in ((99, b"200"), (100, b"431")):
        headers = b"".join(b"x%d: 1\r\n" % number for number in range(count - 1))
        request = b"GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
        assert (await answer(node, request)).split()[1] == status


@pytest.mark.parametrize("protocol", ["http", "http/prometheus"])
async def test_repeated_headers_are_no_longer_than_one_may_be(start: Start, protocol: str) -> None:
    node = await start()
    value = b"*/*," * 1000
    for names, refused in ((b"accept x-y x-z", False), (b"Accept accept ACCEPT", True)):
        headers = b"".join(b"%b: %b\r\n" % (name, value) for name in names.split())
        request = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
        assert (b" 431 " in await answer(node, request, protocol)) is refused


async def test_repeated_headers_are_one_list(start: Start) -> None:
    node = await start()
    login = b"Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n"
    line = b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    accepted = b"Accept: text/html\r\naccept: application/json\r\n"
    assert (await answer(node, line + login + accepted + b"\r\n")).split()[1] == b"200"
    assert (await answer(node, line + login + login + b"\r\n")).split()[1] == b"400"

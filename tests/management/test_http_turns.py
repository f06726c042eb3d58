"""What a client sends over HTTP is parsed in portions, and its requests begin a few at a time."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import AsyncIterator

import pytest

from leveret.config import Settings
from leveret.management import http_server, http_turns
from leveret.management.http_turns import ENDED_TOGETHER, REQUESTS_TOGETHER, HttpTurns
from leveret.server.node import Node
from leveret.settings import Server
from tests.hang import HANG_SECONDS

from .conftest import authorization

pytestmark = pytest.mark.skipif(
    http_server.CONNECTION is not http_server.PortionedConnection, reason="this aiohttp cannot be held"
)

LOGIN = f"Authorization: {authorization('guest', 'guest')['Authorization']}\r\n".encode()
TICK_S = http_turns.PARSING_S / 2


class Time:
    """A clock that each portion moves by half of what a turn has."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Octets in so many portions."""

    def __init__(self, clock: Time, portions: int) -> None:
        self.clock = clock
        self.left = portions

    def parse(self) -> bool:
        self.left -= 1
        self.clock.now += TICK_S
        return self.left > 0


@pytest.fixture
async def unhandled() -> list[BaseException]:
    """Exceptions that reach the event loop."""
    found: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context["exception"]))
    return found


async def turn() -> None:
    await asyncio.sleep(0)


async def test_a_turn_parses_what_it_has_time_for_and_the_rest_follows() -> None:
    clock = Time()
    turns, client = HttpTurns(clock), Client(clock, 5)
    assert not turns.parse(client)
    assert client.left == 3
    await turn()
    assert client.left == 1
    await turn()
    assert client.left == 0


async def test_all_connections_share_one_turn() -> None:
    clock = Time()
    turns = HttpTurns(clock)
    clients = [Client(clock, 2) for _ in range(3)]
    assert [turns.parse(client) for client in clients] == [True, False, False]
    assert [client.left for client in clients] == [0, 2, 2]
    await turn()
    assert [client.left for client in clients] == [0, 1, 1]
    await turn()
    assert [client.left for client in clients] == [0, 0, 0]


async def test_a_new_turn_has_all_its_time_again() -> None:
    clock = Time()
    turns = HttpTurns(clock)
    assert turns.parse(Client(clock, 2))
    await turn()
    assert turns.parse(Client(clock, 2))


async def test_requests_begin_a_few_at_a_time() -> None:
    turns = HttpTurns()
    begun: list[int] = []

    async def request(number: int) -> None:
        await turns.begin()
        begun.append(number)

    tasks = [asyncio.ensure_future(request(number)) for number in range(3 * REQUESTS_TOGETHER)]
    counts = []
    while len(begun) < len(tasks):
        await turn()
        counts.append(len(begun))
    assert begun == list(range(len(tasks)))
    assert (
        max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= REQUESTS_TOGETHER
    )


async def test_a_request_whose_client_has_gone_takes_no_turn() -> None:
    turns = HttpTurns()
    tasks = [asyncio.ensure_future(turns.begin()) for _ in range(2 * REQUESTS_TOGETHER + 1)]
    await turn()
    tasks[REQUESTS_TOGETHER].cancel()
    for _ in range(2):
        await turn()
    assert all(task.done() for task in tasks)


async def test_connections_end_a_few_at_a_time_and_in_order() -> None:
    turns = HttpTurns()
    ended: list[int] = []
    for number in range(2 * ENDED_TOGETHER + 1):
        turns.end(functools.partial(ended.append, number))
    assert len(ended) == ENDED_TOGETHER
    await turn()
    assert len(ended) == 2 * ENDED_TOGETHER
    turns.end(functools.partial(ended.append, len(ended) + 1))
    await turn()
    assert ended == list(range(2 * ENDED_TOGETHER + 2))


async def test_a_connection_that_fails_to_end_holds_up_no_other(unhandled: list[BaseException]) -> None:
    def fail() -> None:
        raise ValueError("no end")

    turns = HttpTurns()
    ended: list[int] = []
    for number in range(ENDED_TOGETHER):
        turns.end(functools.partial(ended.append, number))
    turns.end(fail)
    turns.end(functools.partial(ended.append, ENDED_TOGETHER))
    for _ in range(3):
        await turn()
    assert ended == list(range(ENDED_TOGETHER + 1))
    assert [str(error) for error in unhandled] == ["no end"]


# --- connections


@pytest.fixture(params=["whole", "octet by octet"])
async def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node that parses what arrives at once, or an octet in each turn."""
    if request.param != "whole":
        monkeypatch.setattr(http_server, "PORTION_BYTES", 1)
        monkeypatch.setattr(http_turns, "PARSING_S", 1e-9)
    ports = {"host": ("127.0.0.1",), "port": 0, "http_port": 0, "prometheus_port": 0}
    node = Node(Settings(server=Server(**ports)))
    await node.start()
    yield node
    await node.stop()
    assert not node.broker.faults.errors


async def statuses(node: Node, sent: bytes) -> list[int]:
    """Send everything at once and return the status of each answer until the connection ends."""
    port = next(listener.port for listener in node.listeners() if listener.protocol == "http")
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(sent)
    reader, writer = await asyncio.open_connection(sock=sock)
    async with asyncio.timeout(HANG_SECONDS):
        received = await reader.read()
    writer.close()
    return [int(code) for code in re.findall(rb"HTTP/1.[01] (\d+) ", received)]


def head(method: bytes, path: bytes, headers: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b%b\r\n" % (method, path, LOGIN, headers)


GET = head(b"GET", b"/api/whoami")
LAST = head(b"GET", b"/api/whoami", b"Connection: close\r\n")
PUT = head(b"PUT", b"/api/queues/%2F/q", b"Transfer-Encoding: chunked\r\n")
OCTETS = b"".join(b"1\r\n%c\r\n" % octet for octet in b'{"durable":true}')


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (LAST, [200]),
        (GET * 3 + LAST, [200, 200, 200, 200]),
        (GET * 100 + LAST, [200] * 101),
        (PUT + OCTETS + b"0\r\n\r\n" + LAST, [201, 200]),
        (head(b"PUT", b"/api/queues/%2F/q", b"Content-Length: 2\r\n") + b"{}" + LAST, [201, 200]),
        (PUT + OCTETS + b"zz\r\n", [400]),
        (PUT + b"2\r\n{}\r\n0\r\nTrailer: " + b"x" * 10_000 + b"\r\n\r\n", [400]),
    ],
    ids=["one", "pipelined", "many", "chunks", "length", "bad chunk", "long trailer"],
)
async def test_answers_do_not_depend_on_the_portions(node: Node, sent: bytes, answers: list[int]) -> None:
    assert await statuses(node, sent) == answers


async def test_a_long_body_in_the_smallest_chunks_arrives_as_a_whole(node: Node) -> None:
    text = b'{"arguments":{"x":"%b"}}' % (b"y" * 4000)
    chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in text)
    assert await statuses(node, PUT + chunks + b"0\r\n\r\n" + LAST) == [201, 200]
    assert node.broker.vhosts["/"].queues["q"].arguments["x"].value == b"y" * 4000

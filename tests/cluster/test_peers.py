"""Calls between nodes. On loopback, without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leveret.cluster import peers
from leveret.cluster.peers import Call, PeerListener, PeerRefused, Service, dial
from leveret.server.proxy_protocol import Origin

SECRET = b"a secret"
ORIGIN = Origin("192.0.2.7", 4711, "192.0.2.1", 5672)


class Echo(asyncio.Protocol):
    """Sends back what it gets, after `origin`."""

    def __init__(self, made: list[Echo], origin: Origin) -> None:
        self.made = made
        self.origin = origin
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.stays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.append(self)
        transport.write(f"{self.origin.peer_host}:{self.origin.peer_port}\n".encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]

    def eof_received(self) -> bool:
        self.ended.set()
        return self.stays

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


class Owner:
    """A node that serves echoes. `serving`: until it is set, calls wait."""

    def __init__(self) -> None:
        self.made: list[Echo] = []
        self.serving = asyncio.Event()
        self.serving.set()
        self.listener = PeerListener(SECRET, self.service)
        self.address_of = ""

    async def service(self, call: Call) -> Service:
        await self.serving.wait()
        if call.service != "amqp":
            raise PeerRefused(f"no listener for {call.service}")

        async def serve(transport: asyncio.Transport, origin: Origin) -> None:
            echo = Echo(self.made, origin)
            transport.set_protocol(echo)
            echo.connection_made(transport)
            transport.resume_reading()

        return serve


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    """A node that serves, and nothing of it afterwards."""
    made = Owner()
    made.address_of = f"127.0.0.1:{await made.listener.start('127.0.0.1', 0)}"
    yield made
    for echo in made.made:
        echo.transport.abort()  # type: ignore[attr-defined]
    made.listener.close()
    for _ in range(50):
        await asyncio.sleep(0)


async def called(owner: Owner, secret: bytes) -> tuple[asyncio.StreamReader, asyncio.Transport]:
    """A call for AMQP, as the calling node sees it."""
    served = await dial(owner.address_of, secret, Call("amqp", ORIGIN))
    reader = asyncio.StreamReader()
    served.begin(asyncio.StreamReaderProtocol(reader))
    return reader, served.transport


async def test_a_call_carries_the_origin_of_the_client(owner: Owner) -> None:
    reader, transport = await called(owner, SECRET)
    assert await reader.readline() == b"192.0.2.7:4711\n"
    transport.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    transport.abort()


async def test_a_node_with_another_secret_is_refused(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConnectionError):
        await dial(owner.address_of, b"another one", Call("amqp", ORIGIN))
    assert not owner.made
    assert "does not know the secret" in caplog.text


async def test_a_reason_to_refuse_is_logged_once_in_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = peers.Refusals()
    now = 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)

    def refusals() -> list[str]:
        return [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]

    for _ in range(3):
        refused.log("a client is refused: not now")
    refused.log("a client is refused: never")
    assert refusals() == ["cluster: a client is refused: not now", "cluster: a client is refused: never"]
    now += peers.REFUSAL_INTERVAL_S
    refused.log("a client is refused: not now")
    assert len(refusals()) == 3
    for number in range(2 * peers.MOST_REASONS):
        refused.log(f"a client is refused: {number}")
    assert len(refused._logged) <= peers.MOST_REASONS


async def test_clients_that_try_again_are_one_log_line(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await dial(owner.address_of, SECRET, Call("mqtt", ORIGIN))
    assert caplog.text.count("a client of another node is refused: no listener for mqtt") == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"service": "amqp"}', b'{"service": 1, "origin": [1]}', b"\xff"]
)
def test_a_malformed_call_is_refused(body: bytes) -> None:
    with pytest.raises(PeerRefused, match="malformed call"):
        peers.decode_call(body)


async def test_what_is_no_node_is_not_called() -> None:
    async def mail(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n" * 9)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(mail, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PeerRefused, match="no node of a cluster"):
        await dial(f"127.0.0.1:{port}", SECRET, Call("amqp", ORIGIN))
    server.close()
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_watch_ends_with_the_listener(owner: Owner) -> None:
    watching = asyncio.ensure_future(peers.watch(owner.address_of, SECRET))
    _, transport = await called(owner, SECRET)  # after it: the watch has been accepted
    transport.abort()
    assert not watching.done()
    owner.listener.close()
    await watching
    assert await peers.is_refused(owner.address_of)

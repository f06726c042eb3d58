"""Requests and commands that another node passes on are served as if they had come here; settings of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leveret.cluster import received
from leveret.cluster.peers import CONTROL, HTTP, NOBODY, Call, PeerListener, Service, dial
from leveret.config import ConfigError, Settings
from leveret.control_frames import HEADER_BYTES, header
from leveret.server.node import Node
from leveret.server.proxy_protocol import Origin
from leveret.settings import Cluster, Server

SECRET = b"a secret"
GUEST = "Basic Z3Vlc3Q6Z3Vlc3Q="


class Callee:
    """A node that other nodes call at `address`."""

    def __init__(self) -> None:
        server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1, control_socket="none")
        self.node = Node(Settings(server=server))
        self.peers = PeerListener(SECRET, self.service)
        self.address = ""

    async def service(self, call: Call) -> Service:
        return received.service_of(self.node, call)

    async def call(self, call: Call) -> tuple[asyncio.StreamReader, asyncio.Transport]:
        """Call it."""
        served = await dial(self.address, SECRET, call)
        reader = asyncio.StreamReader()
        served.begin(asyncio.StreamReaderProtocol(reader))
        return reader, served.transport


@pytest.fixture
async def callee() -> AsyncIterator[Callee]:
    made = Callee()
    await made.node.start()
    made.address = f"127.0.0.1:{await made.peers.start('127.0.0.1', 0)}"
    yield made
    made.peers.close()
    await made.node.stop()


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", b"200"), ("192.0.2.7", b"401")])
async def test_a_local_user_is_judged_by_the_address_of_the_client(
    callee: Callee, host: str, status: bytes
) -> None:
    reader, transport = await callee.call(Call(HTTP, Origin(host, 4711, "192.0.2.1", 15672)))
    transport.write(f"GET /api/whoami HTTP/1.1\r\nHost: a\r\nAuthorization: {GUEST}\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] == status
    transport.abort()


async def test_a_command_is_greeted(callee: Callee) -> None:
    reader, transport = await callee.call(Call(CONTROL, NOBODY))
    assert header(await reader.readexactly(HEADER_BYTES))[1] > 0
    transport.abort()


async def test_what_the_node_does_not_serve_is_refused(
    callee: Callee, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionError):
        await callee.call(Call("mqtt", NOBODY))
    assert "this node does not serve mqtt at the moment" in caplog.text


@pytest.mark.parametrize(
    ("cluster", "key"),
    [
        (Cluster(nats=("nats://a:4222",)), "secret"),
        (Cluster(nats=("nats://a:4222",), secret="s"), "monitor"),
        (Cluster(nats=("nats://a:1", "nats://b:1"), secret="s", monitor=("http://a:2",)), "monitor"),
    ],
)
def test_incomplete_settings_are_refused(cluster: Cluster, key: str) -> None:
    from leveret.cluster.node import check

    with pytest.raises(ConfigError) as raised:
        check(Settings(cluster=cluster))
    assert raised.value.key == key

"""The PROXY protocol: headers, and what they change."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.config import Settings
from leveret.server.node import Node
from leveret.server.proxy_protocol import MAX_TEXT_BYTES, SIGNATURE, MalformedHeader, Origin, read_header
from leveret.settings import Server
from leveret.tls_settings import Tls
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS, settled

PROXIED = Server(host=("127.0.0.1",), port=0, http_port=-1, prometheus_port=-1, proxy_protocol=True)

FAR = Origin("192.0.2.7", 4711, "198.51.100.1", 5672)


def parsed(data: bytes) -> tuple[Origin | None, bytes]:
    """The origin in a header, and the octets behind it."""
    left = bytearray(data)

    async def read(size: int) -> bytes:
        if len(left) < size:
            raise EOFError
        part = bytes(left[:size])
        del left[:size]
        return part

    return asyncio.run(read_header(read)), bytes(left)


def binary(origin: Origin, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of version 2."""
    hosts = [ipaddress.ip_address(host) for host in (origin.peer_host, origin.host)]
    body = b"".join(host.packed for host in hosts)
    body += b"".join(port.to_bytes(2, "big") for port in (origin.peer_port, origin.port)) + more
    family = 0x11 if hosts[0].version == 4 else 0x21
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


def text(origin: Origin) -> bytes:
    """A header of version 1."""
    kind = "TCP6" if ":" in origin.peer_host else "TCP4"
    return f"PROXY {kind} {origin.peer_host} {origin.host} {origin.peer_port} {origin.port}\r\n".encode()


PORTS = st.integers(0, 65535)


def origins(version: int) -> st.SearchStrategy[Origin]:
    hosts = st.ip_addresses(v=version).map(str)  # type: ignore[arg-type]
    return st.builds(Origin, hosts, PORTS, hosts, PORTS)


@given(st.one_of(origins(4), origins(6)), st.binary(max_size=100), st.binary(max_size=20))
def test_headers_of_both_versions_say_who_it_is(origin: Origin, more: bytes, rest: bytes) -> None:
    assert parsed(text(origin) + rest) == (origin, rest)
    assert parsed(binary(origin, more=more) + rest) == (origin, rest)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        binary(FAR, command=0x20),  # LOCAL: the proxy checks the health of the node
        SIGNATURE + b"\x21\x00\x00\x00",  # an unknown family
        SIGNATURE + b"\x21\x31" + (216).to_bytes(2, "big") + bytes(216),  # a Unix socket
    ],
)
def test_headers_that_name_nobody(header: bytes) -> None:
    assert parsed(header + b"AMQP") == (None, b"AMQP")


@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\0\0\x09\x01" + bytes(20),
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP4 nobody 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY " + b"x" * MAX_TEXT_BYTES,
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    ],
)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(MalformedHeader):
        parsed(header)


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_not(data: bytes) -> None:
    try:
        parsed(data)
    except (MalformedHeader, EOFError):
        return


# --- a node behind a proxy


async def test_the_client_behind_the_proxy_is_shown() -> None:
    node = Node(Settings(server=PROXIED))
    await node.start()
    port = node.listeners()[0].port
    for header in (text(FAR), binary(FAR)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(header + b"AMQP\0\0\x09\x01")
        async with asyncio.timeout(HANG_SECONDS):
            assert (await reader.read(1)) == b"\x01"
        (connection,) = node.broker.connections
        assert connection.name == "192.0.2.7:4711 -> 198.51.100.1:5672"
        assert connection.peer.loopback  # of the socket: guest may log in through a proxy on this machine
        writer.transport.abort()
        await settled(lambda: not node.broker.connections)
    await node.stop()


async def test_clients_without_a_header_are_reset() -> None:
    node = Node(Settings(server=PROXIED))
    await node.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.listeners()[0].port)
    writer.write(b"AMQP\0\0\x09\x01" + bytes(4))
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(HANG_SECONDS):
            await reader.read()
    writer.close()
    assert not node.broker.connections
    await node.stop()


async def test_the_header_comes_before_the_handshake(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("server", name("localhost"), alternatives=LOCALHOST)
    tls = Tls(port=0, certfile=str(certfile), keyfile=str(keyfile))
    node = Node(Settings(server=PROXIED, tls=tls))
    await node.start()
    port = next(one.port for one in node.listeners() if one.protocol == "amqp/ssl")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text(FAR))
    await writer.start_tls(authority.client(), server_hostname="localhost")
    writer.write(b"AMQP\0\0\x09\x01")
    async with asyncio.timeout(HANG_SECONDS):
        assert (await reader.read(1)) == b"\x01"
    (connection,) = node.broker.connections
    assert connection.name == "192.0.2.7:4711 -> 198.51.100.1:5672"
    assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
    writer.transport.abort()
    await node.stop()

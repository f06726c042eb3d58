"""TLS between nodes: who is accepted, and what is refused. On loopback, without NATS."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from leveret.cluster import peers
from leveret.cluster.node import check
from leveret.cluster.peer_tls import PeerTls, peer_tls
from leveret.cluster.peers import Call, PeerListener, Service, dial
from leveret.config import ConfigError, Settings
from leveret.server.proxy_protocol import Origin
from leveret.settings import Cluster
from leveret.tls_settings import TlsError
from tests.certificates import Authority, name

SECRET = b"a secret"
ORIGIN = Origin("192.0.2.7", 4711, "192.0.2.1", 5672)


def of(authority: Authority, node: str) -> Cluster:
    """The settings of a node."""
    certfile, keyfile = authority.issue(node, name(node))
    return Cluster(certfile=str(certfile), keyfile=str(keyfile), cacertfile=str(authority.path))


def replace(one: Cluster, other: Cluster) -> None:
    """Put the certificate of another node in the place of one."""
    for before, after in ((one.certfile, other.certfile), (one.keyfile, other.keyfile)):
        Path(before).write_bytes(Path(after).read_bytes())
        os.utime(before, (1, 1))


class Answer(asyncio.Protocol):
    """Says who has called, and by which certificate."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        found = transport.get_extra_info("peercert")
        subject = dict(pair for part in found["subject"] for pair in part)
        transport.write(f"{subject['commonName']}\n".encode())  # type: ignore[attr-defined]
        transport.close()


async def serve(transport: asyncio.Transport, origin: Origin) -> None:
    answer = Answer()
    transport.set_protocol(answer)
    answer.connection_made(transport)


async def service(call: Call) -> Service:
    return serve


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


Listen = Callable[[PeerTls | None], Awaitable[str]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Makes a node that accepts calls; returns its address."""
    made: list[PeerListener] = []

    async def begin(tls: PeerTls | None) -> str:
        made.append(PeerListener(SECRET, service, tls))
        return f"127.0.0.1:{await made[-1].start('127.0.0.1', 0)}"

    yield begin
    for listener in made:
        listener.close()
    for _ in range(50):
        await asyncio.sleep(0)


async def called(address: str, tls: PeerTls | None) -> str:
    """The answer to a call. Raises OSError."""
    served = await dial(address, SECRET, Call("amqp", ORIGIN), tls)
    reader = asyncio.StreamReader()
    served.begin(asyncio.StreamReaderProtocol(reader))
    return (await reader.readline()).decode().strip()


async def test_nodes_show_each_other_their_certificates(authority: Authority, listen: Listen) -> None:
    address = await listen(PeerTls(of(authority, "one")))
    assert await called(address, PeerTls(of(authority, "two"))) == "two"


async def test_a_node_of_another_authority_is_refused(
    authority: Authority, listen: Listen, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = of(Authority(tmp_path / "other", "Other CA"), "stranger")
    address = await listen(PeerTls(of(authority, "one")))
    with pytest.raises(OSError, match=r"."):
        await called(address, PeerTls(stranger))
    believing = Cluster(
        certfile=stranger.certfile, keyfile=stranger.keyfile, cacertfile=str(authority.path)
    )  # whose own certificate is the only thing wrong
    with pytest.raises(OSError, match=r"."):
        await called(address, PeerTls(believing))


async def test_a_node_without_tls_is_refused_and_refuses(authority: Authority, listen: Listen) -> None:
    address = await listen(PeerTls(of(authority, "one")))
    with pytest.raises((OSError, TimeoutError)):
        await called(address, None)
    plain = await listen(None)
    with pytest.raises((OSError, TimeoutError)):
        await called(plain, PeerTls(of(authority, "two")))


async def test_a_node_with_tls_that_has_ended_is_noticed(authority: Authority, listen: Listen) -> None:
    tls = PeerTls(of(authority, "one"))
    listener = PeerListener(SECRET, service, tls)
    address = f"127.0.0.1:{await listener.start('127.0.0.1', 0)}"
    watching = asyncio.ensure_future(peers.watch(address, SECRET, PeerTls(of(authority, "two"))))
    assert await called(address, tls) == "one"  # after it: the watch has been accepted
    assert not watching.done()
    assert not await peers.is_refused(address)
    listener.close()
    await watching
    assert await peers.is_refused(address)


async def test_new_certificates_are_used_for_the_next_call(authority: Authority, listen: Listen) -> None:
    mine, theirs = of(authority, "one"), of(authority, "two")
    tls, caller = PeerTls(mine), PeerTls(theirs)
    address = await listen(tls)
    assert await called(address, caller) == "two"
    renewed = of(authority, "renewed")
    for one in (mine, theirs):
        replace(one, renewed)
    assert await called(address, caller) == "renewed"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.path)
    context.load_cert_chain(theirs.certfile, theirs.keyfile)
    _, writer = await asyncio.open_connection(*address.split(":"), ssl=context)
    subject = dict(pair for part in writer.get_extra_info("peercert")["subject"] for pair in part)
    assert subject["commonName"] == "renewed"
    writer.transport.abort()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"cluster\.certfile: /none\.pem"):
        peer_tls(Cluster(certfile="/none.pem", cacertfile="/none.pem"))
    assert peer_tls(Cluster()) is None


def test_a_certificate_needs_its_authority() -> None:
    settings = Settings(cluster=Cluster(secret="a", sync="interval", certfile="/a.pem"))
    with pytest.raises(ConfigError, match="certfile: and cacertfile must both be set"):
        check(settings)

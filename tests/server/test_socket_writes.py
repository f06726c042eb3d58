"""Output goes directly to the socket, and to the transport as long as that has something to send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import Transport, World


@pytest.fixture
def client(tmp_path: Path) -> Transport:
    return World(tmp_path).connect("client")


@pytest.fixture
def peer(client: Transport) -> Iterator[socket.socket]:
    """The other end of the socket that the broker writes to; the transport is the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        client.protocol.fd = ours.fileno()
        client.stuck = True
        yield theirs


def drain(peer: socket.socket) -> bytes:
    """Read everything that is there."""
    found = b""
    try:
        while part := peer.recv(1 << 20):
            found += part
    except BlockingIOError:
        pass
    return found


def test_output_is_written_to_the_socket(client: Transport, peer: socket.socket) -> None:
    client.protocol.write(b"abc")
    client.protocol.write(b"")
    assert (drain(peer), client.unsent) == (b"abc", b"")


def test_what_the_socket_does_not_take_goes_to_the_transport_in_order(
    client: Transport, peer: socket.socket
) -> None:
    data = bytes(range(256)) * 40_000
    client.protocol.write(data)
    taken = len(data) - len(client.unsent)
    assert 0 < taken < len(data)
    client.protocol.write(b"more")
    assert drain(peer) == data[:taken], "nothing overtakes what the transport has"
    assert client.unsent == data[taken:] + b"more"
    client.read()
    client.stuck = True
    client.protocol.write(b"again")
    assert (drain(peer), client.unsent) == (b"again", b"")


def test_a_closed_socket_takes_nothing_and_raises_nothing(client: Transport, peer: socket.socket) -> None:
    peer.close()
    client.protocol.write(b"abc")
    client.protocol.write(b"abc")
    assert client.unsent == b""


def test_a_closing_transport_gets_nothing(client: Transport, peer: socket.socket) -> None:
    client.protocol.write(bytes(10_000_000))
    left = client.unsent
    assert left
    client.close()
    client.protocol.write(b"abc")
    assert client.unsent == left


def test_a_lost_socket_is_not_written_to(client: Transport, peer: socket.socket) -> None:
    """Its descriptor may be that of another connection by then."""
    client.close()
    client.protocol.connection_lost(None)
    client.protocol.write(b"abc")
    assert drain(peer) == b""

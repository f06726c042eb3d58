"""TLS handshakes of many clients at the same moment: few begin in one turn of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.server.acceptor import HANDSHAKES_TOGETHER, HELLO_LOOKS, Acceptor, hello_size
from tests.hang import HANG_SECONDS

#: A message of 296 octets behind its header, in one record.
HELLO = bytes((0x16, 3, 1, 1, 44)) + bytes((1, 0, 1, 40)) + bytes(296)


def fragments(message: bytes, size: int) -> bytes:
    """A message in records of so many octets."""
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\3\1" + len(part).to_bytes(2, "big") + part for part in parts)


@contextlib.contextmanager
def acceptor() -> Iterator[Acceptor]:
    """An acceptor that listens on a port of its own."""
    made = Acceptor(
        socket.create_server(("127.0.0.1", 0)), lambda origin: asyncio.Protocol(), "amqp/ssl", Faults(Clock())
    )
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection; the second one does not block."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
        listening.accept()[0] as server,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setblocking(False)
        yield client, server


async def arrived(server: socket.socket, size: int) -> None:
    """Wait until so many octets have arrived."""
    while True:
        with contextlib.suppress(BlockingIOError):
            if len(server.recv(1 << 16, socket.MSG_PEEK)) >= size:
                return
        await asyncio.sleep(0)


async def test_few_handshakes_begin_in_one_turn() -> None:
    loop = asyncio.get_running_loop()
    turns, begun = 0, Counter[int]()

    def count() -> None:
        nonlocal turns
        turns += 1
        if begun.total() < 20:
            loop.call_soon(count)

    with acceptor() as made:

        async def client() -> None:
            await made._turn()
            begun[turns] += 1

        tasks = [asyncio.ensure_future(client()) for _ in range(20)]
        count()
        await asyncio.gather(*tasks)
    assert max(begun.values()) <= HANDSHAKES_TOGETHER and not made.turns


async def test_a_client_that_has_gone_takes_no_turn() -> None:
    with acceptor() as made:
        tasks = [asyncio.ensure_future(made._turn()) for _ in range(5 * HANDSHAKES_TOGETHER)]
        await asyncio.sleep(0)
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait_for(tasks[-1], HANG_SECONDS)


@pytest.mark.parametrize("hello", [HELLO, fragments(HELLO[5:], 50), fragments(HELLO[5:], 3)])
async def test_a_handshake_begins_when_its_first_message_is_there(hello: bytes) -> None:
    with acceptor() as made, pair() as (client, server):
        waiting = asyncio.ensure_future(made._hello(server))
        for part in (hello[:3], hello[3:7], hello[7:60], hello[60:-1]):
            client.sendall(part)
            for _ in range(20):
                await asyncio.sleep(0)
            assert not waiting.done()
        client.sendall(hello[-1:])
        await asyncio.wait_for(waiting, HANG_SECONDS)
        await arrived(server, len(hello))
        assert server.recv(1 << 16) == hello, "nothing was read"
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


async def test_a_first_message_in_very_many_pieces_is_not_waited_for() -> None:
    """Each look parses all of it again."""
    pieces, looks = fragments(HELLO[5:], 1), 0

    async def peek(sock: socket.socket, size: int = 1, most: int = 1) -> bytes:
        nonlocal looks
        looks += 1
        return pieces[:size]

    with acceptor() as made, pair() as (_, server):
        made._peek = peek  # type: ignore[method-assign]
        await made._hello(server)
    assert looks == HELLO_LOOKS


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (b"", 5),
        (HELLO[:5], 305),
        (HELLO[:-1], 305),
        (HELLO, 0),
        (HELLO + b"more", 0),
        (b"AMQP\0", 0),
        (b"\x16AMQP", 0),
        (b"\x16\3\1\x40\0", 16389),
        (b"\x16\3\1\x40\1", 0),
        (b"\x16\3\1\1\0\1", 261),
        (b"\x16\3\1\1\0\2", 0),
        (b"\x16\3\1\1\0\1\1\0\0", 0),
        (fragments(HELLO[5:], 2)[:7], 12),
        (fragments(HELLO[5:], 2)[:-1], len(fragments(HELLO[5:], 2))),
        (fragments(HELLO[5:], 2), 0),
        (fragments(HELLO[5:55], 50), 60),
    ],
)
def test_the_size_of_the_first_message(found: bytes, wanted: int) -> None:
    assert hello_size(found) == wanted


@pytest.mark.parametrize("sent", [b"", HELLO[:2], HELLO[:25]])
async def test_a_client_that_goes_meanwhile_is_noticed(sent: bytes) -> None:
    with acceptor() as made, pair() as (client, server):
        client.sendall(sent)
        hello = asyncio.ensure_future(made._hello(server))
        client.close()
        await asyncio.wait_for(hello, HANG_SECONDS)

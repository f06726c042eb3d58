"""Accepts connections that begin with something else than their protocol: a PROXY header, a TLS handshake.

A listener without both is a plain server of the event loop (`listeners.listen`), and costs nothing of this. Here each
socket is received by a task of its own, which has to end within its time: a client that is silent or slow is reset. If
descriptors are short, the socket that has waited longest makes room for a new one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from leveret.faults import Faults
from leveret.server import descriptors, proxy_protocol
from leveret.server.proxy_protocol import MalformedHeader, Origin
from leveret.server.tls import HandshakeFailed, TlsContext

log = logging.getLogger("leveret.connection")

#: Makes the protocol of a connection; the origin is that of a PROXY header.
MakeProtocol = Callable[[Origin | None], asyncio.BaseProtocol]

#: Sockets that are accepted in one turn of the event loop.
ACCEPTED_TOGETHER = 16

#: TLS handshakes that begin in one turn of the event loop: a signature with an RSA key takes a millisecond.
HANDSHAKES_TOGETHER = 3

#: Octets of the header of a TLS record, and of that of a message in it.
_RECORD_HEADER = 5
_MESSAGE_HEADER = 4

#: How a record of a handshake begins, in all versions; the most octets that it has (RFC 8446, 5.1). What the first
#: message of a client begins with.
_RECORD_BEGIN = b"\x16\3"
RECORD_BYTES = 1 << 14
_CLIENT_HELLO = b"\1"

#: Octets of the first message of a client that are waited for; usual ones have less than two thousand.
HELLO_BYTES = 1 << 16

#: How often this message is looked at: a client must not have a long one, in records of an octet, parsed for each.
HELLO_LOOKS = 64

#: Pause after the system had no descriptor for a new socket, seconds.
RETRY_S = 1.0

#: How long a client may take to answer the end of TLS (rabbit_net: SSL_CLOSE_TIMEOUT), seconds.
CLOSE_TIMEOUT_S = 5.0

#: Listeners whose failed handshakes are logged. Cowboy, RabbitMQ's HTTP server, logs none.
LOGGED = ("amqp/ssl",)

#: What is read of a client that does not speak TLS, before its socket is closed.
SKIPPED_BYTES = 1 << 16

#: First octet of a TLS handshake, and the alert `unexpected_message` for clients that begin otherwise.
_HANDSHAKE = b"\x16"
_UNEXPECTED_MESSAGE = bytes((21, 3, 1, 0, 2, 2, 10))

#: A socket that is closed with this is reset.
_RESET = struct.pack("ii", 1, 0)


class Acceptor:
    """Accepts connections on a listening socket. `make`: makes their protocols. `protocol`: RabbitMQ's name of the
    listener, for the log. `tls`, `proxied`: what comes first. `receiving`: sockets for which that is not over.
    `turns`: those that wait until their TLS handshake may begin."""

    def __init__(
        self,
        sock: socket.socket,
        make: MakeProtocol,
        protocol: str,
        faults: Faults,
        *,
        tls: TlsContext | None = None,
        proxied: bool = False,
    ) -> None:
        self.sock = sock
        self.make = make
        self.protocol = protocol
        self.faults = faults
        self.tls = tls
        self.proxied = proxied
        self.receiving: dict[socket.socket, asyncio.Task[None]] = {}
        self.turns: deque[asyncio.Future[None]] = deque()
        self._reserve_begins = descriptors.reserve_begins()
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket."""
        return (self.sock,)

    def close(self) -> None:
        """Stop listening, and drop the sockets that are being received."""
        self._loop.remove_reader(self.sock)
        if self._retry is not None:
            self._retry.cancel()
        for task in list(self.receiving.values()):
            task.cancel()
        self.sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_TOGETHER):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left
                self._pause(error)
                return
            sock.setblocking(False)
            if sock.fileno() >= self._reserve_begins and self.receiving:
                next(iter(self.receiving.values())).cancel()
            task = self._loop.create_task(self._receive(sock, f"{address[0]}:{address[1]}"))
            self.receiving[sock] = task
            task.add_done_callback(lambda _, sock=sock: self.receiving.pop(sock, None))  # type: ignore[misc]

    def _pause(self, error: OSError) -> None:
        """Do not ask again for a while."""
        self.faults.report("accept", error)
        self._loop.remove_reader(self.sock)
        self._retry = self._loop.call_later(RETRY_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self.sock, self._accept)

    async def _receive(self, sock: socket.socket, peer: str) -> None:
        """Receive one socket; whatever goes wrong ends only that."""
        try:
            await self._begin(sock, peer.removeprefix("::ffff:"))
        except Exception as error:
            self.faults.report("accept", error)
            _reset(sock)
        except asyncio.CancelledError:
            _reset(sock)
            raise

    async def _begin(self, sock: socket.socket, peer: str) -> None:
        origin = None
        if self.proxied:
            try:
                async with asyncio.timeout(proxy_protocol.HEADER_TIMEOUT_S):
                    origin = await proxy_protocol.read_header(lambda size: self._read(sock, size))
            except (MalformedHeader, EOFError, TimeoutError, OSError) as error:
                log.debug("error when receiving proxy header: %s", error)
                _reset(sock)
                return
        if self.tls is None:
            await self._loop.connect_accepted_socket(lambda: self.make(origin), sock)
            return
        await self._encrypt(sock, peer, origin, self.tls)

    async def _encrypt(self, sock: socket.socket, peer: str, origin: Origin | None, tls: TlsContext) -> None:
        """Do the TLS handshake within its time (rabbit_networking:ranch_handshake)."""
        try:
            async with asyncio.timeout(tls.settings.handshake_timeout / 1000):
                first = await self._peek(sock)
                if first == _HANDSHAKE:
                    await self._hello(sock)
                    await self._turn()
                    await self._handshake(sock, peer, origin, tls)
                    return
        except TimeoutError:
            self._log_failure("timeout", peer)
            _reset(sock)
            return
        except ConnectionError:  # as health checks close it
            _reset(sock)
            return
        if first:
            if self.protocol in LOGGED:
                log.warning("%s is connecting to the '%s' listener without using TLS", peer, self.protocol)
            sock.send(_UNEXPECTED_MESSAGE)
            sock.recv(SKIPPED_BYTES)  # a socket with unread octets would be reset, and the alert be lost
        sock.close()

    async def _hello(self, sock: socket.socket) -> None:
        """Wait until the first message of a handshake is there as a whole: the expensive part of the handshake follows
        when it is read, and must not wait for an octet that a thousand clients send at the same moment."""
        wanted = _RECORD_HEADER
        for _ in range(HELLO_LOOKS):
            if not 0 < wanted <= HELLO_BYTES:
                return
            found = await self._peek(sock, wanted, HELLO_BYTES)
            if len(found) < wanted:  # the client has closed the socket
                return
            wanted = hello_size(found)

    async def _turn(self) -> None:
        """Wait until a handshake may begin: the loop serves others between them."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self.turns.append(turn)
        if len(self.turns) == 1:
            self._loop.call_soon(self._next_turns)
        await turn

    def _next_turns(self) -> None:
        begun = 0
        while self.turns and begun < HANDSHAKES_TOGETHER:
            turn = self.turns.popleft()
            if not turn.done():  # the client can be too slow, or gone
                turn.set_result(None)
                begun += 1
        if self.turns:
            self._loop.call_soon(self._next_turns)

    async def _handshake(
        self, sock: socket.socket, peer: str, origin: Origin | None, tls: TlsContext
    ) -> None:
        """Do the handshake; the event loop closes the socket if it fails, so that the alert needs another one."""
        spare = sock.dup()
        try:
            await self._loop.connect_accepted_socket(
                lambda: self.make(origin),
                sock,
                ssl=tls.current,
                ssl_handshake_timeout=tls.settings.handshake_timeout / 1000,
                ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
            )
        except HandshakeFailed as error:
            self._log_failure(str(error), peer)
            with suppress(OSError):
                spare.send(error.alert)
        finally:
            spare.close()

    def _log_failure(self, problem: str, peer: str) -> None:
        if self.protocol in LOGGED:
            log.error("%s error during handshake for protocol '%s' and peer %s", problem, self.protocol, peer)

    async def _read(self, sock: socket.socket, size: int) -> bytes:
        """Read exactly so many octets. Raises `EOFError`."""
        found = b""
        while len(found) < size:
            part = await self._loop.sock_recv(sock, size - len(found))
            if not part:
                raise EOFError("TCP socket was closed prematurely")
            found += part
        return found

    async def _peek(self, sock: socket.socket, size: int = 1, most: int = 1) -> bytes:
        """Return so many octets at least, which stay unread; fewer if the client closes the socket."""
        readable: asyncio.Future[None] = self._loop.create_future()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
        self._loop.add_reader(sock, _ready, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return sock.recv(most, socket.MSG_PEEK)


def hello_size(found: bytes) -> int:
    """Return how many octets of a client must be there, as far as can be seen, before its first message is complete;
    0 if it is, or if this is no ClientHello: the handshake fails at once then. A message may be in several records."""
    at, message = 0, bytearray()
    while at + _RECORD_HEADER <= len(found):
        size = int.from_bytes(found[at + 3 : at + 5], "big")
        if found[at : at + 2] != _RECORD_BEGIN or size > RECORD_BYTES:
            return 0
        end = at + _RECORD_HEADER + size
        message += found[at + _RECORD_HEADER : end]
        length = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
        if message[:1] not in (b"", _CLIENT_HELLO):
            return 0
        if len(message) >= _MESSAGE_HEADER and (len(message) >= length or length > HELLO_BYTES):
            return 0
        if end > len(found):
            return end
        at = end
    return at + _RECORD_HEADER


def _ready(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _reset(sock: socket.socket) -> None:
    """Close a socket by a reset, unless it is closed."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        return
    sock.close()
